//! Restores a snapshot into a running instance, and migrates it to the serving version.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::{
    cluster::Cluster,
    config::{Service, ServiceName},
    deploy::{objects, roles},
    env::Env,
    graph::TaskId,
    provider::provider,
    snapshot::{self, WrittenBy},
    tasks::{
        database,
        deploy::{address, history, migration, rollout},
        desired,
        desired::App,
        image,
        service_secrets::ValuesFrom,
    },
};

const ID: TaskId = TaskId::Snapshot;

/// Replaces the database's content. With `keep`, takes a snapshot first and returns its path.
pub fn restore(env: &Env, (file, writer): (&Path, WrittenBy), keep: bool) -> Result<Option<PathBuf>> {
    snapshot::look(file, writer)?;
    let cluster = Cluster::open(env, &env.kubeconfig())?;
    database::refuse_interrupted(env, &cluster)?;
    let name = desired::database(env)?;
    let kept = if keep { Some(snapshot::take_before(env, ID, &cluster, &name, "restore")?) } else { None };
    if let Some(kept) = &kept {
        env.note(ID, format!("a snapshot of the database is in {}", kept.display()));
    }
    snapshot::restore(env, ID, &cluster, &name, (file, writer))?;
    database::complete_content(env, &cluster, ID).context("the snapshot is restored, but lacks an extension")?;
    let app = App::read_from(env, ValuesFrom::Cluster)?;
    let jobs = jobs(env, &cluster, &app)?;
    let removed = jobs.iter().try_for_each(|it| migration::remove_all(env, &cluster, ID, it));
    let migrated = removed.and_then(|()| migration::migrate_all(env, &cluster, ID, &jobs, || Ok(())));
    migrated.context("the snapshot is restored, but could not be migrated to the serving version")?;
    rollout::answers(env, &cluster, ID, &[], &address::wait(env, &cluster, ID)?, 2)?;
    Ok(kept)
}

/// The migrations of the serving version, whatever the source says now.
fn jobs(env: &Env, cluster: &Cluster, app: &App) -> Result<Vec<Value>> {
    let mut jobs = app.migrations.clone();
    let revisions = history::read(cluster, &env.config.namespace)?;
    let Some(serving) = history::serving(&revisions) else { return Ok(jobs) };
    for image in serving.images() {
        let name = roles::name_of(&image).to_owned();
        let of_it = |it: &(Option<ServiceName>, &Service)| it.1.image == name && it.1.uses.is_none() && it.1.kind.is_none();
        let Some((service, _)) = env.config.all_services().find(of_it) else { continue };
        let present = image::current(env, service)?;
        if image == present {
            continue;
        }
        let (served, present) = (provider(env).name_for_pods(env, &image)?, provider(env).name_for_pods(env, &present)?);
        for job in jobs.iter_mut().filter(|it| objects::has_image(it, present.as_str())) {
            objects::set_images(job, roles::name_of(present.as_str()), served.as_str());
            let name = job["metadata"]["name"].as_str().unwrap_or_default();
            // Another name than the current source's migration, which has not run yet.
            job["metadata"]["name"] = json!(format!("{name}-restored"));
        }
    }
    Ok(jobs)
}
