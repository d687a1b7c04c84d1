//! Files for continuous integration: check the exported files on a proposal, and apply them on the main branch.

use anyhow::Result;
use serde_json::{Value, json};

use crate::export::text;

/// The service that runs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    Github,
    Gitlab,
}

/// What the exported files are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Kustomize,
    Helm,
    Compose,
    Flux,
    Argocd,
}

/// What the jobs do.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    pub format: Format,
    /// The folder of the exported files in the repository.
    pub path: &'a str,
    pub namespace: &'a str,
    pub branch: &'a str,
    /// The variables of `secrets.sh` that have no default.
    pub variables: Vec<String>,
    pub overlay: &'a str,
    /// Whether the operator is among the files.
    pub has_operator: bool,
}

impl Plan<'_> {
    /// Renders every file, and needs no cluster.
    fn check(&self) -> Vec<String> {
        let render = |folder: &str| format!("kubectl kustomize {folder} > /dev/null");
        match self.format {
            Format::Kustomize | Format::Flux | Format::Argocd => vec![render(&format!("overlays/{}", self.overlay))],
            Format::Helm => vec!["helm lint chart".to_owned(), format!("helm template {} chart > /dev/null", self.namespace)],
            Format::Compose => {
                // A check of the file needs no real values.
                let values: String = self.variables.iter().map(|it| format!("{it}=check ")).collect();
                vec![format!("{values}./secrets.sh"), "docker compose config --quiet".to_owned()]
            }
        }
    }

    /// Applies the files; empty where the cluster fetches them itself.
    fn apply(&self) -> Vec<String> {
        let namespace = self.namespace;
        match self.format {
            Format::Kustomize => vec![format!("./apply.sh {}", self.overlay)],
            Format::Helm => {
                let operator = [
                    "kubectl apply --server-side --filename operator.yaml",
                    "kubectl --namespace cnpg-system rollout status deployment/cnpg-controller-manager --timeout=5m",
                ];
                let operator = operator.iter().filter(|_| self.has_operator).map(|it| (*it).to_owned());
                let install =
                    format!("helm upgrade --install {namespace} chart --namespace {namespace} --wait --wait-for-jobs --timeout 15m");
                operator.chain(["kubectl apply --filename namespace.yaml".to_owned(), "./secrets.sh".to_owned(), install]).collect()
            }
            Format::Compose => vec!["./secrets.sh".to_owned(), "docker compose up --detach".to_owned()],
            Format::Flux | Format::Argocd => Vec::new(),
        }
    }

    fn folder(&self) -> &str {
        if self.path.is_empty() { "." } else { self.path }
    }
}

/// The comment above a file.
const HEAD: &str = "# Written by `pocdeploy export`.";

/// Where the file goes in the repository, and its content.
pub fn file(service: Service, plan: &Plan<'_>) -> Result<(String, String)> {
    match service {
        Service::Github => {
            let mut wanted = plan.variables.clone();
            if plan.format != Format::Compose {
                wanted.insert(0, "KUBECONFIG_CONTENT (a kubeconfig)".to_owned());
            }
            let has_secrets = !plan.apply().is_empty() && !wanted.is_empty();
            let secrets =
                if has_secrets { format!(" Secrets of the environment `production`: {}.", wanted.join(", ")) } else { String::new() };
            let head = format!("{HEAD}{secrets}\n");
            Ok((format!(".github/workflows/deploy-{}.yaml", plan.namespace), format!("{head}{}", text(&github(plan))?)))
        }
        Service::Gitlab => {
            let programs = match plan.format {
                Format::Compose => "docker",
                Format::Helm => "kubectl and helm",
                _ => "kubectl",
            };
            let kubeconfig = if plan.apply().is_empty() || plan.format == Format::Compose { "" } else { "; KUBECONFIG, of type file" };
            let others: String = plan.variables.iter().map(|it| format!("; {it}")).collect();
            let head = format!("{HEAD} Variables of the project: CI_IMAGE, an image with sh and {programs}{kubeconfig}{others}\n");
            Ok((".gitlab-ci.yml".to_owned(), format!("{head}{}", text(&gitlab(plan))?)))
        }
    }
}

fn github(plan: &Plan<'_>) -> Value {
    let filter = if plan.path.is_empty() { "**".to_owned() } else { format!("{}/**", plan.path) };
    let step = |name: &str, lines: Vec<String>| json!({ "name": name, "working-directory": plan.folder(), "run": lines.join("\n") });
    let checkout = json!({ "uses": "actions/checkout@v4" });
    let mut out = json!({
        "name": format!("deploy {}", plan.namespace),
        "on": {
            "push": { "branches": [plan.branch], "paths": [filter] },
            "pull_request": { "paths": [filter] },
        },
        "permissions": { "contents": "read" },
        "concurrency": { "group": format!("deploy-{}-${{{{ github.ref }}}}", plan.namespace) },
        "jobs": { "check": {
            "runs-on": "ubuntu-latest",
            "timeout-minutes": 10,
            "steps": [checkout, step("Render every file", plan.check())],
        } },
    });
    let apply = plan.apply();
    if apply.is_empty() {
        return out;
    }
    let mut run = step("Apply", apply);
    for name in &plan.variables {
        run["env"][name] = json!(format!("${{{{ secrets.{name} }}}}"));
    }
    let mut steps = vec![checkout];
    if plan.format == Format::Compose {
        // The machine keeps the secrets of its database, which no commit holds.
        steps[0]["with"] = json!({ "clean": false });
    }
    if plan.format != Format::Compose {
        let lines = [
            "umask 077",
            "printf '%s' \"$KUBECONFIG_CONTENT\" > \"$RUNNER_TEMP/kubeconfig\"",
            "echo \"KUBECONFIG=$RUNNER_TEMP/kubeconfig\" >> \"$GITHUB_ENV\"",
        ];
        steps.push(json!({
            "name": "Write the kubeconfig",
            "run": lines.join("\n"),
            "env": { "KUBECONFIG_CONTENT": "${{ secrets.KUBECONFIG_CONTENT }}" },
        }));
    }
    steps.push(run);
    out["jobs"]["deploy"] = json!({
        "needs": "check",
        "if": format!("github.event_name == 'push' && github.ref == 'refs/heads/{}'", plan.branch),
        "runs-on": if plan.format == Format::Compose { "self-hosted" } else { "ubuntu-latest" },
        "environment": "production",
        "timeout-minutes": 60,
        "steps": steps,
    });
    out
}

fn gitlab(plan: &Plan<'_>) -> Value {
    let filter = if plan.path.is_empty() { "**/*".to_owned() } else { format!("{}/**/*", plan.path) };
    let script = |lines: Vec<String>| [vec![format!("cd '{}'", plan.folder().replace('\'', r"'\''"))], lines].concat();
    let mut out = json!({
        "stages": ["check", "deploy"],
        "default": { "image": "$CI_IMAGE" },
        "check": {
            "stage": "check",
            "timeout": "10 minutes",
            "rules": [{ "changes": [filter] }],
            "script": script(plan.check()),
        },
    });
    let apply = plan.apply();
    if !apply.is_empty() {
        out["deploy"] = json!({
            "stage": "deploy",
            "timeout": "1 hour",
            "environment": { "name": "production" },
            "resource_group": "production",
            "rules": [{ "if": format!("$CI_COMMIT_BRANCH == \"{}\"", plan.branch), "changes": [filter] }],
            "script": script(apply),
        });
        if plan.format == Format::Compose {
            // The machine keeps the secrets of its database, which no commit holds.
            out["deploy"]["variables"] = json!({ "GIT_CLEAN_FLAGS": "-ffdx --exclude=secrets/" });
        }
    }
    out
}
