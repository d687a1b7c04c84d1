//! Whether the nodes that are built from packages enforce NetworkPolicies. A kernel that lacks a part refuses the rules, and the program that
//! makes them only logs that.

use anyhow::Result;

use crate::{
    engine::Engine,
    env::Env,
    images::{self, Chosen},
    provider::{
        Enforcement,
        kind::{TASK, node, nodes},
    },
};

/// The chain of kube-network-policies that hands packets to it.
const CHAIN: [&str; 6] = ["nft", "list", "chain", "inet", "kube-network-policies", "postrouting"];

/// `None` if that is not this node's work: kind's own node has another program for it, or `cluster.network_policies` is false.
pub(super) fn enforced(env: &Env, engine: &Engine) -> Result<Option<Enforcement>> {
    if !env.config.cluster.network_policies || images::chosen(env, TASK)? != Chosen::Packages {
        return Ok(None);
    }
    // A cluster that is older than this program has no such pod.
    if !engine.has_path(&node(env), super::config::POLICIES)? {
        let seen = Err("not enforced: the cluster was created before this version".to_owned());
        return Ok(Some(Enforcement { seen, hint: Some("cargo xtask delete\ncargo xtask create".to_owned()) }));
    }
    let mut out = None;
    for name in nodes::members(env, engine)? {
        let Some(container) = engine.container(&name)? else { continue };
        if container.frozen {
            // For Kubernetes it is ready for another minute.
            let hint = Some("cargo xtask resume".to_owned());
            return Ok(Some(Enforcement { seen: Err(format!("node {name} is frozen (`pause --keep-memory` or `docker pause`)")), hint }));
        }
        // `validate` names a node that was stopped.
        if !container.running {
            continue;
        }
        let listed = engine.exec(&name, &CHAIN)?;
        let found = judge(&name, listed.code, &listed.stdout);
        if found.seen.is_err() {
            return Ok(Some(found));
        }
        out.get_or_insert(found);
    }
    Ok(out)
}

fn judge(node: &str, code: i64, chain: &str) -> Enforcement {
    if code == 0 && chain.contains("queue num") {
        return Enforcement { seen: Ok("enforced".to_owned()), hint: None };
    }
    let needs = "CONFIG_NFT_COMPAT, CONFIG_NETFILTER_XT_TARGET_NFQUEUE and CONFIG_NF_CONNTRACK_LABELS";
    let hint = format!(
        "cargo xtask kubectl logs -n kube-system -c policies -l 'app.kubernetes.io/name in (policies, pocdeploy-node)'\nThe kernel needs {needs}; to do without, set \
         `cluster.network_policies = false`"
    );
    Enforcement { seen: Err(format!("not enforced: node {node} has no rules for them")), hint: Some(hint) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rules_that_hand_packets_on_enforce_anything() {
        assert!(judge("n", 0, "chain postrouting {\n ip saddr @podips-v4 queue num 100\n}").seen.is_ok());
        assert!(judge("n", 0, "chain postrouting {\n udp dport 53 accept\n}").seen.is_err());
        let none = judge("n", 1, "");
        assert_eq!(none.seen, Err("not enforced: node n has no rules for them".to_owned()));
        assert!(none.hint.is_some_and(|it| it.contains("kubectl logs -n kube-system")));
    }
}
