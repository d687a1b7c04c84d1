//! What the cluster is to hold, computed from manifests and configuration before anything is applied. Applies nothing.

use anyhow::Result;
use serde_json::Value;

use crate::{
    cluster::ObjectId,
    deploy::{
        image::PublishedImage,
        manifests,
        objects::{self, Values},
        operator, secrets,
    },
    env::Env,
    errors::{Code, Problem},
    exposure::Address,
    graph::TaskId,
    images::{self, Chosen, Role},
    provider::provider,
    tasks::{image, migration_key},
};

/// The Secret with the application's secret key, under the key `secret-key`.
pub const APP_SECRET: &str = "polls-app";

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
        let mut others = complete(env, "deploy/database", None, None)?;
        let frontend = complete(env, "deploy/frontend", None, None)?;
        let namespace = frontend.into_iter().find(|it| it["kind"] == "Namespace").ok_or_else(|| missing("Namespace"))?;
        let at = others.iter().position(|it| it["kind"] == "Cluster").ok_or_else(|| missing("Cluster"))?;
        let cluster = others.remove(at);
        Ok(Database { namespace, cluster, others })
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Value> {
        std::iter::once(&self.namespace).chain(&self.others).chain([&self.cluster])
    }

    /// The Secrets whose values come from outside: the password that the user gave, and what nodes need to pull images.
    pub(super) fn given_secrets(&self, env: &Env) -> Result<Vec<Value>> {
        let pull = provider(env).pull_credentials(env)?;
        let pull = secrets::pull_secret(&env.config.app.namespace, &env.instance, pull.as_ref())?;
        Ok(self.password(env)?.into_iter().chain(pull).collect())
    }

    fn password(&self, env: &Env) -> Result<Option<Value>> {
        let database = &env.config.database;
        let Some(password) = &database.password else { return Ok(None) };
        let host = format!("{}-rw", self.cluster["metadata"]["name"].as_str().unwrap_or_default());
        let entries = [
            ("username", database.user.as_str()),
            ("password", password.expose()),
            ("dbname", database.name.as_str()),
            ("host", host.as_str()),
            ("port", "5432"),
        ];
        let name = application_secret(&self.cluster);
        secrets::object(&env.config.app.namespace, &name, "kubernetes.io/basic-auth", &env.instance, &entries).map(Some)
    }
}

/// The application with its migration.
pub(super) struct App {
    /// ConfigMap, ServiceAccount and the like: what pods need to start.
    pub(super) base: Vec<Value>,
    pub(super) migration: Option<Value>,
    /// Deployment, Service, Ingress and the rest.
    pub(super) app: Vec<Value>,
    /// The application's image in all of them.
    pub(super) image: PublishedImage,
    /// Where the application answers; nothing as long as the cluster has not assigned an address. Settings that depend on it lack it
    /// until then.
    pub(super) address: Option<Address>,
}

impl App {
    pub(super) fn read(env: &Env) -> Result<App> {
        let provider = provider(env);
        let (address, image) = (provider.address(env)?, provider.name_for_pods(env, &image::current(env)?)?);
        let mut out = App { base: Vec::new(), migration: None, app: Vec::new(), image, address };
        for object in complete(env, "deploy/frontend", Some(&out.image), out.address.as_ref())? {
            match object["kind"].as_str().unwrap_or_default() {
                "Namespace" => {}
                "Job" => {
                    let key = migration_key::inputs(env, &object)?;
                    out.migration = Some(objects::name_by_content(object, out.image.as_str(), &key));
                }
                "ConfigMap" | "ServiceAccount" | "NetworkPolicy" | "Role" | "RoleBinding" => out.base.push(object),
                _ => out.app.push(object),
            }
        }
        for object in out.app.iter_mut().filter(|it| it["kind"] == "Deployment") {
            objects::follow_settings(object, &out.base);
        }
        Ok(out)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Value> {
        self.base.iter().chain(&self.migration).chain(&self.app)
    }

    /// The Secret whose key the user gave.
    pub(super) fn given_secret(env: &Env) -> Result<Option<Value>> {
        let Some(key) = &env.config.app.secret_key else { return Ok(None) };
        secrets::object(&env.config.app.namespace, APP_SECRET, "Opaque", &env.instance, &[("secret-key", key.expose())]).map(Some)
    }
}

/// Database and application as files for `kubectl apply`, with other images than ours: for whoever does without this tool.
pub fn plain(env: &Env, app: &str, postgresql: &str) -> Result<(Vec<Value>, Vec<Value>)> {
    let address = provider(env).address(env)?;
    let mut database = Vec::new();
    for mut object in complete(env, "deploy/database", None, None)? {
        if object["kind"] == "Cluster" {
            object["spec"]["imageName"] = postgresql.into();
        }
        database.push(object);
    }
    let key = secrets::generate()?;
    let secret = secrets::object(&env.config.app.namespace, APP_SECRET, "Opaque", &env.instance, &[("secret-key", key.expose())])?;
    let mut rest = vec![secret];
    for object in complete(env, "deploy/frontend", Some(&PublishedImage::new(app)), address.as_ref())? {
        if object["kind"] == "Namespace" {
            database.insert(0, object);
        } else {
            rest.push(object);
        }
    }
    Ok((database, rest))
}

/// The operator's application secret of a `Cluster`.
fn application_secret(cluster: &Value) -> String {
    format!("{}-app", cluster["metadata"]["name"].as_str().unwrap_or_default())
}

/// Where the database's credentials are, for people: the operator's name for the `Cluster` in the manifests.
pub fn credentials(env: &Env) -> Result<String> {
    let objects = manifests::read_folder(&env.files.folder("deploy/database")?)?;
    let cluster = objects.into_iter().find(|it| it["kind"] == "Cluster").unwrap_or_default();
    Ok(application_secret(&cluster))
}

/// What of the application's namespace is wanted and is in no revision of the application: the database with what it needs, the
/// Secrets that the tool or the database's operator makes.
pub(super) fn besides_app(env: &Env) -> Result<Vec<ObjectId>> {
    let namespace = &env.config.app.namespace;
    let secrets = [APP_SECRET.to_owned(), credentials(env)?].map(|name| Ok(ObjectId::new("v1", "Secret", namespace, &name)));
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

fn complete(env: &Env, folder: &str, image: Option<&PublishedImage>, address: Option<&Address>) -> Result<Vec<Value>> {
    let postgresql = upstream(env, TaskId::Database, Role::Postgresql)?;
    let exposure = provider(env).exposure(env);
    let values = Values {
        config: &env.config,
        instance: &env.instance,
        image,
        postgresql: &postgresql,
        exposure: &exposure,
        address,
        has_pull_secret: provider(env).pull_credentials(env)?.is_some(),
        own_credentials: env.config.database.password.is_some(),
    };
    Ok(objects::complete_all(manifests::read_folder(&env.files.folder(folder)?)?, &values))
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
