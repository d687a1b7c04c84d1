//! Upstream's images built from package registries only, by the recipes in `build/images/`.

use std::path::PathBuf;

use anyhow::Result;
use serde::Deserialize;

use crate::{env::Env, errors::Problem, graph::TaskId, images::Role};

/// The pinned versions of `build/images/versions.toml`.
#[derive(Clone, Debug, Deserialize)]
pub struct Versions {
    pub kubernetes: String,
    pub cloudnative_pg: String,
    pub postgresql: String,
    pub python: String,
    /// kind's published node image, without the registry's host.
    pub node_image: String,
}

pub fn versions(_env: &Env) -> Result<Versions> {
    Err(Problem::new("not yet").into())
}

pub fn reference(_env: &Env, _role: Role) -> Result<String> {
    Err(Problem::new("not yet").into())
}

pub fn ensure(_env: &Env, _task: TaskId, _role: Role) -> Result<()> {
    Err(Problem::new("not yet").into())
}

pub fn kind_binary(_env: &Env, _task: TaskId) -> Result<PathBuf> {
    Err(Problem::new("not yet").into())
}

pub fn operator_manifest(_env: &Env, _task: TaskId) -> Result<String> {
    Err(Problem::new("not yet").into())
}
