//! A service: `[frontend]`, or `[services.NAME]` with defaults that contain the name.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::{Kind, Secret, SecretSource};

/// A service of the application: its source, patches and image, and how it runs.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct Service {
    /// `[services.NAME]` only: the service whose image this one runs; then it needs no source, no patches and no Dockerfile. `frontend`, or
    /// the name of a service with its own image.
    pub uses: Option<String>,
    /// `[services.NAME]` only: a program that the tool brings: `valkey`, a cache and queue with Redis' protocol, or `mailpit`, which catches
    /// all mail. Of the other keys only `memory` and `[….volumes.NAME]`, and for mailpit `[….env]`, have a meaning then.
    pub kind: Option<Kind>,
    /// The application's source. The tool never changes it.
    pub path: PathBuf,
    /// Patches in git format, applied in the order of their names. The folder may be empty or missing.
    pub patch_dir: PathBuf,
    pub dockerfile: PathBuf,
    /// The file in the repository with the pinned requirements.
    pub requirements: PathBuf,
    /// The package of an imported module that the tool does not know: `environ = "django-environ"`; "" for none.
    pub packages: BTreeMap<String, String>,
    /// Dependency groups and extras of pyproject.toml or a lock, in addition to the main dependencies.
    pub groups: Vec<String>,
    /// The image's name without a tag.
    pub image: String,
    /// The image's tag.
    pub version: String,
    /// Whether `RUN` steps of the Dockerfile have a network. The example's Dockerfile needs none.
    pub build_network: bool,
    /// The number of pods of the service's Deployment, unless a HorizontalPodAutoscaler in the manifests decides it.
    #[schemars(range(min = 1, max = 50))]
    pub replicas: u16,
    /// The value of `secret-key` in the service's Secret: `frontend-app` for the first one, `NAME-app` for others. Not set: generated once,
    /// and stored only in the cluster. `POCDEPLOY_SECRET_KEY` overrides it for the first service.
    pub secret_key: Option<Secret>,
    /// The host name of the service's Ingress.
    pub host: String,
    /// `[services.NAME]` only: where the Ingress leads to the service: a path of `frontend.host` (`/api`), a host (`admin.shop.localhost`), or
    /// both. The path is not taken off the request. Not set: only pods of the namespace reach the service.
    pub route: Option<String>,
    /// The page that must answer 200. Not set for a further service: its pods must only be ready.
    pub page: String,
    /// The port that the container listens on; the container gets it as `PORT`. Not set: 8000 for the first service, none for others. This key
    /// and those below it apply to manifests that the tool writes, see docs/contract.md.
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
    /// The path of the readiness and liveness probes. Not set: the probes open a TCP connection.
    pub health: Option<String>,
    /// The container's command, word by word. Not set: the image's own.
    pub command: Option<Vec<String>>,
    /// The command of a Job that migrates the database, which ends before new pods start. Not set: no Job.
    pub migrate: Option<Vec<String>>,
    /// The schedule of a CronJob, such as `0 3 * * *`. Not set: a Deployment.
    pub schedule: Option<String>,
    /// The memory limit of a pod, as a Kubernetes quantity.
    pub memory: String,
    /// Writable folders (emptyDir) of each pod, in addition to `/tmp`. The rest of the root file system is read-only.
    pub writable: Vec<String>,
    /// Further environment variables. `$(NAME)` is replaced by a variable of docs/contract.md: `DB_HOST = "$(PGHOST)"`.
    pub env: BTreeMap<String, String>,
    /// Environment variables whose values are secret, each with its source; `"*"` stands for all keys of a SOPS file.
    pub secrets: BTreeMap<String, SecretSource>,
    /// Persistent folders by name, each a PVC.
    pub volumes: BTreeMap<String, Volume>,
    /// Text that `validate` looks for in the page. Not set: `validate` checks the status 200 only.
    pub text: String,
}

/// A folder of a service whose content stays when its pods are replaced.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Volume {
    /// The mount path in the container. A service with a `kind` has a fixed one.
    #[serde(default)]
    pub path: String,
    /// The size of the PVC, as a Kubernetes quantity.
    #[serde(default = "Volume::size")]
    pub size: String,
}

impl Volume {
    fn size() -> String {
        "1Gi".to_owned()
    }
}

impl Default for Service {
    fn default() -> Service {
        Service {
            uses: None,
            kind: None,
            path: "third_party/django-polls".into(),
            patch_dir: "build/patches".into(),
            dockerfile: "build/Dockerfile.frontend".into(),
            requirements: "build/requirements.txt".into(),
            packages: BTreeMap::new(),
            groups: Vec::new(),
            image: "polls".to_owned(),
            version: "1.0.0".to_owned(),
            build_network: false,
            replicas: 2,
            secret_key: None,
            host: "polls.localhost".to_owned(),
            route: None,
            page: "/".to_owned(),
            text: String::new(),
            port: None,
            health: None,
            command: None,
            migrate: None,
            schedule: None,
            memory: "512Mi".to_owned(),
            writable: Vec::new(),
            env: BTreeMap::new(),
            secrets: BTreeMap::new(),
            volumes: BTreeMap::new(),
        }
    }
}

impl Service {
    /// The keys that are set and that apply only to manifests that the tool writes.
    pub fn for_plain_manifests(&self) -> Vec<&'static str> {
        let set = [
            ("kind", self.kind.is_some()),
            ("route", self.route.is_some()),
            ("port", self.port.is_some()),
            ("health", self.health.is_some()),
            ("command", self.command.is_some()),
            ("migrate", self.migrate.is_some()),
            ("schedule", self.schedule.is_some()),
            ("memory", self.memory != Service::default().memory),
            ("writable", !self.writable.is_empty()),
            ("env", !self.env.is_empty()),
            ("secrets", !self.secrets.is_empty()),
            ("volumes", !self.volumes.is_empty()),
        ];
        set.into_iter().filter(|(_, it)| *it).map(|(key, _)| key).collect()
    }

    /// The host and the path of `route`; `first` is the host of the first service.
    pub fn route(&self, first: &str) -> Option<(String, String)> {
        let route = self.route.as_deref()?;
        let at = route.find('/').unwrap_or(route.len());
        let (host, path) = route.split_at(at);
        Some((if host.is_empty() { first } else { host }.to_owned(), if path.is_empty() { "/" } else { path }.to_owned()))
    }

    /// The defaults of `[services.NAME]`: paths with the service's name, one pod, no page.
    pub fn named(name: &str) -> Service {
        Service {
            path: format!("third_party/{name}").into(),
            patch_dir: format!("build/patches-{name}").into(),
            dockerfile: format!("build/Dockerfile.{name}").into(),
            requirements: format!("build/requirements-{name}.txt").into(),
            image: name.to_owned(),
            replicas: 1,
            host: format!("{name}.localhost"),
            page: String::new(),
            ..Service::default()
        }
    }
}
