//! Moves the queue to another source, with git's three-way merge, which follows renamed files. Nothing in the project changes before all
//! patches are moved.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::{
    commits::{BRANCH, Commits, source_digest},
    written::{self, Plan},
};
use crate::{
    errors::{Code, Problem},
    upstream::Section,
};

/// A rebase that has begun.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Pending {
    /// The commit with the new source.
    pub(super) base: String,
    /// The last commit of the queue before.
    pub(super) tip: String,
    /// The new source, if it is not in the project yet.
    pub(crate) update: Option<Update>,
}

/// A new version of upstream's source.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Update {
    /// Its section in UPSTREAM.md.
    pub(crate) section: Section,
    /// The folder that it was fetched into.
    pub(crate) folder: PathBuf,
}

impl Pending {
    /// The command that began it, without the program's name.
    pub(crate) fn command(&self) -> String {
        match &self.update {
            Some(update) => format!("upstream update {}", update.section.version),
            None => "patch rebase".to_owned(),
        }
    }
}

/// A patch that does not fit the new source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Conflict {
    pub(crate) patch: String,
    /// A sentence for each file.
    pub(crate) files: Vec<String>,
}

/// Starts the rebase on the content of `new`. `None` if all patches were moved.
pub(crate) fn begin(commits: &mut Commits<'_>, new: &Path, title: &str, update: Option<Update>) -> Result<Option<Conflict>> {
    let (old, tip) = (commits.state.base.clone(), commits.git.read(&["rev-parse", "HEAD"])?);
    let base = commit_of(commits, new, &old, title)?;
    commits.state.pending = Some(Pending { base: base.clone(), tip, update });
    commits.save()?;
    go(commits, &["rebase", "--quiet", "--no-gpg-sign", "--onto", &base, &old, BRANCH])
}

/// Goes on after a person has resolved the conflict.
pub(crate) fn resume(commits: &Commits<'_>) -> Result<Option<Conflict>> {
    if !commits.is_rebasing() {
        return Ok(None);
    }
    let open = unresolved(commits)?;
    if !open.is_empty() {
        return Err(Problem::new(format!("these files in {} are not resolved yet:\n{}", commits.shown(), open.join("\n")))
            .code(Code::QueueConflict)
            .hint("edit them until no marker (<<<<<<<, =======, >>>>>>>) is left, then: --continue")
            .into());
    }
    commits.git.run(&["add", "--all", "."])?;
    go(commits, &["rebase", "--continue"])
}

/// Leaves the patch out that conflicts.
pub(crate) fn skip(commits: &Commits<'_>) -> Result<Option<Conflict>> {
    if commits.is_rebasing() { go(commits, &["rebase", "--skip"]) } else { Ok(None) }
}

/// The queue as it was before the rebase.
pub(crate) fn abort(commits: &mut Commits<'_>) -> Result<()> {
    if commits.is_rebasing() {
        commits.git.outcome(&["rebase", "--abort"])?;
    }
    if let Some(pending) = commits.state.pending.take() {
        commits.git.run(&["checkout", "--quiet", "--force", BRANCH])?;
        commits.git.run(&["reset", "--quiet", "--hard", &pending.tip])?;
    }
    commits.save()
}

/// How each patch changed: the text of `git range-diff`. Call it after all patches were moved.
pub(crate) fn comparison(commits: &Commits<'_>) -> Result<String> {
    let Some(pending) = commits.state.pending.as_ref().filter(|_| !commits.state.patches.is_empty()) else { return Ok(String::new()) };
    // Without a new commit there is no range that git could compare.
    if commits.line(&pending.base, "HEAD")?.is_empty() {
        return Ok(String::new());
    }
    let (old, new) = (format!("{}..{}", commits.state.base, pending.tip), format!("{}..HEAD", pending.base));
    commits.git.read(&["range-diff", "--no-color", "--no-notes", "--creation-factor=90", &old, &new])
}

/// The file names of patches that the new source has already.
pub(crate) fn contained(commits: &Commits<'_>) -> Result<Vec<String>> {
    let Some(pending) = &commits.state.pending else { return Ok(Vec::new()) };
    let left: Vec<String> = commits.line(&pending.base, "HEAD")?.into_iter().filter_map(|it| it.patch).collect();
    Ok(commits.state.patches.iter().map(|it| it.name.clone()).filter(|it| !left.contains(it)).collect())
}

/// The patch files of the moved patches. The project must have the new source.
pub(crate) fn plan(commits: &Commits<'_>) -> Result<Plan> {
    let base = commits.state.pending.as_ref().context("no rebase has begun")?.base.clone();
    written::plan(commits, &base, &source_digest(&commits.git.env)?)
}

fn go(commits: &Commits<'_>, arguments: &[&str]) -> Result<Option<Conflict>> {
    let (good, said) = commits.git.outcome(arguments)?;
    if good && !commits.is_rebasing() {
        return Ok(None);
    }
    if !commits.is_rebasing() {
        return Err(Problem::new(format!("git could not move the patches: {}", said.trim())).code(Code::CommandFailed).into());
    }
    conflict(commits).map(Some)
}

/// The patch at which the rebase stopped.
pub(super) fn conflict(commits: &Commits<'_>) -> Result<Conflict> {
    let named = commits.git.read(&["log", "-1", "--notes=refs/notes/patch", "--format=%N%x1f%s", "REBASE_HEAD"])?;
    let (note, subject) = named.split_once('\x1f').unwrap_or_default();
    let patch = note.lines().next().filter(|it| !it.is_empty()).unwrap_or(subject).to_owned();
    Ok(Conflict { patch, files: unresolved(commits)? })
}

/// A sentence for each file that a person has to look at.
fn unresolved(commits: &Commits<'_>) -> Result<Vec<String>> {
    let text = commits.git.read(&["status", "--porcelain=v2", "--untracked-files=no", "-z"])?;
    let mut out = Vec::new();
    for entry in text.split('\0').filter(|it| it.starts_with("u ")) {
        let mut words = entry.splitn(11, ' ').skip(1);
        let (sides, name) = (words.next().unwrap_or_default(), words.last().unwrap_or_default());
        let content = std::fs::read(commits.git.dir.join(name)).unwrap_or_default();
        let marks = String::from_utf8_lossy(&content).lines().filter(|it| it.starts_with("<<<<<<< ")).count();
        let sentence = match sides {
            "UU" | "AA" if marks == 0 => continue,
            "UU" => format!("{name}: both change the same lines ({marks} {})", if marks == 1 { "place" } else { "places" }),
            "AA" => format!("{name}: both add this file ({marks} {})", if marks == 1 { "place" } else { "places" }),
            "DU" => format!("{name}: the patch changes it, and it is gone: `git rm` or `git add` it"),
            "UD" => format!("{name}: the patch removes it, and it has changed: `git rm` or `git add` it"),
            _ => format!("{name}: renamed on one side ({sides}): `git rm` or `git add` it"),
        };
        out.push(sentence);
    }
    Ok(out)
}

/// A commit with the content of the folder, after the parent, so that git finds renamed files.
pub(super) fn commit_of(commits: &Commits<'_>, folder: &Path, parent: &str, title: &str) -> Result<String> {
    let git = &commits.git;
    let (index, repository) = (git.dir.join(".git/pocdeploy.index"), git.dir.join(".git").display().to_string());
    if index.exists() {
        std::fs::remove_file(&index)?;
    }
    let (index, folder) = (index.display().to_string(), folder.display().to_string());
    let place = ["-C", &folder, "--git-dir", &repository, "--work-tree", &folder];
    let with = |arguments: &[&str]| git.run_with(&[&place, arguments].concat(), &[("GIT_INDEX_FILE", &index)]);
    with(&["add", "--all", "--force", "."])?;
    let tree = git.read_with(&[&place[..], &["write-tree"]].concat(), &[("GIT_INDEX_FILE", &index)])?;
    git.read(&["commit-tree", &tree, "-p", parent, "-m", title])
}
