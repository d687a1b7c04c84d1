//! Objects of any kind as JSON: server-side apply, read, delete.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::{
    Api,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, PropagationPolicy},
    core::{ApiResource, GroupVersionKind},
    discovery::{self, Discovery, Scope, verbs},
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    cluster::{Cluster, FIELD_MANAGER, drift, explain, kinds::is_built_in, node_port::PORT_TAKEN, silence},
    errors::{self, Code, Problem},
};

/// Kinds whose objects are replaced as a whole if the API server rejects ours beside what others added, such as the other of two fields that
/// exclude each other. They hold nothing but what the manifest says, and a number of replicas.
const REPLACED: [&str; 2] = ["PodDisruptionBudget", "Deployment"];

/// How long an interrupted run waits for the answer to a change that it has asked for.
const LAST_ANSWER: Duration = Duration::from_secs(2);

/// The number of parallel requests in `apply_all`.
const AT_A_TIME: usize = 8;

/// Version, kind, namespace and name of an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObjectId {
    pub api_version: String,
    pub kind: String,
    /// Empty for cluster-scoped objects.
    pub namespace: String,
    pub name: String,
}

impl ObjectId {
    pub fn new(api_version: &str, kind: &str, namespace: &str, name: &str) -> ObjectId {
        ObjectId { api_version: api_version.to_owned(), kind: kind.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// The id of a manifest.
    pub fn of(object: &Value) -> Result<ObjectId> {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let id = ObjectId::new(text("/apiVersion"), text("/kind"), text("/metadata/namespace"), text("/metadata/name"));
        if id.api_version.is_empty() || id.kind.is_empty() || id.name.is_empty() {
            return Err(Problem::config("a manifest lacks apiVersion, kind or metadata.name").code(Code::Manifest).into());
        }
        Ok(id)
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)?;
        if !self.namespace.is_empty() {
            write!(f, " in {}", self.namespace)?;
        }
        Ok(())
    }
}

/// What the API server's discovery says about a kind that is not built in.
#[derive(Clone, Debug)]
pub(super) struct Kind {
    resource: ApiResource,
    of_cluster: bool,
    has_status: bool,
}

/// Discovered kinds, by version and kind.
pub(super) type Kinds = Arc<Mutex<HashMap<(String, String), Kind>>>;

/// The plural name of a kind for API paths, by the rules of English.
fn guess(id: &ObjectId) -> ApiResource {
    ApiResource::from_gvk(&gvk(id))
}

fn gvk(id: &ObjectId) -> GroupVersionKind {
    let (group, version) = id.api_version.split_once('/').unwrap_or(("", &id.api_version));
    GroupVersionKind::gvk(group, version, &id.kind)
}

/// The items of a list with `apiVersion` and `kind`, which items of a list lack.
pub(super) fn values<T: Serialize>(items: Vec<T>, kind: &ObjectId) -> Result<Vec<Value>, kube::Error> {
    let value = |item: T| {
        let mut value = serde_json::to_value(item).map_err(kube::Error::SerdeError)?;
        value["apiVersion"] = kind.api_version.clone().into();
        value["kind"] = kind.kind.clone().into();
        Ok(value)
    };
    items.into_iter().map(value).collect()
}

impl Cluster {
    /// Discovers a kind from a CRD once: its plural name follows no rule, and it may be cluster-scoped. Does nothing as long as the CRD
    /// does not exist.
    pub(super) fn learn(&self, id: &ObjectId) {
        let gvk = gvk(id);
        if is_built_in(&gvk.group) || gvk.group == "postgresql.cnpg.io" || self.known(id).is_some() {
            return;
        }
        if let Ok((resource, capabilities)) = self.call(discovery::oneshot::pinned_kind(&self.client, &gvk)) {
            let has_status = capabilities.subresources.iter().any(|(it, _)| it.plural.ends_with("status"));
            let kind = Kind { resource, of_cluster: capabilities.scope == Scope::Cluster, has_status };
            if let Ok(mut kinds) = self.kinds.lock() {
                kinds.insert((id.api_version.clone(), id.kind.clone()), kind);
            }
        }
    }

    fn known(&self, id: &ObjectId) -> Option<Kind> {
        self.kinds.lock().ok()?.get(&(id.api_version.clone(), id.kind.clone())).cloned()
    }

    /// Whether the kind's CRD has no status subresource.
    pub(super) fn has_no_status(&self, id: &ObjectId) -> bool {
        self.known(id).is_some_and(|it| !it.has_status)
    }

    pub(super) fn resource(&self, id: &ObjectId) -> ApiResource {
        self.known(id).map_or_else(|| guess(id), |it| it.resource)
    }

    pub(super) fn api(&self, id: &ObjectId) -> Api<DynamicObject> {
        let resource = self.resource(id);
        if id.namespace.is_empty() || self.known(id).is_some_and(|it| it.of_cluster) {
            Api::all_with(self.client.clone(), &resource)
        } else {
            Api::namespaced_with(self.client.clone(), &id.namespace, &resource)
        }
    }

    /// Server-side apply with our field manager, with force: fields of other managers that the manifest does not set stay.
    pub fn apply(&self, object: &Value) -> Result<()> {
        self.patch(object, false).map(|_| ())
    }

    /// Applies all objects, several in parallel, since most of the time is spent waiting for the API server. Stops at the first error,
    /// after the requests in progress.
    pub fn apply_all(&self, objects: &[Value]) -> Result<()> {
        self.free_node_ports(objects)?;
        let next = AtomicUsize::new(0);
        let work = || -> Result<()> {
            while let Some(object) = objects.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Err(error) = self.apply(object) {
                    next.store(objects.len(), Ordering::Relaxed);
                    return Err(error);
                }
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..AT_A_TIME.min(objects.len())).map(|_| scope.spawn(work)).collect();
            workers.into_iter().try_for_each(|it| it.join().unwrap_or_else(|_| Err(Problem::new("an apply ended unexpectedly").into())))
        })
    }

    /// The result of a server-side dry run, including webhooks. Changes nothing.
    pub fn preview(&self, object: &Value) -> Result<Value> {
        self.patch(object, true)
    }

    fn patch(&self, object: &Value, dry_run: bool) -> Result<Value> {
        let id = ObjectId::of(object)?;
        self.learn(&id);
        let mut parameters = PatchParams::apply(FIELD_MANAGER).force();
        parameters.dry_run = dry_run;
        let apply = || self.write(self.api(&id).patch(&id.name, &parameters, &Patch::Apply(object)));
        let made = match apply() {
            Err(error) if error.to_string().contains(PORT_TAKEN) => Err(self.with_holders_of_port(object, error)),
            // The message of status 422.
            Err(error) if error.to_string().contains(" is invalid: ") && !dry_run && REPLACED.contains(&id.kind.as_str()) => {
                // What is wrong may as well be our own object: then the first error says it.
                if self.replace(&id, object).unwrap_or(false) { apply().and_then(|it| self.own_once(&id, it)) } else { Err(error) }
            }
            other => other,
        };
        let made = serde_json::to_value(made.with_context(|| format!("apply {id}"))?)?;
        let corrected = drift::corrections(object, &made);
        if corrected.is_empty() || dry_run {
            return Ok(made);
        }
        // An apply leaves what it does not name.
        let merged = self.call(self.api(&id).patch(&id.name, &PatchParams::default(), &Patch::Merge(json!({ "spec": corrected }))));
        Ok(serde_json::to_value(merged.with_context(|| format!("restore {id}"))?)?)
    }

    /// Like `call` for a request that changes something: an interrupted run waits for its answer, for a moment. If the request for a Service is
    /// interrupted, its node port may stay taken, although no Service has it: once for eight minutes (Kubernetes 1.36.3).
    fn write<T>(&self, future: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Problem> {
        self.interrupt.status()?;
        let interrupt = self.interrupt.clone();
        self.runtime.block_on(async move {
            let mut future = std::pin::pin!(future);
            tokio::select! {
                result = &mut future => result.map_err(|error| explain(&error)),
                problem = interrupt.came() => {
                    // Whatever the answer is, the next run looks again.
                    tokio::time::timeout(LAST_ANSWER, future).await.ok();
                    Err(problem)
                }
                problem = silence::lasts(&self.config) => Err(problem),
            }
        })
    }

    /// Sets an annotation of an existing object, under a field manager of its own, so that no apply of ours takes it for a leftover.
    pub fn annotate(&self, id: &ObjectId, name: &str, value: &str) -> Result<()> {
        let parameters = PatchParams { field_manager: Some(format!("{FIELD_MANAGER}-notes")), ..PatchParams::default() };
        let patch = Patch::Merge(json!({ "metadata": { "annotations": { name: value } } }));
        self.call(self.api(id).patch(&id.name, &parameters, &patch)).map(drop).with_context(|| format!("annotate {id}"))
    }

    /// Removes the owners of an object, so that it stays when they are deleted. A missing object counts as done.
    pub fn disown(&self, id: &ObjectId) -> Result<()> {
        let patch = Patch::Merge(json!({ "metadata": { "ownerReferences": null } }));
        match self.call(self.api(id).patch(&id.name, &PatchParams::default(), &patch)) {
            Ok(_) => Ok(()),
            Err(error) if error.code == Code::NotFound => Ok(()),
            Err(error) => Err(error).with_context(|| format!("keep {id}")),
        }
    }

    /// Gives up what a replacement owns besides our apply: fields with two owners stay when the manifest no longer names them.
    fn own_once(&self, id: &ObjectId, object: DynamicObject) -> Result<DynamicObject, Problem> {
        let replaced = |it: &ManagedFieldsEntry| it.manager.as_deref() == Some(FIELD_MANAGER) && it.operation.as_deref() == Some("Update");
        let owners: Vec<_> = object.metadata.managed_fields.iter().flatten().filter(|it| !replaced(it)).collect();
        let patch = Patch::Merge(json!({ "metadata": { "managedFields": owners } }));
        self.call(self.api(id).patch(&id.name, &PatchParams::default(), &patch))
    }

    /// Replaces the whole object by the manifest. False if there is none.
    fn replace(&self, id: &ObjectId, object: &Value) -> Result<bool> {
        let Some(there) = self.get(id)? else { return Ok(false) };
        let mut object = object.clone();
        object["metadata"]["resourceVersion"] = there["metadata"]["resourceVersion"].clone();
        if id.kind == "Deployment" && object["spec"].get("replicas").is_none() {
            object["spec"]["replicas"] = there["spec"]["replicas"].clone();
        }
        let object: DynamicObject = serde_json::from_value(object)?;
        self.call(self.api(id).replace(
            &id.name,
            &PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() },
            &object,
        ))?;
        Ok(true)
    }

    /// The object; `None` if it does not exist.
    pub fn get(&self, id: &ObjectId) -> Result<Option<Value>> {
        self.learn(id);
        match self.call(self.api(id).get(&id.name)) {
            Ok(object) => Ok(Some(serde_json::to_value(object)?)),
            Err(error) if error.code == Code::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("read {id}")),
        }
    }

    /// All objects of a kind in a namespace with these labels.
    pub fn list(&self, api_version: &str, kind: &str, namespace: &str, labels: &str) -> Result<Vec<Value>> {
        let id = ObjectId::new(api_version, kind, namespace, "");
        self.learn(&id);
        let parameters = ListParams::default().labels(labels);
        let found = self.call(self.api(&id).list(&parameters)).with_context(|| format!("list {kind}"))?;
        Ok(values(found.items, &id)?)
    }

    /// Like `list`; empty if the API server does not know the kind.
    pub fn list_if_known(&self, api_version: &str, kind: &str, namespace: &str, labels: &str) -> Result<Vec<Value>> {
        match self.list(api_version, kind, namespace, labels) {
            Err(error) if errors::code(&error) == Code::NotFound => Ok(Vec::new()),
            other => other,
        }
    }

    /// The metadata of every object with these labels, of every kind that the API server can list and delete, in all namespaces.
    pub fn labelled(&self, labels: &str) -> Result<Vec<Value>> {
        let client = self.client.clone();
        let look = async {
            let discovered = Discovery::new(client.clone()).run_aggregated().await?;
            let mut out = Vec::new();
            for group in discovered.groups() {
                for (resource, capabilities) in group.recommended_resources() {
                    if !capabilities.supports_operation(verbs::LIST) || !capabilities.supports_operation(verbs::DELETE) {
                        continue;
                    }
                    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
                    let id = ObjectId::new(&resource.api_version, &resource.kind, "", "");
                    match api.list_metadata(&ListParams::default().labels(labels)).await {
                        Ok(found) => out.extend(values(found.items, &id)?),
                        // A kind whose CRD is being deleted, or that an aggregated API does not list.
                        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 405) => {}
                        Err(error) => return Err(error),
                    }
                }
            }
            Ok(out)
        };
        self.call(look).context("look for the objects of this instance")
    }

    /// Requests deletion; dependents are deleted in the background. A missing object counts as done.
    pub fn delete(&self, id: &ObjectId) -> Result<()> {
        self.delete_with(id, &DeleteParams { propagation_policy: Some(PropagationPolicy::Background), ..DeleteParams::default() })
    }

    /// Deletes a pod without its grace period: the API server forgets it at once, and the kubelet kills its containers.
    pub fn kill(&self, pod: &ObjectId) -> Result<()> {
        self.delete_with(pod, &DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() })
    }

    fn delete_with(&self, id: &ObjectId, parameters: &DeleteParams) -> Result<()> {
        self.learn(id);
        match self.call(self.api(id).delete(&id.name, parameters)) {
            Ok(_) => Ok(()),
            Err(error) if error.code == Code::NotFound => Ok(()),
            Err(error) => Err(error).with_context(|| format!("delete {id}")),
        }
    }
}
