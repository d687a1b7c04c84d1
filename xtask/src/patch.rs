//! Patches in git's format: reading them for checks and messages, and applying them with `git apply`.
//!
//! What a patch may touch is decided here, before git sees it; git does the applying.

pub mod mismatch;
pub mod parse;

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::errors::{Code, Problem};
use parse::FilePatch;

/// One file of the queue.
#[derive(Clone, Debug)]
pub struct Patch {
    /// Its file name, for people.
    pub name: String,
    pub path: PathBuf,
    pub files: Vec<FilePatch>,
}

/// The queue in name order. A missing or empty folder is an empty queue.
pub fn queue(dir: &Path) -> Result<Vec<Patch>> {
    let mut out = Vec::new();
    let Ok(entries) = fs::read_dir(dir) else { return Ok(out) };
    for entry in entries {
        let path = entry.with_context(|| format!("read {}", dir.display()))?.path();
        if path.extension().is_none_or(|it| it != "patch") {
            continue;
        }
        let name = path.file_name().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
        let bytes = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        let files = parse::files(&String::from_utf8_lossy(&bytes));
        if files.is_empty() {
            return Err(Problem::config(format!("patch {name} holds no change"))
                .code(Code::PatchRefused)
                .hint("remove it, or write it with `git format-patch`")
                .into());
        }
        out.push(Patch { name, path, files });
    }
    out.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(out)
}

/// The first file that a queue changes and neither the tree has nor the queue makes.
pub fn absent(queue: &[Patch], tree: &Path) -> Option<String> {
    let mut made: Vec<&str> = Vec::new();
    for file in queue.iter().flat_map(|it| &it.files) {
        if let Some(old) = file.old.as_deref().filter(|old| !made.contains(old) && !tree.join(old).exists()) {
            return Some(old.to_owned());
        }
        made.extend(file.new.as_deref());
    }
    None
}

/// Refuses a patch that would write outside the tree, into `.git`, or through a link that is in the tree.
pub fn refuse_escapes(patch: &Patch, tree: &Path) -> Result<()> {
    for file in &patch.files {
        for name in file.names() {
            if let Some(why) = escape(name, tree) {
                let what = format!("patch {} is refused: `{name}` {why}", patch.name);
                return Err(Problem::new(what)
                    .code(Code::PatchRefused)
                    .hint("a patch may only change files of the application; nothing was changed")
                    .into());
            }
        }
        if file.creates_link() {
            let what = format!("patch {} is refused: it makes `{}` a symbolic link", patch.name, file.new.as_deref().unwrap_or_default());
            return Err(Problem::new(what)
                .code(Code::PatchRefused)
                .hint("a link could lead later patches out of the tree; nothing was changed")
                .into());
        }
    }
    Ok(())
}

fn escape(name: &str, tree: &Path) -> Option<&'static str> {
    let path = Path::new(name);
    if path.is_absolute() || name.starts_with('\\') || name.contains('\0') {
        return Some("is an absolute path");
    }
    let mut at = tree.to_path_buf();
    for component in path.components() {
        match component {
            Component::Normal(part) => {
                if is_git(&part.to_string_lossy()) {
                    return Some("lies in git's own folder");
                }
                at.push(part);
                if fs::symlink_metadata(&at).is_ok_and(|it| it.is_symlink()) {
                    return Some("leads through a symbolic link");
                }
            }
            Component::CurDir => {}
            Component::ParentDir => return Some("leads out of the tree"),
            Component::RootDir | Component::Prefix(_) => return Some("is an absolute path"),
        }
    }
    None
}

/// `.git` as file systems that fold case or shorten names see it (git's `verify_path`).
fn is_git(part: &str) -> bool {
    let trimmed = part.trim_end_matches(['.', ' ']).to_ascii_lowercase();
    let visible: String = trimmed
        .chars()
        .filter(|it| !matches!(it, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'))
        .collect();
    let name = visible.split(':').next().unwrap_or_default();
    matches!(name, ".git" | "git~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc", dir.path().join("link")).unwrap();
        for name in [
            "../x",
            "a/../../x",
            "/etc/passwd",
            ".git/hooks/pre-commit",
            "a/.GIT/config",
            "git~1/config",
            ".git./x",
            ".git::$INDEX_ALLOCATION/x",
            ".g\u{200c}it/x",
            "link/passwd",
            "link",
            "\\\\x",
        ] {
            assert!(escape(name, dir.path()).is_some(), "{name:?}");
        }
        for name in ["manage.py", "polls/views.py", ".gitignore", "a/.github/x", "digit/x"] {
            assert_eq!(escape(name, dir.path()), None, "{name:?}");
        }
    }

    #[test]
    fn a_missing_folder_is_an_empty_queue_and_order_is_by_name() {
        let dir = tempfile::tempdir().unwrap();
        assert!(queue(&dir.path().join("absent")).unwrap().is_empty());
        let text = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n";
        for name in ["0002-b.patch", "0001-a.patch", "README.md"] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let names: Vec<String> = queue(dir.path()).unwrap().into_iter().map(|it| it.name).collect();
        assert_eq!(names, ["0001-a.patch", "0002-b.patch"]);
    }
}
