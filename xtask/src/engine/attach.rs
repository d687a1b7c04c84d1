//! Runs a command in a container on the user's own terminal: input, output, window size and exit code pass through.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use bollard::{
    container::LogOutput,
    exec::{CreateExecOptions, StartExecOptions, StartExecResults},
    query_parameters::ResizeExecOptions,
};
use futures_util::StreamExt as _;
use tokio::{
    io::AsyncWriteExt as _,
    signal::unix::{SignalKind, signal},
};

use crate::{
    engine::Engine,
    errors::{Code, Problem},
    terminal::{self, Raw},
};

impl Engine {
    /// Runs the command and returns its exit code. If standard input and output are terminals, the command gets a terminal with raw input;
    /// otherwise standard input passes through to its end.
    pub fn attach(&self, container: &str, command: &[String]) -> Result<u8> {
        let tty = terminal::is_interactive();
        let options = CreateExecOptions {
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(tty),
            cmd: Some(command.to_vec()),
            env: Some(std::env::var("TERM").map(|it| vec![format!("TERM={it}")]).unwrap_or_default()),
            ..CreateExecOptions::<String>::default()
        };
        let started = async {
            let id = self.docker.create_exec(container, options).await.map_err(|error| self.explain(error))?.id;
            let start = StartExecOptions { tty, ..StartExecOptions::default() };
            let started = self.docker.start_exec(&id, Some(start)).await.map_err(|error| self.explain(error))?;
            Ok((id, started))
        };
        let (id, started) = self.wait(started).with_context(|| format!("run `{}` in {container}", command.join(" ")))?;
        let StartExecResults::Attached { output, input } = started else {
            return Err(Problem::new("the engine did not attach").code(Code::EngineFailed).into());
        };
        let raw = if tty { Some(Raw::enter()?) } else { None };
        let ended = self.wait(async {
            if tty {
                tokio::spawn(follow_size(self.clone(), id.clone()));
            }
            let mut keys = terminal::keyboard();
            let mut input = input;
            tokio::spawn(async move {
                while let Some(bytes) = keys.recv().await {
                    if input.write_all(&bytes).await.is_err() || input.flush().await.is_err() {
                        return;
                    }
                }
                // The command sees the end of its input.
                input.shutdown().await.ok();
            });
            let mut output = output;
            while let Some(item) = output.next().await {
                // If our output is closed (`| head`), the command continues, and its further output is dropped.
                match item.map_err(|error| self.explain(error))? {
                    LogOutput::StdErr { message } => std::io::stderr().write_all(&message).ok(),
                    LogOutput::StdOut { message } | LogOutput::Console { message } => {
                        std::io::stdout().write_all(&message).and_then(|()| std::io::stdout().flush()).ok()
                    }
                    LogOutput::StdIn { .. } => None,
                };
            }
            self.docker.inspect_exec(&id).await.map_err(|error| self.explain(error))
        });
        drop(raw);
        let code = ended?.exit_code.context("the connection to the command was lost")?;
        Ok(u8::try_from(code).unwrap_or(1))
    }
}

/// Sets the size of the command's terminal to that of the user's, now and after each change.
async fn follow_size(engine: Engine, id: String) {
    let Ok(mut changes) = signal(SignalKind::window_change()) else { return };
    while let Some((width, height)) = terminal_size::terminal_size() {
        let size = ResizeExecOptions { h: i32::from(height.0), w: i32::from(width.0) };
        if engine.docker.resize_exec(&id, size).await.is_err() || changes.recv().await.is_none() {
            return;
        }
    }
}
