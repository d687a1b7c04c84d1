//! Finds the source to which the patches applied, after a person has replaced it: in the repository of `patch edit`, in the project's git
//! history, or upstream, by the version in UPSTREAM.md.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use xshell::cmd;

use super::{batch, commits::Commits, git::here, queue, remove, source};
use crate::{
    env::Scope,
    errors::{Code, Problem},
    tasks::upstream::fetch,
    upstream,
};

/// The number of commits of the project that are tried.
const COMMITS: &str = "100";

/// A source to which all patches apply.
pub(crate) struct Old {
    pub(crate) folder: PathBuf,
    /// What it is, for messages.
    pub(crate) what: String,
}

/// The old source, written into `place`. `None` if the patches apply to the present one.
pub(crate) fn find(env: &Scope<'_>, place: &Path) -> Result<Option<Old>> {
    let now = source::files(env)?;
    if fits(env, &now.files)? {
        return Ok(None);
    }
    if let Some(known) = Commits::existing(*env)? {
        let written = checked_out(env, &known.git.dir, known.base(), place);
        if written.is_ok() && fits(env, &source::of_folder(place)?)? {
            return Ok(Some(Old { folder: place.to_owned(), what: "the source of `patch edit`".to_owned() }));
        }
    }
    for commit in history(env)? {
        env.progress(env.id, format!("trying the source of commit {}", &commit[..12.min(commit.len())]));
        let tree = format!("{commit}:./{}", env.service.path.display());
        if checked_out(env, &env.project, &tree, place).is_ok() && fits(env, &source::of_folder(place)?)? {
            return Ok(Some(Old { folder: place.to_owned(), what: format!("the source of commit {}", &commit[..12.min(commit.len())]) }));
        }
    }
    if let Some(section) = upstream::of_folder(&env.project, &env.service.path)? {
        fetch(env, &section.source, &section.version, Some(&section), place)?;
        if fits(env, &source::of_folder(place)?)? {
            return Ok(Some(Old { folder: place.to_owned(), what: format!("{} {}", section.source, section.version) }));
        }
    }
    let path = env.service.path.display();
    Err(Problem::new("no source is known to which all patches apply")
        .code(Code::PatchMismatch)
        .hint(format!("looked for it in the git history of {path} and in UPSTREAM.md; see which patch conflicts: cargo xtask patch status"))
        .into())
}

/// Whether all patches apply to a copy of the files.
fn fits(env: &Scope<'_>, files: &[(PathBuf, PathBuf)]) -> Result<bool> {
    let copy = tempfile::tempdir().context("make a temporary folder")?;
    let tree = copy.path().join("tree");
    source::copy_files(env, files, &tree)?;
    let patches = queue(env)?.patches;
    if matches!(batch::queue(env, &patches, &tree), Ok(true)) {
        return Ok(true);
    }
    env.interrupt.check()?;
    remove(&tree)?;
    source::copy_files(env, files, &tree)?;
    let good = batch::one_by_one(env, &patches, &tree).is_ok();
    env.interrupt.check()?;
    Ok(good)
}

/// The commits of the project that changed the source, the newest first. None if the project is no git repository.
fn history(env: &Scope<'_>) -> Result<Vec<String>> {
    let (sh, path) = (env.tools.shell(&env.project)?, &env.service.path);
    let (good, text) = env.tools.outcome(env.id, here(cmd!(sh, "git log --max-count {COMMITS} --format=%H -- {path}")))?;
    Ok(if good { text.lines().map(str::to_owned).collect() } else { Vec::new() })
}

/// Writes a tree of a repository into the folder, which is replaced, byte for byte.
fn checked_out(env: &Scope<'_>, repository: &Path, tree: &str, place: &Path) -> Result<()> {
    remove(place)?;
    fs::create_dir_all(place)?;
    let index = tempfile::tempdir().context("make a temporary folder")?;
    let (sh, file) = (env.tools.shell(repository)?, index.path().join("index"));
    let prefix = format!("--prefix={}/", place.display());
    let settings = ["-c", "core.autocrlf=false", "-c", "core.eol=lf"];
    env.tools.run(env.id, here(cmd!(sh, "git read-tree {tree}")).env("GIT_INDEX_FILE", &file))?;
    env.tools.run(env.id, here(cmd!(sh, "git {settings...} checkout-index --all --quiet {prefix}")).env("GIT_INDEX_FILE", &file))
}
