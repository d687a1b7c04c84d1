//! The live display on a terminal: one line for each unfinished task, below the permanent lines.
//!
//! Each frame is drawn in one write over the last one. The cursor is never hidden and lines never wrap, so a killed process leaves a usable
//! terminal.

use std::{collections::BTreeMap, io::Write, time::Duration};

use crate::{
    graph::TaskId,
    report::{
        RunEvent, Told, Verbosity,
        history::Estimates,
        hub::Listener,
        lines::{Lines, NARROW},
        run::{Phase, Run, TaskState},
        style::{Paint, Spent, Style, clean},
    },
};

/// A shorter run has no display.
const PATIENCE: Duration = Duration::from_millis(250);

/// Columns and rows, read for each frame, since a window may be resized.
pub type Size = Box<dyn Fn() -> (usize, usize) + Send>;

/// The listener.
pub struct Live {
    out: Box<dyn Write + Send>,
    lines: Lines,
    size: Size,
    /// Durations of earlier runs; read when the first task works.
    estimates: Box<dyn Fn() -> Estimates + Send>,
    known: Option<Estimates>,
    /// The widths of the lines on the screen.
    drawn: Vec<usize>,
    turn: usize,
    closed: bool,
}

impl Live {
    pub fn new(out: Box<dyn Write + Send>, lines: Lines, size: Size, estimates: Box<dyn Fn() -> Estimates + Send>) -> Live {
        Live { out, lines: Lines { starts: false, ..lines }, size, estimates, known: None, drawn: Vec::new(), turn: 0, closed: false }
    }

    fn write(&mut self, text: &str) {
        if !text.is_empty() {
            // The terminal may be closed; the work continues.
            self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()).ok();
        }
    }

    /// The escape sequence that removes the drawn lines, including wrapped ones after the window became narrower.
    fn erase(&mut self, width: usize) -> String {
        let rows: usize = self.drawn.iter().map(|it| it.div_ceil(width.max(1)).max(1)).sum();
        self.drawn.clear();
        if rows == 0 { String::new() } else { format!("\r\x1b[{rows}A\x1b[J") }
    }

    fn draw(&mut self, at: Duration, run: &Run, staying: &str) {
        let (width, height) = (self.size)();
        self.lines.style.width = width;
        let mut text = self.erase(width);
        text.push_str(staying);
        if self.known.is_none() && run.tasks.iter().any(|it| it.phase == Phase::Running) {
            self.known = Some((self.estimates)());
        }
        for line in frame(self.lines.style, height, at, run, self.known.as_ref().unwrap_or(&BTreeMap::new()), self.turn) {
            self.drawn.push(line.width);
            text.push_str(&line.text);
            text.push('\n');
        }
        self.write(&text);
    }
}

impl Listener for Live {
    fn told(&mut self, at: Duration, run: &Run, told: &Told) {
        self.lines.style.width = (self.size)().0;
        let staying = self.lines.of(at, run, told);
        self.closed |= matches!(told, Told::Run(RunEvent::Ended { .. }));
        if matches!(told, Told::Run(RunEvent::Settled | RunEvent::Ended { .. })) {
            let text = self.erase(self.lines.style.width) + &staying;
            self.write(&text);
        } else if self.drawn.is_empty() {
            self.write(&staying);
        } else if !staying.is_empty() {
            self.draw(at, run, &staying);
        }
    }

    fn tick(&mut self, at: Duration, run: &Run) {
        if at < PATIENCE || self.closed || self.lines.verbosity == Verbosity::Quiet {
            return;
        }
        self.turn += 1;
        self.draw(at, run, "");
    }

    fn draws(&self) -> bool {
        true
    }

    fn clear(&mut self) {
        let width = (self.size)().0;
        let text = self.erase(width);
        self.write(&text);
    }
}

struct Line {
    text: String,
    width: usize,
}

/// The lines of a frame: running tasks with their steps, then waiting tasks. Lines leave the last column empty.
fn frame(style: Style, height: usize, at: Duration, run: &Run, known: &Estimates, turn: usize) -> Vec<Line> {
    let busy: Vec<&TaskState> = run.tasks.iter().filter(|it| matches!(it.phase, Phase::Running | Phase::Checking)).collect();
    let waiting: Vec<&TaskState> = run.tasks.iter().filter(|it| it.phase == Phase::Waiting).collect();
    if busy.is_empty() {
        return Vec::new();
    }
    let mut out = Vec::new();
    for task in busy {
        let spent = at.saturating_sub(task.began);
        let text = format!("{}{}: {}", Spent(spent), left(task, spent, known), now(task));
        out.push(line(style, &style.spinner(turn), task.id, &text, Paint::Plain));
        let open: Vec<_> = task.steps.iter().filter(|it| it.ended.is_none()).collect();
        // A single step is not shown, since the task's line shows it.
        for step in open.iter().filter(|_| open.len() > 1) {
            let text = format!("{}: {}", step.name, Spent(at.saturating_sub(step.began)));
            let room = style.width.saturating_sub(8);
            let text = style.clip(&clean(&text), room);
            let width = text.chars().count() + 6;
            out.push(Line { text: format!("{:6}{}", "", style.paint(Paint::Faint, &text)), width });
        }
    }
    for task in waiting {
        let open = task.needs.iter().filter(|need| run.task(**need).is_some_and(|it| it.ended.is_none()));
        let names: Vec<String> = open.map(|it| it.name()).collect();
        let text = format!("waits for {}", names.join(", "));
        out.push(line(style, " ", task.id, &text, Paint::Faint));
    }
    let room = height.saturating_sub(2).max(1);
    if out.len() > room {
        let more = out.len() - (room - 1);
        out.truncate(room - 1);
        let text = format!("{:6}and {more} more", "");
        out.push(Line { width: text.len(), text });
    }
    out
}

fn line(style: Style, mark: &str, task: TaskId, text: &str, paint: Paint) -> Line {
    // Aligned with the permanent lines, if there are columns.
    let (clock, head) = match style.width {
        ..NARROW => ("", format!("{} ", task.name())),
        _ => ("      ", format!("{:<12} ", task.name())),
    };
    let width = clock.len() + 2 + head.len();
    let text = style.clip(&style.spell(&clean(text)), style.width.saturating_sub(width + 1));
    Line { width: width + text.chars().count(), text: format!("{clock}{mark} {}", style.paint(paint, &format!("{head}{text}"))) }
}

fn now(task: &TaskState) -> &str {
    match task.phase {
        Phase::Checking => "checks whether it must run",
        _ if !task.says.is_empty() => &task.says,
        _ => &task.reason,
    }
}

/// The remaining time, estimated from earlier runs.
fn left(task: &TaskState, spent: Duration, known: &Estimates) -> String {
    let Some(usual) = known.get(&(task.id, task.restores)).filter(|_| task.phase == Phase::Running) else { return String::new() };
    let left = usual.saturating_sub(spent);
    if left >= Duration::from_secs(1) {
        format!(", ~{} left", Spent(left))
    } else if spent > *usual + Duration::from_secs(5) {
        format!(", usually {}", Spent(*usual))
    } else {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::report::story::{self, Paper};

    fn live(paper: &Paper, unicode: bool, width: usize, height: usize) -> Live {
        let style = Style { colour: false, unicode, width };
        let lines = Lines { style, verbosity: Verbosity::Normal, starts: false };
        let earlier = || Estimates::from([((TaskId::Cluster, true), Duration::from_secs(30))]);
        Live::new(Box::new(paper.clone()), lines, Box::new(move || (width, height)), Box::new(earlier))
    }

    /// Checks the screen at a time of the story, and at its end.
    fn check(unicode: bool, width: usize, moment: f64, then: &Expect, end: &Expect) {
        let paper = Paper::default();
        let mut seen = String::new();
        story::play(&story::failing(), &mut live(&paper, unicode, width, 24), |at| {
            if at <= moment {
                seen = paper.screen(width);
            }
        });
        then.assert_eq(&story::framed(&seen));
        end.assert_eq(&story::framed(&paper.screen(width)));
    }

    #[test]
    fn a_terminal_shows_what_runs_and_keeps_what_ended() {
        check(
            true,
            80,
            3.0,
            &expect![[r#"
                screen:
                 0:00 = engine       skipped: the engine at /run/docker.sock answers (version
                                     20.10)
                 0:00 ✓ patch        ran in 0.4 s: patch 0002 changed
                                     the patched application is unchanged (31 files)
                      ⣠ base-image   2 s: unpacking libc6
                      ⣠ cluster      2 s, ~27 s left: waiting for the API server (0 of at most…
                        image        waits for base-image
                        load         waits for image, cluster

            "#]],
            &expect![[r#"
                screen:
                 0:00 = engine       skipped: the engine at /run/docker.sock answers (version
                                     20.10)
                 0:00 ✓ patch        ran in 0.4 s: patch 0002 changed
                                     the patched application is unchanged (31 files)
                 0:05 ✓ base-image   ran in 4.6 s: not done yet
                                     python:3.12.3 is in the engine (120 MB)
                 0:06 · image        a note that is worth more than a single line of a terminal
                                     of eighty columns, surely
                 0:38 ✗ image        failed after 33.0 s: `pip install` ended with exit code 1
                                     log: target/pocdeploy/runs/20260102T030405.006Z/image.log
                 0:38 - load         not run: image failed
                 1:00 ✓ cluster      restored in 59.9 s: the cluster's node is stopped
                                     cluster polls answers

                timeline of 1 min 00 s, * critical path
                  engine       skipped         0.1 s █
                  patch        ran             0.4 s █
                * cluster      restored       59.9 s ██████████████████████████████████████████
                  base-image   ran             4.6 s ████
                    Debian packages for…       4.0 s ███
                  image        failed         33.0 s     ███████████████████████
                    `pip install` ended with exit code 1
                  load         not run


            "#]],
        );
    }

    #[test]
    fn a_narrow_terminal_without_unicode_shows_the_same() {
        check(
            false,
            40,
            45.0,
            &expect![[r#"
                screen:
                = engine skipped: the engine at
                  /run/docker.sock answers (version
                  20.10)
                + patch ran in 0.4 s: patch 0002
                  changed
                  the patched application is unchanged
                  (31 files)
                + base-image ran in 4.6 s: not done yet
                  python:3.12.3 is in the engine (120
                  MB)
                . image a note that is worth more than
                  a single line of a terminal of eighty
                  columns, surely
                x image failed after 33.0 s: `pip
                  install` ended with exit code 1
                  log:
                  target/pocdeploy/runs/20260102T030405.
                006Z/image.log
                - load not run: image failed
                | cluster 44 s, usually 30 s: waitin...

            "#]],
            &expect![[r#"
                screen:
                = engine skipped: the engine at
                  /run/docker.sock answers (version
                  20.10)
                + patch ran in 0.4 s: patch 0002
                  changed
                  the patched application is unchanged
                  (31 files)
                + base-image ran in 4.6 s: not done yet
                  python:3.12.3 is in the engine (120
                  MB)
                . image a note that is worth more than
                  a single line of a terminal of eighty
                  columns, surely
                x image failed after 33.0 s: `pip
                  install` ended with exit code 1
                  log:
                  target/pocdeploy/runs/20260102T030405.
                006Z/image.log
                - load not run: image failed
                + cluster restored in 59.9 s: the
                  cluster's node is stopped
                  cluster polls answers

                timeline of 1 min 00 s, * critical path
                  engine       skipped         0.1 s
                  patch        ran             0.4 s
                * cluster      restored       59.9 s
                  base-image   ran             4.6 s
                    Debian packages f...       4.0 s
                  image        failed         33.0 s
                    `pip install` ended with exit co...
                  load         not run


            "#]],
        );
    }

    #[test]
    fn a_low_terminal_is_never_overdrawn() {
        let paper = Paper::default();
        let mut low = live(&paper, false, 80, 5);
        story::play(&story::failing(), &mut low, |at| {
            if at < 38.0 {
                let drawn = paper.text().rsplit_once("\x1b[J").map_or(0, |(_, it)| it.lines().count());
                assert!(drawn <= 8, "{drawn} lines at {at}");
            }
        });
        assert!(paper.text().contains("more\n"));
    }

    #[test]
    fn a_window_that_became_narrower_is_cleaned_of_its_wrapped_lines() {
        let paper = Paper::default();
        let mut live = live(&paper, false, 80, 24);
        live.drawn = vec![70, 20];
        assert_eq!(live.erase(40), "\r\x1b[3A\x1b[J");
        assert_eq!(live.erase(40), "");
    }

    #[test]
    fn a_run_without_work_draws_nothing() {
        let paper = Paper::default();
        let story: story::Story = story::failing().into_iter().filter(|(at, _)| *at <= 0.1).collect();
        story::play(&story, &mut live(&paper, false, 80, 24), |_| ());
        assert!(!paper.text().contains('\x1b'), "{:?}", paper.text());
    }
}
