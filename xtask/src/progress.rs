//! The state of each task in a run: pending, usable by others before its end, ended, or hopeless.

use std::{
    collections::BTreeMap,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Result;

use crate::{
    errors::Problem,
    graph::{Graph, TaskId},
    interrupt::Interrupt,
};

/// The state of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskStatus {
    /// Not started, or running.
    Open,
    /// Running, and tasks that start early on it may start.
    Usable,
    Well,
    /// It failed, or was not run, because of this task.
    Lost(TaskId),
}

/// The states of all tasks. Tasks set and read them; the runner waits for changes.
#[derive(Debug, Default)]
pub struct Progress {
    graph: Graph,
    /// Whether a product may be used before its task has ended.
    early: bool,
    tasks: Mutex<BTreeMap<TaskId, TaskStatus>>,
    changed: Condvar,
}

impl Progress {
    /// For a run of this graph. Without `early`, every task waits for the end of all its needs.
    pub fn new(graph: Graph, early: bool) -> Progress {
        Progress { graph, early, ..Progress::default() }
    }

    /// Starts a run of these tasks.
    pub(crate) fn begin(&self, tasks: &[TaskId]) {
        *self.tasks() = tasks.iter().map(|id| (*id, TaskStatus::Open)).collect();
    }

    /// Whether the task is part of the run.
    pub(crate) fn takes_part(&self, id: TaskId) -> bool {
        self.tasks().contains_key(&id)
    }

    /// Reports that the task's product is usable, although the task has not ended.
    pub fn usable(&self, id: TaskId) {
        if self.early {
            self.set(id, TaskStatus::Usable);
        }
    }

    /// The task has ended.
    pub(crate) fn ended(&self, id: TaskId, status: TaskStatus) {
        self.set(id, status);
    }

    /// The failed task because of which a need of this task will never be fulfilled.
    pub fn lost(&self, id: TaskId) -> Option<TaskId> {
        let tasks = self.tasks();
        self.graph.needs(id).iter().find_map(|need| match tasks.get(need) {
            Some(TaskStatus::Lost(culprit)) => Some(*culprit),
            _ => None,
        })
    }

    /// An error if a need of this task will never be fulfilled, so that waiting is useless.
    pub fn check(&self, id: TaskId) -> Result<()> {
        self.lost(id).map_or(Ok(()), |culprit| Err(in_vain(id, culprit)))
    }

    /// Waits until an earlier task has ended; an error if it failed. Its own limits bound this wait. Returns at once if the task is not
    /// part of the run.
    pub fn until_ended(&self, interrupt: &Interrupt, id: TaskId, need: TaskId) -> Result<()> {
        loop {
            interrupt.check()?;
            self.check(id)?;
            let tasks = self.tasks();
            match tasks.get(&need) {
                Some(TaskStatus::Lost(culprit)) => return Err(in_vain(id, *culprit)),
                None | Some(TaskStatus::Well) => return Ok(()),
                Some(TaskStatus::Open | TaskStatus::Usable) => {}
            }
            // Wakes up regularly to check for an interrupt.
            drop(self.changed.wait_timeout(tasks, Duration::from_millis(100)).unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Whether all needs of the task are fulfilled, so that it can start.
    pub(crate) fn can_begin(&self, id: TaskId) -> bool {
        let tasks = self.tasks();
        self.graph.needs(id).iter().all(|need| match tasks.get(need) {
            None | Some(TaskStatus::Well) => true,
            Some(TaskStatus::Usable) => self.graph.starts_early_on(id).contains(need),
            Some(TaskStatus::Open | TaskStatus::Lost(_)) => false,
        })
    }

    /// Waits until any state differs from `seen`.
    pub(crate) fn wait_for_change(&self, seen: &BTreeMap<TaskId, TaskStatus>) {
        let tasks = self.tasks();
        drop(self.changed.wait_while(tasks, |it| it == seen).unwrap_or_else(PoisonError::into_inner));
    }

    /// The current states.
    pub(crate) fn now(&self) -> BTreeMap<TaskId, TaskStatus> {
        self.tasks().clone()
    }

    fn set(&self, id: TaskId, status: TaskStatus) {
        self.tasks().insert(id, status);
        self.changed.notify_all();
    }

    fn tasks(&self) -> MutexGuard<'_, BTreeMap<TaskId, TaskStatus>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn in_vain(id: TaskId, culprit: TaskId) -> anyhow::Error {
    Problem::new(format!("{} needs {}, which failed", id.name(), culprit.name())).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::ClusterType, graph::graph};

    fn standing_with(early: bool) -> Progress {
        let graph = graph(ClusterType::Kind, &[None], &[]);
        let ids = graph.ids();
        let task_progress = Progress::new(graph, early);
        task_progress.begin(&ids);
        task_progress
    }

    fn task_progress() -> Progress {
        standing_with(true)
    }

    #[test]
    fn without_early_starts_every_need_has_ended_first() {
        let task_progress = standing_with(false);
        task_progress.usable(TaskId::Cluster);
        assert!(!task_progress.can_begin(TaskId::Operator));
        task_progress.ended(TaskId::Cluster, TaskStatus::Well);
        assert!(task_progress.can_begin(TaskId::Operator));
    }

    #[test]
    fn a_task_begins_on_what_is_usable_only_where_that_is_enough_for_it() {
        let task_progress = task_progress();
        assert!(!task_progress.can_begin(TaskId::Operator));
        task_progress.usable(TaskId::Cluster);
        assert!(task_progress.can_begin(TaskId::Operator));
        task_progress.usable(TaskId::Image);
        assert!(!task_progress.can_begin(TaskId::Load), "a part of the image is of no use");
        task_progress.usable(TaskId::Database);
        assert!(!task_progress.can_begin(TaskId::Deploy), "the image does not come yet");
        task_progress.usable(TaskId::Load);
        assert!(task_progress.can_begin(TaskId::Deploy));
    }

    #[test]
    fn who_began_early_learns_that_what_it_needs_will_not_come() {
        let (task_progress, interrupt) = (task_progress(), Interrupt::default());
        task_progress.usable(TaskId::Database);
        assert!(task_progress.check(TaskId::Deploy).is_ok());
        task_progress.ended(TaskId::Database, TaskStatus::Lost(TaskId::Operator));
        let error = task_progress.until_ended(&interrupt, TaskId::Deploy, TaskId::Database).unwrap_err();
        assert_eq!(error.to_string(), "deploy needs operator, which failed");
    }

    #[test]
    fn what_is_farther_up_can_be_waited_for_too() {
        let (task_progress, interrupt) = (task_progress(), Interrupt::default());
        task_progress.ended(TaskId::Cluster, TaskStatus::Lost(TaskId::Cluster));
        task_progress.ended(TaskId::Database, TaskStatus::Well);
        assert!(task_progress.check(TaskId::Deploy).is_ok(), "it is no need of its own");
        let error = task_progress.until_ended(&interrupt, TaskId::Deploy, TaskId::Cluster).unwrap_err();
        assert_eq!(error.to_string(), "deploy needs cluster, which failed");
    }

    #[test]
    fn a_task_of_no_run_is_not_waited_for() {
        assert!(Progress::default().until_ended(&Interrupt::default(), TaskId::Deploy, TaskId::Database).is_ok());
    }
}
