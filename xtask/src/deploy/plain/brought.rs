//! Services with a `kind`: the manifests of a program of upstream's, and what the application's pods are told of it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    config::{Config, Kind, ServiceName},
    deploy::plain::{Plain, USER, controller},
};

const VALKEY: u16 = 6379;
const SMTP: u16 = 1025;
/// Mailpit's page.
const PAGE: u16 = 8025;
/// The folder of the volume, if there is one.
const DATA: &str = "/data";
/// Database 0 of a valkey is for queues; caches are told another one, because they empty theirs as a whole.
const CACHES: u8 = 1;

/// The scheme and place of a service, as clients write them.
pub fn url(kind: Kind, name: ServiceName) -> String {
    match kind {
        Kind::Valkey => format!("redis://{name}:{VALKEY}/0"),
        Kind::Mailpit => format!("smtp://{name}:{SMTP}"),
        Kind::Traefik => format!("http://{name}"),
    }
}

/// Variables of the application's pods: `NAME_URL` of each such service, and the names that frameworks use for the usual one.
pub(super) fn variables(config: &Config) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for kind in Kind::ALL {
        out.extend(config.of_kind(kind).map(|name| (super::variables::url_variable(name), url(kind, name))));
        let Some(name) = config.usual(kind) else { continue };
        let usual = match kind {
            Kind::Valkey => vec![
                ("REDIS_URL", url(kind, name)),
                ("REDIS_HOST", name.to_string()),
                ("REDIS_PORT", VALKEY.to_string()),
                ("CELERY_BROKER_URL", url(kind, name)),
                ("CACHE_URL", format!("redis://{name}:{VALKEY}/{CACHES}")),
            ],
            Kind::Mailpit => vec![
                ("SMTP_URL", url(kind, name)),
                ("SMTP_HOST", name.to_string()),
                ("SMTP_PORT", SMTP.to_string()),
                ("EMAIL_URL", url(kind, name)),
                ("EMAIL_HOST", name.to_string()),
                ("EMAIL_PORT", SMTP.to_string()),
                ("MAIL_SERVER", name.to_string()),
                ("MAIL_HOST", name.to_string()),
                ("MAIL_PORT", SMTP.to_string()),
            ],
            Kind::Traefik => Vec::new(),
        };
        out.extend(usual.into_iter().map(|(variable, value)| (variable.to_owned(), value)));
    }
    out
}

impl Plain<'_> {
    /// Every object of a service with a kind.
    pub(super) fn brought(&self, kind: Kind) -> Vec<Value> {
        if kind == Kind::Traefik {
            return self.controller(self.program(kind));
        }
        let mut out = vec![self.account(&self.name())];
        out.extend(self.claims());
        let ports = ports(kind);
        let mut policy = self.object("networking.k8s.io/v1", "NetworkPolicy", &self.name());
        let open: Vec<Value> = ports.iter().map(|(_, port)| json!({ "port": port, "protocol": "TCP" })).collect();
        policy["spec"] = json!({
            "podSelector": { "matchLabels": self.selector() },
            "policyTypes": ["Ingress"],
            "ingress": [{ "from": [{ "podSelector": {} }], "ports": open }],
        });
        let mut service = self.object("v1", "Service", &self.name());
        let named: Vec<Value> = ports.iter().map(|(name, port)| json!({ "name": name, "port": port, "targetPort": name })).collect();
        service["spec"] = json!({ "selector": self.selector(), "ports": named });
        out.extend([policy, self.program(kind), service]);
        out
    }

    /// The Deployment.
    fn program(&self, kind: Kind) -> Value {
        let config = self.config();
        let mut out = self.object("apps/v1", "Deployment", &self.name());
        let mut mounts = vec![json!({ "name": "tmp", "mountPath": "/tmp" })];
        let mut volumes = vec![json!({ "name": "tmp", "emptyDir": { "sizeLimit": "256Mi" } })];
        for name in config.volumes.keys() {
            mounts.push(json!({ "name": name, "mountPath": DATA }));
            volumes.push(json!({ "name": name, "persistentVolumeClaim": { "claimName": format!("{}-{name}", self.name()) } }));
        }
        let image = &self.config.service(self.config.image_of(self.service)).image;
        let ports: Vec<Value> =
            ports(kind).iter().map(|(name, port)| json!({ "name": name, "containerPort": port, "protocol": "TCP" })).collect();
        let mut container = json!({
            "name": self.name(),
            "image": format!("{image}:set-by-pocdeploy"),
            "ports": ports,
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": { "drop": ["ALL"] },
            },
            "volumeMounts": mounts,
            "resources": {
                "requests": { "cpu": "50m", "memory": "64Mi", "ephemeral-storage": "16Mi" },
                "limits": { "cpu": "2", "memory": config.memory, "ephemeral-storage": "1Gi" },
            },
        });
        match kind {
            Kind::Valkey => {
                container["command"] = json!(valkey(&config.memory, !config.volumes.is_empty()));
                // A server that still reads its file answers with an error, which `-e` makes an exit code.
                let asked = json!({ "command": ["valkey-cli", "-e", "ping"] });
                container["readinessProbe"] = json!({ "exec": asked, "periodSeconds": 2, "timeoutSeconds": 5, "failureThreshold": 3 });
                container["livenessProbe"] =
                    json!({ "tcpSocket": { "port": "redis" }, "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 6 });
            }
            Kind::Mailpit => {
                container["env"] = json!(self.mailpit());
                for (probe, path, period, failures) in [("readinessProbe", "/readyz", 2, 3), ("livenessProbe", "/livez", 10, 6)] {
                    let asked = json!({ "path": path, "port": "http" });
                    container[probe] =
                        json!({ "httpGet": asked, "periodSeconds": period, "timeoutSeconds": 5, "failureThreshold": failures });
                }
            }
            Kind::Traefik => self.traefik(&mut container),
        }
        out["spec"] = json!({
            "replicas": 1,
            "revisionHistoryLimit": 3,
            "progressDeadlineSeconds": 180,
            // Two of them at once would each have a part of the data.
            "strategy": { "type": "Recreate" },
            "selector": { "matchLabels": self.selector() },
            "template": {
                "metadata": { "labels": self.labels(&self.name()) },
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
            },
        });
        out
    }

    /// Mailpit's settings, then the user's. Any user and password is taken, as an application that needs them has some.
    fn mailpit(&self) -> Vec<Value> {
        let mut all = BTreeMap::from([
            ("MP_SMTP_AUTH_ACCEPT_ANY".to_owned(), "true".to_owned()),
            ("MP_SMTP_AUTH_ALLOW_INSECURE".to_owned(), "true".to_owned()),
            ("MP_DISABLE_VERSION_CHECK".to_owned(), "true".to_owned()),
        ]);
        if !self.config().volumes.is_empty() {
            all.insert("MP_DATABASE".to_owned(), format!("{DATA}/mailpit.db"));
        }
        all.extend(self.config().env.clone());
        all.into_iter().map(|(name, value)| json!({ "name": name, "value": value })).collect()
    }
}

fn ports(kind: Kind) -> &'static [(&'static str, u16)] {
    match kind {
        Kind::Valkey => &[("redis", VALKEY)],
        Kind::Mailpit => &[("http", PAGE), ("smtp", SMTP)],
        Kind::Traefik => &controller::PORTS,
    }
}

/// The server with all its settings. It refuses writes when three quarters of its memory are full: a queue must not lose entries, and a
/// container that reaches its limit would lose all of them.
fn valkey(memory: &str, is_kept: bool) -> Vec<String> {
    let (append, folder) = if is_kept { ("yes", DATA) } else { ("no", "/tmp") };
    let mut out = vec!["valkey-server", "--protected-mode", "no", "--save", "", "--appendonly", append, "--dir", folder];
    let most = bytes(memory).map(|it| (it / 4 * 3).to_string());
    if let Some(most) = &most {
        out.extend(["--maxmemory", most, "--maxmemory-policy", "noeviction"]);
    }
    out.into_iter().map(str::to_owned).collect()
}

/// The bytes of a whole quantity, such as `512Mi`; nothing for one with a fraction or an exponent.
fn bytes(quantity: &str) -> Option<u64> {
    let at = quantity.find(|it: char| !it.is_ascii_digit()).unwrap_or(quantity.len());
    let (number, unit) = quantity.split_at(at);
    let factor: u64 = match unit {
        "" => 1,
        "k" => 1000,
        "M" => 1000_u64.pow(2),
        "G" => 1000_u64.pow(3),
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config::parse(text).unwrap()
    }

    #[test]
    fn frameworks_find_the_only_one_and_of_several_the_one_with_the_usual_name() {
        let one = variables(&config("[services.redis]\nkind = \"valkey\"\n"));
        assert_eq!(one["REDIS_URL"], "redis://redis:6379/0");
        assert_eq!(one["CELERY_BROKER_URL"], "redis://redis:6379/0");
        assert_eq!(one["CACHE_URL"], "redis://redis:6379/1");
        let two = "[services.queue]\nkind = \"valkey\"\n[services.cache]\nkind = \"valkey\"\n";
        let two = variables(&config(two));
        assert_eq!((two["REDIS_HOST"].as_str(), two["QUEUE_URL"].as_str()), ("cache", "redis://queue:6379/0"));
        let none = variables(&config("[services.a]\nkind = \"valkey\"\n[services.b]\nkind = \"valkey\"\n"));
        assert_eq!(none.keys().collect::<Vec<_>>(), ["A_URL", "B_URL"]);
        let mail = variables(&config("[services.mail]\nkind = \"mailpit\"\n"));
        assert_eq!((mail["EMAIL_URL"].as_str(), mail["MAIL_URL"].as_str()), ("smtp://mail:1025", "smtp://mail:1025"));
        assert_eq!((mail["SMTP_HOST"].as_str(), mail["SMTP_PORT"].as_str()), ("mail", "1025"));
    }

    #[test]
    fn a_valkey_refuses_writes_before_its_container_is_killed() {
        let has = |memory: &str| valkey(memory, false).windows(2).find(|it| it[0] == "--maxmemory").map(|it| it[1].clone());
        assert_eq!(has("512Mi").as_deref(), Some("402653184"));
        assert_eq!(has("1G").as_deref(), Some("750000000"));
        assert_eq!(has("0.5Gi"), None);
        assert!(valkey("512Mi", false).windows(2).any(|it| it == ["--appendonly", "no"]));
        assert!(valkey("512Mi", true).windows(2).any(|it| it == ["--dir", "/data"]));
    }

    #[test]
    fn what_runs_is_restricted_and_gets_nothing_of_the_database() {
        let config = config("[services.mail]\nkind = \"mailpit\"\n[services.mail.volumes.data]\n");
        let service = ServiceName::new("mail");
        let objects = Plain { config: &config, service, database: "db", secret: "polls-app" }.objects();
        let kinds: Vec<&str> = objects.iter().map(|it| it["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["ServiceAccount", "PersistentVolumeClaim", "NetworkPolicy", "Deployment", "Service"]);
        let pod = &objects[3]["spec"]["template"]["spec"];
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"], true);
        let text = json!(objects).to_string();
        assert!(!text.contains("secretKeyRef") && !text.contains("database-client"), "{text}");
        assert!(text.contains("\"value\":\"/data/mailpit.db\""), "{text}");
    }
}
