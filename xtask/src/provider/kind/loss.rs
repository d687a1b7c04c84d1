//! The loss of a node, for drills: a worker that is killed, or cut off from the others.

use anyhow::Result;

use crate::{
    engine::Engine,
    env::Env,
    errors::{Code, Problem},
    provider::{
        Loss,
        kind::{node, nodes},
    },
};

/// The table of nftables that cuts a node off: nothing passes its network's interface, and its own pods still reach each other.
const TABLE: &str = "inet pocdeploy_drill";
const CUT: &str = "table inet pocdeploy_drill {
  chain in { type filter hook prerouting priority -350; iifname \"eth0\" drop; }
  chain out { type filter hook postrouting priority 350; oifname \"eth0\" drop; }
}
";

/// An error if the node cannot be lost: it is the control plane's, without which nothing fails over.
pub(super) fn is_possible(env: &Env, engine: &Engine, name: &str) -> Result<()> {
    if name != node(env) && nodes::members(env, engine)?.iter().any(|it| it == name) {
        return Ok(());
    }
    let what = if name == node(env) {
        format!("the database's primary is on {name}, the node of the control plane, which has to survive")
    } else {
        format!("{name} is no node of instance {}", env.instance)
    };
    let hint = "a cluster that is created with `cluster.workers = 3`, or with `database.profile = \"durable\"`, has nodes for pods alone:\ncargo xtask delete --keep-database\ncargo xtask create";
    Err(Problem::requirement(what).code(Code::ClusterFailed).hint(hint).into())
}

/// Loses a worker.
pub(super) fn lose(engine: &Engine, name: &str, how: Loss) -> Result<()> {
    match how {
        Loss::Power => engine.kill(name),
        Loss::Network => nft(engine, name, CUT),
    }
}

/// Brings a worker back; one that was not lost counts as done.
pub(super) fn bring_back(engine: &Engine, name: &str, how: Loss) -> Result<()> {
    match how {
        Loss::Power => engine.start(name),
        // The first line makes the second one valid without the table.
        Loss::Network => nft(engine, name, &format!("table {TABLE}\ndelete table {TABLE}\n")),
    }
}

/// Brings back every worker.
pub(super) fn heal(env: &Env, engine: &Engine) -> Result<()> {
    for name in nodes::members(env, engine)?.iter().skip(1) {
        bring_back(engine, name, Loss::Power)?;
        bring_back(engine, name, Loss::Network)?;
    }
    Ok(())
}

fn nft(engine: &Engine, name: &str, rules: &str) -> Result<()> {
    let input = futures_util::stream::iter([Ok(bytes::Bytes::from(rules.to_owned()))]);
    engine.exec_with_input(name, &["nft", "--file", "-"], input)?.ok(&format!("set the firewall of {name}")).map(drop)
}
