//! `upstream status|update|diff`: where the source comes from, and how it is replaced by another version.

mod guards;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde_json::json;
use xshell::cmd;

use crate::{
    commands::upstream::guards::{changed_by_hand, refuse_changed, refuse_own_files, refuse_shared},
    commands::{
        patch::{fates, flag, foreseen, pending, say, scope, stopped},
        reported,
    },
    env::{Env, Scope},
    errors::{Code, Problem},
    flags::{Output, patches::UpstreamCommand},
    invocation, record, regular,
    tasks::{
        patch::{
            commits::{self, Commits},
            git::here,
            rebase::{self, Conflict, Update},
            remove, source,
        },
        upstream::{fetch, versions},
    },
    upstream::{
        self, Section, Source,
        changes::{self, Changes},
    },
};

pub(crate) fn run(env: &Env, command: &UpstreamCommand) -> Result<()> {
    let scope = scope(env, command.service())?;
    place(&scope)?;
    match command {
        UpstreamCommand::Status { output, .. } => status(&scope, *output),
        UpstreamCommand::Update { version, from, force, after, .. } => {
            let mut text = String::new();
            reported(&scope, scope.id, "replace the source by another version", || {
                let (said, done) = if after.go_on || after.skip || after.abort {
                    go_on(&scope, after.skip, after.abort)?
                } else {
                    update(&scope, version.as_deref().unwrap_or_default(), from.as_ref(), *force)?
                };
                text = said;
                Ok(done)
            })?;
            say(&text)
        }
        UpstreamCommand::Diff { version, .. } => diff(&scope, version.as_deref()),
    }
}

/// `--dry-run`: fetches the version into a temporary folder, and moves the patches there.
pub(crate) fn preview(env: &Env, command: &UpstreamCommand) -> Result<()> {
    let UpstreamCommand::Update { version, from, force, .. } = command else { return Ok(()) };
    let scope = scope(env, command.service())?;
    place(&scope)?;
    let Some(version) = version else {
        return Err(Problem::usage("--dry-run needs a version").into());
    };
    let temporary = tempfile::tempdir().context("make a temporary folder")?;
    if is_absent(&scope) {
        let section = first(&scope, version, from.as_ref(), &temporary.path().join("source"))?;
        return say(&format!("{}\nwould be the first source\n", headline(&scope, &section)));
    }
    let prepared = prepare(&scope, version, from.as_ref(), *force, &temporary.path().join("source"))?;
    let (section, Some(changes)) = prepared else { return say(&already(version)) };
    let mut commits = built(&scope, temporary.path().join("commits"), *force)?;
    let folder = temporary.path().join("source");
    let text = foreseen(&mut commits, &folder)?;
    say(&format!("{}\n{}\n{text}", headline(&scope, &section), changes))
}

fn already(version: &str) -> String {
    format!("nothing to do: the source is version {version}\n")
}

/// The file with the section of the service's folder, and the folder's name.
fn place(scope: &Scope<'_>) -> Result<(PathBuf, String)> {
    let path = &scope.service.path;
    upstream::place(&scope.project, path).ok_or_else(|| {
        let what = format!("the application is the project itself (`{}.path` is \".\"), so there is no upstream to update", scope.table());
        Problem::config(what)
            .code(Code::Upstream)
            .hint("put upstream's source into a folder of its own, for example third_party/NAME")
            .into()
    })
}

fn section(scope: &Scope<'_>) -> Result<Option<Section>> {
    upstream::of_folder(&scope.project, &scope.service.path)
}

/// The section, or the way to write one.
fn known(scope: &Scope<'_>) -> Result<Section> {
    let (file, name) = place(scope)?;
    section(scope)?.ok_or_else(|| {
        let file = file.strip_prefix(&scope.project).unwrap_or(&file).display().to_string();
        let hint = format!(
            "write a section into {file}:\n## {name}\n\n- Source: sdist:NAME\n- Version: 1.0\n\nor name the source: cargo xtask upstream update VERSION --from sdist:NAME{}",
            flag(scope)
        );
        Problem::config(format!("{file} does not say where {} comes from", scope.service.path.display())).code(Code::Upstream).hint(hint).into()
    })
}

fn status(scope: &Scope<'_>, output: Output) -> Result<()> {
    let known = known(scope)?;
    let content = source::content(&source::files(scope)?.files)?;
    let changes = if known.content == content {
        Vec::new()
    } else {
        let temporary = tempfile::tempdir().context("make a temporary folder")?;
        let folder = temporary.path().join("source");
        fetch(scope, &known.source, &known.version, Some(&known), &folder)?;
        changed_by_hand(scope, &folder)?
    };
    let all = versions(scope, &known.source)?;
    let newer: Option<Vec<String>> = all.map(|all| match all.iter().position(|it| *it == known.version) {
        Some(at) => all[at + 1..].to_vec(),
        None => all,
    });
    if output == Output::Json {
        let answer = json!({
            "schema": 1,
            "folder": scope.service.path,
            "source": known.source.to_string(),
            "version": known.version,
            "archive": known.archive,
            "license": known.license,
            "changed": changes,
            "newer": newer,
        });
        return say(&format!("{answer}\n"));
    }
    let line = |name: &str, value: &str| if value.is_empty() { String::new() } else { format!("{name:<9} {value}\n") };
    let mut text = line("folder", &scope.service.path.display().to_string());
    text.push_str(&line("source", &known.source.to_string()));
    text.push_str(&line("version", &known.version));
    text.push_str(&line("archive", &known.archive));
    text.push_str(&line("licence", &known.license));
    text.push_str(&line("content", if changes.is_empty() { "as upstream has it" } else { "changed by hand:" }));
    text.extend(changes.iter().map(|it| format!("          {it}\n")));
    let newer = match newer {
        None => "this kind of source has no list of versions".to_owned(),
        Some(it) if it.is_empty() => "none".to_owned(),
        Some(it) => {
            let shown: Vec<&str> = it.iter().rev().take(10).map(String::as_str).collect();
            let more = if it.len() > shown.len() { format!(" and {} more", it.len() - shown.len()) } else { String::new() };
            format!("{}{more}", shown.join(", "))
        }
    };
    text.push_str(&line("newer", &newer));
    say(&text)
}

fn headline(scope: &Scope<'_>, section: &Section) -> String {
    format!("{}: {} {}", scope.service.path.display(), section.source, section.version)
}

/// Fetches the version, and compares it with the source. `None` if the source is this version already.
fn prepare(scope: &Scope<'_>, version: &str, from: Option<&Source>, force: bool, folder: &Path) -> Result<(Section, Option<Changes>)> {
    let path = scope.path(&scope.service.path);
    if path.join(".git").exists() {
        let what = format!("{} is a git repository of its own", scope.service.path.display());
        let hint = format!("check the version out there, then: cargo xtask patch rebase{}", flag(scope));
        return Err(Problem::config(what).code(Code::Upstream).hint(hint).into());
    }
    refuse_own_files(scope)?;
    refuse_shared(scope)?;
    let known = if from.is_some() { section(scope)? } else { Some(known(scope)?) };
    let from = from.or(known.as_ref().map(|it| &it.source)).context("there is no source")?.clone();
    let new = fetch(scope, &from, version, known.as_ref(), folder)?;
    let content = source::content(&source::files(scope)?.files)?;
    if content == new.content {
        return Ok((new, None));
    }
    if !force && known.as_ref().is_none_or(|it| it.content != content) {
        refuse_changed(scope, known.as_ref(), &from)?;
    }
    let changes = changes::between(&path, folder);
    Ok((new, Some(changes)))
}

/// Whether there is no source yet.
fn is_absent(scope: &Scope<'_>) -> bool {
    fs::read_dir(scope.path(&scope.service.path)).map_or(true, |mut it| it.next().is_none())
}

/// Fetches the first source of a service.
fn first(scope: &Scope<'_>, version: &str, from: Option<&Source>, folder: &Path) -> Result<Section> {
    let written = if from.is_some() { section(scope)? } else { Some(known(scope)?) };
    let from = from.or(written.as_ref().map(|it| &it.source)).context("there is no source")?.clone();
    fetch(scope, &from, version, written.as_ref(), folder)
}

fn write_section(scope: &Scope<'_>, section: &Section) -> Result<()> {
    let (file, name) = place(scope)?;
    let text =
        if file.exists() { regular::read_to_string(&file).with_context(|| format!("read {}", file.display()))? } else { String::new() };
    record::write_text(&file, upstream::write(&text, &name, section).as_bytes())
}

/// The folder of a fetched version, beside the repository of the patches.
fn fetched(scope: &Scope<'_>) -> PathBuf {
    commits::folder(scope).with_extension("upstream")
}

fn update(scope: &Scope<'_>, version: &str, from: Option<&Source>, force: bool) -> Result<(String, String)> {
    if let Some(open) = Commits::existing(*scope)? {
        open.refuse_work()?;
    }
    scope.keep_out_of_git()?;
    let folder = fetched(scope);
    if is_absent(scope) {
        let section = first(scope, version, from, &folder)?;
        replace(scope, &folder)?;
        write_section(scope, &section)?;
        return Ok((String::new(), format!("{} has version {version}", scope.service.path.display())));
    }
    let (section, changes) = prepare(scope, version, from, force, &folder)?;
    let Some(changes) = changes else {
        remove(&folder)?;
        // The list may be a person's, without the hashes.
        if self::section(scope)?.as_ref() != Some(&section) {
            write_section(scope, &section)?;
        }
        return Ok((String::new(), format!("nothing to do: the source is version {version}")));
    };
    let mut commits = built(scope, commits::folder(scope), force)?;
    let title = format!("{} {}", section.source, section.version);
    let conflict = rebase::begin(&mut commits, &folder, &title, Some(Update { section, folder: folder.clone() }))?;
    finish(scope, &mut commits, conflict, &changes.to_string())
}

/// The patches as commits on the present source. With `force` it may be one that was changed by hand, to which the patches do not apply, since
/// one of them holds these changes: then on the version's own files.
fn built<'a>(scope: &Scope<'a>, folder: PathBuf, force: bool) -> Result<Commits<'a>> {
    let error = match Commits::build(*scope, folder.clone()) {
        Ok(commits) => return Ok(commits),
        Err(error) => error,
    };
    scope.interrupt.check()?;
    let Some(known) = section(scope)?.filter(|_| force) else { return Err(error) };
    let temporary = tempfile::tempdir().context("make a temporary folder")?;
    let pristine = temporary.path().join("source");
    fetch(scope, &known.source, &known.version, Some(&known), &pristine)?;
    Commits::build_on(*scope, folder, &pristine)
}

fn go_on(scope: &Scope<'_>, skip: bool, abort: bool) -> Result<(String, String)> {
    let mut commits = pending(scope, "upstream update VERSION")?;
    if abort {
        if !scope.path(&scope.service.path).exists() || !fetched(scope).exists() {
            return Err(Problem::new("the source is being replaced already, so there is nothing to undo")
                .code(Code::Upstream)
                .hint(format!("finish it: cargo xtask upstream update --continue{}", flag(scope)))
                .into());
        }
        rebase::abort(&mut commits)?;
        remove(&fetched(scope))?;
        return Ok((String::new(), "source and patches are as before".to_owned()));
    }
    let conflict = if skip { rebase::skip(&commits)? } else { rebase::resume(&commits)? };
    finish(scope, &mut commits, conflict, "")
}

/// Puts source, UPSTREAM.md and patches in place after all patches were moved. Run again after an interruption, it does the rest.
fn finish(scope: &Scope<'_>, commits: &mut Commits<'_>, conflict: Option<Conflict>, described: &str) -> Result<(String, String)> {
    let update = commits.pending().and_then(|it| it.update.clone()).context("no update has begun")?;
    let version = update.section.version.clone();
    if let Some(conflict) = conflict {
        let text = format!("{}\n{described}", headline(scope, &update.section));
        say(&text)?;
        return Err(stopped(commits, &conflict, &format!("upstream update{}", flag(scope)), true));
    }
    let contained = rebase::contained(commits)?;
    let comparison = rebase::comparison(commits)?;
    let mut plan = rebase::plan(commits)?;
    replace(scope, &update.folder)?;
    write_section(scope, &update.section)?;
    plan.for_source(commits::source_digest(scope)?);
    let mut text = format!(
        "{}\n{described}\nhow each patch changed (as git range-diff shows it):\n{comparison}\n\n",
        headline(scope, &update.section)
    );
    text.extend(contained.iter().map(|it| format!("left out   {it}: the new source has it, or you skipped it\n")));
    text.push_str(&fates(&plan));
    plan.write(commits)?;
    text.push_str(&format!("\ntry it: {} update\n", invocation::name()));
    Ok((text, format!("{} has version {version}, and the patches apply to it", scope.service.path.display())))
}

/// Replaces the source by the content of a folder: first beside it, then by two renames, so that no half of it is ever there.
fn replace(scope: &Scope<'_>, new: &Path) -> Result<()> {
    let path = scope.path(&scope.service.path);
    let name = path.file_name().context("the source has no name")?.to_string_lossy().into_owned();
    let (next, old) = (path.with_file_name(format!(".{name}.new")), path.with_file_name(format!(".{name}.old")));
    if new.exists() {
        remove(&next)?;
        source::copy_files(scope, &source::of_folder(new)?, &next)?;
        // From here on only `--continue` is possible: `--abort` looks for this folder. Renamed first, so that a run that is killed while it
        // removes the folder leaves no half of it to be copied again.
        let done = new.with_extension("done");
        remove(&done)?;
        regular::settle(&next)?;
        fs::rename(new, &done).with_context(|| format!("set {} aside", new.display()))?;
        remove(&done)?;
    }
    if next.exists() {
        remove(&old)?;
        if path.exists() {
            fs::rename(&path, &old).with_context(|| format!("set {} aside", path.display()))?;
        }
        fs::rename(&next, &path).with_context(|| format!("put {} in place", path.display()))?;
    }
    remove(&old)
}

fn diff(scope: &Scope<'_>, version: Option<&str>) -> Result<()> {
    let known = known(scope)?;
    let temporary = tempfile::tempdir().context("make a temporary folder")?;
    let (a, b) = (temporary.path().join("a"), temporary.path().join("b"));
    source::copy_files(scope, &source::files(scope)?.files, if version.is_some() { &a } else { &b })?;
    let wanted = version.unwrap_or(&known.version);
    fetch(scope, &known.source, wanted, Some(&known), if version.is_some() { &b } else { &a })?;
    let sh = scope.tools.shell(temporary.path())?;
    let settings = ["-c", "core.autocrlf=false", "-c", "core.quotepath=false"];
    let form = ["--no-index", "--no-color", "--no-ext-diff", "--binary", "--find-renames", "--no-prefix"];
    // Through a file, since the text of files may be in any encoding. The exit code 1 says that there are differences.
    let command = here(cmd!(sh, "git {settings...} diff {form...} --output=difference a b"));
    scope.tools.outcome(scope.id, command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1"))?;
    let text = fs::read(temporary.path().join("difference")).context("read the differences")?;
    std::io::Write::write_all(&mut std::io::stdout(), &text).context("print the differences")
}
