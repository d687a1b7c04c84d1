//! What people do with the commits of the queue: stop at a patch, write the commits back, drop a patch.

use std::fs;

use anyhow::{Context as _, Result};

use super::{
    commits::{BRANCH, Commits, Written},
    rebase::{self, Conflict},
    written::{self, Plan},
};
use crate::errors::{Code, Problem};

/// Makes git stop at the first commit of a rebase.
const STOP: &str = "stop() { sed '1s/^pick/edit/' \"$1\" > \"$1.new\" && mv \"$1.new\" \"$1\"; }; stop";

/// The file name of the patch that a person means: its name, its number, or a part of its name that no other has.
pub(crate) fn meant(commits: &Commits<'_>, said: &str) -> Result<String> {
    let names: Vec<&String> = commits.state.patches.iter().map(|it| &it.name).collect();
    let number = |it: &str| it.split_once('-').and_then(|(number, _)| number.parse::<u32>().ok());
    let exact = |it: &&&String| ***it == said || (said.parse::<u32>().is_ok() && number(it) == said.parse().ok());
    let said_file = said.rsplit('/').next().unwrap_or(said);
    let found: Vec<&&String> = match names.iter().filter(exact).collect::<Vec<_>>() {
        it if it.is_empty() => names.iter().filter(|it| it.contains(said_file)).collect(),
        it => it,
    };
    match found[..] {
        [one] => Ok((*one).clone()),
        [] => {
            let all: Vec<&str> = names.iter().map(|it| it.as_str()).collect();
            Err(Problem::usage(format!("there is no patch `{said}`")).hint(format!("the patches are:\n{}", all.join("\n"))).into())
        }
        _ => {
            let all: Vec<&str> = found.iter().map(|it| it.as_str()).collect();
            Err(Problem::usage(format!("`{said}` means several patches: {}", all.join(", "))).hint("write more of the name").into())
        }
    }
}

/// Stops at the commit of a patch, so that a person can change it.
pub(crate) fn stop_at(commits: &Commits<'_>, name: &str) -> Result<()> {
    let commit = commit_of(commits, name)?;
    commits.git.run_with(&["rebase", "--quiet", "--interactive", &format!("{commit}^")], &[("GIT_SEQUENCE_EDITOR", STOP)])
}

/// Ends a stop at a patch: changes that are not committed become part of it, and the later patches are moved onto it.
pub(crate) fn go_on(commits: &Commits<'_>) -> Result<Option<Conflict>> {
    commits.refuse_am()?;
    rebase::resume(commits)
}

/// The patch files of the commits, for an unchanged source. Uncommitted changes are an error.
pub(crate) fn plan(commits: &Commits<'_>) -> Result<Plan> {
    let uncommitted = commits.uncommitted()?;
    if !uncommitted.is_empty() {
        let shown = commits.shown();
        let what = format!("{shown} has changes that are in no commit:\n{}", uncommitted.join("\n"));
        let hint = format!(
            "commit them as a new patch: git -C {shown} add -A && git -C {shown} commit\nor add them to the last patch: git -C {shown} commit -a --amend"
        );
        return Err(Problem::new(what).code(Code::QueueOpen).hint(hint).into());
    }
    commits.require_branch()?;
    if let Some(changed) = commits.changed_since()? {
        return Err(commits.out_of_date(&changed, "commits that were made before"));
    }
    written::plan(commits, &commits.state.base, &commits.state.source)
}

/// Removes patches from the line of commits. An error if a later patch needs one of them; then the line is as before.
pub(crate) fn drop(commits: &Commits<'_>, names: &[String]) -> Result<()> {
    let tip = commits.git.read(&["rev-parse", "HEAD"])?;
    // The last one first, so that a patch goes before those that it needs.
    let line: Vec<&Written> = commits.state.patches.iter().rev().filter(|it| names.contains(&it.name)).collect();
    for Written { name, .. } in line {
        let commit = commit_of(commits, name)?;
        let onto = format!("{commit}^");
        let (good, said) = commits.git.outcome(&["rebase", "--quiet", "--onto", &onto, &commit, BRANCH])?;
        if good {
            continue;
        }
        let conflict = if commits.is_rebasing() { Some(rebase::conflict(commits)?) } else { None };
        commits.git.outcome(&["rebase", "--abort"])?;
        commits.git.run(&["reset", "--quiet", "--hard", &tip])?;
        let why = conflict.map_or_else(|| said.trim().to_owned(), |it| format!("{} needs it\n{}", it.patch, it.files.join("\n")));
        return Err(Problem::new(format!("{name} cannot be dropped: {why}"))
            .code(Code::QueueConflict)
            .hint("drop the later patch too, or change both with: cargo xtask patch edit")
            .into());
    }
    Ok(())
}

/// The commit of a patch.
fn commit_of(commits: &Commits<'_>, name: &str) -> Result<String> {
    let line = commits.line(&commits.state.base, BRANCH)?;
    let found = line.into_iter().find(|it| it.patch.as_deref() == Some(name));
    found.map(|it| it.id).ok_or_else(|| {
        let what = format!("no commit in {} is the patch {name}", commits.shown());
        Problem::new(what).code(Code::QueueOpen).hint("begin again: cargo xtask patch edit --discard").into()
    })
}

/// The commits as mails that `git am` and a maintainer can read, numbered, in one mailbox. `names`: all of the queue if empty.
pub(crate) fn mailbox(commits: &Commits<'_>, names: &[String]) -> Result<Vec<u8>> {
    // Through files, since the text of patches may be in any encoding.
    let place = tempfile::tempdir().context("make a temporary folder")?;
    let folder = place.path().display().to_string();
    let form = ["format-patch", "--quiet", "--binary", "--full-index", "--output-directory", &folder];
    if names.is_empty() {
        commits.git.run(&[&form[..], &["--numbered", &format!("{}..{BRANCH}", commits.state.base)]].concat())?;
    }
    for (number, name) in names.iter().enumerate() {
        let start = format!("--start-number={}", number + 1);
        commits.git.run(&[&form[..], &["--no-numbered", &start, "-1", &commit_of(commits, name)?]].concat())?;
    }
    let mut files: Vec<_> = fs::read_dir(place.path())?.flatten().map(|it| it.path()).collect();
    files.sort();
    let texts = files.iter().map(|it| fs::read(it).with_context(|| format!("read {}", it.display())));
    Ok(texts.collect::<Result<Vec<_>>>()?.concat())
}
