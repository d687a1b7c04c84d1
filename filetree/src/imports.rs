//! What Python files import, read line by line without Python's grammar: a first look at 20,000 files must not take a second.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashSet},
    io::Read as _,
    path::Path,
};

use anyhow::{Context as _, Result};

use crate::{regular, tree::Tree};

/// A module that a file imports, or a string of a settings file that may be a module.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Import {
    /// Its name, as far as it determines the package.
    pub name: String,
    /// The line that decides whether it is imported: `try:`, `if TYPE_CHECKING:`; empty for an unconditional import.
    pub within: String,
    /// Whether the file's path names tests.
    pub is_of_test: bool,
}

/// All imports of the `.py` files of a tree below `root`. `shared`: the first components of names that several packages share.
pub fn of_tree(root: &Path, tree: &Tree, shared: &HashSet<&str>) -> Result<BTreeSet<Import>> {
    let mut out = tree.imports().clone();
    let mut bytes = Vec::new();
    for path in tree.unread() {
        let whole = root.join(path);
        bytes.clear();
        regular::open(&whole).and_then(|mut it| it.read_to_end(&mut bytes)).with_context(|| format!("read {}", whole.display()))?;
        of_file(path, &bytes, shared, &mut out);
    }
    Ok(out)
}

/// Adds the imports of a file.
pub(crate) fn of_file(path: &Path, bytes: &[u8], shared: &HashSet<&str>, out: &mut BTreeSet<Import>) {
    let text = String::from_utf8_lossy(bytes);
    let is_of_test = path.iter().any(|it| it.to_string_lossy().contains("test"));
    out.extend(imported(&text, shared).into_iter().map(|(name, within)| Import { name, within: within.into_owned(), is_of_test }));
    if SETTINGS.iter().any(|it| text.contains(it)) {
        out.extend(quoted(&text).map(|name| Import { name: name.to_owned(), within: String::new(), is_of_test }));
    }
}

/// Names of which every Django settings file has at least one.
const SETTINGS: [&str; 6] = ["INSTALLED_APPS", "MIDDLEWARE", "DATABASES", "CACHES", "STORAGES", "TEMPLATES"];

/// The part of a module's name that determines the package: the first component, or three components for a first component that several
/// packages share.
fn deciding(name: &str, shared: &HashSet<&str>) -> String {
    let root = name.split('.').next().unwrap_or_default();
    if shared.contains(root) { name.split('.').take(3).collect::<Vec<_>>().join(".") } else { root.to_owned() }
}

/// Whether Python may skip the block that this line starts; false for functions and classes.
fn decides(line: &str) -> bool {
    ["try", "except", "if ", "elif ", "else"].iter().any(|it| line.starts_with(it))
}

/// Each imported module, and the line that decides whether it is imported.
fn imported<'a>(text: &'a str, shared: &HashSet<&str>) -> Vec<(String, Cow<'a, str>)> {
    let mut out = Vec::new();
    let mut above: Vec<(usize, &str)> = Vec::new();
    for line in text.lines() {
        let bare = line.trim_start();
        if bare.is_empty() || bare.starts_with('#') {
            continue;
        }
        let depth = line.len() - bare.len();
        // From the outermost to the innermost, each deeper than the one before.
        while above.pop_if(|(other, _)| *other >= depth).is_some() {}
        let within = || above.iter().rev().map(|(_, it)| *it).find(|it| decides(it)).unwrap_or_default().trim_end();
        if let Some(rest) = bare.strip_prefix("from ") {
            if let Some((module, names)) = rest.split_once(" import") {
                // In `from google.cloud import storage` the imported name may be a module.
                let first = names.trim_start_matches([' ', '(']).split([',', ' ']).next().unwrap_or_default();
                out.extend(dotted(module.trim()).map(|it| (deciding(&format!("{it}.{first}"), shared), within().into())));
            }
        } else if let Some(rest) = bare.strip_prefix("import ") {
            out.extend(rest.split(',').filter_map(dotted).map(|it| (deciding(it, shared), within().into())));
        } else if bare.starts_with("raise") && within().starts_with("except") {
            // An `except` block that raises is not a fallback.
            out.push((String::new(), format!("{} raise", within()).into()));
        }
        above.push((depth, bare));
    }
    out
}

fn dotted(text: &str) -> Option<&str> {
    let name = text.split_whitespace().next()?;
    let good = !name.starts_with('.') && name.chars().all(|it| it.is_alphanumeric() || it == '_' || it == '.');
    good.then_some(name)
}

/// Strings that look like a module's name: a letter or `_`, then letters, digits, `_` and dots, between quotation marks of any kind.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    let is_mark = |it: u8| matches!(it, b'"' | b'\'');
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let began = at + bytes.get(at..)?.iter().position(|it| is_mark(*it))? + 1;
            let length = bytes[began..].iter().take_while(|it| it.is_ascii_alphanumeric() || matches!(it, b'_' | b'.')).count();
            let ends = bytes.get(began + length).is_some_and(|it| is_mark(*it));
            if ends && length > 0 && !bytes[began].is_ascii_digit() && bytes[began] != b'.' {
                at = began + length + 1;
                return Some(&text[began..began + length]);
            }
            at = began;
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_import_are_read_with_what_they_stand_in_and_relative_ones_are_not() {
        let read = |text: &str| -> Vec<(String, String)> {
            let found = imported(text, &HashSet::from(["google"]));
            found.into_iter().map(|(name, within)| (name, within.into_owned())).collect()
        };
        let within = |name: &str, within: &str| (name.to_owned(), within.to_owned());
        let text = "import os, a.b as c\nfrom django.db import models\nif TYPE_CHECKING:\n    import late\nfrom . import x\nfrom .y import z\nimportant = 1\n";
        assert_eq!(read(text), [within("os", ""), within("a", ""), within("django", ""), within("late", "if TYPE_CHECKING:")]);
        let text =
            "try:\n    import a\nexcept ImportError:\n    if x:\n        pass\n    def f():\n        import b\n    raise\nimport c\n";
        let except = "except ImportError:";
        assert_eq!(read(text), [within("a", "try:"), within("b", except), within("", "except ImportError: raise"), within("c", "")]);
        assert_eq!(read("from google.cloud import (storage, x)\n"), [within("google.cloud.storage", "")]);
    }

    #[test]
    fn strings_that_may_name_a_module_are_found_between_any_marks() {
        let found = |text: &str| quoted(text).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(found("A = ['taggit', \"a.b_1\", 'x\"]"), ["taggit", "a.b_1", "x"]);
        // What no module has as its name, and what ends with the text.
        assert_eq!(found("'1a' '.a' '' 'a b' 'ü' 'c'd'e"), ["c"]);
        // The mark at the end of a string that is none begins the next one.
        assert_eq!(found("'a b'c'd"), ["c"]);
    }
}
