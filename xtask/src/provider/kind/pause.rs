//! A cluster at rest: its nodes are stopped containers, or frozen ones.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::{
    engine::{Container, Engine},
    env::Env,
    errors::{Code, Exit, Problem},
    provider::{
        Rest,
        kind::{Present, TASK, foreign, nodes, presence::stranded, present},
    },
};

/// Seconds for a node's programs to end. PostgreSQL's own limit in the pod is longer, and what it has confirmed is in its WAL anyway.
const LIMIT: i32 = 60;

const SYNC_LIMIT: Duration = Duration::from_secs(60);

/// Stops or freezes every node, the first one first, so that the API server moves no pods. False if none had to be.
pub(super) fn pause(env: &Env, engine: &Engine, rest: Rest) -> Result<bool> {
    match present(env, engine)? {
        Present::Nothing | Present::HalfMade(_) => return Err(nothing(env)),
        Present::Foreign => return Err(foreign(env)),
        Present::Stranded(_) => return Err(stranded(env)),
        Present::Finished(_) => {}
    }
    let running = match rest {
        Rest::Stopped => those(env, engine, |it| it.running || it.frozen)?,
        Rest::Frozen => those(env, engine, |it| it.running && !it.frozen)?,
    };
    for name in &running {
        env.interrupt.check()?;
        match rest {
            Rest::Stopped => {
                env.progress(TASK, format!("stopping {name}, at most {LIMIT} s"));
                engine.stop(name, LIMIT)?;
            }
            Rest::Frozen => engine.freeze(name)?,
        }
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

/// Why the nodes do not run; `None` if they do. `Stopped` if at least one is, `Frozen` if one is and none is stopped.
pub(super) fn rest(env: &Env, engine: &Engine) -> Result<Option<Rest>> {
    let mut out = None;
    for name in nodes::names(env, engine)? {
        match engine.container(&name)? {
            Some(it) if it.frozen => out = Some(Rest::Frozen),
            Some(it) if !it.running => return Ok(Some(Rest::Stopped)),
            _ => {}
        }
    }
    Ok(out)
}

/// The nodes that have to be started, besides frozen ones.
pub(super) fn stopped(env: &Env, engine: &Engine) -> Result<Vec<String>> {
    those(env, engine, |it| !it.running && !it.frozen)
}

fn those(env: &Env, engine: &Engine, is_one: fn(&Container) -> bool) -> Result<Vec<String>> {
    let mut out = Vec::new();
    for name in nodes::names(env, engine)? {
        if engine.container(&name)?.is_some_and(|it| is_one(&it)) {
            out.push(name);
        }
    }
    Ok(out)
}

/// Starts every node, the first one first. Returns those that were frozen.
pub(super) fn start(env: &Env, engine: &Engine) -> Result<Vec<String>> {
    let frozen = those(env, engine, |it| it.frozen)?;
    nodes::names(env, engine)?.iter().try_for_each(|it| engine.start(it))?;
    Ok(frozen)
}

pub(super) fn nothing(env: &Env) -> anyhow::Error {
    let what = format!("instance {} has no finished cluster", env.instance);
    let hint = "`cargo xtask create` makes one; `cargo xtask ls` shows all instances";
    Problem { exit: Exit::Unhealthy, ..Problem::new(what) }.code(Code::NoInstance).hint(hint).into()
}
