//! The modules that Python files import, read without Python: only to see whether they changed.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context as _, Result};
use walkdir::WalkDir;

use crate::fingerprint::Fingerprint;

/// Twelve digits over the names of all imported modules, relative imports and the application's own left out.
pub fn key(app: &Path) -> Result<String> {
    let mut names = BTreeSet::new();
    for entry in WalkDir::new(app).sort_by_file_name() {
        let entry = entry.with_context(|| format!("read {}", app.display()))?;
        if entry.file_type().is_file() && entry.path().extension().is_some_and(|it| it == "py") {
            let text = fs::read(entry.path()).with_context(|| format!("read {}", entry.path().display()))?;
            names.extend(imported(&String::from_utf8_lossy(&text)));
        }
    }
    names.retain(|name| !app.join(name).is_dir() && !app.join(format!("{name}.py")).is_file());
    let mut out = Fingerprint::new();
    for name in names {
        out.add(name, "");
    }
    Ok(out.short())
}

fn imported(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    for line in text.lines().map(str::trim_start) {
        if let Some(rest) = line.strip_prefix("from ") {
            out.extend(top(rest));
        } else if let Some(rest) = line.strip_prefix("import ") {
            out.extend(rest.split(',').filter_map(top));
        }
    }
    out
}

fn top(text: &str) -> Option<String> {
    let name = text.split_whitespace().next()?.split('.').next()?;
    let good = !name.is_empty() && name.chars().all(|it| it.is_alphanumeric() || it == '_');
    good.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_import_are_read_and_relative_ones_are_not() {
        let text = "import os, a.b as c\nfrom django.db import models\n    import late\nfrom . import x\nfrom .y import z\nimportant = 1\n";
        assert_eq!(imported(text), ["os", "a", "django", "late"]);
    }

    #[test]
    fn only_a_change_of_imports_changes_the_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("views.py");
        fs::create_dir(dir.path().join("polls")).unwrap();
        fs::write(&path, "import django\nimport polls\nx = 1\n").unwrap();
        let before = key(dir.path()).unwrap();
        fs::write(&path, "import django\nx = 2\n").unwrap();
        assert_eq!(key(dir.path()).unwrap(), before);
        fs::write(&path, "import django\nimport requests\n").unwrap();
        assert_ne!(key(dir.path()).unwrap(), before);
    }
}
