//! `install`: installs a program `pocdeploy` with `deploy/` and `build/` embedded, and completions for three shells; and removes them.
//!
//! It copies the running program. A release build would take minutes, and would not be noticeably faster, since the tool mostly waits.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::{
    embedded,
    env::{cache_dir, find_project},
    errors::{Code, Problem},
    files::EMBEDDED,
    flags::Install,
    record, tool,
};

/// The environment variable with which a shell requests completions.
pub const COMPLETE: &str = "POCDEPLOY_COMPLETE";

/// The installed program's name.
const PROGRAM: &str = "pocdeploy";
/// The embedded folders.
const FOLDERS: [&str; 2] = ["build", "deploy"];
/// The first line of our completion files, to distinguish them from other files.
const HEAD: &str = "# Written by `pocdeploy install`, removed by `install --uninstall`.";

pub(crate) fn run(flags: &Install, project: Option<&Path>, dry_run: bool) -> Result<()> {
    let program = root(flags)?.join("bin").join(PROGRAM);
    let completions = completions(&program)?;
    if program.exists() && !embedded::has_files(&program) {
        let what = format!("{} is another program with this name; it was not changed", program.display());
        return Err(Problem::new(what).code(Code::NotOurs).hint("install into another place with --root DIR").into());
    }
    if flags.uninstall {
        return uninstall(&program, &completions, dry_run);
    }
    let running = std::env::current_exe().context("find the running program")?;
    let archive = match embedded::archive(&running)? {
        Some(archive) => archive,
        None => {
            let checkout = project.map_or_else(|| find_project(Path::new(".")), |it| Ok(it.to_owned()))?;
            embedded::pack(&checkout, &FOLDERS)?
        }
    };
    if let Some((path, _)) = completions.iter().find(|(path, _)| path.exists() && !is_ours(path)) {
        let what = format!("{} was not written by this tool; it was not changed, and nothing was installed", path.display());
        return Err(Problem::new(what).code(Code::NotOurs).hint("move it away, or remove it").into());
    }
    if !dry_run {
        embedded::write(&running, &archive, &program)?;
        for (path, text) in &completions {
            record::write_file(path, text.as_bytes())?;
        }
    }
    tell(std::iter::once(&program).chain(completions.iter().map(|(path, _)| path)))?;
    let hints = hints(&program, &completions);
    std::io::stderr().write_all(hints.as_bytes()).context("say what is left to do")
}

/// Removes our files. A missing file counts as done; a file of another program is kept.
fn uninstall(program: &PathBuf, completions: &[(PathBuf, String)], dry_run: bool) -> Result<()> {
    let ours = completions.iter().map(|(path, _)| path).filter(|path| is_ours(path));
    let files: Vec<&PathBuf> = std::iter::once(program).filter(|it| it.exists()).chain(ours).collect();
    let embedded = cache_dir()?.join(EMBEDDED);
    if !dry_run {
        for path in &files {
            fs::remove_file(path).with_context(|| format!("remove {}", path.display()))?;
        }
        if embedded.exists() {
            fs::remove_dir_all(&embedded).with_context(|| format!("remove {}", embedded.display()))?;
        }
    }
    tell(files.into_iter())
}

fn tell<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> Result<()> {
    let lines: String = paths.map(|it| format!("{}\n", it.display())).collect();
    std::io::stdout().write_all(lines.as_bytes()).context("print the paths")
}

fn root(flags: &Install) -> Result<PathBuf> {
    if let Some(root) = &flags.root {
        return std::path::absolute(root).with_context(|| format!("--root {}", root.display()));
    }
    match std::env::var_os("CARGO_HOME").filter(|it| !it.is_empty()) {
        Some(home) => Ok(PathBuf::from(home)),
        None => Ok(home()?.join(".cargo")),
    }
}

fn home() -> Result<PathBuf> {
    let home = std::env::var_os("HOME").filter(|it| !it.is_empty()).map(PathBuf::from);
    home.ok_or_else(|| Problem::requirement("there is no HOME to install completions in").hint("set HOME to your home folder").into())
}

/// The path and content of each shell's completion file. The file calls the program, so completions always match it.
fn completions(program: &Path) -> Result<Vec<(PathBuf, String)>> {
    let folder = |name: &str, usual: &str| -> Result<PathBuf> {
        match std::env::var_os(name).filter(|it| !it.is_empty()) {
            Some(dir) => Ok(PathBuf::from(dir)),
            None => Ok(home()?.join(usual)),
        }
    };
    let data = folder("XDG_DATA_HOME", ".local/share")?;
    let config = folder("XDG_CONFIG_HOME", ".config")?;
    let quoted = format!("'{}'", program.display().to_string().replace('\'', "'\\''"));
    Ok(vec![
        (data.join("bash-completion/completions").join(PROGRAM), format!("{HEAD}\nsource <({COMPLETE}=bash {quoted})\n")),
        (
            data.join("zsh/site-functions").join(format!("_{PROGRAM}")),
            format!("#compdef {PROGRAM}\n{HEAD}\nsource <({COMPLETE}=zsh {quoted})\n_clap_dynamic_completer_{PROGRAM} \"$@\"\n"),
        ),
        (config.join("fish/completions").join(format!("{PROGRAM}.fish")), format!("{HEAD}\n{COMPLETE}=fish {quoted} | source\n")),
    ])
}

fn is_ours(path: &Path) -> bool {
    fs::read_to_string(path).is_ok_and(|text| text.contains(HEAD))
}

/// Instructions for the user, since the tool never edits a shell's start-up files.
fn hints(program: &Path, completions: &[(PathBuf, String)]) -> String {
    let folder = program.parent().unwrap_or(Path::new("/"));
    let mut out = String::new();
    let on_path = std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|it| it == folder));
    if !on_path {
        out.push_str(&format!("\n{} is not on your PATH\n", folder.display()));
    }
    if tool::find("zsh").is_some()
        && let Some(folder) = completions.get(1).and_then(|(path, _)| path.parent())
    {
        out.push_str(&format!("\nzsh finds its completions with this line before compinit: fpath=({} $fpath)\n", folder.display()));
    }
    out
}
