//! Evidence from the nodes of a kind cluster and from kind itself. Of a stopped node, the engine still has the log and the files.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::{
    engine::{Container, Engine},
    env::Env,
    errors::{Code, Problem},
    provider::{
        evidence::{self, Evidence, TEXT_LIMIT},
        kind::{TASK, cause, network, node, owns_network},
    },
    redact::Redactor,
    report::Waiting,
};

/// The limit of one request to the engine or a node.
const EACH: Duration = Duration::from_secs(10);
/// The limit of all requests, so that a hanging node does not delay the error for long.
const ALL: Duration = Duration::from_secs(30);
/// The number of last lines of each journal and of the node's log.
const LINES: usize = 2000;
/// How much of a file is read: a little more than is kept, so that no secret is cut before it is masked.
const FILE_LIMIT: usize = TEXT_LIMIT + 64 * 1024;

/// Configuration files of a node. kind writes kubeadm's configuration, kubeadm the manifests.
const FILES: [&str; 4] = ["/kind/kubeadm.conf", "/etc/kubernetes/manifests", "/var/lib/kubelet/config.yaml", "/etc/containerd/config.toml"];

/// Commands for `state.txt`.
const COMMANDS: [&[&str]; 4] =
    [&["df", "-h"], &["free", "-m"], &["systemctl", "--failed", "--no-pager"], &["ctr", "--namespace", "k8s.io", "tasks", "list"]];

/// Calls `work`. After a failure, stores the nodes' logs and names the folder in the error. Not after Ctrl-C: the next run stores them
/// before it removes the unfinished node.
pub(super) fn kept_on_failure(env: &Env, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let Err(error) = work() else { return Ok(()) };
    let engine = match env.interrupt.status() {
        Ok(()) => env.engine()?.clone(),
        // A timed-out run needs the evidence, too.
        Err(problem) if problem.code == Code::RunTimedOut => env.engine()?.after_the_end(),
        Err(_) => return Err(error),
    };
    match keep(env, &engine, &format!("{}-failed", env.run_id())) {
        Ok(Some(kept)) => Err(with_way_in(env, error, &kept)),
        Ok(None) => Err(error),
        Err(why) => {
            env.note(TASK, format!("the node's logs could not be kept: {why:#}"));
            Err(error)
        }
    }
}

/// Stores the logs of an unfinished node before it is removed, and returns the folder. If an earlier run has stored those of the same node,
/// returns that folder.
pub(super) fn keep_before_removal(env: &Env, engine: &Engine, container: &Container) -> Option<String> {
    if let Some(folder) = evidence::latest(env).filter(|it| was_kept_since(it, &container.started)) {
        return Some(relative(env, &folder));
    }
    match keep(env, engine, &format!("{}-cut-off", env.run_id())) {
        Ok(kept) => kept.map(|it| it.folder),
        Err(error) => {
            env.note(TASK, format!("the node's logs could not be kept: {error:#}"));
            None
        }
    }
}

/// Whether the folder was written after the node's start.
fn was_kept_since(folder: &Path, started: &str) -> bool {
    let written = fs::metadata(folder).and_then(|it| it.modified()).ok().and_then(|it| jiff::Timestamp::try_from(it).ok());
    written.zip(started.parse().ok()).is_some_and(|(written, started): (jiff::Timestamp, jiff::Timestamp)| written > started)
}

fn relative(env: &Env, folder: &Path) -> String {
    folder.strip_prefix(&env.project).unwrap_or(folder).display().to_string()
}

/// The stored evidence of a failure.
struct Kept {
    /// Relative to the project.
    folder: String,
    cause: Option<String>,
    /// Whether the first node runs, so that `shell node` works.
    running: bool,
}

/// Stores the nodes' logs in a folder with this name. `None` if we have no node.
fn keep(env: &Env, engine: &Engine, name: &str) -> Result<Option<Kept>> {
    let (evidence, nodes) = look(env, engine)?;
    if nodes.is_empty() {
        return Ok(None);
    }
    let stopped = nodes.iter().filter(|(_, it)| !it.running);
    let stopped: Vec<String> = stopped.map(|(name, it)| format!("node {name} does not run: {}", it.state)).collect();
    let cause = cause::probable(&evidence, &stopped);
    let first = node(env);
    let running = nodes.iter().any(|(name, it)| *name == first && it.running);
    let folder = relative(env, &evidence.keep(env, name)?);
    Ok(Some(Kept { folder, cause, running }))
}

/// The evidence; empty if the instance has no node.
pub(super) fn collect(env: &Env, engine: &Engine) -> Result<Evidence> {
    look(env, engine).map(|(evidence, _)| evidence)
}

/// The evidence of nodes and kind, and the nodes.
fn look(env: &Env, engine: &Engine) -> Result<(Evidence, Vec<(String, Container)>)> {
    let engine = engine.within(EACH);
    let (mut out, mut nodes) = (Evidence::default(), Vec::new());
    if !owns_network(env, &engine)? {
        return Ok((out, nodes));
    }
    let began = Instant::now();
    for name in engine.containers_on_network(&network(env))? {
        env.waiting(TASK, Waiting::new("the logs of the nodes", format!("asking {name}"), began.elapsed(), ALL));
        let Some(container) = engine.container(&name)? else { continue };
        if began.elapsed() > ALL {
            out.miss(&name, "not read: earlier requests took too long");
            continue;
        }
        of_node(&mut out, &engine, &name, &container);
        nodes.push((name, container));
    }
    if !nodes.is_empty() {
        of_kind(&mut out, env);
    }
    Ok((out, nodes))
}

fn of_node(out: &mut Evidence, engine: &Engine, node: &str, container: &Container) {
    let mut state = format!("{node}: {}, started {}, image {}\n", container.state, container.started, container.image);
    out.take(format!("{node}/console.log"), engine.log(node, LINES));
    if container.leaving {
        out.miss(node, "the engine is removing it");
        return;
    }
    let lines = format!("--lines={LINES}");
    for unit in ["kubelet", "containerd"] {
        let journal = ["journalctl", "--no-pager", lines.as_str(), "--unit", unit];
        out.take(format!("{node}/{unit}.log"), said(engine, node, container, &journal));
    }
    for command in COMMANDS {
        if let Ok(text) = said(engine, node, container, command) {
            state.push_str(&format!("\n$ {}\n{text}", command.join(" ")));
        }
    }
    out.take(format!("{node}/state.txt"), Ok(state));
    for path in FILES {
        files(out, engine, node, path, |_| true);
    }
    // The logs of the control plane's pods, from their files, which can be read without the API server.
    files(out, engine, node, "/var/log/pods", |name| name.contains("/kube-system_"));
}

fn said(engine: &Engine, node: &str, container: &Container, command: &[&str]) -> Result<String> {
    if !container.running {
        return Err(Problem::new(format!("the node does not run: {}", container.state)).into());
    }
    engine.exec(node, command)?.ok(&format!("run `{}`", command.join(" ")))
}

fn files(out: &mut Evidence, engine: &Engine, node: &str, path: &str, wanted: impl Fn(&str) -> bool) {
    match engine.files(node, path, FILE_LIMIT, wanted) {
        Ok(found) => {
            for (name, content) in found {
                out.take(format!("{node}/{name}"), Ok(String::from_utf8_lossy(&content).into_owned()));
            }
        }
        Err(error) => out.miss(&format!("{node}{path}"), &format!("{error:#}")),
    }
}

/// kind's configuration, and its output in the last run that called it.
fn of_kind(out: &mut Evidence, env: &Env) {
    let read = |path: PathBuf| Ok(String::from_utf8_lossy(&fs::read(path)?).into_owned());
    out.take("kind.json", read(env.work("kind.json")));
    let mut logs: Vec<PathBuf> = fs::read_dir(env.runs()).into_iter().flatten().flatten().map(|it| it.path().join("cluster.log")).collect();
    logs.sort();
    if let Some(log) = logs.into_iter().rev().find(|it| it.is_file()) {
        out.take("kind.log", read(log));
    }
}

/// Adds the probable cause, the folder and the command for a shell in the node. The cause replaces kind's last lines, which are a stack
/// trace; the log still has them.
fn with_way_in(env: &Env, mut error: anyhow::Error, kept: &Kept) -> anyhow::Error {
    let mut way = format!("the node's logs are in {}", kept.folder);
    if kept.running {
        way.push_str(&format!("\nlook inside the node with: {} shell node", env.tool()));
    }
    if error.downcast_ref::<Problem>().is_none() {
        error = Problem::new(format!("{error:#}")).code(Code::ClusterFailed).into();
    }
    if let Some(problem) = error.downcast_mut::<Problem>() {
        if let Some(cause) = &kept.cause {
            let what = problem.what.lines().next().unwrap_or_default();
            problem.what = format!("{what}\nprobable cause: {}", Redactor::new(env.secrets()).text(cause));
        }
        problem.hint = Some(problem.hint.take().filter(|it| !it.is_empty()).map(|it| format!("{it}\n{way}")).unwrap_or(way));
    }
    error
}
