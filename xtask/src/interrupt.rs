//! Ctrl-C, SIGTERM and the run's time limit: every wait ends after one of them.
//!
//! A wait polls `Interrupt`. `tool.rs` stops child processes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};

use crate::errors::{Code, Exit, Problem};

/// Cheap to clone; all clones share the state.
#[derive(Clone, Default)]
pub struct Interrupt {
    exit: Arc<AtomicI32>,
    limit: Option<Duration>,
}

impl Interrupt {
    /// Listens for SIGINT, SIGTERM and SIGHUP on the given runtime, and for the end of `limit`. The first of them counts; later ones change
    /// nothing.
    pub fn listen(runtime: &tokio::runtime::Runtime, limit: Option<Duration>) -> Result<Interrupt> {
        let interrupt = Interrupt { limit, ..Interrupt::default() };
        let seen = interrupt.exit.clone();
        let _entered = runtime.enter();
        let mut int = signal(SignalKind::interrupt())?;
        let mut term = signal(SignalKind::terminate())?;
        // Closing a terminal sends SIGHUP; child processes must end then too.
        let mut hang_up = signal(SignalKind::hangup())?;
        let end = limit.map(|it| tokio::time::Instant::now() + it);
        runtime.spawn(async move {
            let over = async {
                match end {
                    Some(end) => tokio::time::sleep_until(end).await,
                    None => std::future::pending().await,
                }
            };
            let mut over = std::pin::pin!(over);
            let mut is_over = false;
            loop {
                let exit = tokio::select! {
                    _ = int.recv() => Exit::Interrupted,
                    _ = term.recv() => Exit::Terminated,
                    _ = hang_up.recv() => Exit::Terminated,
                    () = &mut over, if !is_over => {
                        is_over = true;
                        Exit::TimedOut
                    }
                };
                seen.compare_exchange(0, exit as i32, Ordering::SeqCst, Ordering::SeqCst).ok();
            }
        });
        Ok(interrupt)
    }

    pub fn is_set(&self) -> bool {
        self.exit.load(Ordering::SeqCst) != 0
    }

    /// Marks a Ctrl-C as handled, for commands that Ctrl-C ends regularly (`dev`). The next Ctrl-C counts again.
    pub fn answered(&self) {
        self.exit.compare_exchange(Exit::Interrupted as i32, 0, Ordering::SeqCst, Ordering::SeqCst).ok();
    }

    /// An error after a signal or the time limit.
    pub fn check(&self) -> Result<()> {
        Ok(self.status()?)
    }

    /// Like `check`, as a `Problem`.
    pub fn status(&self) -> Result<(), Problem> {
        let exit = match self.exit.load(Ordering::SeqCst) {
            0 => return Ok(()),
            code if code == Exit::TimedOut as i32 => {
                let seconds = self.limit.unwrap_or_default().as_secs();
                let problem = Problem::timed_out(format!("the limit of the whole run, {seconds} s, is reached")).code(Code::RunTimedOut);
                return Err(problem.hint("run the same command again: it goes on from here; or give a longer --timeout"));
            }
            code if code == Exit::Terminated as i32 => Exit::Terminated,
            _ => Exit::Interrupted,
        };
        let problem = Problem { exit, ..Problem::new("interrupted").code(Code::Interrupted) };
        Err(problem.hint("run the same command again: it goes on from here"))
    }

    /// Sleeps; a signal or the time limit ends the sleep with an error.
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

    /// Completes after a signal or the time limit, for `select!`.
    pub async fn came(&self) -> Problem {
        loop {
            if let Err(problem) = self.status() {
                return problem;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
