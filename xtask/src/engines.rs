//! Finds this machine's engine: the user's, by `DOCKER_HOST` or at the usual sockets, or the tool's own.

mod own;

use std::path::PathBuf;

use anyhow::Result;

use crate::{
    engine::{Engine, Found},
    env::Env,
    errors::{Code, Problem},
};

pub use crate::engines::own::{Managed, PACKAGES};

/// A running engine: the user's, or the one that an earlier run started. Starts none.
pub fn find(env: &Env) -> Result<Option<Engine>> {
    match find_users(env)? {
        Some(found) => Ok(Some(found)),
        None => Ok(Managed::new(env).running(env)),
    }
}

/// The first of the user's engines that answers. If `DOCKER_HOST` is set and does not answer, that is an error.
fn find_users(env: &Env) -> Result<Option<Engine>> {
    if let Some(host) = std::env::var("DOCKER_HOST").ok().filter(|it| !it.is_empty()) {
        let found = Found { title: format!("the engine at {host} (DOCKER_HOST)"), host };
        let engine = connect(env, &found).map_err(|error| {
            let what = format!("DOCKER_HOST is {}, and no engine answers there: {error:#}", found.host);
            Problem::requirement(what).code(Code::NoEngine).hint("start that engine, or unset DOCKER_HOST to use another")
        })?;
        return Ok(Some(engine));
    }
    for path in usual_sockets() {
        if !path.exists() {
            continue;
        }
        let found = Found { host: format!("unix://{}", path.display()), title: format!("the engine at {}", path.display()) };
        if let Ok(engine) = connect(env, &found) {
            return Ok(Some(engine));
        }
    }
    Ok(None)
}

/// Docker's own socket, rootless Docker, Docker Desktop, Colima, Rancher Desktop.
fn usual_sockets() -> Vec<PathBuf> {
    let mut out = vec![PathBuf::from("/var/run/docker.sock")];
    if let Some(dir) = std::env::var_os("XDG_RUNTIME_DIR") {
        out.push(PathBuf::from(dir).join("docker.sock"));
    }
    if let Some(home) = std::env::var_os("HOME").map(PathBuf::from) {
        out.extend([".docker/run/docker.sock", ".colima/default/docker.sock", ".rd/docker.sock"].map(|it| home.join(it)));
    }
    out
}

/// Connects with the run's runtime and signal handling, and checks that the engine answers.
pub fn connect(env: &Env, found: &Found) -> Result<Engine> {
    Engine::connect(found, &env.runtime, &env.interrupt, &env.tools)
}
