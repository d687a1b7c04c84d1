//! Commands in containers, with streams or text as input and output.

use std::{
    io::{Read, Write},
    pin::Pin,
    time::Duration,
};

use anyhow::{Context as _, Result};
use futures_util::{FutureExt as _, future::Shared};
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::Status};
use kube::{
    Api,
    api::{AttachParams, AttachedProcess},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::Notify,
};

use crate::{
    cluster::Cluster,
    errors::{Code, Problem},
};

/// For a command that only reads.
const SHORT: Duration = Duration::from_secs(20);
const CHUNK: usize = 1 << 16;

/// A command, its container and its limit.
#[derive(Clone, Copy)]
pub struct Exec<'a> {
    pub namespace: &'a str,
    pub pod: &'a str,
    pub container: &'a str,
    pub command: &'a [&'a str],
    pub limit: Duration,
    /// Whether the container has `sh` and `cat`, which take the input that the command leaves. Without them a command that ends before it has
    /// read its input ends at the limit, if the rest is larger than some megabytes: with containerd 2.4.2 its status never comes.
    pub has_shell: bool,
}

/// Runs a command, says on standard error that it has ended, and waits for the end of the input.
const DRAINED: [&str; 4] = ["sh", "-c", "\"$@\"; code=$?; echo 'pocdeploy: ended' >&2; cat > /dev/null; exit $code", "sh"];
/// What it says.
const ENDED: &str = "pocdeploy: ended\n";

impl Cluster {
    /// Runs a command in a container and returns its standard output. If the command fails, the error has its standard error.
    pub fn exec(&self, namespace: &str, pod: &str, container: &str, command: &[&str]) -> Result<String> {
        let mut out = Vec::new();
        self.exec_streams(Exec { namespace, pod, container, command, limit: SHORT, has_shell: false }, None, &mut out)?;
        Ok(String::from_utf8_lossy(&out).into_owned())
    }

    /// Like `exec` with streams: reads `input` to its end and writes standard output as it arrives. Check the result before you use the
    /// output, since a failed command may have written only a part of it.
    pub fn exec_streams(&self, exec: Exec<'_>, mut input: Option<&mut dyn Read>, output: &mut dyn Write) -> Result<()> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), exec.namespace);
        let parameters = AttachParams::default()
            .container(exec.container)
            .stdin(input.is_some())
            .stdout(true)
            .stderr(true)
            .max_stdin_buf_size(CHUNK)
            .max_stdout_buf_size(CHUNK);
        let drained = if exec.has_shell && input.is_some() { DRAINED.as_slice() } else { &[] };
        let command: Vec<&str> = [drained, exec.command].concat();
        let enough = Notify::new();
        let run = async {
            let mut attached = api.exec(exec.pod, command, &parameters).await?;
            let ended = ended(&mut attached);
            let (stdin, stdout, stderr) = (attached.stdin(), attached.stdout(), attached.stderr());
            let feed = async {
                let (Some(mut stdin), Some(input)) = (stdin, input.take()) else { return std::io::Result::Ok(()) };
                let mut buffer = vec![0; CHUNK];
                loop {
                    let count = input.read(&mut buffer)?;
                    let taken = tokio::select! {
                        written = stdin.write_all(&buffer[..count]) => written.is_ok(),
                        () = enough.notified() => false,
                        _ = ended.clone() => false,
                    };
                    // If the command exits early, its status has the reason, not the closed pipe.
                    if count == 0 || !taken {
                        stdin.shutdown().await.ok();
                        return Ok(());
                    }
                }
            };
            let read_out = async {
                let Some(mut stream) = stdout else { return Ok(()) };
                let mut buffer = vec![0; CHUNK];
                loop {
                    match stream.read(&mut buffer).await {
                        Ok(0) | Err(_) => return Ok(()),
                        Ok(count) => output.write_all(&buffer[..count])?,
                    }
                }
            };
            let read_err = async {
                let mut said = Vec::new();
                let Some(mut stream) = stderr else { return Ok(String::new()) };
                while let Ok(1..) = stream.read_buf(&mut said).await {
                    if said.ends_with(ENDED.as_bytes()) {
                        enough.notify_one();
                    }
                }
                let said = String::from_utf8_lossy(&said);
                Ok(said.strip_suffix(ENDED).unwrap_or(&said).to_owned())
            };
            let copied = async { tokio::try_join!(feed, read_out, read_err) };
            tokio::select! {
                biased;
                copied = copied => {
                    let status = if copied.is_ok() { ended.clone().await } else { None };
                    Ok((copied.map(|((), (), said)| said), status))
                }
                () = lost(ended.clone()) => Ok((Ok("the connection was lost".to_owned()), None)),
            }
        };
        let timed = async {
            match tokio::time::timeout(exec.limit, run).await {
                Ok(result) => result.map(Some),
                Err(_) => Ok(None),
            }
        };
        let (what, pod) = (shown(exec.command), exec.pod);
        let Some((copied, status)) = self.call(timed).with_context(|| format!("run `{what}` in pod {pod}"))? else {
            return Err(Problem::timed_out(format!("`{what}` in pod {pod} did not end within {} s", exec.limit.as_secs()))
                .code(Code::PodCommand)
                .into());
        };
        let said: String = copied.with_context(|| format!("pass on what `{what}` in pod {pod} reads and writes"))?;
        match status {
            Some(status) if status.status.as_deref() == Some("Success") => Ok(()),
            _ => Err(Problem::new(format!("`{what}` in pod {pod} failed: {}", said.trim())).code(Code::PodCommand).into()),
        }
    }
}

/// The end of a command: its status, or `None` if the connection was lost.
///
/// A copy of its streams must end with this too: in kube 5.0.0 a stream may wait for ever after the end of the command or of the connection
/// (`remote_command.rs`; the halves of tokio's `simplex` do not close each other).
pub(super) type Ended = Shared<Pin<Box<dyn Future<Output = Option<Status>> + Send>>>;

/// The end of a command that has just started.
pub(super) fn ended(attached: &mut AttachedProcess) -> Ended {
    let status = attached.take_status();
    let ended: Pin<Box<dyn Future<Output = Option<Status>> + Send>> = Box::pin(async move {
        match status {
            Some(status) => status.await,
            None => None,
        }
    });
    ended.shared()
}

/// Returns when the connection is lost, and never after a command's own end.
pub(super) async fn lost(ended: Ended) {
    if ended.await.is_some() {
        std::future::pending::<()>().await;
    }
}

/// The command in words, without the settings that `env` gives it.
fn shown(command: &[&str]) -> String {
    let program = match command.split_first() {
        Some((&"env", rest)) => rest.iter().position(|it| !it.contains('=')).map_or(rest, |at| &rest[at..]),
        _ => command,
    };
    program.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_without_the_settings_of_its_environment() {
        assert_eq!(shown(&["env", "PGOPTIONS=-c a=b", "LC_ALL=C", "pg_dump", "--dbname=x"]), "pg_dump --dbname=x");
        assert_eq!(shown(&["psql", "--set=a=b"]), "psql --set=a=b");
    }
}
