//! Commands whose output goes to the user as it comes, not to a task's log.

use std::{
    io::{ErrorKind, Read},
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    process::{ExitStatus, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use xshell::Cmd;

use crate::{
    errors::{Code, Problem},
    tool::{Tools, not_started, stop::ended},
};

/// How long the output is read after the command has ended: a process that it left behind may hold it open.
const REST: Duration = Duration::from_secs(3);

/// Behind a test's name, while the test runs.
pub const GOES_ON: &str = " ... ";

/// Where a line was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Out,
    Err,
}

impl Tools {
    /// Runs a command on the user's terminal, for checks whose output is the result.
    pub fn run_attached(&self, cmd: Cmd<'_>, limit: Duration) -> Result<()> {
        let shown = cmd.to_string();
        let mut command = self.command(cmd);
        // Its own process group, so that it can be stopped with its children.
        command.stdin(Stdio::null()).process_group(0);
        let mut child = command.spawn().map_err(|error| not_started(&shown, error))?;
        let status = self.wait(&mut child, &shown, limit, None)?;
        succeeded(&shown, status)
    }

    /// Like `run_attached`, without a terminal: `on_line` gets each line of both streams, and which it is, for checks whose output is read
    /// as well. The beginning of a line that ends with [`GOES_ON`] comes by itself. What a process writes that outlives the command is not waited for longer than [`REST`].
    pub fn run_read(&self, cmd: Cmd<'_>, limit: Duration, mut on_line: impl FnMut(Stream, &str)) -> Result<()> {
        let shown = cmd.to_string();
        let mut command = self.command(cmd);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().map_err(|error| not_started(&shown, error))?;
        let (sender, lines) = mpsc::channel();
        if let Some(out) = child.stdout.take() {
            let sender = sender.clone();
            thread::spawn(move || each_piece(out, |line| drop(sender.send((Stream::Out, line)))));
        }
        if let Some(err) = child.stderr.take() {
            thread::spawn(move || each_piece(err, |line| drop(sender.send((Stream::Err, line)))));
        }
        let status = thread::scope(|scope| {
            let waiting = scope.spawn(|| self.wait(&mut child, &shown, limit, None));
            let mut ended = None;
            loop {
                match lines.recv_timeout(Duration::from_millis(100)) {
                    Ok((stream, line)) => on_line(stream, &line),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                }
                if waiting.is_finished() && ended.get_or_insert_with(Instant::now).elapsed() > REST {
                    break;
                }
            }
            waiting.join()
        });
        let status = status.map_err(|_| Problem::new(format!("the wait for `{shown}` ended unexpectedly")).code(Code::CommandFailed))?;
        succeeded(&shown, status?)
    }

    /// Runs a command with our terminal and input, without a limit, and returns its exit code. The command handles Ctrl-C.
    pub fn run_in_place(&self, cmd: Cmd<'_>) -> Result<u8> {
        let shown = cmd.to_string();
        let mut command = self.command(cmd);
        let status = command.status().map_err(|error| not_started(&shown, error))?;
        let signalled = status.signal().map(|it| 128 + it);
        Ok(status.code().or(signalled).and_then(|it| u8::try_from(it).ok()).unwrap_or(1))
    }
}

fn each_piece(mut stream: impl Read, mut on_piece: impl FnMut(String)) {
    let (mut pending, mut buffer) = (Vec::new(), [0; 8192]);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches(['\n', '\r']).to_owned();
    loop {
        let count = match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        pending.extend_from_slice(&buffer[..count]);
        while let Some(end) = pending.iter().position(|it| *it == b'\n') {
            on_piece(text(&pending.drain(..=end).collect::<Vec<u8>>()));
        }
        if pending.ends_with(GOES_ON.as_bytes()) {
            on_piece(text(&std::mem::take(&mut pending)));
        }
    }
    if !pending.is_empty() {
        on_piece(text(&pending));
    }
}

fn succeeded(shown: &str, status: ExitStatus) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    Err(Problem::new(format!("`{shown}` {}", ended(status))).code(Code::CommandFailed).into())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use xshell::cmd;

    use super::*;
    use crate::{interrupt::Interrupt, report::Recorder};

    #[test]
    fn what_a_process_holds_open_that_outlives_the_command_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let tools = Tools::new(dir.path().to_owned(), Interrupt::default(), Arc::new(Recorder::default()));
        let sh = tools.shell(dir.path()).unwrap();
        let (began, mut seen) = (Instant::now(), Vec::new());
        let words = "printf 'out\\ntest a ... '; echo err >&2; (setsid sleep 30 &); exit 3";
        let error = tools.run_read(cmd!(sh, "sh -c {words}"), Duration::from_secs(60), |stream, line| seen.push((stream, line.to_owned())));
        let of = |stream| seen.iter().filter(|it| it.0 == stream).map(|it| it.1.as_str()).collect::<Vec<_>>();
        assert_eq!((of(Stream::Out), of(Stream::Err)), (vec!["out", "test a ... "], vec!["err"]));
        assert!(error.unwrap_err().to_string().contains("ended with exit code 3"));
        assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
    }
}
