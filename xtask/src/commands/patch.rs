//! `patch status|new|edit|refresh|rebase|drop|export`: work on the patches of a service.

use std::{io::Write as _, path::Path};

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::{
    commands::reported,
    config::{ServiceName, name_of},
    env::{Env, Scope},
    errors::{Code, Problem},
    flags::{
        Output,
        patches::{After, PatchCommand},
    },
    graph::{TaskId, TaskKind},
    invocation, record,
    tasks::{
        self, Task as _,
        patch::{
            Patch, by_hand,
            commits::Commits,
            edit, old_source, rebase,
            rebase::Conflict,
            status::{self, Verdict},
            written::{Fate, Plan},
        },
    },
};

pub(crate) fn run(env: &Env, command: &PatchCommand) -> Result<()> {
    let scope = scope(env, command.service())?;
    match command {
        PatchCommand::Status { output, .. } => show_status(&scope, *output),
        PatchCommand::New { title, .. } => new(env, &scope, title.as_deref()),
        PatchCommand::Edit { patch, discard, .. } => open(&scope, patch.as_deref(), *discard),
        PatchCommand::Refresh { .. } => refresh(&scope),
        PatchCommand::Rebase { after, .. } => move_to_source(&scope, *after),
        PatchCommand::Drop { patches, .. } => drop_patches(&scope, patches),
        PatchCommand::Export { patches, out, .. } => export(&scope, patches, out.as_deref()),
    }
}

/// `--dry-run`: works in a temporary folder.
pub(crate) fn preview(env: &Env, command: &PatchCommand) -> Result<()> {
    let scope = scope(env, command.service())?;
    match command {
        PatchCommand::New { .. } => {
            let changes = by_hand::listed(&scope)?;
            say(&format!("would make a patch of:\n{}\n", changes.join("\n")))
        }
        PatchCommand::Edit { .. } => {
            let folder = tasks::patch::commits::folder(&scope);
            say(&format!("would open the patches as commits in {}\n", folder.strip_prefix(&env.project).unwrap_or(&folder).display()))
        }
        PatchCommand::Refresh { .. } => {
            let commits = opened(&scope)?;
            if let Some(work) = commits.work()?.filter(|it| it.contains("rebase")) {
                return say(&format!("{} in {}: a refresh would go on with it\n", work, commits.shown()));
            }
            say(&format!("would write:\n{}", fates(&edit::plan(&commits)?)))
        }
        PatchCommand::Rebase { .. } => {
            let place = tempfile::tempdir().context("make a temporary folder")?;
            let Some(old) = old_source::find(&scope, &place.path().join("old"))? else {
                return say("nothing to do: the patches apply to the source\n");
            };
            let mut commits = Commits::build_on(scope, place.path().join("commits"), &old.folder)?;
            let source = tasks::patch::copied_source(&scope, &place.path().join("new"))?;
            say(&foreseen(&mut commits, &source)?)
        }
        PatchCommand::Drop { patches, .. } => {
            let place = tempfile::tempdir().context("make a temporary folder")?;
            let commits = Commits::build(scope, place.path().join("commits"))?;
            edit::drop(&commits, &meant(&commits, patches)?)?;
            say(&format!("would write:\n{}", fates(&edit::plan(&commits)?)))
        }
        PatchCommand::Status { .. } | PatchCommand::Export { .. } => Ok(()),
    }
}

/// The service's part of the environment, if it has patches.
pub(super) fn scope(env: &Env, service: Option<ServiceName>) -> Result<Scope<'_>> {
    if !env.config.built().any(|it| it == service) {
        let known: Vec<String> = env.config.built().map(name_of).collect();
        let what = format!("there is no service `{}` with a source of its own", name_of(service));
        return Err(Problem::usage(what).hint(format!("there is: {}", known.join(", "))).into());
    }
    Ok(env.scope(TaskId::for_service(TaskKind::Patch, service)))
}

pub(super) fn say(text: &str) -> Result<()> {
    std::io::stdout().write_all(invocation::reworded(text).as_bytes()).context("print the result")
}

/// The number of patches that an error names.
const MOST: usize = 10;

/// ` --service NAME` for commands in messages.
pub(super) fn flag(scope: &Scope<'_>) -> String {
    scope.id.service.map(|it| format!(" --service {it}")).unwrap_or_default()
}

fn show_status(scope: &Scope<'_>, output: Output) -> Result<()> {
    let all = status::of(scope)?;
    let word = |it: &Verdict| match it {
        Verdict::Applied => "applies".to_owned(),
        Verdict::Upstream => "upstream".to_owned(),
        Verdict::Partly { there, of } => format!("partly upstream: {there} of {of} changes"),
        Verdict::Conflict(_) => "conflicts".to_owned(),
        Verdict::Unused(_) => "unused".to_owned(),
    };
    let more = |it: &Verdict| match it {
        Verdict::Conflict(text) | Verdict::Unused(text) => Some(text.clone()),
        _ => None,
    };
    if output == Output::Json {
        let one = |(name, it): &(String, Verdict)| {
            let state = match it {
                Verdict::Applied => "applies",
                Verdict::Upstream => "upstream",
                Verdict::Partly { .. } => "partly-upstream",
                Verdict::Conflict(_) => "conflicts",
                Verdict::Unused(_) => "unused",
            };
            json!({ "patch": name, "state": state, "text": more(it) })
        };
        say(&format!("{}\n", json!({ "schema": 1, "patches": all.iter().map(one).collect::<Vec<_>>() })))?;
    } else {
        let width = all.iter().map(|it| it.0.len()).max().unwrap_or_default();
        let mut text = String::new();
        for (name, verdict) in &all {
            text.push_str(&format!("{name:<width$}  {}\n", word(verdict)));
            for line in more(verdict).iter().flat_map(|it| it.lines()) {
                text.push_str(&format!("    {line}\n"));
            }
        }
        say(if text.is_empty() { "there are no patches\n" } else { &text })?;
    }
    let named = |of: fn(&Verdict) -> bool| all.iter().filter(|it| of(&it.1)).map(|it| it.0.clone()).collect::<Vec<String>>();
    let there = named(|it| *it == Verdict::Upstream);
    let conflicts = named(|it| matches!(it, Verdict::Conflict(_) | Verdict::Partly { .. }));
    let unused = named(|it| matches!(it, Verdict::Unused(_)));
    let flag = flag(scope);
    if !conflicts.is_empty() || !there.is_empty() {
        let mut hints = Vec::new();
        if !conflicts.is_empty() {
            hints.push(format!("move the patches to the source: cargo xtask patch rebase{flag}"));
        }
        if !there.is_empty() && conflicts.is_empty() {
            hints.push(format!("the source has them: cargo xtask patch rebase{flag} removes them"));
        }
        let named = [there, conflicts].concat();
        let more = if named.len() > MOST { format!(" and {} more", named.len() - MOST) } else { String::new() };
        let shown = named.iter().take(MOST).map(String::as_str).collect::<Vec<_>>().join(", ");
        let what = format!("{} of {} patches do not apply: {shown}{more}", named.len(), all.len());
        return Err(Problem::new(what).code(Code::PatchMismatch).hint(hints.join("\n")).into());
    }
    if unused.is_empty() {
        return Ok(());
    }
    let what = format!("files of {} are not applied: {}", scope.service.patch_dir.display(), unused.join(", "));
    Err(Problem::new(what).code(Code::PatchRefused).hint("name them as patches, or move them to another folder").into())
}

/// The changes to the patch files, a line each.
pub(super) fn fates(plan: &Plan) -> String {
    let mut out = String::new();
    let mut unchanged = 0;
    for (name, fate) in plan.fates() {
        match fate {
            Fate::Unchanged => unchanged += 1,
            Fate::Changed => out.push_str(&format!("changed    {name}\n")),
            Fate::New => out.push_str(&format!("new        {name}\n")),
            Fate::Renamed(from) => out.push_str(&format!("renamed    {name} (was {from})\n")),
            Fate::Removed => out.push_str(&format!("removed    {name}\n")),
        }
    }
    if unchanged > 0 || out.is_empty() {
        out.push_str(&format!("unchanged  {unchanged} {}\n", if unchanged == 1 { "patch" } else { "patches" }));
    }
    out
}

fn new(env: &Env, scope: &Scope<'_>, title: Option<&str>) -> Result<()> {
    let mut text = String::new();
    let task = Patch(scope.id.service);
    reported(env, scope.id, "make a patch of the changes by hand", || {
        let mut commits = by_hand::commit(env, task, title)?;
        let plan = edit::plan(&commits)?;
        text = fates(&plan);
        plan.write(&mut commits)?;
        // The same tree, staged with the new patch: the changes by hand are no longer only there.
        let want = task.inputs(env)?;
        task.run(env, &want)?;
        record::write(env, task.id(), &want)?;
        Ok("a patch has the changes".to_owned())
    })?;
    say(&text)
}

fn open(scope: &Scope<'_>, patch: Option<&str>, discard: bool) -> Result<()> {
    let mut text = String::new();
    reported(scope, scope.id, "open the patches as commits", || {
        if discard && let Some(known) = Commits::existing(*scope)? {
            known.remove()?;
        }
        let commits = Commits::open(*scope)?;
        let shown = commits.shown();
        let flag = flag(scope);
        let count = commits.count();
        if let Some(state) = commits.work()?.filter(|it| it.contains("rebase")) {
            text = format!("{shown}\n\nit has {state}\n1. go on there\n2. cargo xtask patch refresh{flag}   # writes the patch files\n");
            return Ok(format!("{shown} has {state}"));
        }
        let (mut now, mut how) = ("all patches are applied".to_owned(), format!("commit in {shown} as usual: each commit becomes a patch"));
        if let Some(said) = patch {
            commits.refuse_work()?;
            let name = edit::meant(&commits, said)?;
            edit::stop_at(&commits, &name)?;
            now = format!("stopped after {name}; the later patches follow");
            how = format!("change files in {shown}; they become part of this patch");
        }
        text = format!("{shown}\n\n{now}\n1. {how}\n2. cargo xtask patch refresh{flag}   # writes the patch files\n");
        Ok(format!("{count} {} in {shown}", if count == 1 { "patch" } else { "patches" }))
    })?;
    say(&text)
}

/// The repository of `patch edit`; an error without one.
fn opened<'a>(scope: &Scope<'a>) -> Result<Commits<'a>> {
    let found = Commits::existing(*scope)?;
    let hint = || format!("cargo xtask patch edit{}", flag(scope));
    let commits = found.ok_or_else(|| Problem::new("the patches are not open as commits").code(Code::QueueOpen).hint(hint()))?;
    commits.refuse_pending()?;
    Ok(commits)
}

fn refresh(scope: &Scope<'_>) -> Result<()> {
    let mut text = String::new();
    reported(scope, scope.id, "write the commits as patches", || {
        let mut commits = opened(scope)?;
        if let Some(conflict) = edit::go_on(&commits)? {
            return Err(stopped(&commits, &conflict, &format!("patch refresh{}", flag(scope)), false));
        }
        let plan = edit::plan(&commits)?;
        text = fates(&plan);
        plan.write(&mut commits)?;
        Ok(format!("{} has the commits", scope.service.patch_dir.display()))
    })?;
    say(&text)
}

fn meant(commits: &Commits<'_>, patches: &[String]) -> Result<Vec<String>> {
    let mut names = patches.iter().map(|it| edit::meant(commits, it)).collect::<Result<Vec<_>>>()?;
    names.dedup();
    Ok(names)
}

fn drop_patches(scope: &Scope<'_>, patches: &[String]) -> Result<()> {
    let mut text = String::new();
    reported(scope, scope.id, "remove patches", || {
        let mut commits = Commits::open(*scope)?;
        commits.refuse_work()?;
        edit::drop(&commits, &meant(&commits, patches)?)?;
        let plan = edit::plan(&commits)?;
        text = fates(&plan);
        plan.write(&mut commits)?;
        Ok(format!("{} has the other patches", scope.service.patch_dir.display()))
    })?;
    say(&text)
}

fn export(scope: &Scope<'_>, patches: &[String], out: Option<&Path>) -> Result<()> {
    let place = tempfile::tempdir().context("make a temporary folder")?;
    let commits = Commits::build(*scope, place.path().join("commits"))?;
    let text = edit::mailbox(&commits, &meant(&commits, patches)?)?;
    match out {
        Some(path) => {
            record::write_text(path, &text)?;
            say(&format!("{}\n", path.display()))
        }
        None => std::io::stdout().write_all(&text).context("print the mailbox"),
    }
}

fn move_to_source(scope: &Scope<'_>, after: After) -> Result<()> {
    let mut text = String::new();
    reported(scope, scope.id, "move the patches to the source", || {
        let command = format!("patch rebase{}", flag(scope));
        if after.go_on || after.skip || after.abort {
            let mut commits = pending(scope, &command)?;
            if after.abort {
                rebase::abort(&mut commits)?;
                return Ok("the patches are as before".to_owned());
            }
            let conflict = if after.skip { rebase::skip(&commits)? } else { rebase::resume(&commits)? };
            text = finish(&mut commits, conflict, &command)?;
            return Ok("the patches apply to the source".to_owned());
        }
        if let Some(known) = Commits::existing(*scope)? {
            known.refuse_work()?;
        }
        let place = tempfile::tempdir().context("make a temporary folder")?;
        let Some(old) = old_source::find(scope, &place.path().join("old"))? else {
            return Ok("nothing to do: the patches apply to the source".to_owned());
        };
        let source = tasks::patch::copied_source(scope, &place.path().join("new"))?;
        let mut commits = Commits::build_on(*scope, tasks::patch::commits::folder(scope), &old.folder)?;
        let conflict = rebase::begin(&mut commits, &source, "The new source", None)?;
        text = finish(&mut commits, conflict, &command)?;
        Ok(format!("the patches, which applied to {}, apply to the source", old.what))
    })?;
    say(&text)
}

/// The repository with a rebase that waits; an error without one.
pub(super) fn pending<'a>(scope: &Scope<'a>, command: &str) -> Result<Commits<'a>> {
    let begun = |it: &Commits<'_>| it.pending().is_some_and(|it| command.starts_with(it.command().split(' ').next().unwrap_or_default()));
    Commits::existing(*scope)?
        .filter(begun)
        .ok_or_else(|| Problem::usage("nothing waits: no patch conflicted").hint(format!("begin: cargo xtask {command}")).into())
}

/// Writes the moved patches, or explains the conflict.
fn finish(commits: &mut Commits<'_>, conflict: Option<Conflict>, command: &str) -> Result<String> {
    if let Some(conflict) = conflict {
        return Err(stopped(commits, &conflict, command, true));
    }
    let comparison = rebase::comparison(commits)?;
    let plan = rebase::plan(commits)?;
    let text = format!("{comparison}\n\n{}", fates(&plan));
    plan.write(commits)?;
    Ok(text)
}

/// What the rebase of a temporary repository shows: how each patch changes, or where it conflicts.
pub(super) fn foreseen(commits: &mut Commits<'_>, source: &Path) -> Result<String> {
    let mut out = String::new();
    let mut next = rebase::begin(commits, source, "The new source", None)?;
    let mut conflicts = Vec::new();
    while let Some(conflict) = next {
        out.push_str(&format!("conflicts  {}\n", conflict.patch));
        out.extend(conflict.files.iter().map(|it| format!("           {it}\n")));
        conflicts.push(conflict.patch);
        next = rebase::skip(commits)?;
    }
    let contained = rebase::contained(commits)?;
    out.extend(
        contained.iter().filter(|it| !conflicts.contains(it)).map(|it| format!("upstream   {it}: the new source has it, so it goes\n")),
    );
    let comparison = rebase::comparison(commits)?;
    Ok(if comparison.is_empty() { out } else { format!("{out}\nhow each patch changes (as git range-diff shows it):\n{comparison}\n") })
}

/// The error of a conflict. `command` goes on with `--continue`, or without a flag.
pub(super) fn stopped(commits: &Commits<'_>, conflict: &Conflict, command: &str, flags: bool) -> anyhow::Error {
    let shown = commits.shown();
    let with = if flags { "the new source" } else { "the changed patches before it" };
    let what = format!("patch {} conflicts with {with}:\n{}", conflict.patch, conflict.files.join("\n"));
    let hint = if flags {
        format!(
            "resolve the marked lines in {shown}, then: cargo xtask {command} --continue\nleave this patch out: cargo xtask {command} --skip\nundo everything: cargo xtask {command} --abort"
        )
    } else {
        format!("resolve the marked lines in {shown}, then: cargo xtask {command}\nundo everything: cargo xtask patch edit --discard")
    };
    Problem::new(what).code(Code::QueueConflict).hint(hint).into()
}
