//! Everything that the deployment consists of, computed from manifests and configuration before anything is applied.

use anyhow::Result;
use serde_json::Value;

use crate::{
    deploy::{
        manifests,
        objects::{self, Values},
        operator,
    },
    env::Env,
    errors::Problem,
    images::{self, Role},
    provider::provider,
    reach::Reach,
    tasks::{deploy::ID, image},
};

/// Everything that the deployment consists of, computed before anything is applied.
pub(super) struct Wanted {
    pub(super) namespace: Value,
    pub(super) operator: Vec<Value>,
    /// The `Cluster` of CloudNativePG.
    pub(super) database: Value,
    /// ConfigMap, ServiceAccount and the like: what pods need to start.
    pub(super) base: Vec<Value>,
    pub(super) migration: Option<Value>,
    /// Deployment, Service, Ingress and the rest.
    pub(super) app: Vec<Value>,
    /// The image as the engine names it.
    pub(super) image: String,
    pub(super) reach: Reach,
}

impl Wanted {
    pub(super) fn read(env: &Env) -> Result<Wanted> {
        let reach = provider(env)?.reach(env)?;
        let image = image::current(env)?;
        let postgresql = images::reference(env, ID, Role::Postgresql)?;
        let values = Values {
            config: &env.config,
            instance: &env.instance,
            image: &image,
            postgresql: &postgresql,
            reach: &reach,
            own_credentials: env.config.database.password.is_some(),
        };
        let security = pod_security_version(env)?;
        let manifest = images::operator_manifest(env, ID)?;
        let operator = operator::objects(&manifest, &images::reference(env, ID, Role::Operator)?, &env.instance, &security)?;
        let mut namespace = None;
        let mut database = None;
        let mut migration = None;
        let (mut base, mut app) = (Vec::new(), Vec::new());
        for folder in ["deploy/database", "deploy/frontend"] {
            for object in manifests::read_folder(&env.path(folder))? {
                let object = objects::complete(object, &values);
                match object["kind"].as_str().unwrap_or_default() {
                    "Namespace" => namespace = Some(object),
                    "Cluster" => database = Some(object),
                    "Job" => migration = Some(objects::name_by_content(object)),
                    "ConfigMap" | "ServiceAccount" | "NetworkPolicy" | "Role" | "RoleBinding" => base.push(object),
                    _ => app.push(object),
                }
            }
        }
        for object in app.iter_mut().filter(|it| it["kind"] == "Deployment") {
            objects::follow_settings(object, &base);
        }
        let missing = |what: &str| Problem::config(format!("the manifests in deploy/ hold no {what}"));
        Ok(Wanted {
            namespace: namespace.ok_or_else(|| missing("Namespace"))?,
            operator,
            database: database.ok_or_else(|| missing("Cluster"))?,
            base,
            migration,
            app,
            image,
            reach,
        })
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Value> {
        // Of the operator's objects its Deployment speaks for all: it crashes without the others.
        let operator = self.operator.iter().filter(|it| it["kind"] == "Deployment");
        std::iter::once(&self.namespace).chain(operator).chain([&self.database]).chain(&self.base).chain(&self.migration).chain(&self.app)
    }
}

/// Pod Security's standards are versioned like Kubernetes: `v1.36`.
fn pod_security_version(env: &Env) -> Result<String> {
    let version = images::packages::versions(env)?.kubernetes;
    let mut parts = version.split('.');
    Ok(format!("v{}.{}", parts.next().unwrap_or_default(), parts.next().unwrap_or_default()))
}
