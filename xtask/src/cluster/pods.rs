//! The pods of a label, and their logs.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{ListParams, LogParams},
};
use serde_json::Value;

use crate::cluster::{Cluster, ObjectId, verdict};

/// Enough to contain the first error of a run, for some dozen containers in memory.
const LOG_LINES: i64 = 500;
const LOG_BYTES: i64 = 512 * 1024;

/// A container to run commands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub namespace: String,
    pub pod: String,
    pub container: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pod {}, container {}", self.pod, self.container)
    }
}

/// Whether the pod is ready and not being deleted.
pub(super) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|it| it.conditions.as_ref()).into_iter().flatten();
    pod.metadata.deletion_timestamp.is_none() && conditions.into_iter().any(|it| it.type_ == "Ready" && it.status == "True")
}

impl Cluster {
    /// Whether a pod has failed for good, and its controller has another one in its place.
    pub fn is_replaced(&self, pod: &Value) -> Result<bool> {
        let Some(controller) = verdict::controller(pod).filter(|_| verdict::is_left_behind(pod)) else { return Ok(false) };
        let [version, kind, name, namespace] =
            [&controller["apiVersion"], &controller["kind"], &controller["name"], &pod["metadata"]["namespace"]]
                .map(|it| it.as_str().unwrap_or_default());
        Ok(verdict::is_replaced(pod, self.get(&ObjectId::new(version, kind, namespace, name))?.as_ref()))
    }

    /// The newest ready pod with these labels.
    pub fn ready_pod(&self, namespace: &str, labels: &str) -> Result<Option<String>> {
        let mut pods: Vec<Pod> = self.pods(namespace, labels)?.into_iter().filter(is_ready).collect();
        pods.sort_by_key(|it| it.metadata.creation_timestamp.clone().map(|it| it.0));
        Ok(pods.pop().and_then(|it| it.metadata.name))
    }

    /// The pods in a namespace with these labels.
    pub fn pods(&self, namespace: &str, labels: &str) -> Result<Vec<Pod>> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let found = self.call(api.list(&ListParams::default().labels(labels))).context("list pods")?;
        Ok(found.items)
    }

    /// All pods of these namespaces, with one request for each of them: twenty services need no twenty requests.
    pub fn pods_in<'a>(&self, namespaces: impl IntoIterator<Item = &'a str>) -> Result<BTreeMap<&'a str, Vec<Value>>> {
        let namespaces: BTreeSet<&str> = namespaces.into_iter().collect();
        namespaces.into_iter().map(|it| Ok((it, self.list("v1", "Pod", it, "")?))).collect()
    }

    /// The images of a container in the pods with these labels, without duplicates and without pods that are being deleted or have failed.
    pub fn images(&self, namespace: &str, labels: &str, container: &str) -> Result<Vec<String>> {
        let has_failed = |it: &Pod| it.status.as_ref().and_then(|it| it.phase.as_deref()) == Some("Failed");
        let pods = self.pods(namespace, labels)?.into_iter().filter(|it| it.metadata.deletion_timestamp.is_none() && !has_failed(it));
        let containers = pods.filter_map(|it| it.spec).flat_map(|it| it.containers).filter(|it| it.name == container);
        let mut out: Vec<String> = containers.filter_map(|it| it.image).collect();
        out.sort();
        out.dedup();
        Ok(out)
    }

    /// The last lines of a container; of its previous run if the current one has written nothing.
    pub fn last_lines(&self, namespace: &str, pod: &str, container: &str, lines: i64) -> Result<String> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let read = |previous| {
            let parameters = LogParams { container: Some(container.to_owned()), tail_lines: Some(lines), previous, ..LogParams::default() };
            self.call(api.logs(pod, &parameters))
        };
        let now = read(false).unwrap_or_default();
        if now.trim().is_empty() { Ok(read(true).unwrap_or_default()) } else { Ok(now) }
    }

    /// The whole log of the only container of a pod.
    pub fn whole_log(&self, namespace: &str, pod: &str) -> Result<String> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        self.call(api.logs(pod, &LogParams::default())).with_context(|| format!("read the log of pod {pod}"))
    }

    /// The last lines of a container's current or previous run, with the kubelet's timestamps. Empty if there is no such run.
    pub fn lines_of_run(&self, namespace: &str, pod: &str, container: &str, previous: bool) -> String {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let parameters = LogParams {
            container: Some(container.to_owned()),
            tail_lines: Some(LOG_LINES),
            limit_bytes: Some(LOG_BYTES),
            timestamps: true,
            previous,
            ..LogParams::default()
        };
        self.call(api.logs(pod, &parameters)).unwrap_or_default()
    }
}
