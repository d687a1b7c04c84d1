//! Fingerprints: all inputs of a result as named digests, and one digest over them.
//!
//! The names make it possible to say what has changed ("patches/0002 changed"). Callers read the inputs.

use std::{collections::HashMap, path::Path, sync::OnceLock};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    compare::{Input, Since, compare},
    hashes::{self, Hashes},
    walk::Passed,
};

mod json;

/// Named digests in the order of their addition.
#[derive(Clone, Debug, Default)]
pub struct Fingerprint {
    /// Each part as the digest over all reads it: the length of its name in eight bytes, the name, and the same of its value. 20,000 files are
    /// one allocation, and their digest is that of these bytes.
    parts: Vec<u8>,
    count: usize,
    /// The digest over all parts, once it was computed: a run uses that of the inputs of an image ten times.
    known: OnceLock<String>,
}

impl PartialEq for Fingerprint {
    fn eq(&self, other: &Fingerprint) -> bool {
        self.parts == other.parts
    }
}

impl Eq for Fingerprint {}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Fingerprint {
    fn from_iter<T: IntoIterator<Item = (N, V)>>(parts: T) -> Fingerprint {
        let mut out = Fingerprint::default();
        out.extend(parts);
        out
    }
}

impl<N: AsRef<str>, V: AsRef<str>> Extend<(N, V)> for Fingerprint {
    fn extend<T: IntoIterator<Item = (N, V)>>(&mut self, parts: T) {
        parts.into_iter().for_each(|(name, value)| self.push(&[name.as_ref()], value.as_ref()));
    }
}

/// The parts one after the other.
#[derive(Clone, Debug)]
pub struct Parts<'a>(&'a [u8]);

impl<'a> Iterator for Parts<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<(&'a str, &'a str)> {
        Some((self.text()?, self.text()?))
    }
}

impl<'a> Parts<'a> {
    fn text(&mut self) -> Option<&'a str> {
        let (length, rest) = self.0.split_first_chunk::<8>()?;
        let (text, rest) = rest.split_at_checked(usize::from_le_bytes(*length))?;
        self.0 = rest;
        // Only whole strings are added.
        std::str::from_utf8(text).ok()
    }
}

impl Fingerprint {
    pub fn new() -> Fingerprint {
        Fingerprint::default()
    }

    /// Names and digests.
    pub fn parts(&self) -> Parts<'_> {
        Parts(&self.parts)
    }

    /// The number of parts.
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds a named value.
    pub fn add(&mut self, name: impl AsRef<str>, value: impl AsRef<[u8]>) {
        self.push(&[name.as_ref()], &hex(&Sha256::digest(value.as_ref())));
    }

    /// Adds a part whose digest is known. Its name comes in pieces.
    pub(crate) fn push(&mut self, name: &[&str], digest: &str) {
        self.known.take();
        let length: usize = name.iter().map(|it| it.len()).sum();
        self.parts.extend_from_slice(&length.to_le_bytes());
        name.iter().for_each(|it| self.parts.extend_from_slice(it.as_bytes()));
        self.parts.extend_from_slice(&digest.len().to_le_bytes());
        self.parts.extend_from_slice(digest.as_bytes());
        self.count += 1;
    }

    /// Keeps the parts whose names are wanted.
    pub fn retain(&mut self, mut is_wanted: impl FnMut(&str) -> bool) {
        *self = self.parts().filter(|(name, _)| is_wanted(name)).collect();
    }

    /// Adds a file's content and executable bit. A missing file has its own value.
    pub fn add_file(&mut self, name: impl AsRef<str>, path: &Path) -> Result<()> {
        let name = name.as_ref();
        if !path.exists() {
            self.push(&[name], hashes::ABSENT);
            return Ok(());
        }
        self.push(&[name], &hex(&hashes::of_file(path)?));
        Ok(())
    }

    /// Adds every file below `root` under its own name, sorted. For a symbolic link, adds its target's name. Reads every file.
    pub fn add_tree(&mut self, name: &str, root: &Path) -> Result<()> {
        Hashes::default().add(self, name, root, &Passed::default(), None, &mut |_, _| ())
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
        self.known.get_or_init(|| hex(&Sha256::digest(&self.parts))).clone()
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
        let text = |it: &Input<'_>| match it.since {
            Since::Unchanged => None,
            Since::Changed => Some(format!("{} changed", it.name)),
            Since::New => Some(format!("{} is new", it.name)),
            Since::Gone => Some(format!("{} is gone", it.name)),
        };
        compare(self, earlier).iter().filter_map(text).collect()
    }

    /// The values by their names, for comparisons whose time is linear in the number of parts. Of parts with one name, the first.
    pub fn by_name(&self) -> HashMap<&str, &str> {
        Fingerprint::named(self.parts())
    }

    pub(crate) fn named<'a>(parts: Parts<'a>) -> HashMap<&'a str, &'a str> {
        let mut out = HashMap::with_capacity(parts.size_hint().0);
        for (name, value) in parts {
            out.entry(name).or_insert(value);
        }
        out
    }
}

/// The digest that a fingerprint of these parts has.
pub fn digest<'a>(parts: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let (mut hasher, mut some) = (Sha256::new(), Fingerprint::default());
    for (name, value) in parts {
        some.push(&[name], value);
        if some.parts.len() >= 1 << 14 {
            hasher.update(&some.parts);
            some.parts.clear();
        }
    }
    hasher.update(&some.parts);
    hex(&hasher.finalize())
}

/// Lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    out
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
        out.push(&["a"], "x");
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
        one.push(&["a", "b"], "c");
        let mut other = Fingerprint::new();
        other.push(&["a"], "bc");
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
