//! `eject`: writes the files embedded in an installed program into the project, so that users can change them.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::{
    config::Service,
    embedded::{self, Embedded},
    env::find_project,
    errors::{Code, Problem},
    flags::Eject,
    invocation, record,
};

pub(crate) fn run(flags: &Eject, project: Option<&Path>, dry_run: bool) -> Result<()> {
    let here = std::env::current_dir().context("find the current folder")?;
    let project = project.map_or_else(|| find_project(&here).unwrap_or(here), Path::to_owned);
    let Some(archive) = embedded::archive(&std::env::current_exe().context("find the running program")?)? else {
        let what = "this program has no embedded files: in a checkout they are in deploy/ and build/";
        return Err(Problem::usage(what).into());
    };
    let (chosen, generated) = choose(embedded::files(&archive)?, &flags.paths)?;
    let differing: Vec<String> = chosen.iter().filter(|it| differs(&project, it)).map(|it| it.path.display().to_string()).collect();
    if !differing.is_empty() && !flags.force {
        let what = format!("existing files have other content; nothing was written:\n{}", differing.join("\n"));
        return Err(Problem::new(what).code(Code::WouldOverwrite).hint("name other files, or overwrite these with --force").into());
    }
    let mut out = String::new();
    for file in chosen {
        let target = project.join(&file.path);
        if !dry_run {
            record::write_file(&target, &file.content)?;
            let mode = if file.executable { 0o755 } else { 0o644 };
            fs::set_permissions(&target, fs::Permissions::from_mode(mode)).with_context(|| format!("write {}", target.display()))?;
        }
        out.push_str(&format!("{}\n", target.display()));
    }
    for path in generated {
        let text = format!("skipped: {}, which `{} requirements` writes\n", path.display(), invocation::program());
        std::io::stderr().write_all(text.as_bytes()).ok();
    }
    std::io::stdout().write_all(out.as_bytes()).context("print the paths")
}

/// The files to write, and skipped generated files: all files, or those below the given paths. Each path must match a file. A generated
/// file belongs to one application, so it is written only if it is named itself.
fn choose(all: Vec<Embedded>, paths: &[PathBuf]) -> Result<(Vec<Embedded>, Vec<PathBuf>)> {
    if let Some(path) = paths.iter().find(|path| !all.iter().any(|it| it.path.starts_with(path))) {
        let what = format!("no embedded file is {} or below it", path.display());
        let hint = format!("`{} eject --dry-run` lists them", invocation::program());
        return Err(Problem::usage(what).hint(hint).into());
    }
    let is_chosen = |it: &Embedded| paths.is_empty() || paths.iter().any(|path| it.path.starts_with(path));
    let generated = Service::default().requirements;
    let is_passed_over = |it: &Embedded| it.path == generated && !paths.contains(&it.path);
    let (passed_over, chosen): (Vec<Embedded>, Vec<Embedded>) = all.into_iter().filter(is_chosen).partition(is_passed_over);
    Ok((chosen, passed_over.into_iter().map(|it| it.path).collect()))
}

fn differs(project: &Path, file: &Embedded) -> bool {
    fs::read(project.join(&file.path)).is_ok_and(|present| present != file.content)
}
