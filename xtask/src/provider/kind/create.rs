//! A cluster made by kind: its network, its port and its nodes. Another program may take the port first; then the next one is tried.

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
    host,
    images::{self, Role},
    port,
    provider::kind::{TASK, configuration, ensure_network, head_start, network},
    record,
};

/// So many ports may be lost to other programs before this run gives up.
const PORTS: usize = 10;

/// Makes the cluster and writes the instance's kubeconfig. `early` is called once the API server takes objects.
pub(super) fn create(env: &Env, engine: &Engine, early: &(dyn Fn() + Sync)) -> Result<()> {
    // Its kube-proxy would crash again and again, and nothing would say why.
    if let Some(why) = host::too_few_watchers() {
        let hint = "`cargo xtask ls` shows the instances that run: delete one, or raise the limit with\nsysctl -w fs.inotify.max_user_instances=1024";
        return Err(Problem::requirement(why).code(Code::WatchersUsedUp).hint(hint).into());
    }
    let kind = images::kind_binary(env, TASK)?;
    let choice = port::choose(env.config.cluster.port, engine, &[])?;
    ensure_network(env, engine)?;
    // A file of its own: others read the instance's while kind writes this one, and not at once.
    let kubeconfig = env.work("kind-kubeconfig");
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

/// Calls `make` with the port, and with the next free one where another program took it at the same moment. A port that the user
/// set is the only one.
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

/// Whether the engine refused to start a node for its port: it never ran, and nothing of the cluster is to be kept.
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

/// One call of kind; what helps its cluster to come up faster runs beside it.
fn run(env: &Env, engine: &Engine, early: &(dyn Fn() + Sync), kind: &Path, kubeconfig: &Path, port: u16) -> Result<()> {
    let file = env.work("kind.json");
    record::write_file(&file, configuration(env, port, env.config.cluster.shortcuts)?.as_bytes())?;
    let image = images::reference(env, TASK, Role::Node)?;
    let name = &env.instance;
    let sh = env.tools.shell(&env.project)?;
    // Not removed on failure: the next run looks at what is there, and the log names the cause.
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
    std::thread::scope(|scope| {
        if env.config.cluster.shortcuts {
            scope.spawn(|| head_start::announce(env, engine, &ended));
            scope.spawn(|| head_start::once_it_runs(env, engine, &ended, early));
        }
        let made = env.tools.run_watched(TASK, command, Duration::from_secs(600), progress);
        ended.store(true, Ordering::Relaxed);
        made
    })
}
