//! The user's terminal while a command in a pod or node uses it: raw input, and each key at once.

use std::io::{IsTerminal as _, Read as _};

use anyhow::{Context as _, Result};
use rustix::termios::{self, OptionalActions, Termios};
use tokio::sync::mpsc;

/// Whether standard input and output are terminals, so that a command gets one.
pub(crate) fn is_interactive() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// Standard input in chunks; closed at its end. A thread reads it that is never joined, since reading from a terminal cannot be cancelled.
pub(crate) fn keyboard() -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(4);
    std::thread::spawn(move || {
        let mut bytes = vec![0; 8192];
        loop {
            match std::io::stdin().read(&mut bytes) {
                Ok(0) | Err(_) => return,
                Ok(count) => {
                    if sender.blocking_send(bytes[..count].to_vec()).is_err() {
                        return;
                    }
                }
            }
        }
    });
    receiver
}

/// Raw mode of the terminal, until the value is dropped.
pub(crate) struct Raw {
    before: Termios,
}

impl Raw {
    pub(crate) fn enter() -> Result<Raw> {
        let before = termios::tcgetattr(std::io::stdin()).context("ask the terminal for its settings")?;
        let mut raw = before.clone();
        raw.make_raw();
        termios::tcsetattr(std::io::stdin(), OptionalActions::Drain, &raw).context("set the terminal to raw input")?;
        Ok(Raw { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // The terminal may be closed already.
        termios::tcsetattr(std::io::stdin(), OptionalActions::Drain, &self.before).ok();
    }
}
