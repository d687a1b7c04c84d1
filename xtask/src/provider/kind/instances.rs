//! The instances in this machine's engine, by the labels of their networks. Reads no cluster and starts no engine.

use anyhow::Result;

use crate::{
    engines,
    env::Env,
    provider::{
        Instance,
        kind::{INSTANCE_LABEL, NODE_PORT, PROJECT_LABEL},
    },
};

/// Every instance with a cluster in the engine, running or stopped; empty if no engine answers.
pub fn on_this_machine(env: &Env) -> Result<Vec<Instance>> {
    if env.engine().is_err() {
        match engines::find(env)? {
            Some(engine) => env.set_engine(engine),
            None => return Ok(Vec::new()),
        }
    }
    let engine = env.engine()?;
    let mut out = Vec::new();
    for network in engine.networks_with_label(INSTANCE_LABEL)? {
        let labels = engine.network_labels(&network)?.unwrap_or_default();
        let name = labels.get(INSTANCE_LABEL).cloned().unwrap_or_default();
        let node = engine.container(&format!("{name}-control-plane"))?.filter(|it| it.networks.contains(&network));
        let port = node.as_ref().and_then(|it| it.published(NODE_PORT));
        out.push(Instance {
            name,
            state: match node {
                Some(it) if it.running => "running",
                Some(_) => "stopped",
                None => "no node",
            },
            url: port.map(|it| format!("http://localhost:{it}/")).unwrap_or_default(),
            project: labels.get(PROJECT_LABEL).cloned().unwrap_or_default(),
        });
    }
    Ok(out)
}
