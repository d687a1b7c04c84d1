//! Removes containers, also one that the engine is already removing.

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
    report::Waiting,
};

/// For stopping a node's processes and removing its volumes.
const GONE_LIMIT: Duration = Duration::from_secs(60);

impl Engine {
    /// Removes a container with its anonymous volumes, running or not. A missing one counts as done. If the engine is already removing it,
    /// calls `waiting` ten times a second until it is gone.
    pub fn remove_container(&self, name: &str, waiting: impl Fn(Waiting)) -> Result<()> {
        let options = RemoveContainerOptions { force: true, v: true, ..RemoveContainerOptions::default() };
        self.wait(async {
            match self.docker.remove_container(name, Some(options)).await {
                Ok(()) => Ok(()),
                Err(error) if is_not_found(&error) => Ok(()),
                // An interrupted run has requested the removal, and the engine continues it.
                Err(Error::DockerResponseServerError { status_code: 409, .. }) => self.until_gone(name, &waiting).await,
                Err(error) => Err(self.explain(error)),
            }
        })
        .with_context(|| format!("remove container {name}"))
    }

    async fn until_gone(&self, name: &str, waiting: &impl Fn(Waiting)) -> Result<()> {
        let began = Instant::now();
        loop {
            let what = format!("container {name} to be gone");
            let state = Waiting::new(what, "the engine is removing it", began.elapsed(), GONE_LIMIT);
            match self.docker.inspect_container(name, None::<InspectContainerOptions>).await {
                Err(error) if is_not_found(&error) => return Ok(()),
                Err(error) => return Err(self.explain(error)),
                Ok(_) if began.elapsed() > GONE_LIMIT => {
                    return Err(Problem::timed_out(state.timed_out())
                        .hint("run the same command again; if it stays, restart the engine")
                        .into());
                }
                Ok(_) => {
                    waiting(state);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

/// Whether the engine is removing the container, or failed to remove it completely.
pub(super) fn is_leaving(state: ContainerStateStatusEnum) -> bool {
    matches!(state, ContainerStateStatusEnum::REMOVING | ContainerStateStatusEnum::DEAD)
}
