//! A look at many objects at once: which are not there, changed by others, applied from other inputs, or not ready.
//!
//! Reads only. One list for each kind, metadata alone where the metadata says enough.

use std::fmt;

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

/// So many calls at once: each needs a connection of its own, which costs more than the call.
const CALLS: usize = 2;

/// So many changes of one object are shown; the rest is counted.
const SHOWN: usize = 3;

/// How an object was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Well,
    Missing,
    /// Applied by us, from something else than what is wanted now.
    OtherInputs,
    /// Changed by somebody else.
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
            State::Missing => f.write_str("is not there"),
            State::OtherInputs => f.write_str("was applied from other inputs"),
            State::NotReady(verdict) => write!(f, "is not ready: {}", verdict.why().unwrap_or_default()),
            State::Drift(changes) => {
                f.write_str("was changed by somebody else: ")?;
                for (index, change) in changes.iter().take(SHOWN).enumerate() {
                    let there = change.before.as_deref().unwrap_or("(gone)");
                    let wanted = change.after.as_deref().unwrap_or_default();
                    write!(f, "{}{} is {there} in place of {wanted}", if index == 0 { "" } else { "; " }, change.path)?;
                }
                match changes.len().saturating_sub(SHOWN) {
                    0 => Ok(()),
                    more => write!(f, "; and {more} more"),
                }
            }
        }
    }
}

/// What is looked for.
pub struct Survey<'a> {
    /// Objects as they were applied, or would be.
    pub wanted: Vec<&'a Value>,
    /// The label that all of them carry: `name=value`.
    pub label: &'a str,
    /// The annotation that tells what an object was applied from.
    pub inputs: &'a str,
}

impl Cluster {
    /// The verdict over an object that is there. One of a kind whose definition has no status has no controller that could say more.
    pub fn judge(&self, id: &ObjectId, object: &Value) -> Verdict {
        if is_done_when_there(id) || self.has_no_status(id) { verdict::of_metadata(object) } else { verdict::of(object) }
    }

    /// The state of each wanted object, in the order given.
    pub fn survey(&self, survey: &Survey<'_>) -> Result<Vec<Seen>> {
        let ids: Vec<ObjectId> = survey.wanted.iter().map(|it| ObjectId::of(it)).collect::<Result<_>>()?;
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
            let states = survey.wanted.iter().zip(&ids).map(|(want, id)| {
                let listed = found.iter().find(|it| is(it, id));
                self.look_at(want, id, listed, survey.inputs)
            });
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
            // The kind's definition is gone, and all its objects with it.
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
                // Not in the list is not yet gone: its label may have been changed.
                let found = match self.api(id).get(&id.name).await {
                    Err(kube::Error::Api(status)) if status.code == 404 => return Ok(seen(State::Missing)),
                    found => found?,
                };
                let found = serde_json::to_value(found).map_err(kube::Error::SerdeError)?;
                // Of another wanted object: what that did not have is new, and nobody's change.
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

/// Kinds whose metadata says all that a verdict asks for. A definition's object is large; that it is served shows in
/// its operator's work.
pub fn is_done_when_there(id: &ObjectId) -> bool {
    let group = id.api_version.rsplit_once('/').map_or("", |(group, _)| group);
    match group {
        "" => ["ConfigMap", "Secret", "ServiceAccount", "LimitRange"].contains(&id.kind.as_str()),
        "apiextensions.k8s.io" | "admissionregistration.k8s.io" | "rbac.authorization.k8s.io" | "scheduling.k8s.io" => true,
        "networking.k8s.io" => ["NetworkPolicy", "IngressClass"].contains(&id.kind.as_str()),
        _ => false,
    }
}

fn is(object: &Value, id: &ObjectId) -> bool {
    ObjectId::of(object).is_ok_and(|it| it == *id)
}
