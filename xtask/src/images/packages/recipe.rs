//! The recipes as data: `versions.toml`, `rootfs.toml`, `node/images.toml` and `node/paths.toml`.
//!
//! This file reads and checks them; other files build from them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    errors::{Code, Problem},
    regular,
};

/// All recipes of a project.
#[derive(Clone, Debug)]
pub(super) struct Recipes {
    pub(super) folder: PathBuf,
    pub(super) versions: Versions,
    pub(super) roots: BTreeMap<String, Root>,
    pub(super) images: Vec<Image>,
    pub(super) node: Node,
}

/// The pinned versions.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Versions {
    pub kubernetes: String,
    pub kind: String,
    pub cloudnative_pg: String,
    pub etcd: String,
    pub coredns: String,
    pub containerd: String,
    pub network_policies: String,
    pub postgresql: String,
    pub python: String,
    pub valkey: String,
    pub mailpit: String,
    pub traefik: String,
    /// kind's published node image, without the registry's host.
    pub node_image: String,
}

/// A root file system from Debian packages.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Root {
    pub(super) suite: String,
    pub(super) variant: String,
    pub(super) packages: Vec<String>,
    pub(super) exclude: Vec<String>,
    pub(super) include: Vec<String>,
    pub(super) remove: Vec<String>,
    pub(super) setup: Option<String>,
}

/// An image that every node contains.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Image {
    pub(super) names: Vec<String>,
    pub(super) rootfs: Option<String>,
    pub(super) programs: BTreeMap<String, String>,
    pub(super) from_node: BTreeMap<String, String>,
    pub(super) links: BTreeMap<String, String>,
    pub(super) symlinks: BTreeMap<String, String>,
    pub(super) path: Option<String>,
    pub(super) entrypoint: Vec<String>,
    pub(super) user: String,
    pub(super) base: bool,
}

/// Parts of the node other than packages, images and kind's files.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Node {
    pub(super) without: Vec<String>,
    pub(super) network_plugins: Vec<String>,
    pub(super) folders: Vec<String>,
    pub(super) programs: BTreeMap<String, String>,
    pub(super) files: BTreeMap<String, String>,
    pub(super) symlinks: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Images {
    image: Vec<Image>,
}

impl Recipes {
    pub(super) fn read(folder: &Path) -> Result<Recipes> {
        let images: Images = read(&folder.join("node/images.toml"))?;
        Ok(Recipes {
            folder: folder.to_owned(),
            versions: versions(folder)?,
            roots: read(&folder.join("rootfs.toml"))?,
            images: images.image,
            node: read(&folder.join("node/paths.toml"))?,
        })
    }

    /// The table of a root file system, merged with the table for all.
    pub(super) fn root(&self, name: &str) -> Result<Root> {
        let known = self.roots.get(name).filter(|_| name != "all");
        let mut root =
            known.cloned().ok_or_else(|| Problem::config(format!("build/images/rootfs.toml has no table `{name}`")).code(Code::Recipe))?;
        if let Some(all) = self.roots.get("all") {
            root.exclude.extend(all.exclude.iter().cloned());
            root.include.extend(all.include.iter().cloned());
            root.remove.extend(all.remove.iter().cloned());
        }
        Ok(root)
    }
}

pub(super) fn versions(folder: &Path) -> Result<Versions> {
    read(&folder.join("versions.toml"))
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = regular::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    toml::from_str(&text).map_err(|error| Problem::config(format!("{}: {error}", path.display())).code(Code::Recipe).into())
}

/// Replaces versions, architecture and key in braces.
pub(super) fn fill(text: &str, versions: &Versions, key: &str) -> Result<String> {
    let values = [
        ("{kubernetes}", versions.kubernetes.as_str()),
        ("{cloudnative_pg}", &versions.cloudnative_pg),
        ("{etcd}", &versions.etcd),
        ("{coredns}", &versions.coredns),
        ("{postgresql}", &versions.postgresql),
        ("{python}", &versions.python),
        ("{arch}", arch()?),
        ("{key}", key),
    ];
    let filled = values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value));
    if filled.contains(['{', '}']) {
        return Err(Problem::config(format!("a recipe names something unknown: {filled}")).code(Code::Recipe).into());
    }
    Ok(filled)
}

/// The machine's architecture in the spelling of Go and Debian.
pub(super) fn arch() -> Result<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("arm64"),
        other => Err(Problem::requirement(format!("images cannot be built on a machine of architecture {other}"))
            .hint("set `images.source = \"registry\"` in Pocdeploy.toml")
            .into()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn shipped() -> Recipes {
        Recipes::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../build/images")).unwrap()
    }

    #[test]
    fn shipped_recipes_name_only_what_exists() {
        let recipes = shipped();
        for image in &recipes.images {
            for name in &image.names {
                fill(name, &recipes.versions, "0123456789ab").unwrap();
            }
            if let Some(root) = &image.rootfs {
                recipes.root(root).unwrap();
            }
        }
        for file in recipes.node.files.values() {
            assert!(recipes.folder.join("node").join(file).is_file(), "{file}");
        }
        for name in recipes.roots.keys().filter(|it| *it != "all") {
            let setup = recipes.root(name).unwrap().setup;
            assert!(setup.is_none_or(|it| recipes.folder.join(it).is_file()), "{name}");
        }
    }

    #[test]
    fn go_modules_pin_the_versions_that_the_names_say() {
        let recipes = shipped();
        let go = fs::read_to_string(recipes.folder.join("go/go.mod")).unwrap();
        let containerd = fs::read_to_string(recipes.folder.join("containerd/go.mod")).unwrap();
        let policies = fs::read_to_string(recipes.folder.join("policies/go.mod")).unwrap();
        let mailpit = fs::read_to_string(recipes.folder.join("mailpit/go.mod")).unwrap();
        let traefik = fs::read_to_string(recipes.folder.join("traefik/go.mod")).unwrap();
        let versions = &recipes.versions;
        for (text, module, version) in [
            (&go, "k8s.io/kubernetes", &versions.kubernetes),
            (&go, "sigs.k8s.io/kind", &versions.kind),
            (&go, "github.com/cloudnative-pg/cloudnative-pg", &versions.cloudnative_pg),
            (&go, "go.etcd.io/etcd/server/v3", &versions.etcd),
            (&go, "github.com/coredns/coredns", &versions.coredns),
            (&containerd, "github.com/containerd/containerd/v2", &versions.containerd),
            (&policies, "sigs.k8s.io/kube-network-policies", &versions.network_policies),
            (&mailpit, "github.com/axllent/mailpit", &versions.mailpit),
            (&traefik, "github.com/traefik/traefik/v3", &versions.traefik),
        ] {
            assert!(text.contains(&format!("{module} v{version}\n")), "{module} is not at v{version} in its go.mod");
        }
    }

    #[test]
    fn an_unknown_name_in_braces_is_refused() {
        assert!(fill("x:{nonsense}", &shipped().versions, "k").is_err());
    }
}
