//! Finding an engine that runs: `DOCKER_HOST`, the usual sockets, the engine that the tool manages.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};
use bollard::{API_DEFAULT_VERSION, Docker};

use crate::{
    engine::{Engine, login::Login},
    env::Env,
    errors::{Code, Problem},
};

/// Seconds that one request may take: committing an image of a gigabyte is one.
const REQUEST_LIMIT: u64 = 1800;
/// What an engine at rest answers within.
const PING_LIMIT: Duration = Duration::from_secs(5);

/// Where an engine was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub host: String,
    pub title: String,
}

/// The first place that answers. A `DOCKER_HOST` that does not answer is an error: the user meant it.
pub fn find(env: &Env) -> Result<Option<Engine>> {
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

/// Connects and sees that the engine answers.
pub fn connect(env: &Env, found: &Found) -> Result<Engine> {
    let docker = if let Some(path) = found.host.strip_prefix("unix://") {
        Docker::connect_with_unix(path, REQUEST_LIMIT, API_DEFAULT_VERSION)
    } else if found.host.starts_with("tcp://") || found.host.starts_with("http://") {
        Docker::connect_with_http(&found.host, REQUEST_LIMIT, API_DEFAULT_VERSION)
    } else {
        return Err(Problem::requirement(format!("`{}` is not a kind of address that the tool speaks", found.host))
            .code(Code::NoEngine)
            .hint("use a unix:// socket or tcp://; for ssh, forward the remote socket to a local one")
            .into());
    };
    let docker = docker.with_context(|| format!("connect to {}", found.host))?;
    let negotiate = async {
        let limit = PING_LIMIT;
        tokio::time::timeout(limit, docker.negotiate_version())
            .await
            .with_context(|| format!("no answer within {} s", limit.as_secs()))?
            .context("negotiate the API version")
    };
    let docker = env.runtime.block_on(negotiate)?;
    Ok(Engine {
        docker,
        runtime: env.runtime.clone(),
        interrupt: env.interrupt.clone(),
        limit: None,
        host: found.host.clone(),
        title: found.title.clone(),
        login: Login::new(env.tools.clone()),
    })
}
