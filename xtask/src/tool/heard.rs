//! The last line of a command, so that a silent command can be reported as a wait.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

/// A command that writes nothing for this long is reported as a wait.
const SILENT: Duration = Duration::from_secs(5);
/// The pause between two such reports.
pub(super) const REPEATED: Duration = Duration::from_secs(1);

/// The last line of a command's output, and its time.
pub(super) struct Heard(Mutex<(Instant, Option<String>)>);

impl Default for Heard {
    fn default() -> Heard {
        Heard(Mutex::new((Instant::now(), None)))
    }
}

impl Heard {
    pub(super) fn take(&self, line: &str) {
        if let Ok(mut heard) = self.0.lock() {
            *heard = (Instant::now(), Some(line.trim().to_owned()));
        }
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
