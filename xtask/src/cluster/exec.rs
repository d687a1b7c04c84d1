//! Commands in containers, with streams or text as input and output.

use std::{
    io::{Read, Write},
    time::Duration,
};

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::AttachParams};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

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
}

impl Cluster {
    /// Runs a command in a container and returns its standard output. If the command fails, the error has its standard error.
    pub fn exec(&self, namespace: &str, pod: &str, container: &str, command: &[&str]) -> Result<String> {
        let mut out = Vec::new();
        self.exec_streams(Exec { namespace, pod, container, command, limit: SHORT }, None, &mut out)?;
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
        let run = async {
            let mut attached = api.exec(exec.pod, exec.command.iter().copied(), &parameters).await?;
            let status = attached.take_status();
            let (stdin, stdout, stderr) = (attached.stdin(), attached.stdout(), attached.stderr());
            let feed = async {
                let (Some(mut stdin), Some(input)) = (stdin, input.take()) else { return Ok(()) };
                let mut buffer = vec![0; CHUNK];
                loop {
                    let count = input.read(&mut buffer)?;
                    // If the command exits early, its status has the reason, not the closed pipe.
                    if count == 0 || stdin.write_all(&buffer[..count]).await.is_err() {
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
                let mut text = String::new();
                if let Some(mut stream) = stderr {
                    stream.read_to_string(&mut text).await.ok();
                }
                Ok(text)
            };
            let copied: std::io::Result<((), (), String)> = tokio::try_join!(feed, read_out, read_err);
            let status = match status {
                Some(status) if copied.is_ok() => status.await,
                _ => None,
            };
            Ok((copied, status))
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
        let ((), (), said) = copied.with_context(|| format!("pass on what `{what}` in pod {pod} reads and writes"))?;
        match status {
            Some(status) if status.status.as_deref() == Some("Success") => Ok(()),
            _ => Err(Problem::new(format!("`{what}` in pod {pod} failed: {}", said.trim())).code(Code::PodCommand).into()),
        }
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
