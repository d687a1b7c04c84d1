//! The network of an instance, whose labels say whose it is.

use std::collections::HashMap;

use anyhow::Result;

use crate::{
    engine::Engine,
    env::Env,
    errors::{Code, Problem},
    provider::kind::{INSTANCE_LABEL, PROJECT_LABEL, network, owns_network},
};

/// The instance's network, whose labels mark everything on it as ours. Creates it if it is missing.
pub fn ensure_network(env: &Env, engine: &Engine) -> Result<()> {
    if engine.network_labels(&network(env))?.is_none() {
        let labels = HashMap::from([
            (INSTANCE_LABEL.to_owned(), env.instance.clone()),
            (PROJECT_LABEL.to_owned(), env.project.display().to_string()),
        ]);
        engine.create_network(&network(env), labels)?;
    } else if !owns_network(env, engine)? {
        let what = format!("there is a network {} that this tool did not create; it was not changed", network(env));
        return Err(Problem::new(what).code(Code::NameTaken).hint("set another `name` in Pocdeploy.toml").into());
    }
    Ok(())
}
