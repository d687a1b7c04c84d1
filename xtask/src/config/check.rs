//! What a well-formed file may still get wrong: pure rules over the values, each with its key's path.

use std::path::{Component, Path};

use crate::config::Config;

/// One wrong value: where it stands, and what is wrong with it.
#[derive(Debug, PartialEq)]
pub(crate) struct Complaint {
    pub(crate) key: &'static str,
    pub(crate) text: String,
}

/// Every wrong value of the file.
pub(crate) fn complaints(config: &Config) -> Vec<Complaint> {
    let mut out = Vec::new();
    let mut check = |key, problem: Option<String>| {
        if let Some(text) = problem {
            out.push(Complaint { key, text });
        }
    };
    if let Some(name) = &config.name {
        // kind adds "-control-plane", and the result is a host name of at most 63 characters.
        check("name", label(name, 40));
    }
    let frontend = &config.frontend;
    for (key, path) in [
        ("frontend.path", &frontend.path),
        ("frontend.patch_dir", &frontend.patch_dir),
        ("frontend.dockerfile", &frontend.dockerfile),
        ("frontend.requirements", &frontend.requirements),
    ] {
        check(key, inside(path));
    }
    check("frontend.packages", frontend.packages.values().find_map(|it| distribution(it)));
    check("frontend.groups", frontend.groups.iter().find_map(|it| distribution(it)));
    check("frontend.image", image_name(&frontend.image));
    check("frontend.version", tag(&frontend.version));
    if config.cluster.port == Some(0) {
        check("cluster.port", Some("must be between 1 and 65535".to_owned()));
    }
    let database = &config.database;
    check("database.name", identifier(&database.name));
    check("database.user", identifier(&database.user));
    if database.user == "postgres" {
        check("database.user", Some("`postgres` is PostgreSQL's superuser; the application gets a user of its own".to_owned()));
    }
    if database.password.as_ref().is_some_and(|it| it.expose().is_empty()) {
        check("database.password", Some("must not be empty; leave the key out to have one generated".to_owned()));
    }
    if !(1..=9).contains(&database.instances) {
        check("database.instances", Some("must be between 1 and 9".to_owned()));
    }
    check("database.storage", quantity(&database.storage));
    let app = &config.app;
    check("app.namespace", label(&app.namespace, 63));
    if matches!(app.namespace.as_str(), "default" | "cnpg-system") || app.namespace.starts_with("kube-") {
        check("app.namespace", Some(format!("`{}` belongs to others; the application gets a namespace of its own", app.namespace)));
    }
    if !(1..=50).contains(&app.replicas) {
        check("app.replicas", Some("must be between 1 and 50".to_owned()));
    }
    // Django's check security.W009 asks for at least 50 characters.
    if app.secret_key.as_ref().is_some_and(|it| it.expose().len() < 50) {
        check("app.secret_key", Some("must have at least 50 characters; leave the key out to have one generated".to_owned()));
    }
    check("app.host", host_name(&app.host));
    if !app.path.starts_with('/') || app.path.contains(char::is_whitespace) {
        check("app.path", Some("must begin with `/` and hold no spaces".to_owned()));
    }
    for mirror in config.images.mirrors.values() {
        let rest = mirror.strip_prefix("http://").or_else(|| mirror.strip_prefix("https://"));
        if rest.is_none_or(|it| it.is_empty() || it.ends_with('/')) {
            check(
                "images.mirrors",
                Some(format!("`{mirror}` must read `http://host:port` or `https://host/path`, without a slash at the end")),
            );
        }
    }
    out
}

fn label(name: &str, longest: usize) -> Option<String> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let good = !name.is_empty() && name.len() <= longest && name.chars().all(allowed) && !name.starts_with('-') && !name.ends_with('-');
    (!good).then(|| format!("`{name}` must be lower-case letters, digits and inner `-`, at most {longest} characters"))
}

fn host_name(name: &str) -> Option<String> {
    let bad = name.split('.').any(|it| label(it, 63).is_some());
    bad.then(|| format!("`{name}` is not a host name in lower case"))
}

/// PostgreSQL takes more; what needs no quoting and fits 63 bytes is enough.
fn identifier(name: &str) -> Option<String> {
    let good = !name.is_empty()
        && name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    (!good).then(|| format!("`{name}` must be lower-case letters, digits and `_`, beginning with a letter"))
}

/// The path of an image reference, with an optional registry host before it (OCI distribution specification).
/// A distribution's name, perhaps with extras or a version: no option, address or path, and nothing is fine, too.
fn distribution(text: &str) -> Option<String> {
    let good = text.chars().all(|it| it.is_ascii_alphanumeric() || "-_.[],<>=!~* ".contains(it))
        && text.chars().next().is_none_or(|it| it.is_ascii_alphanumeric());
    (!good).then(|| format!("`{text}` is no name of a distribution"))
}

fn image_name(name: &str) -> Option<String> {
    let component = |it: &str| {
        !it.is_empty()
            && it.starts_with(|c: char| c.is_ascii_alphanumeric())
            && it.ends_with(|c: char| c.is_ascii_alphanumeric())
            && it.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-'))
    };
    let mut parts = name.split('/').peekable();
    let first = parts.next().unwrap_or_default();
    let has_more = parts.peek().is_some();
    let first_is_good = match first.split_once(':') {
        Some((host, port)) => has_more && component(host) && port.parse::<u16>().is_ok(),
        None => component(first),
    };
    let good = first_is_good && parts.all(component);
    (!good).then(|| {
        format!("`{name}` must be an image name in lower case without a tag, such as `polls` or `registry.example.com/team/polls`")
    })
}

/// Leaves room for the content key that one of the tags carries.
fn tag(version: &str) -> Option<String> {
    if version == "latest" {
        return Some("`latest` says nothing; name a version".to_owned());
    }
    let good = !version.is_empty()
        && version.len() <= 100
        && version.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && version.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
    (!good).then(|| format!("`{version}` must be a tag: letters, digits, `.`, `_` and `-`, at most 100 characters"))
}

fn quantity(text: &str) -> Option<String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let good = digits.parse::<u32>().is_ok_and(|it| it > 0) && matches!(&text[digits.len()..], "Mi" | "Gi" | "Ti");
    (!good).then(|| format!("`{text}` must be a size such as `512Mi` or `1Gi`"))
}

fn inside(path: &Path) -> Option<String> {
    let outside = path.as_os_str().is_empty() || path.is_absolute() || path.components().any(|it| it == Component::ParentDir);
    outside.then(|| format!("`{}` must be a path inside the project, without `..`", path.display()))
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
    fn image_names_of_companies_pass() {
        for name in ["polls", "team/polls", "registry.example.com/team/polls", "localhost:5000/polls"] {
            assert_eq!(image_name(name), None, "{name}");
        }
        for name in ["", "Polls", "polls:1", "a//b", "host:port/x", "localhost:5000"] {
            assert!(image_name(name).is_some(), "{name}");
        }
    }

    #[test]
    fn metacharacters_never_get_through() {
        for evil in ["a b", "a;b", "$(x)", "`x`", "a\nb", "'", "\"", "../x", "{{x}}", "a&b"] {
            assert!(label(evil, 63).is_some(), "{evil}");
            assert!(identifier(evil).is_some(), "{evil}");
            assert!(image_name(evil).is_some(), "{evil}");
            assert!(tag(evil).is_some(), "{evil}");
            assert!(host_name(evil).is_some(), "{evil}");
        }
    }
}
