//! The format `compose`: a Compose file with PostgreSQL and the same environment, for one machine.

mod database;
mod environment;
mod script;

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::{Map, Value, json};

use crate::export::{Exported, Files, Variant, compose::environment::Environment, kind, name, readme, short_name, text};

/// What the functions of this format share.
struct Compose<'a> {
    it: &'a Exported,
    /// How users reach the application on this machine; its settings hold all ConfigMaps.
    here: &'a Variant,
    port: u16,
    /// The environment files that the script writes, by their service.
    secret_environments: BTreeMap<String, Environment>,
    /// Files of ConfigMaps.
    files: Files,
    notes: Vec<String>,
}

/// The files. `here` is how users reach the application on this machine, on this port; its settings hold every ConfigMap completely.
pub fn files(it: &Exported, here: &Variant, port: u16) -> Result<Files> {
    let mut compose = Compose { it, here, port, secret_environments: BTreeMap::new(), files: Files::new(), notes: Vec::new() };
    let mut services = Map::new();
    services.insert("database".to_owned(), compose.database());
    for job in &it.jobs {
        let (short, service) = compose.job(job);
        services.insert(short, service);
    }
    for object in &it.app {
        match kind(object) {
            "Deployment" | "StatefulSet" | "DaemonSet" => services.extend(compose.workload(object)),
            "CronJob" => {
                let mut service = compose.service(name(object), &object["spec"]["jobTemplate"]["spec"]["template"]["spec"], 0);
                service["profiles"] = json!(["scheduled"]);
                services.insert(name(object).to_owned(), service);
                compose.notes.push(format!(
                    "{0} runs at `{1}` on a cluster; here start it from the machine's own timer: `docker compose run --rm {0}`.",
                    name(object),
                    object["spec"]["schedule"].as_str().unwrap_or_default()
                ));
            }
            _ => {}
        }
    }
    let mut volumes = json!({ "database": {} });
    for claim in it.foundation.iter().filter(|it| kind(it) == "PersistentVolumeClaim") {
        volumes[name(claim)] = json!({});
    }
    let file = json!({ "name": it.namespace, "services": services, "volumes": volumes });
    let mut out = std::mem::take(&mut compose.files);
    let head = "# Written by `pocdeploy export`. `./secrets.sh` makes the files below secrets/.\n";
    out.insert("compose.yaml".into(), format!("{head}{}", text(&file)?).into());
    out.insert("secrets.sh".into(), compose.script());
    out.insert(".gitignore".into(), "secrets/\n".to_owned().into());
    let mut told = it.clone();
    told.notes.extend(compose.notes.iter().cloned());
    told.notes.extend(GENERAL.map(str::to_owned));
    out.insert("README.md".into(), readme::compose(&told, &here.address.origin).into());
    Ok(out)
}

/// What no Compose file says.
const GENERAL: [&str; 4] = [
    "One machine: no rollout without downtime, no second instance of the database, no NetworkPolicies, no PodDisruptionBudgets.",
    "PostgreSQL runs without the operator: backups, failover and upgrades are yours.",
    "HTTP probes: an image holds no program for requests, so only a start that ends is noticed.",
    "A Service's port: names lead to the containers' own ports.",
];

impl Compose<'_> {
    fn job(&mut self, job: &Value) -> (String, Value) {
        let short = short_name(job).to_owned();
        let mut pod = job["spec"]["template"]["spec"].clone();
        // Compose itself waits for the database.
        pod["initContainers"] = Value::Null;
        let mut service = self.service(&short, &pod, 0);
        service["restart"] = json!("no");
        service["depends_on"] = json!({ "database": { "condition": "service_healthy" } });
        (short, service)
    }

    /// The services of a workload: one for each container; the others share the first one's network.
    fn workload(&mut self, object: &Value) -> Vec<(String, Value)> {
        let pod = &object["spec"]["template"]["spec"];
        let count = pod["containers"].as_array().map_or(0, Vec::len);
        let own = name(object).to_owned();
        let mut out = Vec::new();
        for index in 0..count {
            let mut service = self.service(&own, pod, index);
            service["restart"] = json!("unless-stopped");
            let mut needs = json!({ "database": { "condition": "service_healthy" } });
            for job in &self.it.jobs {
                needs[short_name(job)] = json!({ "condition": "service_completed_successfully" });
            }
            service["depends_on"] = needs;
            let called =
                if index == 0 { own.clone() } else { format!("{own}-{}", pod["containers"][index]["name"].as_str().unwrap_or("x")) };
            if index == 0 {
                service["networks"] = json!({ "default": { "aliases": self.aliases(object) } });
                if self.is_published(object)
                    && let Some(port) = self.it.published.container_port
                {
                    service["ports"] = json!([format!("127.0.0.1:{}:{port}", self.port)]);
                }
            } else {
                service["network_mode"] = json!(format!("service:{own}"));
            }
            out.push((called, service));
        }
        if object["spec"]["replicas"].as_u64().is_some_and(|it| it > 1) {
            self.notes.push(format!("{own} has {} pods on a cluster, and one container here.", object["spec"]["replicas"]));
        }
        if pod["initContainers"].as_array().is_some_and(|it| !it.is_empty()) {
            self.notes.push(format!("The init containers of {own} are left out."));
        }
        out
    }

    /// The names of the Services that select the object's pods.
    fn aliases(&self, object: &Value) -> Vec<String> {
        let labels = &object["spec"]["template"]["metadata"]["labels"];
        let selects = |service: &&Value| {
            let selector = service["spec"]["selector"].as_object();
            kind(service) == "Service" && selector.is_some_and(|it| it.iter().all(|(key, value)| labels[key] == *value))
        };
        self.it.app.iter().filter(selects).map(|it| name(it).to_owned()).collect()
    }

    fn is_published(&self, object: &Value) -> bool {
        self.aliases(object).contains(&self.it.published.service)
    }

    /// A container as a service.
    fn service(&mut self, own: &str, pod: &Value, index: usize) -> Value {
        let container = &pod["containers"][index];
        let image = container["image"].as_str().unwrap_or_default();
        let image = self.it.images.iter().find(|it| it.name == image).map_or_else(|| image.to_owned(), super::Image::reference);
        let mut out = json!({ "image": image });
        for (ours, theirs) in [("command", "entrypoint"), ("args", "command")] {
            if let Some(words) = container[ours].as_array() {
                out[theirs] = words.iter().map(|it| json!(it.as_str().unwrap_or_default().replace('$', "$$"))).collect();
            }
        }
        if let Some(folder) = container["workingDir"].as_str() {
            out["working_dir"] = json!(folder);
        }
        self.environment(own, container, &mut out);
        self.mounts(pod, container, &mut out);
        let security = &container["securityContext"];
        let of = |field: &str| if security[field].is_null() { &pod["securityContext"][field] } else { &security[field] };
        if let Some(user) = of("runAsUser").as_u64() {
            out["user"] = json!(format!("{user}:{}", of("runAsGroup").as_u64().unwrap_or(user)));
        }
        if security["readOnlyRootFilesystem"] == true {
            out["read_only"] = json!(true);
        }
        out["cap_drop"] = json!(["ALL"]);
        out["security_opt"] = json!(["no-new-privileges:true"]);
        if let Some(seconds) = pod["terminationGracePeriodSeconds"].as_u64() {
            out["stop_grace_period"] = json!(format!("{seconds}s"));
        }
        let limits = &container["resources"]["limits"];
        if let Some(memory) = limits["memory"].as_str().and_then(bytes) {
            out["mem_limit"] = json!(memory);
        }
        if let Some(cpu) = limits["cpu"].as_str().and_then(processors) {
            out["cpus"] = json!(cpu.to_string());
        }
        out
    }

    fn mounts(&mut self, pod: &Value, container: &Value, out: &mut Value) {
        let (mut mounts, mut memory) = (Vec::new(), Vec::new());
        for mount in container["volumeMounts"].as_array().into_iter().flatten() {
            let volumes = pod["volumes"].as_array();
            let Some(volume) = volumes.into_iter().flatten().find(|it| it["name"] == mount["name"]) else { continue };
            let at = mount["mountPath"].as_str().unwrap_or_default().trim_end_matches('/');
            let sources = match volume["projected"]["sources"].as_array() {
                Some(sources) => sources.clone(),
                None => vec![volume.clone()],
            };
            for source in sources {
                if source["emptyDir"].is_object() {
                    memory.push(at.to_owned());
                } else if let Some(claim) = source["persistentVolumeClaim"]["claimName"].as_str() {
                    mounts.push(format!("{claim}:{at}"));
                } else {
                    mounts.extend(self.files(&source, mount, at));
                }
            }
        }
        if !memory.is_empty() {
            out["tmpfs"] = memory.into_iter().map(|it| format!("{it}:mode=1777")).collect();
        }
        if !mounts.is_empty() {
            out["volumes"] = json!(mounts);
        }
    }

    /// The files of a Secret or ConfigMap, one mount each.
    fn files(&mut self, source: &Value, mount: &Value, at: &str) -> Vec<String> {
        let (of, folder) = match (&source["secret"], &source["configMap"]) {
            (secret, _) if secret.is_object() => (secret, "secrets"),
            (_, settings) if settings.is_object() => (settings, "settings"),
            _ => {
                self.notes.push(format!("A volume at {at} is of a kind that Compose does not have, and is left out."));
                return Vec::new();
            }
        };
        let called = ["secretName", "name"].iter().find_map(|it| of[*it].as_str()).unwrap_or_default().to_owned();
        let items: Vec<(String, String)> = match of["items"].as_array() {
            Some(items) => {
                let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
                items.iter().map(|it| (text(&it["key"]), text(&it["path"]))).collect()
            }
            None => self.keys(&called, folder).into_iter().map(|it| (it.clone(), it)).collect(),
        };
        let mut out = Vec::new();
        for (key, path) in items {
            if folder == "settings" {
                let content = self.setting(&called, &key).unwrap_or_default();
                self.files.insert(format!("settings/{called}/{key}").into(), content.into());
            }
            let target = match mount["subPath"].as_str() {
                Some(part) if part == path => at.to_owned(),
                Some(_) => continue,
                None => format!("{at}/{path}"),
            };
            out.push(format!("./{folder}/{called}/{key}:{target}:ro"));
        }
        out
    }

    /// The keys of a Secret or ConfigMap, as far as they are known.
    fn keys(&self, called: &str, folder: &str) -> Vec<String> {
        if folder == "settings" {
            let found = self.here.settings.iter().find(|it| it.name == called);
            return found.map(|it| it.data.keys().cloned().collect()).unwrap_or_default();
        }
        let required = self.it.secrets.iter().find(|it| it.name == called);
        required.map(|it| it.keys.iter().map(|(key, _)| key.clone()).collect()).unwrap_or_else(|| database::keys(self.it, called))
    }

    fn setting(&self, called: &str, key: &str) -> Option<String> {
        self.here.settings.iter().find(|it| it.name == called)?.data.get(key).cloned()
    }
}

/// A quantity of Kubernetes in bytes.
fn bytes(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 8] =
        [("Ki", 1 << 10), ("Mi", 1 << 20), ("Gi", 1 << 30), ("Ti", 1 << 40), ("k", 1_000), ("M", 1_000_000), ("G", 1_000_000_000), ("", 1)];
    let (number, unit) = UNITS.iter().find_map(|(name, factor)| Some((text.strip_suffix(name)?, factor)))?;
    number.parse::<u64>().ok()?.checked_mul(*unit)
}

/// Processors of Kubernetes as Compose's number.
fn processors(text: &str) -> Option<f64> {
    match text.strip_suffix('m') {
        Some(thousandths) => thousandths.parse::<f64>().ok().map(|it| it / 1000.0),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_those_of_kubernetes() {
        assert_eq!(
            ["384Mi", "1Gi", "1G", "500", "x"].map(bytes),
            [Some(402_653_184), Some(1_073_741_824), Some(1_000_000_000), Some(500), None]
        );
        assert_eq!(["2", "500m", "0.5", "x"].map(processors), [Some(2.0), Some(0.5), Some(0.5), None]);
    }
}
