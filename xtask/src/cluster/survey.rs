//! Checks many objects at once: missing, changed by others, applied from other inputs, or not ready.
//!
//! Reads only: one list for each kind, with metadata alone if that is sufficient.

use std::{collections::HashMap, fmt};

use anyhow::{Context as _, Result};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use kube::{
    Api,
    api::{DynamicObject, ListParams},
};
use serde_json::Value;

use crate::cluster::{
    Cluster, ObjectId,
    apply::values,
    difference::Change,
    drift,
    verdict::{self, Verdict},
};

/// The number of parallel calls. Each needs its own connection, which costs more than the call.
const CALLS: usize = 2;

/// The number of changes to show for one object.
const SHOWN: usize = 3;

/// The state of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Well,
    Missing,
    /// We applied it from other inputs than the current ones.
    OtherInputs,
    /// Another client has changed it.
    Drift(Vec<Change>),
    NotReady(Verdict),
}

/// One object of a survey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub id: ObjectId,
    pub state: State,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.id, self.state)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            State::Well => f.write_str("is as it should be"),
            State::Missing => f.write_str("does not exist"),
            State::OtherInputs => f.write_str("was applied from other inputs"),
            State::NotReady(verdict) => write!(f, "is not ready: {}", verdict.why().unwrap_or_default()),
            State::Drift(changes) => {
                f.write_str("was changed by another client: ")?;
                for (index, change) in changes.iter().take(SHOWN).enumerate() {
                    let there = change.before.as_deref().unwrap_or("(gone)");
                    let desired = change.after.as_deref().unwrap_or("nothing");
                    write!(f, "{}{} is {there} in place of {desired}", if index == 0 { "" } else { "; " }, change.path)?;
                }
                match changes.len().saturating_sub(SHOWN) {
                    0 => Ok(()),
                    more => write!(f, "; and {more} more"),
                }
            }
        }
    }
}

/// The objects to check.
pub struct Survey<'a> {
    /// The objects as applied, or as they would be applied.
    pub desired: Vec<&'a Value>,
    /// The label of all of them: `name=value`.
    pub label: &'a str,
    /// The annotation with the hash of an object's inputs.
    pub inputs: &'a str,
}

impl Cluster {
    /// The verdict about an existing object. If its CRD has no status, no controller reports on it, so it is done.
    pub fn judge(&self, id: &ObjectId, object: &Value) -> Verdict {
        if is_done_when_there(id) || self.has_no_status(id) { verdict::of_metadata(object) } else { verdict::of(object) }
    }

    /// The state of each desired object, in the given order.
    pub fn survey(&self, survey: &Survey<'_>) -> Result<Vec<Seen>> {
        let ids: Vec<ObjectId> = survey.desired.iter().map(|it| ObjectId::of(it)).collect::<Result<_>>()?;
        ids.iter().for_each(|it| self.learn(it));
        let mut kinds: Vec<&ObjectId> = Vec::new();
        for id in &ids {
            if !kinds.iter().any(|it| (&it.api_version, &it.kind) == (&id.api_version, &id.kind)) {
                kinds.push(id);
            }
        }
        let look = async {
            let lists = stream::iter(kinds.iter().map(|kind| self.list_kind(kind, survey.label)));
            let found: Vec<Value> = lists
                .buffer_unordered(CALLS)
                .try_fold(Vec::new(), |mut all, it| async move {
                    all.extend(it);
                    Ok(all)
                })
                .await?;
            let found: HashMap<ObjectId, &Value> = found.iter().filter_map(|it| Some((ObjectId::of(it).ok()?, it))).collect();
            let states = survey.desired.iter().zip(&ids).map(|(want, id)| self.look_at(want, id, found.get(id).copied(), survey.inputs));
            stream::iter(states).buffered(CALLS).try_collect::<Vec<Seen>>().await
        };
        self.call(look).context("look at the objects")
    }

    async fn list_kind(&self, kind: &ObjectId, label: &str) -> Result<Vec<Value>, kube::Error> {
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &self.resource(kind));
        let parameters = ListParams::default().labels(label);
        let listed = if is_done_when_there(kind) {
            api.list_metadata(&parameters).await.and_then(|it| values(it.items, kind))
        } else {
            api.list(&parameters).await.and_then(|it| values(it.items, kind))
        };
        match listed {
            // The kind's CRD was deleted, with all its objects.
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
            other => other,
        }
    }

    async fn look_at(&self, want: &Value, id: &ObjectId, listed: Option<&Value>, inputs: &str) -> Result<Seen, kube::Error> {
        let seen = |state| Seen { id: id.clone(), state };
        let key = |object: &Value| object.pointer("/metadata/annotations").and_then(|it| it.get(inputs)).cloned();
        let whole = match listed.filter(|it| drift::is_all_ours(want, &it["metadata"])) {
            Some(it) => it.clone(),
            None => {
                // An object that is not in the list may still exist with a changed label.
                let found = match self.api(id).get(&id.name).await {
                    Err(kube::Error::Api(status)) if status.code == 404 => return Ok(seen(State::Missing)),
                    found => found?,
                };
                let found = serde_json::to_value(found).map_err(kube::Error::SerdeError)?;
                // It was applied from another manifest: fields which that manifest lacked are new, and not changed by others.
                if key(&found) != key(want) && drift::holds_annotation(&found, inputs) {
                    return Ok(seen(State::OtherInputs));
                }
                let changes = drift::drift(want, &found);
                if !changes.is_empty() {
                    return Ok(seen(State::Drift(changes)));
                }
                found
            }
        };
        if key(&whole) != key(want) {
            return Ok(seen(State::OtherInputs));
        }
        let verdict = self.judge(id, &whole);
        Ok(seen(if verdict == Verdict::Yes { State::Well } else { State::NotReady(verdict) }))
    }
}

/// Kinds that are done when they exist. A CRD is large to read, and its operator's work shows that it is served.
pub fn is_done_when_there(id: &ObjectId) -> bool {
    let group = id.api_version.rsplit_once('/').map_or("", |(group, _)| group);
    match group {
        "" => ["ConfigMap", "Secret", "ServiceAccount", "LimitRange"].contains(&id.kind.as_str()),
        "apiextensions.k8s.io" | "admissionregistration.k8s.io" | "rbac.authorization.k8s.io" | "scheduling.k8s.io" => true,
        "networking.k8s.io" => ["NetworkPolicy", "IngressClass"].contains(&id.kind.as_str()),
        _ => false,
    }
}
