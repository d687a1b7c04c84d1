//! README.md of each format.

use crate::export::{Exported, secrets};

/// The files that users change.
const YOURS: &str = ", except in `overlays/`: those are yours to change, and are kept";

/// What every README begins and ends with.
fn frame(it: &Exported, title: &str, yours: &str, body: &str) -> String {
    let mut out = format!(
        "# {0} as {title}\n\nWritten by `pocdeploy export`. Nothing here needs pocdeploy. The next export replaces these files. It stops if you\nchanged one{1}.\n\n{body}",
        it.namespace, yours
    );
    out.push_str("\n## Images\n\nEvery image is named by its digest. Nodes, or the machine of a Compose file, must be able to pull:\n\n");
    let mut images: Vec<String> = it.images.iter().map(super::Image::reference).collect();
    images.push(it.postgresql.clone());
    let operator = it.operator.iter().filter_map(|it| it.pointer("/spec/template/spec/containers/0/image")?.as_str());
    images.extend(operator.map(str::to_owned));
    images.sort();
    images.dedup();
    for image in images {
        out.push_str(&format!("- `{image}`\n"));
    }
    if !it.notes.is_empty() {
        out.push_str("\n## What these files cannot say\n\n");
        for note in &it.notes {
            out.push_str(&format!("- {note}\n"));
        }
    }
    out
}

/// The chapter on Secrets of the formats for Kubernetes.
fn secrets(it: &Exported) -> String {
    let mut out = String::from(
        "\n## Secrets\n\nNo file here holds a secret value. The operator makes the database's Secrets. The others must exist before the pods start;\n",
    );
    if it.secrets.is_empty() {
        return "\n## Secrets\n\nNo file here holds a secret value. The operator makes the database's Secrets; there are no others.\n"
            .to_owned();
    }
    out.push_str("`./secrets.sh` creates those that are missing from variables of your shell, or create them with your own tool:\n\n");
    out.push_str(&secrets::table(&it.secrets));
    if let Some(name) = &it.pull_secret {
        out.push_str(&format!(
            "\nNodes pull with the Secret `{name}`:\n\n```\nkubectl --namespace {} create secret docker-registry {name} --docker-server=… --docker-username=… --docker-password=…\n```\n",
            it.namespace
        ));
    }
    out
}

fn overlays(it: &Exported) -> String {
    let mut out = String::from("| overlay | the application is reached by | its address in the settings |\n| --- | --- | --- |\n");
    for variant in &it.variants {
        let how = match variant.name {
            "ingress" => "the Ingress, through the cluster's own controller",
            "load-balancer" => "a Service of type LoadBalancer",
            _ => "a port on every node",
        };
        out.push_str(&format!("| {} | {how} | {} |\n", variant.name, variant.address.origin));
    }
    out.push_str("\nHost, address, instances and volume of the database are in the overlay: correct them there, for each cluster.\n");
    out
}

pub(super) fn kustomize(it: &Exported) -> String {
    let first = it.variants.first().map(|it| it.name).unwrap_or_default();
    let body = format!(
        "```\n./apply.sh {first}\n```\n\napplies everything in order, to the current context of kubectl. By hand: `operator` (with `--server-side`), then the parts of an overlay:\n`foundation` (namespace, policies, database), `jobs` (the migration), `app`. `kubectl apply --kustomize overlays/{first}` applies all three\nat once, which is enough for a first deployment.\n\n## Overlays\n\n{}{}",
        overlays(it),
        secrets(it)
    );
    frame(it, "Kustomize files", YOURS, &body)
}

pub(super) fn helm(it: &Exported) -> String {
    let namespace = &it.namespace;
    let operator = if it.operator.is_empty() {
        "The cluster needs the CloudNativePG operator.\n"
    } else {
        "The operator comes first; it is no part of the chart, since other databases of the cluster may use it:\n\n```\nkubectl apply --server-side --filename operator.yaml\nkubectl --namespace cnpg-system rollout status deployment/cnpg-controller-manager\n```\n"
    };
    let body = format!(
        "{operator}\n```\nkubectl apply --filename namespace.yaml\n./secrets.sh\nhelm upgrade --install {namespace} chart --namespace {namespace} --wait --wait-for-jobs --timeout 15m\n```\n\nThe values are in `chart/values.yaml`, each with a comment; `chart/values.schema.json` refuses others. `values-load-balancer.yaml` and\n`values-node-port.yaml` are for clusters without an Ingress controller: `--values values-node-port.yaml`.\n\nAn upgrade runs the migration before it changes anything else. `helm uninstall` keeps the database: delete it with\n`kubectl --namespace {namespace} delete cluster {}`.\n{}",
        it.database,
        secrets(it)
    );
    frame(it, "a Helm chart", ", except `values-*.yaml`: those are yours to change, and are kept", &body)
}

pub(super) fn compose(it: &Exported, url: &str) -> String {
    let mut body = format!(
        "```\n./secrets.sh\ndocker compose up --detach --wait\n```\n\nThen the application answers at {url}. `./secrets.sh` makes the secret values, and certificates for PostgreSQL, in `secrets/`: keep this\nfolder out of version control (`.gitignore` does). `docker compose down` keeps the database's volume; `--volumes` removes it.\n",
    );
    if !it.secrets.is_empty() {
        body.push_str("\n## Secrets\n\n");
        body.push_str(&secrets::table(&it.secrets));
    }
    frame(it, "a Compose file", "", &body)
}

pub(super) fn flux(it: &Exported, path: &str) -> String {
    let body = format!(
        "Flux applies the files in order: `flux/` holds the source and one Kustomization for each part, each waits for the one before.\nCommit this folder as `{path}`, then once:\n\n```\nkubectl apply --filename base/foundation/namespace-{0}.yaml\n./secrets.sh\nkubectl apply --filename flux\n```\n\nThe cluster needs Flux' source-controller and kustomize-controller; a private repository needs `spec.secretRef` in `flux/source.yaml`.\n\n## Overlays\n\n`flux/*.yaml` name the overlay.\n\n{1}{2}",
        it.namespace,
        overlays(it),
        secrets(it)
    );
    frame(it, "files for Flux", YOURS, &body)
}

pub(super) fn argocd(it: &Exported, path: &str) -> String {
    let body = format!(
        "Argo CD applies the files in order: each object has its wave as annotation. Commit this folder as `{path}`, then once:\n\n```\nkubectl apply --filename base/foundation/namespace-{0}.yaml\n./secrets.sh\nkubectl apply --filename argocd\n```\n\n## Overlays\n\n`argocd/application.yaml` names the overlay.\n\n{1}{2}",
        it.namespace,
        overlays(it),
        secrets(it)
    );
    frame(it, "files for Argo CD", YOURS, &body)
}
