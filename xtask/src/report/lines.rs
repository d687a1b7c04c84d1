//! The permanent lines: one at the end of a task, with outcome and reason, and notes.

use std::time::Duration;

use crate::{
    graph::TaskId,
    report::{
        Event, RunEvent, Told, Took, Verbosity,
        run::{Outcome, Run},
        style::{Clock, Mark, Paint, Style, clean, fold},
        timeline,
    },
};

/// The settings of the lines.
#[derive(Clone, Copy, Debug)]
pub struct Lines {
    pub style: Style,
    pub verbosity: Verbosity,
    /// Whether the start of a task is a line; false with a live display.
    pub starts: bool,
}

/// The width of clock, mark and task's name.
const INDENT: usize = 21;
/// Below this width, lines have no columns.
pub(super) const NARROW: usize = 60;

impl Lines {
    /// The lines for an event; often empty.
    pub fn of(&self, at: Duration, run: &Run, told: &Told) -> String {
        let (task, event) = match told {
            Told::Task(task, event) => (*task, event),
            Told::Run(RunEvent::Settled) if self.verbosity > Verbosity::Quiet => return timeline::text(self.style, run),
            Told::Run(RunEvent::Closing { text }) if self.verbosity > Verbosity::Quiet => return format!("\n{text}"),
            Told::Run(_) => return String::new(),
        };
        let state = run.task(task);
        let took = Took(state.map(|it| it.took()).unwrap_or_default());
        let normal = self.verbosity >= Verbosity::Normal;
        let verbose = self.verbosity == Verbosity::Verbose;
        let line = |mark, text: &str| self.line(at, mark, task, text);
        match event {
            Event::Started { reason } if normal && self.starts => line(Mark::Runs, &format!("runs: {reason}")),
            Event::Restoring { reason } if normal && self.starts => line(Mark::Runs, &format!("restores: {reason}")),
            Event::Note { text } if normal => line(Mark::Runs, text),
            Event::Detail { text } if verbose => line(Mark::Detail, text),
            Event::StepEnded { name } if normal && (self.starts || verbose) => {
                let step = state.and_then(|it| it.steps.iter().rfind(|it| it.name == *name));
                let took = step.and_then(|it| Some(it.ended? - it.began)).unwrap_or_default();
                line(Mark::Runs, &format!("{name}: {}", Took(took)))
            }
            Event::Done { text } if normal => {
                let word = state.and_then(|it| it.outcome()).unwrap_or(Outcome::Ran).name();
                let reason = state.map(|it| it.reason.as_str()).unwrap_or_default();
                line(Mark::Done, &format!("{word} in {took}: {reason}\n{text}"))
            }
            Event::Skipped { reason } if normal => line(Mark::Skipped, &format!("skipped: {reason}")),
            Event::Failed { text } => line(Mark::Failed, &format!("failed after {took}: {text}\nlog: {}", run.log(task))),
            Event::Cancelled { text } if normal => line(Mark::NotRun, text),
            Event::NotRun { because } if normal => line(Mark::NotRun, &format!("not run: {} failed", because.name())),
            _ => String::new(),
        }
    }

    /// Formats clock, mark, task and text; the text may have several lines.
    pub fn line(&self, at: Duration, mark: Mark, task: TaskId, text: &str) -> String {
        let text: Vec<String> = text.lines().map(|it| self.style.spell(&clean_indented(it))).collect();
        let text = text.join("\n");
        let mark = self.style.mark(mark);
        let mut out = String::new();
        if self.style.width < NARROW {
            let text = format!("{} {text}", task.name());
            for (index, line) in fold(&text, self.style.width.saturating_sub(3)).iter().enumerate() {
                out.push_str(&if index == 0 { format!("{mark} {line}\n") } else { format!("  {line}\n") });
            }
            return out;
        }
        let clock = self.style.paint(Paint::Faint, &format!("{:>5}", Clock(at)));
        for (index, line) in fold(&text, self.style.width.saturating_sub(INDENT + 1)).iter().enumerate() {
            out.push_str(&match index {
                0 => format!("{clock} {mark} {:<12} {line}\n", task.name()),
                _ => format!("{:INDENT$}{line}\n", ""),
            });
        }
        out
    }
}

fn clean_indented(line: &str) -> String {
    let spaces = line.len() - line.trim_start_matches(' ').len();
    format!("{}{}", &line[..spaces], clean(&line[spaces..]))
}
