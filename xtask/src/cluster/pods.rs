//! Pods: commands in them, their logs, and the pods of a label.

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::{
    Api,
    api::{AttachParams, ListParams, LogParams},
};
use tokio::io::AsyncReadExt as _;

use crate::{
    cluster::Cluster,
    errors::{Code, Problem},
};

impl Cluster {
    /// The pods of a namespace that carry the label.
    pub fn pods(&self, namespace: &str, labels: &str) -> Result<Vec<Pod>> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let found = self.call(api.list(&ListParams::default().labels(labels))).context("list pods")?;
        Ok(found.items)
    }

    /// The events of a namespace that warn.
    pub fn warnings(&self, namespace: &str) -> Result<Vec<Event>> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let found = self.call(api.list(&ListParams::default().fields("type=Warning"))).context("list events")?;
        Ok(found.items)
    }

    /// The last lines of a container; of its earlier run where the present one has said nothing.
    pub fn last_lines(&self, namespace: &str, pod: &str, container: &str, lines: i64) -> Result<String> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let read = |previous| {
            let parameters = LogParams { container: Some(container.to_owned()), tail_lines: Some(lines), previous, ..LogParams::default() };
            self.call(api.logs(pod, &parameters))
        };
        let now = read(false).unwrap_or_default();
        if now.trim().is_empty() { Ok(read(true).unwrap_or_default()) } else { Ok(now) }
    }

    /// Runs a command in a container and returns its standard output. A command that fails is an error with what it said.
    pub fn exec(&self, namespace: &str, pod: &str, container: &str, command: &[&str]) -> Result<String> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let parameters = AttachParams::default().container(container).stdin(false).stdout(true).stderr(true);
        let limit = std::time::Duration::from_secs(20);
        let run = async {
            let mut attached = api.exec(pod, command.iter().copied(), &parameters).await?;
            let status = attached.take_status();
            let (mut out, mut err) = (String::new(), String::new());
            let (stdout, stderr) = (attached.stdout(), attached.stderr());
            let read_out = async {
                if let Some(mut stream) = stdout {
                    stream.read_to_string(&mut out).await.ok();
                }
            };
            let read_err = async {
                if let Some(mut stream) = stderr {
                    stream.read_to_string(&mut err).await.ok();
                }
            };
            tokio::join!(read_out, read_err);
            let status = match status {
                Some(status) => status.await,
                None => None,
            };
            Ok((out, err, status))
        };
        let timed = async {
            match tokio::time::timeout(limit, run).await {
                Ok(result) => result.map(Some),
                Err(_) => Ok(None),
            }
        };
        let what = command.join(" ");
        let ended = self.call(timed).with_context(|| format!("run `{what}` in pod {pod}"))?;
        let Some((out, err, status)) = ended else {
            return Err(Problem::timed_out(format!("`{what}` in pod {pod} did not end within {} s", limit.as_secs()))
                .code(Code::PodCommand)
                .into());
        };
        match status {
            Some(status) if status.status.as_deref() == Some("Success") => Ok(out),
            _ => Err(Problem::new(format!("`{what}` in pod {pod} failed: {}", err.trim())).code(Code::PodCommand).into()),
        }
    }
}
