//! The manifests that the tool writes for a service and for the database: one set for any application. The variables of a pod are
//! documented in docs/contract.md. `folder.rs` says how the user's files change these objects.

pub mod brought;
pub mod controller;
mod variables;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    config::{Config, Service, ServiceName, name_of},
    deploy::yaml,
};

/// The port of the first service where it names none.
const PORT: u16 = 8000;
/// The user and group of every pod: the standard `restricted` forbids root, and the kubelet cannot check a user that an image names.
const USER: u32 = 10001;
/// The name of the rendered database.
const DATABASE: &str = "db";
/// The label of pods that may connect to the database.
pub const CLIENT: &str = "dev.pocdeploy/database-client";
/// Where the database's certificate authority is mounted.
const AUTHORITY: &str = "/run/secrets/database/ca.crt";
/// The example's manifests of a database. Its names are replaced.
const DATABASE_FILES: [&str; 3] = [
    include_str!("../../../deploy/database/cluster.yaml"),
    include_str!("../../../deploy/database/networkpolicy.yaml"),
    include_str!("../../../deploy/database/service.yaml"),
];

/// What the objects of a service depend on.
pub struct Plain<'a> {
    pub config: &'a Config,
    /// `None` is the first one.
    pub service: Option<ServiceName>,
    /// The name of the `Cluster`.
    pub database: &'a str,
    /// The Secret with the service's key.
    pub secret: &'a str,
}

/// The port that the service's container listens on; `None` for a service without a port, such as a worker.
pub fn port(config: &Config, service: Option<ServiceName>) -> Option<u16> {
    let it = config.service(service);
    it.port.or_else(|| (service.is_none() && it.schedule.is_none()).then_some(PORT))
}

/// The database: the example's manifests, with the name `db`.
pub fn database(config: &Config) -> Vec<Value> {
    let mut out = Vec::new();
    for text in DATABASE_FILES {
        let found = yaml::documents(text).map(|it| it.into_iter().map(|it| it.value).collect()).unwrap_or_else(|_| Vec::<Value>::new());
        out.extend(found.into_iter().map(|it| neutral(it, &config.namespace)));
    }
    for policy in out.iter_mut().filter(|it| it["kind"] == "NetworkPolicy") {
        policy["spec"]["ingress"][0]["from"] = json!([{ "podSelector": { "matchLabels": { CLIENT: "true" } } }]);
    }
    out
}

/// Replaces the example's names in an object.
fn neutral(value: Value, app: &str) -> Value {
    match value {
        Value::String(text) => match text.strip_prefix("polls-db") {
            Some(rest) => json!(format!("{DATABASE}{rest}")),
            None if text == "polls" => json!(app),
            None => Value::String(text),
        },
        Value::Array(items) => items.into_iter().map(|it| neutral(it, app)).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, it)| (name, neutral(it, app))).collect(),
        other => other,
    }
}

impl Plain<'_> {
    /// Every object of the service: what its pods need, its workload, its Service and Ingress.
    pub fn objects(&self) -> Vec<Value> {
        if let Some(kind) = self.config().kind {
            return self.brought(kind);
        }
        let mut out = Vec::new();
        if self.service.is_none() {
            out.extend([self.namespace(), self.default_deny(), self.account("default")]);
        }
        out.extend([self.account(&self.name()), self.settings()]);
        out.extend(self.claims());
        out.push(self.policy());
        out.extend(self.migration());
        match &self.config().schedule {
            Some(schedule) => out.push(self.cron_job(schedule)),
            None => out.push(self.deployment()),
        }
        out.extend(self.published());
        out
    }

    fn config(&self) -> &Service {
        self.config.service(self.service)
    }

    fn name(&self) -> String {
        name_of(self.service)
    }

    fn port(&self) -> Option<u16> {
        port(self.config, self.service)
    }

    fn labels(&self, component: &str) -> Value {
        json!({
            "app.kubernetes.io/name": self.name(),
            "app.kubernetes.io/component": component,
            "app.kubernetes.io/part-of": self.config.namespace,
            "app.kubernetes.io/managed-by": "pocdeploy",
        })
    }

    fn object(&self, api_version: &str, kind: &str, name: &str) -> Value {
        json!({
            "apiVersion": api_version,
            "kind": kind,
            "metadata": { "name": name, "namespace": self.config.namespace, "labels": self.labels(&self.name()) },
        })
    }

    fn namespace(&self) -> Value {
        let mut labels = json!({ "app.kubernetes.io/part-of": self.config.namespace, "app.kubernetes.io/managed-by": "pocdeploy" });
        for mode in ["enforce", "warn", "audit"] {
            labels[format!("pod-security.kubernetes.io/{mode}")] = json!("restricted");
        }
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": self.config.namespace, "labels": labels } })
    }

    /// Denies ingress, so each pod needs a NetworkPolicy of its own. Egress is open, since an application may call any service.
    fn default_deny(&self) -> Value {
        let mut out = self.object("networking.k8s.io/v1", "NetworkPolicy", "default-deny");
        out["spec"] = json!({ "podSelector": {}, "policyTypes": ["Ingress"] });
        out
    }

    /// An account without a token. Pods that name no account have the `default` one.
    fn account(&self, name: &str) -> Value {
        let mut out = self.object("v1", "ServiceAccount", name);
        out["automountServiceAccountToken"] = json!(false);
        out
    }

    /// Settings that depend on the application's address: the tool sets their values.
    fn settings(&self) -> Value {
        let mut out = self.object("v1", "ConfigMap", &self.name());
        out["data"] = json!({ "ALLOWED_HOSTS": "", "TRUSTED_ORIGINS": "", "PLAIN_HTTP_HOSTS": "", "APP_URL": "", "PROXY_SSL_HEADER": "" });
        out
    }

    fn claims(&self) -> Vec<Value> {
        let claim = |(name, it): (&String, &crate::config::Volume)| {
            let mut out = self.object("v1", "PersistentVolumeClaim", &format!("{}-{name}", self.name()));
            out["spec"] = json!({ "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": it.size } } });
            out
        };
        self.config().volumes.iter().map(claim).collect()
    }

    fn policy(&self) -> Value {
        let mut out = self.object("networking.k8s.io/v1", "NetworkPolicy", &self.name());
        // The first service gets requests from outside the cluster, others from pods of the namespace.
        let from = if self.service.is_none() { json!([]) } else { json!([{ "podSelector": {} }]) };
        let ingress = self.port().map(|port| {
            let mut rule = json!({ "ports": [{ "port": port, "protocol": "TCP" }] });
            if from != json!([]) {
                rule["from"] = from.clone();
            }
            rule
        });
        out["spec"] = json!({
            "podSelector": { "matchLabels": self.selector() },
            "policyTypes": ["Ingress"],
            "ingress": ingress.into_iter().collect::<Vec<Value>>(),
        });
        out
    }

    fn selector(&self) -> Value {
        json!({ "app.kubernetes.io/name": self.name(), "app.kubernetes.io/component": self.name() })
    }

    fn deployment(&self) -> Value {
        let mut out = self.object("apps/v1", "Deployment", &self.name());
        // A ReadWriteOnce volume cannot be mounted by an old and a new pod on different nodes.
        let strategy = if self.config().volumes.is_empty() {
            json!({ "type": "RollingUpdate", "rollingUpdate": { "maxSurge": "100%", "maxUnavailable": 0 } })
        } else {
            json!({ "type": "Recreate" })
        };
        let mut template = self.template(&self.name(), self.config().command.as_deref());
        if let Some(port) = self.port() {
            let container = &mut template["spec"]["containers"][0];
            container["ports"] = json!([{ "name": "http", "containerPort": port, "protocol": "TCP" }]);
            container["readinessProbe"] = self.probe(2, 3);
            container["livenessProbe"] = self.probe(10, 6);
            // Requests arrive until every node has removed the pod from the Service's endpoints.
            container["lifecycle"] = json!({ "preStop": { "sleep": { "seconds": 5 } } });
        }
        out["spec"] = json!({
            "replicas": self.config().replicas,
            "revisionHistoryLimit": 3,
            "progressDeadlineSeconds": 180,
            "strategy": strategy,
            "selector": { "matchLabels": self.selector() },
            "template": template,
        });
        out
    }

    /// An HTTP request with the service's host name, or a TCP connection if there is no health path.
    fn probe(&self, period: u32, failures: u32) -> Value {
        let mut out = json!({ "periodSeconds": period, "timeoutSeconds": 5, "failureThreshold": failures });
        match &self.config().health {
            Some(path) => {
                out["httpGet"] = json!({ "path": path, "port": "http", "httpHeaders": [{ "name": "Host", "value": self.config().host }] });
            }
            None => out["tcpSocket"] = json!({ "port": "http" }),
        }
        out
    }

    fn cron_job(&self, schedule: &str) -> Value {
        let mut out = self.object("batch/v1", "CronJob", &self.name());
        let mut template = self.template(&self.name(), self.config().command.as_deref());
        template["spec"]["restartPolicy"] = json!("Never");
        out["spec"] = json!({
            "schedule": schedule,
            "concurrencyPolicy": "Forbid",
            "jobTemplate": { "spec": { "backoffLimit": 1, "template": template } },
        });
        out
    }

    fn migration(&self) -> Option<Value> {
        let command = self.config().migrate.as_deref()?;
        let name = format!("{}-migration", self.name());
        let mut out = self.object("batch/v1", "Job", &name);
        out["metadata"]["labels"] = self.labels(&name);
        out["metadata"]["annotations"] = json!({ "dev.pocdeploy/migration": "true" });
        let mut template = self.template(&name, Some(command));
        template["spec"]["restartPolicy"] = json!("Never");
        let container = &mut template["spec"]["containers"][0];
        container["name"] = json!("migration");
        if let Some(all) = container["env"].as_array_mut()
            && all.iter().all(|it| it["name"] != "PGOPTIONS")
        {
            // A statement that waits for a table makes all later ones wait behind it, those of the application too.
            all.push(json!({ "name": "PGOPTIONS", "value": "-c lock_timeout=3s" }));
        }
        out["spec"] = json!({ "backoffLimit": 1, "activeDeadlineSeconds": 420, "template": template });
        Some(out)
    }

    /// The Service, its Ingress if the configuration routes to it, and its disruption budget.
    fn published(&self) -> Vec<Value> {
        let name = self.name();
        let mut out = Vec::new();
        if let (Some(_), None) = (self.port(), &self.config().schedule) {
            let mut service = self.object("v1", "Service", &name);
            service["spec"] = json!({ "selector": self.selector(), "ports": [{ "name": "http", "port": 80, "targetPort": "http" }] });
            out.push(service);
            let first = &self.config.frontend.host;
            let route = if self.service.is_none() { Some((first.clone(), "/".to_owned())) } else { self.config().route(first) };
            if let Some((host, path)) = route {
                let backend = json!({ "service": { "name": name, "port": { "name": "http" } } });
                let mut ingress = self.object("networking.k8s.io/v1", "Ingress", &name);
                ingress["spec"] = json!({ "rules": [{
                    "host": host,
                    "http": { "paths": [{ "path": path, "pathType": "Prefix", "backend": backend }] },
                }] });
                out.push(ingress);
            }
        }
        if self.config().replicas > 1 && self.config().schedule.is_none() {
            let mut budget = self.object("policy/v1", "PodDisruptionBudget", &name);
            budget["spec"] = json!({ "maxUnavailable": 1, "selector": { "matchLabels": self.selector() } });
            out.push(budget);
        }
        out
    }

    fn template(&self, component: &str, command: Option<&[String]>) -> Value {
        let it = self.config();
        let mut labels = self.labels(component);
        labels[CLIENT] = json!("true");
        let (mut mounts, mut volumes) = (
            vec![
                json!({ "name": "tmp", "mountPath": "/tmp" }),
                json!({ "name": "database", "mountPath": "/run/secrets/database", "readOnly": true }),
            ],
            vec![
                json!({ "name": "tmp", "emptyDir": { "sizeLimit": "256Mi" } }),
                json!({ "name": "database", "secret": {
                    "secretName": format!("{}-ca", self.database),
                    "defaultMode": 0o444,
                    "items": [{ "key": "ca.crt", "path": "ca.crt" }],
                } }),
            ],
        );
        let used = self.config.service(self.config.image_of(self.service));
        let writable: BTreeSet<&String> = used.writable.iter().chain(&it.writable).collect();
        for (index, path) in writable.into_iter().enumerate() {
            mounts.push(json!({ "name": format!("writable-{index}"), "mountPath": path }));
            volumes.push(json!({ "name": format!("writable-{index}"), "emptyDir": { "sizeLimit": "256Mi" } }));
        }
        for (name, volume) in &it.volumes {
            mounts.push(json!({ "name": name, "mountPath": volume.path }));
            volumes.push(json!({ "name": name, "persistentVolumeClaim": { "claimName": format!("{}-{name}", self.name()) } }));
        }
        let image = &self.config.service(self.config.image_of(self.service)).image;
        let mut container = json!({
            "name": self.name(),
            "image": format!("{image}:set-by-pocdeploy"),
            "env": self.environment(),
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": { "drop": ["ALL"] },
            },
            "volumeMounts": mounts,
            "resources": {
                "requests": { "cpu": "100m", "memory": "128Mi", "ephemeral-storage": "16Mi" },
                "limits": { "cpu": "2", "memory": it.memory, "ephemeral-storage": "1Gi" },
            },
        });
        let whole = self.whole_secrets();
        if !whole.is_empty() {
            container["envFrom"] = json!(whole);
        }
        if let Some(command) = command {
            container["command"] = json!(command);
        }
        json!({
            "metadata": { "labels": labels },
            "spec": {
                "serviceAccountName": self.name(),
                "automountServiceAccountToken": false,
                "enableServiceLinks": false,
                "terminationGracePeriodSeconds": 30,
                "securityContext": {
                    "runAsNonRoot": true,
                    "runAsUser": USER,
                    "runAsGroup": USER,
                    "fsGroup": USER,
                    "seccompProfile": { "type": "RuntimeDefault" },
                },
                "containers": [container],
                "volumes": volumes,
            },
        })
    }
}

#[cfg(test)]
mod tests;
