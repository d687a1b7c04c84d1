//! Reads layers directly from the engine's own store, if this process may read it, so that only needed layers are copied, at the speed of
//! the disk.
//!
//! The Engine API exports whole images only. Docker's overlay2 store has the files of each layer and the structure of its archive
//! (tar-split's format). Together they give the same bytes as the original archive. Nothing is written to the store. The layer's digest is
//! known beforehand, so the receiver can verify the bytes.

mod link;

use std::{
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Read as _, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use base64::Engine as _;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::{engine::Engine, errors::Problem, fingerprint::hex};

/// An image in the engine's store.
#[derive(Debug)]
pub struct StoredImage {
    /// The configuration's bytes; its digest is the image's id.
    pub config: Vec<u8>,
    /// Lowest first.
    pub layers: Vec<Layer>,
    /// Whether the files in the store have the same owners as in a container, so that another store can use them unchanged.
    pub has_plain_owners: bool,
}

/// One layer in the store.
#[derive(Debug)]
pub struct Layer {
    /// The digest of the uncompressed archive: `sha256:…`.
    pub digest: String,
    /// The chain ID: the digest of this layer and all layers below it.
    pub chain: String,
    /// The total size of its files, in bytes.
    pub content: u64,
    files: PathBuf,
    shape: PathBuf,
}

/// A line of the archive's structure: literal bytes, or a file's content.
#[derive(Deserialize)]
struct Piece {
    #[serde(rename = "type")]
    kind: u8,
    name: Option<String>,
    #[serde(default)]
    size: u64,
    payload: Option<String>,
}

const FILE: u8 = 1;
const BYTES: u8 = 2;

impl Engine {
    /// The image in the engine's store; `None` if the store cannot be read: another storage driver, another machine, another user.
    pub fn stored(&self, reference: &str) -> Result<Option<StoredImage>> {
        let info = self.info()?;
        let (Some(driver), Some(root)) = (info.driver, info.docker_root_dir) else { return Ok(None) };
        if driver != "overlay2" || !self.host.starts_with("unix:") {
            return Ok(None);
        }
        let facts = self.image(reference)?.ok_or_else(|| Problem::new(format!("{reference} is not in the engine")))?;
        let shifts = info.security_options.unwrap_or_default().iter().any(|it| ["name=userns", "name=rootless"].contains(&it.as_str()));
        Ok(find(Path::new(&root), &facts.id, &facts.layers).map(|it| StoredImage { has_plain_owners: !shifts, ..it }))
    }
}

/// `None` if any part is missing.
fn find(root: &Path, id: &str, digests: &[String]) -> Option<StoredImage> {
    let store = root.join("image/overlay2");
    let plain = |digest: &str| digest.trim_start_matches("sha256:").to_owned();
    let config = fs::read(store.join("imagedb/content/sha256").join(plain(id))).ok()?;
    let mut layers = Vec::new();
    for (digest, chain) in digests.iter().zip(chains(digests)) {
        let entry = store.join("layerdb/sha256").join(plain(&chain));
        let place = fs::read_to_string(entry.join("cache-id")).ok()?;
        let layer = Layer {
            digest: digest.clone(),
            chain,
            content: fs::read_to_string(entry.join("size")).ok()?.trim().parse().ok()?,
            files: root.join("overlay2").join(place.trim()).join("diff"),
            shape: entry.join("tar-split.json.gz"),
        };
        if !layer.files.is_dir() || !layer.shape.is_file() {
            return None;
        }
        layers.push(layer);
    }
    Some(StoredImage { config, layers, has_plain_owners: false })
}

/// The chain IDs of layers, as in the OCI image specification.
pub(crate) fn chains(digests: &[String]) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for digest in digests {
        out.push(match out.last() {
            None => digest.clone(),
            Some(below) => format!("sha256:{}", hex(&Sha256::digest(format!("{below} {digest}")))),
        });
    }
    out
}

impl Layer {
    /// The archive's length in bytes.
    pub fn size(&self) -> Result<u64> {
        let mut size = 0;
        self.each(|piece| {
            size += match piece.kind {
                // Base64: four characters encode three bytes; padding encodes none.
                BYTES => piece.payload.as_deref().unwrap_or_default().trim_end_matches('=').len() as u64 * 3 / 4,
                _ => piece.size,
            };
            Ok(())
        })?;
        Ok(size)
    }

    /// The archive, byte for byte.
    pub fn write_to(&self, out: &mut dyn Write) -> Result<()> {
        self.each(|piece| match piece.kind {
            BYTES => Ok(out.write_all(&payload(&piece)?)?),
            FILE if piece.size > 0 => self.write_file(&piece, out),
            _ => Ok(()),
        })
    }

    fn write_file(&self, piece: &Piece, out: &mut dyn Write) -> Result<()> {
        let name = piece.name.as_deref().unwrap_or_default();
        let path = self.files.join(name.trim_start_matches('/'));
        let file = File::open(&path).with_context(|| format!("read {}", path.display()))?;
        let copied = io::copy(&mut file.take(piece.size), out).with_context(|| format!("read {}", path.display()))?;
        if copied != piece.size {
            return Err(Problem::new(format!("{} is shorter than the engine's store says", path.display())).into());
        }
        Ok(())
    }

    fn each(&self, mut look: impl FnMut(Piece) -> Result<()>) -> Result<()> {
        let file = File::open(&self.shape).with_context(|| format!("read {}", self.shape.display()))?;
        let reading = || format!("read {}", self.shape.display());
        for line in BufReader::new(flate2::read::GzDecoder::new(file)).lines() {
            let piece: Piece = serde_json::from_str(&line.with_context(reading)?).with_context(reading)?;
            look(piece)?;
        }
        Ok(())
    }
}

fn payload(piece: &Piece) -> Result<Vec<u8>> {
    let text = piece.payload.as_deref().unwrap_or_default();
    base64::engine::general_purpose::STANDARD.decode(text).context("decode a piece of a layer's archive")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests(names: &[&str]) -> Vec<String> {
        names.iter().map(|it| format!("sha256:{it}")).collect()
    }

    #[test]
    fn a_chain_names_a_layer_with_all_below_it() {
        let found = chains(&digests(&["a", "b"]));
        // printf 'sha256:a sha256:b' | sha256sum
        assert_eq!(found[0], "sha256:a");
        assert_eq!(found[1], format!("sha256:{}", hex(&Sha256::digest("sha256:a sha256:b"))));
        assert_eq!(chains(&digests(&["a", "c"]))[0], found[0]);
        assert_ne!(chains(&digests(&["a", "c"]))[1], found[1]);
    }

    #[test]
    fn a_layer_is_put_together_byte_for_byte() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("diff/app")).unwrap();
        fs::write(dir.path().join("diff/app/a.py"), "content").unwrap();
        let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        let lines = [
            format!(r#"{{"type":2,"payload":"{}","position":0}}"#, encode("<header>")),
            r#"{"type":1,"name":"app/a.py","size":7,"payload":"AAAAAAAAAAA=","position":1}"#.to_owned(),
            r#"{"type":1,"name":"app/","payload":null,"position":2}"#.to_owned(),
            format!(r#"{{"type":2,"payload":"{}","position":3}}"#, encode("<end>")),
        ];
        let mut shape = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        shape.write_all(lines.join("\n").as_bytes()).unwrap();
        fs::write(dir.path().join("shape.gz"), shape.finish().unwrap()).unwrap();
        let layer = Layer {
            digest: String::new(),
            chain: String::new(),
            content: 7,
            files: dir.path().join("diff"),
            shape: dir.path().join("shape.gz"),
        };
        let mut out = Vec::new();
        layer.write_to(&mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "<header>content<end>");
        assert_eq!(layer.size().unwrap(), 20);

        fs::write(dir.path().join("diff/app/a.py"), "short").unwrap();
        assert!(layer.write_to(&mut Vec::new()).unwrap_err().to_string().contains("shorter"));
    }

    #[test]
    fn half_a_store_is_none() {
        let dir = tempfile::tempdir().unwrap();
        assert!(find(dir.path(), "sha256:1", &digests(&["a"])).is_none());
    }
}
