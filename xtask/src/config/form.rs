//! The syntax of values: names, image references, host names, sizes. Pure rules that return the mistake, or `None`.

use std::{net::IpAddr, path::Component, path::Path};

/// The name of a folder as a DNS label of at most 30 characters that starts with a letter: the application's name wherever it needs one.
pub fn slug(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let name: String = name.chars().map(|it| if it.is_ascii_alphanumeric() { it } else { '-' }).take(30).collect();
    let name = name.trim_matches('-').trim_start_matches(|it: char| it == '-' || it.is_ascii_digit());
    if name.is_empty() { "app".to_owned() } else { name.to_owned() }
}

/// A DNS label as in Kubernetes (RFC 1123), with at most `longest` characters.
pub(super) fn label(name: &str, longest: usize) -> Option<String> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let good = !name.is_empty() && name.len() <= longest && name.chars().all(allowed) && !name.starts_with('-') && !name.ends_with('-');
    (!good).then(|| format!("{} must be lower-case letters, digits and inner `-`, at most {longest} characters", quoted(name)))
}

/// What is wrong with the name of an instance.
pub fn complaint_about_instance(name: &str) -> Option<String> {
    label(name, 40)
}

/// The host of an Ingress: a DNS name with at most 253 characters, not an IP address (Kubernetes rejects it) and not a URL.
pub(super) fn host_name(name: &str) -> Option<String> {
    let why = if name.contains("://") {
        "is a URL: name its host alone"
    } else if name.parse::<IpAddr>().is_ok() {
        "is an address; an Ingress takes a host name"
    } else if name.contains('*') {
        "is a wildcard; name one host"
    } else if name.contains([':', '/']) {
        "must be the host alone, without port and path"
    } else if !name.is_ascii() {
        "must be ASCII: write the name in its `xn--` form"
    } else if name.len() > 253 || name.split('.').any(|it| label(it, 63).is_some()) {
        "is not a host name in lower case"
    } else {
        return None;
    };
    Some(format!("{} {why}", quoted(name)))
}

/// Path and query of a URL (RFC 3986). Browsers do not send what follows `#`.
pub(super) fn url_path(path: &str) -> Option<String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@/?%".contains(c);
    if !path.starts_with('/') || path.contains(char::is_whitespace) {
        return Some("must begin with `/` and hold no spaces".to_owned());
    }
    let bad = path.chars().find(|it| !allowed(*it))?;
    Some(format!("`{}` has no place in a URL's path: write it percent-encoded", bad.escape_debug()))
}

/// PostgreSQL allows more, but 63 bytes without capitals are sufficient.
pub(super) fn identifier(name: &str) -> Option<String> {
    let good = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if !good {
        return Some(format!("{} must be lower-case letters, digits and `_`, beginning with a letter", quoted(name)));
    }
    (name.len() > 63).then(|| format!("{} is longer than 63 bytes, PostgreSQL's limit", quoted(name)))
}

/// Rejects databases that `initdb` creates: the application would lack privileges there, or would change the template of other databases.
pub(super) fn database_name(name: &str) -> Option<String> {
    let taken = matches!(name, "postgres" | "template0" | "template1");
    identifier(name).or_else(|| taken.then(|| format!("`{name}` is a database of PostgreSQL's own; the application gets another")))
}

/// Rejects roles that exist already or are reserved: PostgreSQL's (`public`, `none`, `pg_…`) and CloudNativePG's.
pub(super) fn role(name: &str) -> Option<String> {
    let why = match name {
        "postgres" => "is PostgreSQL's superuser",
        "streaming_replica" | "cnpg_pooler_pgbouncer" => "is a role of CloudNativePG's own",
        "public" | "none" => "is a word that PostgreSQL reserves",
        _ if name.starts_with("pg_") => "begins with `pg_`, which PostgreSQL keeps for its own roles",
        _ => return identifier(name),
    };
    Some(format!("`{name}` {why}; the application gets a user of its own"))
}

/// The path of an image reference, optionally with a registry host (OCI distribution specification; the engine allows 255 characters).
pub(super) fn image_name(name: &str) -> Option<String> {
    if name.contains('@') {
        return Some(format!("{} names a digest; this image is built here, and its digest follows", quoted(name)));
    }
    let (registry, path) = split_registry(name);
    let good = name.len() <= 255 && registry.is_none_or(registry_host) && path.split('/').all(is_component);
    (!good).then(|| {
        format!("{} must be an image name in lower case without a tag, such as `polls` or `registry.example.com/team/polls`", quoted(name))
    })
}

/// The registry to push to: its host, optionally with a path.
pub fn image_place(place: &str) -> Option<String> {
    let (host, _) = place.split_once('/').unwrap_or((place, ""));
    let good = registry_host(host) && image_name(&format!("{place}/image")).is_none();
    (!good).then(|| format!("{} is no place for images, such as `registry.example.com/team`", quoted(place)))
}

/// A complete reference: name, and tag, digest or both.
pub(super) fn image_reference(reference: &str) -> Option<String> {
    let (rest, digest) = reference.split_once('@').map_or((reference, None), |(rest, digest)| (rest, Some(digest)));
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (rest, None),
    };
    let is_digest =
        |it: &str| it.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64 && hex.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')));
    let good = image_name(name).is_none() && tag.is_none_or(|it| is_tag(it, 128)) && digest.is_none_or(is_digest);
    (!good).then(|| format!("{} is no image reference, such as `registry.example.com/team/name:1.0`", quoted(reference)))
}

/// CloudNativePG parses PostgreSQL's version from the tag, and rejects a reference without one (`validateImageName` in its webhook).
pub(super) fn postgresql_image(reference: &str) -> Option<String> {
    image_reference(reference).or_else(|| {
        major(reference).is_none().then(|| {
            format!("{} needs a tag that begins with PostgreSQL's version, such as `:17`: CloudNativePG reads it there", quoted(reference))
        })
    })
}

/// The number with which the tag of an image of PostgreSQL begins: its major version.
pub fn major(reference: &str) -> Option<u16> {
    let name = reference.split('@').next().unwrap_or_default();
    let tag = name.rsplit_once(':').map(|(_, tag)| tag).filter(|it| !it.contains('/'))?;
    let end = tag.find(|it: char| !it.is_ascii_digit()).unwrap_or(tag.len());
    tag.get(..end)?.parse().ok()
}

/// A registry in image references: a host, optionally with a port.
pub(super) fn registry(host: &str) -> Option<String> {
    (!registry_host(host)).then(|| format!("{} is no registry's host, such as `docker.io` or `registry.example.com:5000`", quoted(host)))
}

/// The URL of a mirror. It is written to configuration files of the engine and the node.
pub(super) fn mirror(url: &str) -> Option<String> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")).unwrap_or_default();
    let (host, path) = rest.split_once('/').map_or((rest, None), |(host, path)| (host, Some(path)));
    if host.contains('@') {
        // The value is not shown, since it may contain a password.
        return Some("names a user: credentials of a registry have no place in its address".to_owned());
    }
    let good = registry_host(host) && path.is_none_or(|it| it.split('/').all(is_component));
    (!good).then(|| format!("{} must read `http://host:port` or `https://host/path`, without a slash at the end", quoted(url)))
}

/// Leaves room for the hash that is added to one of the tags.
pub(super) fn tag(version: &str) -> Option<String> {
    if version == "latest" {
        return Some("`latest` says nothing; name a version".to_owned());
    }
    (!is_tag(version, 100)).then(|| format!("{} must be a tag: letters, digits, `.`, `_` and `-`, at most 100 characters", quoted(version)))
}

/// The size of a volume. 128Mi are just enough for the files of a database and two WAL segments; more than 1024Ti is a mistake, and near
/// the limit of Kubernetes' quantities.
pub(super) fn quantity(text: &str) -> Option<String> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let size = number.chars().all(|it| it.is_ascii_digit()).then(|| number.parse::<u64>().ok()).flatten();
    let mebibytes = match (size, &text[number.len()..]) {
        (Some(size), "Mi") => Some(size),
        (Some(size), "Gi") => size.checked_mul(1 << 10),
        (Some(size), "Ti") => size.checked_mul(1 << 20),
        _ => return Some(format!("{} must be a size such as `512Mi` or `1Gi`", quoted(text))),
    };
    let is_usable = mebibytes.is_some_and(|it| (128..=1 << 30).contains(&it)) && !number.starts_with('0');
    (!is_usable).then(|| format!("{} must be a size between `128Mi` and `1024Ti`", quoted(text)))
}

/// A relative path that stays in the project, judged by its text.
pub(super) fn inside(path: &Path) -> Option<String> {
    let outside = path.as_os_str().is_empty() || path.is_absolute() || path.components().any(|it| it == Component::ParentDir);
    outside.then(|| format!("{} must be a path inside the project, without `..`", quoted(&path.display().to_string())))
}

/// Control characters, including line breaks, would get into files, headers and variables. The value is not shown.
pub(super) fn control_character(text: &str) -> Option<String> {
    if text.ends_with(['\n', '\r']) && !text.trim_end_matches(['\n', '\r']).contains(char::is_control) {
        return Some("ends with a line break: take it away".to_owned());
    }
    let found = text.chars().find(|it| it.is_control())?;
    Some(format!("holds the control character `{}`: take it away", found.escape_debug()))
}

/// The name in backticks, on one line, truncated if it is long.
pub(super) fn quoted(text: &str) -> String {
    const SHOWN: usize = 80;
    let shown: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    format!("`{shown}{}`", if text.chars().count() > SHOWN { "…" } else { "" })
}

fn is_tag(text: &str, longest: usize) -> bool {
    !text.is_empty()
        && text.len() <= longest
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

/// The first component of a name is a registry if it has a dot or a port, or is `localhost` (the engine's rule).
fn split_registry(name: &str) -> (Option<&str>, &str) {
    match name.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (Some(first), rest),
        _ => (None, name),
    }
}

fn registry_host(host: &str) -> bool {
    let (name, port) = host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
    let is_port = |it: &str| it.chars().all(|c| c.is_ascii_digit()) && it.parse::<u16>().is_ok_and(|it| it > 0);
    name.len() <= 253 && name.split('.').all(|it| label(it, 63).is_none()) && port.is_none_or(is_port)
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_separator = |it: &str| matches!(it, "" | "." | "_" | "__") || it.chars().all(|c| c == '-');
    text.starts_with(is_word) && text.ends_with(is_word) && text.split(is_word).all(is_separator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rule: impl Fn(&str) -> Option<String>, good: &[&str], bad: &[&str]) {
        for text in good {
            assert_eq!(rule(text), None, "{text:?}");
        }
        for text in bad {
            let said = rule(text).unwrap_or_else(|| panic!("taken for right: {text:?}"));
            assert!(!said.contains(char::is_control), "{said:?}");
        }
    }

    #[test]
    fn image_names_follow_the_specification() {
        let long = "a".repeat(256);
        check(
            image_name,
            &["polls", "team/polls", "registry.example.com/team/polls", "localhost:5000/polls", "localhost/polls", "a.b_c__d---e", "a/b/c"],
            &["", " ", "Polls", "polls:1", "a//b", "host:port/x", "localhost:5000", "a..b", "a___b", "a._b", "-a", "a-", "a/", "/a", &long],
        );
        check(
            image_name,
            &["r.example.com:65535/x"],
            &["r.example.com:0/x", "r.example.com:65536/x", "R.example.com/x", "polls@sha256:ab"],
        );
    }

    #[test]
    fn image_references_have_a_tag_a_digest_or_both() {
        let digest = format!("kindest/node@sha256:{}", "a0".repeat(32));
        let both = format!("docker.io/kindest/node:v1.36.4@sha256:{}", "a0".repeat(32));
        check(
            image_reference,
            &["python", "python:3.13-slim-trixie", "localhost:5000/python", &digest, &both],
            &["", "a b", "Python:3", "python:", "python:a b", "python@sha256:12", "python@md5:12", "http://docker.io/python", "a\nb"],
        );
        check(
            postgresql_image,
            &["ghcr.io/cloudnative-pg/postgresql:17", "localhost:5000/postgresql:17.5-standard"],
            &["postgresql", "postgresql:latest", "localhost:5000/postgresql", &digest, "postgresql:"],
        );
    }

    #[test]
    fn host_names_are_hosts_alone() {
        let long = vec!["a".repeat(63); 4].join(".");
        check(
            host_name,
            &["polls.localhost", "localhost", "xn--mnchen-3ya.example.com", "123.example.com"],
            &[
                "",
                " ",
                "http://polls",
                "polls:8080",
                "polls/",
                "*.example.com",
                "Polls",
                "10.0.0.1",
                "::1",
                "münchen.de",
                "a..b",
                "a.",
                &long,
            ],
        );
    }

    #[test]
    fn paths_are_what_a_url_takes() {
        check(
            url_path,
            &["/", "/polls/", "/polls/?page=1&x=y", "/%C3%A4", "//x", "/a;b=c"],
            &["", "polls", "/a b", "/a\n", "/\0", "/ä", "/#top", "/a\"b", "/a\\b", "http://x/"],
        );
    }

    #[test]
    fn databases_and_roles_of_the_server_itself_are_refused() {
        let long = "a".repeat(64);
        check(
            database_name,
            &["polls", "app", "a1_b", &"a".repeat(63)],
            &["", " ", "template0", "template1", "postgres", "Polls", "1a", "_a", "a-b", "a;drop", "ä", &long],
        );
        check(
            role,
            &["polls", "app", "pgpolls"],
            &["", "postgres", "streaming_replica", "cnpg_pooler_pgbouncer", "pg_monitor", "pg_", "public", "none", "a b", &long],
        );
    }

    #[test]
    fn sizes_are_ones_that_a_database_fits_into() {
        check(
            quantity,
            &["128Mi", "512Mi", "1Gi", "10Ti", "1024Ti"],
            &[
                "",
                " ",
                "1",
                "0",
                "0Gi",
                "1gb",
                "1G",
                "-1Gi",
                "+1Gi",
                "01Gi",
                "1.5Gi",
                "1 Gi",
                "Gi",
                "1Mi",
                "127Mi",
                "1025Ti",
                "99999999999999999999Ti",
                "18446744073709551615Ti",
                "1Gi\n",
                "１Gi",
            ],
        );
    }

    #[test]
    fn tags_leave_room_for_the_key() {
        check(
            tag,
            &["1.0.0", "_x", &"a".repeat(100)],
            &["", "latest", ".1", "-1", "a b", "1.0+x", "ä", &"a".repeat(101), &"a".repeat(129)],
        );
    }

    #[test]
    fn a_mirror_is_an_address_and_nothing_that_leaves_its_line() {
        check(
            mirror,
            &["http://10.0.0.5:5000", "https://mirror.example.com/docker-hub", "http://localhost:5000/a/b"],
            &[
                "",
                "mirror.example.com",
                "ftp://x",
                "http://",
                "http://x/",
                "http://x:0",
                "http://u:secret@x",
                "http://x/?a=b",
                "http://x\"]\n[y",
                "http://x/../y",
                "https://x y",
            ],
        );
        check(registry, &["docker.io", "localhost:5000"], &["", "..", "a/b", "docker.io/", "http://docker.io", "*", "a\nb"]);
        assert!(!mirror("http://user:canary@x").unwrap().contains("canary"));
    }

    #[test]
    fn metacharacters_never_get_through() {
        let evils = ["a b", "a;b", "$(x)", "`x`", "a\nb", "a\0b", "'", "\"", "../x", "{{x}}", "a&b"];
        assert!(evils.len() >= 11);
        for evil in evils {
            assert!(label(evil, 63).is_some(), "{evil}");
            assert!(identifier(evil).is_some(), "{evil}");
            assert!(image_name(evil).is_some(), "{evil}");
            assert!(image_reference(evil).is_some(), "{evil}");
            assert!(tag(evil).is_some(), "{evil}");
            assert!(host_name(evil).is_some(), "{evil}");
            assert!(registry(evil).is_some() && mirror(evil).is_some(), "{evil}");
        }
    }

    #[test]
    fn a_line_break_at_the_end_is_told_as_such() {
        assert_eq!(control_character("abc\n").as_deref(), Some("ends with a line break: take it away"));
        assert_eq!(control_character("abc\r\n").as_deref(), Some("ends with a line break: take it away"));
        assert_eq!(control_character("a\u{1b}[31m").as_deref(), Some("holds the control character `\\u{1b}`: take it away"));
        assert_eq!(control_character("ä ☃"), None);
    }
}
