//! Chooses the application's file with the requirements, and computes the hash of its content.
//!
//! Reads paths and contents only, without running another program.

use std::{
    collections::BTreeSet,
    fmt, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use filetree::hashes::Hashes;

use crate::{env::Trees, fingerprint::Fingerprint, requirements::imports};

/// The source of requirements: the first of these that the application has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Requirements,
    Pylock,
    UvLock,
    PoetryLock,
    PipfileLock,
    Pyproject,
    Imports,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Source::Requirements => "requirements.txt",
            Source::Pylock => "pylock.toml",
            Source::UvLock => "uv.lock",
            Source::PoetryLock => "poetry.lock",
            Source::PipfileLock => "Pipfile.lock",
            Source::Pyproject => "pyproject.toml",
            Source::Imports => "imports",
        })
    }
}

impl Source {
    pub const ALL: [Source; 7] =
        [Source::Requirements, Source::Pylock, Source::UvLock, Source::PoetryLock, Source::PipfileLock, Source::Pyproject, Source::Imports];

    /// The application's source. `own`: its requirements.txt is its own, not the copied pins.
    pub fn of(app: &Path, own: bool, groups: &[String]) -> Source {
        let has = |name: &str| app.join(name).is_file();
        let pyproject = || fs::read_to_string(app.join("pyproject.toml")).unwrap_or_default();
        if own {
            Source::Requirements
        } else if has("pylock.toml") {
            Source::Pylock
        } else if has("uv.lock") && has("pyproject.toml") {
            Source::UvLock
        } else if has("poetry.lock") && has("pyproject.toml") {
            Source::PoetryLock
        } else if has("Pipfile.lock") {
            Source::PipfileLock
        } else if tells(&pyproject(), groups) {
            Source::Pyproject
        } else {
            Source::Imports
        }
    }

    /// A hash (twelve digits) of everything that the requirements depend on.
    pub fn key(self, hashes: &Hashes, trees: &Trees, app: &Path) -> Result<String> {
        let files: &[&str] = match self {
            Source::Imports => return imports::known_key(hashes, trees, app),
            Source::Requirements => {
                let mut out = Fingerprint::new();
                for path in included(&app.join("requirements.txt"))? {
                    out.add_file(path.strip_prefix(app).unwrap_or(&path).display().to_string(), &path)?;
                }
                return Ok(out.short());
            }
            Source::Pylock => &["pylock.toml"],
            Source::UvLock => &["uv.lock", "pyproject.toml"],
            Source::PoetryLock => &["poetry.lock", "pyproject.toml"],
            Source::PipfileLock => &["Pipfile.lock", "Pipfile"],
            Source::Pyproject => &["pyproject.toml"],
        };
        let mut out = Fingerprint::new();
        for name in files {
            out.add_file(*name, &app.join(name))?;
        }
        Ok(out.short())
    }
}

/// Whether a pyproject.toml has dependencies, not only settings of tools. True for a broken file, so that its error is reported.
fn tells(text: &str, groups: &[String]) -> bool {
    let Ok(document) = text.parse::<toml::Table>() else { return true };
    let Some(project) = document.get("project").and_then(toml::Value::as_table) else { return !groups.is_empty() };
    let is_dynamic =
        project.get("dynamic").and_then(toml::Value::as_array).is_some_and(|it| it.iter().any(|it| it.as_str() == Some("dependencies")));
    project.contains_key("dependencies") || is_dynamic || !groups.is_empty()
}

/// The file, the files that it includes with `-r` and `-c`, and the files that it names, in a fixed order.
fn included(file: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut out = BTreeSet::new();
    let mut open = vec![file.to_owned()];
    while let Some(path) = open.pop() {
        if !out.insert(path.clone()) {
            continue;
        }
        // pip reports a missing file, and its creation is a change.
        if !path.is_file() || path.extension().is_some_and(|it| it == "whl") {
            continue;
        }
        let bytes = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        for line in lines(&String::from_utf8_lossy(&bytes)) {
            if let Some(name) = option(&line, &["-r", "-c", "--requirement", "--constraint"]) {
                if !name.contains("://") {
                    open.push(folder.join(name));
                }
            } else if let Some(name) = option(&line, &["-f", "--find-links"]) {
                let folder = folder.join(name);
                if let Ok(entries) = fs::read_dir(&folder) {
                    open.extend(entries.flatten().map(|it| it.path()).filter(|it| it.extension().is_some_and(|it| it == "whl")));
                }
            } else if line.split([';', ' ']).next().is_some_and(|it| it.ends_with(".whl") && !it.contains("://")) {
                open.push(folder.join(line.split([';', ' ']).next().unwrap_or_default()));
            }
        }
    }
    Ok(out)
}

/// The value of an option in any of pip's spellings: `-r x`, `-rx`, `--requirement x`, `--requirement=x`.
fn option<'a>(line: &'a str, names: &[&str]) -> Option<&'a str> {
    names.iter().find_map(|name| {
        let rest = line.strip_prefix(name)?;
        let is_value = !name.starts_with("--") || rest.starts_with([' ', '\t', '=']);
        is_value.then(|| rest.trim_start_matches([' ', '\t', '=']).trim().trim_matches(['"', '\'']))
    })
}

/// The logical lines of a requirements file, without comments.
pub fn lines(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut open = String::new();
    for line in text.lines() {
        let line = if line.trim_start().starts_with('#') { "" } else { line };
        let line = [" #", "\t#"].iter().filter_map(|it| line.find(it)).min().map_or(line, |at| &line[..at]);
        if let Some(part) = line.strip_suffix('\\') {
            open.push_str(part);
            continue;
        }
        let whole = std::mem::take(&mut open) + line;
        out.extend(Some(whole.trim().to_owned()).filter(|it| !it.is_empty()));
    }
    out.extend(Some(open.trim().to_owned()).filter(|it| !it.is_empty()));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    #[test]
    fn the_most_exact_file_tells_and_a_file_of_settings_does_not() {
        let project = "[project]\nname = \"x\"\ndependencies = []\n";
        for (files, source) in [
            (&[("pyproject.toml", project), ("uv.lock", "")][..], Source::UvLock),
            (&[("pyproject.toml", project), ("poetry.lock", ""), ("Pipfile.lock", "")], Source::PoetryLock),
            (&[("pylock.toml", ""), ("uv.lock", ""), ("pyproject.toml", project)], Source::Pylock),
            (&[("Pipfile.lock", "")], Source::PipfileLock),
            (&[("pyproject.toml", project)], Source::Pyproject),
            (&[("pyproject.toml", "[project]\nname = \"x\"\ndynamic = [\"dependencies\"]\n")], Source::Pyproject),
            (&[("pyproject.toml", "[tool.ruff]\nline-length = 100\n")], Source::Imports),
            (&[("pyproject.toml", "[project\n")], Source::Pyproject),
            (&[("requirements.txt", "the staged pins")], Source::Imports),
        ] {
            assert_eq!(Source::of(app(files).path(), false, &[]), source, "{files:?}");
        }
        let dir = app(&[("uv.lock", ""), ("pyproject.toml", project)]);
        assert_eq!(Source::of(dir.path(), true, &[]), Source::Requirements);
        let grouped = app(&[("pyproject.toml", "[dependency-groups]\nprod = [\"x\"]\n")]);
        assert_eq!(Source::of(grouped.path(), false, &[]), Source::Imports);
        assert_eq!(Source::of(grouped.path(), false, &["prod".to_owned()]), Source::Pyproject);
    }

    #[test]
    fn included_files_belong_to_the_key_in_every_spelling() {
        let text = "-r requirements/base.txt\n--constraint=limits.txt  # why\n-rmore.txt\n./vendor/x-1-py3-none-any.whl\n--find-links wheelhouse\n";
        let dir = app(&[
            ("requirements.txt", text),
            ("requirements/base.txt", "-r ../requirements.txt\n-c deep.txt\ndjango\n"),
            ("requirements/deep.txt", "django<7\n"),
            ("limits.txt", "x<2\n"),
            ("vendor/x-1-py3-none-any.whl", "1"),
            ("wheelhouse/y-1-py3-none-any.whl", "1"),
            ("other.txt", "z\n"),
        ]);
        let key = || Source::Requirements.key(&Hashes::default(), &Trees::default(), dir.path()).unwrap();
        for path in [
            "requirements/base.txt",
            "requirements/deep.txt",
            "limits.txt",
            "more.txt",
            "vendor/x-1-py3-none-any.whl",
            "wheelhouse/y-1-py3-none-any.whl",
        ] {
            let before = key();
            fs::write(dir.path().join(path), "changed\n").unwrap();
            let changed = key();
            assert_ne!(changed, before, "{path}");
            fs::remove_file(dir.path().join(path)).unwrap();
            assert_ne!(key(), changed, "{path}");
            fs::write(dir.path().join(path), if path.contains("base") { "-c deep.txt\n" } else { "x\n" }).unwrap();
        }
        let before = key();
        fs::write(dir.path().join("other.txt"), "changed\n").unwrap();
        assert_eq!(key(), before);
    }

    #[test]
    fn comments_and_continued_lines_are_read_as_pip_reads_them() {
        let text = "# use --hash=sha256:0\ndjango==6 \\\n  --hash=sha256:1 # last\n\nx#egg\n";
        assert_eq!(lines(text), ["django==6   --hash=sha256:1", "x#egg"]);
    }
}
