//! The files of the source that belong to the application: without version control, caches, local databases and this tool's files.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use filetree::walk::{Found, Kind, Passed, walk};
use walkdir::{DirEntry, WalkDir};

use crate::{
    config::FILE,
    env::{Env, Scope},
    errors::{Code, Problem},
    fingerprint::Fingerprint,
    layout, record, regular, snapshot,
    tasks::requirements,
};

/// The files to copy.
#[derive(Debug, Default)]
pub(crate) struct Source {
    /// Relative and absolute paths of files and symbolic links, sorted.
    pub(crate) files: Vec<(PathBuf, PathBuf)>,
    /// A sentence for each skipped entry that users may miss.
    pub(crate) notes: Vec<String>,
}

/// The files of `frontend.path`. Skips FIFOs, sockets and devices, since reading one may never end.
pub(crate) fn files(env: &Scope<'_>) -> Result<Source> {
    let root = env.path(&env.service.path);
    let mut out = Source::default();
    for Found { path, kind, .. } in found(env)? {
        let whole = root.join(&path);
        if kind == Kind::Other {
            let kind = whole.symlink_metadata().map_or("gone", |it| regular::kind(it.file_type()));
            out.notes.push(format!("{} is {kind} and is not staged", path.display()));
            continue;
        }
        if kind == Kind::File && path.file_name().is_some_and(|it| it == ".gitmodules") {
            out.notes.extend(missing_submodules(&whole, &root));
        }
        out.files.push((path, whole));
    }
    Ok(out)
}

/// The same files, and entries of other kinds, with their state.
pub(super) fn found(env: &Scope<'_>) -> Result<Vec<Found>> {
    walk(&env.path(&env.service.path), &passed(&own_paths_below(env)), None)
}

/// What does not belong to the application. `own`: [`own_paths_below`].
pub(super) fn passed(own: &[PathBuf]) -> Passed<'_> {
    Passed { paths: own, ..OTHERS }
}

/// The tool's own paths in the source, relative to it.
pub(super) fn own_paths_below(env: &Scope<'_>) -> Vec<PathBuf> {
    let root = env.path(&env.service.path);
    own_paths(env).iter().filter_map(|it| it.strip_prefix(&root).ok()).map(Path::to_owned).collect()
}

/// What is no person's work by its name alone: version control, caches and products of programs.
const OTHERS: Passed<'_> = Passed {
    names: &[".git", ".hg", ".svn", "__pycache__", ".venv", "node_modules", ".pytest_cache", ".mypy_cache"],
    endings: &[".pyc", ".sqlite3"],
    tails: &[layout::WORK],
    paths: &[],
};

/// What `files` leaves out and a replacement of the folder would lose: the tool's files, local databases, other version control. Caches and
/// installed packages can be made again.
pub(crate) fn left_out(env: &Scope<'_>) -> Result<Vec<PathBuf>> {
    let root = env.path(&env.service.path);
    let own = own_paths(env);
    let can_be_made_again = |it: &DirEntry| {
        let name = it.file_name().to_string_lossy();
        name.ends_with(".pyc") || matches!(name.as_ref(), "__pycache__" | ".venv" | "node_modules" | ".pytest_cache" | ".mypy_cache")
    };
    let mut out = Vec::new();
    let mut entries = WalkDir::new(&root).sort_by_file_name().into_iter();
    while let Some(entry) = entries.next() {
        let entry = entry.with_context(|| format!("read {}", root.display()))?;
        if entry.depth() == 0 {
            continue;
        }
        let is_own = own.iter().any(|it| it == entry.path());
        if !is_own && belongs(&entry) && (entry.file_type().is_dir() || entry.file_type().is_file() || entry.file_type().is_symlink()) {
            continue;
        }
        if entry.file_type().is_dir() {
            entries.skip_current_dir();
        }
        if !can_be_made_again(&entry) {
            out.push(entry.path().strip_prefix(&root).unwrap_or(entry.path()).to_owned());
        }
    }
    Ok(out)
}

/// The files of a folder outside the project, by the same rule.
pub(crate) fn of_folder(root: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
    let mut out = Vec::new();
    for entry in WalkDir::new(root).sort_by_file_name().into_iter().filter_entry(belongs) {
        let entry = entry.with_context(|| format!("read {}", root.display()))?;
        if entry.file_type().is_file() || entry.file_type().is_symlink() {
            out.push((entry.path().strip_prefix(root).unwrap_or(entry.path()).to_owned(), entry.into_path()));
        }
    }
    Ok(out)
}

/// A digest over names, contents and modes: `sha256:…`.
pub(crate) fn content(files: &[(PathBuf, PathBuf)]) -> Result<String> {
    let mut out = Fingerprint::new();
    for (relative, path) in files {
        let name = relative.display().to_string();
        if path.is_symlink() {
            out.add(name, fs::read_link(path)?.as_os_str().as_encoded_bytes());
        } else {
            out.add_file(name, path)?;
        }
    }
    Ok(format!("sha256:{}", out.digest()))
}

/// Copies files with their modes; symbolic links stay links.
pub(crate) fn copy_files(env: &Env, files: &[(PathBuf, PathBuf)], to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("create {}", to.display()))?;
    for (relative, path) in files {
        env.interrupt.check()?;
        let target = to.join(relative);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        if path.is_symlink() { std::os::unix::fs::symlink(fs::read_link(path)?, &target) } else { fs::copy(path, &target).map(|_| ()) }
            .with_context(|| format!("copy {}", relative.display()))?;
    }
    Ok(())
}

/// Whether an entry may belong to the application, by its name alone.
fn belongs(entry: &DirEntry) -> bool {
    entry.depth() == 0 || (is_work(entry.file_name()) && !entry.path().ends_with(layout::WORK))
}

/// Whether a file or folder of this name is a person's work: no version control, no cache and no product of a program.
pub(super) fn is_work(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    !(OTHERS.names.contains(&name.as_ref()) || OTHERS.endings.iter().any(|it| name.ends_with(it)))
}

/// This tool's files inside the application, if the project's folder is the application. They change in runs, and the configuration may
/// contain secrets.
pub(crate) fn own_paths(env: &Scope<'_>) -> Vec<PathBuf> {
    let root = env.path(&env.service.path);
    let pins = env.path(&env.service.requirements);
    let mut own = vec![env.path(layout::WORK), env.path(snapshot::FOLDER), env.path(FILE), env.path(&env.service.patch_dir)];
    own.extend(env.config.files_with_secrets().map(|it| env.path(it)));
    if requirements::is_generated(&pins) {
        own.push(pins);
    }
    own.extend(exports(env));
    // `project/.` and `project` are the same folder: compared by the file system, returned as a walk writes them.
    let Ok(whole) = root.canonicalize() else { return Vec::new() };
    let inside = |it: &PathBuf| Some(root.join(it.canonicalize().ok()?.strip_prefix(&whole).ok()?));
    own.iter().filter_map(inside).filter(|it| *it != root).collect()
}

/// What `export` wrote below the project: files without the application's code, which name the image that is made of the code, and beside them
/// the secrets of a Compose file.
fn exports(env: &Env) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in fs::read_dir(env.path(EXPORTS)).into_iter().flatten().flatten() {
        if entry.path().join(EXPORT_RECORD).is_file() {
            out.push(entry.path());
        }
    }
    // The record of a file for continuous integration names that file.
    for record in CI_RECORDS.map(|it| env.path(it)).into_iter().filter(|it| it.is_file()) {
        let written: BTreeMap<String, serde_json::Value> = record::read_json(&record).unwrap_or_default();
        out.extend(written.into_keys().map(|it| env.path(it)));
        out.push(record);
    }
    out
}

/// The folder of exports, one in each folder of it.
pub(crate) const EXPORTS: &str = "export";
/// The file in an exported folder with the hashes of its files.
pub(crate) const EXPORT_RECORD: &str = ".pocdeploy-export.json";
/// The files with the hash of a file for continuous integration.
pub(crate) const CI_RECORDS: [&str; 2] = [".github/.pocdeploy-export.json", ".gitlab/.pocdeploy-export.json"];

/// The paths in a `.gitmodules`.
fn submodules(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|it| it.trim().strip_prefix("path")?.trim_start().strip_prefix('=')).map(|it| it.trim().trim_matches('"'))
}

/// Submodules whose folder is empty or missing.
fn missing_submodules(file: &Path, root: &Path) -> Vec<String> {
    let text = regular::read_to_string(file).unwrap_or_default();
    let folder = file.parent().unwrap_or(root);
    let is_empty = |path: &PathBuf| fs::read_dir(path).map_or(true, |mut it| it.next().is_none());
    let missing = submodules(&text).map(|it| folder.join(it)).filter(is_empty);
    missing
        .map(|path| {
            let shown = path.strip_prefix(root).unwrap_or(&path).display();
            format!("the git submodule {shown} is empty: git submodule update --init --recursive")
        })
        .collect()
}

/// The error for a source without files; a submodule that was not fetched is the usual reason.
pub(crate) fn nothing(env: &Scope<'_>) -> anyhow::Error {
    let source = env.path(&env.service.path);
    let whole = source.canonicalize().unwrap_or(source);
    let is_submodule = whole.ancestors().skip(1).any(|above| {
        let text = regular::read_to_string(&above.join(".gitmodules")).unwrap_or_default();
        let relative = whole.strip_prefix(above).unwrap_or(&whole);
        submodules(&text).any(|it| relative.starts_with(it))
    });
    let hint = if is_submodule {
        "it is a git submodule that was not fetched: git submodule update --init --recursive"
    } else {
        &format!("put the application there, or name its folder as `{}.path` in Pocdeploy.toml", env.table())
    };
    let what = format!("there is no file of an application in {}", env.service.path.display());
    Problem::config(what).code(Code::SourceMissing).hint(hint.to_owned()).into()
}
