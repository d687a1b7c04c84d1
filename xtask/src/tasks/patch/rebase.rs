//! Moves the queue to another source, with git's three-way merge, which follows renamed files. Nothing in the project changes before all
//! patches are moved.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::{
    check,
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
    /// The digest of the project's source when it began.
    pub(super) source: String,
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
    let source = source_digest(&commits.git.env)?;
    commits.state.pending = Some(Pending { base: base.clone(), tip, source, update });
    commits.save()?;
    go(commits, &["rebase", "--quiet", "--no-gpg-sign", "--onto", &base, &old, BRANCH])
}

/// Goes on after a person has resolved the conflict.
pub(crate) fn resume(commits: &Commits<'_>) -> Result<Option<Conflict>> {
    if !commits.is_rebasing() {
        return Ok(None);
    }
    refuse_open(commits, &unresolved(commits)?)?;
    // A stop at a patch whose commit has a successor already: git asks for a commit, and would not say so.
    let stopped_at = std::fs::read_to_string(commits.git.dir.join(".git/rebase-merge/amend")).unwrap_or_default();
    let has_more = !stopped_at.is_empty() && stopped_at.trim() != commits.git.read(&["rev-parse", "HEAD"])?;
    if has_more && let Some(first) = commits.uncommitted()?.first() {
        return Err(Problem::new(format!("{} has changes that are in no commit, after a new one: {first}", commits.shown()))
            .code(Code::QueueOpen)
            .hint(format!("commit them: git -C {0} add -A && git -C {0} commit", commits.shown()))
            .into());
    }
    commits.git.run(&["add", "--all", "."])?;
    refuse_open(commits, &marked(commits)?)?;
    go(commits, &["rebase", "--continue"])
}

fn refuse_open(commits: &Commits<'_>, open: &[String]) -> Result<()> {
    if open.is_empty() {
        return Ok(());
    }
    Err(Problem::new(format!("these files in {} are not resolved yet:\n{}", commits.shown(), open.join("\n")))
        .code(Code::QueueConflict)
        .hint("edit them until no mark (<<<<<<<, |||||||, >>>>>>>) is left; where nothing is marked, `git add` says that a file is right")
        .into())
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
        commits.git.run(&["checkout", "--quiet", "--force", "-B", BRANCH, &pending.tip])?;
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

/// The patch files of the moved patches. An error if the rebase did not end, or if source or patches changed meanwhile.
pub(crate) fn plan(commits: &Commits<'_>) -> Result<Plan> {
    let pending = commits.state.pending.as_ref().context("no rebase has begun")?;
    let is_moved = commits.git.outcome(&["merge-base", "--is-ancestor", &pending.base, "HEAD"])?.0;
    if !is_moved || commits.is_rebasing() || !commits.is_on_branch()? {
        return Err(Problem::new(format!("the patches in {} are not moved: the rebase was ended by hand", commits.shown()))
            .code(Code::QueueConflict)
            .hint(format!("undo it, and begin again: cargo xtask {} --abort", pending.command()))
            .into());
    }
    if let Some(changed) = commits.changed_since_rebase(&pending.source)? {
        return Err(Problem::new(format!("{changed} has changed since the rebase began, and its end would overwrite that"))
            .code(Code::QueueConflict)
            .hint(format!("put the change elsewhere, and --continue; or undo the rebase: cargo xtask {} --abort", pending.command()))
            .into());
    }
    written::plan(commits, &pending.base, &pending.source)
}

/// Lines with marks of a merge in what git would commit, for files that were added before they were resolved.
fn marked(commits: &Commits<'_>) -> Result<Vec<String>> {
    let text = commits.git.read(&["diff", "--cached", "--unified=0", "--no-color", "--no-ext-diff", "HEAD"])?;
    let mut out: Vec<String> = Vec::new();
    let mut name = "";
    for line in text.lines() {
        if let Some(new) = line.strip_prefix("+++ b/") {
            name = new;
        }
        let is_mark = ["+<<<<<<< ", "+||||||| ", "+>>>>>>> "].iter().any(|it| line.starts_with(it));
        if is_mark && !out.iter().any(|it| it.starts_with(name)) {
            out.push(format!("{name}: it has marks of the merge"));
        }
    }
    Ok(out)
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
        let path = commits.git.dir.join(name);
        let is_link = path.symlink_metadata().is_ok_and(|it| it.is_symlink());
        let content = if is_link { Vec::new() } else { std::fs::read(&path).unwrap_or_default() };
        let text = String::from_utf8_lossy(&content);
        let is_mark = |it: &&str| ["<<<<<<< ", "||||||| ", ">>>>>>> "].iter().any(|mark| it.starts_with(mark));
        let marks = text.lines().filter(is_mark).count().div_ceil(3);
        let is_text = !is_link && !content.contains(&0);
        let sentence = match sides {
            "UU" | "AA" if marks == 0 && is_text => continue,
            "UU" | "AA" if !is_text => format!("{name}: both change it, and it is no text: write the right one, and `git add` it"),
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
    let tree = check::tree_of(&commits.git, folder, &commits.git.dir.join(".git/pocdeploy.index"))?;
    commits.git.read(&["commit-tree", &tree, "-p", parent, "-m", title])
}
