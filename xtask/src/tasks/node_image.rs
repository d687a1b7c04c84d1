//! The image of a cluster's node, with all images that it must contain.

use anyhow::Result;

use crate::{
    config::ClusterType,
    env::Env,
    fingerprint::Fingerprint,
    graph::TaskId,
    images::{self, Chosen, Role, packages},
    probe::Probe,
    provider::provider,
    tasks::{Task, load},
};

/// The upstream images that run in every cluster besides the application.
const UPSTREAM: [Role; 2] = [Role::Operator, Role::Postgresql];

pub struct NodeImage;

impl Task for NodeImage {
    fn id(&self) -> TaskId {
        TaskId::NodeImage
    }

    fn inputs(&self, env: &Env) -> Result<Fingerprint> {
        let mut out = Fingerprint::new();
        out.add("reference", images::reference(env, self.id(), Role::Node)?);
        Ok(out)
    }

    fn probe(&self, env: &Env, _want: &Fingerprint) -> Result<Probe> {
        if env.config.cluster.kind == ClusterType::Kind {
            // For a cluster that is there, the task of the database makes them.
            let is_there = env.kubeconfig().is_file();
            if !is_there && images::chosen(env, self.id())? == Chosen::Packages && !packages::has_database_files(env)? {
                return Ok(Probe::Stale("the files of the database's image are not in the cache".to_owned()));
            }
            return images::probe(env, self.id(), Role::Node);
        }
        // Existing nodes need no image. Built from packages, the images of operator and database are imported from the node image.
        if images::chosen(env, self.id())? == Chosen::Registry {
            return Ok(Probe::Fresh("not needed: the cluster pulls upstream's images from their registries".to_owned()));
        }
        for role in UPSTREAM {
            let reference = images::reference(env, self.id(), role)?;
            if provider(env).published(env, &reference)?.is_none() {
                return Ok(Probe::Stale(format!("the cluster's registry does not have {reference}")));
            }
        }
        Ok(Probe::Fresh("the cluster's registry has the images of operator and database".to_owned()))
    }

    fn run(&self, env: &Env, _want: &Fingerprint) -> Result<()> {
        let is_kind = env.config.cluster.kind == ClusterType::Kind;
        let needs_import = is_kind && env.is_forced(self.id());
        if needs_import || matches!(images::probe(env, self.id(), Role::Node)?, Probe::Stale(_)) {
            images::ensure(env, self.id(), Role::Node)?;
        }
        if is_kind && images::chosen(env, self.id())? == Chosen::Packages {
            packages::ensure_database_files(env, self.id())?;
        }
        if !is_kind {
            UPSTREAM.into_iter().try_for_each(|role| load::upstream(env, self.id(), role))?;
        }
        Ok(())
    }
}
