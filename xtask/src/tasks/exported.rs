//! What is deployed, for `export`: images pushed to a registry, and the objects for other clusters.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{
    cluster::kinds::is_built_in,
    config::{ClusterType, EVERY, Expose, SecretOrigin, ServiceName, name_of},
    deploy::{
        folder, front_door,
        image::PublishedImage,
        objects::{self, Values},
        operator, scope,
        secrets::{self, KEY_LENGTH, PULL_SECRET},
    },
    env::Env,
    errors::{Code, Problem},
    export::{Exported, Image, Key, Published, Required, Settings, Variant, clean, image_names, job_for_files},
    exposure::{Address, Exposure, ServiceType},
    graph::{TaskId, TaskKind},
    images::{self, Chosen, Role},
    probe::Probe,
    provider::{self, ingress_address, provider},
    tasks::{
        brought,
        desired::{BASE, FIRST, Folders, credentials, database, pod_security_version},
        image,
        service_secrets::key_secrets,
    },
};

/// The limit of one request to a registry.
const ASK_LIMIT: std::time::Duration = std::time::Duration::from_secs(20);

/// Whether the operator belongs to the instance. If the cluster does not answer, it does: the files install it only where none is.
fn has_own_operator(env: &Env) -> bool {
    !provider(env).operator_of_others(env).is_ok_and(|it| it.is_some())
}

/// Pushes the images, and reads the objects. The images of the services must be in the engine.
pub fn read(env: &Env) -> Result<Exported> {
    let postgresql = upstream(env, TaskId::Database, Role::Postgresql)?;
    let mut references: BTreeMap<Option<ServiceName>, PublishedImage> = BTreeMap::new();
    for service in env.config.built() {
        let local = image::current(env, service)?;
        let found = provider::in_registry(env, &local)?.map_or_else(|| provider::publish_to_registry(env, &local), Ok)?;
        references.insert(service, found);
    }
    for service in env.config.brought() {
        let role = brought::role(env, Some(service)).context("find the kind of the service")?;
        references.insert(Some(service), upstream(env, TaskId::for_service(TaskKind::Load, Some(service)), role)?);
    }
    let has_pull_secret = provider::registry_credentials(env)?.is_some();
    let given = Given { env, postgresql: &postgresql, references: &references, has_pull_secret };
    let (objects, published) = given.complete()?;
    let mut images: Vec<Image> = Vec::new();
    let mut named: Vec<String> = Vec::new();
    for (service, reference) in &references {
        if !named.contains(&reference.to_string()) {
            images.push(Image::new(&name_of(*service), reference.as_str())?);
            named.push(reference.to_string());
        }
    }
    let mut out = Exported {
        namespace: env.config.namespace.clone(),
        foundation: Vec::new(),
        jobs: Vec::new(),
        app: Vec::new(),
        settings: Vec::new(),
        operator: operator_objects(env)?,
        images,
        postgresql: postgresql.to_string(),
        database: database(env)?.name,
        secrets: required(env, &objects)?,
        pull_secret: has_pull_secret.then(|| PULL_SECRET.to_owned()),
        host: env.config.frontend.host.clone(),
        published,
        variants: Vec::new(),
        notes: vec![
            "A changed Secret reaches the pods at their next start: `kubectl rollout restart`.".to_owned(),
            "Snapshots before a migration, the history with its rollback, and the explanation of a failure are pocdeploy's own.".to_owned(),
        ],
    };
    sort(env, &mut out, objects, &named)?;
    out.variants = variants(env)?.into_iter().map(|it| only_differences(it, &out.settings)).collect();
    Ok(out)
}

/// How users reach the application on this machine, with all settings: for a Compose file.
pub fn here(env: &Env, exported: &Exported, port: u16) -> Result<Variant> {
    let exposure = Exposure::here(ServiceType::ClusterIp);
    let address = Address::new(format!("http://localhost:{port}"));
    let settings = settings_for(env, &exposure, &address)?;
    let known = |it: &Settings| exported.settings.iter().any(|one| one.name == it.name);
    Ok(Variant { name: "compose", service: ServiceType::ClusterIp, address, settings: settings.into_iter().filter(known).collect() })
}

/// An image of upstream by its digest: pulled from its own registry, or built here and pushed.
fn upstream(env: &Env, task: TaskId, role: Role) -> Result<PublishedImage> {
    let reference = images::reference(env, task, role)?;
    match images::chosen(env, task)? {
        Chosen::Registry => with_digest(env, &reference).map(PublishedImage::new),
        Chosen::Packages => match provider::in_registry(env, &reference)? {
            Some(found) => Ok(found),
            None => pushed(env, task, role, &reference),
        },
    }
}

/// Pushes an image that is built from packages. Those of operator and database are unpacked in the node image.
fn pushed(env: &Env, task: TaskId, role: Role, reference: &str) -> Result<PublishedImage> {
    if !matches!(role, Role::Operator | Role::Postgresql) {
        if matches!(images::probe(env, task, role)?, Probe::Stale(_)) {
            images::ensure(env, task, role)?;
        }
        return provider::publish_to_registry(env, reference);
    }
    if matches!(images::probe(env, TaskId::NodeImage, Role::Node)?, Probe::Stale(_)) {
        images::ensure(env, TaskId::NodeImage, Role::Node)?;
    }
    images::packages::outside_node(env, task, role, reference)?;
    let published = provider::publish_to_registry(env, reference);
    env.engine()?.remove_image(reference)?;
    published
}

fn with_digest(env: &Env, reference: &str) -> Result<String> {
    if reference.contains('@') {
        return Ok(reference.to_owned());
    }
    let digest = env.engine()?.digest_in_registry(&images::registry::through_mirror(env, reference), ASK_LIMIT)?;
    let missing = || Problem::new(format!("no registry has {reference}, so its digest is unknown")).code(Code::NoProduct);
    Ok(format!("{reference}@{}", digest.ok_or_else(missing)?))
}

fn operator_objects(env: &Env) -> Result<Vec<Value>> {
    if !has_own_operator(env) {
        return Ok(Vec::new());
    }
    let image = upstream(env, TaskId::Operator, Role::Operator)?;
    let pull = provider::registry_credentials(env)?;
    let values = operator::Values {
        image: &image,
        instance: &env.instance,
        pod_security_version: &pod_security_version(env)?,
        throw_away: false,
        early_taints: &[],
        on_control_plane: false,
        pull_credentials: pull.as_ref(),
        api_port_of_node: None,
    };
    let mut all = operator::objects(&images::operator_manifest(env, TaskId::Operator)?, Vec::new(), &values)?;
    all.retain(|it| it["kind"] != "Secret");
    all.iter_mut().for_each(clean);
    Ok(all)
}

/// What an object is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Migration,
    /// A cache or a mail catcher, which starts before the migrations.
    Brought,
    Other,
}

/// What objects need besides their manifests.
struct Given<'a> {
    env: &'a Env,
    postgresql: &'a PublishedImage,
    references: &'a BTreeMap<Option<ServiceName>, PublishedImage>,
    has_pull_secret: bool,
}

impl Given<'_> {
    /// The objects of all folders, the database's first; for no address.
    fn complete(&self) -> Result<(Vec<(Use, Value)>, Published)> {
        let env = self.env;
        let exposure = &Exposure { front: provider(env).exposure(env).front, ..Exposure::of(ServiceType::ClusterIp) };
        let folders = Folders::read(env)?;
        let probe = objects::probe(&folders.first().manifests, &folders.first().roles);
        let elsewhere = folders.first().roles.elsewhere();
        let values = |service, image| Values {
            config: &env.config,
            service: env.config.service(service),
            image_name: &env.config.service(env.config.image_of(service)).image,
            instance: &env.instance,
            image,
            postgresql: self.postgresql,
            exposure,
            address: None,
            has_pull_secret: self.has_pull_secret,
            own_credentials: false,
        };
        let mut published = Published::default();
        let mut all: Vec<(Use, Value)> =
            objects::complete_all(folders.database, &elsewhere, &values(None, None)).into_iter().map(|it| (Use::Other, it)).collect();
        for folder in folders.services {
            let of = env.config.image_of(folder.service);
            let image = self.references.get(&of).with_context(|| format!("find the image of {}", name_of(folder.service)))?;
            let objects = objects::complete_all(folder.manifests, &folder.roles, &values(folder.service, Some(image)));
            if let Some(it) = &folder.roles.published {
                let service = &objects[it.service];
                let name = service["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                published = Published { service: name, port: it.port, container_port: folder.roles.port };
            }
            let is_brought = env.config.service(folder.service).kind.is_some();
            let of = |index| match folder.roles.migration {
                Some(migration) if migration == index => Use::Migration,
                _ if is_brought => Use::Brought,
                _ => Use::Other,
            };
            all.extend(objects.into_iter().enumerate().map(|(index, it)| (of(index), it)));
        }
        // The tool's own controller stays behind, and its Gateway with it: every cluster knows Ingresses.
        if env.config.is_behind_others() {
            let (doors, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(|it| it.1["kind"] == "Ingress");
            let doors = folder::with_routes(env, doors.into_iter().map(|it| it.1).collect())?;
            let further = front_door::objects(&env.config, &env.instance, &exposure.front.tags, probe.as_deref());
            all = rest.into_iter().chain(doors.into_iter().chain(further).map(|it| (Use::Other, it))).collect();
        }
        Ok((all, published))
    }
}

/// The ways to reach the application; the configured one comes first.
fn variants(env: &Env) -> Result<Vec<Variant>> {
    let host = &env.config.frontend.host;
    let plain = Address::new(format!("http://{host}"));
    let ingress = ingress_address(env)?;
    let of = |service| Exposure::of(service);
    let mut all = vec![
        ("ingress", of(ServiceType::ClusterIp), ingress),
        ("load-balancer", of(ServiceType::LoadBalancer), plain.clone()),
        ("node-port", of(ServiceType::NodePort(None)), plain),
    ];
    let is_kind = env.config.cluster.kind == ClusterType::Kind;
    let configured = match env.config.cluster.expose {
        _ if is_kind => "node-port",
        Some(Expose::NodePort) => "node-port",
        Some(Expose::Ingress) => "ingress",
        _ => "load-balancer",
    };
    // The instance's own address, if it has one: a cluster may not be there, or may not answer.
    let known = provider(env).address(env).ok().flatten();
    let known = known.or_else(|| is_kind.then(|| Address::new(format!("http://localhost:{}", env.config.cluster.port.unwrap_or(8080)))));
    for (name, exposure, address) in &mut all {
        let Some(known) = known.as_ref().filter(|_| *name == configured) else { continue };
        *exposure = provider(env).exposure(env);
        if exposure.service == ServiceType::NodePort(None) {
            exposure.service = ServiceType::NodePort(known.port().and_then(|it| it.parse().ok()));
        }
        address.clone_from(known);
    }
    // A kind cluster's port is of this machine only.
    let first = if is_kind { "ingress" } else { configured };
    all.sort_by_key(|(name, ..)| *name != first);
    let variant = |(name, exposure, address): (&'static str, Exposure, Address)| {
        let settings = settings_for(env, &exposure, &address)?;
        Ok(Variant { name, service: exposure.service, address, settings })
    };
    all.into_iter().map(variant).collect()
}

/// The ConfigMaps of text for one way to reach the application.
fn settings_for(env: &Env, exposure: &Exposure, address: &Address) -> Result<Vec<Settings>> {
    let no_image = PublishedImage::new("");
    let mut out = Vec::new();
    for folder in Folders::read(env)?.services {
        let manifests = folder.manifests.into_iter().filter(|it| it.object["kind"] == "ConfigMap").collect();
        let values = Values {
            config: &env.config,
            service: env.config.service(folder.service),
            image_name: "",
            instance: &env.instance,
            image: None,
            postgresql: &no_image,
            exposure,
            address: Some(address),
            has_pull_secret: false,
            own_credentials: false,
        };
        out.extend(objects::complete_all(manifests, &folder.roles.elsewhere(), &values).iter().filter_map(|it| text_only(env, it)));
    }
    Ok(out)
}

/// A ConfigMap of the application's namespace that holds text and nothing else.
fn text_only(env: &Env, object: &Value) -> Option<Settings> {
    let is_plain = object["binaryData"].is_null() && object["immutable"].is_null();
    if object["kind"] != "ConfigMap" || !is_plain || object["metadata"]["namespace"] != env.config.namespace.as_str() {
        return None;
    }
    let data = object["data"].as_object()?.iter().map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
    Some(Settings { name: object["metadata"]["name"].as_str()?.to_owned(), data: data.collect::<Option<_>>()? })
}

fn only_differences(mut variant: Variant, base: &[Settings]) -> Variant {
    for settings in &mut variant.settings {
        let same = base.iter().find(|it| it.name == settings.name);
        settings.data.retain(|key, value| same.is_none_or(|it| it.data.get(key) != Some(value)));
    }
    variant.settings.retain(|it| !it.data.is_empty() && base.iter().any(|one| one.name == it.name));
    variant
}

/// Sorts the objects into the lists, without the tool's marks and without Secrets.
fn sort(env: &Env, out: &mut Exported, objects: Vec<(Use, Value)>, references: &[String]) -> Result<()> {
    let mut jobs = Vec::new();
    let mut cluster = None;
    let mut tags = BTreeSet::new();
    for (of, mut object) in objects {
        clean(&mut object);
        tags.extend(image_names(&mut object, &out.images, references));
        let kind = object["kind"].as_str().unwrap_or_default().to_owned();
        let is_known = is_built_in(scope::group(&object));
        if let Some(settings) = text_only(env, &object) {
            out.settings.push(settings);
        } else if kind == "Namespace" {
            out.foundation.insert(0, object);
        } else if kind == "Job" && is_known {
            jobs.push((of, object));
        } else if kind == "Cluster" && object["metadata"]["name"] == out.database.as_str() {
            cluster = Some(object);
        } else if kind == "Secret" {
            if object["metadata"]["namespace"] != env.config.namespace.as_str() {
                let (name, namespace) = (&object["metadata"]["name"], &object["metadata"]["namespace"]);
                out.notes.push(format!("The Secret {name} of namespace {namespace} is left out: create it yourself."));
            }
        } else {
            let is_first = is_known && (FIRST.contains(&kind.as_str()) || BASE.contains(&kind.as_str()));
            let of_database = object["metadata"]["labels"]["app.kubernetes.io/component"] == "database";
            (if is_first || of_database || of == Use::Brought { &mut out.foundation } else { &mut out.app }).push(object);
        }
    }
    out.foundation.extend(cluster);
    let host = format!("{}-rw", out.database);
    for (of, job) in jobs {
        let wait = (of == Use::Migration).then_some((host.as_str(), out.postgresql.as_str()));
        out.jobs.push(job_for_files(job, &out.images, &out.settings, wait));
    }
    for tag in tags {
        // Another program's image: its registry may not answer here.
        match with_digest(env, &tag) {
            Ok(full) => {
                out.foundation.iter_mut().chain(&mut out.app).chain(&mut out.jobs).for_each(|it| objects::replace_image(it, &tag, &full))
            }
            Err(_) => out.notes.push(format!("The image {tag} has no digest: its registry did not tell it.")),
        }
    }
    Ok(())
}

/// The Secrets that no operator makes.
fn required(env: &Env, objects: &[(Use, Value)]) -> Result<Vec<Required>> {
    let mut out = Vec::new();
    for (name, _) in key_secrets(env) {
        out.push(Required { name, kind: "Opaque".to_owned(), keys: vec![("secret-key".to_owned(), Key::Generated(KEY_LENGTH))] });
    }
    for (service, config) in env.config.all_services().filter(|(_, it)| !it.secrets.is_empty()) {
        let key = |name: &String, source: &crate::config::SecretSource| match source.origin(name) {
            Some(SecretOrigin::Generated(length)) => Key::Generated(length),
            Some(SecretOrigin::Variable(variable)) => Key::Given(format!("the value of the variable {variable}")),
            Some(SecretOrigin::File(file) | SecretOrigin::Sops(file, None) | SecretOrigin::Age(file, _)) if name != EVERY => {
                Key::Given(format!("the content of {}", file.display()))
            }
            Some(SecretOrigin::Sops(file, Some(key))) => Key::Given(format!("{key} of {}", file.display())),
            Some(SecretOrigin::Sops(file, None)) => Key::Given(format!("every key of {}", file.display())),
            _ => Key::Given("your value".to_owned()),
        };
        let keys = config.secrets.iter().map(|(name, source)| (name.clone(), key(name, source))).collect();
        out.push(Required { name: secrets::variables_name(service), kind: "Opaque".to_owned(), keys });
    }
    let operators = credentials(env)?;
    for (_, object) in objects.iter().filter(|(_, it)| it["kind"] == "Secret") {
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let is_elsewhere = object["metadata"]["namespace"] != env.config.namespace.as_str();
        if name == operators || is_elsewhere || out.iter().any(|it| it.name == name) {
            continue;
        }
        let keys: BTreeSet<String> =
            ["data", "stringData"].iter().flat_map(|it| object[*it].as_object()).flatten().map(|(key, _)| key.clone()).collect();
        let kind = object["type"].as_str().unwrap_or("Opaque").to_owned();
        let keys = keys.into_iter().map(|key| (key, Key::Given("as in its manifest in deploy/".to_owned()))).collect();
        out.push(Required { name, kind, keys });
    }
    Ok(out)
}
