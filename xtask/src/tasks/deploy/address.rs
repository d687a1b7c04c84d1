//! The address that a cluster assigns to the application's Service some time after it was applied.

use std::{cell::RefCell, time::Duration};

use anyhow::Result;

use crate::{
    cluster::{Cluster, Verdict, Wait},
    env::Env,
    errors::Problem,
    exposure::Address,
    graph::TaskId,
    provider::provider,
};

/// A cloud's load balancer takes one to three minutes.
const LIMIT: Duration = Duration::from_secs(420);

/// Waits for the address, if it is not assigned yet.
pub(super) fn wait(env: &Env, cluster: &Cluster, task: TaskId) -> Result<Address> {
    let provider = provider(env);
    let found = RefCell::new(None);
    let wait = Wait::new(env, "the application's address", LIMIT);
    cluster.wait_for(env, task, &wait, || {
        found.replace(provider.address(env)?);
        Ok(if found.borrow().is_some() { Verdict::Yes } else { Verdict::NotYet("its Service has none yet".to_owned()) })
    })?;
    found.into_inner().ok_or_else(|| Problem::new("the application has no address").into())
}
