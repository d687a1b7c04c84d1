//! Removing a container, also one that the engine is removing already.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bollard::{
    errors::Error,
    models::ContainerStateStatusEnum,
    query_parameters::{InspectContainerOptions, RemoveContainerOptions},
};

use crate::{
    engine::{Engine, is_not_found},
    errors::Problem,
};

/// For the processes of a node and its volumes.
const GONE_LIMIT: Duration = Duration::from_secs(60);

impl Engine {
    /// Removes a container with its anonymous volumes, running or not. Absent counts as done.
    pub fn remove_container(&self, name: &str) -> Result<()> {
        let options = RemoveContainerOptions { force: true, v: true, ..RemoveContainerOptions::default() };
        self.wait(async {
            match self.docker.remove_container(name, Some(options)).await {
                Ok(()) => Ok(()),
                Err(error) if is_not_found(&error) => Ok(()),
                // An earlier run was interrupted while it asked for the same: the engine goes on.
                Err(Error::DockerResponseServerError { status_code: 409, .. }) => self.until_gone(name).await,
                Err(error) => Err(self.explain(error)),
            }
        })
        .with_context(|| format!("remove container {name}"))
    }

    async fn until_gone(&self, name: &str) -> Result<()> {
        let began = Instant::now();
        loop {
            match self.docker.inspect_container(name, None::<InspectContainerOptions>).await {
                Err(error) if is_not_found(&error) => return Ok(()),
                Err(error) => return Err(self.explain(error)),
                Ok(_) if began.elapsed() > GONE_LIMIT => {
                    let what = format!("the engine is removing it, and has not ended after {} s", GONE_LIMIT.as_secs());
                    return Err(Problem::timed_out(what).hint("run the same command again; if it stays, restart the engine").into());
                }
                Ok(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

/// Whether the state is that of a container that is going, or that could not go whole.
pub(super) fn is_leaving(state: ContainerStateStatusEnum) -> bool {
    matches!(state, ContainerStateStatusEnum::REMOVING | ContainerStateStatusEnum::DEAD)
}
