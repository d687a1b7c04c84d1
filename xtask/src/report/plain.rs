//! Output without a terminal: one line when a task starts, one when it ends, and occasional lines in between about waits or a long silence.
//! No control characters, unless colour is requested.

use std::{collections::BTreeMap, io::Write, time::Duration};

use crate::{
    graph::TaskId,
    report::{
        Event, Told, Took, Verbosity, Waiting,
        hub::Listener,
        lines::Lines,
        run::{Phase, Run},
        style::Mark,
    },
};

/// A task without a line for this long gets a line that it still runs.
const HEARTBEAT: Duration = Duration::from_secs(25);

/// A wait gets its first line after this many seconds, since most are shorter.
const FIRST_WAIT: u64 = 5;
/// A wait gets a further line after this time.
const NEXT_WAIT: Duration = Duration::from_secs(15);

/// The listener.
pub struct Plain {
    out: Box<dyn Write + Send>,
    lines: Lines,
    spoke: BTreeMap<TaskId, Duration>,
    /// The time of the last line about a wait.
    waits: BTreeMap<(TaskId, String), Duration>,
}

impl Plain {
    pub fn new(out: Box<dyn Write + Send>, lines: Lines) -> Plain {
        Plain { out, lines: Lines { starts: true, ..lines }, spoke: BTreeMap::new(), waits: BTreeMap::new() }
    }

    /// The line about a wait, if it is due.
    fn wait(&mut self, at: Duration, task: TaskId, waiting: &Waiting) -> Option<String> {
        let key = (task, waiting.what.clone());
        if waiting.waited < FIRST_WAIT {
            self.waits.remove(&key);
            return None;
        }
        if self.lines.verbosity == Verbosity::Quiet || self.waits.get(&key).is_some_and(|it| at.saturating_sub(*it) < NEXT_WAIT) {
            return None;
        }
        self.waits.insert(key, at);
        Some(self.lines.line(at, Mark::Runs, task, &waiting.to_string()))
    }

    fn write(&mut self, text: &str) {
        // The reader may have ended; the work continues.
        self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()).ok();
    }
}

impl Listener for Plain {
    fn told(&mut self, at: Duration, run: &Run, told: &Told) {
        let text = match told {
            Told::Task(task, Event::Waiting(waiting)) => self.wait(at, *task, waiting).unwrap_or_default(),
            _ => self.lines.of(at, run, told),
        };
        if text.is_empty() {
            return;
        }
        if let Told::Task(task, _) = told {
            self.spoke.insert(*task, at);
        }
        self.write(&text);
    }

    fn tick(&mut self, at: Duration, run: &Run) {
        if self.lines.verbosity == Verbosity::Quiet {
            return;
        }
        for task in run.tasks.iter().filter(|it| matches!(it.phase, Phase::Running | Phase::Checking)) {
            // A command may run a task twice, so silence counts from the latest start.
            let spoke = self.spoke.get(&task.id).copied().unwrap_or_default().max(task.began);
            if at.saturating_sub(spoke) < HEARTBEAT {
                continue;
            }
            self.spoke.insert(task.id, at);
            let says = if task.says.is_empty() { &task.reason } else { &task.says };
            let text = format!("still running after {}: {says}", Took(at.saturating_sub(task.began)));
            let line = self.lines.line(at, Mark::Runs, task.id, &text);
            self.write(&line);
        }
    }

    fn draws(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::report::{Event, story, style::Style};

    fn check(width: usize, verbosity: Verbosity, expected: &Expect) {
        let paper = story::Paper::default();
        let style = Style { colour: false, unicode: false, width };
        let mut plain = Plain::new(Box::new(paper.clone()), Lines { style, verbosity, starts: true });
        story::play(&story::failing(), &mut plain, |_| ());
        let text = paper.text();
        assert!(text.chars().all(|it| it == '\n' || !it.is_control()), "{text:?}");
        assert!(text.is_ascii(), "{text}");
        expected.assert_eq(&story::framed(&text));
    }

    #[test]
    fn without_a_terminal_there_are_lines_and_a_heartbeat() {
        check(
            usize::MAX,
            Verbosity::Normal,
            &expect![[r#"
                screen:
                 0:00 = engine       skipped: the engine at /run/docker.sock answers (version 20.10)
                 0:00 . patch        runs: patch 0002 changed
                 0:00 . cluster      restores: the cluster's node is stopped
                 0:00 + patch        ran in 0.4 s: patch 0002 changed
                                     the patched application is unchanged (31 files)
                 0:00 . base-image   runs: not done yet
                 0:04 . base-image   Debian packages for python: 4.0 s
                 0:05 + base-image   ran in 4.6 s: not done yet
                                     python:3.12.3 is in the engine (120 MB)
                 0:05 . image        runs: base image changed
                 0:06 . image        a note that is worth more than a single line of a terminal of eighty columns, surely
                 0:09 . cluster      waiting for the API server (8 of at most 240 s): connection refused
                 0:31 . image        still running after 26.0 s: base image changed
                 0:34 . cluster      still running after 33.9 s: waiting for the API server (8 of at most 240 s): connection refused
                 0:38 x image        failed after 33.0 s: `pip install` ended with exit code 1
                                     log: target/pocdeploy/runs/20260102T030405.006Z/image.log
                 0:38 - load         not run: image failed
                 0:59 . cluster      still running after 58.9 s: waiting for the API server (8 of at most 240 s): connection refused
                 1:00 + cluster      restored in 59.9 s: the cluster's node is stopped
                                     cluster polls answers

                timeline of 1 min 00 s, * critical path
                  engine       skipped         0.1 s #
                  patch        ran             0.4 s #
                * cluster      restored       59.9 s ############################################################
                  base-image   ran             4.6 s #####
                    Debian packages f...       4.0 s  ####
                  image        failed         33.0 s      #################################
                    `pip install` ended with exit code 1
                  load         not run

            "#]],
        );
    }

    #[test]
    fn a_task_that_begins_again_is_not_said_to_be_still_running() {
        let paper = story::Paper::default();
        let style = Style { colour: false, unicode: false, width: usize::MAX };
        let mut plain = Plain::new(Box::new(paper.clone()), Lines { style, verbosity: Verbosity::Normal, starts: true });
        let task = |at, event| (at, Told::Task(TaskId::Patch, event));
        let skipped = || Event::Skipped { reason: "staged".to_owned() };
        // `dev` runs a task again after minutes.
        let story = vec![task(0.0, Event::Checking), task(0.1, skipped()), task(300.0, Event::Checking), task(301.0, skipped())];
        story::play(&story, &mut plain, |_| ());
        assert_eq!(paper.text(), " 0:00 = patch        skipped: staged\n 5:01 = patch        skipped: staged\n");
    }

    #[test]
    fn a_wait_is_shown_after_five_seconds_and_then_every_fifteen() {
        let paper = story::Paper::default();
        let style = Style { colour: false, unicode: false, width: usize::MAX };
        let mut plain = Plain::new(Box::new(paper.clone()), Lines { style, verbosity: Verbosity::Normal, starts: true });
        let event = |second: u32, what: &str, waited: u64| {
            let waiting = Waiting { what: what.to_owned(), seen: "0 of 2 pods".to_owned(), waited, limit: 240 };
            (f64::from(second), Told::Task(TaskId::Deploy, Event::Waiting(waiting)))
        };
        // Two parallel waits, one of them short; then the first again.
        let mut story: story::Story = (0..32).map(|it| event(10 + it, "Deployment web", u64::from(it))).collect();
        story.extend((0..4).map(|it| event(20 + it, "Job migrate", u64::from(it))));
        story.extend((0..6).map(|it| event(50 + it, "Deployment web", u64::from(it))));
        story.sort_by(|a, b| a.0.total_cmp(&b.0));
        story::play(&story, &mut plain, |_| ());
        let line =
            |clock: &str, waited| format!(" {clock} . deploy       waiting for Deployment web ({waited} of at most 240 s): 0 of 2 pods\n");
        assert_eq!(paper.text(), [line("0:15", 5), line("0:30", 20), line("0:55", 5)].concat());
    }

    #[test]
    fn quiet_shows_failures_only() {
        check(
            usize::MAX,
            Verbosity::Quiet,
            &expect![[r#"
            screen:
             0:38 x image        failed after 33.0 s: `pip install` ended with exit code 1
                                 log: target/pocdeploy/runs/20260102T030405.006Z/image.log
        "#]],
        );
    }
}
