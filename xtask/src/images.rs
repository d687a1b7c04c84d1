//! Upstream's images: which reference stands for which, where they come from, and whether they are there.
//!
//! `registry` pulls what upstream publishes; `packages` builds the same from package registries by the recipes
//! in `build/images/`. `source` decides once for an instance, and the decision stays.

pub mod packages;
pub mod registry;
mod source;

use std::path::PathBuf;

use anyhow::Result;
use xshell::cmd;

use crate::{env::Env, graph::TaskId, probe::Probe, tool};

pub use crate::images::source::{Chosen, chosen};

/// What an image is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The base of the application's image.
    Python,
    /// kind's node.
    Node,
    /// The CloudNativePG operator.
    Operator,
    /// The database's instances.
    Postgresql,
}

/// The reference under which the engine (Python, Node) or the cluster (Operator, Postgresql) finds the image.
pub fn reference(env: &Env, task: TaskId, role: Role) -> Result<String> {
    match chosen(env, task)? {
        Chosen::Registry => registry::reference(env, role),
        Chosen::Packages => packages::reference(env, role),
    }
}

/// The base image's name as it tells its Python and its Debian, for a look that asks no registry: the user's own reference
/// where it holds, else that of the version.
pub fn python_name(env: &Env, version: &str) -> String {
    let decided = source::decided(env);
    match &env.config.images.python {
        Some(reference) if decided != Some(Chosen::Packages) => reference.clone(),
        // What the recipe in build/images builds, and upstream's default.
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

/// The real `kind`: the one on `PATH` if it is of the pinned version, else one built from its Go module.
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

/// The operator's release manifest, read from its Go module.
pub fn operator_manifest(env: &Env, task: TaskId) -> Result<String> {
    packages::operator_manifest(env, task)
}
