//! The queue as a line of commits in a git repository, one commit for each patch, on a commit with the source.
//!
//! A note on each commit has the file name of its patch. git carries notes over when a commit is amended or rebased, so a patch keeps its
//! file whatever happens to its commit.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::{fill, git::Repository, queue, remove, source, written};
use crate::{
    config::name_of,
    env::Scope,
    errors::{Code, Problem},
    fingerprint::Fingerprint,
    layout,
    patch::Patch,
    record, regular,
    tasks::patch::rebase::Pending,
};

/// The branch of the queue.
pub(super) const BRANCH: &str = "queue";
/// The notes with the file names of patches.
pub(super) const NOTES: &str = "refs/notes/patch";
/// The repository, and what the tool knows about it.
pub(crate) struct Commits<'a> {
    pub(crate) git: Repository<'a>,
    pub(crate) state: State,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct State {
    /// The commit with the source.
    pub(super) base: String,
    /// The digest of the source.
    pub(super) source: String,
    /// The patches of the project when they were read or last written, in order.
    pub(super) patches: Vec<Written>,
    /// The last commit of the queue at that time.
    pub(super) tip: String,
    /// A rebase that waits for a person.
    pub(super) pending: Option<Pending>,
    /// Patch files are being written. A run that was killed then leaves old and new ones; the next `refresh` writes all of them.
    #[serde(default)]
    pub(super) writing: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Written {
    /// Its file name in the patch folder.
    pub(super) name: String,
    pub(super) commit: String,
    /// The SHA-256 of the file.
    pub(super) digest: String,
}

/// A commit of the queue.
#[derive(Clone, Debug)]
pub(super) struct Commit {
    pub(super) id: String,
    /// The subject as a file name.
    pub(super) slug: String,
    pub(super) subject: String,
    /// The file name of its patch; `None` for a new commit.
    pub(super) patch: Option<String>,
}

/// The folder of the repository. It belongs to the project, not to an instance.
pub(crate) fn folder(env: &Scope<'_>) -> PathBuf {
    env.path(layout::WORK).join("edit").join(name_of(env.id.service))
}

/// The source's files as a fingerprint.
pub(crate) fn source_digest(env: &Scope<'_>) -> Result<String> {
    let mut out = Fingerprint::new();
    super::add_source(env, &mut out)?;
    Ok(out.digest())
}

/// The patches of the project; an error if some are embedded in the program.
pub(super) fn own_queue(env: &Scope<'_>) -> Result<Vec<Patch>> {
    let folder = env.path(&env.service.patch_dir);
    let patches = queue(env)?.patches;
    if let Some(embedded) = patches.iter().find(|it| !it.path.starts_with(&folder)) {
        let what = format!("patch {} is embedded in the program and is no file of the project", embedded.name);
        let hint = format!("write it into the project first: cargo xtask eject {}", env.service.patch_dir.display());
        return Err(Problem::config(what).code(Code::PatchRefused).hint(hint).into());
    }
    Ok(patches)
}

fn digests(patches: &[Patch]) -> Result<Vec<(String, String)>> {
    let digest = |it: &Patch| -> Result<(String, String)> {
        let bytes = regular::read(&it.path).with_context(|| format!("read patch {}", it.path.display()))?;
        Ok((it.name.clone(), written::digest(&bytes)))
    };
    patches.iter().map(digest).collect()
}

impl<'a> Commits<'a> {
    /// The repository of `patch edit`, if it exists.
    pub(crate) fn existing(env: Scope<'a>) -> Result<Option<Commits<'a>>> {
        let dir = folder(&env);
        let Some(state) = record::read_json(&state_file(&dir)) else { return Ok(None) };
        Ok(Some(Commits { git: Repository::at(env, dir)?, state }))
    }

    /// The repository of `patch edit`, with the source and the patches of the project. An existing one stays while it has work that is
    /// not in the patches; if the source or the patches have changed since, that is an error.
    pub(crate) fn open(env: Scope<'a>) -> Result<Commits<'a>> {
        if let Some(known) = Commits::existing(env)? {
            known.refuse_pending()?;
            let changed = known.changed_since()?;
            let work = known.work()?;
            match (changed, work) {
                (None, _) => return Ok(known),
                (Some(_), None) => {}
                (Some(changed), Some(work)) => return Err(known.out_of_date(&changed, &work)),
            }
        }
        Commits::build(env, folder(&env))
    }

    /// A new repository with the source of the project, in the folder, which is replaced.
    pub(crate) fn build(env: Scope<'a>, dir: PathBuf) -> Result<Commits<'a>> {
        let found = source::files(&env)?;
        if found.files.is_empty() {
            return Err(source::nothing(&env));
        }
        let digest = source_digest(&env)?;
        Commits::build_from(env, dir, &found.files, digest)
    }

    /// A new repository with the content of a folder as the source.
    pub(crate) fn build_on(env: Scope<'a>, dir: PathBuf, folder: &Path) -> Result<Commits<'a>> {
        Commits::build_from(env, dir, &source::of_folder(folder)?, String::new())
    }

    fn build_from(env: Scope<'a>, dir: PathBuf, files: &[(PathBuf, PathBuf)], digest: String) -> Result<Commits<'a>> {
        let patches = own_queue(&env)?;
        let fresh = dir.with_extension("new");
        remove(&fresh)?;
        source::copy_files(&env, files, &fresh)?;
        let git = Repository::at(env, fresh.clone())?;
        fill::begin(&git)?;
        git.run(&["add", "--all", "--force", "."])?;
        git.run(&["commit", "--quiet", "--allow-empty", "-m", "The source without patches"])?;
        let base = git.read(&["rev-parse", "HEAD"])?;
        let commits = fill::commit_all(&git, &patches)?;
        name(&git, commits.iter().zip(&patches).map(|(commit, patch)| (commit.as_str(), patch.name.as_str())))?;
        let tip = git.read(&["rev-parse", "HEAD"])?;
        let written = digests(&patches)?.into_iter().zip(&commits);
        let patches = written.map(|((name, digest), commit)| Written { name, commit: commit.clone(), digest }).collect();
        let state = State { base, source: digest, patches, tip, ..State::default() };
        record::write_json(&state_file(&fresh), &state)?;
        regular::settle(&fresh)?;
        // The one before stays once more: a person may have left something in it that no check sees.
        let before = dir.with_extension("before");
        remove(&before)?;
        if dir.exists() {
            fs::rename(&dir, &before).with_context(|| format!("set {} aside", dir.display()))?;
        }
        fs::rename(&fresh, &dir).with_context(|| format!("put {} in place", dir.display()))?;
        Ok(Commits { git: Repository::at(env, dir)?, state })
    }

    /// Removes the repository, and all work in it.
    pub(crate) fn remove(self) -> Result<()> {
        remove(&self.git.dir)
    }

    /// The commit with the source.
    pub(super) fn base(&self) -> &str {
        &self.state.base
    }

    /// The number of patches.
    pub(crate) fn count(&self) -> usize {
        self.state.patches.len()
    }

    /// The rebase that waits for a person.
    pub(crate) fn pending(&self) -> Option<&Pending> {
        self.state.pending.as_ref()
    }

    /// Whether HEAD is the branch of the queue.
    pub(super) fn is_on_branch(&self) -> Result<bool> {
        let (good, said) = self.git.outcome(&["symbolic-ref", "--quiet", "HEAD"])?;
        Ok(good && said.trim() == format!("refs/heads/{BRANCH}"))
    }

    /// An error if a person has another commit checked out: patches would seem to be dropped.
    pub(super) fn require_branch(&self) -> Result<()> {
        if self.is_on_branch()? {
            return Ok(());
        }
        let shown = self.shown();
        Err(Problem::new(format!("{shown} is not on the branch `{BRANCH}`, which has the patches"))
            .code(Code::QueueOpen)
            .hint(format!(
                "return to it: git -C {shown} checkout {BRANCH}\nor make this commit its end: git -C {shown} checkout -B {BRANCH}"
            ))
            .into())
    }

    pub(super) fn save(&self) -> Result<()> {
        record::write_json(&state_file(&self.git.dir), &self.state)
    }

    /// The folder as messages show it.
    pub(crate) fn shown(&self) -> String {
        let dir = &self.git.dir;
        dir.strip_prefix(&self.git.env.project).unwrap_or(dir).display().to_string()
    }

    /// The commits of the queue, the first one first.
    pub(super) fn line(&self, from: &str, to: &str) -> Result<Vec<Commit>> {
        let range = format!("{from}..{to}");
        let notes = format!("--notes={NOTES}");
        if let Some(merge) = self.git.read(&["log", "--merges", "--format=%h %s", &range])?.lines().next() {
            return Err(Problem::new(format!("the commit {merge} is a merge, which no patch can hold"))
                .code(Code::QueueOpen)
                .hint(format!("rebase instead of merging, in {}", self.shown()))
                .into());
        }
        let text = self.git.read(&["log", "--reverse", "--topo-order", &notes, "--format=%H%x1f%f%x1f%s%x1f%N%x1e", &range])?;
        let commit = |it: &str| {
            let mut parts = it.trim_start().split('\x1f').map(str::trim);
            let mut next = || parts.next().unwrap_or_default().to_owned();
            let (id, slug, subject, note) = (next(), next(), next(), next());
            Commit { id, slug, subject, patch: note.lines().next().map(str::to_owned).filter(|it| !it.is_empty()) }
        };
        Ok(text.split('\x1e').filter(|it| !it.trim().is_empty()).map(commit).collect())
    }

    /// Whether git is in the middle of a rebase.
    pub(super) fn is_rebasing(&self) -> bool {
        self.git.dir.join(".git/rebase-merge").is_dir() || self.git.dir.join(".git/rebase-apply").is_dir()
    }

    /// An error in the middle of `git am`, which only git can end.
    pub(super) fn refuse_am(&self) -> Result<()> {
        if !self.git.dir.join(".git/rebase-apply/applying").exists() {
            return Ok(());
        }
        let shown = self.shown();
        Err(Problem::new(format!("a `git am` in {shown} is not finished"))
            .code(Code::QueueOpen)
            .hint(format!("end it: git -C {shown} am --continue, or am --abort"))
            .into())
    }

    /// Files with changes that are in no commit.
    pub(super) fn uncommitted(&self) -> Result<Vec<String>> {
        let text = self.git.read(&["status", "--porcelain", "--untracked-files=all", "--no-renames", "-z"])?;
        Ok(text.split('\0').filter_map(|it| it.get(3..)).filter(|it| !it.is_empty()).map(str::to_owned).collect())
    }

    /// What a person did in the folder that is not in the patches.
    pub(crate) fn work(&self) -> Result<Option<String>> {
        if self.state.writing {
            return Ok(Some("commits that are only partly in the patches".to_owned()));
        }
        if self.is_rebasing() {
            return Ok(Some("a rebase that is not finished".to_owned()));
        }
        let uncommitted = self.uncommitted()?;
        if let Some(first) = uncommitted.first() {
            let more = if uncommitted.len() > 1 { format!(" and {} more", uncommitted.len() - 1) } else { String::new() };
            return Ok(Some(format!("changes that are not committed: {first}{more}")));
        }
        if self.git.outcome(&["rev-parse", "--quiet", "--verify", "refs/stash"])?.0 {
            return Ok(Some("a stash".to_owned()));
        }
        let branches = self.git.read(&["for-each-ref", "--format=%(refname:short)", "refs/heads"])?;
        if let Some(other) = branches.lines().find(|it| *it != BRANCH) {
            return Ok(Some(format!("the branch `{other}`, which is not in the patches")));
        }
        let head = self.git.read(&["rev-parse", "HEAD"])?;
        Ok((head != self.state.tip || !self.is_on_branch()?).then(|| "commits that are not in the patches".to_owned()))
    }

    /// What changed in the project since the patches were read or written.
    pub(super) fn changed_since(&self) -> Result<Option<String>> {
        self.changed_from(&self.state.source)
    }

    /// The same since a rebase began, when the source had this digest.
    pub(super) fn changed_since_rebase(&self, source: &str) -> Result<Option<String>> {
        // The new source may be in place already, after an interruption.
        let is_replaced = self.state.pending.as_ref().and_then(|it| it.update.as_ref()).is_some_and(|it| !it.folder.exists());
        if is_replaced { Ok(None) } else { self.changed_from(source) }
    }

    fn changed_from(&self, source: &str) -> Result<Option<String>> {
        let env = &self.git.env;
        if source_digest(env)? != source {
            return Ok(Some(format!("the source {}", env.service.path.display())));
        }
        if self.state.writing {
            return Ok(None);
        }
        let now = digests(&own_queue(env)?)?;
        let known: Vec<(String, String)> = self.state.patches.iter().map(|it| (it.name.clone(), it.digest.clone())).collect();
        let other = |one: &[(String, String)], two: &[(String, String)]| one.iter().find(|it| !two.contains(it)).map(|it| it.0.clone());
        let changed = other(&now, &known).or_else(|| other(&known, &now));
        Ok(changed.or_else(|| (now != known).then(|| "the order of the patches".to_owned())))
    }

    pub(super) fn out_of_date(&self, changed: &str, work: &str) -> anyhow::Error {
        let shown = self.shown();
        Problem::new(format!("{changed} has changed since `patch edit`, and {shown} has {work}"))
            .code(Code::QueueOpen)
            .hint(format!("put the change in the project back, then: cargo xtask patch refresh\nor discard the work in {shown}: cargo xtask patch edit --discard"))
            .into()
    }

    pub(crate) fn refuse_pending(&self) -> Result<()> {
        let Some(pending) = &self.state.pending else { return Ok(()) };
        let command = pending.command();
        Err(Problem::new(format!("a rebase of the patches waits in {}", self.shown()))
            .code(Code::QueueOpen)
            .hint(format!("go on: cargo xtask {command} --continue\nundo it: cargo xtask {command} --abort"))
            .into())
    }

    /// An error if the folder has work that is not in the patches.
    pub(crate) fn refuse_work(&self) -> Result<()> {
        self.refuse_pending()?;
        let Some(work) = self.work()? else { return Ok(()) };
        let shown = self.shown();
        Err(Problem::new(format!("{shown} has {work}"))
            .code(Code::QueueOpen)
            .hint("write it to the patches: cargo xtask patch refresh\nor discard it: cargo xtask patch edit --discard")
            .into())
    }
}

fn state_file(dir: &Path) -> PathBuf {
    dir.join(".git/pocdeploy.json")
}

/// Notes the file names of patches on commits, in one call.
pub(super) fn name<'a>(git: &Repository<'_>, names: impl Iterator<Item = (&'a str, &'a str)>) -> Result<()> {
    let mut input = format!("commit {NOTES}\ncommitter pocdeploy <pocdeploy@localhost> 0 +0000\ndata 0\n");
    let has_notes = git.outcome(&["rev-parse", "--quiet", "--verify", NOTES])?.0;
    if has_notes {
        input.push_str(&format!("from {NOTES}^0\n"));
    }
    let mut count = 0;
    for (commit, name) in names {
        input.push_str(&format!("N inline {commit}\ndata {}\n{name}\n", name.len()));
        count += 1;
    }
    if count == 0 {
        return Ok(());
    }
    git.feed(&["fast-import", "--quiet"], &[], input.as_bytes())
}
