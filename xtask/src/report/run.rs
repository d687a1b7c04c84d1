//! The state of a run, as its events tell it: pure, so that a terminal, a page and a test see the same.

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
    /// The word for people and machines alike.
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

    /// Whether the task did some of its work.
    pub fn worked(self) -> bool {
        matches!(self, Outcome::Ran | Outcome::Restored | Outcome::Failed | Outcome::Cancelled)
    }
}

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Waiting,
    Checking,
    Running,
    Ended(Outcome),
}

/// A part of a task's work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub name: String,
    pub began: Duration,
    pub ended: Option<Duration>,
}

/// One task of the run. Times count from the run's beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskState {
    pub id: TaskId,
    /// What must have ended before it; unknown for work that is no task of the graph.
    pub needs: Vec<TaskId>,
    pub phase: Phase,
    /// When it first looked at the world.
    pub began: Duration,
    pub ended: Option<Duration>,
    /// Why it ran, was restored or skipped, failed or was not run.
    pub reason: String,
    /// What a running one last said, or what an ended one saw.
    pub says: String,
    pub restores: bool,
    pub steps: Vec<Step>,
    /// What it waited for, in the order in which the waits began.
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

    /// From the first look to the end.
    pub fn took(&self) -> Duration {
        self.ended.unwrap_or(self.began).saturating_sub(self.began)
    }
}

/// The whole run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Run {
    pub id: String,
    pub command: String,
    pub time: String,
    pub logs: String,
    /// In the order of the plan, then as they appeared.
    pub tasks: Vec<TaskState>,
    pub ended: Option<Duration>,
    /// Whether the command came to its end, good or not.
    pub is_over: bool,
    /// When the last event came.
    pub heard: Duration,
    pub result: Option<Value>,
    pub error: Option<Value>,
    /// Decisions and findings, in order.
    pub notes: Vec<(TaskId, String)>,
}

impl Run {
    pub fn task(&self, id: TaskId) -> Option<&TaskState> {
        self.tasks.iter().find(|it| it.id == id)
    }

    /// How many ended so.
    pub fn count(&self, outcome: Outcome) -> usize {
        self.tasks.iter().filter(|it| it.outcome() == Some(outcome)).count()
    }

    /// From the beginning to the end, or to what was last heard of a run that was cut off.
    pub fn took(&self) -> Duration {
        self.ended.unwrap_or(self.heard)
    }

    /// Whether anything was done, or tried.
    pub fn worked(&self) -> bool {
        self.tasks.iter().any(|it| it.outcome().is_some_and(Outcome::worked))
    }

    /// In the order in which they began; those that never did come last.
    pub fn in_order(&self) -> Vec<&TaskState> {
        let mut out: Vec<&TaskState> = self.tasks.iter().collect();
        out.sort_by_key(|it| (matches!(it.outcome(), Some(Outcome::NotRun)), it.began));
        out
    }

    /// The file with all that the task said and its commands wrote.
    pub fn log(&self, id: TaskId) -> String {
        format!("{}/{}.log", self.logs, id.file_name())
    }

    /// Takes an event in.
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
                // Whoever reports outside the runner does not look first.
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
            // A signal that comes before a task begins leaves nothing to stop.
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
