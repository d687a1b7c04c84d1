//! The origin of each value: flag, environment, file or default, in this order of priority.

use std::{collections::BTreeMap, fmt, path::Path};

use toml::de::{DeTable, DeValue};

use crate::config::{Config, FILE, SecretSource, Service, check::Complaint, keys, slug};

/// What set a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Default,
    File { line: usize },
    Variable(String),
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { line } => write!(f, "{FILE}:{line}"),
            Origin::Variable(name) => f.write_str(name),
            Origin::Flag(name) => f.write_str(name),
        }
    }
}

/// The configuration, and the origin of each value; a missing origin means the default.
#[derive(Clone, Debug, Default)]
pub struct Resolved {
    pub config: Config,
    pub origins: BTreeMap<String, Origin>,
}

impl Resolved {
    pub fn origin(&self, path: &str) -> &Origin {
        self.origins.get(path).unwrap_or(&Origin::Default)
    }

    /// Names an application other than the example after the project's folder, as the instance is named, where no name is set: a value that
    /// people edit, such as `frontend.path`, must not change the namespace of a database that exists.
    pub(super) fn name_after(&mut self, project: &Path) {
        let Resolved { config, origins } = self;
        if config.frontend.path == Service::default().path {
            return;
        }
        let name = slug(project);
        let of_database = name.replace('-', "_");
        for (key, value, default) in [
            ("namespace", &mut config.namespace, name.clone()),
            ("frontend.image", &mut config.frontend.image, name.clone()),
            ("frontend.host", &mut config.frontend.host, format!("{name}.localhost")),
            ("database.name", &mut config.database.name, of_database.clone()),
            ("database.user", &mut config.database.user, of_database),
        ] {
            if !origins.contains_key(key) {
                *value = default;
            }
        }
    }

    /// Sets the defaults of further services that contain their names, which serde does not know.
    pub(super) fn name_services(&mut self) {
        let Resolved { config, origins } = self;
        for (name, service) in &mut config.services {
            let is_set = |key: &str| origins.contains_key(&format!("services.{name}.{key}"));
            let default = Service::named(name);
            let Service { path, patch_dir, dockerfile, requirements, image, replicas, host, page, .. } = service;
            for (key, value, default) in [
                ("path", path, default.path),
                ("patch_dir", patch_dir, default.patch_dir),
                ("dockerfile", dockerfile, default.dockerfile),
                ("requirements", requirements, default.requirements),
            ] {
                if !is_set(key) {
                    *value = default;
                }
            }
            for (key, value, default) in [("image", image, default.image), ("host", host, default.host), ("page", page, default.page)] {
                if !is_set(key) {
                    *value = default;
                }
            }
            if !is_set("replicas") {
                *replicas = default.replicas;
            }
        }
    }
}

impl Resolved {
    /// Keys of source and image that a service sets and that uses the image of another, and keys that its kind has no use for.
    pub(super) fn without_meaning(&self) -> Vec<Complaint> {
        let mut out = Vec::new();
        for (name, service) in self.config.services.iter().filter(|(_, it)| it.uses.is_some() && it.kind.is_none()) {
            let set = keys::OF_IMAGE.into_iter().map(|key| format!("services.{name}.{key}")).filter(|it| self.origins.contains_key(it));
            let used = service.uses.as_deref().unwrap_or_default();
            out.extend(set.map(|key| Complaint { key, entry: None, text: format!("means nothing here: {name} uses the image of {used}") }));
        }
        for (name, service) in &self.config.services {
            let Some(kind) = service.kind else { continue };
            let tables = [
                ("env", service.env.is_empty()),
                ("secrets", service.secrets.is_empty()),
                ("packages", service.packages.is_empty()),
                ("volumes", service.volumes.is_empty()),
            ];
            let tables = tables.into_iter().filter(|(_, is_empty)| !is_empty).map(|(key, _)| key);
            let keys = keys::of_service().filter(|key| self.origins.contains_key(&format!("services.{name}.{key}")));
            let set = keys.chain(tables).filter(|key| !kind.takes(key));
            out.extend(set.map(|key| Complaint { key: format!("services.{name}.{key}"), entry: None, text: kind.has_no(key) }));
        }
        out
    }
}

/// The key of a further service: `path` for `services.worker.path`.
fn key_of_service(path: &str) -> Option<&str> {
    path.strip_prefix("services.")?.split_once('.').map(|(_, key)| key)
}

fn is_known(path: &str) -> bool {
    keys::fixed().iter().any(|it| it.path == path) || key_of_service(path).is_some_and(|key| keys::of_service().any(|it| it == key))
}

/// The keys in a file, each with its line.
pub(crate) fn of_file(text: &str) -> BTreeMap<String, Origin> {
    let mut out = BTreeMap::new();
    for (path, at) in leaves(text) {
        if is_known(&path) {
            out.insert(path, Origin::File { line: text[..at].matches('\n').count() + 1 });
        }
    }
    out
}

/// Unknown keys, each with its place. Mirrors and packages have user-defined names.
pub(crate) fn unknown(text: &str) -> Vec<(String, usize)> {
    let fixed = keys::fixed();
    // An empty known table has no keys to check.
    let is_table_of = |path: &str| fixed.iter().any(|it| it.path.starts_with(&format!("{path}."))) || is_table(path, "services");
    let is_service = |path: &str| path.strip_prefix("services.").is_some_and(|it| !it.contains('.'));
    let is_own = |path: &str| {
        let key = key_of_service(path).or_else(|| path.strip_prefix("frontend."));
        is_table(path, "images.mirrors")
            || is_table(path, "cluster.backend")
            || key.is_some_and(|key| is_table(key, "packages") || is_table(key, "env") || is_volume(key) || is_secret(key))
    };
    let is_empty_table = |path: &str| path == "services" || is_service(path) || (is_table_of(path) && !path.starts_with("services."));
    let mut out = leaves(text);
    out.retain(|(path, _)| !is_known(path) && !is_own(path) && !is_empty_table(path) && !is_table(path, FORMER));
    out
}

/// `volumes.media.size`, or an empty table above it.
fn is_volume(key: &str) -> bool {
    let parts: Vec<&str> = key.split('.').collect();
    matches!(parts.as_slice(), ["volumes"] | ["volumes", _] | ["volumes", _, "path" | "size"])
}

/// `secrets.STRIPE_KEY.env`, or an empty table above it; a value instead of a source is a wrong type.
fn is_secret(key: &str) -> bool {
    let parts: Vec<&str> = key.split('.').collect();
    match parts.as_slice() {
        ["secrets"] | ["secrets", _] => true,
        ["secrets", _, key] => SecretSource::has(key),
        _ => false,
    }
}

fn is_table(path: &str, table: &str) -> bool {
    path.strip_prefix(table).is_some_and(|it| it.is_empty() || it.starts_with('.'))
}

/// A table of earlier versions. Its keys are in `[frontend]` now.
pub(super) const FORMER: &str = "app";

/// The keys of the removed table, in the order of the file, each with its offset.
pub(super) fn former(text: &str) -> Vec<(String, usize)> {
    let keys = leaves(text).into_iter().filter(|(path, _)| is_table(path, FORMER));
    keys.map(|(path, at)| (path.strip_prefix("app.").unwrap_or_default().to_owned(), at)).collect()
}

/// The known key that is closest to an unknown one.
pub(crate) fn nearest(path: &str) -> Option<String> {
    let mut known: Vec<String> = keys::fixed().into_iter().map(|it| it.path).collect();
    if let Some((name, _)) = path.strip_prefix("services.").and_then(|it| it.split_once('.')) {
        known = keys::of_service().map(|key| format!("services.{name}.{key}")).collect();
    }
    let candidates = known.into_iter().map(|it| (strsim::damerau_levenshtein(path, &it), it));
    candidates.filter(|(distance, _)| *distance <= 3).min().map(|(_, path)| path)
}

/// Every key with a value, and the offset of its name. Empty if the text is not valid TOML.
fn leaves(text: &str) -> Vec<(String, usize)> {
    let mut out = Vec::new();
    if let Ok(document) = DeTable::parse(text) {
        walk(document.get_ref(), "", &mut out);
    }
    out.sort_by_key(|(_, at)| *at);
    out
}

fn walk(table: &DeTable<'_>, prefix: &str, out: &mut Vec<(String, usize)>) {
    for (name, value) in table {
        let path = if prefix.is_empty() { name.get_ref().to_string() } else { format!("{prefix}.{}", name.get_ref()) };
        match value.get_ref() {
            DeValue::Table(inner) if !inner.is_empty() => walk(inner, &path, out),
            _ => out.push((path, name.span().start)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_tells_what_it_sets_and_what_means_nothing() {
        let text =
            "name = \"x\"\n[frontend]\npathh = \"y\"\nimage = \"z\"\n[images.mirrors]\n\"docker.io\" = \"http://m\"\n[other]\nkey = 1\n";
        let set: Vec<String> = of_file(text).into_iter().map(|(path, origin)| format!("{path} {origin}")).collect();
        assert_eq!(set, ["frontend.image Pocdeploy.toml:4", "name Pocdeploy.toml:1"]);
        let unknown: Vec<String> = unknown(text).into_iter().map(|(path, _)| path).collect();
        assert_eq!(unknown, ["frontend.pathh", "other.key"]);
        assert_eq!(nearest("frontend.pathh").as_deref(), Some("frontend.path"));
        assert_eq!(nearest("services.api.patth").as_deref(), Some("services.api.path"));
        assert_eq!(nearest("other.key"), None);
    }
}
