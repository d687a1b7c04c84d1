//! The key of an application's imports, only to detect changes. The package `filetree` reads them.
//!
//! `python/scan.py` parses the same files with Python's grammar. A key that changes too often costs one scan and no new pins.

use std::{
    collections::{HashMap, HashSet},
    fs,
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::LazyLock,
};

use anyhow::{Context as _, Result};
use filetree::{
    fingerprint::digest,
    hashes::Hashes,
    imports::{self, Import},
    tree::Tree,
    walk::{Found, Kind},
};

use crate::{env::Trees, fingerprint::Fingerprint};

/// The same as [`key`]; reads the files only if one of them has changed since.
pub fn known_key(hashes: &Hashes, trees: &Trees, app: &Path) -> Result<String> {
    let tree = trees.recent(hashes, app, &SHARED)?;
    let before = read_by_key(app, &tree)?;
    if let Some(known) = hashes.fact(&before) {
        return Ok(known);
    }
    let key = key(app, &tree)?;
    // A file may have changed between the two readings, if there were two.
    if tree.has_all_imports() || read_by_key(app, &*trees.now(hashes, app, &SHARED)?)? == before {
        hashes.remember(&before, &key);
    }
    Ok(key)
}

/// All that [`key`] depends on.
fn read_by_key(app: &Path, tree: &Tree) -> Result<Fingerprint> {
    let is_read = |it: &Found| it.kind == Kind::Link || it.path.extension().is_some_and(|it| it == "py");
    let mut out = Fingerprint::new();
    out.add("files", digest(tree.only(is_read).map(|(_, part)| part)));
    // Whether a module is the application's own follows links.
    for (it, _) in tree.only(|it| it.kind == Kind::Link) {
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
fn key(app: &Path, tree: &Tree) -> Result<String> {
    // By the same walk as the imports: a file that appears meanwhile belongs to the next look. Where a link leads is read now.
    let is_module = |path: &Path| path.ends_with("__init__.py") || path.extension().is_some_and(|it| it == "py");
    let at_top = |it: &Found| it.path.components().count() <= 2 && (it.kind == Kind::Link || it.kind == Kind::File && is_module(&it.path));
    let top: HashMap<&Path, bool> = tree.only(at_top).map(|(it, _)| (it.path.as_path(), it.kind == Kind::Link)).collect();
    let is_file = |path: &Path| match top.get(path) {
        Some(is_link) => !is_link || app.join(path).is_file(),
        None => path.parent().is_some_and(|it| top.get(it) == Some(&true)) && app.join(path).is_file(),
    };
    let is_own = |name: &str| is_file(&Path::new(name).join("__init__.py")) || is_file(Path::new(&format!("{name}.py")));
    let mut out = Fingerprint::new();
    for Import { name, within, is_of_test } in imports::of_tree(app, tree, &SHARED)? {
        if !is_own(name.split('.').next().unwrap_or_default()) {
            out.add(name, format!("{within} {is_of_test}"));
        }
    }
    Ok(out.short())
}

/// The table of packages and their modules. A dotted name means that the package's first component is shared by several packages.
const TABLE: &str = include_str!("python/packages.txt");

/// The first components of modules that several packages share.
pub static SHARED: LazyLock<HashSet<&str>> =
    LazyLock::new(|| TABLE.lines().filter_map(|it| it.split_once('.')).map(|(root, _)| root).collect());

#[cfg(test)]
mod tests {
    use super::*;

    fn now(app: &Path) -> String {
        key(app, &Tree::read(&Hashes::default(), "app", app, &SHARED).unwrap()).unwrap()
    }

    #[test]
    fn a_known_key_is_that_of_the_files_as_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let app = dir.path().join("app");
        fs::create_dir(&app).unwrap();
        let known = || known_key(&Hashes::kept_in(dir.path().join("hashes")), &Trees::default(), &app).unwrap();
        fs::write(app.join("views.py"), "import requests\n").unwrap();
        let before = known();
        assert_eq!((known(), now(&app)), (before.clone(), before.clone()));
        fs::write(app.join("views.py"), "import requesta\n").unwrap();
        assert_ne!(known(), before);
        // A link makes a module the application's own, and what it leads to is outside of the application.
        std::os::unix::fs::symlink("../outside.py", app.join("requesta.py")).unwrap();
        let others = known();
        fs::write(dir.path().join("outside.py"), "").unwrap();
        assert_ne!(known(), others);
        assert_eq!(known(), now(&app));
    }

    #[test]
    fn only_a_change_of_imports_or_of_settings_changes_the_key() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("polls")).unwrap();
        fs::write(dir.path().join("polls/__init__.py"), "").unwrap();
        let key_of = |text: &str| {
            fs::write(dir.path().join("views.py"), text).unwrap();
            now(dir.path())
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
