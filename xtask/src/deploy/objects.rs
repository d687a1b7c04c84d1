//! The application's and the database's objects with the tool's own fields set.

use serde_json::{Value, json};

use crate::{
    config::Config,
    deploy::{image::PublishedImage, secrets::PULL_SECRET},
    exposure::{Address, Exposure, ServiceType},
    fingerprint::Fingerprint,
};

/// The annotation that carries the key of what an object was made from.
pub const INPUTS: &str = "dev.pocdeploy/inputs";
/// The label that every object of an instance carries.
pub const INSTANCE: &str = "dev.pocdeploy/instance";
/// The annotation of a Job or Deployment whose pods can be started before the database answers, because they wait for it themselves.
const WAITS: &str = "dev.pocdeploy/waits-for-database";

/// The tag of an image that the tool sets.
const PLACEHOLDER: &str = ":set-by-pocdeploy";

/// Whether the manifest says that its pods wait for the database themselves.
pub fn waits_for_database(object: &Value) -> bool {
    object["metadata"]["annotations"][WAITS] == "true"
}

/// What the objects depend on beside their manifests.
pub struct Values<'a> {
    pub config: &'a Config,
    pub instance: &'a str,
    /// The application's image, for objects that have pods of it.
    pub image: Option<&'a PublishedImage>,
    /// The database's image.
    pub postgresql: &'a PublishedImage,
    pub exposure: &'a Exposure,
    /// Where the application answers, as far as that is known.
    pub address: Option<&'a Address>,
    /// Whether nodes need the Secret `pocdeploy-registry` to pull.
    pub has_pull_secret: bool,
    /// Whether the user gave the database's password.
    pub own_credentials: bool,
}

/// Sets the tool's fields in the objects of a folder. The first Deployment is the application's: its number of pods is
/// `app.replicas`, and that of every other is its manifest's.
pub fn complete_all(objects: Vec<Value>, values: &Values<'_>) -> Vec<Value> {
    let app = objects.iter().position(|it| it["kind"] == "Deployment");
    objects.into_iter().enumerate().map(|(index, it)| complete(it, values, Some(index) == app)).collect()
}

fn complete(mut object: Value, values: &Values<'_>, is_app: bool) -> Value {
    let kind = object["kind"].as_str().unwrap_or_default().to_owned();
    match kind.as_str() {
        "Namespace" => object["metadata"]["name"] = json!(values.config.app.namespace),
        _ => object["metadata"]["namespace"] = json!(values.config.app.namespace),
    }
    object["metadata"]["labels"][INSTANCE] = json!(values.instance);
    match kind.as_str() {
        "ConfigMap" => addresses(&mut object["data"], values),
        "Deployment" if is_app => object["spec"]["replicas"] = json!(values.config.app.replicas),
        // One that says so is for the cluster's inside.
        "Service" if object["spec"]["type"] != "ClusterIP" => service(&mut object, values.exposure),
        "Ingress" => object["spec"]["rules"][0]["host"] = json!(values.config.app.host),
        "Cluster" => database(&mut object, values),
        _ => {}
    }
    if let Some(image) = values.image {
        set_images(&mut object, &values.config.frontend.image, image.as_str());
        if values.has_pull_secret {
            set_pull_secret(&mut object, image.as_str());
        }
    }
    sign(&mut object);
    object
}

/// A Job's template cannot change: each content gets a name of its own. `decides` stands for the application's image, `image`: where
/// it is the same, another image is no other content.
pub fn name_by_content(mut job: Value, image: &str, decides: &Fingerprint) -> Value {
    let mut content = job.clone();
    set_images(&mut content, name_of(image), "");
    unsign(&mut content);
    let mut key = Fingerprint::new();
    key.add("job", content.to_string());
    key.add("decides", decides.digest());
    let name = job["metadata"]["name"].as_str().unwrap_or("migration");
    job["metadata"]["name"] = json!(format!("{name}-{}", key.short()));
    job["metadata"]["annotations"][INPUTS] = json!(key.short());
    job
}

/// Pods read their settings when they start: a Deployment's pods are replaced when a ConfigMap changes.
pub fn follow_settings(deployment: &mut Value, settings: &[Value]) {
    let mut key = Fingerprint::new();
    for object in settings.iter().filter(|it| it["kind"] == "ConfigMap") {
        key.add("settings", object["data"].to_string());
    }
    deployment["spec"]["template"]["metadata"]["annotations"]["dev.pocdeploy/settings"] = json!(key.short());
    sign(deployment);
}

/// Annotates an object with the key of its content.
pub(crate) fn sign(object: &mut Value) {
    unsign(object);
    let mut key = Fingerprint::new();
    key.add("object", object.to_string());
    object["metadata"]["annotations"][INPUTS] = json!(key.short());
}

fn unsign(object: &mut Value) {
    if let Some(annotations) = object["metadata"].get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove(INPUTS);
    }
}

/// The key that an object was applied with.
pub fn inputs_of(object: &Value) -> Option<&str> {
    object.pointer("/metadata/annotations")?.get(INPUTS)?.as_str()
}

/// The settings of the application that follow from its address, wherever the manifest has a key for them.
fn addresses(data: &mut Value, values: &Values<'_>) {
    let Some(entries) = data.as_object_mut() else { return };
    // An address without TLS in front of it is asked over plain HTTP, wherever it is.
    let plain = values.address.filter(|it| it.origin.starts_with("http://")).map(|it| it.host().to_owned());
    let mut plain_hosts = values.exposure.plain_hosts.clone();
    plain_hosts.extend(plain.filter(|it| !plain_hosts.contains(it)).into_iter().collect::<Vec<_>>());
    let mut hosts = vec![values.config.app.host.clone()];
    for host in values.address.map(|it| it.host().to_owned()).into_iter().chain(plain_hosts.iter().cloned()) {
        if !host.is_empty() && !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    let port = values.address.and_then(Address::port);
    let mut origins = vec![format!("https://{}", values.config.app.host)];
    origins.extend(values.address.map(|it| it.origin.clone()).filter(|it| !origins.contains(it)).into_iter().collect::<Vec<_>>());
    for host in &plain_hosts {
        let origin = port.map_or_else(|| format!("http://{host}"), |port| format!("http://{host}:{port}"));
        if !origins.contains(&origin) {
            origins.push(origin);
        }
    }
    for (name, value) in entries.iter_mut() {
        if name.ends_with("ALLOWED_HOSTS") {
            *value = json!(hosts.join(","));
        } else if name.ends_with("TRUSTED_ORIGINS") {
            *value = json!(origins.join(","));
        } else if name.ends_with("PLAIN_HTTP_HOSTS") {
            *value = json!(plain_hosts.join(","));
        }
    }
}

/// The description of the pods that an object holds, whatever kind it is.
fn pod_of(object: &mut Value) -> Option<&mut Value> {
    let pod = match object["kind"].as_str().unwrap_or_default() {
        "Pod" => "/spec",
        "CronJob" => "/spec/jobTemplate/spec/template/spec",
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Job" => "/spec/template/spec",
        _ => return None,
    };
    object.pointer_mut(pod)
}

/// Sets the image of every container that is the application's, in whatever kind of object holds pods: one whose manifest names
/// the image `ours`, with any tag, or has the tag `set-by-pocdeploy`. A container of another image stays as it is.
pub fn set_images(object: &mut Value, ours: &str, image: &str) {
    let Some(pod) = pod_of(object) else { return };
    for list in ["initContainers", "containers"] {
        for container in pod.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let named = container["image"].as_str().unwrap_or_default();
            if name_of(named) == ours || named.ends_with(PLACEHOLDER) {
                container["image"] = json!(image);
                // The image is brought to the nodes; there may be no registry that has it.
                container["imagePullPolicy"] = json!("IfNotPresent");
            }
        }
    }
}

/// Names the pull Secret in pods of the image.
fn set_pull_secret(object: &mut Value, image: &str) {
    let Some(pod) = pod_of(object) else { return };
    let is_ours = |list: &str| pod[list].as_array().is_some_and(|it| it.iter().any(|container| container["image"] == image));
    if is_ours("containers") || is_ours("initContainers") {
        let secrets = pod["imagePullSecrets"].as_array().cloned().unwrap_or_default();
        pod["imagePullSecrets"] = [secrets, vec![json!({ "name": PULL_SECRET })]].concat().into();
    }
}

/// A reference without its tag and its digest.
fn name_of(image: &str) -> &str {
    let named = image.split('@').next().unwrap_or_default();
    match named.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => named,
    }
}

fn service(object: &mut Value, exposure: &Exposure) {
    object["spec"]["type"] = json!(exposure.service.name());
    for port in object["spec"].get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        match exposure.service {
            ServiceType::NodePort(Some(number)) => port["nodePort"] = json!(number),
            _ => {
                if let Some(port) = port.as_object_mut() {
                    port.remove("nodePort");
                }
            }
        }
    }
}

fn database(object: &mut Value, values: &Values<'_>) {
    let database = &values.config.database;
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let spec = &mut object["spec"];
    spec["imageName"] = json!(values.postgresql.as_str());
    if values.has_pull_secret {
        spec["imagePullSecrets"] = json!([{ "name": PULL_SECRET }]);
    }
    spec["instances"] = json!(database.instances);
    spec["storage"]["size"] = json!(database.storage);
    spec["bootstrap"]["initdb"]["database"] = json!(database.name);
    spec["bootstrap"]["initdb"]["owner"] = json!(database.user);
    if values.own_credentials {
        spec["bootstrap"]["initdb"]["secret"] = json!({ "name": format!("{name}-app") });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind() -> Exposure {
        Exposure { service: ServiceType::NodePort(Some(30080)), plain_hosts: vec!["localhost".to_owned(), "127.0.0.1".to_owned()] }
    }

    /// The objects of a folder on a cluster that is exposed so, as complete as the address allows.
    fn all_with(objects: Vec<Value>, exposure: &Exposure, address: Option<&Address>) -> Vec<Value> {
        let (config, image, postgresql) = (Config::default(), PublishedImage::new("polls:1-ab"), PublishedImage::new("pg:17"));
        let values = Values {
            config: &config,
            instance: "i",
            image: Some(&image),
            postgresql: &postgresql,
            exposure,
            address,
            has_pull_secret: false,
            own_credentials: true,
        };
        complete_all(objects, &values)
    }

    fn with(object: Value) -> Value {
        all_with(vec![object], &kind(), Some(&Address::new("http://localhost:8081"))).remove(0)
    }

    #[test]
    fn settings_lack_an_address_that_is_not_known_yet_and_have_it_later() {
        let cloud = Exposure { service: ServiceType::LoadBalancer, plain_hosts: Vec::new() };
        let settings = json!({ "kind": "ConfigMap", "metadata": { "name": "c" }, "data": { "ALLOWED_HOSTS": "", "TRUSTED_ORIGINS": "", "PLAIN_HTTP_HOSTS": "" } });
        let data = |address: Option<&Address>| all_with(vec![settings.clone()], &cloud, address).remove(0)["data"].clone();
        assert_eq!(
            data(None),
            json!({ "ALLOWED_HOSTS": "polls.localhost", "TRUSTED_ORIGINS": "https://polls.localhost", "PLAIN_HTTP_HOSTS": "" })
        );
        let later = data(Some(&Address::new("http://192.0.2.7")));
        assert_eq!(
            later,
            json!({
                "ALLOWED_HOSTS": "polls.localhost,192.0.2.7",
                "TRUSTED_ORIGINS": "https://polls.localhost,http://192.0.2.7",
                "PLAIN_HTTP_HOSTS": "192.0.2.7",
            })
        );
    }

    #[test]
    fn the_address_reaches_the_settings_that_are_there_and_no_others() {
        let out = with(json!({ "kind": "ConfigMap", "metadata": { "name": "c" }, "data": {
            "POLLS_ALLOWED_HOSTS": "", "POLLS_TRUSTED_ORIGINS": "", "POLLS_PLAIN_HTTP_HOSTS": "", "OTHER": "stays",
        } }));
        assert_eq!(
            out["data"],
            json!({
                "POLLS_ALLOWED_HOSTS": "polls.localhost,localhost,127.0.0.1",
                "POLLS_TRUSTED_ORIGINS": "https://polls.localhost,http://localhost:8081,http://127.0.0.1:8081",
                "POLLS_PLAIN_HTTP_HOSTS": "localhost,127.0.0.1",
                "OTHER": "stays",
            })
        );
    }

    #[test]
    fn our_containers_of_every_kind_get_the_image_and_a_policy_that_works_without_a_registry_and_no_others_do() {
        let pod = json!({
            "containers": [{ "image": "polls:set-by-pocdeploy" }, { "image": "redis:7", "imagePullPolicy": "Always" }],
            "initContainers": [{ "image": "polls", "imagePullPolicy": "Always" }, { "image": "other/polls:1" }],
        });
        let template = json!({ "template": { "spec": pod } });
        let jobs = json!({ "jobTemplate": { "spec": template } });
        for (kind, spec, at) in [
            ("Deployment", &template, "/spec/template/spec"),
            ("StatefulSet", &template, "/spec/template/spec"),
            ("DaemonSet", &template, "/spec/template/spec"),
            ("Job", &template, "/spec/template/spec"),
            ("CronJob", &jobs, "/spec/jobTemplate/spec/template/spec"),
            ("Pod", &pod, "/spec"),
        ] {
            let out = with(json!({ "kind": kind, "metadata": { "name": "x" }, "spec": spec }));
            let pod = out.pointer(at).unwrap();
            let ours = json!({ "image": "polls:1-ab", "imagePullPolicy": "IfNotPresent" });
            assert_eq!(pod["containers"], json!([ours, { "image": "redis:7", "imagePullPolicy": "Always" }]), "{kind}");
            assert_eq!(pod["initContainers"], json!([ours, { "image": "other/polls:1" }]), "{kind}");
        }
    }

    #[test]
    fn the_name_of_an_image_is_what_stands_before_tag_and_digest() {
        for (image, name) in
            [("polls", "polls"), ("polls:1", "polls"), ("r:5000/a/polls", "r:5000/a/polls"), ("r:5000/polls:1@sha256:ab", "r:5000/polls")]
        {
            assert_eq!(name_of(image), name);
        }
    }

    #[test]
    fn the_number_of_pods_is_the_applications_alone() {
        let deployment = |replicas: u32| json!({ "kind": "Deployment", "metadata": { "name": "d" }, "spec": { "replicas": replicas } });
        let out = all_with(vec![json!({ "kind": "Secret", "metadata": {} }), deployment(5), deployment(1)], &kind(), None);
        assert_eq!(out.iter().map(|it| it["spec"]["replicas"].as_u64()).collect::<Vec<_>>(), [None, Some(2), Some(1)]);
    }

    #[test]
    fn the_database_follows_the_configuration() {
        let out = with(json!({ "kind": "Cluster", "metadata": { "name": "polls-db" }, "spec": {} }));
        assert_eq!(
            out["spec"]["bootstrap"]["initdb"],
            json!({ "database": "polls", "owner": "polls", "secret": { "name": "polls-db-app" } })
        );
        assert_eq!(out["spec"]["imageName"], "pg:17");
    }

    #[test]
    fn a_job_is_another_one_when_its_manifest_or_what_decides_differs_and_not_for_its_image() {
        let job = |command: &str, image: &str, decides: &str| {
            let pod = json!({ "containers": [{ "name": "m", "image": image, "command": [command] }] });
            let mut key = Fingerprint::new();
            key.add("migrations", decides);
            let job = with(json!({ "kind": "Job", "metadata": { "name": "m" }, "spec": { "template": { "spec": pod } } }));
            name_by_content(job, image, &key)
        };
        let name = |job: Value| (job["metadata"]["name"].clone(), inputs_of(&job).map(str::to_owned));
        assert_eq!(name(job("a", "polls:1", "x")), name(job("a", "polls:2", "x")));
        assert_ne!(name(job("a", "polls:1", "x")), name(job("a", "polls:1", "y")));
        assert_ne!(name(job("a", "polls:1", "x")), name(job("b", "polls:1", "x")));
    }

    #[test]
    fn changed_settings_replace_the_pods() {
        let deployment = |value: &str| {
            let mut out = with(json!({ "kind": "Deployment", "metadata": { "name": "d" }, "spec": { "template": { "metadata": {} } } }));
            follow_settings(&mut out, &[json!({ "kind": "ConfigMap", "data": { "A": value } })]);
            out
        };
        assert_eq!(deployment("1"), deployment("1"));
        assert_ne!(deployment("1")["spec"]["template"], deployment("2")["spec"]["template"]);
        assert_ne!(inputs_of(&deployment("1")), inputs_of(&deployment("2")));
    }

    #[test]
    fn a_service_for_the_inside_stays_inside() {
        let spec = json!({ "type": "ClusterIP", "ports": [{ "port": 5432 }] });
        assert_eq!(with(json!({ "kind": "Service", "metadata": { "name": "s" }, "spec": spec }))["spec"], spec);
    }

    #[test]
    fn a_cloud_service_has_no_node_port() {
        let service = json!({ "kind": "Service", "metadata": { "name": "s" }, "spec": { "ports": [{ "port": 80, "nodePort": 30080 }] } });
        let cloud = Exposure { service: ServiceType::LoadBalancer, plain_hosts: Vec::new() };
        let out = all_with(vec![service], &cloud, None).remove(0);
        assert_eq!(out["spec"], json!({ "type": "LoadBalancer", "ports": [{ "port": 80 }] }));
    }
}
