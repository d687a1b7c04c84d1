//! What happens while tasks run, as typed events, and the contract of whoever hears them.
//!
//! Nothing else in the tool prints words: the files below turn events into a live display, plain lines, JSON, the
//! record of a run and a page. Data for machines goes to stdout, by the command that owns it.

pub mod choose;
pub mod github;
pub mod history;
pub mod html;
pub mod hub;
pub mod lines;
pub mod live;
pub mod plain;
pub mod record;
pub mod run;
#[cfg(test)]
mod story;
pub mod stream;
pub mod style;
pub mod timeline;
pub mod waiting;
pub mod wire;

use std::{collections::BTreeMap, sync::Mutex};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{called, graph::TaskId, report::run::Run};

pub use crate::report::{style::Took, waiting::Waiting};

/// One thing that happened to a task. The names and fields are those of `docs/events.md`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// Everything that the task needs is there; it looks whether it must run.
    Checking,
    /// The task runs, and why it had to.
    Started { reason: String },
    /// The task runs although its inputs are those of its last success: its product was gone, or stopped.
    Restoring { reason: String },
    /// A part of the task's work begins; parts may run side by side.
    StepBegan { name: String },
    /// The part of that name ended, well or not.
    StepEnded { name: String },
    /// What a running task does at this moment. Shown now and then, not each time.
    Progress { text: String },
    /// The task waits for something, for a limited time. Shown now and then, as `Progress` is.
    Waiting(Waiting),
    /// A decision or finding that the reader should see once.
    Note { text: String },
    /// A detail, shown under `-v`, and always in the task's log.
    Detail { text: String },
    /// The task did its work and its product was seen.
    Done { text: String },
    /// Nothing to do, and why.
    Skipped { reason: String },
    /// The task failed; the error itself is shown at the end.
    Failed { text: String },
    /// The task was stopped, or never started, through no fault of its own: by a signal.
    Cancelled { text: String },
    /// The task was not started because `because` failed.
    NotRun { because: TaskId },
}

impl Event {
    /// With commands as the user calls them, where the words are ours. Details are often another program's.
    #[must_use]
    pub fn reworded(mut self) -> Event {
        match &mut self {
            Event::Started { reason: text }
            | Event::Restoring { reason: text }
            | Event::Progress { text }
            | Event::Note { text }
            | Event::Done { text }
            | Event::Skipped { reason: text }
            | Event::Failed { text }
            | Event::Waiting(Waiting { seen: text, .. }) => *text = called::reworded(text),
            _ => {}
        }
        self
    }
}

/// One thing that happened to the run as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event")]
pub enum RunEvent {
    /// A command began; `time` is UTC, `logs` the folder of this run's logs, relative to the project.
    #[serde(rename = "run-began")]
    Began { run: String, command: String, time: String, logs: String },
    /// The tasks that the run consists of, needs first, and what each needs.
    #[serde(rename = "run-planned")]
    Planned {
        tasks: Vec<TaskId>,
        // Records of earlier versions have none.
        #[serde(default)]
        needs: BTreeMap<TaskId, Vec<TaskId>>,
    },
    /// Every planned task has ended.
    #[serde(rename = "run-settled")]
    Settled,
    /// Words for people at the end of a run that went well.
    #[serde(rename = "run-closing")]
    Closing { text: String },
    /// What the command prints on standard output for machines.
    #[serde(rename = "run-result")]
    Result { result: Value },
    /// The command ended; `error` is absent where it ended well.
    #[serde(rename = "run-ended")]
    Ended {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<Value>,
    },
}

/// What a listener hears.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    Run(RunEvent),
    Task(TaskId, Event),
}

/// Receives events from any thread.
pub trait Report: Send + Sync {
    fn event(&self, task: TaskId, event: Event);
    fn run(&self, _event: RunEvent) {}
    /// Between `true` and `false` the screen belongs to a question: nothing is drawn on it.
    fn hold(&self, _on: bool) {}
    /// The run so far.
    fn so_far(&self) -> Run {
        Run::default()
    }
}

/// How much the terminal shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    Quiet,
    #[default]
    Normal,
    Verbose,
}

/// Keeps events for tests.
#[derive(Default)]
pub struct Recorder(pub Mutex<Vec<(TaskId, Event)>>);

impl Report for Recorder {
    fn event(&self, task: TaskId, event: Event) {
        if let Ok(mut events) = self.0.lock() {
            events.push((task, event));
        }
    }
}
