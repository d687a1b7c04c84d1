//! The staged application: a copy of the upstream source with the patch queue applied. The source is never edited.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use walkdir::{DirEntry, WalkDir};
use xshell::cmd;

use crate::{
    env::Env,
    errors::{Code, Problem},
    fingerprint::Fingerprint,
    graph::TaskId,
    patch::{self, mismatch},
    probe::Probe,
    record,
    tasks::Task,
};

pub struct Patch;

const ID: TaskId = TaskId::Patch;

impl Task for Patch {
    fn id(&self) -> TaskId {
        ID
    }

    fn inputs(&self, env: &Env) -> Result<Fingerprint> {
        let frontend = &env.config.frontend;
        let source = env.path(&frontend.path);
        if !source.is_dir() {
            let what = format!("there is no application at {}", frontend.path.display());
            return Err(Problem::config(what)
                .code(Code::SourceMissing)
                .hint("name its folder as `frontend.path` in Pocdeploy.toml")
                .into());
        }
        let mut out = Fingerprint::new();
        for (relative, path) in source_files(&source)? {
            let name = format!("{}/{}", frontend.path.display(), relative.display());
            if path.is_symlink() {
                out.add(name, fs::read_link(&path)?.as_os_str().as_encoded_bytes());
            } else {
                out.add_file(name, &path)?;
            }
        }
        for patch in queue(env)? {
            out.add_file(format!("patch {}", patch.name), &patch.path)?;
        }
        Ok(out)
    }

    fn probe(&self, env: &Env, want: &Fingerprint) -> Result<Probe> {
        if let Some(stage) = record::read_json::<Staged>(&staged_record(env))
            && stage.inputs == want.digest()
        {
            let mut now = tree(&env.stage())?;
            // The `requirements` task adds this file where the application has none.
            if !stage.has_requirements() {
                now.parts.retain(|(name, _)| name != PINS);
            }
            return Ok(match now.difference(&stage.content) {
                None => Probe::Fresh(format!("the staged application is as it was made ({} files)", stage.content.parts.len())),
                Some(change) => Probe::Stale(format!("the staged application is not as it was made: {change}")),
            });
        }
        Ok(Probe::Stale(record::changed(env, ID, want).unwrap_or_else(|| "not staged yet".to_owned())))
    }

    fn run(&self, env: &Env, want: &Fingerprint) -> Result<()> {
        let frontend = &env.config.frontend;
        let fresh = env.work("app.new");
        remove(&fresh)?;
        copy(&env.path(&frontend.path), &fresh)?;
        for patch in queue(env)? {
            env.progress(ID, format!("applying {}", patch.name));
            apply(env, &patch, &fresh)?;
        }
        // The old tree stays until the new one is whole.
        let old = env.work("app.old");
        remove(&old)?;
        if env.stage().exists() {
            fs::rename(env.stage(), &old).context("set the old staged application aside")?;
        }
        fs::rename(&fresh, env.stage()).context("put the staged application in place")?;
        remove(&old)?;
        let content = tree(&env.stage())?;
        record::write_json(&staged_record(env), &Staged { inputs: want.digest(), content })
    }
}

/// What was staged from what.
#[derive(serde::Serialize, serde::Deserialize)]
struct Staged {
    inputs: String,
    content: Fingerprint,
}

/// Whether the application, as patched, brings its own requirements.txt.
pub(crate) fn has_own_requirements(env: &Env) -> bool {
    record::read_json::<Staged>(&staged_record(env)).is_some_and(|it| it.has_requirements())
}

impl Staged {
    fn has_requirements(&self) -> bool {
        self.content.parts.iter().any(|(name, _)| name == PINS)
    }
}

/// The part of a tree's fingerprint that the `requirements` task may add.
const PINS: &str = "app/requirements.txt";

fn staged_record(env: &Env) -> PathBuf {
    env.work("record/staged.json")
}

fn tree(stage: &Path) -> Result<Fingerprint> {
    let mut out = Fingerprint::new();
    if stage.is_dir() {
        out.add_tree("app", stage)?;
    }
    Ok(out)
}

/// The project's patches, and the carried ones beside them where they are for this application.
fn queue(env: &Env) -> Result<Vec<patch::Patch>> {
    let frontend = &env.config.frontend;
    let mut queue = patch::queue(&env.path(&frontend.patch_dir))?;
    let Some(carried) = env.files.carried_folder(&frontend.patch_dir)? else { return Ok(queue) };
    let mut carried = patch::queue(&carried)?;
    if let Some(absent) = patch::absent(&carried, &env.path(&frontend.path)) {
        env.detail(ID, format!("the carried patches are for another application: this one has no {absent}"));
        return Ok(queue);
    }
    carried.retain(|it| !queue.iter().any(|own| own.name == it.name));
    queue.extend(carried);
    queue.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(queue)
}

fn apply(env: &Env, patch: &patch::Patch, tree: &Path) -> Result<()> {
    patch::refuse_escapes(patch, tree)?;
    let sh = env.tools.shell(tree)?;
    let file = &patch.path;
    // The staged tree lies inside the project's own repository: git must not look for it upwards, or it would
    // take the paths as that repository's and change nothing.
    let above = tree.parent().unwrap_or(tree);
    let command =
        cmd!(sh, "git apply --whitespace=nowarn {file}").env("GIT_CEILING_DIRECTORIES", above).env_remove("GIT_DIR").env("LC_ALL", "C");
    let (good, said) = env.tools.outcome(ID, command)?;
    if good {
        return Ok(());
    }
    let what = mismatch::explain(patch, tree, &said);
    let hint = format!("renew the patch against {}, or remove it; the staged application is as it was", env.config.frontend.path.display());
    Err(Problem::new(what).code(Code::PatchMismatch).hint(hint).into())
}

/// Copies what belongs to an application: no history, no caches, no local database.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("create {}", to.display()))?;
    for (relative, path) in source_files(from)? {
        let target = to.join(&relative);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        if path.is_symlink() { std::os::unix::fs::symlink(fs::read_link(&path)?, &target) } else { fs::copy(&path, &target).map(|_| ()) }
            .with_context(|| format!("copy {}", relative.display()))?;
    }
    Ok(())
}

fn source_files(root: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
    let mut out = Vec::new();
    for entry in WalkDir::new(root).sort_by_file_name().into_iter().filter_entry(belongs) {
        let entry = entry.with_context(|| format!("read {}", root.display()))?;
        if !entry.file_type().is_dir() {
            let relative = entry.path().strip_prefix(root).unwrap_or(entry.path()).to_owned();
            out.push((relative, entry.into_path()));
        }
    }
    Ok(out)
}

fn belongs(entry: &DirEntry) -> bool {
    let name = entry.file_name().to_string_lossy();
    let is_cache =
        matches!(name.as_ref(), ".git" | ".hg" | ".svn" | "__pycache__" | ".venv" | "node_modules" | ".pytest_cache" | ".mypy_cache");
    let is_product = name.ends_with(".pyc") || name.ends_with(".sqlite3");
    entry.depth() == 0 || !(is_cache || is_product)
}

fn remove(dir: &Path) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("remove {}", dir.display()))?;
    }
    Ok(())
}
