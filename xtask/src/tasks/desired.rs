//! The desired objects of the cluster, computed from manifests and configuration. Applies nothing.

mod folders;

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{
    cluster::{ObjectId, kinds::is_built_in},
    config::{ServiceName, name_of},
    deploy::{
        folder, front_door,
        image::PublishedImage,
        manifests::Manifest,
        objects::{self, Values},
        operator,
        roles::Roles,
        scope, secrets,
    },
    env::Env,
    errors::{Code, Problem},
    exposure::Address,
    graph::TaskId,
    images::{self, Chosen, Role},
    provider::provider,
    tasks::{
        brought, certificate, migration_key,
        service_secrets::{self, ValuesFrom, key_secret, key_secrets},
    },
};

pub(super) use crate::tasks::desired::folders::{Folder, Folders};

pub use crate::deploy::secrets::APP_SECRET;

/// The operator's release in the order of application: namespace and CRDs first.
pub(super) fn operator(env: &Env) -> Result<Vec<Value>> {
    // This instance uses another owner's operator, so nothing of it is ours to apply.
    if provider(env).operator_of_others(env)?.is_some() {
        return Ok(Vec::new());
    }
    let manifest = images::operator_manifest(env, TaskId::Operator)?;
    let image = upstream(env, TaskId::Operator, Role::Operator)?;
    let features = provider(env).features(env);
    let pull = provider(env).pull_credentials(env)?;
    let values = operator::Values {
        image: &image,
        instance: &env.instance,
        pod_security_version: &pod_security_version(env)?,
        throw_away: features.throw_away,
        early_taints: features.early_taints,
        on_control_plane: features.has_workers,
        pull_credentials: pull.as_ref(),
        api_port_of_node: features.api_port_of_node,
    };
    let definitions = if env.config.has_gateway() { images::gateway_definitions(env, TaskId::Operator)? } else { Vec::new() };
    operator::objects(&manifest, definitions, &values)
}

/// The database's objects, and the namespace that it shares with the application.
pub(super) struct Database {
    pub(super) namespace: Value,
    /// CloudNativePG's `Cluster`.
    pub(super) cluster: Value,
    /// NetworkPolicies and the like.
    pub(super) others: Vec<Value>,
}

impl Database {
    pub(super) fn read(env: &Env) -> Result<Database> {
        let mut folders = Folders::read(env)?;
        let roles = folders.first().roles.elsewhere();
        let room = folders.room(env);
        let mut others = complete(env, None, folders.database, &roles, None, None)?;
        others.iter_mut().for_each(|it| room.divide(it));
        let Folder { manifests, roles, .. } = folders.services.swap_remove(0);
        let frontend = complete(env, None, manifests, &roles, None, None)?;
        let is_home = |it: &Value| it["kind"] == "Namespace" && it["metadata"]["name"] == env.config.namespace.as_str();
        let namespace = frontend.into_iter().find(is_home).ok_or_else(|| missing("Namespace"))?;
        let is_database = |it: &Value| it["kind"] == "Cluster" && scope::group(it) == "postgresql.cnpg.io";
        let at = others.iter().position(is_database).ok_or_else(|| missing("Cluster"))?;
        let cluster = others.remove(at);
        Ok(Database { namespace, cluster, others })
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Value> {
        std::iter::once(&self.namespace).chain(&self.others).chain([&self.cluster])
    }

    /// The Secrets with given values: the user's password, and the credentials to pull images.
    pub(super) fn given_secrets(&self, env: &Env) -> Result<Vec<Value>> {
        let pull = provider(env).pull_credentials(env)?;
        let pull = secrets::pull_secret(&env.config.namespace, &env.instance, pull.as_ref())?;
        Ok(given_secret(env, &self.cluster)?.into_iter().chain(pull).collect())
    }

    /// The Secret with the user's password, without reading the rest of the database's objects.
    fn read_given_secret(env: &Env) -> Result<Option<Value>> {
        if env.config.database.password.is_none() {
            return Ok(None);
        }
        given_secret(env, &cluster_manifest(env)?)
    }
}

/// The Secret of a `Cluster` with the user's password.
fn given_secret(env: &Env, cluster: &Value) -> Result<Option<Value>> {
    let database = &env.config.database;
    let Some(password) = &database.password else { return Ok(None) };
    let host = format!("{}-rw", cluster["metadata"]["name"].as_str().unwrap_or_default());
    let uri = secrets::database_uri(database, password, &format!("{host}.{}", env.config.namespace));
    let entries = [
        ("uri", uri.as_str()),
        ("username", database.user.as_str()),
        ("password", password.expose()),
        ("dbname", database.name.as_str()),
        ("host", host.as_str()),
        ("port", "5432"),
    ];
    let name = application_secret(cluster);
    secrets::object(&env.config.namespace, &name, "kubernetes.io/basic-auth", &env.instance, &entries).map(Some)
}

/// The application: every service with its migration.
pub(super) struct App {
    /// CRDs, classes and further namespaces, which other objects need.
    pub(super) first: Vec<Value>,
    /// ConfigMaps, Secrets, PVCs, ServiceAccounts and the like, which pods need to start.
    pub(super) base: Vec<Value>,
    /// The migration Jobs in the order of the services, at most one of each.
    pub(super) migrations: Vec<Value>,
    /// Jobs other than the migrations.
    pub(super) jobs: Vec<Value>,
    /// Deployment, Service, Ingress and the rest.
    pub(super) app: Vec<Value>,
    /// The application's address; `None` until the cluster has assigned it. Settings that contain it are incomplete until then.
    pub(super) address: Option<Address>,
}

/// Kinds that others need: applied first; the tool waits for CRDs.
pub(super) const FIRST: [&str; 11] = [
    "Namespace",
    "CustomResourceDefinition",
    "PriorityClass",
    "RuntimeClass",
    "StorageClass",
    "IngressClass",
    "IngressClassParams", // EKS refuses an Ingress before them
    "GatewayClass",
    "ClusterRole",
    "ClusterRoleBinding",
    "PersistentVolume",
];

/// Kinds that pods need to start, or that restrict them from the start.
pub(super) const BASE: [&str; 9] = [
    "ConfigMap",
    "Secret",
    "PersistentVolumeClaim",
    "ServiceAccount",
    "NetworkPolicy",
    "Role",
    "RoleBinding",
    "LimitRange",
    "ResourceQuota",
];

impl App {
    /// With the values of `[….secrets]` from their sources.
    pub(super) fn read(env: &Env) -> Result<App> {
        App::read_from(env, ValuesFrom::Sources)
    }

    pub(super) fn read_from(env: &Env, from: ValuesFrom) -> Result<App> {
        let address = provider(env).address(env)?;
        let mut out = App { first: Vec::new(), base: Vec::new(), migrations: Vec::new(), jobs: Vec::new(), app: Vec::new(), address };
        let mut images: BTreeMap<Option<ServiceName>, PublishedImage> = BTreeMap::new();
        for service in env.config.built() {
            images.insert(service, brought::name_for_pods(env, service)?);
        }
        for service in env.config.brought() {
            images.insert(Some(service), brought::name_for_pods(env, Some(service))?);
        }
        let folders = Folders::read(env)?;
        let room = folders.room(env);
        for Folder { service, manifests, roles } in folders.services {
            let built = env.config.image_of(service);
            let image = images.get(&built).with_context(|| format!("find the image of {}", name_of(service)))?;
            let mut objects = complete(env, service, manifests, &roles, Some(image), out.address.as_ref())?;
            objects.iter_mut().for_each(|it| room.divide(it));
            out.take(env, built, &roles, image, objects)?;
        }
        out.base.extend(service_secrets::objects(env, from)?);
        let given = [App::given_secrets(env)?, Database::read_given_secret(env)?.into_iter().collect()].concat();
        let settings: Vec<&Value> = out.base.iter().chain(&given).collect();
        for object in &mut out.app {
            objects::follow_settings(object, &settings);
        }
        Ok(out)
    }

    /// Sorts the objects of a folder; `built` is the service with their image.
    fn take(&mut self, env: &Env, built: Option<ServiceName>, roles: &Roles, image: &PublishedImage, objects: Vec<Value>) -> Result<()> {
        let home = env.config.namespace.as_str();
        for (index, mut object) in objects.into_iter().enumerate() {
            let kind = object["kind"].as_str().unwrap_or_default();
            let is_known = is_built_in(scope::group(&object));
            match kind {
                "Namespace" if object["metadata"]["name"] == home => {}
                "Job" if roles.migration == Some(index) => {
                    let key = migration_key::inputs(env, built, &object)?;
                    self.migrations.push(objects::name_by_content(object, image.as_str(), &key));
                }
                "Job" if is_known => {
                    objects::sign_job(&mut object, image.as_str());
                    self.jobs.push(object);
                }
                _ if (is_known || kind == "IngressClassParams") && FIRST.contains(&kind) => self.first.push(object),
                _ if is_known && BASE.contains(&kind) => self.base.push(object),
                _ => self.app.push(object),
            }
        }
        Ok(())
    }

    /// The objects of a revision; Secrets by name only.
    pub(super) fn revision(&self) -> Vec<Value> {
        self.first.iter().chain(&self.base).chain(&self.jobs).chain(&self.app).cloned().collect()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Value> {
        self.first.iter().chain(&self.base).chain(&self.migrations).chain(&self.jobs).chain(&self.app)
    }

    /// The objects of further services, other than those that pods need to start, by their label.
    pub(super) fn of_services(&self, services: &[ServiceName]) -> impl Iterator<Item = &Value> {
        self.app.iter().filter(|it| {
            let label = it.pointer("/metadata/labels/app.kubernetes.io~1name").and_then(Value::as_str);
            services.iter().any(|service| label == Some(service.as_str()))
        })
    }

    /// The Secrets with keys that the user has set.
    pub(super) fn given_secrets(env: &Env) -> Result<Vec<Value>> {
        let mut out = Vec::new();
        for (name, key) in key_secrets(env) {
            if let Some(key) = key {
                out.push(key_secret(env, &name, key)?);
            }
        }
        Ok(out)
    }

    /// The Secrets with generated keys: of every service with its own image and without a given key.
    pub(super) fn generated_secrets(env: &Env) -> Vec<ObjectId> {
        let generated = key_secrets(env).into_iter().filter(|(_, key)| key.is_none());
        generated.map(|(name, _)| ObjectId::new("v1", "Secret", &env.config.namespace, &name)).collect()
    }
}

/// Database and application as files for `kubectl apply` with other images, for use without this tool.
pub fn plain(env: &Env, app: &str, postgresql: &str) -> Result<(Vec<Value>, Vec<Value>)> {
    let address = provider(env).address(env)?;
    let mut folders = Folders::read(env)?;
    let roles = folders.first().roles.elsewhere();
    let mut database = Vec::new();
    for mut object in complete(env, None, folders.database, &roles, None, None)? {
        if object["kind"] == "Cluster" {
            object["spec"]["imageName"] = postgresql.into();
        }
        database.push(object);
    }
    let key = secrets::generate(secrets::KEY_LENGTH)?;
    let mut rest = vec![key_secret(env, APP_SECRET, &key)?];
    let Folder { manifests, roles, .. } = folders.services.swap_remove(0);
    for object in complete(env, None, manifests, &roles, Some(&PublishedImage::new(app)), address.as_ref())? {
        if object["kind"] == "Namespace" {
            database.insert(0, object);
        } else {
            rest.push(object);
        }
    }
    Ok((database, rest))
}

/// Refuses manifests that cannot be applied, before anything is made.
pub fn refuse_manifests(env: &Env) -> Result<()> {
    Folders::read(env).map(drop)
}

/// The name of the application Secret that the operator creates for a `Cluster`.
fn application_secret(cluster: &Value) -> String {
    format!("{}-app", cluster["metadata"]["name"].as_str().unwrap_or_default())
}

/// The name of the Secret with the database's credentials, for messages.
pub fn credentials(env: &Env) -> Result<String> {
    Ok(application_secret(&cluster_manifest(env)?))
}

/// The `Cluster` in the manifests.
fn cluster_manifest(env: &Env) -> Result<Value> {
    let objects = folder::of_database(env)?;
    let is_database = |it: &Value| it["kind"] == "Cluster" && scope::group(it) == "postgresql.cnpg.io";
    Ok(objects.into_iter().map(|it| it.object).find(is_database).unwrap_or_default())
}

/// The desired objects in the application's namespace that belong to no revision: the database's, and the Secrets of the tool and the
/// operator.
pub(super) fn besides_app(env: &Env) -> Result<Vec<ObjectId>> {
    let namespace = &env.config.namespace;
    let keys = key_secrets(env).into_iter().map(|(name, _)| name);
    let secrets = keys.chain([credentials(env)?]).map(|name| Ok(ObjectId::new("v1", "Secret", namespace, &name)));
    let certificate = certificate::id(env).map(Ok);
    Database::read(env)?.all().map(ObjectId::of).chain(secrets).chain(certificate).collect()
}

/// The id of the `Cluster` in the manifests.
pub fn database(env: &Env) -> Result<ObjectId> {
    ObjectId::of(&Database::read(env)?.cluster)
}

/// The name of an upstream image for pods: the registry's, or that of the image from packages.
pub fn upstream(env: &Env, task: TaskId, role: Role) -> Result<PublishedImage> {
    let reference = images::reference(env, task, role)?;
    match images::chosen(env, task)? {
        Chosen::Registry => Ok(PublishedImage::new(reference)),
        Chosen::Packages => provider(env).name_for_pods(env, &reference),
    }
}

fn complete(
    env: &Env,
    service: Option<ServiceName>,
    manifests: Vec<Manifest>,
    roles: &Roles,
    image: Option<&PublishedImage>,
    address: Option<&Address>,
) -> Result<Vec<Value>> {
    let exposure = provider(env).exposure(env);
    let values = Values {
        config: &env.config,
        service: env.config.service(service),
        image_name: &env.config.service(env.config.image_of(service)).image,
        instance: &env.instance,
        image,
        postgresql: &upstream(env, TaskId::Database, Role::Postgresql)?,
        exposure: &exposure,
        address,
        has_pull_secret: provider(env).pull_credentials(env)?.is_some(),
        own_credentials: env.config.database.password.is_some(),
    };
    let probe = objects::probe(&manifests, roles);
    let mut all = objects::complete_all(manifests, roles, &values);
    if service.is_none() && image.is_some() {
        all.extend(front_door::objects(&env.config, &env.instance, &exposure.front.tags, probe.as_deref()));
    }
    folder::with_routes(env, all)
}

fn missing(what: &str) -> Problem {
    Problem::config(format!("the manifests in deploy/ hold no {what}")).code(Code::Manifest)
}

/// Kubernetes' version for the Pod Security standard: `v1.36`.
pub(super) fn pod_security_version(env: &Env) -> Result<String> {
    let version = images::packages::versions(env)?.kubernetes;
    let mut parts = version.split('.');
    Ok(format!("v{}.{}", parts.next().unwrap_or_default(), parts.next().unwrap_or_default()))
}
