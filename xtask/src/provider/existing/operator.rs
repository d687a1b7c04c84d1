//! CloudNativePG in a shared cluster: uses an operator that others have installed, if it is suitable.

use std::fmt;

use anyhow::Result;
use serde_json::Value;

use crate::{
    cluster::Cluster,
    config::{Config, Profile},
    deploy::{objects::INSTANCE, operator::LABELS},
    env::Env,
    errors::{Code, Problem},
};

/// The first release with the kind `Database`, which deploy/database may use.
const OLDEST: (u64, u64) = (1, 25);
/// The first release with `failoverQuorum` in the `Cluster`, for `database.profile = "durable"`.
const OLDEST_DURABLE: (u64, u64) = (1, 28);

/// An operator that others have installed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    namespace: String,
    name: String,
    /// The tag of its image.
    version: String,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CloudNativePG {} (Deployment {} in {})", self.version, self.name, self.namespace)
    }
}

/// The operator that others have installed; `None` if there is none besides this instance's own. An unsuitable operator is an error.
pub(super) fn find(env: &Env, cluster: &Cluster) -> Result<Option<Found>> {
    let deployments = cluster.list("apps/v1", "Deployment", "", LABELS)?;
    let is_ours = |it: &Value| it["metadata"]["labels"][INSTANCE] == env.instance.as_str();
    let Some(deployment) = deployments.iter().find(|it| !is_ours(it)) else { return Ok(None) };
    let found = of(deployment);
    match unfit(deployment, &found, &env.config) {
        None => Ok(Some(found)),
        Some(why) => Err(Problem::new(format!("the cluster has {found}, which cannot run this instance's database: {why}"))
            .code(Code::OperatorUnfit)
            .hint("ask the cluster's administrator to change that; two operators in one cluster would conflict")
            .into()),
    }
}

fn of(deployment: &Value) -> Found {
    let text = |pointer: &str| deployment.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let image = text("/spec/template/spec/containers/0/image").split('@').next().unwrap_or_default();
    let version = image.rsplit_once(':').map_or("of an unknown version", |(_, tag)| tag);
    Found { namespace: text("/metadata/namespace").to_owned(), name: text("/metadata/name").to_owned(), version: version.to_owned() }
}

/// Why the operator cannot run a database in the namespace.
fn unfit(deployment: &Value, found: &Found, config: &Config) -> Option<String> {
    let is_durable = config.database.profile == Profile::Durable;
    let (oldest, why) = if is_durable { (OLDEST_DURABLE, ", which `database.profile = \"durable\"` needs") } else { (OLDEST, "") };
    let mut numbers = found.version.trim_start_matches('v').split(['.', '-']).map(str::parse::<u64>);
    // A tag without a version, for example a digest or `latest`, is accepted.
    if let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next())
        && (major, minor) < oldest
    {
        return Some(format!("it is older than {}.{}{why}", oldest.0, oldest.1));
    }
    let variables = deployment.pointer("/spec/template/spec/containers/0/env").and_then(Value::as_array);
    let watched = variables.into_iter().flatten().find(|it| it["name"] == "WATCH_NAMESPACE").and_then(|it| it["value"].as_str());
    let watched = watched.unwrap_or_default();
    let serves = watched.is_empty() || watched.split(',').any(|it| it.trim() == config.namespace);
    (!serves).then(|| format!("it watches namespace {watched} only"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_operator_serves_unless_it_is_too_old_or_looks_elsewhere() {
        let deployment = |image: &str, watched: Option<&str>| {
            let env: Vec<Value> = watched.iter().map(|it| json!({ "name": "WATCH_NAMESPACE", "value": it })).collect();
            json!({ "metadata": { "name": "o", "namespace": "n" }, "spec": { "template": { "spec": { "containers": [{ "image": image, "env": env }] } } } })
        };
        for (image, watched, why) in [
            ("ghcr.io/cnpg/cloudnative-pg:1.30.0", None, None),
            ("localhost/operator:1.30.0-abc@sha256:00", Some(""), None),
            ("r:5000/operator:1.25.1", Some("a, polls"), None),
            ("operator@sha256:00", None, None),
            ("operator:1.24.3", None, Some("it is older than 1.25")),
            ("operator:1.30.0", Some("a,b"), Some("it watches namespace a,b only")),
        ] {
            let it = deployment(image, watched);
            assert_eq!(unfit(&it, &of(&it), &Config::default()).as_deref(), why, "{image}");
        }
        let mut durable = Config::default();
        durable.database.profile = Profile::Durable;
        for (image, is_old) in [("o:1.27.2", true), ("o:1.28.0", false)] {
            let it = deployment(image, None);
            assert_eq!(unfit(&it, &of(&it), &durable).is_some(), is_old, "{image}");
        }
        assert_eq!(of(&deployment("o:1.30.0", None)).to_string(), "CloudNativePG 1.30.0 (Deployment o in n)");
    }
}
