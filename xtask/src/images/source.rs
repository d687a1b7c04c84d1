//! Registry or packages: decided once for each instance, by asking the registry, and reported with the reason.

use std::{fmt, time::Duration};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::{
    config::{ClusterType, Source},
    env::Env,
    graph::TaskId,
    images::{Role, registry},
    record,
};

/// The source of upstream's images in this instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Chosen {
    Registry,
    Packages,
}

impl fmt::Display for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Chosen::Registry => "their registries",
            Chosen::Packages => "package registries",
        })
    }
}

/// A slow registry answers for one manifest within this time.
const ASK_LIMIT: Duration = Duration::from_secs(10);

/// The stored decision, if there is one.
pub(crate) fn decided(env: &Env) -> Option<Chosen> {
    match env.config.images.source {
        Source::Registry => Some(Chosen::Registry),
        Source::Packages => Some(Chosen::Packages),
        Source::Auto => record::read_json(&env.work("record/source.json")),
    }
}

/// The source: as configured, or as decided earlier, or decided now by asking the registry for one image.
pub fn chosen(env: &Env, task: TaskId) -> Result<Chosen> {
    match env.config.images.source {
        Source::Registry => return Ok(Chosen::Registry),
        Source::Packages => return Ok(Chosen::Packages),
        Source::Auto => {}
    }
    let _turn = env.source_turn.lock();
    let path = env.work("record/source.json");
    if let Some(chosen) = record::read_json(&path) {
        return Ok(chosen);
    }
    env.may_change(|| "where upstream's images come from is decided by the first run, which asks the registry".to_owned())?;
    let wanted = registry::pull_reference(env, asked(env))?;
    env.note(task, format!("asking the registry for {}", short(&wanted)));
    let chosen = match env.engine()?.registry_digest(&wanted, ASK_LIMIT) {
        Ok(digest) => {
            env.note(task, format!("upstream's images come from {}: {} is there", Chosen::Registry, short(&digest)));
            Chosen::Registry
        }
        Err(error) => {
            env.interrupt.check()?;
            let text = format!("{error:#}");
            let why = text.rsplit(": ").next().unwrap_or_default();
            env.note(task, format!("upstream's images are built from {}: the registry does not answer ({why})", Chosen::Packages));
            Chosen::Packages
        }
    };
    record::write_json(&path, &chosen)?;
    Ok(chosen)
}

/// The image to ask for: one that this kind of cluster always needs.
fn asked(env: &Env) -> Role {
    match env.config.cluster.kind {
        ClusterType::Kind => Role::Node,
        _ => Role::Operator,
    }
}

/// A reference for messages, with twelve digits of its digest.
fn short(reference: &str) -> String {
    match reference.split_once("sha256:") {
        Some((name, digest)) if digest.len() > 12 => format!("{name}sha256:{}…", &digest[..12]),
        _ => reference.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_shown_short() {
        assert_eq!(short("docker.io/kindest/node:v1@sha256:0123456789abcdef"), "docker.io/kindest/node:v1@sha256:0123456789ab…");
        assert_eq!(short("docker.io/kindest/node:v1"), "docker.io/kindest/node:v1");
    }
}
