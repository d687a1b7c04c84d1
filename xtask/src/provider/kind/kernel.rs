//! The settings of the kernel that a kubelet would change for the whole machine: a node of kind's own image gets what the node from packages
//! has for this, before its kubelet starts.
//!
//! Errors here are ignored, as a kubelet changes the settings of every machine with kind.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
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
/// Before the next attempt at a node whose commands fail the tool waits twice as long as before: 25 s in all. By then its kubelet runs.
const ATTEMPTS: u32 = 9;

/// A node that is not prepared yet.
struct Left {
    name: String,
    failed: u32,
    next: Instant,
}

/// Prepares each node as soon as its container runs: seconds before kubeadm writes the configuration without which no kubelet starts. Ends
/// with kind at the latest.
pub(super) fn keep(env: &Env, engine: &Engine, ended: &AtomicBool) {
    let now = Instant::now();
    let mut left: Vec<Left> = nodes::planned(env).into_iter().map(|name| Left { name, failed: 0, next: now }).collect();
    while !left.is_empty() && !ended.load(Ordering::Relaxed) {
        attempt(&mut left, Instant::now(), |name| {
            let runs = engine.container(name).is_ok_and(|it| it.is_some_and(|it| it.running));
            runs.then(|| prepare(env, engine, name).is_ok())
        });
        if env.interrupt.sleep(PAUSE).is_err() {
            return;
        }
    }
}

/// Tries each node whose time has come, and drops those that are prepared and those that have failed too often. `prepare` says whether it did,
/// and nothing of a node that does not run yet.
fn attempt(left: &mut Vec<Left>, now: Instant, prepare: impl Fn(&str) -> Option<bool>) {
    left.retain_mut(|it| {
        if now < it.next {
            return true;
        }
        match prepare(&it.name) {
            None => true,
            Some(true) => false,
            Some(false) => {
                it.next = now + PAUSE * 2_u32.pow(it.failed);
                it.failed += 1;
                it.failed < ATTEMPTS
            }
        }
    });
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_node_whose_commands_fail_is_tried_less_and_less_often_and_then_no_more() {
        let begin = Instant::now();
        let mut left: Vec<Left> = ["bad", "late"].map(|name| Left { name: name.to_owned(), failed: 0, next: begin }).into();
        let (tried, prepared) = (Cell::new(0), Cell::new(0));
        // For as long as kind may take.
        for step in 0..6000 {
            attempt(&mut left, begin + PAUSE * step, |name| match name {
                "bad" => {
                    tried.set(tried.get() + 1);
                    Some(false)
                }
                _ if step < 3000 => None,
                _ => {
                    prepared.set(prepared.get() + 1);
                    Some(true)
                }
            });
        }
        assert_eq!((tried.get(), prepared.get(), left.len()), (ATTEMPTS, 1, 0));
    }
}
