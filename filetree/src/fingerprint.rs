//! Fingerprints: all inputs of a result as named digests, and one digest over them.
//!
//! The names make it possible to say what has changed ("patches/0002 changed"). Callers read the inputs.

use std::{collections::HashMap, path::Path, sync::OnceLock};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    hashes::{self, Hashes},
    walk::{Passed, walk},
};

/// Named digests in the order of their addition.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Fingerprint {
    parts: Vec<(String, String)>,
    /// The digest over all parts, once it was computed: a run uses that of the inputs of an image ten times.
    #[serde(skip)]
    known: OnceLock<String>,
}

impl PartialEq for Fingerprint {
    fn eq(&self, other: &Fingerprint) -> bool {
        self.parts == other.parts
    }
}

impl Eq for Fingerprint {}

impl FromIterator<(String, String)> for Fingerprint {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(parts: T) -> Fingerprint {
        Fingerprint { parts: parts.into_iter().collect(), known: OnceLock::new() }
    }
}

impl Extend<(String, String)> for Fingerprint {
    fn extend<T: IntoIterator<Item = (String, String)>>(&mut self, parts: T) {
        self.changed().extend(parts);
    }
}

impl Fingerprint {
    pub fn new() -> Fingerprint {
        Fingerprint::default()
    }

    /// Names and digests.
    pub fn parts(&self) -> &[(String, String)] {
        &self.parts
    }

    /// The parts, to change them.
    fn changed(&mut self) -> &mut Vec<(String, String)> {
        self.known.take();
        &mut self.parts
    }

    /// Adds a named value.
    pub fn add(&mut self, name: impl Into<String>, value: impl AsRef<[u8]>) {
        self.push(name.into(), hex(&Sha256::digest(value.as_ref())));
    }

    /// Adds a part whose digest is known.
    pub(crate) fn push(&mut self, name: String, digest: String) {
        self.changed().push((name, digest));
    }

    /// Makes room for further parts.
    pub(crate) fn reserve(&mut self, parts: usize) {
        self.parts.reserve(parts);
    }

    /// Keeps the parts whose names are wanted.
    pub fn retain(&mut self, mut is_wanted: impl FnMut(&str) -> bool) {
        self.changed().retain(|(name, _)| is_wanted(name));
    }

    /// Adds a file's content and executable bit. A missing file has its own value.
    pub fn add_file(&mut self, name: impl Into<String>, path: &Path) -> Result<()> {
        let name = name.into();
        if !path.exists() {
            self.push(name, hashes::ABSENT.to_owned());
            return Ok(());
        }
        self.push(name, hex(&hashes::of_file(path)?));
        Ok(())
    }

    /// Adds every file below `root` under its own name, sorted. For a symbolic link, adds its target's name. Reads every file.
    pub fn add_tree(&mut self, name: &str, root: &Path) -> Result<()> {
        Hashes::default().add(self, name, root, &walk(root, &Passed::default(), None)?)
    }

    /// Reads the JSON of a record; `None` if it is not one.
    pub fn from_json(bytes: &[u8]) -> Option<Fingerprint> {
        serde_json::from_slice(bytes).ok()
    }

    /// The same as JSON on several lines.
    pub fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec_pretty(self)
    }

    /// 64 hex digits over names and values.
    pub fn digest(&self) -> String {
        self.known.get_or_init(|| digest(&self.parts)).clone()
    }

    /// The first twelve digits, for tags and file names.
    pub fn short(&self) -> String {
        let mut digest = self.digest();
        digest.truncate(12);
        digest
    }

    /// Describes the difference to an earlier fingerprint, with at most two names.
    pub fn difference(&self, earlier: &Fingerprint) -> Option<String> {
        let changed = self.changes(earlier);
        match changed.len() {
            0 => None,
            1 | 2 => Some(changed.join(", ")),
            n => Some(format!("{}, {} and {} more", changed[0], changed[1], n - 2)),
        }
    }

    /// The names of all differences to an earlier fingerprint.
    pub fn changes(&self, earlier: &Fingerprint) -> Vec<String> {
        if self == earlier {
            return Vec::new();
        }
        let (ours, theirs) = (self.by_name(), earlier.by_name());
        let mut changed: Vec<String> = Vec::new();
        for (name, value) in &self.parts {
            match theirs.get(name.as_str()) {
                None => changed.push(format!("{name} is new")),
                Some(old) if old != value => changed.push(format!("{name} changed")),
                Some(_) => {}
            }
        }
        let gone = earlier.parts.iter().filter(|(name, _)| !ours.contains_key(name.as_str()));
        changed.extend(gone.map(|(name, _)| format!("{name} is gone")));
        changed
    }

    /// The values by their names, for comparisons whose time is linear in the number of parts. Of parts with one name, the first.
    pub fn by_name(&self) -> HashMap<&str, &str> {
        let mut out = HashMap::with_capacity(self.parts.len());
        for (name, value) in &self.parts {
            out.entry(name.as_str()).or_insert(value.as_str());
        }
        out
    }
}

/// The digest that a fingerprint of these parts has.
pub fn digest<'a>(parts: impl IntoIterator<Item = &'a (String, String)>) -> String {
    let mut hasher = Sha256::new();
    for (name, value) in parts {
        hasher.update(name.len().to_le_bytes());
        hasher.update(name);
        hasher.update(value.len().to_le_bytes());
        hasher.update(value);
    }
    hex(&hasher.finalize())
}

/// Lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|it| [DIGITS[usize::from(it >> 4)], DIGITS[usize::from(it & 15)]]);
    digits.map(char::from).collect()
}

/// The record of a tree: what it was made from, what it holds, and more that its writer knows.
#[derive(Debug, Serialize, Deserialize)]
pub struct TreeRecord {
    /// The digest of the inputs.
    pub inputs: String,
    pub content: Fingerprint,
    /// Of the writer's choice.
    #[serde(default)]
    pub last: serde_json::Value,
}

impl TreeRecord {
    /// Reads its JSON; `None` if it is not one.
    pub fn from_json(bytes: &[u8]) -> Option<TreeRecord> {
        serde_json::from_slice(bytes).ok()
    }

    /// The record as JSON on several lines.
    pub fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec_pretty(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_difference_names_what_changed_came_and_went() {
        let mut before = Fingerprint::new();
        before.add("patches/0001", "a");
        before.add("patches/0002", "b");
        let mut after = Fingerprint::new();
        after.add("patches/0001", "a");
        after.add("patches/0002", "B");
        after.add("patches/0003", "c");
        assert_eq!(after.difference(&before).as_deref(), Some("patches/0002 changed, patches/0003 is new"));
        assert_eq!(before.difference(&after).as_deref(), Some("patches/0002 changed, patches/0003 is gone"));
        assert_eq!(after.difference(&after), None);
        assert_ne!(after.digest(), before.digest());
    }

    #[test]
    fn a_digest_that_was_asked_for_follows_every_change() {
        let part = |name: &str| (name.to_owned(), "x".to_owned());
        let of = |names: &[&str]| names.iter().copied().map(part).collect::<Fingerprint>().digest();
        let mut out = Fingerprint::new();
        assert_eq!(out.digest(), of(&[]));
        out.push("a".to_owned(), "x".to_owned());
        assert_eq!(out.digest(), of(&["a"]));
        out.extend([part("b"), part("c")]);
        assert_eq!(out.digest(), of(&["a", "b", "c"]));
        assert_eq!(out.digest(), digest(out.parts()));
        let copy = out.clone();
        out.retain(|it| it != "b");
        assert_eq!((out.digest(), copy.digest()), (of(&["a", "c"]), of(&["a", "b", "c"])));
        assert_eq!(Fingerprint::from_json(&out.to_json().unwrap()).unwrap(), out);
        assert_ne!(out, copy);
    }

    #[test]
    fn a_hundred_thousand_files_are_compared_in_one_pass() {
        // With one search for each part, this test takes minutes.
        let of = |range: std::ops::Range<u32>| -> Fingerprint { range.map(|it| (format!("app/{it}"), "same".to_owned())).collect() };
        assert_eq!(of(1..100_001).changes(&of(0..100_000)), ["app/100000 is new", "app/0 is gone"]);
    }

    #[test]
    fn a_boundary_between_name_and_value_cannot_be_moved() {
        let mut one = Fingerprint::new();
        one.push("ab".to_owned(), "c".to_owned());
        let mut other = Fingerprint::new();
        other.push("a".to_owned(), "bc".to_owned());
        assert_ne!(one.digest(), other.digest());
    }

    #[test]
    fn the_executable_bit_is_content() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run");
        std::fs::write(&path, "x").unwrap();
        let plain = hashes::of_file(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_ne!(hashes::of_file(&path).unwrap(), plain);
    }
}
