//! Loads an image of the engine into the nodes: for each a partial archive with only the layers that the node lacks.
//!
//! containerd does not read a layer whose chain ID is unpacked already, so the archive need not contain it. If engine and node store layers
//! on the same disk, large layers are not copied: the node's snapshot gets hard links to the engine's files. If the engine's store cannot
//! be read, the engine exports the whole image.

use std::io::Write;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tar::{Builder, Header};

use crate::{
    engine::{Layer, StoredImage},
    env::Env,
    errors::Problem,
    fingerprint::hex,
    graph::TaskId,
    provider::kind::containerd::{Containerd, normalized},
    record,
};

const TASK: TaskId = TaskId::Load;

/// Loads the image into every node under its own name; done when each containerd has it.
pub(super) fn into_all(env: &Env, nodes: &[Containerd<'_>], reference: &str) -> Result<()> {
    std::thread::scope(|scope| {
        let loads: Vec<_> = nodes.iter().map(|it| scope.spawn(|| load(env, it, reference))).collect();
        let early = || Problem::new("the thread that loads the image ended early").into();
        loads.into_iter().try_for_each(|it| it.join().unwrap_or_else(|_| Err(early())))
    })
}

/// Whether every node has the image under its own name.
pub(super) fn is_in_all(nodes: &[Containerd<'_>], reference: &str) -> Result<bool> {
    for node in nodes {
        if !node.has_image(reference)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Removes the images of these repositories from every node, except `kept`. containerd then removes the layers that no other image has.
pub(super) fn withdraw(nodes: &[Containerd<'_>], repositories: &[String], kept: &[String]) -> Result<()> {
    for node in nodes {
        let gone = superfluous(&node.ctr(&["images", "ls"])?, repositories, kept);
        if !gone.is_empty() {
            let names = gone.iter().map(String::as_str);
            node.ctr(&[&["images", "rm"], &names.collect::<Vec<_>>()[..]].concat())?;
        }
    }
    Ok(())
}

/// Whether a tag is one of the tool's: `1.0.0-0123456789ab`. The user may have brought others into a node.
fn is_keyed(tag: &str) -> bool {
    let is_key = |key: &str| key.len() == 12 && key.bytes().all(|it| it.is_ascii_digit() || (b'a'..=b'f').contains(&it));
    tag.rsplit_once('-').is_some_and(|(_, key)| is_key(key))
}

/// Of a table of name, type and digest: the images of the repositories that are not kept, under all their names. Kubernetes' runtime gives each
/// image a second name, its id, and a node of an earlier version of this tool has a third one, `import-DATE@sha256:…`.
fn superfluous(listed: &str, repositories: &[String], kept: &[String]) -> Vec<String> {
    let rows = listed.lines().filter_map(|line| {
        let mut columns = line.split_whitespace();
        Some((columns.next()?, columns.nth(1)?))
    });
    let rows: Vec<(&str, &str)> = rows.collect();
    let repositories: Vec<String> = repositories.iter().map(|it| format!("{}:", normalized(it))).collect();
    let kept: Vec<String> = kept.iter().map(|it| normalized(it)).collect();
    let is_import = |name: &str| name.starts_with("import-") && name.contains("@sha256:");
    let is_id = |name: &str| name.starts_with("sha256:");
    let may_go = |name: &str| {
        let tag = repositories.iter().find_map(|it| name.strip_prefix(it.as_str()));
        tag.is_some_and(is_keyed) && !kept.iter().any(|it| it == name)
    };
    let stays: Vec<&str> =
        rows.iter().filter(|(name, _)| !may_go(name) && !is_import(name) && !is_id(name)).map(|(_, digest)| *digest).collect();
    let goes: Vec<&str> = rows.iter().filter(|(name, digest)| may_go(name) && !stays.contains(digest)).map(|(_, digest)| *digest).collect();
    let all = rows.iter().filter(|(name, digest)| is_import(name) || may_go(name) || is_id(name) && goes.contains(digest));
    all.map(|(name, _)| (*name).to_owned()).collect()
}

fn load(env: &Env, containerd: &Containerd<'_>, reference: &str) -> Result<()> {
    let engine = env.engine()?;
    match engine.stored(reference)? {
        Some(image) => {
            let file = env.work(format!("record/brought-{}.json", containerd.name));
            let earlier = record::read_json::<Brought>(&file).filter(|it| it.node == containerd.node).unwrap_or_default();
            // Layers of the last load are probably still there; if not, containerd rejects the image.
            if earlier.chains.is_empty() || bring(env, containerd, &image, reference, &earlier.chains).is_err() {
                bring(env, containerd, &image, reference, &containerd.unpacked()?)?;
            }
            let chains = image.layers.iter().map(|it| it.chain.clone()).collect();
            record::write_json(&file, &Brought { node: containerd.node.clone(), chains })?;
        }
        None => {
            env.detail(TASK, "the engine's store cannot be read here: it exports the whole image");
            let export = |out: &mut dyn Write| engine.export_to(reference, out);
            containerd.ctr_with_input(&["images", "import", "-"], export)?;
        }
    }
    Ok(())
}

/// The layers of the image that was last loaded into a node.
#[derive(Default, Serialize, Deserialize)]
struct Brought {
    /// The node's container id, since another node has none of the layers.
    node: String,
    chains: Vec<String>,
}

/// Loads all layers except `there`, and the image's name.
fn bring(env: &Env, containerd: &Containerd<'_>, image: &StoredImage, reference: &str, there: &[String]) -> Result<()> {
    let mut missing: Vec<bool> = image.layers.iter().map(|it| !there.contains(&it.chain)).collect();
    let count = missing.iter().filter(|it| **it).count();
    env.detail(TASK, format!("{count} of {} layers are new to the node", missing.len()));
    let linked = link(env, containerd, image, &mut missing);
    let archive = Archive::new(image, &missing, &normalized(reference))?;
    containerd.ctr_with_input(&["images", "import", "-"], |out| archive.write_to(out))?;
    // The image references the snapshots now, so that they are garbage-collected with it.
    linked.iter().try_for_each(|it| containerd.ctr(&["snapshots", "label", &it.chain, "containerd.io/gc.root="]).map(drop))
}

/// Smaller layers are faster in the archive.
const LARGE: u64 = 4_000_000;

/// Unpacks the large layers, and those below them, by links. If that fails, the archive contains them.
fn link<'a>(env: &Env, containerd: &Containerd<'_>, image: &'a StoredImage, missing: &mut [bool]) -> Vec<&'a Layer> {
    let mut linked = Vec::new();
    let is_large = |(layer, missing): (&Layer, &bool)| *missing && layer.content >= LARGE;
    let Some(last) = image.layers.iter().zip(missing.iter()).rposition(is_large).filter(|_| image.has_plain_owners) else {
        return linked;
    };
    for (index, layer) in image.layers.iter().enumerate().take(last + 1) {
        if !missing[index] {
            continue;
        }
        let parent = index.checked_sub(1).map(|below| image.layers[below].chain.as_str());
        if let Err(error) = link_layer(containerd, layer, parent) {
            env.detail(TASK, format!("layer {} goes into the archive: {error:#}", layer.digest));
            break;
        }
        missing[index] = false;
        linked.push(layer);
    }
    linked
}

/// Creates the snapshot of one layer, and replaces an unfinished one of an interrupted run.
fn link_layer(containerd: &Containerd<'_>, layer: &Layer, parent: Option<&str>) -> Result<()> {
    let name = format!("pocdeploy-{}", layer.chain);
    let remove = || containerd.ctr(&["snapshots", "delete", &name]);
    let folder = containerd.prepare(&name, parent).or_else(|error| match remove() {
        Ok(_) => containerd.prepare(&name, parent),
        Err(_) => Err(error),
    })?;
    let made = layer.link_into(&folder).and_then(|()| containerd.ctr(&["snapshots", "commit", &layer.chain, &name]).map(drop));
    if made.is_err() {
        // The next attempt replaces leftovers.
        remove().ok();
    }
    made
}

/// An OCI image layout, as one stream.
struct Archive<'a> {
    image: &'a StoredImage,
    /// The layers in the archive, each with its length.
    layers: Vec<(&'a Layer, u64)>,
    manifest: Vec<u8>,
    index: Vec<u8>,
}

impl<'a> Archive<'a> {
    fn new(image: &'a StoredImage, missing: &[bool], name: &str) -> Result<Archive<'a>> {
        let mut layers = Vec::new();
        let mut described = Vec::new();
        for (layer, missing) in image.layers.iter().zip(missing) {
            let size = layer.size()?;
            described.push(json!({ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer.digest, "size": size }));
            if *missing {
                layers.push((layer, size));
            }
        }
        let manifest = serde_json::to_vec(&json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(&image.config), "size": image.config.len() },
            "layers": described,
        }))?;
        let index = serde_json::to_vec(&json!({
            "schemaVersion": 2,
            "manifests": [{
                "mediaType": MANIFEST,
                "digest": digest(&manifest),
                "size": manifest.len(),
                "annotations": { "io.containerd.image.name": name },
            }],
        }))?;
        Ok(Archive { image, layers, manifest, index })
    }

    fn write_to(&self, out: &mut dyn Write) -> Result<()> {
        let mut builder = Builder::new(out);
        add(&mut builder, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        add(&mut builder, "index.json", &self.index)?;
        for blob in [&self.manifest, &self.image.config] {
            add(&mut builder, &place(&digest(blob)), blob)?;
        }
        for (layer, size) in &self.layers {
            let mut header = header(*size);
            header.set_path(place(&layer.digest)).and_then(|()| {
                header.set_cksum();
                builder.get_mut().write_all(header.as_bytes())
            })?;
            layer.write_to(builder.get_mut()).with_context(|| format!("send layer {}", layer.digest))?;
            let rest = (BLOCK - size % BLOCK) % BLOCK;
            builder.get_mut().write_all(&[0; BLOCK as usize][..rest as usize])?;
        }
        builder.into_inner().and_then(|out| out.flush()).context("end the archive")
    }
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const BLOCK: u64 = 512;

fn add(builder: &mut Builder<&mut dyn Write>, name: &str, content: &[u8]) -> Result<()> {
    builder.append_data(&mut header(content.len() as u64), name, content).with_context(|| format!("send {name}"))
}

fn header(size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o644);
    header
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

fn place(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_goes_under_all_its_names_and_one_that_is_kept_under_none() {
        let listed = "\
REF                                TYPE                   DIGEST    SIZE PLATFORMS LABELS
docker.io/library/polls:1-00000000000a      application/manifest   sha256:o  1 MB linux     managed
docker.io/library/polls:1-00000000000b     application/manifest   sha256:k  1 MB linux     managed
docker.io/library/polls:1-00000000000c     application/manifest   sha256:k  1 MB linux     managed
docker.io/library/polls-api:1-00000000000a  application/manifest   sha256:a  1 MB linux     managed
docker.io/library/polls:demo         application/manifest   sha256:d  1 MB linux     managed
docker.io/library/theirs:1         application/manifest   sha256:t  1 MB linux     managed
import-2026-11-30@sha256:i         application/index      sha256:i  1 MB linux     -
sha256:1                           application/manifest   sha256:o  1 MB linux     managed
sha256:2                           application/manifest   sha256:k  1 MB linux     managed
sha256:3                           application/manifest   sha256:a  1 MB linux     managed
";
        let gone = superfluous(listed, &["polls".to_owned()], &["polls:1-00000000000c".to_owned(), "polls:1-missing".to_owned()]);
        let expected =
            ["docker.io/library/polls:1-00000000000a", "docker.io/library/polls:1-00000000000b", "import-2026-11-30@sha256:i", "sha256:1"];
        assert_eq!(gone, expected);
        assert_eq!(superfluous("", &["polls".to_owned()], &[]), Vec::<String>::new());
    }
}
