//! From the global flags to an environment: project, configuration, listeners.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result};

use crate::{
    config::{Config, FILE, Origin, Resolved},
    env::{Env, Options, find_project, is_outside},
    errors::{Code, Problem},
    flags::Global,
    layout::{self, WORK},
    report::{
        Verbosity,
        hub::Hub,
        listeners::{self, Places, Wanted},
    },
};

/// The environment of a command that needs a project and a valid configuration.
pub fn surroundings(hub: &Arc<Hub>, flags: &Global, options: Options) -> Result<Env> {
    let project = project(flags)?;
    let config = configure(&project, flags)?.config;
    environment(hub, flags, project, config, options)
}

/// The folder in `--project`, or else the nearest project upwards.
pub(super) fn project(flags: &Global) -> Result<PathBuf> {
    match &flags.project {
        Some(dir) => dir
            .canonicalize()
            .map_err(|error| Problem::config(format!("--project {}: {error}", dir.display())).code(Code::NoProject).into()),
        None => find_project(&std::env::current_dir().context("find the current folder")?),
    }
}

/// The folder to recognise an application in: that of `--project`, the project's, or the current one, if it is in no project. `None`: a
/// file of another place is the configuration.
pub(super) fn to_recognise(flags: &Global) -> Result<Option<PathBuf>> {
    if flags.config.is_some() {
        return Ok(None);
    }
    let here = std::env::current_dir().context("find the current folder")?;
    let folder = if flags.project.is_none() && is_outside(&here) { here } else { project(flags)? };
    Ok(Some(folder).filter(|it| it.is_dir()))
}

/// Flags override variables, variables override the file, the file overrides the defaults.
pub(super) fn configure(project: &Path, flags: &Global) -> Result<Resolved> {
    let path = match &flags.config {
        Some(path) if !path.exists() => {
            return Err(Problem::config(format!("--config {}: there is no such file", path.display())).code(Code::NoProject).into());
        }
        Some(path) => path.clone(),
        None => project.join(FILE),
    };
    let mut resolved = Config::read(&path, project)?;
    if let Some(kind) = flags.cluster_type {
        resolved.config.cluster.kind = kind;
        resolved.origins.insert("cluster.type".to_owned(), Origin::Flag("--type"));
        if kind.is_cloud() {
            resolved.config.check()?;
        }
    }
    if let Some(name) = &flags.name {
        resolved.config.name = Some(name.clone());
        resolved.origins.insert("name".to_owned(), Origin::Flag("--name"));
        resolved.config.check()?;
    }
    Ok(resolved)
}

/// An error if a link leads the tool's own folder, or a folder in it, elsewhere: a command would write and remove files there.
fn refuse_link(env: &Env) -> Result<()> {
    let own = env.runs().parent().map(Path::to_owned);
    let Some(link) = [Some(env.project.join(WORK)), own].into_iter().flatten().find_map(|it| layout::link(&it)) else { return Ok(()) };
    let what = format!("{} is a symbolic link, and the tool writes to no folder but its own", link.display());
    let hint =
        format!("remove the link: rm {}\nto keep the files on another disk, make a link of the whole folder `target`", link.display());
    Err(Problem::new(what).code(Code::NotAllowed).hint(hint).into())
}

/// The environment. Attaches the listeners for the flags and the terminal to the hub. Changes nothing yet.
pub(super) fn environment(hub: &Arc<Hub>, flags: &Global, project: PathBuf, config: Config, options: Options) -> Result<Env> {
    let options = Options { named: flags.name.is_some(), timeout: flags.timeout, ..options };
    let env = Env::new(project, config, options, hub.clone())?;
    refuse_link(&env)?;
    let verbosity = match (flags.quiet, flags.verbose) {
        (true, _) => Verbosity::Quiet,
        (_, true) => Verbosity::Verbose,
        _ => Verbosity::Normal,
    };
    let places = Places { runs: env.runs(), run: env.runs().join(env.run_id()), link: env.work("log") };
    listeners::attach(hub, Wanted { colour: flags.color, verbosity }, places);
    Ok(env)
}
