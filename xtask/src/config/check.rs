//! What a well-formed file may still get wrong: pure rules over the values, each with its key's path.

use std::path::Path;

use crate::config::{
    ClusterConfig, ClusterType, Config, FILE,
    form::{
        control_character, database_name, host_name, image_name, image_place, image_reference, inside, label, mirror, postgresql_image,
        quantity, registry, role, tag, url_path,
    },
    keys::KEYS,
};

/// One wrong value: where it stands, and what is wrong with it.
#[derive(Debug, PartialEq)]
pub(crate) struct Complaint {
    pub(crate) key: &'static str,
    /// The name in a table whose names are the user's own.
    pub(crate) entry: Option<String>,
    pub(crate) text: String,
}

/// The folder that every run writes to.
const WORK: &str = "target/pocdeploy";
/// Linux passes a variable of at most 128 KiB (`MAX_ARG_STRLEN`); a secret that long is a file given by mistake.
const LONGEST_SECRET: usize = 4096;

/// Every wrong value of the file.
pub(crate) fn complaints(config: &Config) -> Vec<Complaint> {
    let mut out = Vec::new();
    // One complaint a key: the first says what to do, and others may only follow from it.
    let mut check = |key, problem: Option<String>| {
        if let Some(text) = problem
            && !out.iter().any(|it: &Complaint| it.key == key)
        {
            out.push(Complaint { key, entry: None, text });
        }
    };
    for key in &KEYS {
        check(key.path, key.text(config).and_then(|it| control_character(&it)));
    }
    if let Some(name) = &config.name {
        // kind adds fourteen characters for its node, and the result is a host name of at most 63 characters.
        check("name", label(name, 40));
    }
    let frontend = &config.frontend;
    let paths = [
        ("frontend.path", &frontend.path),
        ("frontend.patch_dir", &frontend.patch_dir),
        ("frontend.dockerfile", &frontend.dockerfile),
        ("frontend.requirements", &frontend.requirements),
    ];
    for (key, path) in paths {
        check(key, inside(path).or_else(|| own(path)));
    }
    check("frontend.packages", frontend.packages.values().find_map(|it| distribution(it)));
    check("frontend.groups", frontend.groups.iter().find_map(|it| distribution(it)));
    check("frontend.requirements", overwritten(&frontend.requirements, &frontend.dockerfile));
    check("frontend.image", image_name(&frontend.image));
    check("frontend.version", tag(&frontend.version));
    if config.cluster.port == Some(0) {
        check("cluster.port", Some("must be between 1 and 65535".to_owned()));
    }
    cluster(&config.cluster, &mut check);
    let database = &config.database;
    check("database.name", database_name(&database.name));
    check("database.user", role(&database.user));
    check("database.password", database.password.as_ref().and_then(|it| secret(it.expose())));
    if !(1..=9).contains(&database.instances) {
        check("database.instances", Some("must be between 1 and 9".to_owned()));
    }
    check("database.storage", quantity(&database.storage));
    let app = &config.app;
    check("app.namespace", label(&app.namespace, 63));
    if matches!(app.namespace.as_str(), "default" | "cnpg-system" | "local-path-storage") || app.namespace.starts_with("kube-") {
        check("app.namespace", Some(format!("`{}` belongs to others; the application gets a namespace of its own", app.namespace)));
    }
    if !(1..=50).contains(&app.replicas) {
        check("app.replicas", Some("must be between 1 and 50".to_owned()));
    }
    check("app.secret_key", app.secret_key.as_ref().and_then(|it| secret_key(it.expose()).or_else(|| secret(it.expose()))));
    check("app.host", host_name(&app.host));
    check("app.path", url_path(&app.path));
    if !app.text.is_empty() && app.text.trim().is_empty() {
        check("app.text", Some("is blank, which every page holds; leave the key out to ask for no text".to_owned()));
    }
    let images = &config.images;
    for (key, image) in [("images.python", &images.python), ("images.node", &images.node), ("images.operator", &images.operator)] {
        check(key, image.as_deref().and_then(image_reference));
    }
    check("images.postgresql", images.postgresql.as_deref().and_then(postgresql_image));
    for (host, url) in &images.mirrors {
        if let Some(text) = registry(host).or_else(|| mirror(url)) {
            out.push(Complaint { key: "images.mirrors", entry: Some(host.clone()), text });
        }
    }
    out
}

/// Keys that the type of cluster asks for, and those that mean nothing to it.
fn cluster(cluster: &ClusterConfig, check: &mut impl FnMut(&'static str, Option<String>)) {
    let given = |value: &Option<String>| value.as_deref().is_some_and(|it| !it.trim().is_empty());
    let existing = [
        ("cluster.kubeconfig", cluster.kubeconfig.is_some()),
        ("cluster.context", cluster.context.is_some()),
        ("cluster.registry", cluster.registry.is_some()),
        ("cluster.pull_registry", cluster.pull_registry.is_some()),
        ("cluster.expose", cluster.expose.is_some()),
    ];
    match cluster.kind {
        ClusterType::Existing => {
            for (key, value, example) in [
                ("cluster.context", &cluster.context, "a context of the kubeconfig; `kubectl config get-contexts` lists them"),
                ("cluster.registry", &cluster.registry, "where images are pushed to, such as registry.example.com/team"),
            ] {
                check(key, (!given(value)).then(|| format!("a cluster of type `existing` needs it: {example}")));
            }
            for (key, value) in [("cluster.registry", &cluster.registry), ("cluster.pull_registry", &cluster.pull_registry)] {
                check(key, value.as_deref().and_then(image_place));
            }
            check(
                "cluster.port",
                cluster.port.map(|_| "is the port of a kind cluster; `cluster.expose` says how an existing one is reached".to_owned()),
            );
        }
        _ => {
            for (key, is_set) in existing {
                check(key, is_set.then(|| "is for clusters of type `existing`".to_owned()));
            }
        }
    }
}

/// A path of the tool's own, which no application can be.
fn own(path: &Path) -> Option<String> {
    path.starts_with(WORK).then(|| format!("`{}` is in the folder that each run writes anew", path.display()))
}

/// A distribution's name, perhaps with extras or a version: no option, address or path, and nothing is fine, too.
fn distribution(text: &str) -> Option<String> {
    let good = text.chars().all(|it| it.is_ascii_alphanumeric() || "-_.[],<>=!~* ".contains(it))
        && text.chars().next().is_none_or(|it| it.is_ascii_alphanumeric());
    (!good).then(|| format!("`{text}` is no name of a distribution"))
}

/// The pins are written by the tool: they take no other file's place.
fn overwritten(requirements: &Path, dockerfile: &Path) -> Option<String> {
    let named = requirements.strip_prefix(".").unwrap_or(requirements);
    let what = if named == Path::new(FILE) {
        FILE
    } else if named == dockerfile.strip_prefix(".").unwrap_or(dockerfile) {
        "the Dockerfile"
    } else if named.file_name().is_none() {
        "a folder"
    } else {
        return None;
    };
    Some(format!("`{}` is {what}, and pins would be written over it", requirements.display()))
}

/// Rules of any secret. Its value is never repeated.
fn secret(value: &str) -> Option<String> {
    if value.is_empty() {
        return Some("must not be empty; leave the key out to have one generated".to_owned());
    }
    if value.trim().is_empty() {
        return Some("must not be blank; leave the key out to have one generated".to_owned());
    }
    (value.len() > LONGEST_SECRET).then(|| format!("must have at most {LONGEST_SECRET} bytes"))
}

/// Django's check security.W009: at least 50 characters, five of them different, and not the key that `startproject` writes.
fn secret_key(value: &str) -> Option<String> {
    let mut different: Vec<char> = value.chars().collect();
    different.sort_unstable();
    different.dedup();
    let why = if value.chars().count() < 50 {
        "must have at least 50 characters"
    } else if different.len() < 5 {
        "must have at least 5 different characters"
    } else if value.starts_with("django-insecure-") {
        "is the key of a new project, which Django calls insecure"
    } else {
        return None;
    };
    Some(format!("{why}; leave the key out to have one generated"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Vec<&'static str> {
        let config: Config = toml::from_str(text).unwrap();
        complaints(&config).into_iter().map(|it| it.key).collect()
    }

    #[test]
    fn wrong_values_are_found_all_at_once() {
        let text = "name = \"Big\"\n[frontend]\npath = \"../elsewhere\"\nimage = \"polls:1\"\nversion = \"latest\"\n[cluster]\nport = 0\n\
                    [database]\nname = \"a;drop\"\nstorage = \"lots\"\n[app]\nnamespace = \"kube-system\"\nsecret_key = \"short\"\n";
        let expected = [
            "name",
            "frontend.path",
            "frontend.image",
            "frontend.version",
            "cluster.port",
            "database.name",
            "database.storage",
            "app.namespace",
            "app.secret_key",
        ];
        assert_eq!(keys(text), expected);
    }

    #[test]
    fn no_key_that_is_text_takes_a_control_character() {
        for key in KEYS.iter().filter(|it| it.text(&Config::default()).is_some() || it.path.starts_with("images.") || it.path == "name") {
            for evil in ["a\nb", "a\r", "a\0b", "a\u{7f}b", "a\u{85}b", "\u{1b}[31m"] {
                let mut config = Config::default();
                // A list of names refuses it by itself.
                if key.set(&mut config, evil).is_ok() {
                    assert_eq!(complaints(&config).iter().map(|it| it.key).collect::<Vec<_>>(), [key.path], "{evil:?}");
                }
            }
        }
    }
}
