//! What the cluster is to hold, computed from manifests and configuration before anything is applied. Applies nothing.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{
    cluster::{ObjectId, kinds::is_built_in},
    config::{Secret, ServiceName},
    deploy::{
        image::PublishedImage,
        manifests::{self, Manifest},
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
    tasks::{image, migration_key},
};

pub use crate::deploy::secrets::APP_SECRET;

/// The operator's release, in the order in which it can be applied: namespace and definitions first.
pub(super) fn operator(env: &Env) -> Result<Vec<Value>> {
    // Another owner's operator serves this instance too: nothing of it is ours to apply.
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
        pull_credentials: pull.as_ref(),
        api_port_of_node: features.api_port_of_node,
    };
    operator::objects(&manifest, &values)
}

/// The database with what it needs, and the namespace that it shares with the application.
pub(super) struct Database {
    pub(super) namespace: Value,
    /// The `Cluster` of CloudNativePG.
    pub(super) cluster: Value,
    /// NetworkPolicies and the like.
    pub(super) others: Vec<Value>,
}

impl Database {
    pub(super) fn read(env: &Env) -> Result<Database> {
        let mut folders = Folders::read(env)?;
        let roles = folders.first().roles.elsewhere();
        let mut others = complete(env, None, folders.database, &roles, None, None)?;
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

    /// The Secrets whose values come from outside: the password that the user gave, and what nodes need to pull images.
    pub(super) fn given_secrets(&self, env: &Env) -> Result<Vec<Value>> {
        let pull = provider(env).pull_credentials(env)?;
        let pull = secrets::pull_secret(&env.config.namespace, &env.instance, pull.as_ref())?;
        Ok(given_secret(env, &self.cluster)?.into_iter().chain(pull).collect())
    }

    /// The same without the rest of the database.
    fn read_given_secret(env: &Env) -> Result<Option<Value>> {
        if env.config.database.password.is_none() {
            return Ok(None);
        }
        given_secret(env, &cluster_manifest(env)?)
    }
}

/// The Secret of a `Cluster` whose password the user gave.
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
    /// Definitions, classes and further namespaces: what other objects are made of, and have to be there before them.
    pub(super) first: Vec<Value>,
    /// ConfigMaps, Secrets, PVCs, accounts and the like: what pods need to start.
    pub(super) base: Vec<Value>,
    /// The Jobs that bring the database's tables to the services' versions, in the services' order: at most one of each.
    pub(super) migrations: Vec<Value>,
    /// Jobs beside the migrations.
    pub(super) jobs: Vec<Value>,
    /// Deployment, Service, Ingress and the rest.
    pub(super) app: Vec<Value>,
    /// Where the application answers; nothing as long as the cluster has not assigned an address. Settings that depend on it lack it
    /// until then.
    pub(super) address: Option<Address>,
}

/// What nothing else can do without: applied first, and definitions are waited for.
const FIRST: [&str; 10] = [
    "Namespace",
    "CustomResourceDefinition",
    "PriorityClass",
    "RuntimeClass",
    "StorageClass",
    "IngressClass",
    "GatewayClass",
    "ClusterRole",
    "ClusterRoleBinding",
    "PersistentVolume",
];

/// What pods need to start, or are to be held to from their first second.
const BASE: [&str; 9] = [
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
    pub(super) fn read(env: &Env) -> Result<App> {
        let provider = provider(env);
        let address = provider.address(env)?;
        let mut out = App { first: Vec::new(), base: Vec::new(), migrations: Vec::new(), jobs: Vec::new(), app: Vec::new(), address };
        let mut images: BTreeMap<Option<ServiceName>, PublishedImage> = BTreeMap::new();
        for service in env.config.built() {
            images.insert(service, provider.name_for_pods(env, &image::current(env, service)?)?);
        }
        for Folder { service, manifests, roles } in Folders::read(env)?.services {
            let built = env.config.image_of(service);
            let image = images.get(&built).with_context(|| format!("find the image of {}", name_of(service)))?;
            let objects = complete(env, service, manifests, &roles, Some(image), out.address.as_ref())?;
            out.take(env, built, &roles, image, objects)?;
        }
        let given = [App::given_secrets(env)?, Database::read_given_secret(env)?.into_iter().collect()].concat();
        let settings: Vec<&Value> = out.base.iter().chain(&given).collect();
        for object in &mut out.app {
            objects::follow_settings(object, &settings);
        }
        Ok(out)
    }

    /// Sorts the objects of one folder; `built` is the service that has their image.
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
                _ if is_known && FIRST.contains(&kind) => self.first.push(object),
                _ if is_known && BASE.contains(&kind) => self.base.push(object),
                _ => self.app.push(object),
            }
        }
        Ok(())
    }

    /// What a revision consists of: of Secrets the names alone.
    pub(super) fn revision(&self) -> Vec<Value> {
        self.first.iter().chain(&self.base).chain(&self.jobs).chain(&self.app).cloned().collect()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Value> {
        self.first.iter().chain(&self.base).chain(&self.migrations).chain(&self.jobs).chain(&self.app)
    }

    /// The Secrets whose keys the user gave.
    pub(super) fn given_secrets(env: &Env) -> Result<Vec<Value>> {
        let mut out = Vec::new();
        for (name, key) in key_secrets(env) {
            if let Some(key) = key {
                out.push(key_secret(env, &name, key)?);
            }
        }
        Ok(out)
    }

    /// The Secrets whose keys are generated once: of every service that has an image of its own, and no given key.
    pub(super) fn generated_secrets(env: &Env) -> Vec<ObjectId> {
        let generated = key_secrets(env).into_iter().filter(|(_, key)| key.is_none());
        generated.map(|(name, _)| ObjectId::new("v1", "Secret", &env.config.namespace, &name)).collect()
    }
}

/// The Secrets with the services' secret keys, by name, each with the key where the user gave one. A service that runs the image of
/// another has none of its own, unless its key is given: it shares that one's.
fn key_secrets(env: &Env) -> Vec<(String, Option<&Secret>)> {
    let has_one = env.config.all_services().filter(|(_, it)| it.uses.is_none() || it.secret_key.is_some());
    has_one.map(|(name, it)| (secrets::key_name(name), it.secret_key.as_ref())).collect()
}

/// The object of such a Secret.
pub(super) fn key_secret(env: &Env, name: &str, key: &Secret) -> Result<Value> {
    secrets::object(&env.config.namespace, name, "Opaque", &env.instance, &[("secret-key", key.expose())])
}

/// A service as messages name it: `frontend`, `worker`.
pub fn name_of(service: Option<ServiceName>) -> String {
    service.map_or_else(|| "frontend".to_owned(), |it| it.to_string())
}

/// Database and application as files for `kubectl apply`, with other images than ours: for whoever does without this tool.
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
    let key = secrets::generate()?;
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

/// The operator's application secret of a `Cluster`.
fn application_secret(cluster: &Value) -> String {
    format!("{}-app", cluster["metadata"]["name"].as_str().unwrap_or_default())
}

/// Where the database's credentials are, for people: the operator's name for the `Cluster` in the manifests.
pub fn credentials(env: &Env) -> Result<String> {
    Ok(application_secret(&cluster_manifest(env)?))
}

/// The `Cluster` as its manifest says.
fn cluster_manifest(env: &Env) -> Result<Value> {
    let objects = manifests::of_database(env)?;
    let is_database = |it: &Value| it["kind"] == "Cluster" && scope::group(it) == "postgresql.cnpg.io";
    Ok(objects.into_iter().map(|it| it.object).find(is_database).unwrap_or_default())
}

/// What of the application's namespace is wanted and is in no revision of the application: the database with what it needs, the
/// Secrets that the tool or the database's operator makes.
pub(super) fn besides_app(env: &Env) -> Result<Vec<ObjectId>> {
    let namespace = &env.config.namespace;
    let keys = key_secrets(env).into_iter().map(|(name, _)| name);
    let secrets = keys.chain([credentials(env)?]).map(|name| Ok(ObjectId::new("v1", "Secret", namespace, &name)));
    Database::read(env)?.all().map(ObjectId::of).chain(secrets).collect()
}

/// Which `Cluster` the manifests describe.
pub fn database(env: &Env) -> Result<ObjectId> {
    ObjectId::of(&Database::read(env)?.cluster)
}

/// An image of upstream's as pods name it: that of the registry that has it, or of what the recipes built.
pub fn upstream(env: &Env, task: TaskId, role: Role) -> Result<PublishedImage> {
    let reference = images::reference(env, task, role)?;
    match images::chosen(env, task)? {
        Chosen::Registry => Ok(PublishedImage::new(reference)),
        Chosen::Packages => provider(env).name_for_pods(env, &reference),
    }
}

/// The manifests of the database and of every service.
struct Folders {
    database: Vec<Manifest>,
    /// At least the first service's, which comes first.
    services: Vec<Folder>,
}

/// The manifests of one service, and which of them are its Deployment, its migration and its Service.
struct Folder {
    service: Option<ServiceName>,
    manifests: Vec<Manifest>,
    roles: Roles,
}

impl Folders {
    fn read(env: &Env) -> Result<Folders> {
        let database = manifests::of_database(env)?;
        let mut services: Vec<Folder> = Vec::new();
        for (service, _) in env.config.all_services() {
            let manifests = manifests::of_service(env, service)?;
            let image = &env.config.service(env.config.image_of(service)).image;
            let mut roles = Roles::of(&manifests, image, service)?;
            if let Some(first) = services.first().filter(|_| roles.home.is_empty()) {
                roles.home.clone_from(&first.roles.home);
            }
            services.push(Folder { service, manifests, roles });
        }
        let all = std::iter::once(&database).chain(services.iter().map(|it| &it.manifests));
        manifests::refuse_twins(all, &services[0].roles.home)?;
        Ok(Folders { database, services })
    }

    fn first(&self) -> &Folder {
        &self.services[0]
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
    let postgresql = upstream(env, TaskId::Database, Role::Postgresql)?;
    let exposure = provider(env).exposure(env);
    let values = Values {
        config: &env.config,
        service: env.config.service(service),
        image_name: &env.config.service(env.config.image_of(service)).image,
        instance: &env.instance,
        image,
        postgresql: &postgresql,
        exposure: &exposure,
        address,
        has_pull_secret: provider(env).pull_credentials(env)?.is_some(),
        own_credentials: env.config.database.password.is_some(),
    };
    Ok(objects::complete_all(manifests, roles, &values))
}

fn missing(what: &str) -> Problem {
    Problem::config(format!("the manifests in deploy/ hold no {what}")).code(Code::Manifest)
}

/// Pod Security's standards are versioned like Kubernetes: `v1.36`.
fn pod_security_version(env: &Env) -> Result<String> {
    let version = images::packages::versions(env)?.kubernetes;
    let mut parts = version.split('.');
    Ok(format!("v{}.{}", parts.next().unwrap_or_default(), parts.next().unwrap_or_default()))
}
