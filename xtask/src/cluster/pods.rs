//! Pods: the pods of a label, their logs and warnings.

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{ListParams, LogParams},
};

use crate::cluster::Cluster;

impl Cluster {
    /// The pods of a namespace that carry the label.
    pub fn pods(&self, namespace: &str, labels: &str) -> Result<Vec<Pod>> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let found = self.call(api.list(&ListParams::default().labels(labels))).context("list pods")?;
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
}
