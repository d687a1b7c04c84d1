//! Sets the tool's fields in the application's and the database's objects.

mod addresses;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    config::{Api, Config, Profile, Service},
    deploy::{
        front_door,
        image::PublishedImage,
        manifests::Manifest,
        plain::controller,
        roles::{self, Roles},
        scope,
        secrets::PULL_SECRET,
    },
    exposure::{Address, Exposure, ServiceType},
    fingerprint::Fingerprint,
};

pub use crate::deploy::objects::addresses::follows_address;

/// The annotation with the hash of an object's inputs.
pub const INPUTS: &str = "dev.pocdeploy/inputs";
/// The label of every object of an instance.
pub const INSTANCE: &str = "dev.pocdeploy/instance";
/// The annotation of a Job or Deployment whose pods wait for the database themselves, so they can start before it.
const WAITS: &str = "dev.pocdeploy/waits-for-database";

/// Whether the manifest has this annotation.
pub fn waits_for_database(object: &Value) -> bool {
    object["metadata"]["annotations"][WAITS] == "true"
}

/// The values for the objects, besides their manifests.
pub struct Values<'a> {
    pub config: &'a Config,
    /// The service of these manifests; the first one for the database's.
    pub service: &'a Service,
    /// The name of the service's image in manifests, without a tag.
    pub image_name: &'a str,
    pub instance: &'a str,
    /// The service's image, for objects whose pods use it.
    pub image: Option<&'a PublishedImage>,
    /// The database's image.
    pub postgresql: &'a PublishedImage,
    pub exposure: &'a Exposure,
    /// The application's address, if it is known.
    pub address: Option<&'a Address>,
    /// Whether nodes need the Secret `pocdeploy-registry` to pull.
    pub has_pull_secret: bool,
    /// Whether the user has set the database's password.
    pub own_credentials: bool,
}

/// Sets the tool's fields in the objects of a folder. `roles` tells which of them are the application's.
pub fn complete_all(manifests: Vec<Manifest>, roles: &Roles, values: &Values<'_>) -> Vec<Value> {
    let own = scope::of_definitions(&manifests);
    let is_scaled = |name: &Value| {
        let scales = |it: &Value| it["kind"] == "HorizontalPodAutoscaler" && it["spec"]["scaleTargetRef"]["name"] == *name;
        manifests.iter().any(|it| scales(&it.object))
    };
    // An autoscaler decides the number of replicas.
    let scaled = roles.application.is_some_and(|it| is_scaled(&manifests[it].object["metadata"]["name"]));
    let probe = probe(&manifests, roles);
    let complete = |(index, it): (usize, Manifest)| {
        let mut object = it.object;
        let is_of_cluster = scope::is_of_cluster(&object, &own);
        if roles.application == Some(index) {
            application(&mut object, roles, values, scaled);
        }
        if let Some(published) = roles.published.as_ref().filter(|it| it.service == index) {
            service(&mut object, published.port, values.exposure);
        }
        complete(object, roles, values, is_of_cluster, probe.as_deref())
    };
    manifests.into_iter().enumerate().map(complete).collect()
}

/// The path that the readinessProbe of the application asks for by HTTP.
pub fn probe(manifests: &[Manifest], roles: &Roles) -> Option<String> {
    roles.application.and_then(|it| roles::probe_of(&manifests[it].object, roles.container))
}

/// Sets the number of replicas of the service's Deployment, and an annotation with the container that serves the page.
fn application(object: &mut Value, roles: &Roles, values: &Values<'_>, scaled: bool) {
    if !scaled {
        object["spec"]["replicas"] = json!(values.service.replicas);
    }
    let containers = object.pointer("/spec/template/spec/containers");
    let name = containers.and_then(|it| it.get(roles.container)).and_then(|it| it["name"].as_str()).unwrap_or_default().to_owned();
    if roles.published.is_some() {
        object["metadata"]["annotations"][roles::APPLICATION] = json!(roles::page_text(&name, roles.port));
    } else if !values.service.page.is_empty() {
        object["metadata"]["annotations"][roles::PAGE] = json!(format!("{}{}", roles::page_text(&name, roles.port), values.service.page));
    }
}

fn complete(mut object: Value, roles: &Roles, values: &Values<'_>, is_of_cluster: bool, probe: Option<&str>) -> Value {
    let kind = object["kind"].as_str().unwrap_or_default().to_owned();
    let home = |namespace: &Value| namespace.as_str().is_none_or(|it| it.is_empty() || it == roles.home);
    let namespace = &values.config.namespace;
    if kind == "Namespace" {
        if home(&object["metadata"]["name"]) {
            object["metadata"]["name"] = json!(namespace);
        }
    } else if !is_of_cluster && home(&object["metadata"]["namespace"]) {
        object["metadata"]["namespace"] = json!(namespace);
    } else if is_of_cluster && let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("namespace");
    }
    object["metadata"]["labels"][INSTANCE] = json!(values.instance);
    match kind.as_str() {
        "ConfigMap" => addresses::set(&mut object["data"], values),
        "Ingress" => {
            let route = values.service.route(&values.config.frontend.host);
            host(&mut object["spec"], roles, route.as_ref().map_or(&values.service.host, |(host, _)| host));
            if values.config.controller().is_some() {
                controller::take(&mut object, values.config);
            }
            if values.config.is_behind_others() && values.config.ingress.api == Api::Ingress {
                front_door::take(&mut object, values.config, probe);
            }
        }
        "Cluster" if scope::group(&object) == "postgresql.cnpg.io" => database(&mut object, values),
        "RoleBinding" | "ClusterRoleBinding" => {
            for subject in object.get_mut("subjects").and_then(Value::as_array_mut).into_iter().flatten() {
                if subject["kind"] == "ServiceAccount" && !roles.home.is_empty() && subject["namespace"] == roles.home.as_str() {
                    subject["namespace"] = json!(namespace);
                }
            }
        }
        _ => {}
    }
    if let Some(image) = values.image {
        set_images(&mut object, values.image_name, image.as_str());
        if values.has_pull_secret {
            set_pull_secret(&mut object, image.as_str());
        }
    }
    sign(&mut object);
    object
}

/// Replaces the first host of an Ingress that routes to the application by the configured one, also in `tls`. A rule without a host matches
/// every host, and is not changed.
fn host(spec: &mut Value, roles: &Roles, host: &str) {
    let leads = |rule: &Value| {
        let paths = rule.pointer("/http/paths").and_then(Value::as_array);
        let name = |it: &Value| it.pointer("/backend/service/name").and_then(Value::as_str).map(str::to_owned);
        paths.into_iter().flatten().filter_map(name).any(|it| roles.services.contains(&it))
    };
    let rules = spec.get_mut("rules").and_then(Value::as_array_mut).into_iter().flatten();
    let Some(rule) = rules.into_iter().find(|it| it["host"].as_str().is_some_and(|it| !it.is_empty()) && leads(it)) else { return };
    let before = std::mem::replace(&mut rule["host"], json!(host));
    for certificate in spec.get_mut("tls").and_then(Value::as_array_mut).into_iter().flatten() {
        for named in certificate.get_mut("hosts").and_then(Value::as_array_mut).into_iter().flatten() {
            if *named == before {
                *named = json!(host);
            }
        }
    }
}

/// A Job's template is immutable, so each content gets its own name. `decides` replaces the application's image, `image`, in the hash: if
/// it is the same, a new image is not new content.
pub fn name_by_content(mut job: Value, image: &str, decides: &Fingerprint) -> Value {
    let mut content = job.clone();
    set_images(&mut content, roles::name_of(image), "");
    unsign(&mut content);
    let mut key = Fingerprint::new();
    key.add("job", content.to_string());
    key.add("decides", decides.digest());
    let name = job["metadata"]["name"].as_str().unwrap_or("migration");
    job["metadata"]["name"] = json!(format!("{name}-{}", key.short()));
    job["metadata"]["annotations"][INPUTS] = json!(key.short());
    job
}

/// Pods read settings only at start, so the pods of a Deployment, StatefulSet or DaemonSet are replaced when a ConfigMap or Secret that
/// they use changes. `settings` are the ConfigMaps and Secrets that the tool applies.
pub fn follow_settings(owner: &mut Value, settings: &[&Value]) {
    if !["Deployment", "StatefulSet", "DaemonSet"].iter().any(|it| owner["kind"] == *it) {
        return;
    }
    let mut used = BTreeSet::new();
    uses(&owner["spec"]["template"]["spec"], &mut used);
    let mut key = Fingerprint::new();
    let is_used = |it: &&&Value| {
        let name = it["metadata"]["name"].as_str().unwrap_or_default();
        it["metadata"]["namespace"] == owner["metadata"]["namespace"]
            && used.contains(&(it["kind"].as_str().unwrap_or_default().to_owned(), name.to_owned()))
    };
    let mut count = 0;
    for object in settings.iter().filter(is_used) {
        count += 1;
        key.add(
            format!("{} {}", object["kind"], object["metadata"]["name"]),
            ["data", "binaryData", "stringData"].map(|it| object[it].to_string()).concat(),
        );
    }
    if count > 0 {
        owner["spec"]["template"]["metadata"]["annotations"]["dev.pocdeploy/settings"] = json!(key.short());
        sign(owner);
    }
}

/// Whether a pod of the object refers to the Secret.
pub fn refers_to_secret(object: &Value, name: &str) -> bool {
    settings_of(object).contains(&("Secret".to_owned(), name.to_owned()))
}

/// The kind and name of each ConfigMap and Secret that the pods of an object refer to.
pub fn settings_of(object: &Value) -> BTreeSet<(String, String)> {
    let mut used = BTreeSet::new();
    uses(&object["spec"], &mut used);
    used
}

/// The names of the ConfigMaps and Secrets that a pod refers to: environment variables, volumes, projected volumes.
fn uses(pod: &Value, out: &mut BTreeSet<(String, String)>) {
    match pod {
        Value::Array(items) => items.iter().for_each(|it| uses(it, out)),
        Value::Object(fields) => {
            for (field, inner) in fields {
                let (kind, name) = match field.as_str() {
                    "configMapRef" | "configMapKeyRef" | "configMap" => ("ConfigMap", &inner["name"]),
                    "secretRef" | "secretKeyRef" => ("Secret", &inner["name"]),
                    // The field is secretName in a volume, and name in a projected volume.
                    "secret" => ("Secret", if inner["secretName"].is_null() { &inner["name"] } else { &inner["secretName"] }),
                    _ => {
                        uses(inner, out);
                        continue;
                    }
                };
                if let Some(name) = name.as_str() {
                    out.insert((kind.to_owned(), name.to_owned()));
                }
            }
        }
        _ => {}
    }
}

/// A Job other than the migration runs once for each content. A new image of the application is not new content.
pub fn sign_job(job: &mut Value, image: &str) {
    let mut content = job.clone();
    set_images(&mut content, roles::name_of(image), "");
    sign(&mut content);
    job["metadata"]["annotations"][INPUTS] = content["metadata"]["annotations"][INPUTS].clone();
}

/// Annotates an object with the hash of its content.
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

/// The hash in an object's annotation.
pub fn inputs_of(object: &Value) -> Option<&str> {
    object.pointer("/metadata/annotations")?.get(INPUTS)?.as_str()
}

/// The pod template of an object of any kind.
fn pod_of(object: &mut Value) -> Option<&mut Value> {
    let pod = match object["kind"].as_str().unwrap_or_default() {
        "Pod" => "/spec",
        "CronJob" => "/spec/jobTemplate/spec/template/spec",
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Job" => "/spec/template/spec",
        _ => return None,
    };
    object.pointer_mut(pod)
}

/// Sets the image of every container whose manifest refers to the application's image, in any kind of object: one with the name `ours` and
/// any tag, or with the tag `set-by-pocdeploy`. Other containers are not changed.
pub fn set_images(object: &mut Value, ours: &str, image: &str) {
    let Some(pod) = pod_of(object) else { return };
    for list in ["initContainers", "containers"] {
        for container in pod.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            if container["image"].as_str().is_some_and(|named| roles::is_ours(named, ours)) {
                container["image"] = json!(image);
                // The image is loaded into the nodes; there may be no registry with it.
                container["imagePullPolicy"] = json!("IfNotPresent");
            }
        }
    }
}

/// Whether a container of the object refers to the application's image `ours`, see [`set_images`].
pub fn runs(object: &Value, ours: &str) -> bool {
    let mut object = object.clone();
    let Some(pod) = pod_of(&mut object) else { return false };
    let is_ours = |it: &Value| it["image"].as_str().is_some_and(|named| roles::is_ours(named, ours));
    ["initContainers", "containers"].iter().any(|list| pod[*list].as_array().is_some_and(|it| it.iter().any(is_ours)))
}

/// Whether a container of the object has exactly this image.
pub fn has_image(object: &Value, image: &str) -> bool {
    let mut object = object.clone();
    let Some(pod) = pod_of(&mut object) else { return false };
    ["initContainers", "containers"].iter().any(|list| pod[*list].as_array().is_some_and(|it| it.iter().any(|one| one["image"] == image)))
}

/// Replaces one reference of an image in all containers.
pub fn replace_image(object: &mut Value, from: &str, to: &str) {
    let Some(pod) = pod_of(object) else { return };
    for list in ["initContainers", "containers"] {
        for container in pod.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            if container["image"] == from {
                container["image"] = json!(to);
            }
        }
    }
}

/// Adds the pull Secret to pods with this image.
fn set_pull_secret(object: &mut Value, image: &str) {
    let Some(pod) = pod_of(object) else { return };
    let is_ours = |list: &str| pod[list].as_array().is_some_and(|it| it.iter().any(|container| container["image"] == image));
    if is_ours("containers") || is_ours("initContainers") {
        let secrets = pod["imagePullSecrets"].as_array().cloned().unwrap_or_default();
        pod["imagePullSecrets"] = [secrets, vec![json!({ "name": PULL_SECRET })]].concat().into();
    }
}

/// Sets type and node port of the Service that publishes the application, as the provider requires. Other ports are not changed.
fn service(object: &mut Value, port: usize, exposure: &Exposure) {
    object["spec"]["type"] = json!(exposure.service.name());
    exposure.complete(object);
    if let Some(port) = object["spec"].get_mut("ports").and_then(|it| it.get_mut(port)).and_then(Value::as_object_mut) {
        match exposure.service {
            ServiceType::NodePort(Some(number)) => port.insert("nodePort".to_owned(), json!(number)),
            _ => port.remove("nodePort"),
        };
    }
}

/// The rule in `deploy/database/cluster.yaml` that rejects connections without TLS.
const TLS_ONLY: &str = "hostnossl all all all reject";

fn database(object: &mut Value, values: &Values<'_>) {
    let database = &values.config.database;
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let spec = &mut object["spec"];
    spec["imageName"] = json!(values.postgresql.as_str());
    if values.has_pull_secret {
        spec["imagePullSecrets"] = json!([{ "name": PULL_SECRET }]);
    }
    spec["instances"] = json!(database.all_instances());
    // Without replicas, the Service for them would lead to nothing.
    let managed = &spec["managed"];
    if database.all_instances() == 1 && (managed.is_null() || managed.is_object()) && managed["services"].is_null() {
        spec["managed"]["services"]["disabledDefaultServices"] = json!(["ro"]);
    }
    if database.profile == Profile::Durable {
        // A replica takes over only if it certainly has every transaction: of N replicas more than N - `number` must be there
        // (CloudNativePG's failover quorum). Half of the instances is the number with which as many may be away as with a majority.
        let number = database.all_instances() / 2;
        let mut synchronous = json!({ "method": "any", "number": number, "dataDurability": "required", "failoverQuorum": true });
        // The manifest's own fields count.
        if let (Some(own), Some(all)) = (spec["postgresql"]["synchronous"].as_object().cloned(), synchronous.as_object_mut()) {
            all.extend(own);
        }
        spec["postgresql"]["synchronous"] = synchronous;
    }
    spec["storage"]["size"] = json!(database.storage);
    spec["bootstrap"]["initdb"]["database"] = json!(database.name);
    spec["bootstrap"]["initdb"]["owner"] = json!(database.user);
    if !database.require_tls
        && let Some(rules) = spec["postgresql"]["pg_hba"].as_array_mut()
    {
        rules.retain(|it| it != TLS_ONLY);
    }
    if values.own_credentials {
        spec["bootstrap"]["initdb"]["secret"] = json!({ "name": format!("{name}-app") });
    }
}

#[cfg(test)]
mod tests;
