//! Finds files of `deploy/` and `build/`: in the project, or else embedded in an installed program.
//!
//! The project's files have priority, file by file. A checkout has no embedded files. Embedded files are written to the cache, into a
//! folder with a hash of their content in its name.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Mutex,
};

use anyhow::{Context as _, Result};
use walkdir::WalkDir;

use crate::{embedded, fingerprint::Fingerprint, regular};

/// The folder for embedded files, below the cache.
pub const EMBEDDED: &str = "embedded";

pub struct Files {
    project: PathBuf,
    /// The cache folder for embedded files.
    store: PathBuf,
    /// The program with embedded files, if there is one.
    program: Option<PathBuf>,
    /// The folders that were written already.
    laid_out: Mutex<BTreeMap<PathBuf, PathBuf>>,
}

impl Files {
    /// Does not access any file.
    pub fn new(project: PathBuf, store: PathBuf, program: Option<PathBuf>) -> Files {
        Files { project, store, program, laid_out: Mutex::new(BTreeMap::new()) }
    }

    /// The project's file, or else the embedded one; the project's path if neither exists.
    pub fn file(&self, relative: impl AsRef<Path>) -> Result<PathBuf> {
        let own = self.project.join(relative.as_ref());
        if own.exists() {
            return Ok(own);
        }
        let embedded = self.embedded()?.map(|it| it.join(relative)).filter(|it| it.is_file());
        Ok(embedded.unwrap_or(own))
    }

    /// The folder of embedded files only; `None` if there is none.
    pub fn embedded_folder(&self, relative: impl AsRef<Path>) -> Result<Option<PathBuf>> {
        Ok(self.embedded()?.map(|it| it.join(relative)).filter(|it| it.is_dir()))
    }

    /// A folder with the project's files, and the embedded files that the project lacks.
    pub fn folder(&self, relative: impl AsRef<Path>) -> Result<PathBuf> {
        let own = self.project.join(relative.as_ref());
        let Some(embedded) = self.embedded_folder(relative.as_ref())? else { return Ok(own) };
        if !own.is_dir() {
            return Ok(embedded);
        }
        self.once(relative.as_ref(), || {
            // The project's files come second, so they replace embedded files with the same name.
            let mut files = BTreeMap::new();
            for root in [&embedded, &own] {
                for entry in WalkDir::new(root) {
                    let entry = entry.with_context(|| format!("read {}", root.display()))?;
                    if !entry.file_type().is_dir() {
                        files.insert(entry.path().strip_prefix(root)?.to_owned(), entry.path().to_owned());
                    }
                }
            }
            let mut key = Fingerprint::new();
            for (name, path) in &files {
                key.add_file(name.display().to_string(), path)?;
            }
            self.lay_out(&key.short(), |into| {
                for (name, path) in &files {
                    let target = into.join(name);
                    fs::create_dir_all(target.parent().unwrap_or(into))?;
                    fs::copy(path, target)?;
                }
                Ok(())
            })
        })
    }

    /// The folder with all embedded files; `None` in a checkout.
    fn embedded(&self) -> Result<Option<PathBuf>> {
        let Some(program) = &self.program else { return Ok(None) };
        self.once(Path::new(""), || {
            let archive = embedded::archive(program)?.unwrap_or_default();
            let mut key = Fingerprint::new();
            key.add("archive", &archive);
            self.lay_out(&key.short(), |into| {
                for file in embedded::files(&archive)? {
                    let target = into.join(&file.path);
                    fs::create_dir_all(target.parent().unwrap_or(into))?;
                    fs::write(&target, &file.content)?;
                    fs::set_permissions(&target, fs::Permissions::from_mode(if file.executable { 0o755 } else { 0o644 }))?;
                }
                Ok(())
            })
        })
        .map(Some)
    }

    fn once(&self, folder: &Path, make: impl FnOnce() -> Result<PathBuf>) -> Result<PathBuf> {
        let known = self.laid_out.lock().ok().and_then(|it| it.get(folder).cloned());
        if let Some(known) = known {
            return Ok(known);
        }
        let made = make()?;
        if let Ok(mut laid_out) = self.laid_out.lock() {
            laid_out.insert(folder.to_owned(), made.clone());
        }
        Ok(made)
    }

    /// The folder for a key: an existing one, or a temporary one that `fill` fills and that is then renamed.
    fn lay_out(&self, key: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let path = self.store.join(key);
        let make = || -> Result<()> {
            fs::create_dir_all(&self.store)?;
            let part = tempfile::tempdir_in(&self.store)?;
            fill(part.path())?;
            fs::set_permissions(part.path(), fs::Permissions::from_mode(0o755))?;
            regular::settle(part.path())?;
            match fs::rename(part.path(), &path) {
                // Another run was faster and wrote the same content.
                Err(_) if path.is_dir() => {}
                renamed => renamed?,
            }
            Ok(())
        };
        if !path.is_dir() {
            make().with_context(|| format!("lay out embedded files in {}", path.display()))?;
        }
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A project, and a program with the embedded files `deploy/a.yaml` and `deploy/b.sh`.
    fn files() -> (tempfile::TempDir, Files) {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("checkout/deploy")).unwrap();
        fs::create_dir_all(at("project")).unwrap();
        fs::write(at("checkout/deploy/a.yaml"), "embedded").unwrap();
        fs::write(at("checkout/deploy/b.sh"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(at("checkout/deploy/b.sh"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(at("program"), "x").unwrap();
        embedded::write(&at("program"), &embedded::pack(&at("checkout"), &["deploy"]).unwrap(), &at("installed")).unwrap();
        let files = Files::new(at("project"), at("cache"), Some(at("installed")));
        (dir, files)
    }

    #[test]
    fn carried_files_stand_in_for_absent_ones_and_count_the_same() {
        let (dir, files) = files();
        assert_eq!(fs::read_to_string(files.file("deploy/a.yaml").unwrap()).unwrap(), "embedded");
        let folder = files.folder("deploy").unwrap();
        let key = |root: &Path| {
            let mut key = Fingerprint::new();
            key.add_tree("deploy", root).unwrap();
            key.digest()
        };
        assert_eq!(key(&folder), key(&dir.path().join("checkout/deploy")));
        assert_eq!(files.file("deploy/none").unwrap(), dir.path().join("project/deploy/none"));
    }

    #[test]
    fn own_files_go_first_file_by_file() {
        let (dir, files) = files();
        fs::create_dir_all(dir.path().join("project/deploy")).unwrap();
        fs::write(dir.path().join("project/deploy/a.yaml"), "own").unwrap();
        assert_eq!(files.file("deploy/a.yaml").unwrap(), dir.path().join("project/deploy/a.yaml"));
        let folder = files.folder("deploy").unwrap();
        assert_eq!(fs::read_to_string(folder.join("a.yaml")).unwrap(), "own");
        assert_eq!(fs::metadata(folder.join("b.sh")).unwrap().permissions().mode() & 0o777, 0o755);
    }

    #[test]
    fn in_a_checkout_a_file_that_is_not_there_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::new(dir.path().to_owned(), dir.path().join("cache"), None);
        assert_eq!(files.folder("deploy").unwrap(), dir.path().join("deploy"));
        assert_eq!(files.embedded_folder("deploy").unwrap(), None);
        assert!(!dir.path().join("cache").exists());
    }
}
