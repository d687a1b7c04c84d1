//! The image of a service with a `kind`: upstream's, which needs no source. Where registries answer, the cluster pulls it itself.

use anyhow::Result;

use crate::{
    config::ServiceName,
    deploy::image::PublishedImage,
    env::Env,
    graph::{TaskId, TaskKind},
    images::{self, Chosen, Role},
    probe::Probe,
    provider::provider,
    tasks::{desired, image},
};

/// The purpose of a service's image, if upstream makes it.
pub(super) fn role(env: &Env, service: Option<ServiceName>) -> Option<Role> {
    env.config.service(service).kind.map(Role::from)
}

/// Whether the engine has the image, or needs none.
pub(super) fn probe(env: &Env, task: TaskId, role: Role) -> Result<Probe> {
    match images::chosen(env, task)? {
        Chosen::Registry => Ok(pulled(images::reference(env, task, role)?)),
        Chosen::Packages => images::probe(env, task, role),
    }
}

/// Whether the cluster has the image, or pulls it.
pub(super) fn probe_load(env: &Env, task: TaskId, role: Role) -> Result<Probe> {
    let reference = images::reference(env, task, role)?;
    if images::chosen(env, task)? == Chosen::Registry {
        return Ok(pulled(reference));
    }
    Ok(match provider(env).published(env, &reference)? {
        Some(published) => Probe::Fresh(format!("the cluster has {published}")),
        None => Probe::Stale(format!("the cluster does not have {reference}")),
    })
}

fn pulled(reference: String) -> Probe {
    Probe::Fresh(format!("not needed: the cluster pulls {reference} itself"))
}

/// The image of a service as its pods name it.
pub fn name_for_pods(env: &Env, service: Option<ServiceName>) -> Result<PublishedImage> {
    match role(env, service) {
        Some(role) => desired::upstream(env, TaskId::for_service(TaskKind::Load, service), role),
        None => provider(env).name_for_pods(env, &image::current(env, env.config.image_of(service))?),
    }
}
