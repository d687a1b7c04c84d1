//! Starts and stops containers that exist, and asks for those that are being made.

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use bollard::{
    models::{ContainerCreateBody, HostConfig},
    query_parameters::{CreateContainerOptions, KillContainerOptions, RemoveContainerOptions, StartContainerOptions, StopContainerOptions},
};

use crate::engine::{Engine, is_in_use, is_not_found};

impl Engine {
    /// Starts an existing container; lets the processes of a frozen one go on. A running one counts as done.
    pub fn start(&self, name: &str) -> Result<()> {
        if self.container(name)?.is_some_and(|it| it.frozen) {
            return self
                .wait(async { self.docker.unpause_container(name).await.map_err(|error| self.explain(error)) })
                .with_context(|| format!("let container {name} go on"));
        }
        self.wait(async { self.docker.start_container(name, None::<StartContainerOptions>).await.map_err(|error| self.explain(error)) })
            .with_context(|| format!("start container {name}"))
    }

    /// Freezes a running container's processes: they keep their memory and get no processor, until `start`.
    pub fn freeze(&self, name: &str) -> Result<()> {
        self.wait(async { self.docker.pause_container(name).await.map_err(|error| self.explain(error)) })
            .with_context(|| format!("freeze container {name}"))
    }

    /// Stops a container, and kills it after `seconds`. A stopped one counts as done.
    pub fn stop(&self, name: &str, seconds: i32) -> Result<()> {
        let options = StopContainerOptions { t: Some(seconds), ..StopContainerOptions::default() };
        self.wait(async { self.docker.stop_container(name, Some(options)).await.map_err(|error| self.explain(error)) })
            .with_context(|| format!("stop container {name}"))
    }

    /// Whether the engine makes a container of this name, or has made it: a request goes on when its client has ended, and no list has the
    /// container before it is done. Asks by making one, of `image`, on `network` and with `labels`, which tell whose it is if this run ends before
    /// it is removed. `None` if the engine does not have the image, which it looks for first.
    pub fn is_name_taken(&self, name: &str, image: &str, network: &str, labels: HashMap<String, String>) -> Result<Option<bool>> {
        let options = CreateContainerOptions { name: Some(name.to_owned()), ..CreateContainerOptions::default() };
        let host = HostConfig { network_mode: Some(network.to_owned()), ..HostConfig::default() };
        let body = ContainerCreateBody {
            image: Some(image.to_owned()),
            labels: Some(labels),
            host_config: Some(host),
            ..ContainerCreateBody::default()
        };
        let removal = RemoveContainerOptions { force: true, v: true, ..RemoveContainerOptions::default() };
        self.wait(async {
            match self.docker.create_container(Some(options), body).await {
                // By its ID: another program may have taken the name since.
                Ok(made) => match self.docker.remove_container(&made.id, Some(removal)).await {
                    Err(error) if !is_not_found(&error) => Err(self.explain(error)),
                    _ => Ok(Some(false)),
                },
                Err(error) if is_in_use(&error) => Ok(Some(true)),
                Err(error) if is_not_found(&error) => Ok(None),
                Err(error) => Err(self.explain(error)),
            }
        })
        .with_context(|| format!("ask for the name {name}"))
    }

    /// Kills a container's processes at once.
    pub fn kill(&self, name: &str) -> Result<()> {
        self.wait(async { self.docker.kill_container(name, None::<KillContainerOptions>).await.map_err(|error| self.explain(error)) })
            .with_context(|| format!("kill container {name}"))
    }
}
