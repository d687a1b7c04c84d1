//! Deploys the application for `dev`; `deploy` itself reverts it.

use anyhow::Result;

use crate::{
    cluster::{Cluster, ObjectId},
    config::ServiceName,
    deploy::development::{self, Own, Reload},
    env::Env,
    graph::TaskId,
    tasks::{
        brought,
        deploy::{address, keep, labels, migration, prepare, provide_secrets, rollout},
        desired::App,
    },
};

/// A Deployment whose code can be replaced.
pub struct Developed {
    /// The service with the image.
    pub service: Option<ServiceName>,
    pub deployment: ObjectId,
    /// The selector of its pods.
    pub labels: String,
    /// The container with the code.
    pub container: String,
    pub reload: Reload,
}

/// Rolls out every Deployment that runs the image of one of `services`, with one pod whose code can be replaced; the other objects as they
/// are. Records no revision, since nothing of this is permanent.
pub fn develop(env: &Env, cluster: &Cluster, task: TaskId, services: &[(Option<ServiceName>, Own)]) -> Result<Vec<Developed>> {
    let mut app = App::read(env)?;
    let mut out = Vec::new();
    for (service, own) in services {
        let image = brought::name_for_pods(env, *service)?;
        for object in &mut app.app {
            let Some(at) = development::container_of(object, image.as_str()) else { continue };
            let container = &object["spec"]["template"]["spec"]["containers"][at];
            let (name, reload) =
                (container["name"].as_str().unwrap_or_default().to_owned(), Reload::of(&development::command(container, own)));
            *object = development::deployment(object.take(), at, own);
            out.push(Developed { service: *service, deployment: ObjectId::of(object)?, labels: labels(object), container: name, reload });
        }
    }
    provide_secrets(env, cluster)?;
    prepare(env, cluster, task, &app)?;
    migration::migrate_all(env, cluster, task, &app.migrations, || keep(env, cluster))?;
    rollout::roll_out(env, cluster, task, &app.app, &address::wait(env, cluster, task)?)?;
    Ok(out)
}
