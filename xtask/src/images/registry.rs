//! Upstream's own images from their registries or from mirrors.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use crate::{
    config::{Database, extension},
    engine::Engine,
    env::Env,
    errors::{Code, Problem},
    graph::TaskId,
    images::Role,
    report::Waiting,
};

/// For an image of some gigabytes over a slow connection.
const TRANSFER_LIMIT: Duration = Duration::from_secs(7200);

/// Upstream's reference; with a digest if kind's release names one.
pub fn upstream(env: &Env, role: Role) -> Result<String> {
    let images = &env.config.images;
    let versions = crate::images::packages::versions(env)?;
    let (set, built_in) = match role {
        Role::Python => (&images.python, format!("docker.io/library/python:{}-slim-trixie", versions.python)),
        Role::Node => (&images.node, format!("docker.io/{}", versions.node_image)),
        Role::Operator => (&images.operator, format!("ghcr.io/cloudnative-pg/cloudnative-pg:{}", versions.cloudnative_pg)),
        Role::Postgresql if images.postgresql.is_some() => (&images.postgresql, String::new()),
        Role::Postgresql => (&None, postgresql(&env.config.database, &versions.postgresql)?),
        Role::Valkey => (&images.valkey, format!("docker.io/valkey/valkey:{}", versions.valkey)),
        Role::Mailpit => (&images.mailpit, format!("docker.io/axllent/mailpit:v{}", versions.mailpit)),
        Role::Traefik => (&images.traefik, format!("docker.io/library/traefik:v{}", versions.traefik)),
    };
    Ok(set.clone().unwrap_or(built_in))
}

/// CloudNativePG's image of PostgreSQL. Its variant `standard` has pgvector besides the server; PostGIS and pgRouting are in an image of
/// their own. (The tags are those of the projects `postgres-containers` and `postgis-containers`.)
fn postgresql(database: &Database, usual: &str) -> Result<String> {
    let major = database.version.map_or_else(|| usual.to_owned(), |it| it.to_string());
    let names = extension::with_needed(&database.extensions);
    let packages: BTreeSet<&str> = names.iter().filter_map(|it| extension::package(it)).collect();
    let has_other = |it: &&&str| extension::package(it).is_some_and(|it| !["pgvector", "postgis-3", "pgrouting"].contains(&it));
    if let Some(name) = names.iter().find(has_other) {
        let what = format!("CloudNativePG publishes no image with the extension `{name}`");
        let hint = "set images.postgresql to an image that has it, or images.source = \"packages\" to build one";
        return Err(Problem::config(what).hint(hint).into());
    }
    Ok(if packages.contains("postgis-3") {
        format!("ghcr.io/cloudnative-pg/postgis:{major}-3-standard-trixie")
    } else {
        format!("ghcr.io/cloudnative-pg/postgresql:{major}-standard-trixie")
    })
}

/// The reference to use: for the engine with the mirror's host, for the cluster upstream's, since the node knows the mirrors.
pub fn reference(env: &Env, role: Role) -> Result<String> {
    match role {
        Role::Python | Role::Node => pull_reference(env, role),
        Role::Operator | Role::Postgresql | Role::Valkey | Role::Mailpit | Role::Traefik => upstream(env, role),
    }
}

/// Upstream's reference, with the mirror's host.
pub fn pull_reference(env: &Env, role: Role) -> Result<String> {
    Ok(through_mirror(env, &upstream(env, role)?))
}

/// The reference with the host of the mirror, if its registry has one.
pub fn through_mirror(env: &Env, reference: &str) -> String {
    mirrored(reference, &env.config.images.mirrors)
}

/// Pulls the images that the engine needs; the cluster pulls its own.
pub fn ensure(env: &Env, task: TaskId, role: Role) -> Result<()> {
    if !matches!(role, Role::Python | Role::Node) {
        bail!(Problem::new("the cluster pulls this image itself"));
    }
    let reference = pull_reference(env, role)?;
    pull(env, task, &reference)
}

/// Pulls one image into the engine.
pub fn pull(env: &Env, task: TaskId, reference: &str) -> Result<()> {
    let what = format!("the pull of {reference}");
    transfer(env, task, &what, |engine, heard| engine.pull(reference, heard))
}

/// Pushes one image to the registry in its name.
pub fn push(env: &Env, task: TaskId, repository: &str, tag: &str) -> Result<()> {
    let what = format!("the push of {repository}:{tag}");
    transfer(env, task, &what, |engine, heard| engine.push(repository, tag, heard))
}

/// A pull or push with a limit; `work` calls its second argument for each step.
fn transfer(env: &Env, task: TaskId, what: &str, work: impl FnOnce(&Engine, &dyn Fn(&str)) -> Result<()>) -> Result<()> {
    let began = Instant::now();
    let last = RefCell::new("the engine asks the registry".to_owned());
    let state = || Waiting::new(what, last.borrow().clone(), began.elapsed(), TRANSFER_LIMIT);
    env.waiting(task, state());
    let heard = |step: &str| {
        step.clone_into(&mut last.borrow_mut());
        env.waiting(task, state());
    };
    let ended = work(&env.engine()?.within(TRANSFER_LIMIT), &heard);
    match ended {
        Err(_) if began.elapsed() >= TRANSFER_LIMIT => Err(Problem::timed_out(state().timed_out()).code(Code::EngineFailed).into()),
        other => other,
    }
}

fn mirrored(reference: &str, mirrors: &BTreeMap<String, String>) -> String {
    let Some((host, path)) = reference.split_once('/') else { return reference.to_owned() };
    match mirrors.get(host) {
        Some(mirror) => format!("{}/{path}", without_scheme(mirror)),
        None => reference.to_owned(),
    }
}

fn without_scheme(mirror: &str) -> &str {
    mirror.trim_start_matches("https://").trim_start_matches("http://")
}

/// The file in the node with the host's trusted CAs, for HTTPS mirrors.
pub const NODE_AUTHORITIES: &str = "/etc/containerd/pocdeploy-ca.crt";

/// The host's CA bundle: `SSL_CERT_FILE`, or the usual path of Debian and Red Hat.
pub fn host_authorities() -> Option<PathBuf> {
    let set = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let usual = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"].map(PathBuf::from);
    set.into_iter().chain(usual).find(|it| it.is_file())
}

/// containerd's `hosts.toml` for each mirrored registry: path below `/etc/containerd/certs.d`, and content. With `authorities`, HTTPS
/// mirrors are verified with the CAs in `NODE_AUTHORITIES`.
pub fn hosts_files(mirrors: &BTreeMap<String, String>, authorities: bool) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for (host, mirror) in mirrors {
        let origin = if host == "docker.io" { "registry-1.docker.io" } else { host };
        // A mirror with a path in its URL serves the API below that path, so containerd must not add its own prefix.
        let (base, extra) = match without_scheme(mirror).split_once('/') {
            Some((server, path)) => {
                let scheme = if mirror.starts_with("http://") { "http" } else { "https" };
                (format!("{scheme}://{server}/v2/{path}"), "  override_path = true\n")
            }
            None => (mirror.clone(), ""),
        };
        let trust = if authorities && mirror.starts_with("https://") { format!("  ca = \"{NODE_AUTHORITIES}\"\n") } else { String::new() };
        let text = format!("server = \"https://{origin}\"\n\n[host.\"{base}\"]\n  capabilities = [\"pull\", \"resolve\"]\n{trust}{extra}");
        out.push((format!("{host}/hosts.toml"), text));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirrors(host: &str, mirror: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(host.to_owned(), mirror.to_owned())])
    }

    #[test]
    fn the_image_has_the_version_and_the_extensions() {
        let image = |version, names: &[&str]| {
            let extensions = names.iter().map(|it| (*it).to_owned()).collect();
            postgresql(&Database { version, extensions, ..Database::default() }, "17").map_err(|it| it.to_string())
        };
        assert_eq!(image(None, &[]).unwrap(), "ghcr.io/cloudnative-pg/postgresql:17-standard-trixie");
        assert_eq!(image(Some(16), &["vector", "pg_trgm"]).unwrap(), "ghcr.io/cloudnative-pg/postgresql:16-standard-trixie");
        assert_eq!(image(Some(18), &["vector", "pgrouting"]).unwrap(), "ghcr.io/cloudnative-pg/postgis:18-3-standard-trixie");
        assert_eq!(image(None, &["postgis", "hll"]).unwrap_err(), "CloudNativePG publishes no image with the extension `hll`");
    }

    #[test]
    fn a_mirror_takes_the_place_of_the_host() {
        let one = mirrors("docker.io", "http://10.0.0.5:5000");
        assert_eq!(mirrored("docker.io/kindest/node:v1@sha256:ab", &one), "10.0.0.5:5000/kindest/node:v1@sha256:ab");
        assert_eq!(mirrored("ghcr.io/a/b:1", &one), "ghcr.io/a/b:1");
        let below = mirrors("docker.io", "https://mirror.example.com/docker-hub");
        assert_eq!(mirrored("docker.io/library/python:3", &below), "mirror.example.com/docker-hub/library/python:3");
    }

    #[test]
    fn the_node_learns_of_mirrors_with_and_without_a_path() {
        let files = hosts_files(&mirrors("docker.io", "http://10.0.0.5:5000"), true);
        assert_eq!(files[0].0, "docker.io/hosts.toml");
        assert_eq!(
            files[0].1,
            "server = \"https://registry-1.docker.io\"\n\n[host.\"http://10.0.0.5:5000\"]\n  capabilities = [\"pull\", \"resolve\"]\n"
        );
        let below = hosts_files(&mirrors("ghcr.io", "https://mirror.example.com/gh"), true);
        assert!(below[0].1.contains("[host.\"https://mirror.example.com/v2/gh\"]"), "{}", below[0].1);
        assert!(below[0].1.contains("override_path = true"));
        assert!(below[0].1.contains("ca = \"/etc/containerd/pocdeploy-ca.crt\""));
    }
}
