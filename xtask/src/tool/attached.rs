//! Commands whose output goes to the user as it comes, not to a task's log.

use std::{
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::Result;
use xshell::Cmd;

use crate::{
    errors::{Code, Problem},
    tool::{Tools, heard::each_line, not_started, stop::ended},
};

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

    /// Like `run_attached`, without a terminal: `on_line` gets each line of both streams, for checks whose output is read as well.
    pub fn run_read(&self, cmd: Cmd<'_>, limit: Duration, on_line: impl Fn(&str) + Sync) -> Result<()> {
        let shown = cmd.to_string();
        let mut command = self.command(cmd);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().map_err(|error| not_started(&shown, error))?;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let on_line = &on_line;
        let status = std::thread::scope(|scope| {
            out.map(|it| scope.spawn(move || each_line(it, on_line)));
            err.map(|it| scope.spawn(move || each_line(it, on_line)));
            self.wait(&mut child, &shown, limit, None)
        })?;
        succeeded(&shown, status)
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

fn succeeded(shown: &str, status: ExitStatus) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    Err(Problem::new(format!("`{shown}` {}", ended(status))).code(Code::CommandFailed).into())
}
