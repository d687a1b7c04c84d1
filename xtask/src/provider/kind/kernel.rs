//! The settings of the kernel that a kubelet would change for the whole machine: a node of kind's own image gets what the node from packages
//! has for this, before its kubelet starts.
//!
//! Errors here are ignored, as a kubelet changes the settings of every machine with kind.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::Result;

use crate::{engine::Engine, env::Env, images::packages, provider::kind::nodes};

const SCRIPT: &str = "/usr/libexec/pocdeploy/machine-settings.sh";

/// Files of the recipes, and where they are in a node. They serve after a restart of the node, too.
const FILES: [(&str, &str); 2] = [
    ("node/machine-settings.sh", SCRIPT),
    ("node/machine-settings.conf", "/etc/systemd/system/kubelet.service.d/23-machine-settings.conf"),
];

const PAUSE: Duration = Duration::from_millis(100);

/// Prepares each node as soon as its container runs: seconds before kubeadm writes the configuration without which no kubelet starts. Ends
/// with kind at the latest.
pub(super) fn keep(env: &Env, engine: &Engine, ended: &AtomicBool) {
    let mut left = nodes::planned(env);
    while !left.is_empty() && !ended.load(Ordering::Relaxed) {
        left.retain(|name| {
            let runs = engine.container(name).is_ok_and(|it| it.is_some_and(|it| it.running));
            !(runs && prepare(env, engine, name).is_ok())
        });
        if env.interrupt.sleep(PAUSE).is_err() {
            return;
        }
    }
}

fn prepare(env: &Env, engine: &Engine, node: &str) -> Result<()> {
    for (from, to) in FILES {
        let text = packages::text(env, from)?;
        let write = "mkdir -p \"$(dirname \"$1\")\"; printf %s \"$2\" > \"$1\"";
        engine.exec(node, &["sh", "-euc", write, "sh", to, &text])?.ok("write into the node")?;
    }
    engine.exec(node, &["sh", SCRIPT])?.ok("keep the machine's settings")?;
    Ok(())
}
