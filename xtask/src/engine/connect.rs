//! Connects to an engine with a known address. `engines.rs` chooses the engine.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use bollard::{API_DEFAULT_VERSION, Docker};
use tokio::runtime::Runtime;

use crate::{
    engine::{Engine, login::Login},
    errors::{Code, Problem},
    interrupt::Interrupt,
    tool::Tools,
};

/// The limit of one request in seconds. Committing an image of a gigabyte is one request.
const REQUEST_LIMIT: u64 = 1800;
/// An idle engine answers within this time.
const PING_LIMIT: Duration = Duration::from_secs(5);

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
            let limit = PING_LIMIT;
            tokio::time::timeout(limit, docker.negotiate_version())
                .await
                .with_context(|| format!("no answer within {} s", limit.as_secs()))?
                .context("negotiate the API version")
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
