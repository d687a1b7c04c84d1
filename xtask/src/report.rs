//! The events of a run, and the trait of their receiver.
//!
//! Tasks print nothing. The files below turn events into a live display, plain lines, JSON, the record of a run and an HTML page. Only the
//! command itself prints its result, on standard output.

pub mod github;
pub mod history;
pub mod html;
pub mod hub;
pub mod lines;
pub mod listeners;
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

use crate::{graph::TaskId, invocation, report::run::Run};

pub use crate::report::{style::Took, waiting::Waiting};

/// An event of a task. `docs/events.md` documents names and fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The task's needs are fulfilled; its probe checks whether it must run.
    Checking,
    /// The task runs, and why.
    Started { reason: String },
    /// The task runs although its inputs have not changed: its product is missing or stopped.
    Restoring { reason: String },
    /// A step of the task starts; steps may run in parallel.
    StepBegan { name: String },
    /// The step ended, with or without success.
    StepEnded { name: String },
    /// What the task does now. Listeners show only some of these events.
    Progress { text: String },
    /// The task waits for something, with a limit. Listeners show only some of these events.
    Waiting(Waiting),
    /// A decision or finding that the user should see once.
    Note { text: String },
    /// A detail, shown with `-v` only, and always written to the task's log.
    Detail { text: String },
    /// The task ran, and its probe found the product.
    Done { text: String },
    /// The task had nothing to do, and why.
    Skipped { reason: String },
    /// The task failed. The error itself is printed at the end of the run.
    Failed { text: String },
    /// A signal stopped the task, or it was not started because of a signal.
    Cancelled { text: String },
    /// The task was not started because the task `because` failed.
    NotRun { because: TaskId },
}

impl Event {
    /// The event with the user's invocation (`pocdeploy` or `cargo xtask`) in our own texts. Details are not changed, since they may be
    /// another program's output.
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
            | Event::Waiting(Waiting { seen: text, .. }) => *text = invocation::reworded(text),
            _ => {}
        }
        self
    }
}

/// An event of the whole run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event")]
pub enum RunEvent {
    /// A command started. `time` is UTC; `logs` is the folder of this run's logs, relative to the project.
    #[serde(rename = "run-began")]
    Began { run: String, command: String, time: String, logs: String },
    /// The tasks of the run, each after its needs, and the needs of each.
    #[serde(rename = "run-planned")]
    Planned {
        tasks: Vec<TaskId>,
        // Records of earlier versions lack it.
        #[serde(default)]
        needs: BTreeMap<TaskId, Vec<TaskId>>,
    },
    /// Every planned task has ended.
    #[serde(rename = "run-settled")]
    Settled,
    /// The closing message of a successful run.
    #[serde(rename = "run-closing")]
    Closing { text: String },
    /// The command's result, which it prints on standard output without `--events`.
    #[serde(rename = "run-result")]
    Result { result: Value },
    /// The command ended; without `error` it succeeded.
    #[serde(rename = "run-ended")]
    Ended {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<Value>,
    },
}

/// An event for a listener.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    Run(RunEvent),
    Task(TaskId, Event),
}

/// Receives events from any thread.
pub trait Report: Send + Sync {
    fn event(&self, task: TaskId, event: Event);
    fn run(&self, _event: RunEvent) {}
    /// While `on` is true, a question is on the screen, and nothing may be drawn.
    fn hold(&self, _on: bool) {}
    /// The state of the run so far.
    fn so_far(&self) -> Run {
        Run::default()
    }
}

/// How much is shown on the terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    Quiet,
    #[default]
    Normal,
    Verbose,
}

/// Stores events for tests.
#[derive(Default)]
pub struct Recorder(pub Mutex<Vec<(TaskId, Event)>>);

impl Report for Recorder {
    fn event(&self, task: TaskId, event: Event) {
        if let Ok(mut events) = self.0.lock() {
            events.push((task, event));
        }
    }
}
