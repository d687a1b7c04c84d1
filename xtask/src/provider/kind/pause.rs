//! A stopped cluster: its nodes are stopped containers.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::{
    engine::Engine,
    env::Env,
    errors::{Code, Exit, Problem},
    provider::kind::{Present, TASK, foreign, nodes, presence::stranded, present},
};

/// Seconds for a node's programs to end. PostgreSQL's own limit in the pod is longer, and what it has confirmed is in its WAL anyway.
const LIMIT: i32 = 60;

const SYNC_LIMIT: Duration = Duration::from_secs(60);

/// Stops every node, the first one first, so that the API server moves no pods. False if they are stopped.
pub(super) fn stop(env: &Env, engine: &Engine) -> Result<bool> {
    match present(env, engine)? {
        Present::Nothing | Present::HalfMade(_) => return Err(nothing(env)),
        Present::Foreign => return Err(foreign(env)),
        Present::Stranded(_) => return Err(stranded(env)),
        Present::Finished(_) => {}
    }
    let running = in_state(env, engine, true)?;
    for name in &running {
        env.interrupt.check()?;
        env.progress(TASK, format!("stopping {name}, at most {LIMIT} s"));
        engine.stop(name, LIMIT)?;
    }
    // The shortcuts let etcd leave its files to the kernel, which a power failure would lose.
    sync(env)?;
    Ok(!running.is_empty())
}

/// Waits until the kernel has written all files, at most [`SYNC_LIMIT`]: a file system of the network may never answer.
fn sync(env: &Env) -> Result<()> {
    let writing = std::thread::spawn(rustix::fs::sync);
    let began = Instant::now();
    while !writing.is_finished() && began.elapsed() < SYNC_LIMIT {
        env.interrupt.sleep(Duration::from_millis(20))?;
    }
    Ok(())
}

/// Whether any node does not run.
pub(super) fn is_stopped(env: &Env, engine: &Engine) -> Result<bool> {
    Ok(!in_state(env, engine, false)?.is_empty())
}

fn in_state(env: &Env, engine: &Engine, running: bool) -> Result<Vec<String>> {
    let mut out = Vec::new();
    for name in nodes::names(env, engine)? {
        if engine.container(&name)?.is_some_and(|it| it.running == running) {
            out.push(name);
        }
    }
    Ok(out)
}

/// Starts every node, the first one first.
pub(super) fn start(env: &Env, engine: &Engine) -> Result<()> {
    nodes::names(env, engine)?.iter().try_for_each(|it| engine.start(it))
}

pub(super) fn nothing(env: &Env) -> anyhow::Error {
    let what = format!("instance {} has no finished cluster", env.instance);
    let hint = "`cargo xtask create` makes one; `cargo xtask ls` shows all instances";
    Problem { exit: Exit::Unhealthy, ..Problem::new(what) }.code(Code::NoInstance).hint(hint).into()
}
