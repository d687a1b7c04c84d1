//! The database's image where it is not the one in the node: of another major version of PostgreSQL, or with extensions.

use std::path::PathBuf;

use anyhow::Result;

use crate::{
    config::extension,
    env::Env,
    errors::{Code, Problem},
    graph::TaskId,
    images::packages::{
        WITHOUT, keys,
        products::{place, product},
        recipe::{Recipes, Root},
        rootfs,
        steps::Steps,
    },
};

/// The product's name in the cache.
const PRODUCT: &str = "rootfs-database";

/// An image of its own.
pub(super) struct Own {
    root: Root,
    key: String,
    /// The image's reference.
    pub(super) name: String,
}

impl Own {
    /// The image that the configuration asks for; `None` if it is the node's.
    pub(super) fn of(env: &Env, recipes: &Recipes) -> Result<Option<Own>> {
        let usual = &recipes.versions.postgresql;
        let database = &env.config.database;
        let major = database.version.map_or_else(|| usual.clone(), |it| it.to_string());
        let names = extension::with_needed(&database.extensions);
        let mut packages: Vec<String> =
            names.iter().filter_map(|it| extension::package(it)).map(|it| format!("postgresql-{major}-{it}")).collect();
        if major == *usual && packages.is_empty() {
            return Ok(None);
        }
        let table = if major == *usual { "postgresql".to_owned() } else { format!("postgresql-{major}") };
        if !recipes.roots.contains_key(&table) {
            let built: Vec<&str> = recipes.roots.keys().filter_map(|it| it.strip_prefix("postgresql-")).chain([usual.as_str()]).collect();
            let what = format!("PostgreSQL {major} cannot be built from package registries: Debian has {}", built.join(" and "));
            let hint = "set database.version to one of these; or set images.source = \"registry\"";
            return Err(Problem::config(what).code(Code::Recipe).hint(hint).into());
        }
        let mut root = recipes.root(&table)?;
        // The same set of extensions is the same image.
        packages.sort();
        packages.dedup();
        root.packages.extend(packages);
        let key = keys::root_key(recipes, &root)?;
        let name = format!("localhost/pocdeploy/postgresql:{major}-{key}");
        Ok(Some(Own { root, key, name }))
    }

    /// Where its files are in the cache, once they are made.
    pub(super) fn place(&self, env: &Env) -> PathBuf {
        place(env, PRODUCT, &self.key)
    }
}

/// The image's files as a tar archive.
pub(super) fn make(env: &Env, task: TaskId, recipes: &Recipes, own: &Own, steps: &Steps<'_>) -> Result<PathBuf> {
    product(env, task, PRODUCT, &own.key, |part| rootfs::bootstrap(env, task, recipes, "database", &own.root, part, steps))
}

/// Imports the image into the engine.
pub(super) fn import(env: &Env, task: TaskId, recipes: &Recipes, own: &Own) -> Result<()> {
    let steps = Steps::new(env, task, 2);
    let files = make(env, task, recipes, own, &steps)?;
    steps.done();
    super::import(env, task, "postgresql", &own.name, &own.key, &steps, |out| out.rootfs(&files, "", &WITHOUT))
}
