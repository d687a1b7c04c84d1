//! Changes that a person makes in the staged tree: they are never overwritten in silence, and `patch new` makes a patch of them.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::{
    PINS, Patch, Staged,
    commits::{BRANCH, Commits},
    copy, last, next_record, rebase, source, staged_record, tree,
};
use crate::{
    env::{Env, Scope},
    errors::{Code, Problem},
    fingerprint::Fingerprint,
    record, regular,
    tasks::Task as _,
};

/// The changes that a person made in the staged tree: what differs from the tool's last tree, and from the one that would replace it.
/// `None` without such changes, or if no record tells. Caches and the pins that the tool adds are nobody's work.
fn changes(env: &Scope<'_>, before: Option<&Staged>, fresh: &Fingerprint) -> Result<Option<Vec<String>>> {
    let (Some(before), true) = (before, env.stage().exists()) else { return Ok(None) };
    let work = |tree: &Fingerprint, keeps_pins: bool| -> Fingerprint {
        let counts = |(name, _): &(&str, &str)| (keeps_pins || *name != PINS) && Path::new(name).iter().all(source::is_work);
        tree.parts().filter(counts).collect()
    };
    let now = tree(env, &env.stage())?;
    let next = Staged::read(&next_record(env));
    let is_known = |known: &Staged| {
        let pins = known.has_requirements();
        work(&now, pins) == work(&known.content, pins)
    };
    let is_the_same = work(&now, false) == work(fresh, false);
    if is_the_same || is_known(before) || next.as_ref().is_some_and(is_known) {
        return Ok(None);
    }
    let pins = before.has_requirements();
    let changes = work(&now, pins).changes(&work(&before.content, pins));
    Ok(Some(changes).filter(|it| !it.is_empty()))
}

/// An error if the next tree would overwrite a person's changes.
pub(super) fn refuse(env: &Scope<'_>, before: Option<&Staged>, fresh: &Fingerprint) -> Result<()> {
    let Some(changes) = changes(env, before, fresh)? else { return Ok(()) };
    // Of files that only lack, or that have no content, nothing is lost: they are restored.
    let is_blank =
        |change: &str| change.strip_suffix(" changed").is_some_and(|it| has_no_content(&env.stage().join(it.trim_start_matches("app/"))));
    if changes.iter().all(|it| it.ends_with(" is gone") || is_blank(it)) {
        return Ok(());
    }
    let shown: Vec<&str> = changes.iter().take(10).map(|it| it.trim_start_matches("app/")).collect();
    let more = if changes.len() > shown.len() { format!("\nand {} more", changes.len() - shown.len()) } else { String::new() };
    let of = env.id.service.map(|it| format!(" --service {it}")).unwrap_or_default();
    let folder = env.stage();
    let folder = folder.strip_prefix(&env.project).unwrap_or(&folder).display();
    Err(Problem::new(format!("the staged application in {folder} was changed by hand:\n{}{more}", shown.join("\n")))
        .code(Code::StagedChanged)
        .hint(format!("make a patch of it: cargo xtask patch new{of}\nor discard it: cargo xtask patch --discard"))
        .into())
}

/// Whether a file is empty or of zeros alone, as a loss of power leaves one whose content was not on the disk yet.
fn has_no_content(path: &Path) -> bool {
    regular::read(path).is_ok_and(|it| it.iter().all(|byte| *byte == 0))
}

/// The files that a person changed in the staged tree, a sentence each.
pub(crate) fn listed(env: &Scope<'_>) -> Result<Vec<String>> {
    let before = Staged::read(&staged_record(env));
    let found = changes(env, before.as_ref(), &Fingerprint::new())?.ok_or_else(|| nothing(env))?;
    Ok(found.iter().map(|it| it.trim_start_matches("app/").to_owned()).collect())
}

fn nothing(env: &Scope<'_>) -> anyhow::Error {
    let folder = env.stage();
    let folder = folder.strip_prefix(&env.project).unwrap_or(&folder).display();
    Problem::new(format!("nothing was changed by hand in {folder}"))
        .hint("edit files there, or work with commits: cargo xtask patch edit")
        .into()
}

/// Commits what a person changed in the staged tree as the last patch of the queue. `title` is its subject. Writes no patch file.
pub(crate) fn commit<'a>(env: &'a Env, patch: Patch, title: Option<&str>) -> Result<Commits<'a>> {
    let scope = env.scope(patch.id());
    let want = patch.inputs(env)?;
    let Some(before) = Staged::read(&staged_record(&scope)) else {
        return Err(Problem::new("nothing is staged yet").hint("cargo xtask patch").into());
    };
    let changes = changes(&scope, Some(&before), &Fingerprint::new())?.ok_or_else(|| nothing(&scope))?;
    if before.inputs != want.digest() {
        let changed = record::changed(env, patch.id(), &want).unwrap_or_else(|| "the source or a patch changed".to_owned());
        let what = format!("since the application was staged, {changed}: the changes by hand cannot be told from it");
        return Err(Problem::new(what)
            .code(Code::StagedChanged)
            .hint("put that change back (`git stash`), run this command again, and make the change again")
            .into());
    }
    let commits = Commits::open(scope)?;
    commits.refuse_work()?;
    let place = tempfile::tempdir().context("make a temporary folder")?;
    let folder = place.path().join("tree");
    let mut staged = last::staged(&scope, &before)?;
    staged.files.retain(|(name, _)| name.iter().all(source::is_work));
    copy(env, &staged, &folder)?;
    let first = changes.first().map(|it| it.trim_start_matches("app/").split(' ').next().unwrap_or_default().to_owned());
    let title = title.map_or_else(|| format!("Change {}", first.unwrap_or_default()), str::to_owned);
    let tip = commits.git.read(&["rev-parse", "HEAD"])?;
    let commit = rebase::commit_of(&commits, &folder, &tip, &title)?;
    commits.git.run(&["checkout", "--quiet", "-B", BRANCH, &commit])?;
    commits.git.run(&["reset", "--quiet", "--hard", &commit])?;
    commits.save()?;
    Ok(commits)
}
