//! A stopped cluster: its nodes are stopped containers.

use anyhow::Result;

use crate::{
    engine::Engine,
    env::Env,
    errors::{Code, Exit, Problem},
    provider::kind::{Present, TASK, foreign, network, node, present},
};

/// Seconds for a node's programs to end. PostgreSQL's own limit in the pod is longer, and what it has confirmed is in its WAL anyway.
const LIMIT: i32 = 60;

/// Stops every node, the first one first, so that the API server moves no pods. False if they are stopped.
pub(super) fn stop(env: &Env, engine: &Engine) -> Result<bool> {
    match present(env, engine)? {
        Present::Nothing | Present::HalfMade(_) => return Err(nothing(env)),
        Present::Foreign => return Err(foreign(env)),
        Present::Finished(container) if !container.running => return Ok(false),
        Present::Finished(_) => {}
    }
    for name in nodes(env, engine)? {
        env.interrupt.check()?;
        env.progress(TASK, format!("stopping {name}, at most {LIMIT} s"));
        engine.stop(&name, LIMIT)?;
    }
    // The shortcuts let etcd leave its files to the kernel, which a power failure would lose.
    rustix::fs::sync();
    Ok(true)
}

/// Starts every node, the first one first.
pub(super) fn start(env: &Env, engine: &Engine) -> Result<()> {
    nodes(env, engine)?.iter().try_for_each(|it| engine.start(it))
}

fn nodes(env: &Env, engine: &Engine) -> Result<Vec<String>> {
    let first = node(env);
    let others = engine.containers_on_network(&network(env))?.into_iter().filter(|it| *it != first);
    Ok(std::iter::once(first.clone()).chain(others).collect())
}

pub(super) fn nothing(env: &Env) -> anyhow::Error {
    let what = format!("instance {} has no finished cluster", env.instance);
    let hint = "`cargo xtask create` makes one; `cargo xtask ls` shows all instances";
    Problem { exit: Exit::Unhealthy, ..Problem::new(what) }.code(Code::NoInstance).hint(hint).into()
}
