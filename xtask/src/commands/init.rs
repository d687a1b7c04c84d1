//! `init`: looks at an application and writes what a deployment of it needs. The source is never edited, and nothing is overwritten; only a
//! Pocdeploy.toml that is unfinished gets the lines that it lacks.
//!
//! `create` does the same first where a folder has no Pocdeploy.toml or an unfinished one, so that both make the same decisions and say them
//! in the same words.

mod ask;
mod begun;
mod place;

use std::{
    io::{IsTerminal as _, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::{
    commands::init::{begun::Begun, place::write},
    config::FILE,
    errors::{Code, Problem},
    flags::{Create, Global, Init, Output},
    invocation,
    recognise::{self, Recognised, Stack},
    scaffold::{self, Planned},
};

pub(crate) fn run(flags: &Init, global: &Global) -> Result<()> {
    let folder = folder(global.project.as_deref())?;
    let begun = Begun::read(&folder)?;
    let answers = begun.as_ref().map(|it| it.answers.clone()).unwrap_or_default();
    let is_free = begun.is_some() || folder.join(FILE).symlink_metadata().is_err();
    let can_ask = is_free && !flags.explain && ask::is_possible(global);
    let source = source(&folder, begun.as_ref());
    let found = ask::recognised(&source, answers, can_ask)?.ok_or_else(|| unrecognised(&nothing_in(&source)))?;
    let mut out = told(&found);
    if flags.explain {
        out.push_str("\nWhat was looked at:\n");
        found.signals.iter().for_each(|it| out.push_str(&format!("  {it}\n")));
        return print(&out);
    }
    stops(&found)?;
    let planned = planned(&folder, &found, begun.as_ref())?;
    if !global.dry_run {
        write(&folder, &planned, begun.as_ref())?;
    }
    out.push_str(&listed(&planned, begun.as_ref(), !global.dry_run));
    if !global.dry_run {
        out.push_str(&format!("\nNext: {} create\n", invocation::program()));
    }
    print(&out)
}

/// The first step of `create` in a folder without a Pocdeploy.toml, or with an unfinished one. Everything is said on standard error, since
/// the URL alone is on standard output. Returns whether `create` goes on; a dry run without the files does not.
///
/// # Errors Nothing is recognised, files would be overwritten, or there is no consent. Nothing was changed then.
pub(super) fn before_create(flags: &Create, global: &Global, folder: &Path) -> Result<bool> {
    let begun = Begun::read(folder)?;
    if begun.is_none() && folder.join(FILE).symlink_metadata().is_ok() {
        return Ok(true);
    }
    let can_ask = flags.output == Output::Text && ask::is_possible(global);
    let answers = begun.as_ref().map(|it| it.answers.clone()).unwrap_or_default();
    let source = source(folder, begun.as_ref());
    let found = ask::recognised(&source, answers, can_ask)?.ok_or_else(|| {
        let state = match &begun {
            Some(begun) if begun.source.as_os_str().is_empty() => format!("{FILE} names no source"),
            Some(begun) => format!("{FILE} names {} without a Dockerfile", begun.source.display()),
            None => format!("there is no {FILE} here or above"),
        };
        unrecognised(&format!("{state}, and {}", nothing_in(&source)))
    })?;
    let say =
        |text: &str| if global.quiet { Ok(()) } else { std::io::stderr().write_all(text.as_bytes()).context("say what was recognised") };
    say(&told(&found))?;
    stops(&found)?;
    let planned = planned(folder, &found, begun.as_ref())?;
    if global.dry_run {
        say(&listed(&planned, begun.as_ref(), false))?;
        return Ok(false);
    }
    if !global.yes {
        let can_ask = !global.events && flags.output == Output::Text && std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        if !can_ask || !agreed(&planned, begun.as_ref())? {
            return Err(without_consent(folder, &planned));
        }
    }
    write(folder, &planned, begun.as_ref())?;
    say(&format!("{}\n", listed(&planned, begun.as_ref(), true)))?;
    Ok(true)
}

/// The application's folder.
fn source(folder: &Path, begun: Option<&Begun>) -> PathBuf {
    begun.filter(|it| !it.source.as_os_str().is_empty()).map_or(folder.to_owned(), |it| folder.join(&it.source))
}

/// The files to write. A Pocdeploy.toml that the user began has the user's lines and those that it lacks.
fn planned(folder: &Path, found: &Recognised, begun: Option<&Begun>) -> Result<Vec<Planned>> {
    let places = begun.map(|it| it.places.clone()).unwrap_or_default();
    let own = begun.map(|it| it.source.clone()).unwrap_or_default();
    let mut planned = scaffold::files(folder, &own, found, &places)?;
    if let Some(begun) = begun {
        begun.fits(found)?;
        for file in planned.iter_mut().filter(|it| it.path == FILE) {
            file.text = scaffold::completed(&begun.text, &file.text)?;
        }
    }
    refuse_present(folder, &planned, begun.is_some())?;
    Ok(planned)
}

/// Asks on the terminal. Ctrl-C ends the program here, before anything was written.
fn agreed(planned: &[Planned], begun: Option<&Begun>) -> Result<bool> {
    let question = format!("{}\nWrite these files, and deploy? [y/N] ", listed(planned, begun, false));
    std::io::stderr().write_all(question.as_bytes()).context("ask")?;
    Ok(matches!(ask::line()?.unwrap_or_default().trim(), "y" | "Y" | "yes"))
}

fn without_consent(folder: &Path, planned: &[Planned]) -> anyhow::Error {
    let tool = invocation::program();
    let names: Vec<&str> = planned.iter().map(|it| it.path.as_str()).collect();
    Problem::requirement(format!("create would write {} into {}: not done without consent", names.join(", "), folder.display()))
        .code(Code::NoConsent)
        .hint(format!("`{tool} create --yes` writes them and deploys; `{tool} init` writes them only"))
        .into()
}

fn listed(planned: &[Planned], begun: Option<&Begun>, is_written: bool) -> String {
    let note = |it: &Planned| if begun.is_some() && it.path == FILE { " (lines added)" } else { "" };
    let names: String = planned.iter().map(|it| format!("  {}{}\n", it.path, note(it))).collect();
    format!("\n{}:\n{names}", if is_written { "Written" } else { "Would be written" })
}

fn folder(project: Option<&Path>) -> Result<PathBuf> {
    let here = std::env::current_dir().context("find the current folder")?;
    let folder = project.map_or(here, Path::to_owned);
    folder.canonicalize().map_err(|error| Problem::usage(format!("--project {}: {error}", folder.display())).into())
}

/// What was recognised and why, what the user said, what was assumed, what is missing.
fn told(found: &Recognised) -> String {
    let mut out = wrapped(&found.summary(), "");
    let mut said = found.said().peekable();
    if said.peek().is_some() {
        out.push_str("\nYou said:\n");
        said.for_each(|it| out.push_str(&wrapped(it, "  ")));
    }
    if !found.assumed.is_empty() {
        out.push_str("\nAssumed:\n");
        found.assumed.iter().for_each(|it| out.push_str(&wrapped(it, "  ")));
    }
    if !found.missing.is_empty() {
        out.push_str("\nMissing:\n");
        for it in &found.missing {
            out.push_str(&wrapped(&it.what, "  "));
            it.lines.lines().for_each(|line| out.push_str(&format!("      {line}\n")));
        }
    }
    out
}

/// Lines of at most 80 columns; those that go on are indented further.
fn wrapped(text: &str, indent: &str) -> String {
    let mut out = String::from(indent);
    let mut column = indent.chars().count();
    for word in text.split(' ') {
        let length = word.chars().count();
        if column > indent.len() && column + length > 80 {
            out.push_str(&format!("\n{indent}  "));
            column = indent.len() + 2;
        } else if column > indent.len() {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out.push('\n');
    out
}

fn nothing_in(folder: &Path) -> String {
    format!(
        "nothing in {} is known as an application: no Dockerfile, no manage.py, no Python file that makes an application, no package.json \
         with a server, no go.mod or Cargo.toml with a program, no index.html, no compose file that builds one",
        folder.display()
    )
}

fn unrecognised(what: &str) -> anyhow::Error {
    let hint = format!(
        "write a Dockerfile, or change into the application's own folder. These lines of {FILE} name the Dockerfile, and the same \
         command adds the lines that they lack:\n[frontend]\ndockerfile = \"Dockerfile\""
    );
    Problem::config(what.to_owned()).code(Code::Unrecognised).hint(hint).into()
}

/// Without a start command nothing could be deployed: wrong files would only hide it.
fn stops(found: &Recognised) -> Result<()> {
    let needs_start = match found.stack {
        Stack::Dockerfile | Stack::Site => false,
        Stack::Node => found.framework != recognise::Framework::Site,
        _ => true,
    };
    // Of a compiled application, the program that is built has to be known, whatever command starts it.
    let has_program = found.program.is_some() || !matches!(found.stack, Stack::Go | Stack::Rust);
    if found.start.is_some() && has_program || !needs_start {
        return Ok(());
    }
    let what: Vec<&str> = found.missing.iter().map(|it| it.what.as_str()).collect();
    let what = format!("{} is recognised, and not how it is started: {}", found.name(), what.join("; "));
    Err(Problem::config(what)
        .code(Code::Unrecognised)
        .hint(format!(
            "these lines of {FILE} would say it; write them, and the same command adds the lines that they lack:\n{}",
            joined(found)
        ))
        .into())
}

/// The lines of all that is missing, each table once, so that they can be written as they are.
fn joined(found: &Recognised) -> String {
    let mut tables: Vec<(&str, Vec<&str>)> = vec![("", Vec::new())];
    for missing in &found.missing {
        let mut at = 0;
        for line in missing.lines.lines() {
            if !line.starts_with('[') {
                tables[at].1.push(line);
                continue;
            }
            at = tables.iter().position(|it| it.0 == line).unwrap_or(tables.len());
            if at == tables.len() {
                tables.push((line, Vec::new()));
            }
        }
    }
    let lines = tables.iter().flat_map(|(header, lines)| std::iter::once(header).chain(lines)).filter(|it| !it.is_empty());
    lines.copied().collect::<Vec<_>>().join("\n")
}

/// Whatever has one of the names, even a link that leads nowhere, stays as it is. Only a Pocdeploy.toml that the user began gets lines.
fn refuse_present(folder: &Path, planned: &[Planned], is_begun: bool) -> Result<()> {
    let names = planned.iter().map(|it| it.path.as_str()).filter(|it| !(is_begun && *it == FILE));
    let present: Vec<&str> = names.filter(|it| folder.join(it).symlink_metadata().is_ok()).collect();
    if present.is_empty() {
        return Ok(());
    }
    let tool = invocation::program();
    let what = format!("these files exist already, and nothing was written:\n{}", present.join("\n"));
    let hint = if present.contains(&FILE) {
        format!("`{tool} create` deploys what {FILE} says. To have the files written again, move these elsewhere first")
    } else {
        format!("move them elsewhere, or look at what would be written with `{tool} init --explain`")
    };
    Err(Problem::new(what).code(Code::WouldOverwrite).hint(hint).into())
}

fn print(text: &str) -> Result<()> {
    std::io::stdout().write_all(text.as_bytes()).context("print what was recognised")
}
