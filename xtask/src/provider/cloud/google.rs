//! Google Kubernetes Engine, through the gcloud CLI.

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    deploy::front_door::BACKEND,
    env::Env,
    exposure::{Balancer, Front},
    graph::TaskId,
    provider::{
        Requirement,
        cloud::{
            adopt::Import,
            known::{Account, Known},
            vendor::{Login, Program, Thing, Vendor, ask, exec_token, known, logged_out, read, refuse_without, strings, unset},
        },
    },
};

pub(super) struct Google;

const TASK: TaskId = TaskId::Cluster;
const PROGRAM: Program = Program {
    name: "gcloud",
    login: "gcloud auth login && gcloud auth application-default login",
    from: "https://cloud.google.com/sdk/docs/install",
};
/// The APIs that the HCL needs.
const APIS: [&str; 4] = ["container.googleapis.com", "artifactregistry.googleapis.com", "compute.googleapis.com", "iam.googleapis.com"];

impl Vendor for Google {
    fn title(&self) -> &'static str {
        "Google Kubernetes Engine"
    }

    fn program(&self) -> Program {
        PROGRAM
    }

    fn account(&self, env: &Env) -> Result<Account> {
        refuse_without(&PROGRAM)?;
        // Unlike the account's name, this fails if the login has expired. OpenTofu uses the application-default credentials.
        for login in [&["auth", "print-access-token"] as &[&str], &["auth", "application-default", "print-access-token"]] {
            let token = read(env, TASK, "gcloud", login).map_err(|error| logged_out(&PROGRAM, &error))?;
            env.withhold([token.trim().to_owned()].into_iter());
        }
        let value = |name: &str| read(env, TASK, "gcloud", &["config", "get", name]).map(|it| it.trim().to_owned()).unwrap_or_default();
        let set = |set: &Option<String>, name: &str| set.clone().unwrap_or_else(|| value(name));
        let project = set(&env.config.cluster.account, "project");
        let zone = set(&env.config.cluster.region, "compute/zone");
        if project.is_empty() {
            return Err(unset("cluster.account", "the project", "gcloud config set project PROJECT"));
        }
        if zone.is_empty() {
            return Err(unset("cluster.region", "the zone", "gcloud config set compute/zone ZONE"));
        }
        Ok(Account { who: value("account"), account: project, region: zone })
    }

    fn requirements(&self, env: &Env, account: &Account) -> Vec<Requirement> {
        vec![apis(env, account), cpus(env, account)]
    }

    fn variables(&self, _env: &Env, known: &Known) -> Result<Value> {
        let labels = json!({
            "pocdeploy-owner": label(&known.account.who),
            "pocdeploy-created": known.created.to_string(),
            "pocdeploy-expires": known.expires.to_string(),
        });
        Ok(json!({ "project": known.account.account, "zone": known.account.region, "labels": labels }))
    }

    fn registry_resources(&self) -> &'static [&'static str] {
        &["google_artifact_registry_repository"]
    }

    fn login(&self, env: &Env, known: &Known) -> Result<Login> {
        let password = read(env, TASK, "gcloud", &["auth", "print-access-token"])?.trim().to_owned();
        let (name, region) = (known.name.as_str(), region(&known.account.region));
        let project = known.account.account.as_str();
        let arguments = ["artifacts", "repositories", "describe", name, "--location", region, "--project", project, "--format", "json"];
        let said = ask(env, TASK, "gcloud", &arguments)?;
        let place = said["registryUri"].as_str().map_or_else(|| format!("{region}-docker.pkg.dev/{project}/{name}"), str::to_owned);
        Ok(Login { place: place.trim_end_matches('/').to_owned(), user: "oauth2accesstoken".to_owned(), password })
    }

    fn exec(&self, _env: &Env, _known: &Known) -> Value {
        exec_token("gcloud auth print-access-token")
    }

    fn front(&self, _known: Option<&Known>) -> Front {
        // Without it the load balancer reaches Services of type NodePort and LoadBalancer alone
        // (cloud.google.com/kubernetes-engine/docs/how-to/container-native-load-balancing).
        let annotations = vec![
            ("cloud.google.com/neg", r#"{"ingress":true}"#.to_owned()),
            ("cloud.google.com/backend-config", format!(r#"{{"default":"{BACKEND}"}}"#)),
        ];
        Front { annotations, tags: Vec::new() }
    }

    fn balancer(&self, _known: Option<&Known>) -> Balancer {
        Balancer::default()
    }

    fn objects(&self, _known: &Known) -> Vec<Value> {
        Vec::new()
    }

    fn clusters(&self, env: &Env, account: &Account) -> Result<Vec<Known>> {
        let said = ask(env, TASK, "gcloud", &["container", "clusters", "list", "--project", &account.account, "--format", "json"])?;
        Ok(said
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|it| known("gke", account, it["location"].as_str()?, &it["resourceLabels"], "pocdeploy-"))
            .collect())
    }

    fn existing(&self, env: &Env, task: TaskId, known: &Known) -> Result<Vec<Import>> {
        let (name, zone, project) = (known.name.as_str(), known.account.region.as_str(), known.account.account.as_str());
        let region = region(zone);
        let there: Vec<String> = self.inventory(env, task, &known.account, name)?.into_iter().map(|it| it.what).collect();
        let account = there.iter().find_map(|it| it.strip_prefix("service account ")).unwrap_or_default();
        let all = [
            (format!("network {name}"), "google_compute_network.this", format!("projects/{project}/global/networks/{name}")),
            (
                format!("subnetwork {name}"),
                "google_compute_subnetwork.this",
                format!("projects/{project}/regions/{region}/subnetworks/{name}"),
            ),
            (format!("service account {account}"), "google_service_account.node", format!("projects/{project}/serviceAccounts/{account}")),
            (
                format!("repository {name}"),
                "google_artifact_registry_repository.this",
                format!("projects/{project}/locations/{region}/repositories/{name}"),
            ),
            (
                format!("GKE cluster {name}"),
                "google_container_cluster.this",
                format!("projects/{project}/locations/{zone}/clusters/{name}"),
            ),
        ];
        let mut out: Vec<Import> = all.into_iter().filter(|it| there.contains(&it.0)).map(|it| (it.1.to_owned(), it.2)).collect();
        if there.contains(&format!("GKE cluster {name}")) {
            let arguments =
                ["container", "node-pools", "list", "--cluster", name, "--zone", zone, "--project", project, "--format", "json"];
            let pools = ask(env, task, "gcloud", &arguments)?;
            let own = strings(&pools, "", "name").find(|it| it == "default");
            out.extend(own.map(|it| ("google_container_node_pool.this".to_owned(), format!("{project}/{zone}/{name}/{it}"))));
        }
        Ok(out)
    }

    fn inventory(&self, env: &Env, task: TaskId, account: &Account, name: &str) -> Result<Vec<Thing>> {
        let (project, zone) = (account.account.as_str(), account.region.as_str());
        let region = region(zone);
        let mut out = Vec::new();
        let network = format!("network~/{name}$");
        let exactly = format!("name={name}");
        let node = format!("email~^{name}-node@");
        // GKE labels the disks of PVCs with the cluster's name.
        let disks = format!("labels.goog-k8s-cluster-name={name}");
        for (what, list, filter, field, delete) in [
            (
                "GKE cluster",
                &["container", "clusters", "list"] as &[&str],
                &exactly,
                "name",
                format!("gcloud container clusters delete NAME --zone {zone}"),
            ),
            ("disk", &["compute", "disks", "list"], &disks, "name", format!("gcloud compute disks delete NAME --zone {zone}")),
            (
                "forwarding rule",
                &["compute", "forwarding-rules", "list"],
                &network,
                "name",
                format!("gcloud compute forwarding-rules delete NAME --region {region}"),
            ),
            (
                "firewall rule",
                &["compute", "firewall-rules", "list"],
                &network,
                "name",
                "gcloud compute firewall-rules delete NAME".to_owned(),
            ),
            (
                "subnetwork",
                &["compute", "networks", "subnets", "list"],
                &network,
                "name",
                format!("gcloud compute networks subnets delete NAME --region {region}"),
            ),
            ("network", &["compute", "networks", "list"], &exactly, "name", "gcloud compute networks delete NAME".to_owned()),
            ("service account", &["iam", "service-accounts", "list"], &node, "email", "gcloud iam service-accounts delete NAME".to_owned()),
        ] {
            let rest = ["--filter", filter, "--project", project, "--format", "json"];
            let said = ask(env, task, "gcloud", &[list, &rest].concat())?;
            out.extend(strings(&said, "", field).map(|it| thing(what, &it, &delete, project)));
        }
        let arguments = ["artifacts", "repositories", "list", "--location", region, "--project", project, "--format", "json"];
        let own = format!("/repositories/{name}");
        out.extend(
            strings(&ask(env, task, "gcloud", &arguments)?, "", "name")
                .filter(|it| it.ends_with(&own))
                .map(|_| thing("repository", name, &format!("gcloud artifacts repositories delete NAME --location {region}"), project)),
        );
        Ok(out)
    }

    fn longest_name(&self) -> usize {
        // A service account's name has at most 30 characters, and ends in `-node`.
        25
    }

    fn minutes(&self) -> (u64, u64) {
        (8, 6)
    }

    fn cluster_resource(&self) -> &'static str {
        "google_container_cluster"
    }
}

fn thing(what: &str, name: &str, delete: &str, project: &str) -> Thing {
    Thing { what: format!("{what} {name}"), command: format!("{} --project {project}", delete.replace("NAME", name)) }
}

/// The region of a zone: `europe-west1` of `europe-west1-b`.
fn region(zone: &str) -> &str {
    zone.rsplit_once('-').map_or(zone, |(region, _)| region)
}

/// A text as the value of a label: lower-case letters, digits, hyphens and underscores, at most 63.
fn label(text: &str) -> String {
    text.to_lowercase().chars().map(|it| if it.is_ascii_lowercase() || it.is_ascii_digit() { it } else { '-' }).take(63).collect()
}

fn apis(env: &Env, account: &Account) -> Requirement {
    const NAME: &str = "APIs";
    let arguments = ["services", "list", "--enabled", "--project", &account.account, "--format", "json"];
    let said = match ask(env, TASK, "gcloud", &arguments) {
        Ok(said) => said,
        Err(error) => return Requirement::unknown(NAME, &error),
    };
    let enabled: Vec<&str> = said.as_array().into_iter().flatten().filter_map(|it| it["config"]["name"].as_str()).collect();
    let missing: Vec<&str> = APIS.into_iter().filter(|it| !enabled.contains(it)).collect();
    if missing.is_empty() {
        return Requirement::met(NAME, format!("{} are enabled", APIS.join(", ")));
    }
    let names = missing.join(" ");
    Requirement::missed(
        NAME,
        format!("{names} is not enabled in {}", account.account),
        format!("gcloud services enable {names} --project {}", account.account),
    )
}

/// The region has four CPUs left, for two nodes of two.
fn cpus(env: &Env, account: &Account) -> Requirement {
    const NAME: &str = "quota of CPUs";
    let region = region(&account.region);
    let said =
        match ask(env, TASK, "gcloud", &["compute", "regions", "describe", region, "--project", &account.account, "--format", "json"]) {
            Ok(said) => said,
            Err(error) => return Requirement::unknown(NAME, &error),
        };
    let quota = said["quotas"].as_array().into_iter().flatten().find(|it| it["metric"] == "CPUS");
    match quota.and_then(|it| Some((it["usage"].as_f64()?, it["limit"].as_f64()?))) {
        None => Requirement::unknown(NAME, &anyhow::anyhow!("{region} does not list CPUS")),
        Some((used, most)) if used + 4.0 <= most => Requirement::met(NAME, format!("{used:.0} of {most:.0} in {region}")),
        Some((used, most)) => Requirement::missed(
            NAME,
            format!("{used:.0} of {most:.0} in {region} are used; the nodes need 4"),
            "choose a zone of another region as `cluster.region`, or ask for more in the console under Quotas",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_as_google_takes_them() {
        assert_eq!(region("europe-west1-b"), "europe-west1");
        assert_eq!(label("Jo.Doe@example.com"), "jo-doe-example-com");
        assert_eq!(label(&"a".repeat(80)).len(), 63);
        let found = thing("disk", "pvc-1", "gcloud compute disks delete NAME --zone z", "p").to_string();
        assert_eq!(found, "disk pvc-1 (delete it with: gcloud compute disks delete pvc-1 --zone z --project p)");
    }
}
