//! The node image's files: packages, kind's files, programs, and images that are unpacked for containerd.
//!
//! No container runs for this. `preload`, one of the recipes' programs, writes containerd's metadata as if containerd had imported the
//! images. Their files are outside `/var`, since an engine copies `/var` into a volume at each start of a node; containerd's snapshot
//! folders are links to them. containerd only reads these files.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use walkdir::WalkDir;
use xshell::cmd;

use crate::{
    env::Env,
    errors::{Code, Problem},
    fingerprint::{Fingerprint, hex},
    graph::TaskId,
    images::packages::{
        WITHOUT,
        archive::{Archive, read_files},
        golang::{self, Programs},
        keys::{Keys, NODE_ROOTS},
        products::place,
        recipe::{Image, Recipes, arch, fill},
        steps::Steps,
    },
};

/// The folder of the layers in the node.
const LAYERS: &str = "opt/pocdeploy/layers";
/// containerd's folder in the node.
const STATE: &str = "var/lib/containerd";
/// The snapshotter's folder in `STATE`.
const SNAPSHOTS: &str = "io.containerd.snapshotter.v1.overlayfs/snapshots";

/// The sources of the image's files.
pub(super) struct Parts {
    recipes: Recipes,
    programs: Programs,
    /// Name and archive of each root file system.
    roots: Vec<(String, PathBuf)>,
    /// kind's files for a node.
    kind_files: PathBuf,
    /// The default OCI specification of a container, which kind's containerd configuration refers to.
    container_spec: Vec<u8>,
    state: tempfile::TempDir,
    /// The images, and the folder of each one's snapshot.
    images: Vec<(Image, String)>,
}

#[derive(Serialize)]
struct Wanted {
    names: Vec<String>,
    layer: String,
    size: u64,
    architecture: &'static str,
    config: Value,
}

#[derive(Deserialize)]
struct Placed {
    name: String,
    id: String,
}

impl Parts {
    /// Finds the built products and writes containerd's state.
    pub(super) fn gather(env: &Env, task: TaskId, recipes: &Recipes, keys: &Keys, programs: Programs, steps: &Steps<'_>) -> Result<Parts> {
        steps.says("preparing the node's containerd");
        let tools = env.tools.with_log("image-node");
        let sh = tools.shell(&env.project)?;
        let ctr = programs.find("ctr")?;
        let container_spec = without_limits(&tools.read(task, cmd!(sh, "{ctr} oci spec"))?)?;
        names_are_complete(env, task, recipes, keys, &programs)?;
        let mut wanted = Vec::new();
        let mut roots = Vec::new();
        for name in NODE_ROOTS {
            roots.push((name.to_owned(), place(env, &format!("rootfs-{name}"), keys.root(name)?)));
        }
        for image in &recipes.images {
            let mut description = describe(recipes, keys, image)?;
            if image.base {
                let root = roots.iter().find(|(name, _)| Some(name) == image.rootfs.as_ref());
                let (_, root) = root.context("an image that others build on is made of a root file system")?;
                description.layer = digest_of(root)?;
            }
            wanted.push(description);
        }
        let state = tempfile::tempdir().context("make a temporary folder")?;
        let list = state.path().join("images.json");
        let root = state.path().join("root");
        fs::write(&list, serde_json::to_vec(&wanted)?).with_context(|| format!("write {}", list.display()))?;
        let preload = programs.find("preload")?;
        let placed = tools.read(task, cmd!(sh, "{preload} {list} {root}")).context("prepare the node's containerd")?;
        let placed: Vec<Placed> = serde_json::from_str(&placed).context("read what `preload` said")?;
        let mut images = Vec::new();
        for (image, wanted) in recipes.images.iter().zip(&wanted) {
            let at = placed.iter().find(|it| wanted.names.first() == Some(&it.name)).context("`preload` left an image out")?;
            images.push((image.clone(), at.id.clone()));
        }
        let kind_files = golang::module_folder(env, task, recipes, "go", "sigs.k8s.io/kind")?.join("images/base/files");
        steps.done();
        Ok(Parts { recipes: recipes.clone(), programs, roots, kind_files, container_spec, state, images })
    }

    /// Writes the whole image as one layer.
    pub(super) fn write(&self, out: &mut Archive<'_>) -> Result<()> {
        let node = &self.recipes.node;
        let without: Vec<&str> = node.without.iter().map(String::as_str).collect();
        let packages = self.root("node")?;
        out.rootfs(packages, "", &without)?;
        for folder in &node.folders {
            out.folder(folder, 0o755)?;
        }
        kind_files(out, &self.kind_files, &read(&self.recipes.folder.join("node/containerd.toml"))?)?;
        for (name, path) in &node.programs {
            out.program(path, &self.programs.find(name)?)?;
        }
        let plugins: Vec<String> = node.network_plugins.iter().map(|it| format!("usr/lib/cni/{it}")).collect();
        let plugins: Vec<&str> = plugins.iter().map(String::as_str).collect();
        for (path, content) in read_files(packages, &plugins)? {
            out.text(&path.replace("usr/lib/cni/", "opt/cni/bin/"), 0o755, &content)?;
        }
        for (path, file) in &node.files {
            out.text(path, 0o644, &read(&self.recipes.folder.join("node").join(file))?)?;
        }
        out.text("kind/version", 0o644, format!("v{}", self.recipes.versions.kubernetes).as_bytes())?;
        out.text("etc/containerd/cri-base.json", 0o644, &self.container_spec)?;
        for (path, target) in &node.symlinks {
            out.symlink(path, target)?;
        }
        self.containerd_state(out)?;
        for (image, id) in &self.images {
            self.layer(out, image, &format!("{LAYERS}/{id}/fs/"))?;
            out.symlink(&format!("{STATE}/{SNAPSHOTS}/{id}"), &format!("/{LAYERS}/{id}"))?;
        }
        Ok(())
    }

    fn root(&self, name: &str) -> Result<&Path> {
        let found = self.roots.iter().find(|(it, _)| it == name).map(|(_, path)| path.as_path());
        found.ok_or_else(|| {
            Problem::config(format!("no image of the node can be made of the root file system `{name}`")).code(Code::Recipe).into()
        })
    }

    fn layer(&self, out: &mut Archive<'_>, image: &Image, prefix: &str) -> Result<()> {
        out.folder(prefix.trim_end_matches('/'), 0o755)?;
        if let Some(root) = &image.rootfs {
            out.rootfs(self.root(root)?, prefix, &WITHOUT)?;
        }
        for (name, path) in &image.programs {
            out.program(&format!("{prefix}{path}"), &self.programs.find(name)?)?;
        }
        for (from, path) in &image.from_node {
            for (_, content) in read_files(self.root("node")?, &[from])? {
                out.text(&format!("{prefix}{path}"), 0o755, &content)?;
            }
        }
        for (path, target) in &image.links {
            let path = fill(path, &self.recipes.versions, "")?;
            out.hard_link(&format!("{prefix}{path}"), &format!("{prefix}{target}"))?;
        }
        for (path, target) in &image.symlinks {
            out.symlink(&format!("{prefix}{path}"), target)?;
        }
        Ok(())
    }

    /// The files that `preload` wrote, without the empty snapshot folders, which links replace.
    fn containerd_state(&self, out: &mut Archive<'_>) -> Result<()> {
        let root = self.state.path().join("root");
        for entry in WalkDir::new(&root).sort_by_file_name() {
            let entry = entry.context("read containerd's state")?;
            let relative = entry.path().strip_prefix(&root).unwrap_or(entry.path()).display().to_string();
            if relative.starts_with(&format!("{SNAPSHOTS}/")) {
                continue;
            }
            let path = format!("{STATE}/{relative}");
            let mode = entry.metadata().context("read containerd's state")?.permissions().mode() & 0o7777;
            if entry.file_type().is_dir() {
                out.folder(path.trim_end_matches('/'), mode)?;
            } else {
                out.text(&path, mode, &read(entry.path())?)?;
            }
        }
        Ok(())
    }
}

/// The layer digest of an engine that imports this root file system.
fn digest_of(root: &Path) -> Result<String> {
    let mut hash = Hash(Sha256::new());
    let mut archive = Archive::new(&mut hash, &|_| ());
    archive.rootfs(root, "", &WITHOUT)?;
    archive.finish()?;
    Ok(format!("sha256:{}", hex(&hash.0.finalize())))
}

struct Hash(Sha256);

impl Write for Hash {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An image in the format of `preload`.
fn describe(recipes: &Recipes, keys: &Keys, image: &Image) -> Result<Wanted> {
    let key = keys.of_image(image)?;
    let mut names = Vec::new();
    for name in &image.names {
        names.push(fill(name, &recipes.versions, &key)?);
    }
    let mut path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned();
    if let Some(first) = &image.path {
        path = format!("{}:{path}", fill(first, &recipes.versions, &key)?);
    }
    // No archive of this layer exists to compute a digest from, so the digest is a hash of the layer's inputs.
    let mut layer = Fingerprint::new();
    layer.add("image", names.join(" "));
    layer.add("key", &key);
    Ok(Wanted {
        names,
        layer: format!("sha256:{}", layer.digest()),
        size: 1,
        architecture: arch()?,
        config: json!({ "Env": [format!("PATH={path}")], "Entrypoint": image.entrypoint, "User": image.user }),
    })
}

/// Checks that the node has all images that kubeadm lists for this version.
fn names_are_complete(env: &Env, task: TaskId, recipes: &Recipes, keys: &Keys, programs: &Programs) -> Result<()> {
    let sh = env.tools.shell(&env.project)?;
    let kubeadm = programs.find("kubeadm")?;
    let version = format!("v{}", recipes.versions.kubernetes);
    let listed = env.tools.read(task, cmd!(sh, "{kubeadm} config images list --kubernetes-version {version}"))?;
    let mut have = Vec::new();
    for image in &recipes.images {
        have.extend(describe(recipes, keys, image)?.names);
    }
    let missing: Vec<&str> = listed.lines().filter(|it| !have.iter().any(|name| name == it)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let what = format!("build/images/node/images.toml lacks images that kubeadm {version} wants: {}", missing.join(", "));
    Err(Problem::config(what).code(Code::Recipe).into())
}

/// kind's files, with the modes of kind's recipe.
fn kind_files(out: &mut Archive<'_>, folder: &Path, containerd: &[u8]) -> Result<()> {
    for entry in WalkDir::new(folder).sort_by_file_name() {
        let entry = entry.with_context(|| format!("read {}", folder.display()))?;
        let relative = entry.path().strip_prefix(folder).unwrap_or(entry.path()).display().to_string();
        if !entry.file_type().is_file() || relative.starts_with("LICENSES/") || relative == "usr/local/bin/clean-install" {
            continue;
        }
        let executable = relative.starts_with("usr/local/bin/") || relative.starts_with("kind/bin/");
        let mut content = read(entry.path())?;
        if relative == "etc/containerd/config.toml" {
            content = adjusted(&content, containerd)?;
        }
        out.text(&relative, if executable { 0o755 } else { 0o644 }, &content)?;
    }
    Ok(())
}

/// kind's settings for containerd, and ours after them. containerd must not lower a process's OOM score below its own, which some hosts
/// forbid. No host needs it, and changing it when a cluster is created would restart containerd.
fn adjusted(settings: &[u8], ours: &[u8]) -> Result<Vec<u8>> {
    let text = String::from_utf8(settings.to_vec()).context("read kind's settings for containerd")?;
    let (from, to) = ("restrict_oom_score_adj = false", "restrict_oom_score_adj = true");
    if !text.contains(from) {
        return Err(Problem::new(format!("kind's settings for containerd no longer say `{from}`")).code(Code::Recipe).into());
    }
    let whole = [text.replace(from, to).as_bytes(), ours].concat();
    // With a table that is there twice, containerd would not start.
    let checked = std::str::from_utf8(&whole).map_err(anyhow::Error::from).and_then(|it| Ok(it.parse::<toml::Table>()?));
    checked.context("add build/images/node/containerd.toml to kind's settings for containerd")?;
    Ok(whole)
}

/// Removes the limits, so that a container inherits those of the node, as in kind's images.
fn without_limits(spec: &str) -> Result<Vec<u8>> {
    let mut spec: Value = serde_json::from_str(spec).context("read what `ctr oci spec` said")?;
    if let Some(process) = spec.pointer_mut("/process").and_then(Value::as_object_mut) {
        process.remove("rlimits");
    }
    Ok(serde_json::to_vec(&spec)?)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shipped() -> (Recipes, Keys) {
        let recipes = Recipes::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../build/images")).unwrap();
        let keys = Keys::of(&recipes).unwrap();
        (recipes, keys)
    }

    #[test]
    fn the_databases_image_names_its_major_version_first() {
        let (recipes, keys) = shipped();
        let image = recipes.images.iter().find(|it| it.rootfs.as_deref() == Some("postgresql")).unwrap();
        let wanted = describe(&recipes, &keys, image).unwrap();
        assert!(wanted.names[0].starts_with("localhost/pocdeploy/postgresql:17-"), "{}", wanted.names[0]);
        assert_eq!(wanted.config["User"], "26");
        assert!(wanted.config["Env"][0].as_str().unwrap().starts_with("PATH=/usr/lib/postgresql/17/bin:"));
    }

    #[test]
    fn each_image_is_a_layer_of_its_own() {
        let (recipes, keys) = shipped();
        let layers: std::collections::BTreeSet<String> =
            recipes.images.iter().map(|it| describe(&recipes, &keys, it).unwrap().layer).collect();
        assert_eq!(layers.len(), recipes.images.len());
    }

    #[test]
    fn containerd_settings_change_in_one_place_or_fail() {
        let (kinds, ours) = (b"[a]\n  restrict_oom_score_adj = false\n", b"[b]\nc = 1\n");
        let expected = b"[a]\n  restrict_oom_score_adj = true\n[b]\nc = 1\n";
        assert_eq!(adjusted(kinds, ours).unwrap(), expected);
        assert!(adjusted(b"[a]\n", ours).is_err());
        assert!(adjusted(kinds, b"[a]\n").is_err(), "a table that is there twice would keep containerd from starting");
    }

    #[test]
    fn limits_leave_and_the_rest_stays() {
        let spec = without_limits(r#"{"process":{"rlimits":[1],"args":["sh"]},"root":{}}"#).unwrap();
        assert_eq!(String::from_utf8(spec).unwrap(), r#"{"process":{"args":["sh"]},"root":{}}"#);
    }
}
