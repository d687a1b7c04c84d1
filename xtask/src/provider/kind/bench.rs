//! The leftovers of an interrupted `bench` of this project, found by the labels of its networks and the names of its images.

use std::path::Path;

use anyhow::Result;

use crate::{
    engine::Engine,
    env::{Env, path_key},
    graph::TaskId,
    provider::kind::{PROJECT_LABEL, network_of},
};

/// The copy of the project that `bench` measures in.
pub const BENCH: &str = "bench/project";

/// The name of the instance that `bench` makes in a copy of the project.
pub fn bench_instance(copy: &Path) -> String {
    format!("bench-{}", path_key(copy))
}

/// Where the names of images begin that the bench of an instance makes.
pub fn images_of_bench(instance: &str) -> String {
    format!("localhost/{instance}/")
}

/// Containers, networks and images.
pub(super) fn remove(env: &Env, engine: &Engine, task: TaskId) -> Result<()> {
    for network in networks(env, engine)? {
        for name in engine.containers_on_network(&network)? {
            env.progress(task, format!("removing {name}, which a bench left"));
            engine.remove_container(&name, |it| env.waiting(task, it))?;
        }
        engine.remove_network(&network)?;
    }
    for image in images(env, engine)? {
        engine.remove_image(&image)?;
    }
    Ok(())
}

/// Descriptions of its existing leftovers.
pub(super) fn leftovers(env: &Env, engine: &Engine) -> Result<Vec<String>> {
    let mut out = Vec::new();
    for network in networks(env, engine)? {
        out.extend(engine.containers_on_network(&network)?.into_iter().map(|it| format!("container {it} of a bench")));
        out.push(format!("network {network} of a bench"));
    }
    out.extend(images(env, engine)?.into_iter().map(|it| format!("image {it} of a bench")));
    Ok(out)
}

/// The copy of the project is an instance of its own, and the plain script's cluster is on the same network.
fn networks(env: &Env, engine: &Engine) -> Result<Vec<String>> {
    let copy = env.work(BENCH);
    let mut out = engine.networks_with_label(&format!("{PROJECT_LABEL}={}", copy.display()))?;
    // Another network may have a copy of the labels.
    out.retain(|it| *it == network_of(&bench_instance(&copy)));
    Ok(out)
}

fn images(env: &Env, engine: &Engine) -> Result<Vec<String>> {
    engine.images_below(&images_of_bench(&bench_instance(&env.work(BENCH))))
}
