//! The networks that carry this tool's labels: the instance's, and those that a `bench` in this project left.

use std::collections::HashMap;

use anyhow::Result;

use crate::{
    engine::Engine,
    env::Env,
    errors::{Code, Problem},
    provider::kind::{BENCH, INSTANCE_LABEL, PROJECT_LABEL, network, owns_network},
};

/// The instance's network with its labels, which make what is on it this tool's: made where it is not there.
pub fn ensure_network(env: &Env, engine: &Engine) -> Result<()> {
    if engine.network_labels(&network(env))?.is_none() {
        let labels = HashMap::from([
            (INSTANCE_LABEL.to_owned(), env.instance.clone()),
            (PROJECT_LABEL.to_owned(), env.project.display().to_string()),
        ]);
        engine.create_network(&network(env), labels)?;
    } else if !owns_network(env, engine)? {
        let what = format!("there is a network {} that this tool did not create; it is left alone", network(env));
        return Err(Problem::new(what).code(Code::NameTaken).hint("set another `name` in Pocdeploy.toml").into());
    }
    Ok(())
}

/// The networks of a `bench` in this project that was cut off. Its copy of the project is an instance of its own, and the plain script's
/// cluster is on the same network.
pub(super) fn of_bench(env: &Env, engine: &Engine) -> Result<Vec<String>> {
    engine.networks_with_label(&format!("{PROJECT_LABEL}={}", env.work(BENCH).display()))
}
