//! The archive: the redactor processes every text before it is added.

use std::{
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use flate2::{Compression, write::GzEncoder};
use serde_json::Value;

use crate::redact::Redactor;

/// Files by name, and what is missing with the reason.
pub(super) struct Bundle {
    redactor: Redactor,
    files: BTreeMap<String, String>,
    missing: Vec<String>,
}

impl Bundle {
    pub(super) fn new(redactor: Redactor) -> Bundle {
        Bundle { redactor, files: BTreeMap::new(), missing: Vec::new() }
    }

    pub(super) fn add(&mut self, name: &str, text: &str) {
        self.files.insert(self.redactor.text(name), self.redactor.text(text));
    }

    pub(super) fn value(&mut self, name: &str, value: &Value) {
        self.add(name, &format!("{value:#}\n"));
    }

    /// Notes what is missing; `why` becomes one line.
    pub(super) fn lack(&mut self, what: &str, why: &str) {
        let why = why.lines().next().unwrap_or_default();
        self.missing.push(self.redactor.text(&format!("{what}: {why}")));
    }

    pub(super) fn missing(&self) -> &[String] {
        &self.missing
    }

    /// A compressed tar; its first file lists the content and what is missing.
    pub(super) fn bytes(&self) -> Result<Vec<u8>> {
        let mut contents = String::from("Files of this archive:\n");
        self.files.keys().for_each(|it| contents.push_str(&format!("  {it}\n")));
        contents.push_str("Missing:\n");
        self.missing.iter().for_each(|it| contents.push_str(&format!("  {it}\n")));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map(|it| it.as_secs()).unwrap_or_default();
        let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
        let all = std::iter::once(("CONTENTS.txt", contents.as_str()))
            .chain(self.files.iter().map(|(name, text)| (name.as_str(), text.as_str())));
        for (name, text) in all {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o600);
            header.set_mtime(now);
            archive.append_data(&mut header, format!("support-bundle/{name}"), text.as_bytes()).with_context(|| format!("pack {name}"))?;
        }
        archive.into_inner().and_then(GzEncoder::finish).context("pack the archive")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn what_is_packed_passes_the_redactor_and_what_is_missing_is_said() {
        let mut bundle = Bundle::new(Redactor::new(["canary-4711".to_owned()]));
        bundle.add("log/a-canary-4711.log", "the key is canary-4711, in base64 Y2FuYXJ5LTQ3MTE=");
        bundle.value("b.json", &serde_json::json!({ "note": "xcanary-4711" }));
        bundle.lack("the cluster", "canary-4711 does not answer\nand more");
        let mut text = String::new();
        for entry in tar::Archive::new(flate2::read::GzDecoder::new(bundle.bytes().unwrap().as_slice())).entries().unwrap() {
            let mut entry = entry.unwrap();
            text.push_str(&entry.path().unwrap().display().to_string());
            entry.read_to_string(&mut text).unwrap();
        }
        assert!(text.contains("the cluster: [redacted] does not answer\n") && !text.contains("and more"), "{text}");
        assert!(text.contains("the key is [redacted], in base64 [redacted]"), "{text}");
        assert!(!text.contains("4711") && !text.contains("Y2FuYXJ5"), "{text}");
    }
}
