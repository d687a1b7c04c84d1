//! Connects to an engine with a known address. `engines.rs` chooses the engine.

use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use bollard::{API_DEFAULT_VERSION, Docker};
use tokio::runtime::Runtime;

use crate::{
    engine::{Engine, PING_LIMIT, cause, login::Login},
    errors::{Code, Problem},
    interrupt::Interrupt,
    tool::Tools,
};

/// The limit of one request in seconds. Committing an image of a gigabyte is one request.
const REQUEST_LIMIT: u64 = 1800;

/// The address of an engine.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub host: String,
    pub title: String,
}

impl Engine {
    /// Connects, and checks that the engine answers.
    pub fn connect(found: &Found, runtime: &Arc<Runtime>, interrupt: &Interrupt, tools: &Tools) -> Result<Engine> {
        let docker = if let Some(path) = found.host.strip_prefix("unix://") {
            Docker::connect_with_unix(path, REQUEST_LIMIT, API_DEFAULT_VERSION)
        } else if found.host.starts_with("tcp://") || found.host.starts_with("http://") {
            Docker::connect_with_http(&found.host, REQUEST_LIMIT, API_DEFAULT_VERSION)
        } else {
            return Err(Problem::requirement(format!("`{}` is not a supported kind of address", found.host))
                .code(Code::NoEngine)
                .hint("use a unix:// socket or tcp://; for ssh, forward the remote socket to a local one")
                .into());
        };
        let docker = docker.with_context(|| format!("connect to {}", found.host))?;
        let negotiate = async {
            match tokio::time::timeout(PING_LIMIT, docker.negotiate_version()).await {
                Ok(Ok(docker)) => Ok(docker),
                Ok(Err(error)) => Err(anyhow!(cause(&error))),
                Err(_) => Err(anyhow!("no answer within {} s", PING_LIMIT.as_secs())),
            }
        };
        let docker = runtime.block_on(negotiate)?;
        Ok(Engine {
            docker,
            runtime: runtime.clone(),
            interrupt: interrupt.clone(),
            limit: None,
            host: found.host.clone(),
            title: found.title.clone(),
            login: Login::new(tools.clone()),
        })
    }
}
