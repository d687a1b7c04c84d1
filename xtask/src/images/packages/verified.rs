//! Go's modules as they are on the disk, compared with the digests of go.sum.
//!
//! Go compares a module when it downloads it, and never again: a file that is changed in the cache of modules would go into every later
//! program. A module that is not what go.sum says is downloaded again.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
};

use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};
use walkdir::WalkDir;

use crate::{
    errors::{Code, Problem},
    fingerprint::hex,
    regular,
    tool::download,
};

/// How `go list` names the modules of packages: one line for each package, with tabs. A module of this machine has no version.
pub(super) const FORMAT: &str = "{{.ImportPath}}{{with .Module}}{{with .Replace}}\t{{.Path}}\t{{.Version}}\t{{.Dir}}{{else}}\t{{.Path}}\t{{.Version}}\t{{.Dir}}{{end}}{{end}}";

/// A module in the cache of modules.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Module {
    pub(super) path: String,
    pub(super) version: String,
    pub(super) folder: PathBuf,
}

impl Module {
    /// `PATH@VERSION`.
    pub(super) fn name(&self) -> String {
        format!("{}@{}", self.path, self.version)
    }
}

/// The modules in lines of [`FORMAT`], each once.
pub(super) fn modules(listed: &str) -> Vec<Module> {
    let mut out: Vec<Module> = listed
        .lines()
        .filter_map(|line| {
            let mut words = line.split('\t').skip(1);
            let (path, version, folder) = (words.next()?, words.next()?, words.next()?);
            let is_fetched = !version.is_empty() && !folder.is_empty();
            is_fetched.then(|| Module { path: path.to_owned(), version: version.to_owned(), folder: folder.into() })
        })
        .collect();
    out.sort();
    out.dedup();
    out
}

/// The digests of modules in a go.sum, by `PATH@VERSION`.
pub(super) fn pins(go_sum: &Path) -> Result<BTreeMap<String, String>> {
    let text = regular::read_to_string(go_sum).with_context(|| format!("read {}", go_sum.display()))?;
    let mut out = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if let (Some(path), Some(version), Some(digest)) = (words.next(), words.next(), words.next())
            && !version.ends_with("/go.mod")
        {
            out.insert(format!("{path}@{version}"), digest.to_owned());
        }
    }
    Ok(out)
}

/// Compares the modules with their digests. `again` downloads a module whose folder and archive are removed.
pub(super) fn ensure(
    modules: &[Module],
    pins: &BTreeMap<String, String>,
    cache: &Path,
    again: impl Fn(&Module) -> Result<()>,
) -> Result<()> {
    for module in wrong(modules, pins)? {
        remove(&module, cache)?;
        again(&module)?;
        if !wrong(std::slice::from_ref(&module), pins)?.is_empty() {
            remove(&module, cache)?;
            let what = format!("{} is not what go.sum says: other bytes came, and the tool kept none of them", module.name());
            return Err(Problem::new(what).code(Code::Download).hint("see what serves Go modules: go env GOPROXY").into());
        }
    }
    Ok(())
}

/// The result of a command of Go. Where Go has refused a module's archive, the archive is removed: Go itself ends without doing so, and leaves it
/// under another name, which it never reads again.
pub(super) fn keeping_nothing<T>(ended: Result<T>, cache: &Path) -> Result<T> {
    if ended.as_ref().is_err_and(|it| download::has_other_bytes(&format!("{it:#}"))) {
        for entry in WalkDir::new(cache.join("cache/download")).into_iter().flatten() {
            let name = entry.file_name().to_string_lossy();
            let Some((version, _)) = name.strip_suffix(".tmp").and_then(|it| it.rsplit_once(".zip")) else { continue };
            // Another run that downloads the same version now has the lock.
            let lock = fs::File::open(entry.path().with_file_name(format!("{version}.lock")));
            if lock.as_ref().is_ok_and(|it| it.try_lock().is_ok()) {
                // What the command ended with is the error to tell.
                fs::remove_file(entry.path()).ok();
            }
        }
    }
    ended
}

/// The modules that are not what their digests say; without a digest, none is right.
fn wrong(modules: &[Module], pins: &BTreeMap<String, String>) -> Result<Vec<Module>> {
    let (left, out) = (Mutex::new(modules.iter()), Mutex::new(Ok(Vec::new())));
    let next = || left.lock().ok().and_then(|mut it| it.next());
    let count = std::thread::available_parallelism().map_or(1, |it| it.get()).min(modules.len().max(1));
    std::thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(|| {
                while let Some(module) = next() {
                    let found = digest(module).map(|it| pins.get(&module.name()) == Some(&it));
                    let Ok(mut out) = out.lock() else { return };
                    match (&mut *out, found) {
                        (Ok(wrong), Ok(false)) => wrong.push(module.clone()),
                        (Ok(_), Err(error)) => *out = Err(error),
                        _ => {}
                    }
                }
            });
        }
    });
    let mut out = out.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)?;
    out.sort();
    Ok(out)
}

/// The digest of a module's files as go.sum has it: SHA-256 of the sorted lines `SHA-256  PATH@VERSION/FILE` (golang.org/x/mod/sumdb/dirhash).
fn digest(module: &Module) -> Result<String> {
    let mut files = Vec::new();
    for entry in WalkDir::new(&module.folder) {
        // Without its folder, a module is missing.
        let Ok(entry) = entry else { return Ok(String::new()) };
        if !entry.file_type().is_dir() {
            let name = entry.path().strip_prefix(&module.folder)?.to_string_lossy().into_owned();
            files.push((format!("{}/{name}", module.name()), entry.into_path()));
        }
    }
    files.sort();
    let mut lines = String::new();
    for (name, path) in files {
        let bytes = regular::read(&path).with_context(|| format!("read {}", path.display()))?;
        writeln!(lines, "{}  {name}", hex(&Sha256::digest(bytes)))?;
    }
    Ok(format!("h1:{}", STANDARD.encode(Sha256::digest(lines))))
}

/// Removes a module's folder and its archive from the cache of modules.
fn remove(module: &Module, cache: &Path) -> Result<()> {
    let archive = cache.join("cache/download").join(escaped(&module.path)).join("@v");
    let version = escaped(&module.version);
    for path in [module.folder.clone(), archive.join(format!("{version}.zip")), archive.join(format!("{version}.ziphash"))] {
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        match removed {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("remove {}", path.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// A path as Go's cache writes it: `!` and the small letter for each capital letter.
fn escaped(path: &str) -> String {
    path.chars().fold(String::new(), |mut out, it| {
        if it.is_ascii_uppercase() {
            out.push('!');
        }
        out.push(it.to_ascii_lowercase());
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_compared_with_go_sum_and_fetched_again_if_a_byte_of_it_is_another() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("mod/example.com/!a@v1.0.0");
        let fill = |text: &str| {
            fs::create_dir_all(folder.join("b")).unwrap();
            fs::write(folder.join("go.mod"), "module example.com/A\n").unwrap();
            fs::write(folder.join("b/c.go"), text).unwrap();
        };
        fill("package b\n");
        let listed = format!(
            "fmt\nexample.com/A/b\texample.com/A\tv1.0.0\t{0}\nexample.com/A\texample.com/A\tv1.0.0\t{0}\nx\tx\t\t/own\n",
            folder.display()
        );
        let all = modules(&listed);
        assert_eq!(all, [Module { path: "example.com/A".to_owned(), version: "v1.0.0".to_owned(), folder: folder.clone() }]);
        fs::write(dir.path().join("go.sum"), SUM).unwrap();
        let pins = pins(&dir.path().join("go.sum")).unwrap();
        assert_eq!(pins.len(), 1);
        let cache = dir.path().join("mod");
        let never = |_: &Module| -> Result<()> { panic!("it is right") };
        ensure(&all, &pins, &cache, never).unwrap();
        fill("package B\n");
        ensure(&all, &pins, &cache, |_| {
            assert!(!folder.exists());
            fill("package b\n");
            Ok(())
        })
        .unwrap();
        fill("package B\n");
        let error = ensure(&all, &pins, &cache, |_| {
            fill("package x\n");
            Ok(())
        })
        .unwrap_err();
        assert!(error.to_string().starts_with("example.com/A@v1.0.0 is not what go.sum says"), "{error}");
        assert!(!folder.exists());
    }

    const SUM: &str = "example.com/A v1.0.0 h1:uOpCpnUbj2V4cxfDkMvgIpvZFGu+aM2c+erYoOa+RHY=\nexample.com/A v1.0.0/go.mod h1:00=\n";
}
