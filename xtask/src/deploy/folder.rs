//! The manifests of a service or of the database: those that the tool writes, and how the user's files in `deploy/NAME` change them.
//!
//! An object of the user's replaces the written one of the same kind and name, amends it if it has the annotation [`MERGE`], or is added.
//! A folder with a workload of another name that runs the service's image is complete by itself: nothing is written beside it.

use std::path::PathBuf;

use anyhow::Result;
use serde_json::Value;

use crate::{
    config::{Service, ServiceName, name_of, table_of},
    deploy::{
        extensions, front_door, gateway,
        manifests::{MERGE, Manifest, Place, bad, identity, read_folder},
        merge, objects,
        plain::{self, Plain},
        scope, secrets,
    },
    env::Env,
    errors::{Code, Problem},
    patch::{self, queue},
};

/// The kinds that run pods.
const WORKLOADS: [&str; 5] = ["Deployment", "StatefulSet", "DaemonSet", "CronJob", "Pod"];

/// The folder's name of the database.
pub const DATABASE: &str = "database";

/// The manifests of a service; nothing is the first one. A run reads them once, so that all its tasks see the same objects, also if
/// a file is edited meanwhile.
pub fn of_service(env: &Env, service: Option<ServiceName>) -> Result<Vec<Manifest>> {
    env.readings.once(&name_of(service), || Folder::of_service(env, service)?.combined())
}

/// The database's manifests, read once like a service's.
pub fn of_database(env: &Env) -> Result<Vec<Manifest>> {
    env.readings.once(DATABASE, || {
        let mut out = Folder::of_database(env)?.combined()?;
        extensions::add(&mut out, &env.config);
        Ok(out)
    })
}

/// Objects with HTTPRoutes in place of Ingresses, if the configuration asks for the Gateway API.
pub fn with_routes(env: &Env, all: Vec<Value>) -> Result<Vec<Value>> {
    if !env.config.has_routes() {
        return Ok(all);
    }
    Ok(gateway::convert(all, &named_ports(env)?, &front_door::parent(&env.config))?)
}

/// The named ports of all Services in the manifests.
fn named_ports(env: &Env) -> Result<gateway::Ports> {
    let mut out = gateway::Ports::new();
    for (service, _) in env.config.all_services() {
        let objects: Vec<Value> = of_service(env, service)?.into_iter().map(|it| it.object).collect();
        out.extend(gateway::ports(&objects));
    }
    Ok(out)
}

/// The name of the folder in `deploy/`, and the objects that the tool writes for it without the user's changes: what `eject` writes.
pub fn written(env: &Env) -> Result<Vec<(String, Vec<Value>)>> {
    let mut all = vec![(DATABASE.to_owned(), Folder::of_database(env)?)];
    for (service, _) in env.config.all_services() {
        all.push((name_of(service), Folder::of_service(env, service)?));
    }
    Ok(all.into_iter().map(|(name, it)| (name, it.written.into_iter().map(|it| it.object).collect())).collect())
}

struct Folder {
    /// Written by the tool, and not replaced.
    written: Vec<Manifest>,
    own: Vec<Manifest>,
    amending: Vec<Manifest>,
    namespace: String,
}

impl Folder {
    /// Sorts the user's objects. `is_whole` says whether they are complete; it gets an object that replaces none.
    fn new(env: &Env, name: &str, written: Vec<Value>, own: Vec<Manifest>, is_whole: impl Fn(&Value) -> bool) -> Folder {
        let namespace = env.config.namespace.clone();
        let (amending, own): (Vec<_>, Vec<_>) = own.into_iter().partition(Manifest::amends);
        let is_same = |one: &Value, other: &Value| identity(one, &namespace) == identity(other, &namespace);
        let whole = own.iter().any(|it| !written.iter().any(|one| is_same(one, &it.object)) && is_whole(&it.object));
        let kept = written.into_iter().filter(|it| !whole && !own.iter().any(|one| is_same(&one.object, it)));
        // A place in messages: there is no file.
        let place = || Place { file: format!("written by the tool for {name}"), line: 1 };
        let written = kept.map(|object| Manifest { object, place: place() }).collect();
        Folder { written, own, amending, namespace }
    }

    fn of_service(env: &Env, service: Option<ServiceName>) -> Result<Folder> {
        let name = name_of(service);
        let config = env.config.service(service);
        let image = &env.config.service(env.config.image_of(service)).image;
        let database = database_name(env)?;
        // A service that runs the image of another shares its key, unless it has one of its own.
        let secret = secrets::key_name(if config.secret_key.is_some() { service } else { env.config.image_of(service) });
        let plain = Plain { config: &env.config, service, database: &database, secret: &secret };
        let own = own_folder(env, service)?.map_or_else(|| Ok(Vec::new()), |it| read_folder(&it))?;
        // A second copy of the service that it uses is never meant.
        let has_nothing_to_run = service.is_some() && config.uses.is_some() && config.command.is_none();
        let is_workload = |it: &Value| WORKLOADS.iter().any(|kind| it["kind"] == *kind);
        let is_whole = |it: &Value| is_workload(it) && (has_nothing_to_run || objects::runs(it, image));
        let mut written = plain.objects();
        // A role that the user gives to the namespace's own account is of use to pods with a token only.
        if service.is_none() && default_has_a_role(env)? {
            written.retain(|it| it["kind"] != "ServiceAccount" || it["metadata"]["name"] != "default");
        }
        let out = Folder::new(env, &name, written, own, is_whole);
        out.refuse_keys(&name, service, config)?;
        if has_nothing_to_run && !out.own.iter().any(|it| is_workload(&it.object)) {
            let what = format!(
                "services.{name} has neither a command nor a workload in deploy/{name}: it would be a second copy of the service that it uses"
            );
            let hint = format!("write `command = [\"…\"]` into [services.{name}], or its Deployment into deploy/{name}");
            return Err(Problem::config(what).code(Code::Manifest).hint(hint).into());
        }
        Ok(out)
    }

    fn of_database(env: &Env) -> Result<Folder> {
        let own = env.path("deploy/database");
        let has_own = own.is_dir() || (is_example(env)? && env.files.embedded_folder("deploy/database")?.is_some());
        let own = if has_own { read_folder(&env.files.folder("deploy/database")?)? } else { Vec::new() };
        let is_cluster = |it: &Value| it["kind"] == "Cluster" && scope::group(it) == "postgresql.cnpg.io";
        Ok(Folder::new(env, DATABASE, plain::database(&env.config), own, is_cluster))
    }

    /// An error for a key of the service that nothing follows, since the user's own manifests say it.
    fn refuse_keys(&self, name: &str, service: Option<ServiceName>, config: &Service) -> Result<()> {
        let written: Vec<&str> = self.written.iter().filter_map(|it| it.object["kind"].as_str()).collect();
        let secret = secrets::variables_name(service);
        let is_it = |it: &&Manifest| it.object["kind"] == "Secret" && it.object["metadata"]["name"] == secret.as_str();
        if let Some(own) = self.own.iter().chain(&self.amending).find(is_it).filter(|_| !config.secrets.is_empty()) {
            let what = format!("{own} has the name of the Secret that the tool writes for [{}.secrets]", table_of(service));
            let hint = "give it another name, or remove the table from Pocdeploy.toml";
            return Err(Problem::config(what).code(Code::Manifest).hint(hint).into());
        }
        let is_read = self.own.iter().chain(&self.amending).any(|it| objects::refers_to_secret(&it.object, &secret));
        let keys = without_effect(service, config, &written);
        let Some(key) = keys.into_iter().find(|key| *key != "secrets" || !is_read) else { return Ok(()) };
        let what = format!("{}.{key} has no effect: deploy/{name} has its own manifest for that", table_of(service));
        if key == "secrets" {
            let hint = format!(
                "name the Secret `{secret}` in its pods, as `secretKeyRef` or in `envFrom`; or remove the table from Pocdeploy.toml"
            );
            return Err(Problem::config(what).code(Code::Manifest).hint(hint).into());
        }
        let hint = format!("remove the key from Pocdeploy.toml; or amend the object instead, with the annotation `{MERGE}: \"true\"`");
        Err(Problem::config(what).code(Code::Manifest).hint(hint).into())
    }

    /// All objects, amended.
    fn combined(self) -> Result<Vec<Manifest>> {
        let Folder { written, own, amending, namespace } = self;
        let mut out = [written, own].concat();
        for mut amending in amending {
            let wanted = identity(&amending.object, &namespace);
            let exact = out.iter().position(|it| identity(&it.object, &namespace) == wanted);
            let at = exact.or_else(|| only_of_name(&out, &amending));
            let Some(target) = at.and_then(|it| out.get_mut(it)) else {
                let kind = amending.object["kind"].clone();
                let same_kind = out.iter().filter(|it| it.object["kind"] == kind);
                let names: Vec<&str> = same_kind.filter_map(|it| it.object["metadata"]["name"].as_str()).collect();
                let known =
                    if names.is_empty() { "there is none of this kind".to_owned() } else { format!("there is {}", names.join(", ")) };
                let what = format!("{amending} amends no object: {known}");
                let hint = format!("correct the name, or remove the annotation `{MERGE}` if it is an object of its own");
                return Err(Problem::config(what).code(Code::Manifest).hint(hint).into());
            };
            if let Some(notes) = amending.object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
                notes.remove(MERGE);
            }
            merge::objects(&mut target.object, &amending.object).map_err(|why| bad(&amending.place, &why))?;
        }
        Ok(out)
    }
}

/// The one object of the amending one's kind and name, if that says no namespace: manifests that name theirs are moved to the configured
/// namespace later.
fn only_of_name(all: &[Manifest], amending: &Manifest) -> Option<usize> {
    let name_of = |it: &Value| {
        let (group, kind, _, name) = identity(it, "");
        (group, kind, name)
    };
    let wanted = name_of(&amending.object);
    let mut found =
        all.iter().enumerate().filter(|it| amending.object["metadata"]["namespace"].is_null() && name_of(&it.1.object) == wanted);
    let (at, _) = found.next()?;
    found.next().is_none().then_some(at)
}

/// The keys of a service that change none of the objects that the tool still writes, given their kinds.
pub fn without_effect(service: Option<ServiceName>, config: &Service, written: &[&str]) -> Vec<&'static str> {
    let is_written = |kinds: &[&str]| written.iter().any(|it| kinds.contains(it));
    let (workload, migration) = (is_written(&["Deployment", "CronJob"]), is_written(&["Job"]));
    let has_effect = |key: &&str| match *key {
        "command" | "health" | "schedule" => workload,
        "migrate" => migration,
        // Other services get the address of a further one.
        "port" => service.is_some() || workload || is_written(&["Service", "NetworkPolicy"]),
        "volumes" => workload || migration || is_written(&["PersistentVolumeClaim"]),
        _ => workload || migration,
    };
    config.for_plain_manifests().into_iter().filter(|it| !has_effect(it)).collect()
}

/// The name of the `Cluster`.
fn database_name(env: &Env) -> Result<String> {
    let found = of_database(env)?.into_iter().find(|it| it.object["kind"] == "Cluster");
    Ok(found.and_then(|it| it.object["metadata"]["name"].as_str().map(str::to_owned)).unwrap_or_default())
}

/// Whether the user's manifests of any service give a role to the account `default`.
fn default_has_a_role(env: &Env) -> Result<bool> {
    for (service, _) in env.config.all_services() {
        let Some(folder) = own_folder(env, service)? else { continue };
        let bindings =
            read_folder(&folder)?.into_iter().filter(|it| it.object["kind"].as_str().is_some_and(|it| it.ends_with("RoleBinding")));
        let subjects = bindings.flat_map(|it| it.object["subjects"].as_array().cloned().unwrap_or_default());
        if subjects.into_iter().any(|it| it["kind"] == "ServiceAccount" && it["name"] == "default") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The folder of a service's own manifests; for the example, what an installed program embeds.
fn own_folder(env: &Env, service: Option<ServiceName>) -> Result<Option<PathBuf>> {
    let own = env.path(format!("deploy/{}", name_of(service)));
    if service.is_none() && is_example(env)? && env.files.embedded_folder("deploy/frontend")?.is_some() {
        return env.files.folder("deploy/frontend").map(Some);
    }
    Ok(own.is_dir().then_some(own))
}

/// Whether the first service is the example for which an installed program embeds manifests and patches: its patches fit. In a checkout
/// everything is the project's own.
pub fn is_example(env: &Env) -> Result<bool> {
    let service = &env.config.frontend;
    let Some(patches) = env.files.embedded_folder(Service::default().patch_dir)? else { return Ok(false) };
    let source = env.path(&service.path);
    let exists = |name: &str| source.join(name).symlink_metadata().is_ok();
    Ok(patch::absent(&queue::read(&patches, &exists)?.patches, &source).is_none())
}
