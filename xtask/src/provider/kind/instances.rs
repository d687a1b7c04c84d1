//! The instances in this machine's engine, by the labels of their networks. Reads no cluster and starts no engine.

use std::path::Path;

use anyhow::Result;

use crate::{
    engines,
    env::Env,
    provider::{
        Instance,
        kind::{INSTANCE_LABEL, NODE_PORT, PROJECT_LABEL, network_of},
    },
    record::{ADDRESS, LastAddress, read_json},
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
        // Another network may have a copy of the labels.
        if network != network_of(&name) {
            continue;
        }
        let node = engine.container(&format!("{name}-control-plane"))?.filter(|it| it.networks.contains(&network));
        let port = node.as_ref().and_then(|it| it.published(NODE_PORT));
        let project = labels.get(PROJECT_LABEL).cloned().unwrap_or_default();
        out.push(Instance {
            state: match node {
                Some(it) if it.running => "running",
                Some(it) if it.frozen => "frozen",
                Some(_) => "stopped",
                None => "no node",
            },
            url: port.map(|it| url(Path::new(&project), &name, it)).unwrap_or_default(),
            name,
            project,
        });
    }
    Ok(out)
}

/// The address that the instance's last run has kept in its project, if it is at this port; else the port alone.
fn url(project: &Path, name: &str, port: u16) -> String {
    let own = project.join("target/pocdeploy");
    let kept =
        [own.join("instances").join(name).join(ADDRESS), own.join(ADDRESS)].into_iter().filter_map(|it| read_json::<LastAddress>(&it));
    let origin = kept.filter(|it| it.instance == name).map(|it| it.origin).find(|it| it.ends_with(&format!(":{port}")));
    format!("{}/", origin.unwrap_or_else(|| format!("http://localhost:{port}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::write_json;

    #[test]
    fn an_address_is_shown_as_the_last_run_knew_it_if_the_port_is_still_the_same() {
        let project = tempfile::tempdir().unwrap();
        let keep = |place: &str, instance: &str, origin: &str| {
            let kept = LastAddress { instance: instance.to_owned(), origin: origin.to_owned() };
            write_json(&project.path().join(place).join(ADDRESS), &kept).unwrap();
        };
        keep("target/pocdeploy", "shop", "https://shop.localhost:8080");
        keep("target/pocdeploy/instances/two", "two", "http://two.localhost:8081");
        assert_eq!(url(project.path(), "shop", 8080), "https://shop.localhost:8080/");
        assert_eq!(url(project.path(), "two", 8081), "http://two.localhost:8081/");
        assert_eq!(url(project.path(), "two", 8082), "http://localhost:8082/");
        assert_eq!(url(project.path(), "other", 8080), "http://localhost:8080/");
    }
}
