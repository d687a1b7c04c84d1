//! The tasks, one file each. Tasks do not call each other; only the graph connects them.

use anyhow::Result;

use crate::{
    env::Env,
    fingerprint::Fingerprint,
    graph::{TaskId, TaskKind},
    probe::Probe,
};

pub mod answers;
pub mod base_image;
pub mod brought;
mod certificate;
pub mod cluster;
pub mod database;
pub mod deploy;
pub mod desired;
pub mod dev;
pub mod engine;
pub mod exported;
pub mod image;
pub mod load;
mod migration_key;
pub mod node_image;
pub mod objects;
pub mod operator;
pub mod patch;
pub mod requirements;
mod service_secrets;
pub mod upstream;

/// A step of `create`.
pub trait Task {
    fn id(&self) -> TaskId;
    /// All inputs of the result, and nothing else. Called when all needs have ended with success.
    fn inputs(&self, env: &Env) -> Result<Fingerprint>;
    /// Whether the product exists and is up to date. Changes nothing.
    fn probe(&self, env: &Env, want: &Fingerprint) -> Result<Probe>;
    /// Makes the product. May be called again after an interruption at any point.
    fn run(&self, env: &Env, want: &Fingerprint) -> Result<()>;
    /// The check after `run`: whether it made the product. A part that other checkouts may change at any time does not count.
    fn made(&self, env: &Env, want: &Fingerprint) -> Result<Probe> {
        self.probe(env, want)
    }
}

/// The task with this id; `None` for tasks outside the graph.
pub fn task(id: TaskId) -> Option<Box<dyn Task>> {
    let task: Box<dyn Task> = match id.kind {
        TaskKind::Engine => Box::new(engine::Engine),
        TaskKind::Patch => Box::new(patch::Patch(id.service)),
        TaskKind::Requirements => Box::new(requirements::Requirements::of(id.service)),
        TaskKind::BaseImage => Box::new(base_image::BaseImage),
        TaskKind::Image => Box::new(image::Image(id.service)),
        TaskKind::NodeImage => Box::new(node_image::NodeImage),
        TaskKind::Cluster => Box::new(cluster::Cluster),
        TaskKind::Operator => Box::new(operator::Operator::default()),
        TaskKind::Database => Box::new(database::Database::default()),
        TaskKind::Load => Box::new(load::Load(id.service)),
        TaskKind::Deploy => Box::new(deploy::Deploy::default()),
        TaskKind::Dev | TaskKind::Snapshot | TaskKind::Rollback | TaskKind::Delete => return None,
    };
    Some(task)
}
