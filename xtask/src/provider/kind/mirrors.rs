//! Configures the mirrors of `[images.mirrors]` in the node's containerd.

use anyhow::{Context as _, Result};

use crate::{
    engine::Engine,
    env::Env,
    images::{self, Chosen},
    provider::kind::{TASK, nodes},
};

/// Writes containerd's configuration of each mirrored registry on every node.
pub(super) fn pass(env: &Env, engine: &Engine) -> Result<()> {
    if env.config.images.mirrors.is_empty() || images::chosen(env, TASK)? != Chosen::Registry {
        return Ok(());
    }
    nodes::members(env, engine)?.iter().try_for_each(|it| pass_to(env, engine, it))
}

fn pass_to(env: &Env, engine: &Engine, node: &str) -> Result<()> {
    let authorities = images::registry::host_authorities();
    if let Some(bundle) = &authorities {
        let text = std::fs::read(bundle).with_context(|| format!("read {}", bundle.display()))?;
        write_in_node(engine, node, images::registry::NODE_AUTHORITIES, text)?;
    }
    for (name, text) in images::registry::hosts_files(&env.config.images.mirrors, authorities.is_some()) {
        write_in_node(engine, node, &format!("/etc/containerd/certs.d/{name}"), text.into_bytes())?;
    }
    Ok(())
}

fn write_in_node(engine: &Engine, node: &str, path: &str, content: Vec<u8>) -> Result<()> {
    let folder = path.rsplit_once('/').map_or("/", |(folder, _)| folder);
    engine.exec(node, &["mkdir", "-p", folder])?.ok("make a folder in the node")?;
    let input = futures_util::stream::iter([Ok(bytes::Bytes::from(content))]);
    engine.exec_with_input(node, &["tee", path], input)?.ok("write a file in the node")?;
    Ok(())
}
