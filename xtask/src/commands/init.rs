//! `init`: looks at an application and writes what a deployment of it needs. The source is never edited, and nothing is overwritten.
//!
//! `create` does the same first where a folder has no Pocdeploy.toml, so that both make the same decisions and say them in the same words.

use std::{
    fs,
    io::{IsTerminal as _, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::{
    config::FILE,
    errors::{Code, Problem},
    flags::{Create, Global, Init, Output},
    invocation,
    recognise::{self, Recognised, Stack},
    scaffold::{self, Planned},
};

pub(crate) fn run(flags: &Init, project: Option<&Path>, dry_run: bool) -> Result<()> {
    let folder = folder(project)?;
    let found = recognise::recognise(&folder)?.ok_or_else(|| unrecognised(&nothing_in(&folder)))?;
    let mut out = told(&found);
    if flags.explain {
        out.push_str("\nWhat was looked at:\n");
        found.signals.iter().for_each(|it| out.push_str(&format!("  {it}\n")));
        return print(&out);
    }
    stops(&found)?;
    let planned = scaffold::files(&folder, &found)?;
    refuse_present(&folder, &planned)?;
    if !dry_run {
        write(&folder, &planned)?;
    }
    out.push_str(&listed(&planned, !dry_run));
    if !dry_run {
        out.push_str(&format!("\nNext: {} create\n", invocation::program()));
    }
    print(&out)
}

/// The first step of `create` in a folder without a Pocdeploy.toml. Everything is said on standard error, since the URL alone is on standard
/// output. Returns whether the files are there now; a dry run ends without them.
///
/// # Errors Nothing is recognised, files would be overwritten, or there is no consent. Nothing was changed then.
pub(super) fn before_create(flags: &Create, global: &Global, folder: &Path) -> Result<bool> {
    let found = recognise::recognise(folder)?
        .ok_or_else(|| unrecognised(&format!("there is no {FILE} here or above, and {}", nothing_in(folder))))?;
    let say =
        |text: &str| if global.quiet { Ok(()) } else { std::io::stderr().write_all(text.as_bytes()).context("say what was recognised") };
    say(&told(&found))?;
    stops(&found)?;
    let planned = scaffold::files(folder, &found)?;
    refuse_present(folder, &planned)?;
    if global.dry_run {
        say(&listed(&planned, false))?;
        return Ok(false);
    }
    if !global.yes {
        let can_ask = !global.events && flags.output == Output::Text && std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        if !can_ask || !agreed(&planned)? {
            return Err(without_consent(folder, &planned));
        }
    }
    write(folder, &planned)?;
    say(&format!("{}\n", listed(&planned, true)))?;
    Ok(true)
}

/// Asks on the terminal. Ctrl-C ends the program here, before anything was written.
fn agreed(planned: &[Planned]) -> Result<bool> {
    let question = format!("{}\nWrite these files, and deploy? [y/N] ", listed(planned, false));
    std::io::stderr().write_all(question.as_bytes()).context("ask")?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).context("read the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn without_consent(folder: &Path, planned: &[Planned]) -> anyhow::Error {
    let tool = invocation::program();
    let names: Vec<&str> = planned.iter().map(|it| it.path.as_str()).collect();
    Problem::requirement(format!("create would write {} into {}: not done without consent", names.join(", "), folder.display()))
        .code(Code::NoConsent)
        .hint(format!("`{tool} create --yes` writes them and deploys; `{tool} init` writes them only"))
        .into()
}

fn listed(planned: &[Planned], is_written: bool) -> String {
    let names: String = planned.iter().map(|it| format!("  {}\n", it.path)).collect();
    format!("\n{}:\n{names}", if is_written { "Written" } else { "Would be written" })
}

fn folder(project: Option<&Path>) -> Result<PathBuf> {
    let here = std::env::current_dir().context("find the current folder")?;
    let folder = project.map_or(here, Path::to_owned);
    folder.canonicalize().map_err(|error| Problem::usage(format!("--project {}: {error}", folder.display())).into())
}

/// What was recognised and why, what was assumed, what is missing.
fn told(found: &Recognised) -> String {
    let mut out = wrapped(&found.summary(), "");
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
    Problem::config(what.to_owned())
        .code(Code::Unrecognised)
        .hint("write a Dockerfile, or change into the application's own folder; then Pocdeploy.toml needs these lines:\n[frontend]\npath = \".\"\ndockerfile = \"Dockerfile\"")
        .into()
}

/// Without a start command nothing could be deployed: wrong files would only hide it.
fn stops(found: &Recognised) -> Result<()> {
    let needs_start = match found.stack {
        Stack::Dockerfile | Stack::Site => false,
        Stack::Node => found.framework != recognise::Framework::Site,
        _ => true,
    };
    if found.start.is_some() || !needs_start {
        return Ok(());
    }
    let what: Vec<&str> = found.missing.iter().map(|it| it.what.as_str()).collect();
    let lines: Vec<&str> = found.missing.iter().map(|it| it.lines.as_str()).collect();
    let what = format!("{} is recognised, and not how it is started: {}", found.name(), what.join("; "));
    Err(Problem::config(what)
        .code(Code::Unrecognised)
        .hint(format!("these lines of Pocdeploy.toml would say it:\n{}", lines.join("\n")))
        .into())
}

/// Whatever has one of the names, even a link that leads nowhere, stays as it is.
fn refuse_present(folder: &Path, planned: &[Planned]) -> Result<()> {
    let present: Vec<&str> = planned.iter().map(|it| it.path.as_str()).filter(|it| folder.join(it).symlink_metadata().is_ok()).collect();
    if present.is_empty() {
        return Ok(());
    }
    let what = format!("these are there already, and nothing was written:\n{}", present.join("\n"));
    let hint = format!("move them away, or look at what would be written with {} init --explain", invocation::program());
    Err(Problem::new(what).code(Code::WouldOverwrite).hint(hint).into())
}

/// All files or none: each is written beside its place first, and what was placed goes again when a later one fails.
fn write(folder: &Path, planned: &[Planned]) -> Result<()> {
    let mut folders: Vec<PathBuf> = Vec::new();
    let mut placed: Vec<PathBuf> = Vec::new();
    let result = place(folder, planned, &mut folders, &mut placed);
    if result.is_err() {
        for path in &placed {
            fs::remove_file(path).ok();
        }
        // Only those that were made here, and are empty again.
        for path in folders.iter().rev() {
            fs::remove_dir(path).ok();
        }
    }
    result
}

fn place(folder: &Path, planned: &[Planned], folders: &mut Vec<PathBuf>, placed: &mut Vec<PathBuf>) -> Result<()> {
    let mut ready = Vec::new();
    for file in planned {
        let target = folder.join(&file.path);
        let parent = target.parent().unwrap_or(folder);
        let mut absent: Vec<&Path> = parent.ancestors().take_while(|it| !it.exists()).collect();
        while let Some(path) = absent.pop() {
            fs::create_dir(path).with_context(|| format!("make {}", path.display()))?;
            folders.push(path.to_owned());
        }
        let mut part = tempfile::Builder::new()
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .tempfile_in(parent)
            .with_context(|| format!("write {}", target.display()))?;
        part.write_all(file.text.as_bytes()).with_context(|| format!("write {}", target.display()))?;
        ready.push((part, target));
    }
    for (part, target) in ready {
        part.persist_noclobber(&target).with_context(|| format!("write {}", target.display()))?;
        placed.push(target);
    }
    Ok(())
}

fn print(text: &str) -> Result<()> {
    std::io::stdout().write_all(text.as_bytes()).context("print what was recognised")
}
