//! Waits for a command to end: at most as long as it may take, as long as a download brings something, and not after Ctrl-C.

use std::{
    process::{Child, ExitStatus},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use crate::{
    errors::{Code, Problem},
    graph::TaskId,
    report::{Event, Waiting},
    tool::{
        Tools,
        flow::Flow,
        heard::{Heard, REPEATED},
        stop::stop,
    },
};

impl Tools {
    /// Waits for the command to end. With `heard`, a silent command is reported as a wait.
    pub(super) fn wait(&self, child: &mut Child, shown: &str, limit: Duration, heard: Option<(TaskId, &Heard)>) -> Result<ExitStatus> {
        let began = Instant::now();
        let mut told = began;
        let mut pause = Duration::from_millis(1);
        let mut flow = self.patience.zip(i32::try_from(child.id()).ok()).map(|(patience, group)| Flow::of(group, patience));
        loop {
            if let Some(status) = child.try_wait().with_context(|| format!("wait for `{shown}`"))? {
                return Ok(status);
            }
            if let Err(error) = self.interrupt.check() {
                stop(child, self.ending);
                return Err(error.context(format!("`{shown}` was stopped")));
            }
            if began.elapsed() > limit {
                stop(child, self.ending);
                let said = heard.and_then(|(_, heard)| heard.last()).map(|it| format!("; its last line: {it}")).unwrap_or_default();
                return Err(Problem::timed_out(format!("`{shown}` did not end within {} s and was stopped{said}", limit.as_secs()))
                    .code(Code::CommandHung)
                    .into());
            }
            let watched = flow.as_mut().zip(heard).and_then(|(flow, (_, heard))| Some((flow, heard, heard.downloads()?)));
            let still = watched.and_then(|(flow, heard, said)| Some((flow.look(said)?, heard)));
            if let Some(problem) = still.as_ref().and_then(|(still, heard)| still.over(shown, heard.last())) {
                stop(child, self.ending);
                return Err(problem.into());
            }
            if let Some((task, line)) = heard.and_then(|(task, heard)| Some((task, heard.silent()?)))
                && told.elapsed() >= REPEATED
            {
                told = Instant::now();
                let line = still.map_or(line.clone(), |(it, _)| format!("{line}; {it}"));
                self.report.event(task, Event::Waiting(Waiting::new(format!("`{shown}` to end"), line, began.elapsed(), limit)));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(25));
        }
    }
}
