//! The format `kustomize`: a base in three parts, which are applied one after the other, and an overlay for each way to reach the
//! application.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    export::{
        Exported, File, Files, Settings, Variant, apply,
        clean::{copy_of, with_own_settings},
        file_name, kind, name, readme, secrets, text,
    },
    exposure::ServiceType,
};

/// The parts of the base and of each overlay, in the order of application.
pub(super) const PARTS: [&str; 3] = ["foundation", "jobs", "app"];

/// Argo CD deletes no object with it, since the object holds data.
const KEPT: (&str, &str) = ("argocd.argoproj.io/sync-options", "Prune=false");

/// The annotation of a part's objects for a controller that applies the parts in an order.
pub(super) type Waves = Option<&'static str>;

/// The files, complete with scripts and README.
pub fn files(it: &Exported) -> Result<Files> {
    let mut out = tree(it, None)?;
    out.insert("apply.sh".into(), apply::kustomize(it));
    out.insert("secrets.sh".into(), secrets::script(&it.namespace, &it.secrets));
    out.insert("README.md".into(), readme::kustomize(it).into());
    Ok(out)
}

/// Operator, base and overlays. With `waves`, the name of an annotation, each object has its part's number in it.
pub(super) fn tree(it: &Exported, waves: Waves) -> Result<Files> {
    let mut out = Files::new();
    if !it.operator.is_empty() {
        let folder = Path::new("operator");
        out.insert(folder.join("release.yaml"), release(it)?.into());
        kustomization(&mut out, folder, json!({ "resources": ["release.yaml"] }))?;
    }
    base(it, waves, &mut out)?;
    for variant in &it.variants {
        let mut files = Files::new();
        overlay(it, variant, &mut files)?;
        out.extend(files.into_iter().map(|(path, it)| (path, File::to_change(it.content))));
    }
    Ok(out)
}

/// The operator's objects in one file.
pub(super) fn release(it: &Exported) -> Result<String> {
    let all: Result<Vec<String>> = it.operator.iter().map(text).collect();
    Ok(all?.join("---\n"))
}

/// Writes each object to a file of its own; returns the files' names.
fn objects(out: &mut Files, folder: &Path, all: impl Iterator<Item = Value>) -> Result<Vec<String>> {
    let mut names = BTreeSet::new();
    let mut order = Vec::new();
    for object in all {
        let name = file_name(&object, &names);
        out.insert(folder.join(&name), text(&object)?.into());
        names.insert(name.clone());
        order.push(name);
    }
    Ok(order)
}

fn kustomization(out: &mut Files, folder: &Path, mut content: Value) -> Result<()> {
    content["apiVersion"] = json!("kustomize.config.k8s.io/v1beta1");
    content["kind"] = json!("Kustomization");
    out.insert(folder.join("kustomization.yaml"), text(&content)?.into());
    Ok(())
}

fn base(it: &Exported, waves: Waves, out: &mut Files) -> Result<()> {
    for (index, part) in PARTS.into_iter().enumerate() {
        let folder = Path::new("base").join(part);
        let mark = |mut object: Value| {
            if let Some(annotation) = waves {
                object["metadata"]["annotations"][annotation] = json!(index.to_string());
                if matches!(kind(&object), "Cluster" | "PersistentVolumeClaim" | "Namespace") {
                    object["metadata"]["annotations"][KEPT.0] = json!(KEPT.1);
                }
            }
            object
        };
        let of_part: Vec<Value> = part_objects(it, part).into_iter().map(mark).collect();
        let images = images(it, &of_part);
        let mut content = json!({ "resources": objects(out, &folder, of_part.into_iter())? });
        if !images.is_empty() {
            content["images"] = json!(images);
        }
        if part != "foundation" {
            let generated = generators(it, part, &folder, out);
            if !generated.is_empty() {
                content["configMapGenerator"] = json!(generated);
            }
            if let Some(annotation) = waves {
                content["generatorOptions"] = json!({ "annotations": { annotation: index.to_string() } });
            }
        }
        kustomization(out, &folder, content)?;
    }
    Ok(())
}

/// The images that the objects name.
fn images(it: &Exported, objects: &[Value]) -> Vec<Value> {
    let used = it.images.iter().filter(|image| objects.iter().any(|it| image.is_in(it)));
    used.map(|it| json!({ "name": it.name, "newName": it.repository, "digest": it.digest })).collect()
}

fn part_objects(it: &Exported, part: &str) -> Vec<Value> {
    match part {
        "foundation" => it.foundation.clone(),
        "jobs" => it.jobs.iter().map(|job| with_own_settings(job, &it.settings)).collect(),
        _ => it.app.clone(),
    }
}

/// The generators of the ConfigMaps that a part uses; kustomize adds a hash to the names, except to those of the Jobs' copies. A value of several lines, or in quotes, is a file, since kustomize changes a literal.
fn generators(it: &Exported, part: &str, folder: &Path, out: &mut Files) -> Vec<Value> {
    let mut all = Vec::new();
    for settings in used(it, part) {
        let mut generator = entries(settings, folder, out);
        generator["namespace"] = json!(it.namespace);
        generator["name"] = json!(settings.name);
        if part == "jobs" {
            generator["name"] = json!(copy_of(&settings.name));
            generator["options"] = json!({ "disableNameSuffixHash": true });
        }
        all.push(generator);
    }
    all
}

/// The settings that the part's pods use; those that nothing uses belong to the last part.
fn used<'a>(it: &'a Exported, part: &str) -> Vec<&'a Settings> {
    let by = |objects: &[Value], name: &str| objects.iter().any(|it| Exported::used(it, "ConfigMap").contains(name));
    let is_used = |settings: &&Settings| match part {
        "jobs" => by(&it.jobs, &settings.name),
        _ => by(&it.app, &settings.name) || !by(&it.jobs, &settings.name),
    };
    it.settings.iter().filter(is_used).collect()
}

fn entries(settings: &Settings, folder: &Path, out: &mut Files) -> Value {
    let (mut literals, mut files) = (Vec::new(), Vec::new());
    for (key, value) in &settings.data {
        if value.contains('\n') || value.starts_with(['"', '\'']) {
            let path = format!("settings/{}/{key}", settings.name);
            out.insert(folder.join(&path), value.clone().into());
            files.push(format!("{key}={path}"));
        } else {
            literals.push(format!("{key}={value}"));
        }
    }
    let mut generator = json!({});
    for (name, list) in [("literals", literals), ("files", files)] {
        if !list.is_empty() {
            generator[name] = json!(list);
        }
    }
    generator
}

fn overlay(it: &Exported, variant: &Variant, out: &mut Files) -> Result<()> {
    let folder = PathBuf::from("overlays").join(variant.name);
    kustomization(out, &folder, json!({ "resources": PARTS }))?;
    for part in PARTS {
        let folder = folder.join(part);
        let mut content = json!({ "resources": [format!("../../../base/{part}")] });
        let mut patches = Vec::new();
        match part {
            "foundation" => patches.extend(database(it, &folder, out)?),
            "app" => patches.extend(reached_by(it, variant, &folder, out)?),
            _ => {}
        }
        if !patches.is_empty() {
            content["patches"] = json!(patches);
        }
        let merged: Vec<Value> = used(it, part)
            .into_iter()
            .filter(|_| part != "foundation")
            .filter_map(|of| merge(it, variant, of, part, &folder, out))
            .collect();
        if !merged.is_empty() {
            content["configMapGenerator"] = json!(merged);
        }
        kustomization(out, &folder, content)?;
    }
    Ok(())
}

/// The settings of the variant that differ from the base's.
fn merge(it: &Exported, variant: &Variant, of: &Settings, part: &str, folder: &Path, out: &mut Files) -> Option<Value> {
    let other = variant.settings.iter().find(|it| it.name == of.name)?;
    let mut generator = entries(other, folder, out);
    generator["name"] = json!(if part == "jobs" { copy_of(&of.name) } else { of.name.clone() });
    generator["namespace"] = json!(it.namespace);
    generator["behavior"] = json!("merge");
    if part == "jobs" {
        generator["options"] = json!({ "disableNameSuffixHash": true });
    }
    Some(generator)
}

/// The patch with what a cluster decides about the database.
fn database(it: &Exported, folder: &Path, out: &mut Files) -> Result<Option<Value>> {
    let Some(cluster) = it.cluster() else { return Ok(None) };
    let spec = &cluster["spec"];
    let patch = json!({
        "apiVersion": cluster["apiVersion"],
        "kind": "Cluster",
        "metadata": { "name": it.database, "namespace": it.namespace },
        "spec": { "instances": spec["instances"], "storage": spec["storage"] },
    });
    out.insert(folder.join("database.yaml"), text(&patch)?.into());
    Ok(Some(json!({ "path": "database.yaml" })))
}

/// The patches with how users reach the application: Service, Ingress host, and number of pods.
fn reached_by(it: &Exported, variant: &Variant, folder: &Path, out: &mut Files) -> Result<Vec<Value>> {
    let mut patches = Vec::new();
    if let Some(service) = it.app.iter().find(|one| kind(one) == "Service" && name(one) == it.published.service) {
        let mut patch = json!([{ "op": "add", "path": "/spec/type", "value": variant.service.name() }]);
        if let (ServiceType::NodePort(Some(port)), Some(list)) = (&variant.service, patch.as_array_mut()) {
            list.push(json!({ "op": "add", "path": format!("/spec/ports/{}/nodePort", it.published.port), "value": port }));
        }
        out.insert(folder.join("service.yaml"), text(&patch)?.into());
        patches.push(json!({ "path": "service.yaml", "target": { "kind": "Service", "name": name(service) } }));
    }
    if let Some(ingress) = it.app.iter().find(|one| kind(one) == "Ingress") {
        let rules = ingress.pointer("/spec/rules").and_then(Value::as_array);
        if let Some(index) = rules.and_then(|it| it.iter().position(|rule| rule["host"].is_string())) {
            let patch = json!([{ "op": "replace", "path": format!("/spec/rules/{index}/host"), "value": it.host }]);
            out.insert(folder.join("ingress.yaml"), text(&patch)?.into());
            patches.push(json!({ "path": "ingress.yaml", "target": { "kind": "Ingress", "name": name(ingress) } }));
        }
    }
    Ok(patches)
}
