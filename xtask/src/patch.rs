//! Patches: reads them for checks and messages. `tasks/patch.rs` applies them with `git apply`.
//!
//! This module checks which files a patch may change, before git sees it.

pub mod mail;
pub mod mismatch;
pub mod parse;
pub mod queue;
pub mod steps;

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

use anyhow::Result;

use crate::errors::{Code, Problem};
use parse::FilePatch;

/// A file of the queue.
#[derive(Clone, Debug)]
pub struct Patch {
    /// Its file name, for messages.
    pub name: String,
    pub path: PathBuf,
    pub files: Vec<FilePatch>,
}

/// The first file that a patch changes but that neither exists in the tree nor is created by an earlier patch.
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

/// Rejects a patch that would write outside the tree, into `.git`, or through a symbolic link in the tree; also symbolic links, submodules,
/// and modes that git does not know. `files` is one step of the patch.
pub fn refuse_escapes(patch: &str, files: &[FilePatch], tree: &Path) -> Result<()> {
    let refused = |what: String, hint: &'static str| {
        Err(Problem::new(format!("patch {patch} is refused: {what}")).code(Code::PatchRefused).hint(hint).into())
    };
    // A link that the same step removes is harmless.
    let removed: Vec<&str> = files.iter().filter(|it| it.removes_link()).filter_map(FilePatch::result).collect();
    for file in files {
        for name in file.names() {
            if let Some(why) = escape(name, tree, &removed) {
                return refused(format!("`{name}` {why}"), "a patch may only change files of the application; nothing was changed");
            }
        }
        let name = file.result().unwrap_or_default();
        if file.creates_link() {
            let hint = "later patches could change files outside the application through it; nothing was changed";
            return refused(format!("it makes `{name}` a symbolic link"), hint);
        }
        if let Some(prefix) = &file.unsure_prefix {
            let hint = "write it with `git format-patch` and its usual prefixes a/ and b/; nothing was changed";
            return refused(format!("`{prefix}{name}` may be the new file's name, or a name under the prefix `{prefix}`"), hint);
        }
        if let Some(mode) = file.modes.iter().find(|it| *it == "160000") {
            let hint = "a patch cannot change a submodule: change it in its own repository; nothing was changed";
            return refused(format!("`{name}` is a submodule (mode {mode})"), hint);
        }
        if let Some(mode) = file.modes.iter().find(|it| !MODES.contains(&it.as_str())) {
            let hint = "files have the mode 100644 or 100755; nothing was changed";
            return refused(format!("`{name}` has the mode {mode}, which git does not know"), hint);
        }
    }
    Ok(())
}

/// The file modes that git accepts. Early versions of git wrote 100664, which git reads as 100644.
const MODES: [&str; 4] = ["100644", "100755", "100664", "120000"];

fn escape(name: &str, tree: &Path, removed: &[&str]) -> Option<&'static str> {
    let path = Path::new(name);
    if path.is_absolute() || name.starts_with('\\') || name.contains('\0') {
        return Some("is an absolute path");
    }
    let mut at = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => {
                if is_git(&part.to_string_lossy()) {
                    return Some("is in git's own folder");
                }
                at.push(part);
                let is_link = fs::symlink_metadata(tree.join(&at)).is_ok_and(|it| it.is_symlink());
                if is_link && !removed.iter().any(|it| Path::new(it) == at) {
                    return Some("goes through a symbolic link");
                }
            }
            Component::CurDir => {}
            Component::ParentDir => return Some("is outside the application"),
            Component::RootDir | Component::Prefix(_) => return Some("is an absolute path"),
        }
    }
    None
}

/// Names that a case-insensitive file system, or one with short names, treats as `.git` (git's `verify_path`).
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
mod mutated;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc", dir.path().join("link")).unwrap();
        let hostile = [
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
        ];
        assert!(hostile.len() >= 12);
        for name in hostile {
            assert!(escape(name, dir.path(), &[]).is_some(), "{name:?}");
        }
        for name in ["manage.py", "polls/views.py", ".gitignore", "a/.github/x", "digit/x"] {
            assert_eq!(escape(name, dir.path(), &[]), None, "{name:?}");
        }
        // The same step replaces the link.
        assert_eq!(escape("link", dir.path(), &["link"]), None);
        assert_eq!(escape("link/passwd", dir.path(), &["link"]), None);
    }

    #[test]
    fn modes_that_git_does_not_know_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let with = |mode: &str| vec![FilePatch { renames: vec!["x".to_owned()], modes: vec![mode.to_owned()], ..FilePatch::default() }];
        for mode in ["104755", "020000", "040000", "160000", "100777", ""] {
            assert!(refuse_escapes("p", &with(mode), dir.path()).is_err(), "{mode}");
        }
        for mode in ["100644", "100755"] {
            assert!(refuse_escapes("p", &with(mode), dir.path()).is_ok(), "{mode}");
        }
    }
}
