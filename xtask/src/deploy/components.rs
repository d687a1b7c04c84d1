//! The components of a deployment, and the labels of their pods, read from the manifests without asking the cluster.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::{Map, Value};

use crate::{
    config::ServiceName,
    deploy::{folder, manifests::Manifest, operator, roles::Roles},
    env::Env,
    errors::Problem,
};

/// The pods of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// `app`, `migration`, `database`, `operator`, or the name of a further service.
    pub name: String,
    pub namespace: String,
    /// `name=value,…`.
    pub selector: String,
    /// The main container.
    pub container: String,
}

impl Component {
    /// Its pods among the pods of all components, by namespace.
    pub fn of<'a>(&'a self, pods: &'a BTreeMap<&str, Vec<Value>>) -> Vec<&'a Value> {
        pods.get(self.namespace.as_str()).into_iter().flatten().filter(|it| self.selects(it)).collect()
    }

    /// Whether the object has all labels of the selector.
    fn selects(&self, object: &Value) -> bool {
        let has = |(name, value): (&str, &str)| object["metadata"]["labels"][name] == value;
        self.selector.split(',').filter(|it| !it.is_empty()).all(|it| it.split_once('=').is_some_and(has))
    }
}

/// The pods of a further service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceComponent {
    pub service: ServiceName,
    pub part: Component,
    /// The port of its container, if the manifest names one.
    pub port: Option<u16>,
    /// The wanted number of pods; `None` if an autoscaler or the nodes decide it.
    pub pods: Option<u64>,
}

/// All components, and further facts for commands.
#[derive(Clone, Debug)]
pub struct Components {
    /// The first service.
    pub app: Component,
    /// Further services with a Deployment, StatefulSet or DaemonSet, sorted by name.
    pub services: Vec<ServiceComponent>,
    pub migration: Option<Component>,
    pub database: Component,
    pub operator: Component,
    /// The `Cluster`'s name.
    pub cluster: String,
    /// The port of the application's container.
    pub app_port: u16,
    /// The start of a management command: `python3 manage.py`.
    pub manage: Vec<String>,
}

/// The container with PostgreSQL in CloudNativePG's pods.
pub const POSTGRES: &str = "postgres";

impl Components {
    pub fn read(env: &Env) -> Result<Components> {
        let database = folder::of_database(env)?;
        let frontend = folder::of_service(env, None)?;
        let mut components = Components::of(&env.config.namespace, &env.config.frontend.image, &database, &frontend)?;
        for (service, config) in env.config.all_services() {
            let Some(name) = service else { continue };
            let manifests = folder::of_service(env, service)?;
            let image = &env.config.service(env.config.image_of(service)).image;
            components.services.extend(further(&env.config.namespace, name, &manifests, (image, u64::from(config.replicas)))?);
        }
        Ok(components)
    }

    fn of(namespace: &str, image: &str, database: &[Manifest], frontend: &[Manifest]) -> Result<Components> {
        let missing = |what: &str| Problem::config(format!("the manifests in deploy/ hold no {what}"));
        let cluster = database.iter().find(|it| it.object["kind"] == "Cluster").ok_or_else(|| missing("Cluster"))?;
        let cluster = text(&cluster.object, "/metadata/name");
        let roles = Roles::of(frontend, image, None)?;
        let deployment = &frontend[roles.application.ok_or_else(|| missing("Deployment"))?].object;
        let job = roles.migration.map(|it| &frontend[it].object);
        let part =
            |name: &str, selector, container| Component { name: name.to_owned(), namespace: namespace.to_owned(), selector, container };
        Ok(Components {
            app: part(
                "app",
                selector(deployment.pointer("/spec/selector/matchLabels")),
                text(deployment, &format!("/spec/template/spec/containers/{}/name", roles.container)),
            ),
            services: Vec::new(),
            migration: job.map(|it| {
                part("migration", selector(it.pointer("/spec/template/metadata/labels")), text(it, "/spec/template/spec/containers/0/name"))
            }),
            database: part("database", format!("cnpg.io/cluster={cluster},cnpg.io/podRole=instance"), POSTGRES.to_owned()),
            operator: Component {
                name: "operator".to_owned(),
                namespace: operator::NAMESPACE.to_owned(),
                selector: operator::LABELS.to_owned(),
                container: "manager".to_owned(),
            },
            cluster,
            app_port: roles.port.unwrap_or(8000),
            manage: manage(job),
        })
    }

    /// All components, the application first.
    pub fn all(&self) -> impl Iterator<Item = &Component> {
        let further = self.services.iter().map(|it| &it.part);
        std::iter::once(&self.app).chain(further).chain(&self.migration).chain([&self.database, &self.operator])
    }

    /// The pods of a further service.
    pub fn service(&self, name: ServiceName) -> Result<&ServiceComponent> {
        let found = self.services.iter().find(|it| it.service == name);
        found.ok_or_else(|| {
            let mut known: Vec<String> = vec!["app".to_owned()];
            known.extend(self.services.iter().map(|it| it.service.to_string()));
            Problem::usage(format!("no service {name} has pods that run; there is {}", known.join(", "))).into()
        })
    }

    /// The database's primary.
    pub fn primary(&self) -> Component {
        Component { selector: format!("{},cnpg.io/instanceRole=primary", self.database.selector), ..self.database.clone() }
    }
}

/// The pods of a further service; `None` if its manifests have no permanently running pods, for example only a CronJob.
fn further(
    namespace: &str,
    service: ServiceName,
    manifests: &[Manifest],
    (image, replicas): (&str, u64),
) -> Result<Option<ServiceComponent>> {
    let roles = Roles::of(manifests, image, Some(service))?;
    let others = || manifests.iter().position(|it| it.object["kind"] == "StatefulSet" || it.object["kind"] == "DaemonSet");
    let Some(index) = roles.application.or_else(others) else { return Ok(None) };
    let owner = &manifests[index].object;
    let is_scaled = manifests.iter().any(|it| it.object["kind"] == "HorizontalPodAutoscaler");
    let pods = match owner["kind"].as_str() {
        Some("Deployment") if !is_scaled => Some(replicas),
        Some("StatefulSet") if !is_scaled => Some(owner.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(1)),
        _ => None,
    };
    let part = Component {
        name: service.to_string(),
        namespace: namespace.to_owned(),
        selector: selector(owner.pointer("/spec/selector/matchLabels")),
        container: text(owner, &format!("/spec/template/spec/containers/{}/name", roles.container)),
    };
    Ok(Some(ServiceComponent { service, part, port: roles.port, pods }))
}

fn text(object: &Value, pointer: &str) -> String {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn selector(labels: Option<&Value>) -> String {
    let none = Map::new();
    let labels = labels.and_then(Value::as_object).unwrap_or(&none);
    let pairs: Vec<String> = labels.iter().filter_map(|(name, value)| Some(format!("{name}={}", value.as_str()?))).collect();
    pairs.join(",")
}

/// The migration's command up to the script's name.
fn manage(job: Option<&Value>) -> Vec<String> {
    let command = job.and_then(|it| it.pointer("/spec/template/spec/containers/0/command")).and_then(Value::as_array);
    let words: Vec<String> = command.into_iter().flatten().filter_map(|it| it.as_str().map(str::to_owned)).collect();
    match words.iter().position(|it| it.ends_with("manage.py")) {
        Some(at) => words.into_iter().take(at + 1).collect(),
        None => vec!["python3".to_owned(), "manage.py".to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::manifests;

    #[test]
    fn parts_follow_from_the_manifests() {
        let read = |text: &str| manifests::read(text, "a.yaml").unwrap();
        let database = read("{apiVersion: postgresql.cnpg.io/v1, kind: Cluster, metadata: {name: db}}");
        let frontend = read(
            "
apiVersion: batch/v1
kind: Job
metadata: {name: m}
spec: {template: {metadata: {labels: {c: '3'}}, spec: {containers: [{name: m, command: [python3, src/manage.py, migrate]}]}}}
---
apiVersion: v1
kind: Service
metadata: {name: s}
spec: {selector: {a: '1'}, ports: [{port: 80, targetPort: 9000}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: redis}
spec: {selector: {matchLabels: {a: '9'}}, template: {spec: {containers: [{name: r, image: redis}]}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: d}
spec:
  selector: {matchLabels: {a: '1', b: '2'}}
  template: {metadata: {labels: {a: '1', b: '2'}}, spec: {containers: [{name: proxy, image: p}, {name: web, image: 'i:1', ports: [{containerPort: 8000}, {containerPort: 9000}]}]}}
",
        );
        let components = Components::of("n", "i", &database, &frontend).unwrap();
        assert_eq!((components.app.selector.as_str(), components.app.container.as_str(), components.app_port), ("a=1,b=2", "web", 9000));
        assert_eq!(components.manage, ["python3", "src/manage.py"]);
        assert_eq!(components.primary().selector, "cnpg.io/cluster=db,cnpg.io/podRole=instance,cnpg.io/instanceRole=primary");
        assert_eq!(components.all().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["app", "migration", "database", "operator"]);
        assert!(Components::of("n", "i", &[], &frontend).is_err());
    }

    #[test]
    fn the_pods_of_a_component_have_all_its_labels_and_its_namespace() {
        let part = |namespace: &str, selector: &str| Component {
            name: "worker".to_owned(),
            namespace: namespace.to_owned(),
            selector: selector.to_owned(),
            container: "worker".to_owned(),
        };
        let pod = |labels: Value| serde_json::json!({ "metadata": { "labels": labels } });
        let all = [pod(serde_json::json!({ "a": "1", "b": "2" })), pod(serde_json::json!({ "a": "1" })), pod(Value::Null)];
        let pods = BTreeMap::from([("polls", all.to_vec())]);
        for (namespace, selector, count) in
            [("polls", "a=1", 2), ("polls", "a=1,b=2", 1), ("polls", "a=2", 0), ("polls", "", 3), ("polls", "a", 0), ("other", "a=1", 0)]
        {
            assert_eq!(part(namespace, selector).of(&pods).len(), count, "{namespace} {selector}");
        }
    }
}
