//! The containerd of a kind node: through its socket if this process can reach it, else by a command in the node.
//!
//! A command in the node takes a tenth of a second to start; a program on the host that uses the same socket through `/proc` takes a few
//! milliseconds. Both are `ctr`.

use std::{io::Write, os::unix::net::UnixStream, path::PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;
use xshell::cmd;

use crate::{
    engine::Engine,
    env::Env,
    graph::TaskId,
    images::packages,
    provider::kind::{files, nodes},
};

const TASK: TaskId = TaskId::Load;
/// The namespace of Kubernetes' images and containers.
const NAMESPACE: &str = "--namespace=k8s.io";

/// The node's containerd.
pub(super) struct Containerd<'a> {
    env: &'a Env,
    engine: &'a Engine,
    direct: Option<Direct>,
    /// The node's container.
    pub(super) name: String,
    /// The id of the node's container.
    pub(super) node: String,
    /// The node's `/var` on the engine's host.
    var: Option<PathBuf>,
}

/// The client on the host, and the host's path of the node's socket.
struct Direct {
    client: PathBuf,
    socket: PathBuf,
}

impl<'a> Containerd<'a> {
    /// The containerds of this instance's nodes, which run.
    pub(super) fn all(env: &'a Env) -> Result<Vec<Containerd<'a>>> {
        let engine = env.engine()?;
        nodes::members(env, engine)?.into_iter().map(|it| Containerd::of(env, engine, it)).collect()
    }

    fn of(env: &'a Env, engine: &'a Engine, name: String) -> Result<Containerd<'a>> {
        let container = engine.container(&name)?.unwrap_or_default();
        let root = files::root(&name, container.process);
        let var = container.mounts.into_iter().find(|(inside, _)| inside == "/var").map(|(_, outside)| outside);
        let direct = packages::containerd_client(env).and_then(|client| {
            let socket = root?.join("run/containerd/containerd.sock");
            UnixStream::connect(&socket).is_ok().then_some(Direct { client, socket })
        });
        Ok(Containerd { env, engine, direct, name, node: container.id, var })
    }

    /// Runs `ctr` and returns its output.
    pub(super) fn ctr(&self, arguments: &[&str]) -> Result<String> {
        if let Some(Direct { client, socket }) = &self.direct {
            let sh = self.env.tools.shell(&self.env.project)?;
            return self.env.tools.read(TASK, cmd!(sh, "{client} --address={socket} {NAMESPACE} {arguments...}"));
        }
        let mut command = vec!["ctr", NAMESPACE];
        command.extend(arguments);
        self.engine.exec(&self.name, &command)?.ok(&format!("run `ctr {}` in the node", arguments.join(" ")))
    }

    /// Runs `ctr` with input from `write`.
    pub(super) fn ctr_with_input(&self, arguments: &[&str], write: impl FnOnce(&mut dyn Write) -> Result<()> + Send) -> Result<()> {
        if let Some(Direct { client, socket }) = &self.direct {
            let sh = self.env.tools.shell(&self.env.project)?;
            return self.env.tools.run_with_input(TASK, cmd!(sh, "{client} --address={socket} {NAMESPACE} {arguments...}"), write);
        }
        let mut command = vec!["ctr", NAMESPACE];
        command.extend(arguments);
        let what = format!("run `ctr {}` in the node", arguments.join(" "));
        self.engine.exec_with_writer(&self.name, &command, write)?.ok(&what).map(drop)
    }

    /// Whether containerd has an image with this name.
    pub(super) fn has_image(&self, reference: &str) -> Result<bool> {
        let name = normalized(reference);
        let filter = format!("name=={name}");
        Ok(self.ctr(&["images", "ls", "-q", &filter])?.lines().any(|it| it == name))
    }

    /// The names of all committed snapshots; those of unpacked layers are chain IDs.
    pub(super) fn unpacked(&self) -> Result<Vec<String>> {
        let listed = self.ctr(&["snapshots", "ls"])?;
        Ok(committed(&listed))
    }

    /// Prepares a snapshot on a committed parent, and returns the folder for its files on this host.
    pub(super) fn prepare(&self, name: &str, parent: Option<&str>) -> Result<PathBuf> {
        let var = self.var.as_ref().context("the node's /var is no volume")?;
        let mut command = vec!["snapshots", "prepare", "--mounts", name];
        command.extend(parent);
        let mounts = self.ctr(&command)?;
        let inside = folder(&mounts).with_context(|| format!("containerd says nothing about where snapshot {name} lies: {mounts}"))?;
        let below = inside.strip_prefix("/var/").with_context(|| format!("snapshot {name} lies in {inside}, outside /var"))?;
        Ok(var.join(below))
    }
}

/// The folder for a snapshot's files: the upper directory of an overlay, or the bind-mounted directory without a parent.
fn folder(mounts: &str) -> Option<String> {
    let mounts: Value = serde_json::from_str(mounts).ok()?;
    let [mount] = mounts.as_array()?.as_slice() else { return None };
    if mount["Type"] == "bind" {
        return mount["Source"].as_str().map(str::to_owned);
    }
    let options = mount["Options"].as_array()?.iter().filter_map(Value::as_str);
    options.into_iter().find_map(|it| it.strip_prefix("upperdir=")).map(str::to_owned)
}

/// The committed names in a table of name, parent (missing for the lowest layer) and kind.
fn committed(listed: &str) -> Vec<String> {
    let rows = listed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|it| it.last() == Some(&"Committed")).map(|it| it[0].to_owned()).collect()
}

/// containerd's form of a reference: always with registry and repository path.
pub(super) fn normalized(reference: &str) -> String {
    let first = reference.split('/').next().unwrap_or_default();
    let has_host = reference.contains('/') && (first.contains('.') || first.contains(':') || first == "localhost");
    if has_host {
        reference.to_owned()
    } else if reference.contains('/') {
        format!("docker.io/{reference}")
    } else {
        format!("docker.io/library/{reference}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_snapshots_count_and_columns_are_padded() {
        let listed = "KEY        PARENT     KIND      \nsha256:a              Committed \nsha256:b   sha256:a   Committed \nrunning    sha256:b   Active    \n";
        assert_eq!(committed(listed), ["sha256:a", "sha256:b"]);
    }

    #[test]
    fn a_snapshots_files_lie_in_its_upper_folder() {
        let overlay = r#"[{"Type":"overlay","Source":"overlay","Target":"","Options":["index=off","workdir=/var/s/2/work","upperdir=/var/s/2/fs","lowerdir=/var/s/1/fs"]}]"#;
        assert_eq!(folder(overlay).as_deref(), Some("/var/s/2/fs"));
        let lowest = r#"[{"Type":"bind","Source":"/var/s/1/fs","Target":"","Options":["rw","rbind"]}]"#;
        assert_eq!(folder(lowest).as_deref(), Some("/var/s/1/fs"));
        assert_eq!(folder(r#"[{"Type":"overlay","Source":"overlay","Options":["lowerdir=/var/s/1/fs"]}]"#), None);
    }

    #[test]
    fn short_names_get_their_registry() {
        assert_eq!(normalized("polls:1-ab"), "docker.io/library/polls:1-ab");
        assert_eq!(normalized("team/polls:1"), "docker.io/team/polls:1");
        assert_eq!(normalized("localhost/polls:1"), "localhost/polls:1");
        assert_eq!(normalized("registry.example.com:5000/polls:1"), "registry.example.com:5000/polls:1");
    }
}
