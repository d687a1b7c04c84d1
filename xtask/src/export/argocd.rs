//! The format `argocd`: the kustomize files with waves, and an Application for the operator and one for the rest.

use anyhow::Result;
use serde_json::{Value, json};

use crate::export::{Exported, Files, flux::Place, kustomize, readme, secrets, text};

const NAMESPACE: &str = "argocd";
const WAVE: &str = "argocd.argoproj.io/sync-wave";

pub fn files(it: &Exported, place: &Place) -> Result<Files> {
    let mut out = kustomize::tree(it, Some(WAVE))?;
    let overlay = it.variants.first().map(|it| it.name).unwrap_or_default();
    if !it.operator.is_empty() {
        let application = application(place, "cloudnative-pg", "operator", "cnpg-system", &["ServerSideApply=true"]);
        out.insert("argocd/operator.yaml".into(), text(&application)?.into());
    }
    // The operator's CRDs may arrive after the first attempt.
    let options = ["SkipDryRunOnMissingResource=true", "PruneLast=true"];
    let main = application(place, &it.namespace, &format!("overlays/{overlay}"), &it.namespace, &options);
    out.insert("argocd/application.yaml".into(), text(&main)?.into());
    out.insert("secrets.sh".into(), secrets::script(&it.namespace, &it.secrets));
    out.insert("README.md".into(), readme::argocd(it, &place.path).into());
    Ok(out)
}

fn application(place: &Place, own: &str, path: &str, namespace: &str, options: &[&str]) -> Value {
    let folder = if place.path.is_empty() { path.to_owned() } else { format!("{}/{path}", place.path) };
    json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": { "name": own, "namespace": NAMESPACE },
        "spec": {
            "project": "default",
            "source": { "repoURL": place.repository, "targetRevision": place.branch, "path": folder },
            "destination": { "server": "https://kubernetes.default.svc", "namespace": namespace },
            "syncPolicy": {
                "automated": { "prune": true, "selfHeal": true },
                "syncOptions": options,
                "retry": { "limit": 20, "backoff": { "duration": "10s", "factor": 2, "maxDuration": "2m" } },
            },
        },
    })
}
