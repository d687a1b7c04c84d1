//! The lines of a command, and its last one, so that a silent command can be reported as a wait.

use std::{
    io::{BufRead as _, BufReader, Read},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::tool::download;

/// A command that writes nothing for this long is reported as a wait.
const SILENT: Duration = Duration::from_secs(5);
/// The pause between two such reports.
pub(super) const REPEATED: Duration = Duration::from_secs(1);

/// The last line of a command's output, and its time; whether it has begun to compile.
pub(super) struct Heard(Mutex<(Instant, Option<String>)>, AtomicBool);

impl Default for Heard {
    fn default() -> Heard {
        Heard(Mutex::new((Instant::now(), None)), AtomicBool::new(false))
    }
}

impl Heard {
    pub(super) fn take(&self, line: &str) {
        if download::compiles(line) {
            self.1.store(true, Ordering::Relaxed);
        }
        if let Ok(mut heard) = self.0.lock() {
            *heard = (Instant::now(), Some(line.trim().to_owned()));
        }
    }

    /// When the last line came, if the command may still download.
    pub(super) fn downloads(&self) -> Option<Instant> {
        let at = self.0.lock().ok()?.0;
        (!self.1.load(Ordering::Relaxed)).then_some(at)
    }

    pub(super) fn last(&self) -> Option<String> {
        self.0.lock().ok().and_then(|it| it.1.clone())
    }

    /// The last line, if the command is silent now.
    pub(super) fn silent(&self) -> Option<String> {
        let heard = self.0.lock().ok().filter(|it| it.0.elapsed() >= SILENT)?;
        Some(heard.1.clone().unwrap_or_else(|| "no output yet".to_owned()))
    }
}

/// Calls `on_line` for each line of a stream.
pub(super) fn each_line(stream: impl Read, mut on_line: impl FnMut(&str)) {
    let mut reader = BufReader::new(stream);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        match reader.read_until(b'\n', &mut bytes) {
            Ok(0) | Err(_) => return,
            Ok(_) => on_line(String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r'])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_command_that_wrote_nothing_for_a_while_is_silent() {
        let heard = Heard::default();
        assert_eq!(heard.silent(), None);
        let ago = Instant::now().checked_sub(SILENT).unwrap();
        heard.0.lock().unwrap().0 = ago;
        assert_eq!(heard.silent().as_deref(), Some("no output yet"));
        heard.take("  Get:1 packages ");
        assert_eq!((heard.silent(), heard.last().as_deref()), (None, Some("Get:1 packages")));
        heard.0.lock().unwrap().0 = ago;
        assert_eq!(heard.silent().as_deref(), Some("Get:1 packages"));
    }
}
