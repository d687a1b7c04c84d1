//! The format `flux`: the kustomize files, a source, and a Kustomization for each part, each after the one before.

use anyhow::Result;
use serde_json::{Value, json};

use crate::export::{Exported, Files, kustomize, readme, secrets, text};

/// Where the files will be found by the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The repository's URL, without credentials.
    pub repository: String,
    pub branch: String,
    /// The folder of the files in the repository.
    pub path: String,
}

const NAMESPACE: &str = "flux-system";

pub fn files(it: &Exported, place: &Place) -> Result<Files> {
    let mut out = kustomize::tree(it, None)?;
    let source = json!({
        "apiVersion": "source.toolkit.fluxcd.io/v1",
        "kind": "GitRepository",
        "metadata": { "name": it.namespace, "namespace": NAMESPACE },
        "spec": { "interval": "1m", "url": place.repository, "ref": { "branch": place.branch } },
    });
    out.insert("flux/source.yaml".into(), text(&source)?.into());
    let overlay = it.variants.first().map(|it| it.name).unwrap_or_default();
    let mut before: Option<String> = None;
    let mut parts: Vec<(&str, String)> = kustomize::PARTS.iter().map(|part| (*part, format!("overlays/{overlay}/{part}"))).collect();
    if !it.operator.is_empty() {
        parts.insert(0, ("operator", "operator".to_owned()));
    }
    if it.jobs.is_empty() {
        parts.retain(|(part, _)| *part != "jobs");
    }
    for (part, path) in parts {
        let own = format!("{}-{part}", it.namespace);
        out.insert(format!("flux/{part}.yaml").into(), text(&kustomization(it, place, (part, &own, &path), before.as_deref()))?.into());
        before = Some(own);
    }
    out.insert("secrets.sh".into(), secrets::script(&it.namespace, &it.secrets));
    out.insert("README.md".into(), readme::flux(it, &place.path).into());
    Ok(out)
}

fn kustomization(it: &Exported, place: &Place, (part, own, path): (&str, &str, &str), before: Option<&str>) -> Value {
    let folder = if place.path.is_empty() { format!("./{path}") } else { format!("./{}/{path}", place.path) };
    let mut spec = json!({
        "interval": "10m",
        "retryInterval": "30s",
        "timeout": "15m",
        "sourceRef": { "kind": "GitRepository", "name": it.namespace },
        "path": folder,
        // The database's part is never pruned: a file that is moved must not delete it.
        "prune": matches!(part, "jobs" | "app"),
        "wait": part != "foundation",
    });
    if part == "foundation" {
        spec["healthChecks"] = json!([{
            "apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster", "name": it.database, "namespace": it.namespace,
        }]);
        spec["healthCheckExprs"] = json!([{
            "apiVersion": "postgresql.cnpg.io/v1",
            "kind": "Cluster",
            "current": "status.conditions.filter(e, e.type == 'Ready').all(e, e.status == 'True')",
        }]);
    }
    if let Some(before) = before {
        spec["dependsOn"] = json!([{ "name": before }]);
    }
    json!({
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
        "kind": "Kustomization",
        "metadata": { "name": own, "namespace": NAMESPACE },
        "spec": spec,
    })
}
