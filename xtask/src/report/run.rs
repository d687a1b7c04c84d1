//! The state of a run as a pure fold over its events, shared by display, page and tests.

use std::time::Duration;

use serde_json::Value;

use crate::{
    graph::TaskId,
    report::{Event, RunEvent, Told, waiting::Waited},
};

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Ran,
    Restored,
    Skipped,
    Failed,
    Cancelled,
    NotRun,
}

impl Outcome {
    /// The name in texts and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Ran => "ran",
            Outcome::Restored => "restored",
            Outcome::Skipped => "skipped",
            Outcome::Failed => "failed",
            Outcome::Cancelled => "cancelled",
            Outcome::NotRun => "not run",
        }
    }

    /// Whether the task did at least a part of its work.
    pub fn worked(self) -> bool {
        matches!(self, Outcome::Ran | Outcome::Restored | Outcome::Failed | Outcome::Cancelled)
    }
}

/// The phase of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Waiting,
    Checking,
    Running,
    Ended(Outcome),
}

/// A step of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub name: String,
    pub began: Duration,
    pub ended: Option<Duration>,
}

/// The state of one task. Times count from the start of the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskState {
    pub id: TaskId,
    /// The tasks that must end before it; empty for work outside the graph.
    pub needs: Vec<TaskId>,
    pub phase: Phase,
    /// When its probe started.
    pub began: Duration,
    pub ended: Option<Duration>,
    /// Why it ran, was restored, was skipped, failed or was not run.
    pub reason: String,
    /// Its last progress text, or the result of its probe after its end.
    pub says: String,
    pub restores: bool,
    pub steps: Vec<Step>,
    /// Its waits, in the order of their start.
    pub waits: Vec<Waited>,
}

impl TaskState {
    pub fn outcome(&self) -> Option<Outcome> {
        match self.phase {
            Phase::Ended(outcome) => Some(outcome),
            _ => None,
        }
    }

    fn end(&mut self, at: Duration, outcome: Outcome, reason: Option<&str>) {
        self.phase = Phase::Ended(outcome);
        self.ended = Some(at);
        if let Some(reason) = reason {
            reason.clone_into(&mut self.reason);
        }
    }

    /// The duration from the probe's start to the end.
    pub fn took(&self) -> Duration {
        self.ended.unwrap_or(self.began).saturating_sub(self.began)
    }
}

/// The state of the whole run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Run {
    pub id: String,
    pub command: String,
    pub time: String,
    pub logs: String,
    /// In the order of the plan, then in the order of their first event.
    pub tasks: Vec<TaskState>,
    pub ended: Option<Duration>,
    /// Whether the command has ended, with or without success.
    pub is_over: bool,
    /// The time of the last event.
    pub heard: Duration,
    pub result: Option<Value>,
    pub error: Option<Value>,
    /// Decisions and findings in order.
    pub notes: Vec<(TaskId, String)>,
}

impl Run {
    pub fn task(&self, id: TaskId) -> Option<&TaskState> {
        self.tasks.iter().find(|it| it.id == id)
    }

    /// The number of tasks with this outcome.
    pub fn count(&self, outcome: Outcome) -> usize {
        self.tasks.iter().filter(|it| it.outcome() == Some(outcome)).count()
    }

    /// The duration; up to the last event of an interrupted run.
    pub fn took(&self) -> Duration {
        self.ended.unwrap_or(self.heard)
    }

    /// Whether any task worked.
    pub fn worked(&self) -> bool {
        self.tasks.iter().any(|it| it.outcome().is_some_and(Outcome::worked))
    }

    /// The tasks in the order of their start; tasks that did not run come last.
    pub fn in_order(&self) -> Vec<&TaskState> {
        let mut out: Vec<&TaskState> = self.tasks.iter().collect();
        out.sort_by_key(|it| (matches!(it.outcome(), Some(Outcome::NotRun)), it.began));
        out
    }

    /// The file with the task's texts and the output of its commands.
    pub fn log(&self, id: TaskId) -> String {
        format!("{}/{}.log", self.logs, id.file_name())
    }

    /// Updates the state by an event.
    pub fn take(&mut self, at: Duration, told: &Told) {
        self.heard = at;
        match told {
            Told::Task(id, event) => self.take_of_task(at, *id, event),
            Told::Run(RunEvent::Began { run, command, time, logs }) => {
                (self.id, self.command, self.time, self.logs) = (run.clone(), command.clone(), time.clone(), logs.clone());
            }
            Told::Run(RunEvent::Planned { tasks, needs }) => {
                for id in tasks {
                    self.entry(*id, at).needs = needs.get(id).cloned().unwrap_or_default();
                }
            }
            Told::Run(RunEvent::Settled) => self.ended = Some(at),
            Told::Run(RunEvent::Closing { .. }) => {}
            Told::Run(RunEvent::Result { result }) => self.result = Some(result.clone()),
            Told::Run(RunEvent::Ended { error }) => {
                (self.ended, self.is_over) = (Some(at), true);
                self.error.clone_from(error);
            }
        }
    }

    fn take_of_task(&mut self, at: Duration, id: TaskId, event: &Event) {
        if let Event::Note { text } = event {
            self.notes.push((id, text.clone()));
        }
        let task = self.entry(id, at);
        match event {
            Event::Checking => (task.phase, task.began) = (Phase::Checking, at),
            Event::Started { reason } | Event::Restoring { reason } => {
                // Work outside the runner has no probe, so it starts here.
                if task.phase != Phase::Checking {
                    task.began = at;
                }
                task.phase = Phase::Running;
                task.reason.clone_from(reason);
                task.restores = matches!(event, Event::Restoring { .. });
            }
            Event::StepBegan { name } => task.steps.push(Step { name: name.clone(), began: at, ended: None }),
            Event::StepEnded { name } => {
                if let Some(step) = task.steps.iter_mut().rfind(|it| it.name == *name && it.ended.is_none()) {
                    step.ended = Some(at);
                }
            }
            Event::Progress { text } => task.says.clone_from(text),
            Event::Waiting(waiting) => {
                task.says = waiting.to_string();
                Waited::take(&mut task.waits, at, waiting);
            }
            Event::Note { .. } | Event::Detail { .. } => {}
            Event::Done { text } => {
                task.end(at, if task.restores { Outcome::Restored } else { Outcome::Ran }, None);
                task.says.clone_from(text);
            }
            Event::Skipped { reason } => task.end(at, Outcome::Skipped, Some(reason)),
            Event::Failed { text } => task.end(at, Outcome::Failed, Some(text)),
            // After a signal before the task's start there was nothing to stop.
            Event::Cancelled { text } if task.phase == Phase::Waiting => {
                task.began = at;
                task.end(at, Outcome::NotRun, Some(text));
            }
            Event::Cancelled { text } => task.end(at, Outcome::Cancelled, Some(text)),
            Event::NotRun { because } => {
                task.began = at;
                task.end(at, Outcome::NotRun, Some(&format!("{} failed", because.name())));
            }
        }
    }

    fn entry(&mut self, id: TaskId, at: Duration) -> &mut TaskState {
        let index = self.tasks.iter().position(|it| it.id == id).unwrap_or_else(|| {
            self.tasks.push(TaskState {
                needs: Vec::new(),
                id,
                phase: Phase::Waiting,
                began: at,
                ended: None,
                reason: String::new(),
                says: String::new(),
                restores: false,
                steps: Vec::new(),
                waits: Vec::new(),
            });
            self.tasks.len() - 1
        });
        &mut self.tasks[index]
    }
}
