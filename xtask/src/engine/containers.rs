//! Containers and networks: inspect, run, execute in, remove.

use std::{collections::HashMap, io::Write, path::PathBuf};

use anyhow::{Context as _, Result};
use bollard::{
    container::LogOutput,
    exec::{CreateExecOptions, StartExecResults},
    models::{ContainerCreateBody, ContainerState, HostConfig, MountPoint, NetworkCreateRequest},
    query_parameters::{
        ContainerArchiveInfoOptions, CreateContainerOptions, InspectContainerOptions, InspectNetworkOptions, ListContainersOptions,
        ListNetworksOptions, ListVolumesOptions, RemoveContainerOptions, StartContainerOptions,
    },
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use tokio::io::AsyncWriteExt as _;

use crate::{
    engine::{Engine, context, is_not_found, removal::is_leaving},
    errors::{Code, Problem},
};

/// The properties of a container that the tool uses.
#[derive(Clone, Debug, Default)]
pub struct Container {
    pub id: String,
    /// Whether its processes run: false as well while they are frozen.
    pub running: bool,
    /// Whether the engine has frozen its processes (`docker pause`).
    pub frozen: bool,
    /// Whether the engine is removing the container: it is still listed, but cannot be read or started.
    pub leaving: bool,
    /// The state for messages: `running`, `exited (137)`, `exited (137), killed because memory ran out`.
    pub state: String,
    /// The process id of its first process on the engine's host; 0 if it does not run.
    pub process: i64,
    /// When it last started, in RFC 3339.
    pub started: String,
    /// Names of the networks that it is attached to.
    pub networks: Vec<String>,
    pub image: String,
    pub labels: HashMap<String, String>,
    /// Its published ports: the container's (`30080/tcp`) and the host's.
    pub ports: Vec<(String, u16)>,
    /// Names of its anonymous and named volumes.
    pub volumes: Vec<String>,
    /// Its mounts: the path in the container, and the path on the engine's host.
    pub mounts: Vec<(String, PathBuf)>,
}

impl Container {
    /// The host's port for a port of the container.
    pub fn published(&self, port: u16) -> Option<u16> {
        let inner = format!("{port}/tcp");
        self.ports.iter().find(|(name, _)| *name == inner).map(|(_, outer)| *outer)
    }
}

/// A container to start.
#[derive(Clone, Debug, Default)]
pub struct ContainerSpec {
    pub name: String,
    pub image: String,
    pub command: Vec<String>,
    pub privileged: bool,
    pub labels: HashMap<String, String>,
    /// `host:container` bind mounts.
    pub binds: Vec<String>,
    /// Paths that become anonymous volumes.
    pub volumes: Vec<String>,
    /// Whether the engine removes the container when its command ends, also after the tool was killed.
    pub temporary: bool,
}

/// The output of a command in a container, and its exit code.
#[derive(Clone, Debug, Default)]
pub struct ExecOutput {
    pub code: i64,
    pub stdout: String,
    pub stderr: String,
}

impl ExecOutput {
    /// Standard output, or an error that names the command.
    pub fn ok(self, what: &str) -> Result<String> {
        if self.code == 0 {
            return Ok(self.stdout);
        }
        Err(Problem::new(format!("{what}: exit code {}: {}", self.code, self.stderr.trim())).code(Code::EngineFailed).into())
    }
}

impl Engine {
    /// A container by name or id.
    pub fn container(&self, name: &str) -> Result<Option<Container>> {
        let found = self.wait(async {
            match self.docker.inspect_container(name, None::<InspectContainerOptions>).await {
                Ok(it) => Ok(Some(it)),
                Err(error) if is_not_found(&error) => Ok(None),
                Err(error) => Err(self.explain(error)),
            }
        });
        let Some(it) = found.with_context(|| format!("look up container {name}"))? else { return Ok(None) };
        let config = it.config.unwrap_or_default();
        let settings = it.network_settings.unwrap_or_default();
        let bindings = it.host_config.and_then(|it| it.port_bindings).unwrap_or_default();
        let mut ports = Vec::new();
        for (inner, outer) in bindings {
            ports.extend(outer.into_iter().flatten().filter_map(|it| Some((inner.clone(), it.host_port?.parse().ok()?))));
        }
        let mounted = it.mounts.unwrap_or_default();
        let place = |it: &MountPoint| Some((it.destination.clone()?, PathBuf::from(it.source.clone()?)));
        // The engine calls a frozen container both running and paused.
        let frozen = it.state.as_ref().and_then(|it| it.paused).unwrap_or_default();
        Ok(Some(Container {
            id: it.id.unwrap_or_default(),
            running: !frozen && it.state.as_ref().and_then(|it| it.running).unwrap_or_default(),
            frozen,
            leaving: it.state.as_ref().and_then(|it| it.status).is_some_and(is_leaving),
            state: it.state.as_ref().map(in_words).unwrap_or_default(),
            process: it.state.as_ref().and_then(|it| it.pid).unwrap_or_default(),
            started: it.state.and_then(|it| it.started_at).map(|it| it.to_string()).unwrap_or_default(),
            networks: settings.networks.unwrap_or_default().into_keys().collect(),
            image: config.image.unwrap_or_default(),
            labels: config.labels.unwrap_or_default(),
            ports,
            mounts: mounted.iter().filter_map(place).collect(),
            volumes: mounted.into_iter().filter_map(|it| it.name).collect(),
        }))
    }

    /// Names of all containers with the label, running or not.
    pub fn containers_with_label(&self, label: &str) -> Result<Vec<String>> {
        let filters = HashMap::from([("label".to_owned(), vec![label.to_owned()])]);
        self.list_containers(filters)
    }

    /// Names of all containers attached to a network, running or not.
    pub fn containers_on_network(&self, network: &str) -> Result<Vec<String>> {
        let filters = HashMap::from([("network".to_owned(), vec![network.to_owned()])]);
        self.list_containers(filters)
    }

    /// Names of all running containers that publish this port of the host.
    pub fn containers_publishing(&self, port: u16) -> Result<Vec<String>> {
        let filters = HashMap::from([("publish".to_owned(), vec![port.to_string()]), ("status".to_owned(), vec!["running".to_owned()])]);
        self.list_containers(filters)
    }

    fn list_containers(&self, filters: HashMap<String, Vec<String>>) -> Result<Vec<String>> {
        let options = ListContainersOptions { all: true, filters: Some(filters), ..ListContainersOptions::default() };
        let found = self
            .wait(async { self.docker.list_containers(Some(options)).await.map_err(|error| self.explain(error)) })
            .context("list containers")?;
        let name = |names: Option<Vec<String>>| names.and_then(|it| it.into_iter().next()).map(|it| it.trim_start_matches('/').to_owned());
        Ok(found.into_iter().filter_map(|it| name(it.names)).collect())
    }

    /// Creates and starts a container; its name must be free. A container that does not start is removed.
    pub fn start_new(&self, spec: ContainerSpec) -> Result<()> {
        let name = spec.name.clone();
        let host = HostConfig {
            privileged: Some(spec.privileged),
            binds: Some(spec.binds),
            network_mode: Some("none".to_owned()),
            auto_remove: Some(spec.temporary),
            ..HostConfig::default()
        };
        let body = ContainerCreateBody {
            image: Some(spec.image),
            entrypoint: (!spec.command.is_empty()).then(Vec::new),
            cmd: (!spec.command.is_empty()).then_some(spec.command),
            labels: Some(spec.labels),
            volumes: Some(spec.volumes),
            host_config: Some(host),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptions { name: Some(name.clone()), ..CreateContainerOptions::default() };
        self.wait(async {
            self.docker.create_container(Some(options), body).await.map_err(|error| self.explain(error))?;
            let started = self.docker.start_container(&name, None::<StartContainerOptions>).await;
            if started.is_err() {
                self.docker.remove_container(&name, Some(RemoveContainerOptions { force: true, v: true, ..Default::default() })).await.ok();
            }
            started.map_err(|error| self.explain(error))
        })
        .with_context(|| format!("start container {name}"))
    }

    /// Whether a path exists in a container, running or not.
    pub fn has_path(&self, container: &str, path: &str) -> Result<bool> {
        let options = ContainerArchiveInfoOptions { path: path.to_owned() };
        self.wait(async {
            match self.docker.get_container_archive_info(container, Some(options)).await {
                Ok(_) => Ok(true),
                Err(error) if is_not_found(&error) => Ok(false),
                Err(error) => Err(self.explain(error)),
            }
        })
        .with_context(|| format!("look for {path} in container {container}"))
    }

    /// Runs a command in a running container and returns its output.
    pub fn exec(&self, container: &str, command: &[&str]) -> Result<ExecOutput> {
        self.exec_with_input(container, command, futures_util::stream::empty::<Result<Bytes>>())
    }

    /// Like `exec`, with a stream as standard input, which is not buffered as a whole.
    pub fn exec_with_input(
        &self,
        container: &str,
        command: &[&str],
        input: impl Stream<Item = Result<Bytes>> + Send,
    ) -> Result<ExecOutput> {
        let what = command.join(" ");
        let options = CreateExecOptions {
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(command.iter().map(|it| (*it).to_owned()).collect()),
            ..CreateExecOptions::<String>::default()
        };
        let run = async {
            let id = self.docker.create_exec(container, options).await.map_err(|error| self.explain(error))?.id;
            let started = self.docker.start_exec(&id, None).await.map_err(|error| self.explain(error))?;
            let StartExecResults::Attached { mut output, input: mut stdin } = started else {
                return Err(Problem::new("the engine did not attach").code(Code::EngineFailed).into());
            };
            let feed = async {
                let mut input = std::pin::pin!(input);
                while let Some(bytes) = input.next().await {
                    stdin.write_all(&bytes?).await.context("write to the command")?;
                }
                stdin.shutdown().await.context("close the command's input")
            };
            let mut result = ExecOutput::default();
            let collect = async {
                while let Some(item) = output.next().await {
                    match item.map_err(|error| self.explain(error))? {
                        LogOutput::StdErr { message } => result.stderr.push_str(&String::from_utf8_lossy(&message)),
                        LogOutput::StdOut { message } | LogOutput::Console { message } => {
                            result.stdout.push_str(&String::from_utf8_lossy(&message))
                        }
                        LogOutput::StdIn { .. } => {}
                    }
                }
                anyhow::Ok(())
            };
            let (fed, collected) = tokio::join!(feed, collect);
            collected?;
            let ended = self.docker.inspect_exec(&id).await.map_err(|error| self.explain(error))?;
            result.code = ended.exit_code.unwrap_or(-1);
            // A command that fails early closes its input. Its own message is more useful than the broken pipe.
            if result.code == 0 {
                fed?;
            }
            Ok(result)
        };
        self.wait(run).with_context(|| format!("run `{what}` in {container}"))
    }

    /// Like `exec_with_input`, with a function that writes the input in its own thread.
    pub fn exec_with_writer(
        &self,
        container: &str,
        command: &[&str],
        write: impl FnOnce(&mut dyn Write) -> Result<()> + Send,
    ) -> Result<ExecOutput> {
        let (mut writer, stream) = context::pipe();
        std::thread::scope(|scope| {
            let written = scope.spawn(move || {
                let written = write(&mut writer).and_then(|()| writer.flush().context("end the input"));
                if written.is_err() {
                    writer.fail();
                }
                written
            });
            let ended = self.exec_with_input(container, command, stream.map_err(anyhow::Error::from));
            let written = written.join().unwrap_or_else(|_| Err(Problem::new("the thread that writes the input ended early").into()));
            match ended {
                Ok(output) if output.code == 0 => written.map(|()| output),
                other => other,
            }
        })
    }

    /// Writes an image as an archive, as a stream.
    pub fn export_to(&self, reference: &str, out: &mut dyn Write) -> Result<()> {
        let (sender, receiver) = std::sync::mpsc::sync_channel(16);
        let (docker, name) = (self.docker.clone(), reference.to_owned());
        self.runtime.spawn(async move {
            let mut stream = std::pin::pin!(docker.export_image(&name));
            while let Some(item) = stream.next().await {
                // The receiver has ended and needs no more data.
                if sender.send(item).is_err() {
                    return;
                }
            }
        });
        for item in receiver {
            self.interrupt.check()?;
            out.write_all(&item.map_err(|error| self.explain(error))?).with_context(|| format!("pass {reference} on"))?;
        }
        Ok(())
    }

    /// Creates a bridge network with these labels. Its name must be free.
    pub fn create_network(&self, name: &str, labels: HashMap<String, String>) -> Result<()> {
        let options = HashMap::from([("com.docker.network.bridge.enable_ip_masquerade".to_owned(), "true".to_owned())]);
        let request = NetworkCreateRequest {
            name: name.to_owned(),
            driver: Some("bridge".to_owned()),
            options: Some(options),
            labels: Some(labels),
            ..NetworkCreateRequest::default()
        };
        self.wait(async { self.docker.create_network(request).await.map_err(|error| self.explain(error)) })
            .with_context(|| format!("create network {name}"))?;
        Ok(())
    }

    /// The labels of a network; `None` if it does not exist.
    pub fn network_labels(&self, name: &str) -> Result<Option<HashMap<String, String>>> {
        let found = self.wait(async {
            match self.docker.inspect_network(name, None::<InspectNetworkOptions>).await {
                Ok(it) => Ok(Some(it)),
                Err(error) if is_not_found(&error) => Ok(None),
                Err(error) => Err(self.explain(error)),
            }
        });
        let found = found.with_context(|| format!("look up network {name}"))?;
        Ok(found.map(|it| it.labels.unwrap_or_default()))
    }

    /// Names of all networks with the label.
    pub fn networks_with_label(&self, label: &str) -> Result<Vec<String>> {
        let options = ListNetworksOptions { filters: Some(HashMap::from([("label".to_owned(), vec![label.to_owned()])])) };
        let found = self
            .wait(async { self.docker.list_networks(Some(options)).await.map_err(|error| self.explain(error)) })
            .context("list networks")?;
        Ok(found.into_iter().filter_map(|it| it.name).collect())
    }

    /// Names of the given volumes that exist.
    pub fn existing_volumes(&self, names: &[String]) -> Result<Vec<String>> {
        let found = self
            .wait(async { self.docker.list_volumes(None::<ListVolumesOptions>).await.map_err(|error| self.explain(error)) })
            .context("list volumes")?;
        Ok(found.volumes.unwrap_or_default().into_iter().map(|it| it.name).filter(|it| names.contains(it)).collect())
    }

    /// Removes a network. Absent counts as done.
    pub fn remove_network(&self, name: &str) -> Result<()> {
        self.wait(async {
            match self.docker.remove_network(name).await {
                Ok(()) => Ok(()),
                Err(error) if is_not_found(&error) => Ok(()),
                Err(error) => Err(self.explain(error)),
            }
        })
        .with_context(|| format!("remove network {name}"))
    }
}

fn in_words(state: &ContainerState) -> String {
    let mut out = state.status.map(|it| it.to_string()).unwrap_or_default();
    if state.running != Some(true) {
        out.push_str(&format!(" ({})", state.exit_code.unwrap_or_default()));
    }
    if state.oom_killed == Some(true) {
        out.push_str(", killed because memory ran out");
    }
    if let Some(error) = state.error.as_deref().filter(|it| !it.is_empty()) {
        out.push_str(&format!(", {error}"));
    }
    out
}
