//! What is in an image, as CycloneDX 1.6 (cyclonedx.org/docs/1.6/json): what its files say of Debian, Python, Node.js and Go packages, and the
//! patches of the application. Pure: an image is the stream of its files.

mod contents;
mod golang;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::fingerprint::hex;

pub use crate::sbom::contents::Contents;

/// A package, by what a package URL (purl) says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    pub kind: &'static str,
    pub name: String,
    pub version: String,
    pub purl: String,
    /// As its own files name it; empty if they name none.
    pub license: String,
    /// The files that say so.
    pub places: BTreeSet<String>,
}

/// An image, as the engine knows it.
pub struct Image<'a> {
    /// `polls:1.0.0-18e19a2dc86d`.
    pub reference: &'a str,
    /// `sha256:…`.
    pub id: &'a str,
}

/// The source of the application in the image, and how it was changed.
pub struct Application {
    pub name: String,
    pub version: String,
    pub license: String,
    /// The purl or the place of what upstream published.
    pub source: String,
    /// The name and text of each patch, in order.
    pub patches: Vec<(String, String)>,
}

/// The document. The same image gives the same bytes.
pub fn document(image: &Image<'_>, contents: &Contents, application: Option<&Application>) -> Value {
    let packages = contents.packages();
    let digest = image.id.trim_start_matches("sha256:");
    let (name, tag) = image.reference.rsplit_once(':').unwrap_or((image.reference, ""));
    let short = name.rsplit('/').next().unwrap_or(name).to_lowercase();
    let of_image = format!("pkg:oci/{}@sha256%3A{digest}?tag={}", encoded(&short), encoded(tag));
    let mut components: Vec<Value> = application.map(of_application).into_iter().collect();
    components.extend(packages.iter().map(component));
    let refs: Vec<&Value> = components.iter().map(|it| &it["bom-ref"]).collect();
    let dependencies = json!([{ "ref": of_image, "dependsOn": refs }]);
    let metadata = json!({
        "tools": { "components": [{ "type": "application", "name": "pocdeploy", "version": env!("CARGO_PKG_VERSION") }] },
        "component": {
            "type": "container",
            "bom-ref": of_image,
            "name": name,
            "version": tag,
            "purl": of_image,
            "hashes": [{ "alg": "SHA-256", "content": digest }],
        },
    });
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": serial(&format!("{of_image}{components:?}")),
        "version": 1,
        "metadata": metadata,
        "components": components,
        "dependencies": dependencies,
    })
}

/// A UUID of version 8 from the content.
fn serial(content: &str) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&Sha256::digest(content)[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = hex(&bytes);
    format!("urn:uuid:{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
}

fn component(package: &Package) -> Value {
    let Package { kind, name, version, purl, license, places } = package;
    let places: Vec<Value> = places.iter().map(|it| json!({ "location": it })).collect();
    let mut out = json!({
        "type": kind,
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
        "evidence": { "occurrences": places },
    });
    if !license.is_empty() {
        // A name, since what packages write is often no SPDX expression.
        out["licenses"] = json!([{ "license": { "name": license } }]);
    }
    out
}

fn of_application(it: &Application) -> Value {
    let mut upstream = json!({ "type": "application", "name": it.name });
    if !it.version.is_empty() {
        upstream["version"] = json!(it.version);
    }
    let mut ancestor = upstream.clone();
    if it.source.starts_with("pkg:") {
        ancestor["purl"] = json!(it.source);
    } else if !it.source.is_empty() {
        ancestor["properties"] = json!([{ "name": "pocdeploy:source", "value": it.source }]);
    }
    let patch = |(name, text): &(String, String)| json!({ "type": "unofficial", "diff": { "url": encoded(name), "text": { "contentType": "text/x-diff", "content": text } } });
    let mut out = upstream;
    out["bom-ref"] = json!(format!("application:{}", it.name));
    out["pedigree"] = json!({ "ancestors": [ancestor], "patches": it.patches.iter().map(patch).collect::<Vec<_>>() });
    if !it.license.is_empty() {
        out["licenses"] = json!([{ "license": { "name": it.license } }]);
    }
    out
}

/// A part of a purl, percent-encoded.
pub fn encoded(text: &str) -> String {
    let sign = |it: u8| match it {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' => char::from(it).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(sign).collect()
}

#[cfg(test)]
mod tests;
