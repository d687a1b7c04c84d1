//! `Pocdeploy.toml`: its keys, their defaults, and the errors of a file.
//!
//! The file is read and checked first; all other modules get valid values only.

mod check;
mod cluster_type;
mod database;
pub mod extension;
mod form;
mod images;
mod ingress;
pub mod keys;
mod kind;
mod locate;
pub mod origin;
pub mod schema;
mod secret_source;
mod secrets;
mod service;
mod service_name;
mod source;
mod types;

use std::{collections::BTreeMap, fmt, path::Path};

use anyhow::Result;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::errors::Problem;

pub use crate::config::cluster_type::ClusterType;
pub use crate::config::database::{Backup, Database, Profile};
pub use crate::config::form::{complaint_about_instance, image_place as complaint_about_registry, major as postgresql_major, slug};
pub use crate::config::images::{Images, Source};
pub use crate::config::ingress::{Api, Controller, INGRESS, Ingress, Route, Tls};
pub use crate::config::kind::Kind;
pub use crate::config::origin::{Origin, Resolved};
pub use crate::config::secret_source::{EVERY, Origin as SecretOrigin, SecretSource};
pub use crate::config::service::{Service, Volume};
pub use crate::config::service_name::{FIRST, ServiceName, name_of, table_of};

/// The whole file. Every key has a working default.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct Config {
    /// The instance's name, used for the kind cluster, the network and the label. Default: the name of the project's folder and six hex
    /// digits of a hash of its path.
    pub name: Option<String>,
    /// The namespace of the services and their database. Default: `polls` for the example, whose `frontend.path` is the default, else the
    /// name of the project's folder; so are `frontend.image`, `frontend.host` and the names in `database`.
    pub namespace: String,
    /// The first service, which the URL leads to.
    pub frontend: Service,
    /// Further services, by name. Each has the keys of `frontend`; the defaults contain the service's name.
    pub services: BTreeMap<String, Service>,
    pub cluster: ClusterConfig,
    pub ingress: Ingress,
    pub database: Database,
    pub images: Images,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            name: None,
            namespace: "polls".to_owned(),
            frontend: Service::default(),
            services: BTreeMap::new(),
            cluster: ClusterConfig::default(),
            ingress: Ingress::default(),
            database: Database::default(),
            images: Images::default(),
        }
    }
}

/// How users reach the application, in a cluster other than kind's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Expose {
    /// A Service of type LoadBalancer. The tool waits for its address.
    LoadBalancer,
    /// A Service of type NodePort, at the address of the first ready node.
    NodePort,
    /// A Service of type ClusterIP, behind the Ingress in the manifests, at `frontend.host`.
    Ingress,
}

impl fmt::Display for Expose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Expose::LoadBalancer => "load-balancer",
            Expose::NodePort => "node-port",
            Expose::Ingress => "ingress",
        })
    }
}

impl std::str::FromStr for Expose {
    type Err = String;

    fn from_str(text: &str) -> Result<Expose, String> {
        match text {
            "load-balancer" => Ok(Expose::LoadBalancer),
            "node-port" => Ok(Expose::NodePort),
            "ingress" => Ok(Expose::Ingress),
            _ => Err("is none of load-balancer, node-port, ingress".to_owned()),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct ClusterConfig {
    /// `--type` overrides it.
    #[serde(rename = "type")]
    pub kind: ClusterType,
    /// kind: the application's port on this machine. If it is set and not free, `create` fails. Not set: 8080, or the next free port.
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
    /// kind: whether to use shortcuts that are safe only on a disposable cluster, and to start tasks before all their needs have ended.
    /// `plan` lists the shortcuts.
    pub shortcuts: bool,
    /// kind: whether the node that is built from packages enforces NetworkPolicies. kind's own node image, which registries have, always does.
    pub network_policies: bool,
    /// kind: the number of nodes besides the control plane's, at most 10; pods run there. Not set: none, and with `database.profile =
    /// "durable"` one for each instance of the database.
    #[schemars(range(max = 10))]
    pub workers: Option<u16>,
    /// existing: the kubeconfig with the context. Not set: the files in `KUBECONFIG`, else `~/.kube/config`.
    pub kubeconfig: Option<String>,
    /// existing: the context in the kubeconfig.
    pub context: Option<String>,
    /// existing: the registry to push images to, for example `registry.example.com/team`; the image `polls` becomes
    /// `registry.example.com/team/polls`. eks, aks, gke: not set, the cloud's own registry, created with the cluster.
    pub registry: Option<String>,
    /// The registry's name for the nodes, if they use another.
    pub pull_registry: Option<String>,
    /// existing, eks, aks, gke: how users reach the application's Service. Not set: load-balancer.
    pub expose: Option<Expose>,
    /// eks: the region. aks: the location. gke: the zone. Not set: the one of the cloud's command-line program.
    pub region: Option<String>,
    /// eks: the account. aks: the subscription's ID. gke: the project. Not set: the one of the cloud's command-line program; if it is set,
    /// another one is refused.
    pub account: Option<String>,
    /// eks, aks, gke: the addresses that reach the cluster's API server, for example `["192.0.2.7/32"]`. Must contain this machine's public
    /// address.
    pub allowed_cidrs: Vec<String>,
    /// eks, aks, gke: after how many days `ls` marks the cluster as expired, and `delete --expired` removes it. Nothing removes it by
    /// itself.
    #[schemars(range(min = 1, max = 365))]
    pub expires_days: u16,
    /// eks, aks, gke: where OpenTofu keeps its state: `type` and the settings of that backend, for example `s3` with `bucket`, `key` and
    /// `region`. Not set: a file in target/pocdeploy.
    pub backend: BTreeMap<String, String>,
}

impl Default for ClusterConfig {
    fn default() -> ClusterConfig {
        ClusterConfig {
            kind: ClusterType::default(),
            port: None,
            shortcuts: true,
            network_policies: true,
            workers: None,
            kubeconfig: None,
            context: None,
            registry: None,
            pull_registry: None,
            expose: None,
            region: None,
            account: None,
            allowed_cidrs: Vec::new(),
            expires_days: 3,
            backend: BTreeMap::new(),
        }
    }
}

/// The database and its owner.
/// A value that prints as `[redacted]`.
#[derive(Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub fn new(value: impl Into<String>) -> Secret {
        Secret(value.into())
    }

    /// The value. Callers pass it to the cluster only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// The file's name in the project's folder.
pub const FILE: &str = "Pocdeploy.toml";

impl Config {
    /// Reads a file, or uses the defaults if there is none; then applies environment variables. Names that are not set follow from the
    /// project's folder.
    pub fn read(path: &Path, project: &Path) -> Result<Resolved> {
        let text = source::read(path)?;
        let foreign = keys::variables().find(|it| std::env::var_os(it).is_some_and(|value| value.to_str().is_none()));
        if let Some(name) = foreign {
            return Err(all(&[format!("{name}: the variable's value is not UTF-8")]));
        }
        let names: Vec<String> = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect();
        let unknown = keys::unknown_variables(&names);
        let resolved = Config::resolve(&text, &|name| std::env::var(name).ok().filter(|it| !it.is_empty()));
        let resolved = resolved.map(|mut it| {
            it.name_after(project);
            it
        });
        match resolved {
            _ if unknown.is_empty() => resolved,
            Ok(_) => Err(all(&unknown)),
            Err(error) => Err(all(&[vec![error.to_string()], unknown].concat())),
        }
    }

    /// Parses and checks the text. The error has all mistakes with their places.
    pub fn resolve(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<Resolved> {
        let mut wrong: Vec<String> = origin::unknown(text).iter().map(|(path, at)| locate::unknown(text, path, *at)).collect();
        wrong.extend(locate::former(text, &origin::former(text)));
        let mut resolved = Resolved { origins: origin::of_file(text), ..Resolved::default() };
        let (config, of_wrong_type) = types::read(text);
        wrong.extend(of_wrong_type);
        match config {
            Some(config) => resolved.config = config,
            None => return Err(all(&wrong)),
        }
        resolved.name_services();
        for key in keys::all(&resolved.config) {
            let Some(name) = key.variable() else { continue };
            let Some(value) = variable(&name) else { continue };
            match key.set(&mut resolved.config, &value) {
                Ok(()) => {
                    resolved.origins.insert(key.path, Origin::Variable(name));
                }
                Err(why) => wrong.push(format!("{name}: {why}")),
            }
        }
        wrong.extend(resolved.without_meaning().iter().map(|it| locate::value(text, it)));
        for complaint in check::complaints(&resolved.config) {
            // It may only follow from a mistake below its key.
            if wrong.iter().any(|it| it.contains(&format!("{}.", complaint.key))) && complaint.key.contains(".secrets.") {
                continue;
            }
            wrong.push(match resolved.origin(&complaint.key) {
                Origin::Variable(name) => format!("{name}: {}", complaint.text),
                _ => locate::value(text, &complaint),
            });
        }
        if wrong.is_empty() { Ok(resolved) } else { Err(all(&wrong)) }
    }

    /// Checks a configuration that flags have changed.
    pub fn check(&self) -> Result<()> {
        let wrong: Vec<String> = check::complaints(self).iter().map(|it| format!("{}: {}", it.key, it.text)).collect();
        if wrong.is_empty() { Ok(()) } else { Err(all(&wrong)) }
    }

    /// The service with this name; `None` is the first one.
    ///
    /// # Panics Never: a [`ServiceName`] is made only from a configured service, and an unknown one gets the defaults.
    pub fn service(&self, name: Option<ServiceName>) -> &Service {
        let Some(name) = name else { return &self.frontend };
        if self.controller() == Some(name) {
            return &self.ingress.program;
        }
        self.services.get(name.as_str()).unwrap_or(&self.frontend)
    }

    /// Every service with its name; the first one has none. The Ingress controller comes last.
    pub fn all_services(&self) -> impl Iterator<Item = (Option<ServiceName>, &Service)> {
        let further = self.services.iter().filter_map(|(name, it)| Some((Some(ServiceName::new(name)?), it)));
        let controller = self.controller().map(|it| (Some(it), &self.ingress.program));
        std::iter::once((None, &self.frontend)).chain(further).chain(controller)
    }

    /// The service whose image this one runs: itself, the one in `uses`, or the first one of its kind.
    pub fn image_of(&self, name: Option<ServiceName>) -> Option<ServiceName> {
        let service = self.service(name);
        if let Some(kind) = service.kind {
            return self.of_kind(kind).next();
        }
        match service.uses.as_deref() {
            Some(used) => ServiceName::new(used).filter(|it| self.services.contains_key(it.as_str())),
            None => name,
        }
    }

    /// The services whose image is built from the application's source; the first one has no name.
    pub fn built(&self) -> impl Iterator<Item = Option<ServiceName>> {
        self.all_services().filter(|(_, it)| it.uses.is_none() && it.kind.is_none()).map(|(name, _)| name)
    }

    /// Parses the text without environment variables.
    pub fn parse(text: &str) -> Result<Config> {
        Config::resolve(text, &|_| None).map(|it| it.config)
    }
}

fn all(wrong: &[String]) -> anyhow::Error {
    Problem::config(wrong.join("\n")).hint("correct the configuration; nothing was changed").into()
}

#[cfg(test)]
mod broken;
#[cfg(test)]
mod mutated;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_not_set_follow_from_the_projects_folder_but_for_the_example() {
        let named = |text: &str, folder: &str| {
            let mut resolved = Config::resolve(text, &|_| None).unwrap();
            resolved.name_after(Path::new(folder));
            let Config { namespace, frontend, database, .. } = resolved.config;
            [namespace, frontend.image, frontend.host, database.name, database.user].join(" ")
        };
        let own = "[frontend]\npath = \".\"\nimage = \"own\"\n";
        assert_eq!(named(own, "/x/My Shop 2"), "my-shop-2 own my-shop-2.localhost my_shop_2 my_shop_2");
        assert_eq!(named("[frontend]\npath = \"src\"\n", "/x/2-3"), "app app app.localhost app app");
        assert_eq!(named("", "/x/shop"), "polls polls polls.localhost polls polls");
    }

    #[test]
    fn a_secret_never_prints() {
        let config = Config::parse(
            "[database]\npassword = \"canary-4711\"\n[frontend]\nsecret_key = \"canary-4711-canary-4711-canary-4711-canary-4711-canary\"\n",
        )
        .unwrap();
        assert!(!format!("{config:?}").contains("canary"));
    }

    #[test]
    fn the_environment_goes_before_the_file_and_both_are_named() {
        let variable = |name: &str| (name == "POCDEPLOY_CLUSTER_PORT").then(|| "9000".to_owned());
        let resolved = Config::resolve("name = \"x\"\n[cluster]\nport = 8081\n", &variable).unwrap();
        assert_eq!(resolved.config.cluster.port, Some(9000));
        assert_eq!(resolved.origin("cluster.port"), &Origin::Variable("POCDEPLOY_CLUSTER_PORT".to_owned()));
        assert_eq!(resolved.origin("name"), &Origin::File { line: 1 });
        assert_eq!(resolved.origin("frontend.page"), &Origin::Default);
    }

    #[test]
    fn all_that_is_wrong_comes_in_one_report() {
        let variable = |name: &str| (name == "POCDEPLOY_FRONTEND_REPLICAS").then(|| "0".to_owned());
        let error = Config::resolve("naem = 1\n[database]\nstorage = \"lots\"\n", &variable).unwrap_err().to_string();
        assert!(error.contains("Pocdeploy.toml:1:1: unknown key `naem`; did you mean `name`?"), "{error}");
        assert!(error.contains("Pocdeploy.toml:3:1: database.storage: `lots`"), "{error}");
        assert!(error.contains("POCDEPLOY_FRONTEND_REPLICAS: must be between 1 and 50"), "{error}");
    }

    #[test]
    fn an_empty_file_is_the_defaults() {
        assert_eq!(Config::parse("").unwrap(), Config::default());
    }
}
