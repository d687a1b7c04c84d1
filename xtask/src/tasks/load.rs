//! Makes the application's image available in the cluster, so that pods can start without a registry.

use anyhow::Result;

use crate::{
    config::ServiceName,
    env::Env,
    fingerprint::Fingerprint,
    graph::{TaskId, TaskKind},
    images::{self, Chosen, Role, packages},
    probe::Probe,
    provider::provider,
    tasks::{Task, brought, image},
};

/// The task of a service; `None` is the first one.
#[derive(Clone, Copy, Default)]
pub struct Load(pub Option<ServiceName>);

impl Task for Load {
    fn id(&self) -> TaskId {
        TaskId::for_service(TaskKind::Load, self.0)
    }

    fn inputs(&self, env: &Env) -> Result<Fingerprint> {
        let mut out = Fingerprint::new();
        out.add("image", image::current(env, self.0)?);
        Ok(out)
    }

    fn probe(&self, env: &Env, _want: &Fingerprint) -> Result<Probe> {
        if let Some(role) = brought::role(env, self.0) {
            return brought::probe_load(env, self.id(), role);
        }
        let image = image::current(env, self.0)?;
        Ok(match provider(env).published(env, &image)? {
            Some(published) => Probe::Fresh(format!("the cluster has {published}")),
            None => Probe::Stale(format!("the cluster does not have {image}")),
        })
    }

    fn run(&self, env: &Env, _want: &Fingerprint) -> Result<()> {
        // Tasks that need the image start early, and wait for its end only when nothing is left to do without it.
        env.task_progress.usable(self.id());
        let reference = image::current(env, self.0)?;
        let published = match provider(env).publish(env, &reference) {
            Err(_) if brought::role(env, self.0).is_none() && env.engine()?.image(&reference)?.is_none() => {
                // Its `delete` sees no instance here yet: there is no node.
                let why = "as after another instance of this source has removed it";
                env.note(self.id(), format!("{reference} is gone again, {why}: building it"));
                image::Image(self.0).run(env, &*image::inputs(env, self.0)?)?;
                provider(env).publish(env, &reference)?
            }
            other => other?,
        };
        env.detail(self.id(), format!("pods name it {published}"));
        Ok(())
    }
}

/// Like the application's image, for the operator's or the database's. A node from packages has it from the start; a node that is older
/// than the recipes gets it from the current node image.
pub(super) fn upstream(env: &Env, task: TaskId, role: Role) -> Result<()> {
    let provider = provider(env);
    let reference = images::reference(env, task, role)?;
    if images::chosen(env, task)? != Chosen::Packages || provider.published(env, &reference)?.is_some() {
        return Ok(());
    }
    let is_own = role == Role::Postgresql && packages::has_own_database(env)?;
    match provider.features(env).node_container {
        Some(_) if is_own => env.progress(task, format!("loading {reference}")),
        Some(_) => env.note(task, format!("the cluster is older than {reference}: loading it")),
        None => env.note(task, format!("the registry does not have {reference}: pushing it")),
    }
    // An existing one is a leftover of an interrupted run, with the same content.
    if env.engine()?.image(&reference)?.is_none() {
        packages::outside_node(env, task, role, &reference)?;
    }
    let published = provider.publish(env, &reference);
    // The engine does not need it any more.
    env.engine()?.remove_image(&reference)?;
    env.detail(task, format!("pods name it {}", published?));
    Ok(())
}
