//! The format `compose`: a Compose file with PostgreSQL and the same environment, for one machine.

mod database;
mod environment;
mod script;
mod value;

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::{Map, Value, json};

use crate::{
    deploy::room::processors,
    export::{
        Exported, Files, Variant,
        compose::{
            environment::Environment,
            value::{bytes, literal},
        },
        kind, name, readme, short_name, text,
    },
};

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
    /// The service of each Job.
    jobs: Vec<String>,
    /// The paths of PVCs to hand over, and their owners.
    owned: Vec<(String, String)>,
    notes: Vec<String>,
}

/// The files. `here` is how users reach the application on this machine, on this port; its settings hold every ConfigMap completely.
pub fn files(it: &Exported, here: &Variant, port: u16) -> Result<Files> {
    let mut compose = Compose {
        it,
        here,
        port,
        secret_environments: BTreeMap::new(),
        files: Files::new(),
        jobs: Vec::new(),
        owned: Vec::new(),
        notes: Vec::new(),
    };
    let mut services = Map::new();
    services.insert(DATABASE.to_owned(), compose.database());
    let workloads: Vec<&Value> = it.foundation.iter().chain(&it.app).filter(|it| runs_pods(it)).collect();
    // Each name once: a Job gets another one, since no other service depends on its name.
    let names: Vec<&str> = workloads.iter().map(|it| name(it)).collect();
    for job in &it.jobs {
        let mut short = short_name(job).to_owned();
        while names.contains(&short.as_str()) || RESERVED.contains(&short.as_str()) || compose.jobs.contains(&short) {
            short.push_str("-job");
        }
        compose.jobs.push(short);
    }
    // What jobs may need: caches and mail catchers.
    let first: Vec<String> = it.foundation.iter().filter(|it| runs_pods(it)).map(|it| compose.own_name(it)).collect();
    for (index, job) in it.jobs.iter().enumerate() {
        let service = compose.job(index, job, &first);
        services.insert(compose.jobs[index].clone(), service);
    }
    for object in workloads {
        let is_first = it.foundation.contains(object);
        services.extend(compose.workload(object, is_first));
    }
    for object in it.app.iter().chain(&it.foundation).filter(|it| kind(it) == "Pod") {
        compose.notes.push(format!("The Pod {} is left out.", name(object)));
    }
    let mut volumes = json!({ "postgresql-data": {} });
    for claim in it.foundation.iter().filter(|it| kind(it) == "PersistentVolumeClaim") {
        volumes[volume_of(name(claim))] = json!({});
    }
    if !compose.owned.is_empty() {
        services.insert(VOLUMES.to_owned(), compose.owner_of_volumes());
        for (_, service) in services.iter_mut() {
            let mounts = service["volumes"].as_array().cloned().unwrap_or_default();
            let is_named = |it: &Value| it.as_str().is_some_and(|it| it.starts_with("claim-"));
            if mounts.iter().any(is_named) && service["image"] != "" && service["user"] != "root" {
                service["depends_on"][VOLUMES] = json!({ "condition": "service_completed_successfully" });
            }
        }
    }
    let file = json!({ "name": it.namespace, "services": services, "volumes": volumes });
    let mut out = std::mem::take(&mut compose.files);
    let head = "# Written by `pocdeploy export`. `./secrets.sh` makes the files below secrets/.\n";
    out.insert("compose.yaml".into(), format!("{head}{}", text(&file)?).into());
    out.insert("secrets.sh".into(), compose.script());
    out.insert(".gitignore".into(), "secrets/\n".to_owned().into());
    let mut told = it.clone();
    // Notes on Kubernetes are none here, nor is the operator.
    told.operator = Vec::new();
    told.notes = compose.notes;
    told.notes.sort();
    told.notes.dedup();
    told.notes.extend(GENERAL.map(str::to_owned));
    out.insert("README.md".into(), readme::compose(&told, &here.address.origin).into());
    Ok(out)
}

/// Names of services that the tool gives.
const DATABASE: &str = "database";
const VOLUMES: &str = "volumes";
const RESERVED: [&str; 2] = [DATABASE, VOLUMES];

fn runs_pods(object: &Value) -> bool {
    matches!(kind(object), "Deployment" | "StatefulSet" | "DaemonSet" | "CronJob")
}

/// The volume of a PVC.
fn volume_of(claim: &str) -> String {
    format!("claim-{claim}")
}

/// What no Compose file says.
const GENERAL: [&str; 4] = [
    "One machine: no rollout without downtime, no second instance of the database, no NetworkPolicies, no PodDisruptionBudgets.",
    "PostgreSQL runs without the operator: backups, failover and upgrades are yours.",
    "HTTP probes: an image holds no program for requests, so only a start that ends is noticed.",
    "A Service's port: names lead to the containers' own ports.",
];

impl Compose<'_> {
    fn own_name(&self, object: &Value) -> String {
        let own = name(object);
        if RESERVED.contains(&own) { format!("{own}-app") } else { own.to_owned() }
    }

    fn job(&mut self, index: usize, job: &Value, first: &[String]) -> Value {
        let mut pod = job["spec"]["template"]["spec"].clone();
        // Compose itself waits for the database.
        pod["initContainers"] = Value::Null;
        let own = self.jobs[index].clone();
        let mut service = self.service(&own, &pod, 0);
        service["restart"] = json!("no");
        service["depends_on"] = json!({ DATABASE: { "condition": "service_healthy" } });
        for it in first {
            service["depends_on"][it] = json!({ "condition": "service_started" });
        }
        service
    }

    /// The services of a workload: one for each container; the others share the first one's network.
    fn workload(&mut self, object: &Value, is_first: bool) -> Vec<(String, Value)> {
        let is_scheduled = kind(object) == "CronJob";
        let spec = if is_scheduled { &object["spec"]["jobTemplate"]["spec"] } else { &object["spec"] };
        let pod = &spec["template"]["spec"];
        let own = self.own_name(object);
        let mut out: Vec<(String, Value)> = Vec::new();
        for (index, container) in pod["containers"].as_array().into_iter().flatten().enumerate() {
            let called = if index == 0 { own.clone() } else { format!("{own}-{}", container["name"].as_str().unwrap_or_default()) };
            let mut service = self.service(&called, pod, index);
            service["restart"] = json!(if is_scheduled { "no" } else { "unless-stopped" });
            service["depends_on"] = json!({ DATABASE: { "condition": "service_healthy" } });
            for job in self.jobs.iter().filter(|_| !is_first) {
                service["depends_on"][job] = json!({ "condition": "service_completed_successfully" });
            }
            if index > 0 {
                service["network_mode"] = json!(format!("service:{own}"));
            } else if !is_scheduled {
                service["networks"] = json!({ "default": { "aliases": self.aliases(object) } });
                if self.is_published(object)
                    && let Some(port) = self.it.published.container_port
                {
                    service["ports"] = json!([format!("127.0.0.1:{}:{port}", self.port)]);
                }
            }
            if is_scheduled || object["spec"]["replicas"] == 0 {
                service["profiles"] = json!([if is_scheduled { "scheduled" } else { "stopped" }]);
            }
            out.push((called, service));
        }
        self.note_what_is_left_out(object, pod, &own);
        out
    }

    fn note_what_is_left_out(&mut self, object: &Value, pod: &Value, own: &str) {
        let mut notes = Vec::new();
        if kind(object) == "CronJob" {
            let when = object["spec"]["schedule"].as_str().unwrap_or_default();
            notes.push(format!(
                "{own} runs at `{when}` on a cluster; here start it from the machine's own timer: `docker compose run --rm {own}`."
            ));
        }
        match object["spec"]["replicas"].as_u64() {
            Some(0) => notes.push(format!("{own} has no pod on a cluster, and is started here by `--profile stopped` only.")),
            Some(count @ 2..) => notes.push(format!("{own} has {count} pods on a cluster, and one container here.")),
            _ => {}
        }
        let has = |value: &Value| value.as_array().is_some_and(|it| !it.is_empty());
        if has(&pod["initContainers"]) {
            notes.push(format!("The init containers of {own} are left out."));
        }
        if has(&object["spec"]["volumeClaimTemplates"]) {
            notes.push(format!("The volumes of {own}'s volumeClaimTemplates are left out."));
        }
        if has(&pod["hostAliases"]) {
            notes.push(format!("The hostAliases of {own} are left out."));
        }
        let containers = pod["containers"].as_array().map_or(0, Vec::len);
        if containers > 1 && pod["volumes"].as_array().is_some_and(|it| it.iter().any(|it| it["emptyDir"].is_object())) {
            notes.push(format!("The containers of {own} have emptyDir volumes of their own, and do not share them."));
        }
        self.notes.extend(notes);
    }

    /// Hands the volumes of PVCs to their users, as fsGroup does in a pod.
    fn owner_of_volumes(&self) -> Value {
        let mounts: Vec<String> = self.owned.iter().map(|(claim, _)| format!("{}:/volumes/{claim}", volume_of(claim))).collect();
        let lines: Vec<String> = self.owned.iter().map(|(claim, user)| format!("chown {user} /volumes/{claim}")).collect();
        json!({
            "image": self.it.postgresql,
            "entrypoint": ["sh", "-c", lines.join(" && ")],
            "user": "root",
            "restart": "no",
            "network_mode": "none",
            "read_only": true,
            "cap_drop": ["ALL"],
            "cap_add": ["CHOWN", "DAC_OVERRIDE"],
            "security_opt": ["no-new-privileges:true"],
            "volumes": mounts,
        })
    }

    /// The names of the Services that select the object's pods.
    fn aliases(&self, object: &Value) -> Vec<String> {
        let labels = &object["spec"]["template"]["metadata"]["labels"];
        let selects = |service: &&Value| {
            let selector = service["spec"]["selector"].as_object();
            kind(service) == "Service" && selector.is_some_and(|it| it.iter().all(|(key, value)| labels[key] == *value))
        };
        self.it.foundation.iter().chain(&self.it.app).filter(selects).map(|it| name(it).to_owned()).collect()
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
        if let Some(folder) = container["workingDir"].as_str() {
            out["working_dir"] = json!(literal(folder));
        }
        let known = self.environment(own, container, &mut out);
        for (ours, theirs) in [("command", "entrypoint"), ("args", "command")] {
            if let Some(words) = container[ours].as_array() {
                let words = words.iter().map(|it| self.word(own, it.as_str().unwrap_or_default(), &known));
                out[theirs] = words.collect::<Vec<String>>().into();
            }
        }
        self.mounts(own, pod, container, &mut out);
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

    fn mounts(&mut self, own: &str, pod: &Value, container: &Value, out: &mut Value) {
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
                    memory.push(literal(at));
                } else if let Some(claim) = source["persistentVolumeClaim"]["claimName"].as_str() {
                    let read_only = if mount["readOnly"] == true { ":ro" } else { "" };
                    mounts.push(format!("{}:{}{read_only}", volume_of(claim), literal(at)));
                    if !mount["subPath"].is_null() {
                        self.notes.push(format!("{own} mounts the whole volume {claim} at {at}, not its subPath."));
                    }
                    let owner = |field: &str| pod["securityContext"][field].as_u64();
                    let user = owner("runAsUser").unwrap_or(0);
                    let entry = (claim.to_owned(), format!("{user}:{}", owner("fsGroup").unwrap_or(user)));
                    if !self.owned.iter().any(|it| it.0 == entry.0) {
                        self.owned.push(entry);
                    }
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
        if self.keys(&called, folder).is_empty() {
            self.notes.push(format!("{at} is left out: its content, {called}, is not text, or is not in these files."));
            return Vec::new();
        }
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
                Some(part) if part == path => literal(at),
                Some(_) => continue,
                None => literal(&format!("{at}/{path}")),
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
