//! Creates the cluster with kind: network, port and nodes. If another program takes the port meanwhile, tries the next one.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result};
use xshell::cmd;

use crate::{
    engine::Engine,
    env::Env,
    errors::{Code, Problem, recode},
    host_quirks,
    images::{self, Chosen, Role},
    port,
    provider::kind::{TASK, configuration, early_access, ensure_network, kernel, network},
    record,
};

/// Where kind writes the kubeconfig, below the instance's own folder.
pub(super) const KUBECONFIG: &str = "kind-kubeconfig";

/// The number of ports to try.
const PORTS: usize = 10;

/// Creates the cluster and writes the instance's kubeconfig. Calls `early` once the API server accepts objects.
pub(super) fn create(env: &Env, engine: &Engine, early: &(dyn Fn() + Sync)) -> Result<()> {
    // Otherwise its kube-proxy would crash repeatedly without a clear message.
    if let Some(why) = host_quirks::too_few_watchers() {
        let hint = "`cargo xtask ls` shows the instances that run: delete one, or raise the limit with\nsysctl -w fs.inotify.max_user_instances=1024";
        return Err(Problem::requirement(why).code(Code::WatchersUsedUp).hint(hint).into());
    }
    let kind = images::kind_binary(env, TASK)?;
    let choice = port::choose(env.config.cluster.port, engine, &[])?;
    ensure_network(env, engine)?;
    // A separate file, since kind writes it in several steps while other threads read the instance's.
    let kubeconfig = env.work(KUBECONFIG);
    let made = on_a_free_port(env, engine, choice, |port| {
        let made = run(env, engine, early, &kind, &kubeconfig, port);
        if made.as_ref().is_err_and(is_lost) {
            remove(env, engine, &kind, &kubeconfig)?;
        }
        made
    });
    let text = std::fs::read(&kubeconfig);
    std::fs::remove_file(&kubeconfig).ok();
    made?;
    record::write_file(&env.kubeconfig(), &text.with_context(|| format!("read {}, which kind wrote", kubeconfig.display()))?)
}

/// Asks kind each time, since the file may be missing or of an earlier cluster.
pub(super) fn export_kubeconfig(env: &Env, engine: &Engine) -> Result<()> {
    let kind = images::kind_binary(env, TASK)?;
    let name = &env.instance;
    let sh = env.tools.shell(&env.project)?;
    let text = env.tools.read(TASK, cmd!(sh, "{kind} get kubeconfig --name {name}").env("DOCKER_HOST", &engine.host))?;
    record::write_file(&env.kubeconfig(), text.as_bytes())
}

/// Calls `make` with the port; if another program took it meanwhile, with the next free one. A port that the user set is the only one to
/// try.
fn on_a_free_port(env: &Env, engine: &Engine, first: port::Choice, mut make: impl FnMut(u16) -> Result<()>) -> Result<()> {
    let mut choice = first;
    let mut lost = Vec::new();
    loop {
        if let Some(note) = choice.note {
            env.note(TASK, note);
        }
        let Err(error) = make(choice.port) else { return Ok(()) };
        if !is_lost(&error) {
            return Err(recode(error, Code::ClusterFailed));
        }
        lost.push(choice.port);
        let holder = port::taken_by(choice.port, Some(engine)).unwrap_or_else(|| "another program".to_owned());
        if env.config.cluster.port.is_some() || lost.len() >= PORTS {
            let what = format!("port {} was taken by {holder} while the cluster was made", choice.port);
            let hint = "end that program, or leave `cluster.port` out of Pocdeploy.toml to take the next free port";
            return Err(Problem::requirement(what).code(Code::PortTaken).hint(hint).into());
        }
        env.note(TASK, format!("port {} was taken by {holder} while the cluster was made: the next free one is tried", choice.port));
        choice = port::Choice { note: None, ..port::choose(None, engine, &lost)? };
        env.note(TASK, format!("using port {}", choice.port));
    }
}

/// Whether the engine failed to start a node because of its port. That node never ran, so there is no evidence to keep.
fn is_lost(error: &anyhow::Error) -> bool {
    let said = format!("{error:#}");
    (said.contains("docker run ") || said.contains("podman run ")) && port::was_lost(&said)
}

fn remove(env: &Env, engine: &Engine, kind: &Path, kubeconfig: &Path) -> Result<()> {
    let name = &env.instance;
    let sh = env.tools.shell(&env.project)?;
    let command = cmd!(sh, "{kind} delete cluster --name {name} --kubeconfig {kubeconfig}");
    env.tools.run(TASK, command.env("DOCKER_HOST", &engine.host).env("KIND_EXPERIMENTAL_PROVIDER", "docker"))
}

/// Runs kind once, with the shortcuts in parallel.
fn run(env: &Env, engine: &Engine, early: &(dyn Fn() + Sync), kind: &Path, kubeconfig: &Path, port: u16) -> Result<()> {
    let file = env.work("kind.json");
    record::write_file(&file, configuration(env, port, env.config.cluster.shortcuts)?.as_bytes())?;
    let image = images::reference(env, TASK, Role::Node)?;
    let name = &env.instance;
    let sh = env.tools.shell(&env.project)?;
    // A failed cluster stays, so that the next run can inspect it; the log has the cause.
    let command = cmd!(sh, "{kind} create cluster --name {name} --image {image} --config {file} --kubeconfig {kubeconfig} --retain")
        .env("DOCKER_HOST", &engine.host)
        .env("KIND_EXPERIMENTAL_PROVIDER", "docker")
        .env("KIND_EXPERIMENTAL_DOCKER_NETWORK", network(env));
    let progress = |line: &str| {
        if line.trim_start().starts_with("•") || line.trim_start().starts_with("✓") {
            let words: String = line.chars().filter(char::is_ascii).collect();
            env.progress(TASK, words.trim());
        }
    };
    let ended = AtomicBool::new(false);
    let is_kinds_own = images::chosen(env, TASK)? == Chosen::Registry;
    std::thread::scope(|scope| {
        if is_kinds_own {
            scope.spawn(|| kernel::keep(env, engine, &ended));
        }
        if env.config.cluster.shortcuts {
            scope.spawn(|| early_access::announce(env, engine, &ended));
            scope.spawn(|| early_access::once_it_runs(env, engine, &ended, early));
        }
        let made = env.tools.run_watched(TASK, command, Duration::from_secs(600), progress);
        ended.store(true, Ordering::Relaxed);
        made
    })
}
