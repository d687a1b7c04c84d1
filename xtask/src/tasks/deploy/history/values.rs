//! The contents of Secrets in earlier revisions: each once, in the history's own Secret.
//!
//! Many accounts may read ConfigMaps, few may read Secrets. So the ConfigMap has only kind, name and a number of a user's Secret, and the
//! Secret `pocdeploy-history` has the whole object under this number. Numbers never change their meaning, so an interruption between the
//! two writes does no harm.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use crate::{
    cluster::{Cluster, ObjectId},
    deploy::objects::INSTANCE,
    tasks::deploy::history::{NAME, Revision},
};

/// The field with the number of the stored content.
const NUMBER: &str = "kept-as";

/// Contents by number.
#[derive(Default)]
pub(super) struct Values(BTreeMap<u32, Value>);

impl Values {
    /// Adds the contents to the revisions. Reads the Secret only if a revision refers to it.
    pub(super) fn read(cluster: &Cluster, namespace: &str, revisions: &mut [Revision]) -> Result<Values> {
        if !revisions.iter().flat_map(|it| &it.objects).any(is_withheld) {
            return Ok(Values::default());
        }
        let found = cluster.get(&id(namespace))?;
        let values = found.map_or_else(|| Ok(Values::default()), |it| parse(&it)).with_context(|| format!("read {}", id(namespace)))?;
        for object in revisions.iter_mut().flat_map(|it| &mut it.objects) {
            if let Some(content) = number(object).and_then(|it| values.0.get(&it)) {
                *object = content.clone();
            }
        }
        Ok(values)
    }

    /// The contents of these revisions: known ones with their numbers, new ones with new numbers.
    pub(super) fn of<'a>(&self, revisions: impl Iterator<Item = &'a Revision>) -> Values {
        let objects: Vec<&Value> = revisions.flat_map(|it| &it.objects).filter(|it| it["kind"] == "Secret").collect();
        // The number of a lost content is not used again.
        let used = objects.iter().filter_map(|it| number(it)).chain(self.0.keys().copied());
        let mut next = used.max().unwrap_or_default() + 1;
        let mut out = BTreeMap::new();
        for object in objects.into_iter().filter(|it| !is_withheld(it)) {
            if out.values().any(|it| it == object) {
                continue;
            }
            let number = self.number_of(object).unwrap_or_else(|| {
                next += 1;
                next - 1
            });
            out.insert(number, object.clone());
        }
        Values(out)
    }

    /// The revision for the ConfigMap, without contents.
    pub(super) fn without(&self, revision: &Revision) -> Revision {
        let mut out = revision.clone();
        for object in out.objects.iter_mut().filter(|it| it["kind"] == "Secret" && !is_withheld(it)) {
            *object = json!({
                "apiVersion": object["apiVersion"],
                "kind": "Secret",
                "metadata": { "name": object["metadata"]["name"], "namespace": object["metadata"]["namespace"] },
                NUMBER: self.number_of(object),
            });
        }
        out
    }

    /// Must be called before the ConfigMap is written.
    pub(super) fn write(&self, before: &Values, cluster: &Cluster, namespace: &str, instance: &str) -> Result<()> {
        if self.0.is_empty() {
            // Whether the Secret exists is known without a request: only a stored content creates it.
            return if before.0.is_empty() { Ok(()) } else { cluster.delete(&id(namespace)) };
        }
        let mut data = Map::new();
        for (number, object) in &self.0 {
            data.insert(number.to_string(), json!(STANDARD.encode(object.to_string())));
        }
        cluster.apply(&json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "Opaque",
            "metadata": {
                "name": NAME,
                "namespace": namespace,
                "labels": { INSTANCE: instance, "app.kubernetes.io/managed-by": "pocdeploy" },
            },
            "data": data,
        }))
    }

    fn number_of(&self, object: &Value) -> Option<u32> {
        self.0.iter().find(|(_, it)| *it == object).map(|(number, _)| *number)
    }
}

/// Whether only the Secret's name is known: its content was not in the ConfigMap, and was not found.
pub(super) fn is_withheld(object: &Value) -> bool {
    number(object).is_some()
}

fn number(object: &Value) -> Option<u32> {
    object.get(NUMBER)?.as_u64()?.try_into().ok()
}

fn id(namespace: &str) -> ObjectId {
    ObjectId::new("v1", "Secret", namespace, NAME)
}

fn parse(secret: &Value) -> Result<Values> {
    let mut out = BTreeMap::new();
    for (name, encoded) in secret["data"].as_object().into_iter().flatten() {
        let Ok(number) = name.parse() else { continue };
        let bytes = STANDARD.decode(encoded.as_str().unwrap_or_default()).with_context(|| format!("decode entry {name}"))?;
        // The parser's error would quote the value.
        let content = serde_json::from_slice(&bytes).map_err(|_| anyhow::anyhow!("entry {name} is no JSON"))?;
        out.insert(number, content);
    }
    Ok(Values(out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::deploy::history::Outcome;

    fn secret(value: &str) -> Value {
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "mail", "namespace": "n", "annotations": { "a": value } },
                "data": { "a": value } })
    }

    fn revision(objects: Vec<Value>) -> Revision {
        Revision {
            number: 1,
            image: String::new(),
            further_images: Vec::new(),
            when: String::new(),
            why: String::new(),
            outcome: Outcome::Deployed,
            objects,
        }
    }

    #[test]
    fn a_content_is_kept_once_and_its_number_stays_when_others_go() {
        let (one, two, three) = (revision(vec![secret("b25l")]), revision(vec![secret("dHdv")]), revision(vec![secret("dGhyZWU=")]));
        let all = Values::default().of([&one, &two, &one, &two].into_iter());
        assert_eq!(all.0.keys().collect::<Vec<_>>(), [&1, &2]);
        let later = all.of([&two, &three].into_iter());
        assert_eq!(later.0.keys().collect::<Vec<_>>(), [&2, &3]);
        assert_eq!(later.0[&2], secret("dHdv"));
    }

    #[test]
    fn nothing_of_a_secret_but_its_name_is_left_to_the_config_map() {
        let settings = json!({ "kind": "ConfigMap", "metadata": { "name": "c" }, "data": { "A": "1" } });
        let whole = revision(vec![settings.clone(), secret("Y2FuYXJ5")]);
        let values = Values::default().of([&whole].into_iter());
        let written = values.without(&whole);
        assert_eq!(written.objects[0], settings);
        let name = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "mail", "namespace": "n" }, NUMBER: 1 });
        assert_eq!(written.objects[1], name);
        // A Secret with lost content keeps its name, and its number is not reused.
        let again = Values::default().of([&written, &revision(vec![secret("bmV3")])].into_iter());
        assert_eq!(again.0.keys().collect::<Vec<_>>(), [&2]);
        assert_eq!(again.without(&written), written);
    }

    #[test]
    fn an_entry_that_cannot_be_read_is_named_without_its_value() {
        let broken = json!({ "data": { "1": STANDARD.encode("canary") } });
        let said = parse(&broken).err().map(|it| format!("{it:#}"));
        assert_eq!(said.as_deref(), Some("entry 1 is no JSON"));
    }
}
