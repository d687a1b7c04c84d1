//! Reads the imports of an application without Python, only to detect changes.
//!
//! `python/scan.py` parses the same files with Python's grammar. A key that changes too often costs one scan and no new pins.

use std::{
    collections::{BTreeSet, HashSet},
    fs,
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::LazyLock,
};

use anyhow::{Context as _, Result};
use filetree::{
    hashes::Hashes,
    walk::{Found, Kind, Passed, walk},
};
use regex::Regex;
use walkdir::WalkDir;

use crate::fingerprint::Fingerprint;

/// The same as [`key`]; reads the files only if one of them has changed since.
pub fn known_key(hashes: &Hashes, app: &Path) -> Result<String> {
    let before = read_by_key(hashes, app)?;
    if let Some(known) = hashes.fact(&before) {
        return Ok(known);
    }
    let key = key(app)?;
    // A file may have changed between the two readings.
    if read_by_key(hashes, app)? == before {
        hashes.remember(&before, &key);
    }
    Ok(key)
}

/// All that [`key`] depends on.
fn read_by_key(hashes: &Hashes, app: &Path) -> Result<Fingerprint> {
    let is_read = |it: &Found| it.kind == Kind::Link || it.path.extension().is_some_and(|it| it == "py");
    let read: Vec<Found> = walk(app, &Passed::default(), None)?.into_iter().filter(is_read).collect();
    let mut out = Fingerprint::new();
    hashes.add(&mut out, "app", app, &read)?;
    // Whether a module is the application's own follows links.
    for it in read.iter().filter(|it| it.kind == Kind::Link) {
        let path = app.join(&it.path);
        out.add(format!("{} leads to", it.path.display()), format!("{} {}", path.is_file(), path.join("__init__.py").is_file()));
    }
    // Another build of this tool may read imports in another way.
    let tool = std::env::current_exe().and_then(fs::metadata).context("read the running program")?;
    out.add("the reader", format!("{} {} {} {}", tool.dev(), tool.ino(), tool.ctime(), tool.ctime_nsec()));
    Ok(out)
}

/// A hash (twelve digits) of all imported modules with their conditions, and of the modules that settings name in strings. Ignores relative
/// imports and the application's own top-level modules.
pub fn key(app: &Path) -> Result<String> {
    let mut names = BTreeSet::new();
    for entry in WalkDir::new(app).sort_by_file_name() {
        let entry = entry.with_context(|| format!("read {}", app.display()))?;
        if entry.file_type().is_file() && entry.path().extension().is_some_and(|it| it == "py") {
            let bytes = fs::read(entry.path()).with_context(|| format!("read {}", entry.path().display()))?;
            let text = String::from_utf8_lossy(&bytes);
            let relative = entry.path().strip_prefix(app).unwrap_or(entry.path());
            let is_test = relative.iter().any(|it| it.to_string_lossy().contains("test"));
            names.extend(imported(&text).into_iter().map(|(name, within)| (name, within, is_test)));
            if SETTINGS.iter().any(|it| text.contains(it)) {
                names.extend(quoted(&text).into_iter().map(|name| (name, String::new(), is_test)));
            }
        }
    }
    let is_own = |name: &str| app.join(name).join("__init__.py").is_file() || app.join(format!("{name}.py")).is_file();
    let mut out = Fingerprint::new();
    for (name, within, is_test) in names {
        if !is_own(name.split('.').next().unwrap_or_default()) {
            out.add(name, format!("{within} {is_test}"));
        }
    }
    Ok(out.short())
}

/// Names of which every Django settings file has at least one.
const SETTINGS: [&str; 6] = ["INSTALLED_APPS", "MIDDLEWARE", "DATABASES", "CACHES", "STORAGES", "TEMPLATES"];

/// The table of packages and their modules. A dotted name means that the package's first component is shared by several packages.
const TABLE: &str = include_str!("python/packages.txt");

/// The part of a module's name that determines the package: the first component, or three components for a first component that several
/// packages share.
fn deciding(name: &str) -> String {
    static SHARED: LazyLock<HashSet<&str>> =
        LazyLock::new(|| TABLE.lines().filter_map(|it| it.split_once('.')).map(|(root, _)| root).collect());
    let root = name.split('.').next().unwrap_or_default();
    if SHARED.contains(root) { name.split('.').take(3).collect::<Vec<_>>().join(".") } else { root.to_owned() }
}

/// Whether Python may skip the block that this line starts; false for functions and classes.
fn decides(line: &str) -> bool {
    ["try", "except", "if ", "elif ", "else"].iter().any(|it| line.starts_with(it))
}

/// Each imported module, and the line that decides whether it is imported: `try:`, `if TYPE_CHECKING:`; empty for an unconditional import.
fn imported(text: &str) -> Vec<(String, String)> {
    let mut out = Vec::new();
    let mut above: Vec<(usize, &str)> = Vec::new();
    for line in text.lines() {
        let bare = line.trim_start();
        if bare.is_empty() || bare.starts_with('#') {
            continue;
        }
        let depth = line.len() - bare.len();
        above.retain(|(other, _)| *other < depth);
        let within = above.iter().rev().map(|(_, it)| *it).find(|it| decides(it)).unwrap_or_default().trim_end();
        if let Some(rest) = bare.strip_prefix("from ") {
            if let Some((module, names)) = rest.split_once(" import") {
                // In `from google.cloud import storage` the imported name may be a module.
                let first = names.trim_start_matches([' ', '(']).split([',', ' ']).next().unwrap_or_default();
                out.extend(dotted(module.trim()).map(|it| (deciding(&format!("{it}.{first}")), within.to_owned())));
            }
        } else if let Some(rest) = bare.strip_prefix("import ") {
            out.extend(rest.split(',').filter_map(dotted).map(|it| (deciding(&it), within.to_owned())));
        } else if bare.starts_with("raise") && within.starts_with("except") {
            // An `except` block that raises is not a fallback.
            out.push((String::new(), format!("{within} raise")));
        }
        above.push((depth, bare));
    }
    out
}

fn dotted(text: &str) -> Option<String> {
    let name = text.split_whitespace().next()?;
    let good = !name.starts_with('.') && name.chars().all(|it| it.is_alphanumeric() || it == '_' || it == '.');
    good.then(|| name.to_owned())
}

/// Strings that look like a module's name.
fn quoted(text: &str) -> Vec<String> {
    static PATTERN: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r#"["']([A-Za-z_][A-Za-z_0-9.]*)["']"#).ok());
    PATTERN.iter().flat_map(|it| it.captures_iter(text)).map(|it| it[1].to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_import_are_read_with_what_they_stand_in_and_relative_ones_are_not() {
        let text = "import os, a.b as c\nfrom django.db import models\nif TYPE_CHECKING:\n    import late\nfrom . import x\nfrom .y import z\nimportant = 1\n";
        let within = |name: &str, within: &str| (name.to_owned(), within.to_owned());
        assert_eq!(imported(text), [within("os", ""), within("a", ""), within("django", ""), within("late", "if TYPE_CHECKING:")]);
    }

    #[test]
    fn a_known_key_is_that_of_the_files_as_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let app = dir.path().join("app");
        fs::create_dir(&app).unwrap();
        let known = || known_key(&Hashes::kept_in(dir.path().join("hashes")), &app).unwrap();
        fs::write(app.join("views.py"), "import requests\n").unwrap();
        let before = known();
        assert_eq!((known(), key(&app).unwrap()), (before.clone(), before.clone()));
        fs::write(app.join("views.py"), "import requesta\n").unwrap();
        assert_ne!(known(), before);
        // A link makes a module the application's own, and what it leads to is outside of the application.
        std::os::unix::fs::symlink("../outside.py", app.join("requesta.py")).unwrap();
        let others = known();
        fs::write(dir.path().join("outside.py"), "").unwrap();
        assert_ne!(known(), others);
        assert_eq!(known(), key(&app).unwrap());
    }

    #[test]
    fn only_a_change_of_imports_or_of_settings_changes_the_key() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("polls")).unwrap();
        fs::write(dir.path().join("polls/__init__.py"), "").unwrap();
        let key_of = |text: &str| {
            fs::write(dir.path().join("views.py"), text).unwrap();
            key(dir.path()).unwrap()
        };
        let before = key_of("import django\nimport polls\nx = 1\n");
        assert_eq!(key_of("import django\nx = 2\n"), before);
        // Further imports of an imported package, also in a function.
        assert_eq!(key_of("import django\ndef f():\n    from django.http import HttpResponse\n"), before);
        assert_ne!(key_of("import django\nimport requests\n"), before);
        assert_ne!(key_of("from google.cloud import storage\n"), key_of("from google.cloud import pubsub\n"));
        assert_ne!(key_of("import django\ntry:\n    import requests\n"), key_of("import django\nimport requests\n"));
        assert_ne!(key_of("INSTALLED_APPS = ['taggit']\n"), key_of("INSTALLED_APPS = ['rest_framework']\n"));
    }
}
