//! Runs a command in a container on the user's own terminal: input, output, window size and exit code pass through.

use anyhow::{Context as _, Result};
use futures_util::SinkExt as _;
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::Status};
use kube::{
    Api,
    api::{AttachParams, AttachedProcess, TerminalSize},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    signal::unix::{SignalKind, signal},
};

use crate::{
    cluster::{Cluster, exec, pods::Place},
    errors::Problem,
    terminal::{self, Raw},
};

impl Cluster {
    /// Runs the command and returns its exit code. If standard input and output are terminals, the command gets a terminal with raw input;
    /// otherwise standard input passes through to its end.
    pub fn attach(&self, place: &Place, command: &[String]) -> Result<u8> {
        let tty = terminal::is_interactive();
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &place.namespace);
        let parameters = AttachParams::default().container(&place.container).stdin(true).stdout(true).stderr(!tty).tty(tty);
        let attached =
            self.call(api.exec(&place.pod, command, &parameters)).with_context(|| format!("run `{}` in {place}", command.join(" ")))?;
        let raw = if tty { Some(Raw::enter()?) } else { None };
        let interrupt = self.interrupt.clone();
        let ended = self.runtime.block_on(async {
            tokio::select! {
                ended = pass_through(attached, tty) => ended,
                problem = interrupt.came() => Err(problem.into()),
            }
        });
        drop(raw);
        match ended? {
            Some(status) => exit_code(&status),
            None => Err(Problem::new(format!("the connection to {place} was lost")).into()),
        }
    }
}

async fn pass_through(mut attached: AttachedProcess, tty: bool) -> Result<Option<Status>> {
    let ended = exec::ended(&mut attached);
    let (stdin, stdout, stderr) = (attached.stdin(), attached.stdout(), attached.stderr());
    if let Some(mut sizes) = attached.terminal_size().filter(|_| tty) {
        tokio::spawn(async move {
            let Ok(mut changes) = signal(SignalKind::window_change()) else { return };
            while let Some((width, height)) = terminal_size::terminal_size() {
                if sizes.send(TerminalSize { width: width.0, height: height.0 }).await.is_err() || changes.recv().await.is_none() {
                    return;
                }
            }
        });
    }
    if let Some(mut stdin) = stdin {
        let mut input = terminal::keyboard();
        tokio::spawn(async move {
            while let Some(bytes) = input.recv().await {
                if stdin.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            // The command sees the end of its input.
            stdin.shutdown().await.ok();
        });
    }
    let copied = async { tokio::join!(copy(stdout, std::io::stdout()), copy(stderr, std::io::stderr())) };
    tokio::select! {
        biased;
        _ = copied => {}
        () = exec::lost(ended.clone()) => {}
    }
    Ok(ended.await)
}

async fn copy(from: Option<impl AsyncRead + Unpin>, mut to: impl std::io::Write) {
    let Some(mut from) = from else { return };
    let mut bytes = vec![0; 16 * 1024];
    // If our output is closed (`| head`), the command continues, and its further output is dropped.
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        to.write_all(&bytes[..count]).and_then(|()| to.flush()).ok();
    }
}

/// The exit code in the kubelet's status, or the reason why the command could not run.
fn exit_code(status: &Status) -> Result<u8> {
    if status.status.as_deref() == Some("Success") {
        return Ok(0);
    }
    let causes = status.details.as_ref().and_then(|it| it.causes.as_ref()).into_iter().flatten();
    let mut codes = causes.filter(|it| it.reason.as_deref() == Some("ExitCode")).filter_map(|it| it.message.as_deref()?.parse().ok());
    match codes.next() {
        Some(code) => Ok(code),
        None => Err(Problem::new(status.message.clone().unwrap_or_else(|| "the command could not be run".to_owned())).into()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_commands_exit_code_is_found_in_the_status() {
        let status = |value| exit_code(&serde_json::from_value(value).unwrap());
        assert_eq!(status(json!({ "status": "Success" })).unwrap(), 0);
        let failed = json!({ "status": "Failure", "reason": "NonZeroExitCode", "details": { "causes": [{ "reason": "ExitCode", "message": "37" }] } });
        assert_eq!(status(failed).unwrap(), 37);
        let error = status(json!({ "status": "Failure", "message": "no such file" })).unwrap_err();
        assert_eq!(error.to_string(), "no such file");
    }
}
