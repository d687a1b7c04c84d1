//! `pause` and `resume`: an instance that keeps everything and uses no processor and, if it need not go on within seconds, no memory.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde_json::json;

use crate::{
    cluster::Cluster,
    commands::{answer, instance, reported},
    config::ClusterType,
    env::Env,
    fingerprint::Fingerprint,
    graph::TaskId,
    probe::Probe,
    provider::{Rest, never_pauses, provider},
    tasks::{Task as _, deploy, engine::Engine},
};

const TASK: TaskId = TaskId::Cluster;

/// Only kind's clusters are the tool's to stop.
fn refuse_others(env: &Env) -> Result<()> {
    if env.config.cluster.kind == ClusterType::Kind { Ok(()) } else { Err(never_pauses(env)) }
}

/// `pause`: stops or freezes the cluster's nodes, and returns once their data is on the disk.
pub(crate) fn pause(env: &Env, rest: Rest) -> Result<()> {
    refuse_others(env)?;
    let provider = provider(env);
    if let Some(why) = provider.connect(env)? {
        return Err(instance::absent(env, &why));
    }
    reported(env, TASK, &format!("instance {} comes to rest", env.instance), || {
        let did = provider.pause(env, rest)?;
        Ok(match (rest, did) {
            (Rest::Stopped, true) => "stopped, with all its data; `cargo xtask resume` starts it",
            (Rest::Frozen, true) => "frozen, in memory; `cargo xtask resume` lets it go on",
            (Rest::Stopped, false) => "it is stopped already",
            (Rest::Frozen, false) => "it is frozen or stopped already",
        }
        .to_owned())
    })
}

/// `--dry-run` of both.
pub(crate) fn preview(env: &Env, what: &str) -> Result<()> {
    refuse_others(env)?;
    writeln!(std::io::stdout(), "would {what} the nodes of instance {}", env.instance).context("print what would be done")
}

/// `resume`: starts the nodes, and waits until the page answers. Deploys nothing.
pub(crate) fn resume(env: &Env) -> Result<()> {
    refuse_others(env)?;
    let provider = provider(env);
    if let Some(why) = provider.connect(env)? {
        // After a restart of the machine, the tool's own engine does not run.
        if !env.cache("engine").is_dir() {
            return Err(instance::absent(env, &why));
        }
        if let Probe::Stale(_) = Engine.probe(env, &Fingerprint::new())? {
            Engine.run(env, &Fingerprint::new())?;
        }
    }
    reported(env, TASK, &format!("instance {} starts", env.instance), || {
        let began = Timestamp::now();
        let started = provider.resume(env)?;
        if deploy::serving(&deploy::revisions(env)?).is_none() {
            return Ok("the cluster runs; nothing is deployed yet: `cargo xtask create` goes on".to_owned());
        }
        deploy::wait_for_page(env, &Cluster::open(env, &env.kubeconfig())?, TASK, began, &started)?;
        Ok("the page answers".to_owned())
    })?;
    let url = instance::url(env)?;
    answer(env, &url, || json!({ "schema": 1, "url": url }))
}
