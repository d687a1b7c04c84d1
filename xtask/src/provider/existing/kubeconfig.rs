//! Copies one context of the user's kubeconfig to a file. The user's files are read and never written.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::{
    env::Env,
    errors::{Code, Problem},
    regular,
};

/// The context with its cluster and user.
pub(super) struct Selected {
    /// A kubeconfig with this context, its cluster and its user only.
    pub(super) text: String,
    /// The API server's URL.
    pub(super) server: String,
}

/// The name of the context; the check of the configuration ensures that it is set.
pub(super) fn context(env: &Env) -> &str {
    env.config.cluster.context.as_deref().unwrap_or_default()
}

/// Whether the instance's kubeconfig has this context.
pub(super) fn is_written(env: &Env, selected: &Selected) -> bool {
    fs::read_to_string(env.kubeconfig()).is_ok_and(|it| it == selected.text)
}

/// Reads the files and selects the context.
pub(super) fn select(env: &Env) -> Result<Selected> {
    let paths = paths(env)?;
    let mut files = Vec::new();
    for path in &paths {
        let text = match regular::read_to_string(path) {
            Ok(text) => text,
            // As in kubectl, a file in KUBECONFIG may be missing.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && paths.len() > 1 => continue,
            Err(error) => return Err(unreadable(path, &error.to_string())),
        };
        // The parser's message may quote a part of the file, which contains keys.
        let value: Value = serde_saphyr::from_str(&text).map_err(|_| unreadable(path, "it is not YAML"))?;
        files.push((path.parent().unwrap_or(Path::new("/")).to_owned(), value));
    }
    let names: Vec<String> = paths.iter().map(|it| it.display().to_string()).collect();
    choose(&files, context(env)).map_err(|why| {
        let what = format!("cluster.context: {why} (read {})", names.join(", "));
        Problem::config(what).code(Code::Kubeconfig).hint("`kubectl config get-contexts` lists the contexts").into()
    })
}

fn unreadable(path: &Path, why: &str) -> anyhow::Error {
    Problem::config(format!("the kubeconfig {} cannot be read: {why}", path.display()))
        .code(Code::Kubeconfig)
        .hint("name the file as `cluster.kubeconfig` in Pocdeploy.toml, or set KUBECONFIG")
        .into()
}

/// The configured file, or the files in `KUBECONFIG`, or the one in the home folder.
fn paths(env: &Env) -> Result<Vec<PathBuf>> {
    let home = || std::env::var_os("HOME").map(PathBuf::from).context("there is no HOME to look for .kube/config in");
    if let Some(set) = &env.config.cluster.kubeconfig {
        return Ok(vec![match set.strip_prefix("~/") {
            Some(rest) => home()?.join(rest),
            None => env.path(set),
        }]);
    }
    if let Some(set) = std::env::var_os("KUBECONFIG").filter(|it| !it.is_empty()) {
        return Ok(std::env::split_paths(&set).filter(|it| !it.as_os_str().is_empty()).collect());
    }
    Ok(vec![home()?.join(".kube/config")])
}

/// Selects a context from files; each file has the folder that its relative paths refer to. As in kubectl, the first file with a name wins.
fn choose(files: &[(PathBuf, Value)], name: &str) -> Result<Selected, String> {
    let entry = |list: &str, name: &str| -> Option<(&Path, Value)> {
        files.iter().find_map(|(folder, file)| {
            let found = file[list].as_array()?.iter().find(|it| it["name"] == name)?;
            Some((folder.as_path(), found.clone()))
        })
    };
    let known = || {
        let all = files.iter().filter_map(|(_, file)| file["contexts"].as_array()).flatten();
        all.filter_map(|it| it["name"].as_str()).collect::<Vec<_>>().join(", ")
    };
    let (_, context) = entry("contexts", name).ok_or_else(|| format!("there is no context `{name}`; there are: {}", known()))?;
    let text = |pointer: &str| context.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (cluster_name, user_name) = (text("/context/cluster"), text("/context/user"));
    let (folder, mut cluster) =
        entry("clusters", &cluster_name).ok_or_else(|| format!("context `{name}` names cluster `{cluster_name}`, which does not exist"))?;
    absolute(&mut cluster["cluster"], folder, &["certificate-authority"]);
    let server = cluster.pointer("/cluster/server").and_then(Value::as_str).unwrap_or_default().to_owned();
    if server.is_empty() {
        return Err(format!("cluster `{cluster_name}` has no server"));
    }
    let mut users = Vec::new();
    if !user_name.is_empty() {
        let (folder, mut user) =
            entry("users", &user_name).ok_or_else(|| format!("context `{name}` names user `{user_name}`, which does not exist"))?;
        absolute(&mut user["user"], folder, &["client-certificate", "client-key", "tokenFile"]);
        // A relative path of an exec command refers to the file's folder; a bare name is looked up on PATH.
        if let Some(exec) = user.pointer_mut("/user/exec").filter(|it| it["command"].as_str().is_some_and(|it| it.contains('/'))) {
            absolute(exec, folder, &["command"]);
        }
        users.push(user);
    }
    let file = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "contexts": [{ "name": name, "context": { "cluster": cluster_name, "user": user_name } }],
        "clusters": [cluster],
        "users": users,
    });
    Ok(Selected { text: format!("{file:#}\n"), server })
}

/// Makes the paths in these fields absolute; they refer to the file's folder.
fn absolute(entry: &mut Value, folder: &Path, names: &[&str]) {
    for name in names {
        if let Some(path) = entry.get(*name).and_then(Value::as_str).filter(|it| !it.is_empty()) {
            entry[*name] = json!(folder.join(path).display().to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutation::{LONG, SHORT, each};

    fn file(text: &str) -> (PathBuf, Value) {
        (PathBuf::from("/home/x/.kube"), serde_saphyr::from_str(text).unwrap())
    }

    const ONE: &str = "\
current-context: other
contexts:
- name: dev
  context: { cluster: c, user: u, namespace: mine }
- name: other
  context: { cluster: gone, user: u }
clusters:
- name: c
  cluster: { server: 'https://192.0.2.1:6443', certificate-authority: ca.crt }
users:
- name: u
  user: { client-certificate: /abs/u.crt, client-key: keys/u.key, exec: { command: ./helper, apiVersion: client.authentication.k8s.io/v1 } }
- name: stranger
  user: { token: canary }
";

    #[test]
    fn a_context_comes_alone_and_its_paths_work_from_anywhere() {
        let selected = choose(&[file(ONE)], "dev").unwrap();
        assert_eq!(selected.server, "https://192.0.2.1:6443");
        let value: Value = serde_json::from_str(&selected.text).unwrap();
        assert_eq!(value["current-context"], "dev");
        assert_eq!(value.pointer("/clusters/0/cluster/certificate-authority").unwrap(), "/home/x/.kube/ca.crt");
        assert_eq!(value.pointer("/users/0/user/client-certificate").unwrap(), "/abs/u.crt");
        assert_eq!(value.pointer("/users/0/user/client-key").unwrap(), "/home/x/.kube/keys/u.key");
        assert_eq!(value.pointer("/users/0/user/exec/command").unwrap(), "/home/x/.kube/./helper");
        assert!(!selected.text.contains("canary") && !selected.text.contains("mine"), "{}", selected.text);
    }

    #[test]
    fn the_first_file_that_has_a_name_decides() {
        let second = "contexts: [{ name: dev, context: { cluster: x, user: x } }, { name: more, context: { cluster: c } }]";
        let files = [file(ONE), file(second)];
        assert_eq!(choose(&files, "dev").unwrap().server, "https://192.0.2.1:6443");
        assert_eq!(choose(&files, "more").unwrap().server, "https://192.0.2.1:6443");
    }

    #[test]
    fn what_is_missing_is_named() {
        let why = |name: &str| choose(&[file(ONE)], name).err().unwrap();
        assert_eq!(why("prod"), "there is no context `prod`; there are: dev, other");
        assert_eq!(why("other"), "context `other` names cluster `gone`, which does not exist");
        let without = "contexts: [{ name: a, context: { cluster: c } }]\nclusters: [{ name: c, cluster: {} }]";
        assert_eq!(choose(&[file(without)], "a").err().unwrap(), "cluster `c` has no server");
    }

    const WORDS: [&str; 16] = [
        "contexts:\n",
        "- name: dev\n",
        "  context: { cluster: c, user: u }\n",
        "clusters: ",
        "users: ",
        "server: ",
        "exec: ",
        "command: /x",
        "token: ",
        "null",
        "[]",
        "{}",
        "&a ",
        "*a",
        "--- ",
        "!!binary ",
    ];

    fn mutated(text: &str) {
        let Ok(value) = serde_saphyr::from_str::<Value>(text) else { return };
        match choose(&[(PathBuf::from("/home/x/.kube"), value)], "dev") {
            Ok(selected) => assert!(!selected.server.is_empty() && serde_json::from_str::<Value>(&selected.text).is_ok()),
            Err(why) => assert!(why.contains("`dev`") || why.contains("has no server"), "{why}"),
        }
    }

    #[test]
    fn a_mutated_kubeconfig_is_read_or_refused() {
        each(&[ONE], &WORDS, SHORT, mutated);
    }

    #[test]
    #[ignore = "long: `cargo xtask test --full` reads a million texts"]
    fn a_million_mutated_kubeconfigs_are_read_or_refused() {
        each(&[ONE], &WORDS, LONG, mutated);
    }
}
