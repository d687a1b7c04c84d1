//! Keys: the hash of each product's inputs, so that a change rebuilds only the affected products.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::{
    errors::{Code, Problem},
    fingerprint::Fingerprint,
    images::packages::recipe::{Image, Recipes, Root, arch},
};

/// Increase this when the code makes another product from the same recipes.
const ASSEMBLY: &str = "1";

/// The root file systems in the node: its own, and those of its images.
pub(super) const NODE_ROOTS: [&str; 4] = ["node", "proxy", "postgresql", "python"];

/// The key of every product.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    pub(super) kind: String,
    pub(super) programs: String,
    pub(super) containerd: String,
    pub(super) policies: String,
    pub(super) roots: BTreeMap<String, String>,
    pub(super) python_image: String,
    pub(super) node_image: String,
    pub(super) valkey_image: String,
    pub(super) mailpit_image: String,
    pub(super) traefik_image: String,
}

impl Keys {
    pub(super) fn of(recipes: &Recipes) -> Result<Keys> {
        let versions = &recipes.versions;
        let mut go = Fingerprint::new();
        go.add("architecture", arch()?);
        go.add_tree("go", &recipes.folder.join("go"))?;
        go.add("versions", format!("{} {}", versions.kubernetes, versions.cloudnative_pg));
        let mut containerd = Fingerprint::new();
        containerd.add("architecture", arch()?);
        containerd.add_tree("containerd", &recipes.folder.join("containerd"))?;
        containerd.add("version", &versions.containerd);
        let mut policies = Fingerprint::new();
        policies.add("architecture", arch()?);
        policies.add_tree("policies", &recipes.folder.join("policies"))?;
        let mut kind = Fingerprint::new();
        kind.add("architecture", arch()?);
        kind.add_file("go.sum", &recipes.folder.join("go/go.sum"))?;
        kind.add("version", &versions.kind);
        let mut roots = BTreeMap::new();
        for name in recipes.roots.keys().filter(|it| *it != "all") {
            roots.insert(name.clone(), root_key(recipes, &recipes.root(name)?)?);
        }
        let mut keys = Keys {
            kind: kind.short(),
            programs: go.short(),
            containerd: containerd.short(),
            policies: policies.short(),
            roots,
            python_image: String::new(),
            node_image: String::new(),
            valkey_image: String::new(),
            mailpit_image: String::new(),
            traefik_image: String::new(),
        };
        keys.python_image = keys.image_of(recipes, "python", &["python"])?;
        keys.node_image = keys.image_of(recipes, "node", &NODE_ROOTS)?;
        keys.valkey_image = keys.image_of(recipes, "valkey", &["valkey"])?;
        keys.mailpit_image = keys.image_of(recipes, "mailpit", &[])?;
        keys.traefik_image = keys.image_of(recipes, "traefik", &[])?;
        Ok(keys)
    }

    pub(super) fn root(&self, name: &str) -> Result<&str> {
        let key = self.roots.get(name).map(String::as_str);
        key.ok_or_else(|| Problem::config(format!("build/images/rootfs.toml has no table `{name}`")).code(Code::Recipe).into())
    }

    /// The key of an image inside the node. It does not depend on the node's other content.
    pub(super) fn of_image(&self, image: &Image) -> Result<String> {
        let mut key = Fingerprint::new();
        key.add("recipe", serde_json::to_vec(image)?);
        key.add("assembly", ASSEMBLY);
        if let Some(root) = &image.rootfs {
            key.add("packages", self.root(root)?);
        }
        if !image.programs.is_empty() {
            key.add("programs", &self.programs);
        }
        // Go names the program after its folder.
        if image.programs.contains_key("standard") {
            key.add("policies", &self.policies);
        }
        Ok(key.short())
    }

    fn image_of(&self, recipes: &Recipes, folder: &str, roots: &[&str]) -> Result<String> {
        let mut key = Fingerprint::new();
        key.add("assembly", ASSEMBLY);
        key.add_tree(folder, &recipes.folder.join(folder))?;
        for name in roots {
            key.add(*name, self.root(name)?);
        }
        if folder == "node" {
            key.add("kind", &recipes.versions.kind);
            key.add("programs", &self.programs);
            key.add("containerd", &self.containerd);
            key.add("policies", &self.policies);
        }
        if matches!(folder, "mailpit" | "traefik") {
            key.add("architecture", arch()?);
        }
        Ok(key.short())
    }
}

pub(super) fn root_key(recipes: &Recipes, root: &Root) -> Result<String> {
    let mut key = Fingerprint::new();
    key.add("architecture", arch()?);
    key.add("recipe", serde_json::to_vec(root)?);
    if let Some(setup) = &root.setup {
        key.add_file("setup", &recipes.folder.join(setup))?;
    }
    Ok(key.short())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_change_remakes_what_it_touches_and_nothing_else() {
        let recipes = Recipes::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../build/images")).unwrap();
        let before = Keys::of(&recipes).unwrap();
        let mut changed = recipes.clone();
        changed.roots.get_mut("postgresql").unwrap().packages.push("postgresql-17-pgvector".to_owned());
        let after = Keys::of(&changed).unwrap();
        assert_ne!(before.root("postgresql").unwrap(), after.root("postgresql").unwrap());
        assert_ne!(before.node_image, after.node_image);
        assert_eq!(before.root("node").unwrap(), after.root("node").unwrap());
        assert_eq!(before.python_image, after.python_image);
        assert_eq!(before.programs, after.programs);
        let operator = recipes.images.iter().find(|it| it.programs.contains_key("manager")).unwrap();
        assert_eq!(before.of_image(operator).unwrap(), after.of_image(operator).unwrap());
    }
}
