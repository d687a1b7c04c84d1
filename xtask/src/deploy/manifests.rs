//! Manifests as data: the files that `kubectl apply -f` would read in a folder, sorted by name, with the place of every object.

use std::{collections::HashMap, fmt, fs, path::Path};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::{
    deploy::yaml::{self, Document},
    errors::{Code, Problem},
    regular,
};

/// An object and its place.
#[derive(Clone, Debug)]
pub struct Manifest {
    pub object: Value,
    pub place: Place,
}

/// `deploy/frontend/worker.yaml:12`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub file: String,
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// `deploy/frontend/worker.yaml:12: Deployment worker`.
impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |pointer: &str| self.object.pointer(pointer).and_then(Value::as_str).unwrap_or("?").to_owned();
        write!(f, "{}: {} {}", self.place, text("/kind"), text("/metadata/name"))
    }
}

/// The annotation of an object that amends another one of the same kind and name: "true".
pub const MERGE: &str = "dev.pocdeploy/merge";

impl Manifest {
    /// Whether the object amends another one.
    pub fn amends(&self) -> bool {
        self.object.pointer("/metadata/annotations").is_some_and(|it| it[MERGE] == "true")
    }
}

/// All objects in the folder's `.yaml`, `.yml` and `.json` files; lists are expanded. An object without a name, or a duplicate, is an error
/// with its place.
pub fn read_folder(dir: &Path) -> Result<Vec<Manifest>> {
    let mut paths: Vec<_> = fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))?.flatten().map(|it| it.path()).collect();
    paths.retain(|it| it.extension().is_some_and(|it| it == "yaml" || it == "yml" || it == "json"));
    paths.sort();
    let mut out: Vec<Manifest> = Vec::new();
    for path in paths {
        let text = regular::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        out.extend(read(&text, &name_of(&path))?);
    }
    refuse_twins(std::iter::once(&out), "")?;
    Ok(out)
}

/// An error for a duplicate object in these folders, since only the last one would be applied.
pub fn refuse_twins<'a>(folders: impl Iterator<Item = &'a Vec<Manifest>>, home: &str) -> Result<()> {
    let mut first: HashMap<_, &Manifest> = HashMap::new();
    for one in folders.flatten() {
        let earlier = *first.entry((one.amends(), identity(&one.object, home))).or_insert(one);
        // Every service may define its namespace.
        let may_repeat = one.object["kind"] == "Namespace" && earlier.place.file != one.place.file;
        if !std::ptr::eq(earlier, one) && !may_repeat {
            let what = format!("a duplicate object:\n  {earlier}\n  {one}");
            return Err(Problem::config(what).code(Code::Manifest).hint("keep one of them, or give the other a name of its own").into());
        }
    }
    Ok(())
}

/// The objects of a file; `file` is its name in messages.
pub fn read(text: &str, file: &str) -> Result<Vec<Manifest>> {
    let place = |line| Place { file: file.to_owned(), line };
    let found = yaml::documents(text).map_err(|fault| bad(&place(fault.line), &fault.what))?;
    let mut out = Vec::new();
    for Document { line, items, value } in found {
        if !value.is_object() {
            return Err(bad(&place(line), "a manifest is a mapping, with kind and metadata"));
        }
        expand(value, line, &items, &mut |object, line| {
            let manifest = Manifest { object, place: place(line) };
            check(&manifest, text)?;
            out.push(manifest);
            Ok(())
        })?;
    }
    Ok(out)
}

/// Every object of a YAML stream or a JSON list; empty documents are skipped.
pub fn parse(text: &str) -> Result<Vec<Value>> {
    if text.starts_with('[') {
        return serde_json::from_str(text).map_err(|error| Problem::config(error.to_string()).code(Code::Manifest).into());
    }
    Ok(read(text, "the manifest")?.into_iter().map(|it| it.object).collect())
}

/// The object, or the items of a list, recursively. Items of a typed list may lack their kind.
fn expand(mut value: Value, line: usize, lines: &[usize], out: &mut dyn FnMut(Value, usize) -> Result<()>) -> Result<()> {
    let Some(Value::Array(items)) = value.get_mut("items").map(Value::take) else { return out(value, line) };
    let kind = value["kind"].as_str().unwrap_or_default();
    let item_kind = kind.strip_suffix("List").unwrap_or_default();
    for (index, mut item) in items.into_iter().enumerate() {
        if !item_kind.is_empty() && item.is_object() && item["kind"].is_null() {
            item["kind"] = json!(item_kind);
            item["apiVersion"] = value["apiVersion"].clone();
        }
        expand(item, lines.get(index).copied().unwrap_or(line), &[], out)?;
    }
    Ok(())
}

/// Mappings that the tool writes to.
const MAPPINGS: [&str; 12] = [
    "/metadata",
    "/metadata/labels",
    "/metadata/annotations",
    "/spec",
    "/spec/template",
    "/spec/template/metadata",
    "/spec/template/metadata/annotations",
    "/spec/template/spec",
    "/spec/storage",
    "/spec/bootstrap",
    "/spec/bootstrap/initdb",
    "/data",
];

fn check(manifest: &Manifest, text: &str) -> Result<()> {
    let Manifest { object, place } = manifest;
    if !object.is_object() {
        return Err(bad(place, "a manifest is a mapping, with kind and metadata"));
    }
    for pointer in MAPPINGS {
        if object.pointer(pointer).is_some_and(|it| !it.is_object() && !it.is_null()) {
            return Err(bad(place, &format!("{} is no mapping", pointer[1..].replace('/', "."))));
        }
    }
    let lacks = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).is_none_or(str::is_empty);
    if lacks("/metadata/name") && !lacks("/metadata/generateName") {
        // The line of the key, if it can be found.
        let at = text.lines().enumerate().skip(place.line - 1).find(|(_, it)| it.contains("generateName"));
        let place = Place { line: at.map_or(place.line, |(index, _)| index + 1), ..place.clone() };
        let what = "generateName makes another object each time, and apply needs one name: `kubectl apply` refuses it, too";
        let hint = "write metadata.name; for a Job that is to run again, change its content";
        return Err(Problem::config(format!("{place}: {what}")).code(Code::Manifest).hint(hint).into());
    }
    for (pointer, name) in [("/apiVersion", "apiVersion"), ("/kind", "kind"), ("/metadata/name", "metadata.name")] {
        if lacks(pointer) {
            return Err(bad(place, &format!("the object has no {name}, or one that is no text")));
        }
    }
    Ok(())
}

/// The error of a manifest that cannot be applied.
pub fn bad(place: &Place, what: &str) -> anyhow::Error {
    Problem::config(format!("{place}: {what}")).code(Code::Manifest).into()
}

/// Group, kind, namespace and name; no namespace is `home`.
pub fn identity(object: &Value, home: &str) -> (String, String, String, String) {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let group = text("/apiVersion").rsplit_once('/').map(|(group, _)| group.to_owned()).unwrap_or_default();
    let namespace = text("/metadata/namespace");
    (group, text("/kind"), if namespace == home { String::new() } else { namespace }, text("/metadata/name"))
}

/// `deploy/frontend/worker.yaml`. Folders of embedded files are elsewhere, with the same last components.
fn name_of(path: &Path) -> String {
    let parts: Vec<_> = path.components().map(|it| it.as_os_str().to_string_lossy()).collect();
    parts[parts.len().saturating_sub(3)..].join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutation::{LONG, SHORT, each};

    fn read(text: &str) -> Result<Vec<String>, String> {
        let found = super::read(text, "deploy/frontend/a.yaml").map_err(|it| it.to_string())?;
        Ok(found.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_stream_gives_its_objects_and_no_empty_ones() {
        let meta = "apiVersion: v1\nkind: A\nmetadata: {name: x}\n";
        let found = read(&format!("# head\n---\n{meta}--- # more\n\n---\n{meta}...\n---\n# end\n")).unwrap();
        assert_eq!(found, ["deploy/frontend/a.yaml:3: A x", "deploy/frontend/a.yaml:9: A x"]);
        assert_eq!(read("---\njust words").unwrap_err(), "deploy/frontend/a.yaml:2: a manifest is a mapping, with kind and metadata");
        assert_eq!(read("a: [\n").unwrap_err(), "deploy/frontend/a.yaml:1: unclosed bracket '['");
    }

    #[test]
    fn a_list_is_its_items_and_each_knows_its_line() {
        let found = read(
            "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Secret, metadata: {name: a}}\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: b}\n\
             ---\napiVersion: apps/v1\nkind: DeploymentList\nitems:\n\n- metadata: {name: c}\n---\nkind: List\napiVersion: v1\nitems: []\n",
        )
        .unwrap();
        let file = "deploy/frontend/a.yaml";
        assert_eq!(found, [format!("{file}:4: Secret a"), format!("{file}:5: ConfigMap b"), format!("{file}:13: Deployment c")]);
    }

    #[test]
    fn what_no_apply_can_name_is_refused_with_its_line() {
        for (text, expected) in [
            ("apiVersion: batch/v1\nkind: Job\nmetadata:\n  generateName: seed-\n", "4: generateName makes another object"),
            ("---\nkind: A\nmetadata: {name: x}\n", "2: the object has no apiVersion"),
            ("apiVersion: v1\nmetadata: {name: x}\n", "1: the object has no kind"),
            ("apiVersion: v1\nkind: A\nmetadata: {name: 0123}\n", "1: the object has no metadata.name, or one that is no text"),
            ("apiVersion: v1\nkind: A\nmetadata: [name]\n", "1: metadata is no mapping"),
            ("apiVersion: v1\nkind: A\nmetadata: {name: x, labels: [a]}\n", "1: metadata.labels is no mapping"),
        ] {
            let found = read(text).unwrap_err();
            assert!(found.contains(expected), "{found}");
        }
    }

    #[test]
    fn an_object_that_stands_twice_is_told_with_both_places() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("deploy/frontend");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("b.json"), r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}"#).unwrap();
        fs::write(folder.join("a.yml"), "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\n").unwrap();
        fs::write(folder.join("kept.txt"), "no manifest").unwrap();
        assert_eq!(read_folder(&folder).unwrap().len(), 2);
        fs::write(folder.join("c.yaml"), "---\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n").unwrap();
        let found = read_folder(&folder).unwrap_err().to_string();
        assert_eq!(found, "a duplicate object:\n  deploy/frontend/b.json:1: ConfigMap x\n  deploy/frontend/c.yaml:3: ConfigMap x");
    }

    const VALID: [&str; 4] = [
        include_str!("../../../deploy/frontend/deployment.yaml"),
        include_str!("../../../deploy/frontend/namespace.yaml"),
        "apiVersion: v1\nkind: ConfigMap\nmetadata: &m {name: x, labels: {a: b}}\ndata:\n  a: |\n    one\n    two\n  b: >-\n    three\n  c: \"\\u0041\"\n---\n\
         apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Secret, metadata: *m, data: {a: YQ==}}\n",
        "{\"apiVersion\": \"v1\", \"kind\": \"PodList\", \"items\": [{\"metadata\": {\"name\": \"x\"}, \"spec\": {\"n\": 1.5e3}}]}",
    ];
    const WORDS: [&str; 24] = [
        "apiVersion: v1\n",
        "kind: List\n",
        "metadata:\n",
        "  name: x\n",
        "items:\n- ",
        "---\n",
        "...\n",
        "%YAML 1.1\n",
        "&m ",
        "*m",
        "<<: *m\n",
        "!!binary ",
        "!!int ",
        "|\n",
        ">2+\n",
        "? ",
        "- - - ",
        "yes",
        "0o17",
        "1:30",
        ".inf",
        "~",
        "{a: b}",
        "[[],{}]",
    ];

    /// No text ends the tool, and a refusal names the file and a line of it.
    fn mutated(text: &str) {
        let Err(error) = super::read(text, "x.yaml") else { return };
        let said = error.to_string();
        let line = said.split("x.yaml:").nth(1).and_then(|it| it.split(|it: char| !it.is_ascii_digit()).next()?.parse::<usize>().ok());
        // A parser may call the end of the text a line of its own, and YAML has more line ends than a line feed.
        let lines = text.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count() + 1;
        assert!(line.is_some_and(|it| (1..=lines).contains(&it)), "{said}");
    }

    #[test]
    fn a_mutated_manifest_is_read_or_refused_with_a_line() {
        each(&VALID, &WORDS, SHORT, mutated);
    }

    #[test]
    #[ignore = "long: `cargo xtask test --full` reads a million texts"]
    fn a_million_mutated_manifests_are_read_or_refused_with_a_line() {
        each(&VALID, &WORDS, LONG, mutated);
    }
}
