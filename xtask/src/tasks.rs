//! The tasks, one file each. Tasks never call tasks: they meet in the graph.

use anyhow::Result;

use crate::{env::Env, fingerprint::Fingerprint, graph::TaskId, probe::Probe};

pub mod base_image;
pub mod cluster;
pub mod database;
pub mod deploy;
pub mod dev;
pub mod engine;
pub mod image;
pub mod load;
mod migration_key;
pub mod node_image;
pub mod objects;
pub mod operator;
pub mod patch;
pub mod requirements;
pub mod wanted;

/// One step of `create`.
pub trait Task {
    fn id(&self) -> TaskId;
    /// Everything that the result depends on, and nothing else. Called when all needs have ended well.
    fn inputs(&self, env: &Env) -> Result<Fingerprint>;
    /// Asks the world whether the product is there; changes nothing.
    fn probe(&self, env: &Env, want: &Fingerprint) -> Result<Probe>;
    /// Makes the product. May be repeated, and takes up half-done work.
    fn run(&self, env: &Env, want: &Fingerprint) -> Result<()>;
}

/// The task of a name; the commands that report under a name of their own are none.
pub fn task(id: TaskId) -> Option<Box<dyn Task>> {
    let task: Box<dyn Task> = match id {
        TaskId::Engine => Box::new(engine::Engine),
        TaskId::Patch => Box::new(patch::Patch),
        TaskId::Requirements => Box::new(requirements::Requirements::default()),
        TaskId::BaseImage => Box::new(base_image::BaseImage),
        TaskId::Image => Box::new(image::Image),
        TaskId::NodeImage => Box::new(node_image::NodeImage),
        TaskId::Cluster => Box::new(cluster::Cluster),
        TaskId::Operator => Box::new(operator::Operator::default()),
        TaskId::Database => Box::new(database::Database::default()),
        TaskId::Load => Box::new(load::Load),
        TaskId::Deploy => Box::new(deploy::Deploy::default()),
        TaskId::Dev | TaskId::Snapshot | TaskId::Rollback | TaskId::Delete => return None,
    };
    Some(task)
}
