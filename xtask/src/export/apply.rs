//! The script that applies the parts one after the other with kubectl, each after the one before is ready.

use crate::export::{Exported, File, kind, name};

/// The operator's namespace and Deployment.
const OPERATOR: (&str, &str) = ("cnpg-system", "cnpg-controller-manager");

/// The lines that install the operator where the cluster has none.
pub(super) fn operator(command: &str) -> String {
    let (namespace, deployment) = OPERATOR;
    format!(
        r#"
if ! kubectl get crd clusters.postgresql.cnpg.io > /dev/null 2>&1; then
  {command}
fi
kubectl get namespace {namespace} > /dev/null 2>&1 &&
  kubectl --namespace {namespace} rollout status deployment/{deployment} --timeout=5m
"#
    )
}

/// A function that repeats a command: the operator's webhook answers some seconds after its Deployment is ready.
pub(super) const AGAIN: &str = r#"
# again COMMAND…: up to ten times, with three seconds between.
again() {
  left=10
  until "$@"; do
    left=$((left - 1))
    [ "$left" -gt 0 ] || return 1
    sleep 3
  done
}
"#;

/// `apply.sh` for kustomize.
pub(super) fn kustomize(it: &Exported) -> File {
    let names: Vec<&str> = it.variants.iter().map(|it| it.name).collect();
    let first = names.first().copied().unwrap_or_default();
    let mut out = format!(
        "#!/bin/sh\n# Applies everything in order: operator, Secrets, database, migration, application. Needs kubectl and the current context.\n# Usage: ./apply.sh [{}]\nset -eu\nhere=$(dirname \"$0\")\noverlay=$here/overlays/${{1:-{first}}}\n[ -d \"$overlay\" ] || {{ echo \"there is no $overlay\" >&2; exit 2; }}\n{AGAIN}",
        names.join("|")
    );
    if !it.operator.is_empty() {
        out.push_str(&operator("kubectl apply --server-side --kustomize \"$here/operator\""));
    }
    let namespace = &it.namespace;
    if let Some(object) = it.foundation.iter().find(|one| kind(one) == "Namespace" && name(one) == namespace) {
        out.push_str(&format!("kubectl apply --filename \"$here/base/foundation/{}\"\n", super::file_name(object, &Default::default())));
    }
    out.push_str("\"$here/secrets.sh\"\n\nagain kubectl apply --kustomize \"$overlay/foundation\"\n");
    out.push_str(&format!("kubectl --namespace {namespace} wait cluster/{} --for=condition=Ready --timeout=15m\n", it.database));
    out.push_str(&rollouts(it.foundation.iter(), namespace));
    if !it.jobs.is_empty() {
        let jobs: Vec<&str> = it.jobs.iter().map(name).collect();
        out.push_str(&format!("\nkubectl apply --kustomize \"$overlay/jobs\"\nfor job in {}; do\n  left=900\n", jobs.join(" ")));
        out.push_str(&format!(
            r#"  until [ "$(kubectl --namespace {namespace} get job "$job" --output=jsonpath='{{.status.conditions[?(@.type=="Complete")].status}}')" = True ]; do
    if [ "$(kubectl --namespace {namespace} get job "$job" --output=jsonpath='{{.status.conditions[?(@.type=="Failed")].status}}')" = True ]; then
      kubectl --namespace {namespace} logs "job/$job" --all-containers --tail=50 >&2
      echo "job $job failed; the application was not changed" >&2
      exit 1
    fi
    left=$((left - 2))
    [ "$left" -gt 0 ] || {{ echo "job $job did not end in 15 minutes; the application was not changed" >&2; exit 1; }}
    sleep 2
  done
done
"#
        ));
    }
    out.push_str("\nkubectl apply --kustomize \"$overlay/app\"\n");
    out.push_str(&rollouts(it.app.iter(), namespace));
    File::script(out)
}

/// Waits for every workload among the objects.
fn rollouts<'a>(objects: impl Iterator<Item = &'a serde_json::Value>, namespace: &str) -> String {
    let workloads = objects.filter(|it| matches!(kind(it), "Deployment" | "StatefulSet" | "DaemonSet"));
    let line = |it: &serde_json::Value| {
        let (kind, name) = (kind(it).to_lowercase(), name(it));
        format!("kubectl --namespace {namespace} rollout status {kind}/{name} --timeout=10m\n")
    };
    workloads.map(line).collect()
}
