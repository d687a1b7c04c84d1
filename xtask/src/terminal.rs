//! The user's own terminal while a command in a pod or a node has it: raw input, and keys as they come.

use std::io::{IsTerminal as _, Read as _};

use anyhow::{Context as _, Result};
use rustix::termios::{self, OptionalActions, Termios};
use tokio::sync::mpsc;

/// Whether a person is on both ends, so that a command gets a terminal.
pub(crate) fn is_interactive() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// Standard input in pieces as they come, closed at its end. A thread of its own reads it, which is never joined: a read from a terminal
/// cannot be cancelled.
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

/// The terminal gives every key at once and as it is, until this value is dropped.
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
        // A terminal that is gone needs no settings.
        termios::tcsetattr(std::io::stdin(), OptionalActions::Drain, &self.before).ok();
    }
}
