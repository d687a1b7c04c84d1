//! Checks `[database]`.

use crate::config::{
    Config, Database, Service,
    check::secret,
    extension,
    form::{database_name, major, quantity, quoted, role},
    table_of,
};

pub(super) fn check(config: &Config, check: &mut impl FnMut(&str, Option<String>)) {
    let database = &config.database;
    check("database.name", database_name(&database.name));
    check("database.user", role(&database.user));
    check("database.password", database.password.as_ref().and_then(|it| secret(it.expose())));
    check("database.password", in_a_url(config));
    if !(1..=9).contains(&database.instances) {
        check("database.instances", Some("must be between 1 and 9".to_owned()));
    }
    check("database.version", database.version.and_then(|it| version(it, config.images.postgresql.as_deref())));
    let has_own_image = config.images.postgresql.is_some();
    for (at, name) in database.extensions.iter().enumerate() {
        check("database.extensions", extension::complaint(name, has_own_image));
        if database.extensions[..at].contains(name) {
            check("database.extensions", Some(format!("`{name}` is there twice")));
        }
    }
    check("database.backup.to", database.backup.to.as_deref().and_then(backup));
    if !(1..=1000).contains(&database.backup.keep) {
        check("database.backup.keep", Some("must be between 1 and 1000".to_owned()));
    }
    check("database.storage", quantity(&database.storage));
}

/// A place that is neither a folder nor a bucket. Names of buckets: docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html.
fn backup(to: &str) -> Option<String> {
    let Some(rest) = to.strip_prefix("s3://") else {
        if to.trim().is_empty() {
            return Some("must not be empty; leave the key out to have no backups".to_owned());
        }
        return to.contains("://").then(|| format!("{} is neither a folder nor `s3://BUCKET/PREFIX`", quoted(to)));
    };
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let is_plain = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-' || it == '.';
    if !(3..=63).contains(&bucket.len()) || !bucket.chars().all(is_plain) || bucket.starts_with(['-', '.']) {
        return Some(format!("{} names no bucket: 3 to 63 lower-case letters, digits, `-` and `.`", quoted(to)));
    }
    let has_odd = prefix.split('/').any(|it| it == ".." || it == ".") || prefix.contains("//") || prefix.starts_with('/');
    has_odd.then(|| format!("{} has a prefix with an empty part, `.` or `..`", quoted(to)))
}

/// A version that no image has, or another one than that of the user's image.
fn version(version: u16, image: Option<&str>) -> Option<String> {
    if !Database::VERSIONS.contains(&version) {
        return Some(format!("must be between {} and {}", Database::VERSIONS.start(), Database::VERSIONS.end()));
    }
    let own = major(image?)?;
    (own != version).then(|| format!("is {version}, and images.postgresql has PostgreSQL {own}"))
}

/// A password that a variable of a service puts into a URL, where its characters would mean something: Kubernetes replaces `$(PGPASSWORD)` by
/// the password as it is. RFC 3986 lists the characters that a URL need not encode. CloudNativePG 1.30 generates letters and digits
/// only (`password.Generate(64, 10, 0, …)` in `cluster_create.go`).
fn in_a_url(config: &Config) -> Option<String> {
    let password = config.database.password.as_ref()?;
    let is_plain = |it: char| it.is_ascii_alphanumeric() || "-._~".contains(it);
    if password.expose().chars().all(is_plain) {
        return None;
    }
    let is_url = |it: &str| it.contains("://") && it.contains("$(PGPASSWORD)");
    let of_service = |(service, it): (_, &Service)| {
        let (name, _) = it.env.iter().find(|(_, text)| is_url(text))?;
        Some(format!("{}.env.{name}", table_of(service)))
    };
    let variable = config.all_services().find_map(of_service)?;
    Some(format!(
        "has characters other than letters, digits, `-`, `.`, `_` and `~`, and {variable} puts it into a URL, which would lead elsewhere"
    ))
}
