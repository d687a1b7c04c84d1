//! Access to the running instance for commands that inspect it. Creates and starts nothing.

use std::{io::Write as _, time::Duration};

use anyhow::{Context as _, Result};

use crate::{
    cluster::{Cluster, Place},
    deploy::components::Component,
    env::Env,
    errors::{Code, Exit, Problem},
    fingerprint::Fingerprint,
    invocation,
    probe::Probe,
    provider::{Node, evidence, provider},
    record,
};

/// How long to wait for the API server's answer to a readiness request.
const API_LIMIT: Duration = Duration::from_secs(5);

/// The part of an instance that answers.
pub(super) enum Answering {
    /// The API server. `note` describes a problem of its cluster, if there is one.
    Cluster { note: Option<String> },
    /// A running node without an API server, and the reason.
    Node { why: String },
    /// Nothing, and the reason.
    Nothing { why: String },
}

/// Prepares read-only calls, and checks what answers. Reads the kubeconfig from the node if the instance's is not usable, or if the cluster
/// is unfinished.
pub(super) fn what_answers(env: &Env) -> Result<Answering> {
    let provider = provider(env);
    if let Some(why) = provider.connect(env)? {
        return Ok(Answering::Nothing { why });
    }
    // The inputs of the cluster do not matter here, and may not be decided yet.
    let why = match provider.probe(env, &Fingerprint::new())? {
        Probe::Fresh(_) => return Ok(Answering::Cluster { note: None }),
        Probe::Stale(why) => why,
    };
    let Some(node) = provider.node(env)? else { return Ok(Answering::Nothing { why }) };
    let answers = provider.kubeconfig(env).and_then(|text| {
        Cluster::open_text(env, &text, Some(API_LIMIT))?.is_ready().map_err(anyhow::Error::msg)?;
        record::write_file(&env.kubeconfig(), text.as_bytes())
    });
    env.interrupt.check()?;
    let name = &env.instance;
    Ok(match (answers, node.finished) {
        (Ok(()), true) => Answering::Cluster { note: None },
        (Ok(()), false) => Answering::Cluster { note: Some(format!("cluster {name} is not finished: the next `create` recreates it")) },
        (Err(why), true) => Answering::Node { why: format!("the API server of cluster {name} does not answer: {why:#}") },
        (Err(why), false) => {
            Answering::Node { why: format!("cluster {name} is not finished, and its API server does not answer: {why:#}") }
        }
    })
}

/// An error with reason and hint if the instance's API server does not answer.
pub(super) fn find(env: &Env) -> Result<()> {
    match what_answers(env)? {
        Answering::Cluster { note: None } => Ok(()),
        Answering::Cluster { note: Some(note) } => say(&note),
        Answering::Node { why } => Err(only_a_node(env, &why)),
        Answering::Nothing { why } => Err(absent(env, &why)),
    }
}

/// Prints a problem of a cluster that answers, beside the command's own output.
pub(super) fn say(note: &str) -> Result<()> {
    writeln!(std::io::stderr(), "{}", invocation::reworded(note)).context("print a note")
}

/// The instance's cluster, for short calls.
pub(super) fn connect(env: &Env) -> Result<Cluster> {
    env.only_looking(|| find(env))?;
    Cluster::open(env, &env.kubeconfig())
}

/// The instance's cluster, for streams.
pub(super) fn connect_for_streams(env: &Env) -> Result<Cluster> {
    env.only_looking(|| find(env))?;
    Cluster::open_for_streams(env, &env.kubeconfig())
}

/// The URL of the application's page.
pub(super) fn url(env: &Env) -> Result<String> {
    match provider(env).address(env)? {
        Some(address) => Ok(address.url(&env.config.frontend.page)),
        None => Err(Problem { exit: Exit::Unhealthy, ..Problem::new("the cluster has not assigned an address to the application yet") }
            .code(Code::Unhealthy)
            .hint("`cargo xtask status` says what it waits for")
            .into()),
    }
}

/// A running node of a finished or unfinished cluster.
pub(super) fn node(env: &Env) -> Result<Node> {
    let answering = what_answers(env)?;
    match (provider(env).node(env), answering) {
        (Ok(Some(node)), _) => Ok(node),
        (_, Answering::Nothing { why }) => Err(absent(env, &why)),
        (Err(error), _) => Err(error),
        (Ok(None), _) => Err(Problem::new(format!("the nodes of a cluster of type {} are not this tool's", env.config.cluster.kind))
            .hint("`cargo xtask kubectl debug node/NAME -it --image=IMAGE` opens a shell beside a node")
            .into()),
    }
}

/// The commands for a node whose API server does not answer.
pub(super) fn ways(env: &Env) -> String {
    let tool = env.tool();
    let kept = latest_evidence(env).map(|it| format!("\nthe logs of the last failure are in {it}")).unwrap_or_default();
    format!("the node runs; see its logs: {tool} logs node; open a shell in it: {tool} shell node{kept}")
}

/// The folder with the evidence of the last failure, relative to the project.
pub(super) fn latest_evidence(env: &Env) -> Option<String> {
    let folder = evidence::latest(env)?;
    Some(folder.strip_prefix(&env.project).unwrap_or(&folder).display().to_string())
}

fn only_a_node(env: &Env, why: &str) -> anyhow::Error {
    Problem { exit: Exit::Unhealthy, ..Problem::new(why) }.code(Code::Api).hint(ways(env)).into()
}

pub(super) fn absent(env: &Env, why: &str) -> anyhow::Error {
    let what = format!("no instance {} runs here: {why}", env.instance);
    let kept = latest_evidence(env).map(|it| format!("\nthe logs of the last failure are in {it}")).unwrap_or_default();
    let tool = env.tool();
    let hint = format!("`{tool} resume` starts a stopped instance, `{tool} create` makes one; `cargo xtask ls` shows all instances{kept}");
    Problem { exit: Exit::Unhealthy, ..Problem::new(what) }.code(Code::NoInstance).hint(hint).into()
}

/// A container of the component to run commands in.
pub(super) fn place(cluster: &Cluster, part: &Component) -> Result<Place> {
    match cluster.ready_pod(&part.namespace, &part.selector)? {
        Some(pod) => Ok(Place { namespace: part.namespace.clone(), pod, container: part.container.clone() }),
        None => Err(Problem { exit: Exit::Unhealthy, ..Problem::new(format!("no pod of the {} is ready", part.name)) }
            .code(Code::Unhealthy)
            .hint("`cargo xtask validate` says why")
            .into()),
    }
}
