//! Starts and stops containers that exist.

use anyhow::{Context as _, Result};
use bollard::query_parameters::{KillContainerOptions, StartContainerOptions, StopContainerOptions};

use crate::engine::Engine;

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

    /// Stops a container, and kills it after `seconds`. A stopped one counts as done.
    pub fn stop(&self, name: &str, seconds: i32) -> Result<()> {
        let options = StopContainerOptions { t: Some(seconds), ..StopContainerOptions::default() };
        self.wait(async { self.docker.stop_container(name, Some(options)).await.map_err(|error| self.explain(error)) })
            .with_context(|| format!("stop container {name}"))
    }

    /// Kills a container's processes at once.
    pub fn kill(&self, name: &str) -> Result<()> {
        self.wait(async { self.docker.kill_container(name, None::<KillContainerOptions>).await.map_err(|error| self.explain(error)) })
            .with_context(|| format!("kill container {name}"))
    }
}
