//! The deployment's revisions in the cluster: what was applied, why, and the outcome.
//!
//! One ConfigMap stores them, independent of `target/` and of old ReplicaSets. The contents of Secrets are in a Secret with the same name;
//! the ConfigMap has only their names.

mod values;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    cluster::{Cluster, ObjectId},
    deploy::objects::INSTANCE,
    env::Env,
    tasks::deploy::history::values::Values,
};

/// The name of the ConfigMap and the Secret in the application's namespace.
const NAME: &str = "pocdeploy-history";
/// The number of revisions to keep; the newest successful one is always kept.
const KEPT: usize = 10;

/// An attempt to change the deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    pub number: u32,
    /// The image of the first service.
    pub image: String,
    /// The images of further services with their own image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further_images: Vec<String>,
    /// Its start in UTC.
    pub when: String,
    pub why: String,
    pub outcome: Outcome,
    /// The applied objects, to apply them again.
    pub objects: Vec<Value>,
}

impl Revision {
    /// All images of its pods that the tool loaded into the cluster, the first service's first.
    pub fn images(&self) -> Vec<String> {
        std::iter::once(&self.image).chain(&self.further_images).cloned().collect()
    }

    /// The objects that can be applied again, and the Secrets whose contents are lost.
    pub(in crate::tasks) fn applicable(&self) -> Result<(Vec<Value>, Vec<ObjectId>)> {
        let (gone, there): (Vec<Value>, Vec<Value>) = self.objects.iter().cloned().partition(values::is_withheld);
        Ok((there, gone.iter().map(ObjectId::of).collect::<Result<_>>()?))
    }
}

/// The outcome of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It started. If a later run reads this, the attempt was interrupted.
    Started,
    Deployed,
    Failed(String),
}

/// All stored revisions, oldest first.
pub(super) fn read(cluster: &Cluster, namespace: &str) -> Result<Vec<Revision>> {
    read_with_values(cluster, namespace).map(|(revisions, _)| revisions)
}

fn read_with_values(cluster: &Cluster, namespace: &str) -> Result<(Vec<Revision>, Values)> {
    let mut out = read_without_values(cluster, namespace)?;
    let values = if out.is_empty() { Values::default() } else { Values::read(cluster, namespace, &mut out)? };
    Ok((out, values))
}

/// The revisions with Secrets that have no contents.
fn read_without_values(cluster: &Cluster, namespace: &str) -> Result<Vec<Revision>> {
    let Some(object) = cluster.get(&ObjectId::new("v1", "ConfigMap", namespace, NAME))? else { return Ok(Vec::new()) };
    let entries = object["data"].as_object().cloned().unwrap_or_default();
    let mut out = Vec::new();
    for (name, text) in entries {
        let text = text.as_str().unwrap_or_default();
        out.push(serde_json::from_str(text).with_context(|| format!("read {name} of ConfigMap {NAME} in {namespace}"))?);
    }
    out.sort_by_key(|it: &Revision| it.number);
    Ok(out)
}

/// The annotation of the namespace with the number of the newest revision, which outlives the history.
const NEWEST: &str = "dev.pocdeploy/revision";

fn namespace_id(namespace: &str) -> ObjectId {
    ObjectId::new("v1", "Namespace", "", namespace)
}

/// The number of the newest revision, if its history is gone.
pub(super) fn lost(cluster: &Cluster, namespace: &str) -> Result<Option<u32>> {
    if cluster.get(&ObjectId::new("v1", "ConfigMap", namespace, NAME))?.is_some() {
        return Ok(None);
    }
    newest(cluster, namespace)
}

fn gone(last: u32) -> String {
    format!("the history up to revision {last} is gone")
}

fn newest(cluster: &Cluster, namespace: &str) -> Result<Option<u32>> {
    let found = cluster.get(&namespace_id(namespace))?;
    Ok(found.and_then(|it| it["metadata"]["annotations"][NEWEST].as_str()?.parse().ok()))
}

/// Why the newest successful revision is not one of these images: `dev` rolls out images that belong to none. Or why there is none although
/// something was deployed; or that a change was interrupted, perhaps after its last object and before it counted as a revision that serves.
pub(super) fn differs(cluster: &Cluster, namespace: &str, images: &[String]) -> Result<Option<String>> {
    let revisions = read_without_values(cluster, namespace)?;
    if revisions.is_empty() {
        return Ok(newest(cluster, namespace)?.map(gone));
    }
    if let Some(last) = revisions.last().filter(|it| it.outcome == Outcome::Started) {
        return Ok(Some(format!("revision {} was interrupted", last.number)));
    }
    let other = serving(&revisions).filter(|it| it.images() != images);
    Ok(other.map(|it| format!("revision {} is one of {}", it.number, it.images().join(", "))))
}

/// The start of a rollback's reason.
pub(super) const ROLLBACK: &str = "rollback to revision ";

/// The newest successful revision, which serves.
pub(super) fn serving(revisions: &[Revision]) -> Option<&Revision> {
    revisions.iter().rev().find(|it| it.outcome == Outcome::Deployed)
}

/// The reason of a first deployment; `None` if something has served already. `lost` is the newest revision of a lost history.
pub(super) fn first_reason(revisions: &[Revision], lost: Option<u32>) -> Option<String> {
    match (serving(revisions), revisions.last()) {
        (Some(_), _) => None,
        (None, None) => Some(lost.map_or_else(|| "first deployment".to_owned(), gone)),
        (None, Some(last)) => Some(format!("first deployment, again after revision {}", last.number)),
    }
}

/// A change in progress: recorded before it starts, and again after its end.
pub(super) struct Attempt {
    earlier: Vec<Revision>,
    present: Revision,
    values: Values,
    namespace: String,
    instance: String,
}

impl Attempt {
    /// Records the start.
    pub(super) fn begin(env: &Env, cluster: &Cluster, images: &[String], why: String, objects: Vec<Value>) -> Result<Attempt> {
        let namespace = env.config.namespace.clone();
        let (earlier, values) = read_with_values(cluster, &namespace)?;
        let last = earlier.last().map(|it| it.number).max(newest(cluster, &namespace)?);
        let number = last.map_or(1, |it| it + 1);
        let (image, further_images) = (images.first().cloned().unwrap_or_default(), images.get(1..).unwrap_or_default().to_vec());
        let present = Revision { number, image, further_images, when: now(), why, outcome: Outcome::Started, objects };
        let mut attempt = Attempt { earlier, present, values, namespace, instance: env.instance.clone() };
        attempt.write(cluster)?;
        Ok(attempt)
    }

    pub(super) fn number(&self) -> u32 {
        self.present.number
    }

    /// The revisions before it, oldest first.
    pub(super) fn earlier(&self) -> &[Revision] {
        &self.earlier
    }

    /// Its objects.
    pub(super) fn objects(&self) -> &[Value] {
        &self.present.objects
    }

    /// The images of all revisions that are kept after its end.
    pub(super) fn images(&self) -> Vec<String> {
        kept(&self.earlier, &self.present).into_iter().flat_map(Revision::images).collect()
    }

    /// The images of the revisions that go with its end.
    pub(super) fn dropped_images(&self) -> Vec<String> {
        let kept: Vec<u32> = kept(&self.earlier, &self.present).iter().map(|it| it.number).collect();
        self.earlier.iter().filter(|it| !kept.contains(&it.number)).flat_map(Revision::images).collect()
    }

    /// The serving revision when the attempt started.
    pub(super) fn good(&self) -> Option<&Revision> {
        serving(&self.earlier)
    }

    /// Records the outcome, and the final objects if they differ from the initial ones.
    pub(super) fn end(mut self, cluster: &Cluster, outcome: Outcome, settled: Option<Vec<Value>>) -> Result<()> {
        self.present.outcome = outcome;
        if let Some(objects) = settled {
            self.present.objects = objects;
        }
        self.write(cluster)
    }

    fn write(&mut self, cluster: &Cluster) -> Result<()> {
        // Includes revisions that this write drops, since the ConfigMap refers to them until it is written.
        let values = self.values.of(self.earlier.iter().chain([&self.present]));
        values.write(&self.values, cluster, &self.namespace, &self.instance)?;
        let mut data = Map::new();
        for revision in kept(&self.earlier, &self.present) {
            data.insert(format!("revision-{}", revision.number), json!(serde_json::to_string(&values.without(revision))?));
        }
        self.values = values;
        cluster.apply(&json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": NAME,
                "namespace": self.namespace,
                "labels": { INSTANCE: self.instance, "app.kubernetes.io/managed-by": "pocdeploy" },
            },
            "data": data,
        }))?;
        // Without the right to change namespaces, a lost history begins with 1 again.
        cluster.annotate(&namespace_id(&self.namespace), NEWEST, &self.present.number.to_string()).ok();
        Ok(())
    }
}

fn kept<'a>(earlier: &'a [Revision], present: &'a Revision) -> Vec<&'a Revision> {
    let good = serving(earlier).map(|it| it.number);
    // A rollback that is killed needs its revision once more.
    let target = present.why.strip_prefix(ROLLBACK).and_then(|it| it.parse().ok()).filter(|_| present.outcome == Outcome::Started);
    let first = (earlier.len() + 1).saturating_sub(KEPT);
    let is_kept = |it: &Revision| Some(it.number) == good || Some(it.number) == target;
    let mut out: Vec<&Revision> =
        earlier.iter().enumerate().filter(|(index, it)| *index >= first || is_kept(it)).map(|(_, it)| it).collect();
    out.push(present);
    out
}

fn now() -> String {
    let seconds = jiff::Timestamp::now().as_second();
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |it| it.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revision(number: u32, outcome: Outcome) -> Revision {
        Revision {
            number,
            image: "polls:1".to_owned(),
            further_images: Vec::new(),
            when: String::new(),
            why: String::new(),
            outcome,
            objects: Vec::new(),
        }
    }

    #[test]
    fn the_newest_that_worked_stays_however_many_fail_after_it() {
        let mut earlier: Vec<Revision> = (1..=3).map(|it| revision(it, Outcome::Deployed)).collect();
        earlier.extend((4..30).map(|it| revision(it, Outcome::Failed("x".to_owned()))));
        let numbers: Vec<u32> = kept(&earlier, &revision(30, Outcome::Started)).iter().map(|it| it.number).collect();
        assert_eq!(numbers, [3, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30]);
        assert_eq!(serving(&earlier).unwrap().number, 3);
    }

    #[test]
    fn the_revision_of_a_rollback_stays_until_the_rollback_has_ended() {
        let earlier: Vec<Revision> = (1..=10).map(|it| revision(it, Outcome::Deployed)).collect();
        let first = |outcome| {
            let present = Revision { why: format!("{ROLLBACK}1"), ..revision(11, outcome) };
            kept(&earlier, &present)[0].number
        };
        assert_eq!((first(Outcome::Started), first(Outcome::Deployed)), (1, 2));
    }

    #[test]
    fn the_first_deployment_is_called_so() {
        assert_eq!(first_reason(&[], None).as_deref(), Some("first deployment"));
        assert_eq!(first_reason(&[], Some(12)).as_deref(), Some("the history up to revision 12 is gone"));
        let failed = revision(1, Outcome::Failed("crash".to_owned()));
        assert_eq!(first_reason(std::slice::from_ref(&failed), None).as_deref(), Some("first deployment, again after revision 1"));
        assert_eq!(first_reason(&[failed, revision(2, Outcome::Deployed)], None), None);
    }
}
