//! Deploys the application for `dev`; `deploy` itself reverts it.

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{
    cluster::Cluster,
    deploy::{development, roles},
    env::Env,
    errors::Problem,
    graph::TaskId,
    tasks::{
        deploy::{address, keep, migration, prepare, provide_secrets, rollout},
        desired::App,
        image,
    },
};

/// Rolls out one pod with replaceable code and returns its Deployment. Records no revision, since nothing of this is permanent.
pub fn develop(env: &Env, cluster: &Cluster, task: TaskId) -> Result<Value> {
    let mut app = App::read(env)?;
    let reference = image::current(env, None)?;
    let facts = env.engine()?.image(&reference)?.with_context(|| format!("image {reference} is gone"))?;
    if facts.folder.is_empty() || facts.folder == "/" {
        let what = format!("image {reference} has no working directory, in which the code could be replaced");
        return Err(Problem::config(what).hint("give the Dockerfile a WORKDIR where the application lies").into());
    }
    let mut developed = None;
    for object in app.app.iter_mut().filter(|it| it["kind"] == "Deployment" && roles::page_of(it).is_some()) {
        *object = development::deployment(object.take(), &facts.folder);
        developed = Some(object.clone());
    }
    let developed = developed.ok_or_else(|| Problem::config("the manifests in deploy/frontend hold no Deployment"))?;
    provide_secrets(env, cluster)?;
    prepare(env, cluster, task, &app)?;
    migration::migrate_all(env, cluster, task, &app.migrations, || keep(env, cluster))?;
    rollout::roll_out(env, cluster, task, &app.app, &address::wait(env, cluster, task)?)?;
    Ok(developed)
}
