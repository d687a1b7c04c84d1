//! Builds upstream's images from package registries, with the recipes in `build/images/`.
//!
//! Each product is in the user's cache, with a hash of its inputs in its name; an existing product is never rebuilt. The engine gets two
//! images, node and Python; the images of operator and database are unpacked inside the node image.

mod archive;
mod changed;
mod database;
mod golang;
mod keys;
mod mailpit;
mod node;
mod node_contents;
mod products;
mod recipe;
mod rootfs;
mod steps;
mod verified;

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{
    deploy::manifests,
    engine::{BuildRequest, Nameless, Root},
    env::Env,
    errors::{Code, Problem},
    graph::TaskId,
    images::{
        Role,
        packages::{
            archive::Archive,
            keys::{Keys, NODE_ROOTS},
            recipe::{Recipes, fill},
            steps::Steps,
        },
    },
    setup::Need,
};

pub use crate::images::packages::{node_contents::inside_as_image, recipe::Versions};

/// Debian packages that a build needs on this machine. Go comes from the user, since Debian's is too old.
pub const NEEDS: &[Need] = &[Need { program: "mmdebstrap", package: "mmdebstrap" }];

/// Paths of a root file system that no image needs.
const WITHOUT: [&str; 2] = ["dev/", "etc/apt"];

/// The recipes' folder in the project.
const RECIPES: &str = "build/images";

/// The label of the images that the recipes build, with the key of the recipe.
const RECIPE_LABEL: &str = "dev.pocdeploy.recipe";

/// The pinned versions of `build/images/versions.toml`.
pub fn versions(env: &Env) -> Result<Versions> {
    recipe::versions(&env.files.folder(RECIPES)?)
}

/// The text of a file among the recipes.
pub fn text(env: &Env, path: &str) -> Result<String> {
    let path = env.files.folder(RECIPES)?.join(path);
    std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
}

/// The recipes with their keys; read once in a run.
fn read(env: &Env) -> Result<Arc<(Recipes, Keys)>> {
    env.readings.once("recipes of images", || {
        let recipes = Recipes::read(&env.files.folder(RECIPES)?)?;
        let keys = Keys::of(&recipes)?;
        Ok(Arc::new((recipes, keys)))
    })
}

/// The image's reference, with a hash of all inputs.
pub fn reference(env: &Env, role: Role) -> Result<String> {
    let known = read(env)?;
    let (recipes, keys) = &*known;
    Ok(match role {
        Role::Python => python_name(recipes, keys)?,
        Role::Node => node_name(recipes, keys),
        Role::Operator => inside(recipes, keys, "localhost/pocdeploy/cloudnative-pg:")?,
        Role::Postgresql => match database::Own::of(env, recipes)? {
            Some(own) => own.name,
            None => inside(recipes, keys, "localhost/pocdeploy/postgresql:")?,
        },
        Role::Valkey => valkey_name(recipes, keys),
        Role::Mailpit => mailpit_name(recipes, keys),
        Role::Traefik => traefik_name(recipes, keys),
    })
}

/// Builds the image and imports it into the engine, and reuses products in the cache.
pub fn ensure(env: &Env, task: TaskId, role: Role) -> Result<()> {
    crate::setup::ensure(env, task, NEEDS, "building images from packages")?;
    let known = read(env)?;
    let (recipes, keys) = &*known;
    match role {
        Role::Python => python(env, task, recipes, keys),
        Role::Node => whole_node(env, task, recipes, keys),
        Role::Valkey => valkey(env, task, recipes, keys),
        Role::Mailpit => mailpit(env, task, recipes, keys),
        Role::Traefik => traefik(env, task, recipes, keys),
        Role::Operator | Role::Postgresql => Err(Problem::new("this image is inside the node image").into()),
    }
}

/// Whether the database's image is none of the node's: it has another version, or extensions from packages of their own.
pub fn has_own_database(env: &Env) -> Result<bool> {
    Ok(database::Own::of(env, &read(env)?.0)?.is_some())
}

/// Whether the files of the database's own image are in the cache; true if it needs none.
pub fn has_database_files(env: &Env) -> Result<bool> {
    Ok(database::Own::of(env, &read(env)?.0)?.is_none_or(|own| own.place(env).exists()))
}

/// Makes the files of the database's own image, if it needs one.
pub fn ensure_database_files(env: &Env, task: TaskId) -> Result<()> {
    let known = read(env)?;
    let Some(own) = database::Own::of(env, &known.0)? else { return Ok(()) };
    crate::setup::ensure(env, task, NEEDS, "building images from packages")?;
    database::make(env, task, &known.0, &own, &Steps::new(env, task, 1)).map(drop)
}

/// Imports the operator's or the database's image into the engine under the name of its reference.
pub fn outside_node(env: &Env, task: TaskId, role: Role, image: &str) -> Result<()> {
    let known = read(env)?;
    match database::Own::of(env, &known.0)?.filter(|_| role == Role::Postgresql) {
        Some(own) => {
            crate::setup::ensure(env, task, NEEDS, "building images from packages")?;
            database::import(env, task, &known.0, &own)
        }
        None => inside_as_image(env, role, image),
    }
}

/// The pinned `kind`, built from its Go module.
pub fn kind_binary(env: &Env, task: TaskId) -> Result<PathBuf> {
    let known = read(env)?;
    let (recipes, keys) = &*known;
    golang::kind(env, task, recipes, keys, &Steps::new(env, task, 1))
}

/// The containerd client from the node image, for the host; `None` if the node image was not built here.
pub fn containerd_client(env: &Env) -> Option<PathBuf> {
    let known = read(env).ok()?;
    Some(products::place(env, "containerd", &known.1.containerd).join("ctr")).filter(|it| it.is_file())
}

/// kubectl from the node image, for the host; `None` if the node image was not built here.
pub fn kubectl(env: &Env) -> Option<PathBuf> {
    let known = read(env).ok()?;
    Some(products::place(env, "cluster-programs", &known.1.programs).join("kubectl")).filter(|it| it.is_file())
}

/// Runs the tests of the programs among the recipes.
pub fn test_programs(env: &Env, limit: Duration) -> Result<()> {
    golang::test(env, &env.files.folder(RECIPES)?, limit)
}

/// The operator's release manifest from its Go module, as JSON, which is much faster to read than YAML.
pub fn operator_manifest(env: &Env, task: TaskId) -> Result<String> {
    let known = read(env)?;
    let recipes = &known.0;
    let version = &recipes.versions.cloudnative_pg;
    let module = "github.com/cloudnative-pg/cloudnative-pg";
    let file = products::product(env, task, "operator-objects", version, |part| {
        let folder = golang::module_folder(env, task, recipes, "go", module)?;
        let from = folder.join(format!("releases/cnpg-{version}.yaml"));
        let text = std::fs::read_to_string(&from).with_context(|| format!("read {}", from.display()))?;
        let objects = serde_json::to_vec(&manifests::parse(&text)?)?;
        std::fs::write(part, objects).with_context(|| format!("write {}", part.display()))
    })?;
    std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))
}

/// The CRDs that Traefik's provider watches (`WatchAll` in its `client.go`).
const DEFINITIONS: [&str; 7] =
    ["backendtlspolicies", "gatewayclasses", "gateways", "grpcroutes", "httproutes", "referencegrants", "tlsroutes"];

/// The CRDs of the Gateway API, from the Go module that Traefik is built with.
pub fn gateway_definitions(env: &Env, task: TaskId) -> Result<Vec<Value>> {
    let known = read(env)?;
    let (recipes, keys) = &*known;
    let is_missing = !products::place(env, "gateway-objects", &keys.traefik_image).exists();
    if is_missing && env.may_change(String::new).is_err() {
        // A plan says the rest.
        return Ok(Vec::new());
    }
    let file = products::product(env, task, "gateway-objects", &keys.traefik_image, |part| {
        let folder = golang::module_folder(env, task, recipes, "traefik", "sigs.k8s.io/gateway-api")?;
        let mut all = Vec::new();
        for name in DEFINITIONS {
            let from = folder.join(format!("config/crd/standard/gateway.networking.k8s.io_{name}.yaml"));
            let text = std::fs::read_to_string(&from).with_context(|| format!("read {}", from.display()))?;
            all.extend(manifests::parse(&text)?);
        }
        std::fs::write(part, serde_json::to_vec(&all)?).with_context(|| format!("write {}", part.display()))
    })?;
    let text = std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("read {}", file.display()))
}

fn python_name(recipes: &Recipes, keys: &Keys) -> Result<String> {
    Ok(format!("localhost/pocdeploy/python:{}-{}", recipes.versions.python, keys.python_image))
}

fn node_name(recipes: &Recipes, keys: &Keys) -> String {
    format!("localhost/pocdeploy/node:v{}-{}", recipes.versions.kubernetes, keys.node_image)
}

fn valkey_name(recipes: &Recipes, keys: &Keys) -> String {
    format!("localhost/pocdeploy/valkey:{}-{}", recipes.versions.valkey, keys.valkey_image)
}

fn mailpit_name(recipes: &Recipes, keys: &Keys) -> String {
    format!("localhost/pocdeploy/mailpit:{}-{}", recipes.versions.mailpit, keys.mailpit_image)
}

fn traefik_name(recipes: &Recipes, keys: &Keys) -> String {
    format!("localhost/pocdeploy/traefik:{}-{}", recipes.versions.traefik, keys.traefik_image)
}

/// The only image name in the node with this prefix.
fn inside(recipes: &Recipes, keys: &Keys, start: &str) -> Result<String> {
    for image in &recipes.images {
        if let Some(name) = image.names.iter().find(|it| it.starts_with(start)) {
            return fill(name, &recipes.versions, &keys.of_image(image)?);
        }
    }
    Err(Problem::config(format!("build/images/node/images.toml has no image {start}")).code(Code::Recipe).into())
}

fn python(env: &Env, task: TaskId, recipes: &Recipes, keys: &Keys) -> Result<()> {
    let steps = Steps::new(env, task, 2);
    let files = rootfs::make(env, task, recipes, keys, "python", &steps)?;
    let name = python_name(recipes, keys)?;
    import(env, task, "python", &name, &keys.python_image, &steps, |out| out.rootfs(&files, "", &WITHOUT))
}

fn valkey(env: &Env, task: TaskId, recipes: &Recipes, keys: &Keys) -> Result<()> {
    let steps = Steps::new(env, task, 2);
    let files = rootfs::make(env, task, recipes, keys, "valkey", &steps)?;
    import(env, task, "valkey", &valkey_name(recipes, keys), &keys.valkey_image, &steps, |out| out.rootfs(&files, "", &WITHOUT))
}

fn mailpit(env: &Env, task: TaskId, recipes: &Recipes, keys: &Keys) -> Result<()> {
    let steps = Steps::new(env, task, 2);
    let program = mailpit::make(env, task, recipes, keys, &steps)?;
    import(env, task, "mailpit", &mailpit_name(recipes, keys), &keys.mailpit_image, &steps, |out| out.program("mailpit", &program))
}

fn traefik(env: &Env, task: TaskId, recipes: &Recipes, keys: &Keys) -> Result<()> {
    let steps = Steps::new(env, task, 2);
    let program = golang::traefik(env, task, recipes, keys, &steps)?;
    import(env, task, "traefik", &traefik_name(recipes, keys), &keys.traefik_image, &steps, |out| out.program("traefik", &program))
}

fn whole_node(env: &Env, task: TaskId, recipes: &Recipes, keys: &Keys) -> Result<()> {
    let roots = NODE_ROOTS;
    let steps = Steps::new(env, task, roots.len() + 5);
    // Compiler and Debian packages take about the same time and wait for different resources.
    let (built, unpacked) = std::thread::scope(|scope| {
        let roots = scope.spawn(|| roots.iter().try_for_each(|name| rootfs::make(env, task, recipes, keys, name, &steps).map(drop)));
        (golang::everything(env, task, recipes, keys, &steps), roots.join())
    });
    let unpacked = unpacked.unwrap_or_else(|_| Err(Problem::new("the thread that makes root file systems ended early").into()));
    let parts = match (built, unpacked) {
        (Ok(programs), Ok(())) => node::Parts::gather(env, task, recipes, keys, programs, &steps)?,
        (Err(error), Ok(())) | (Ok(_), Err(error)) => return Err(error),
        (Err(error), Err(other)) => return Err(error.context(format!("besides, another step failed: {other:#}"))),
    };
    import(env, task, "node", &node_name(recipes, keys), &keys.node_image, &steps, |out| parts.write(out))
}

/// Streams an image's files into the engine as one layer, and adds the settings of its Dockerfile.
fn import(
    env: &Env,
    task: TaskId,
    folder: &str,
    name: &str,
    key: &str,
    steps: &Steps<'_>,
    write: impl FnOnce(&mut Archive<'_>) -> Result<()> + Send,
) -> Result<()> {
    let engine = env.engine()?;
    let files = format!("localhost/pocdeploy/{folder}-files");
    steps.says(&format!("importing {name} into the engine"));
    engine.import(&files, key, |out| {
        let progress = |bytes| steps.says(&format!("importing {name} into the engine: {} MB", bytes / 1_000_000));
        let mut archive = Archive::new(out, &progress);
        write(&mut archive)?;
        archive.finish()
    })?;
    let files = format!("{files}:{key}");
    let dockerfile = env.files.folder(RECIPES)?.join(folder).join("Dockerfile");
    let request = BuildRequest {
        context: vec![Root::whole(dockerfile, "Dockerfile")],
        dockerfile: "Dockerfile".to_owned(),
        tag: name.to_owned(),
        args: [("FILES".to_owned(), files.clone())].into(),
        labels: [(RECIPE_LABEL.to_owned(), key.to_owned())].into(),
        network: false,
    };
    let built = engine.build(request, |line| env.detail(task, line));
    // Removes the name only: the derived image keeps the files.
    engine.remove_image(&files)?;
    built?;
    // A node image has 1.3 GB. An image too many is no reason to fail.
    let cleared = engine.keep_two(&format!("localhost/pocdeploy/{folder}"), RECIPE_LABEL, name);
    if let Err(error) = cleared.and_then(|()| engine.remove_nameless(Nameless::Inherited(RECIPE_LABEL))) {
        env.detail(task, format!("older images stay: {error:#}"));
    }
    steps.done();
    Ok(())
}
