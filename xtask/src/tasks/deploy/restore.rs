//! A snapshot into an instance that runs, and its tables brought to the version that serves.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::{
    cluster::Cluster,
    deploy::objects,
    env::Env,
    graph::TaskId,
    provider::provider,
    snapshot::{self, WrittenBy},
    tasks::{
        deploy::{address, history, migration, rollout},
        image, wanted,
        wanted::App,
    },
};

const ID: TaskId = TaskId::Snapshot;

/// Replaces the database's content. With `keep`, what it holds is taken to a snapshot first, whose path is returned.
pub fn restore(env: &Env, (file, writer): (&Path, WrittenBy), keep: bool) -> Result<Option<PathBuf>> {
    snapshot::look(file, writer)?;
    let cluster = Cluster::open(env, &env.kubeconfig())?;
    let database = wanted::database(env)?;
    let kept = if keep { Some(snapshot::take_before(env, ID, &cluster, &database, "restore")?) } else { None };
    if let Some(kept) = &kept {
        env.note(ID, format!("what the database holds is kept in {}", kept.display()));
    }
    snapshot::restore(env, ID, &cluster, &database, (file, writer))?;
    let app = App::read(env)?;
    let migrated = match job(env, &cluster, &app)? {
        Some(job) => {
            migration::remove_all(env, &cluster, ID, &job).and_then(|()| migration::migrate(env, &cluster, ID, Some(&job), || Ok(())))
        }
        None => Ok(()),
    };
    migrated.context("the snapshot is restored, but its tables could not be brought to the version that serves")?;
    rollout::answers(env, &cluster, ID, &[], &address::wait(env, &cluster, ID)?, 2)?;
    Ok(kept)
}

/// The migration of the version that serves, whatever the source says by now.
fn job(env: &Env, cluster: &Cluster, app: &App) -> Result<Option<Value>> {
    let Some(mut job) = app.migration.clone() else { return Ok(None) };
    let revisions = history::read(cluster, &env.config.app.namespace)?;
    if let Some(serving) = history::serving(&revisions)
        && serving.image != image::current(env)?
    {
        let image = provider(env).name_for_pods(env, &serving.image)?;
        objects::set_images(&mut job, &env.config.frontend.image, image.as_str());
        let name = job["metadata"]["name"].as_str().unwrap_or_default();
        // Not the name of the present source's migration: that one is still to come.
        job["metadata"]["name"] = json!(format!("{name}-restored"));
    }
    Ok(Some(job))
}
