//! The progress of a build: one line of text, from any of its threads.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::{env::Env, graph::TaskId};

/// The steps of one image; several may run in parallel.
pub(super) struct Steps<'a> {
    env: &'a Env,
    task: TaskId,
    total: usize,
    done: AtomicUsize,
}

impl<'a> Steps<'a> {
    pub(super) fn new(env: &'a Env, task: TaskId, total: usize) -> Steps<'a> {
        Steps { env, task, total, done: AtomicUsize::new(0) }
    }

    /// Reports what a step does now.
    pub(super) fn says(&self, what: &str) {
        let done = self.done.load(Ordering::Relaxed);
        let text = if self.total > 1 { format!("{what} ({done} of {} steps done)", self.total) } else { what.to_owned() };
        self.env.progress(self.task, text);
    }

    /// A step ended, or its product existed.
    pub(super) fn done(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }
}
