//! The application's address on this machine: a port of the node, which the application's Service has, or the Ingress controller's.

use anyhow::{Context as _, Result};

use crate::{
    authority,
    env::Env,
    errors::{Code, Problem},
    exposure::{Address, Exposure, ServiceType},
    provider::kind::{NODE_PORT, node},
};

pub(super) fn exposure(env: &Env) -> Exposure {
    let is_behind = env.config.controller().is_some();
    Exposure::here(if is_behind { ServiceType::ClusterIp } else { ServiceType::NodePort(Some(NODE_PORT)) })
}

pub(super) fn of(env: &Env) -> Result<Address> {
    let container = env.engine()?.container(&node(env))?.with_context(|| format!("container {} is gone", node(env)))?;
    let Some(port) = container.published(NODE_PORT) else {
        let what = format!("the node publishes no port for {NODE_PORT}/tcp");
        return Err(Problem::config(what)
            .code(Code::Manifest)
            .hint("deploy/kind/cluster.yaml must map it: extraPortMappings with containerPort 30080")
            .into());
    };
    let host = if env.config.controller().is_some() { &env.config.frontend.host } else { "localhost" };
    if env.config.has_tls() {
        let authority = Some(authority::certificate_path(env));
        return Ok(Address { authority, ..Address::here(format!("https://{host}:{port}")) });
    }
    Ok(Address::here(format!("http://{host}:{port}")))
}
