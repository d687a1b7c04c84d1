//! What goes on making the cluster after SIGKILL of the tool, on a network that may be gone: `kind`, and the engine itself.

use std::{
    collections::HashMap,
    fs,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::{
    engine::Engine,
    env::Env,
    errors::{Code, Problem},
    images::{self, Role},
    provider::kind::{
        TASK,
        create::KUBECONFIG,
        network, nodes,
        presence::{KIND_LABEL, Present, owns_network, present},
    },
    report::Waiting,
    tool,
};

/// For kind and its `docker run` to end after SIGTERM.
const LIMIT: Duration = Duration::from_secs(20);

/// For the engine to make a node. It copies the image's `/var` into a volume, which takes a second or two, and longer on a busy disk.
const MAKING: Duration = Duration::from_secs(120);

/// For the same where the engine cannot be asked.
const UNSEEN: Duration = Duration::from_secs(3);

/// Ends what still makes the instance's cluster: see [`processes`] and [`containers`].
pub(super) fn end(env: &Env, engine: &Engine) -> Result<()> {
    processes(env)?;
    containers(env, engine)
}

/// Waits for the nodes that the engine makes for a client that has ended: no list has them before they are there. Only an unfinished creation
/// leaves the network and no finished cluster.
fn containers(env: &Env, engine: &Engine) -> Result<()> {
    if !owns_network(env, engine)? || matches!(present(env, engine)?, Present::Finished(_) | Present::Stranded(_)) {
        return Ok(());
    }
    let image = images::reference(env, TASK, Role::Node).unwrap_or_default();
    env.interrupt.check()?;
    for name in nodes::planned(env) {
        let labels = HashMap::from([(KIND_LABEL.to_owned(), env.instance.clone())]);
        let began = Instant::now();
        while engine.container(&name)?.is_none() {
            match engine.is_name_taken(&name, &image, &network(env), labels.clone())? {
                Some(false) => break,
                // The recipes have changed since, and their image is not built: there is nothing to ask with.
                None if began.elapsed() > UNSEEN => break,
                _ => {}
            }
            let waiting = Waiting::new(format!("the engine to make {name}"), "an earlier run asked for it", began.elapsed(), MAKING);
            if began.elapsed() > MAKING {
                let hint = "run the command again; restart the engine if it never ends";
                return Err(Problem::timed_out(waiting.timed_out()).code(Code::Leftovers).hint(hint).into());
            }
            env.waiting(TASK, waiting);
            env.interrupt.sleep(Duration::from_millis(200))?;
        }
    }
    Ok(())
}

/// Ends the `kind` that an earlier run in this folder started, and waits until what it started to make its nodes has ended, too. The folder's
/// lock says that no run needs them. Where the kernel lists no processes in `/proc`, it finds none.
fn processes(env: &Env) -> Result<()> {
    let began = Instant::now();
    let kubeconfig = env.work(KUBECONFIG).display().to_string();
    let mut was_there = false;
    loop {
        let mut running = running(|it| is_kind(it, &env.instance, &kubeconfig));
        was_there |= !running.is_empty();
        if was_there {
            running.extend(self::running(|it| makes_node(it, &env.instance)));
        }
        let Some(first) = running.first() else { return Ok(()) };
        let waiting = Waiting::new("`kind` of an earlier run to end", format!("process {first} still runs"), began.elapsed(), LIMIT);
        if began.elapsed() > LIMIT {
            return Err(Problem::timed_out(waiting.timed_out()).code(Code::Leftovers).hint(format!("kill -9 {first}")).into());
        }
        running.iter().for_each(|it| tool::terminate(*it));
        env.waiting(TASK, waiting);
        env.interrupt.sleep(Duration::from_millis(200))?;
    }
}

/// The processes with such a command line.
fn running(is_one: impl Fn(&[&str]) -> bool) -> Vec<i32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let of = |it: &fs::DirEntry| fs::read(it.path().join("cmdline")).is_ok_and(|it| is_one(&words(&it)));
    processes.filter(of).filter_map(|it| it.file_name().to_str()?.parse().ok()).collect()
}

/// The arguments of a command line, which has NUL after each.
fn words(line: &[u8]) -> Vec<&str> {
    line.split(|it| *it == 0).map(|it| std::str::from_utf8(it).unwrap_or_default()).collect()
}

fn value<'a>(words: &[&'a str], flag: &str) -> &'a str {
    words.windows(2).find(|it| it[0] == flag).map_or("", |it| it[1])
}

/// Whether this folder's `kind` makes the instance's cluster.
fn is_kind(words: &[&str], instance: &str, kubeconfig: &str) -> bool {
    words.first().is_some_and(|it| it.rsplit('/').next() == Some("kind"))
        && words.get(1..3) == Some(&["create", "cluster"])
        && value(words, "--name") == instance
        && value(words, "--kubeconfig") == kubeconfig
}

/// Whether the engine's client makes one of the instance's nodes. kind numbers the nodes of a role from the second one on.
fn makes_node(words: &[&str], instance: &str) -> bool {
    let role = value(words, "--name").strip_prefix(instance).map(|it| it.trim_end_matches(|it: char| it.is_ascii_digit()));
    words.first().is_some_and(|it| matches!(it.rsplit('/').next(), Some("docker" | "podman")))
        && words.get(1) == Some(&"run")
        && matches!(role, Some("-control-plane" | "-worker"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_makes_this_folders_cluster_is_ended() {
        let kind = |line: &str| is_kind(&line.split(' ').collect::<Vec<_>>(), "shop", "/p/kind-kubeconfig");
        assert!(kind("/cache/kind create cluster --name shop --image x --kubeconfig /p/kind-kubeconfig --retain"));
        for other in [
            "/cache/kind create cluster --name shop --kubeconfig /q/kind-kubeconfig",
            "/cache/kind create cluster --name shop2 --kubeconfig /p/kind-kubeconfig",
            "/cache/kind delete cluster --name shop --kubeconfig /p/kind-kubeconfig",
            "kind create cluster --name shop",
            "",
        ] {
            assert!(!kind(other), "{other}");
        }
        let node = |line: &str| makes_node(&line.split(' ').collect::<Vec<_>>(), "shop");
        assert!(node("docker run --name shop-control-plane --hostname x") && node("/usr/bin/podman run --name shop-worker2"));
        for other in
            ["docker run --name shop-worker-control-plane", "docker run --name shop-database", "docker exec --name shop-worker", "vi run"]
        {
            assert!(!node(other), "{other}");
        }
    }

    #[test]
    fn a_process_is_found_by_its_command_line() {
        let own = std::process::id();
        let program = std::env::args().next().unwrap();
        let found = running(|it| it.first() == Some(&program.as_str()));
        assert_eq!(found.contains(&i32::try_from(own).unwrap()), cfg!(target_os = "linux"));
    }
}
