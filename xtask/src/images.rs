//! Upstream's images: their references, their source, and whether they exist.
//!
//! `registry` pulls upstream's published images; `packages` builds equivalent images from package registries with the recipes in
//! `build/images/`. `source` decides once for each instance and stores the decision.

pub mod packages;
pub mod registry;
mod source;

use std::path::PathBuf;

use anyhow::Result;
use xshell::cmd;

use crate::{config::Kind, env::Env, graph::TaskId, probe::Probe, tool};

pub use crate::images::source::{Chosen, chosen};

/// The purpose of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The base of the application's image.
    Python,
    /// kind's node.
    Node,
    /// The CloudNativePG operator.
    Operator,
    /// The instances of the database.
    Postgresql,
    /// A service of this kind.
    Valkey,
    /// A service of this kind.
    Mailpit,
    /// The Ingress controller.
    Traefik,
}

impl From<Kind> for Role {
    fn from(kind: Kind) -> Role {
        match kind {
            Kind::Valkey => Role::Valkey,
            Kind::Mailpit => Role::Mailpit,
            Kind::Traefik => Role::Traefik,
        }
    }
}

/// The reference of the image for the engine (Python, Node) or the cluster (the others).
pub fn reference(env: &Env, task: TaskId, role: Role) -> Result<String> {
    match chosen(env, task)? {
        Chosen::Registry => registry::reference(env, role),
        Chosen::Packages => packages::reference(env, role),
    }
}

/// The base image's name, with its Python and Debian version, found without asking a registry: the user's own reference if set, else the
/// one of this version.
pub fn python_name(env: &Env, version: &str) -> String {
    let decided = source::decided(env);
    match &env.config.images.python {
        Some(reference) if decided != Some(Chosen::Packages) => reference.clone(),
        // The image that the recipe in build/images builds, and upstream's default.
        _ => format!("python:{version}-slim-trixie"),
    }
}

/// Whether the engine has the image.
pub fn probe(env: &Env, task: TaskId, role: Role) -> Result<Probe> {
    let reference = reference(env, task, role)?;
    match env.engine()?.image(&reference)? {
        Some(image) => Ok(Probe::Fresh(format!("{reference} is in the engine ({} MB)", image.size / 1_000_000))),
        None => Ok(Probe::Stale(format!("{reference} is not in the engine"))),
    }
}

/// Pulls or builds the image for the engine.
pub fn ensure(env: &Env, task: TaskId, role: Role) -> Result<()> {
    match chosen(env, task)? {
        Chosen::Registry => registry::ensure(env, task, role),
        Chosen::Packages => packages::ensure(env, task, role),
    }
}

/// The path of `kind`: the one on `PATH` if it has the pinned version, else built from its Go module.
pub fn kind_binary(env: &Env, task: TaskId) -> Result<PathBuf> {
    if let Some(path) = tool::find("kind") {
        let wanted = packages::versions(env)?.kind;
        let sh = env.tools.shell(&env.project)?;
        if env.tools.read(task, cmd!(sh, "{path} version --quiet")).is_ok_and(|it| it.trim().trim_start_matches('v') == wanted) {
            return Ok(path);
        }
    }
    packages::kind_binary(env, task)
}

/// The CRDs of the Gateway API that the controller reads, from their Go module.
pub fn gateway_definitions(env: &Env, task: TaskId) -> Result<Vec<serde_json::Value>> {
    packages::gateway_definitions(env, task)
}

/// The operator's release manifest, read from its Go module.
pub fn operator_manifest(env: &Env, task: TaskId) -> Result<String> {
    packages::operator_manifest(env, task)
}
