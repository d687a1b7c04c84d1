//! What the cluster is to hold, computed from manifests and configuration before anything is applied. Applies nothing.

use anyhow::Result;
use serde_json::Value;

use crate::{
    cluster::ObjectId,
    deploy::{
        manifests,
        objects::{self, Values},
        operator, secrets,
    },
    env::Env,
    errors::{Code, Problem},
    graph::TaskId,
    images::{self, Role},
    provider::provider,
    reach::Reach,
    tasks::{image, migration_key},
};

/// The Secret with the application's secret key, under the key `secret-key`.
pub const APP_SECRET: &str = "polls-app";

/// The operator's release, in the order in which it can be applied: namespace and definitions first.
pub(super) fn operator(env: &Env) -> Result<Vec<Value>> {
    let manifest = images::operator_manifest(env, TaskId::Operator)?;
    let image = images::reference(env, TaskId::Operator, Role::Operator)?;
    let provider = provider(env)?;
    let throw_away = !provider.shortcuts().is_empty();
    let values = operator::Values {
        image: &image,
        instance: &env.instance,
        pod_security_version: &pod_security_version(env)?,
        throw_away,
        api_port_of_node: if throw_away { provider.api_port_of_each_node(env)? } else { None },
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
        let mut others = complete(env, "deploy/database", "", &provider(env)?.reach(env)?)?;
        let frontend = complete(env, "deploy/frontend", "", &provider(env)?.reach(env)?)?;
        let namespace = frontend.into_iter().find(|it| it["kind"] == "Namespace").ok_or_else(|| missing("Namespace"))?;
        let at = others.iter().position(|it| it["kind"] == "Cluster").ok_or_else(|| missing("Cluster"))?;
        let cluster = others.remove(at);
        Ok(Database { namespace, cluster, others })
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Value> {
        std::iter::once(&self.namespace).chain(&self.others).chain([&self.cluster])
    }

    /// The Secret whose password the user gave.
    pub(super) fn given_secret(&self, env: &Env) -> Result<Option<Value>> {
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
    pub(super) reach: Reach,
}

impl App {
    pub(super) fn read(env: &Env) -> Result<App> {
        let reach = provider(env)?.reach(env)?;
        let mut out = App { base: Vec::new(), migration: None, app: Vec::new(), reach };
        let image = image::current(env)?;
        for object in complete(env, "deploy/frontend", &image, &out.reach)? {
            match object["kind"].as_str().unwrap_or_default() {
                "Namespace" => {}
                "Job" => {
                    let key = migration_key::inputs(env, &object)?;
                    out.migration = Some(objects::name_by_content(object, &image, &key));
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
    let reach = provider(env)?.reach(env)?;
    let mut database = Vec::new();
    for mut object in complete(env, "deploy/database", "", &reach)? {
        if object["kind"] == "Cluster" {
            object["spec"]["imageName"] = postgresql.into();
        }
        database.push(object);
    }
    let key = secrets::generate()?;
    let secret = secrets::object(&env.config.app.namespace, APP_SECRET, "Opaque", &env.instance, &[("secret-key", key.expose())])?;
    let mut rest = vec![secret];
    for object in complete(env, "deploy/frontend", app, &reach)? {
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

/// Which `Cluster` the manifests describe.
pub fn database(env: &Env) -> Result<ObjectId> {
    ObjectId::of(&Database::read(env)?.cluster)
}

fn complete(env: &Env, folder: &str, image: &str, reach: &Reach) -> Result<Vec<Value>> {
    let postgresql = images::reference(env, TaskId::Database, Role::Postgresql)?;
    let values = Values {
        config: &env.config,
        instance: &env.instance,
        image,
        postgresql: &postgresql,
        reach,
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
