//! Linters on the manifests that people have in hand and on the objects of a running cluster: checkov and kube-score find nothing but what a
//! rule of `linters.toml` allows, and kubeconform finds every object valid under the schemas that the cluster itself publishes.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use pocdeploy::deploy::manifests;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{bench::Bench, programs};

#[derive(Deserialize)]
struct Rules {
    rule: Vec<Rule>,
}

/// Findings that are allowed.
#[derive(Deserialize)]
struct Rule {
    reason: String,
    until: jiff::civil::Date,
    checks: Vec<String>,
    /// Those that are allowed on kind, and not in exported files.
    #[serde(default)]
    on_kind: Vec<String>,
    /// The starts of `KIND NAMESPACE/NAME`.
    objects: Vec<String>,
}

impl Rule {
    fn allows(&self, finding: &Finding, on_kind: bool) -> bool {
        let is_named = self.checks.contains(&finding.check) || (on_kind && self.on_kind.contains(&finding.check));
        is_named && self.objects.iter().any(|it| finding.object.starts_with(it))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    check: String,
    /// `KIND NAMESPACE/NAME`.
    object: String,
    what: String,
}

/// Objects that are looked at together, and where they are from.
pub(crate) struct Set {
    pub(crate) name: &'static str,
    pub(crate) objects: Vec<Value>,
}

/// A pod with a mistake for each linter.
fn bad() -> Set {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "bad", "namespace": "x" },
        "spec": { "containers": [{ "name": "c", "image": "x:latest", "privilegd": true, "securityContext": { "privileged": true } }] },
    });
    Set { name: "a bad pod", objects: vec![pod] }
}

/// The schemas of the cluster's own API, where kubeconform looks for them.
pub(crate) struct Schemas(tempfile::TempDir);

impl Schemas {
    pub(crate) fn of(bench: &Bench) -> Schemas {
        let folder = tempfile::tempdir().unwrap();
        let index: Value = serde_json::from_str(&bench.kubectl("get --raw /openapi/v3")).unwrap();
        for path in index["paths"].as_object().unwrap().keys().filter(|it| it.starts_with("api")) {
            let mut all: Value = serde_json::from_str(&bench.kubectl(&format!("get --raw /openapi/v3/{path}"))).unwrap();
            let mut schemas = all["components"]["schemas"].take();
            if schemas.is_null() {
                continue;
            }
            schemas.as_object_mut().unwrap().values_mut().for_each(close);
            for (name, schema) in schemas.as_object().unwrap() {
                for of in schema["x-kubernetes-group-version-kind"].as_array().into_iter().flatten() {
                    let text = |field: &str| of[field].as_str().unwrap().to_lowercase();
                    let group = text("group").split('.').next().unwrap().to_owned();
                    let suffix = if group.is_empty() { text("version") } else { format!("{group}-{}", text("version")) };
                    let whole = json!({ "$ref": format!("#/components/schemas/{name}"), "components": { "schemas": schemas } });
                    fs::write(folder.path().join(format!("{}-{suffix}.json", text("kind"))), whole.to_string()).unwrap();
                }
            }
        }
        Schemas(folder)
    }

    /// What kubeconform says of objects that are not valid, or that it does not know.
    fn invalid(&self, file: &Path) -> Vec<String> {
        let place = format!("{}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json", self.0.path().display());
        let mut command = Command::new(programs::kubeconform());
        let said = command.args(["-strict", "-verbose", "-output", "json", "-schema-location", &place]).arg(file).output().unwrap();
        let all: Value = serde_json::from_slice(&said.stdout).unwrap_or_else(|_| panic!("{said:?}"));
        let all = all["resources"].as_array().unwrap();
        assert!(!all.is_empty(), "{said:?}");
        all.iter().filter(|it| it["status"] != "statusValid").map(Value::to_string).collect()
    }
}

/// An object with fields that the schema does not name is invalid. OpenAPI's words that are none of JSON Schema go.
fn close(schema: &mut Value) {
    match schema {
        Value::Array(all) => all.iter_mut().for_each(close),
        Value::Object(fields) => {
            let is_open = fields.contains_key("additionalProperties") || fields.contains_key("x-kubernetes-preserve-unknown-fields");
            let is_resource = fields.contains_key("x-kubernetes-embedded-resource");
            if fields.get("properties").is_some_and(Value::is_object) && !is_open && !is_resource {
                fields.insert("additionalProperties".to_owned(), json!(false));
            }
            for (name, field) in fields.iter_mut() {
                match (name.as_str(), field) {
                    ("properties", Value::Object(properties)) => properties.values_mut().for_each(close),
                    ("default" | "enum", _) => {}
                    (_, field) => close(field),
                }
            }
        }
        _ => {}
    }
}

/// The objects in the files of `deploy/`, and the pods that the operator made of the `Cluster`: their Service and policy are in the files.
pub(crate) fn files(bench: &Bench) -> Set {
    let folders = ["deploy/frontend", "deploy/database"].map(|it| manifests::read_folder(&bench.path(it)).unwrap());
    let objects = folders.into_iter().flatten().map(|it| it.object).chain(instances(bench, "polls")).collect();
    Set { name: "files in deploy/", objects }
}

/// The pods of the database, as those of another namespace.
pub(crate) fn instances(bench: &Bench, namespace: &str) -> Vec<Value> {
    let mut pods = list(&bench.kubectl("-n polls get pods -l cnpg.io/podRole=instance -o json"));
    assert!(!pods.is_empty());
    pods.iter_mut().for_each(|it| it["metadata"]["namespace"] = json!(namespace));
    pods
}

/// The objects of a namespace as the cluster has them, but Secrets, events and Endpoints, whose successor is there; with them what the operator has outside of namespaces. A pod
/// of a Job is judged as its Job: by itself it looks like a server without probes.
pub(crate) fn live(bench: &Bench, namespace: &'static str) -> Set {
    let kinds = bench.kubectl("api-resources --namespaced --verbs=list -o name");
    let kinds: Vec<&str> =
        kinds.split_whitespace().filter(|it| !["secrets", "endpoints"].contains(it) && !it.starts_with("events")).collect();
    let mut all: Vec<Value> = list(&bench.kubectl(&format!("-n {namespace} get {} -o json", kinds.join(","))));
    if namespace == "cnpg-system" {
        let kinds = "clusterroles,clusterrolebindings,validatingwebhookconfigurations,mutatingwebhookconfigurations";
        all.extend(list(&bench.kubectl(&format!("get {kinds} -l dev.pocdeploy/part=operator -o json"))));
    }
    all.retain(|it| it.pointer("/metadata/ownerReferences/0/kind").is_none_or(|owner| owner != "Job"));
    assert!(all.len() > 10, "{namespace} has {} objects", all.len());
    Set { name: namespace, objects: all }
}

/// Without the status, which the cluster writes.
fn list(said: &str) -> Vec<Value> {
    let mut all = serde_json::from_str::<Value>(said).unwrap()["items"].as_array().unwrap().clone();
    all.iter_mut().filter_map(Value::as_object_mut).for_each(|it| drop(it.remove("status")));
    all
}

fn id(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    format!("{} {}/{}", text("/kind"), text("/metadata/namespace"), text("/metadata/name"))
}

fn write(set: &Set, folder: &Path) -> PathBuf {
    let file = folder.join("objects.yaml");
    fs::write(&file, set.objects.iter().map(|it| format!("{}\n", json_document(it))).collect::<String>()).unwrap();
    file
}

/// JSON is YAML too; checkov needs lines.
fn json_document(object: &Value) -> String {
    format!("---\n{object:#}")
}

fn checkov(file: &Path) -> BTreeSet<Finding> {
    let mut command = Command::new(programs::python("checkov", "3.3.30"));
    command.arg("--file").arg(file).args(["--framework", "kubernetes", "--output", "json", "--compact", "--quiet", "--skip-download"]);
    let said = command.output().unwrap();
    let all: Value = serde_json::from_slice(&said.stdout).unwrap_or_else(|_| panic!("{said:?}"));
    let failed = all.pointer("/results/failed_checks").and_then(Value::as_array).unwrap_or_else(|| panic!("{all:#}"));
    assert_eq!(all["summary"]["parsing_errors"], 0, "{all:#}");
    let finding = |it: &Value| {
        let (check, resource) = (it["check_id"].as_str().unwrap(), it["resource"].as_str().unwrap());
        // `Deployment.polls.polls-frontend`; a pod of a template has its labels behind it. What is of no namespace is in `default`.
        let (kind, rest) = resource.split_once('.').unwrap();
        let (namespace, name) = rest.split_once('.').unwrap();
        let namespace = if kind.starts_with("Cluster") { "" } else { namespace };
        Finding { check: check.to_owned(), object: format!("{kind} {namespace}/{name}"), what: it["check_name"].to_string() }
    };
    failed.iter().map(finding).collect()
}

fn kube_score(file: &Path) -> BTreeSet<Finding> {
    let mut command = Command::new(programs::kube_score());
    let said = command.args(["score", "--output-format", "json"]).arg(file).output().unwrap();
    let all: Value = serde_json::from_slice(&said.stdout).unwrap_or_else(|_| panic!("{said:?}"));
    let mut out = BTreeSet::new();
    for scored in all.as_array().unwrap() {
        let mut object = Map::new();
        object.insert("kind".to_owned(), scored["type_meta"]["kind"].clone());
        object.insert("metadata".to_owned(), scored["object_meta"].clone());
        // 1 is critical, 5 a warning, 10 is well.
        for check in scored["checks"].as_array().into_iter().flatten().filter(|it| it["skipped"] != true && it["grade"].as_i64() < Some(7))
        {
            let of = check["check"]["id"].as_str().unwrap().to_owned();
            out.insert(Finding { check: of, object: id(&Value::Object(object.clone())), what: check["comments"].to_string() });
        }
    }
    out
}

/// Fails with every finding that no rule allows, and with a rule whose day has come; on kind with every rule that is of no use, too.
pub(crate) fn find_nothing(schemas: &Schemas, sets: &[Set], on_kind: bool) {
    let rules: Rules = toml::from_str(include_str!("linters.toml")).unwrap();
    assert!(rules.rule.len() <= 3, "{} rules", rules.rule.len());
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    for rule in &rules.rule {
        assert!(rule.until > today && rule.reason.len() > 40, "decide again: {}", rule.reason);
    }
    let folder = tempfile::tempdir().unwrap();
    let file = write(&bad(), folder.path());
    // Each linter can fail.
    assert_eq!(schemas.invalid(&file).len(), 1, "kubeconform takes an unknown field");
    assert!(checkov(&file).iter().any(|it| it.check == "CKV_K8S_16" && it.object == "Pod x/bad"), "{:#?}", checkov(&file));
    assert!(kube_score(&file).iter().any(|it| it.check == "container-resources" && it.object == "Pod x/bad"), "{:#?}", kube_score(&file));
    let mut used: BTreeSet<&str> = BTreeSet::new();
    let (mut wrong, mut looked) = (Vec::new(), 0);
    for set in sets {
        let file = write(set, folder.path());
        wrong.extend(schemas.invalid(&file).into_iter().map(|it| format!("{}: kubeconform: {it}", set.name)));
        let found: Vec<Finding> = checkov(&file).into_iter().chain(kube_score(&file)).collect();
        eprintln!("   {}: {} objects, {} findings", set.name, set.objects.len(), found.len());
        looked += set.objects.len();
        for finding in found {
            match rules.rule.iter().find(|it| it.allows(&finding, on_kind)) {
                Some(rule) => used.extend(rule.checks.iter().chain(&rule.on_kind).filter(|it| **it == finding.check).map(String::as_str)),
                None => wrong.push(format!("{}: {finding:?}", set.name)),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let all: BTreeSet<&str> = rules.rule.iter().flat_map(|it| it.checks.iter().chain(&it.on_kind)).map(String::as_str).collect();
    assert!(!on_kind || used == all, "not found any more: {:?}", all.difference(&used));
    eprintln!("   {looked} objects, {} rules", rules.rule.len());
}
