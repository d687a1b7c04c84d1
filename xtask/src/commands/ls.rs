//! `ls`: all instances of this machine's engine, from the labels of their networks. Asks no cluster, starts no engine.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::json;

use crate::{
    engine::Engine,
    env::Env,
    flags::Output,
    provider::kind::{INSTANCE_LABEL, NODE_PORT, PROJECT_LABEL},
    tasks,
};

/// One instance as far as its containers tell.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Instance {
    #[serde(rename = "instance")]
    name: String,
    state: &'static str,
    url: String,
    project: String,
}

pub(crate) fn run(env: &Env, output: Output) -> Result<()> {
    let instances = match tasks::engine::find(env)? {
        Some(engine) => look(&engine)?,
        None => Vec::new(),
    };
    let shown = match output {
        Output::Text => text(&instances),
        Output::Json => format!("{}\n", serde_json::to_string_pretty(&json!({ "schema": 1, "instances": instances }))?),
    };
    std::io::stdout().write_all(shown.as_bytes()).context("print the instances")
}

fn look(engine: &Engine) -> Result<Vec<Instance>> {
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
    out.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(out)
}

fn text(instances: &[Instance]) -> String {
    if instances.is_empty() {
        return "no instance on this machine\n".to_owned();
    }
    let width = instances.iter().map(|it| it.name.len()).max().unwrap_or_default();
    let line = |it: &Instance| format!("{:<width$}  {:<8} {:<24} {}", it.name, it.state, it.url, it.project).trim_end().to_owned() + "\n";
    instances.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_instance_is_a_line_and_none_is_said() {
        let instance =
            |name: &str, state, url: &str| Instance { name: name.to_owned(), state, url: url.to_owned(), project: "/p".to_owned() };
        let expected = "polls-1  running  http://localhost:8080/   /p\np        no node                           /p\n";
        assert_eq!(text(&[instance("polls-1", "running", "http://localhost:8080/"), instance("p", "no node", "")]), expected);
        assert_eq!(text(&[]), "no instance on this machine\n");
    }
}
