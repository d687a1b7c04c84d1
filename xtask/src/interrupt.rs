//! Ctrl-C and SIGTERM: noticed once, seen by every wait.
//!
//! Whoever waits asks `Interrupt`; stopping child processes is `tool.rs`'s part.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use tokio::signal::unix::{SignalKind, signal};

use crate::errors::{Exit, Problem};

/// Cheap to clone; all clones see the same signal.
#[derive(Clone, Default)]
pub struct Interrupt {
    exit: Arc<AtomicI32>,
}

impl Interrupt {
    /// Listens for SIGINT and SIGTERM on the given runtime. A second signal changes nothing.
    pub fn listen(runtime: &tokio::runtime::Runtime) -> Result<Interrupt> {
        let interrupt = Interrupt::default();
        let seen = interrupt.exit.clone();
        let _entered = runtime.enter();
        let mut int = signal(SignalKind::interrupt())?;
        let mut term = signal(SignalKind::terminate())?;
        runtime.spawn(async move {
            loop {
                let exit = tokio::select! {
                    _ = int.recv() => Exit::Interrupted,
                    _ = term.recv() => Exit::Terminated,
                };
                // The first signal decides the exit code.
                seen.compare_exchange(0, exit as i32, Ordering::SeqCst, Ordering::SeqCst).ok();
            }
        });
        Ok(interrupt)
    }

    pub fn is_set(&self) -> bool {
        self.exit.load(Ordering::SeqCst) != 0
    }

    /// An error once a signal came.
    pub fn check(&self) -> Result<()> {
        let exit = match self.exit.load(Ordering::SeqCst) {
            0 => return Ok(()),
            code if code == Exit::Terminated as i32 => Exit::Terminated,
            _ => Exit::Interrupted,
        };
        bail!(Problem { what: "interrupted".to_owned(), hint: Some("run the same command again: it goes on from here".to_owned()), exit })
    }

    /// Sleeps, and wakes with an error when a signal comes.
    pub fn sleep(&self, pause: Duration) -> Result<()> {
        let end = Instant::now() + pause;
        loop {
            self.check()?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
    }

    /// Completes when a signal came; for `select!` beside other work.
    pub async fn came(&self) {
        while !self.is_set() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
