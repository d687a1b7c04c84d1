//! Reads the packages from the files of an image, in any order. A node image has further root file systems below its own, those of the images
//! that are unpacked in it: each is read like the image's own.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read},
};

use crate::sbom::{Package, encoded, golang};

/// A list of packages or their metadata is at most this large.
const MOST: u64 = 64 << 20;
const DPKG: &str = "var/lib/dpkg/status";

/// What was read so far.
#[derive(Debug, Default)]
pub struct Contents {
    /// By purl.
    known: BTreeMap<String, Package>,
    /// dpkg's lists by the root that they are in. Their purl needs the release, which another file of the root names.
    lists: BTreeMap<String, String>,
    releases: BTreeMap<String, String>,
}

impl Contents {
    /// Looks at a file; `name` is its path without a slash at the start.
    pub fn file(&mut self, name: &str, content: &mut dyn Read) -> io::Result<()> {
        let mut text = || {
            let mut out = Vec::new();
            content.take(MOST).read_to_end(&mut out)?;
            io::Result::Ok(String::from_utf8_lossy(&out).into_owned())
        };
        if let Some(root) = name.strip_suffix(DPKG) {
            self.lists.insert(root.to_owned(), text()?);
        } else if let Some(root) = name.strip_suffix("usr/lib/os-release") {
            let text = text()?;
            let codename = text.lines().find_map(|it| it.strip_prefix("VERSION_CODENAME="));
            self.releases.insert(root.to_owned(), codename.unwrap_or_default().trim_matches('"').to_owned());
        } else if name.ends_with(".dist-info/METADATA") || name.ends_with(".egg-info/PKG-INFO") {
            self.python(name, &text()?);
        } else if is_node_package(name) {
            self.node(name, &text()?);
        } else if let Some(built) = golang::of_program(content)? {
            self.go(name, &built);
        }
        Ok(())
    }

    /// All packages, sorted by purl.
    pub fn packages(&self) -> Vec<Package> {
        let mut out = Contents { known: self.known.clone(), ..Contents::default() };
        for (root, list) in &self.lists {
            let release = self.releases.get(root).map(String::as_str).unwrap_or_default();
            list.split("\n\n").filter_map(|it| debian(it, release)).for_each(|it| out.add(it, &format!("{root}{DPKG}")));
        }
        out.known.into_values().collect()
    }

    fn add(&mut self, package: Package, place: &str) {
        let known = self.known.entry(package.purl.clone()).or_insert(package);
        known.places.insert(format!("/{place}"));
    }

    fn python(&mut self, place: &str, text: &str) {
        let head = text.split("\n\n").next().unwrap_or_default();
        let value = |key: &str| head.lines().find_map(|it| it.strip_prefix(key)?.strip_prefix(": ")).unwrap_or_default().trim();
        let (name, version) = (value("Name"), value("Version"));
        let license =
            [value("License-Expression"), value("License")].into_iter().find(|it| !it.is_empty() && it.len() < 60 && *it != "UNKNOWN");
        let normal = name.to_lowercase().replace(['_', '.'], "-");
        self.library(name, version, format!("pkg:pypi/{}@{}", encoded(&normal), encoded(version)), license.unwrap_or_default(), place);
    }

    fn node(&mut self, place: &str, text: &str) {
        let Ok(it) = serde_json::from_str::<serde_json::Value>(text) else { return };
        let value = |key: &str| it[key].as_str().unwrap_or_default();
        let (name, version) = (value("name"), value("version"));
        let path: Vec<String> = name.split('/').map(encoded).collect();
        self.library(name, version, format!("pkg:npm/{}@{}", path.join("/"), encoded(version)), value("license"), place);
    }

    fn go(&mut self, place: &str, built: &golang::Built) {
        let program = built.program();
        self.add(Package { kind: "application", ..package(&program.name, &program.version, program.purl(), "") }, place);
        for module in &built.modules {
            self.library(&module.name, &module.version, module.purl(), "", place);
        }
    }

    fn library(&mut self, name: &str, version: &str, purl: String, license: &str, place: &str) {
        if !name.is_empty() && !version.is_empty() {
            self.add(package(name, version, purl, license), place);
        }
    }
}

fn package(name: &str, version: &str, purl: String, license: &str) -> Package {
    let (name, version, license) = (name.to_owned(), version.to_owned(), license.to_owned());
    Package { kind: "library", name, version, purl, license, places: BTreeSet::new() }
}

/// A paragraph of dpkg's list, if the package is there.
fn debian(paragraph: &str, release: &str) -> Option<Package> {
    let value = |key: &str| paragraph.lines().find_map(|it| it.strip_prefix(key)?.strip_prefix(": ")).unwrap_or_default().trim();
    let (name, version, state) = (value("Package"), value("Version"), value("Status"));
    // `unpacked` is a package whose own programs did not run at its installation: its files are there.
    let is_there = ["installed", "unpacked", "half-configured"].iter().any(|it| state.split_whitespace().last() == Some(it));
    let distro = if release.is_empty() { String::new() } else { format!("&distro={}", encoded(release)) };
    let purl = format!("pkg:deb/debian/{}@{}?arch={}{distro}", encoded(name), encoded(version), encoded(value("Architecture")));
    (is_there && !name.is_empty() && !version.is_empty()).then(|| package(name, version, purl, ""))
}

/// `…/node_modules/NAME/package.json` or `…/node_modules/@SCOPE/NAME/package.json`, and no file deeper in a package.
fn is_node_package(name: &str) -> bool {
    let Some((_, inside)) = name.strip_suffix("/package.json").and_then(|it| it.rsplit_once("node_modules/")) else { return false };
    inside.split('/').count() == if inside.starts_with('@') { 2 } else { 1 }
}
