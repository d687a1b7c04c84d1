//! Where each value comes from: flag, environment, file or default, in this order.

use std::{collections::BTreeMap, fmt};

use toml::de::{DeTable, DeValue};

use crate::config::{Config, FILE, keys::KEYS};

/// Who set a value.
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

/// The whole configuration, and who set which of its values; what nobody set is a default.
#[derive(Clone, Debug, Default)]
pub struct Resolved {
    pub config: Config,
    pub origins: BTreeMap<String, Origin>,
}

impl Resolved {
    pub fn origin(&self, path: &str) -> &Origin {
        self.origins.get(path).unwrap_or(&Origin::Default)
    }
}

/// The keys that a file sets, each with its line.
pub(crate) fn of_file(text: &str) -> BTreeMap<String, Origin> {
    let mut out = BTreeMap::new();
    for (path, at) in leaves(text) {
        if KEYS.iter().any(|it| it.path == path) {
            out.insert(path, Origin::File { line: text[..at].matches('\n').count() + 1 });
        }
    }
    out
}

/// Keys that mean nothing, each with its place; mirrors and packages have names of the user's own.
pub(crate) fn unknown(text: &str) -> Vec<(String, usize)> {
    // An empty table of a known name has no keys to judge.
    let known = |path: &str| KEYS.iter().any(|it| it.path == path || it.path.starts_with(&format!("{path}.")));
    let is_table = |path: &str, table: &str| path.strip_prefix(table).is_some_and(|it| it.is_empty() || it.starts_with('.'));
    let is_own = |path: &str| is_table(path, "images.mirrors") || is_table(path, "frontend.packages");
    leaves(text).into_iter().filter(|(path, _)| !known(path) && !is_own(path)).collect()
}

/// The known key that an unknown one may have been meant for.
pub(crate) fn nearest(path: &str) -> Option<&'static str> {
    let candidates = KEYS.iter().map(|it| (strsim::damerau_levenshtein(path, it.path), it.path));
    candidates.filter(|(distance, _)| *distance <= 3).min().map(|(_, path)| path)
}

/// Every key with a value, and the offset of its name. A text that does not parse has none.
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
        assert_eq!(nearest("frontend.pathh"), Some("frontend.path"));
        assert_eq!(nearest("other.key"), None);
    }
}
