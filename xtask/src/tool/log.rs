//! The log of a command. Lines are buffered until the run's folder exists (when the run has something to do) or the command fails. So a
//! read-only command that succeeds writes no file.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::PathBuf,
    sync::Mutex,
};

/// More than any read-only command prints.
const HELD_BACK: usize = 64 * 1024;

/// The lines of one command in its task's log.
pub(super) struct Log {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    file: Option<File>,
    early: Vec<u8>,
}

impl Log {
    pub(super) fn new(path: PathBuf) -> Log {
        Log { path, state: Mutex::default() }
    }

    /// Errors are ignored: if the disk is full, the command itself fails soon.
    pub(super) fn line(&self, line: &str) {
        let Ok(mut state) = self.state.lock() else { return };
        state.early.extend_from_slice(line.as_bytes());
        state.early.push(b'\n');
        if state.file.is_some() || state.early.len() > HELD_BACK || self.path.parent().is_some_and(|it| it.is_dir()) {
            self.write(&mut state).ok();
        }
    }

    /// Writes the buffered lines, since the command failed.
    pub(super) fn keep(&self) {
        if let Ok(mut state) = self.state.lock() {
            self.write(&mut state).ok();
        }
    }

    fn write(&self, state: &mut State) -> io::Result<()> {
        if state.file.is_none() {
            if let Some(folder) = self.path.parent() {
                fs::create_dir_all(folder)?;
            }
            state.file = Some(OpenOptions::new().create(true).append(true).open(&self.path)?);
        }
        let early = std::mem::take(&mut state.early);
        state.file.as_mut().map_or(Ok(()), |file| file.write_all(&early))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_leaves_no_file_and_failing_does() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("runs/1/load.log");
        let log = Log::new(path.clone());
        log.line("$ list");
        assert!(!path.exists());
        log.keep();
        log.line("more");
        assert_eq!(fs::read_to_string(&path).unwrap(), "$ list\nmore\n");
        let other = Log::new(path.with_file_name("other.log"));
        other.line("work has begun");
        assert!(path.with_file_name("other.log").exists());
    }
}
