//! The support bundle of a failed instance: its content, the list of missing parts, and no secrets.

use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

use crate::kubernetes::Kubernetes;

const CANARIES: [&str; 5] = [
    "canary-in-the-file-0123456789-0123456789-0123456789-0123456789",
    "canary-in-a-variable",
    "canary-in-the-cluster",
    "canary-in-a-url",
    "canary-in-a-log",
];

fn pack(project: &Path) -> (String, BTreeMap<String, String>) {
    #[expect(clippy::disallowed_methods, reason = "the tool itself is what is tested")]
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_xtask"))
        .current_dir(project)
        .args(["support-bundle", "--out", "bundle.tar.gz"])
        .env_remove("CARGO_MANIFEST_DIR")
        .env("POCDEPLOY_CACHE_DIR", project.join("cache"))
        .env("DOCKER_HOST", "unix:///nonexistent/docker.sock")
        .env("POCDEPLOY_DATABASE_PASSWORD", CANARIES[1])
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "bundle.tar.gz\n");
    let bytes = fs::read(project.join("bundle.tar.gz")).unwrap();
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice())).entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        files.insert(entry.path().unwrap().display().to_string(), text);
    }
    (stderr, files)
}

/// `extra` is one more log line.
fn project(extra: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    fs::create_dir_all(root.join("target/pocdeploy/runs/1")).unwrap();
    fs::write(root.join("Pocdeploy.toml"), format!("[frontend]\nsecret_key = \"{}\"\n", CANARIES[0])).unwrap();
    let log = format!(
        "pip install -i https://user:{}@pypi.example.com/simple\nDB_PASSWORD={}\n{extra}\nAuthorization: Basic {}\nkept line\n",
        CANARIES[3],
        CANARIES[4],
        STANDARD.encode(format!("polls:{}", CANARIES[1])),
    );
    fs::write(root.join("target/pocdeploy/runs/1/deploy.log"), log).unwrap();
    (dir, root)
}

fn no_canary(files: &BTreeMap<String, String>) {
    for (name, text) in files {
        for canary in CANARIES {
            let encoded = STANDARD.encode(canary);
            // The base64 characters that depend on the value alone.
            for hidden in [canary, &encoded[..encoded.len() - 4]] {
                assert!(!text.contains(hidden) && !name.contains(hidden), "{name} holds {hidden}:\n{text}");
            }
        }
    }
}

#[test]
fn a_bundle_without_engine_and_cluster_says_what_is_missing() {
    let (_dir, root) = project("");
    let (said, files) = pack(&root);
    no_canary(&files);
    for missing in
        ["missing: objects, events and pod logs of the cluster: there is no kubeconfig", "missing: the engine and the node: DOCKER_HOST is"]
    {
        assert!(said.contains(missing), "{said}");
    }
    for name in
        ["CONTENTS.txt", "configuration/Pocdeploy.toml", "configuration/resolved.json", "doctor.json", "versions.txt", "runs/1/deploy.log"]
    {
        assert!(files.contains_key(&format!("support-bundle/{name}")), "{name} is not in {:?}", files.keys());
    }
    assert!(files["support-bundle/runs/1/deploy.log"].contains("kept line"));
    assert!(files["support-bundle/CONTENTS.txt"].contains("there is no kubeconfig"));
}

#[test]
fn no_secret_of_the_cluster_is_in_a_bundle_in_clear_or_in_base64() {
    let server = Kubernetes::start();
    let (_dir, root) = project(CANARIES[2]);
    fs::write(root.join("target/pocdeploy/kubeconfig"), server.kubeconfig()).unwrap();
    let secret = STANDARD.encode(CANARIES[2]);
    server.put(json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "polls" } }));
    server.put(json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "polls-db-app", "namespace": "polls" },
        "data": { "password": secret, "username": STANDARD.encode("polls") },
    }));
    server.put(json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "settings", "namespace": "polls" },
        "data": { "A": format!("postgresql://polls:{}@db/polls", CANARIES[2]), "B": secret, "C": "kept value" },
    }));
    server.put(json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "web-1", "namespace": "polls" },
        "spec": { "containers": [{ "name": "main", "env": [{ "name": "TOKEN", "value": CANARIES[2] }] }] },
    }));
    server.log("web-1", "main", &format!("connecting as polls with {}\nlog line\n", CANARIES[2]));
    let (said, files) = pack(&root);
    no_canary(&files);
    assert!(!said.contains("events and pod logs"), "{said}");
    let file = |name: &str| {
        files.get(&format!("support-bundle/cluster/polls/{name}")).unwrap_or_else(|| panic!("no {name} in {:?}", files.keys()))
    };
    assert!(file("logs/web-1/main.log").contains("connecting as polls with [redacted]\nlog line"));
    assert!(file("Secret.json").contains("\"password\": \"[redacted]\""));
    assert!(file("ConfigMap.json").contains("kept value"));
}
