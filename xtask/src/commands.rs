//! The commands: flags become an environment, then a page of calls. What a step does is in `tasks/`.

mod config;
mod create;
mod delete;
mod explain;
mod graph;
mod history;
mod ls;
mod plan;
mod rollback;
mod test;
mod update;

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};

use crate::{
    config::{Config, FILE, Origin, Resolved},
    env::{Env, Options, find_project},
    errors::{Exit, Problem},
    flags::{Command, ConfigCommand, Flags, Global, Output},
    graph::TaskId,
    lock,
    provider::provider,
    report::{Lines, Verbosity},
    runner, tasks,
};

/// Another run of the same instance is waited for this long.
const LOCK_LIMIT: Duration = Duration::from_secs(30 * 60);

/// Runs the command of the flags.
pub fn run(flags: Flags) -> Result<()> {
    let project = match &flags.global.project {
        Some(dir) => dir.canonicalize().map_err(|error| Problem::config(format!("--project {}: {error}", dir.display())))?,
        None => find_project(&std::env::current_dir().context("find the current folder")?)?,
    };
    let resolved = configure(&project, &flags.global)?;
    if let Command::Config(it) = &flags.command {
        let ConfigCommand::Show { origin } = it.command;
        return config::show(&resolved, origin);
    }
    let config = resolved.config;
    let verbosity = match (flags.global.quiet, flags.global.verbose) {
        (true, _) => Verbosity::Quiet,
        (_, true) => Verbosity::Verbose,
        _ => Verbosity::Normal,
    };
    let refresh = matches!(&flags.command, Command::Requirements(it) if it.refresh);
    let yes = flags.global.yes || matches!(flags.command, Command::Test);
    let options = Options { yes, refresh, named: flags.global.name.is_some() };
    let env = Env::new(project, config, options, Arc::new(Lines::stderr(verbosity)))?;
    if flags.global.dry_run {
        return preview(&env, &flags.command);
    }
    match flags.command {
        Command::Plan(it) => plan::run(&env, &[TaskId::Deploy], it.detailed_exitcode),
        Command::Create(it) => locked(&env, "create", || create::run(&env, it.output)),
        Command::Update => locked(&env, "update", || update::run(&env)),
        Command::History(it) => history::run(&env, it.output),
        Command::Rollback(it) => locked(&env, "rollback", || rollback::run(&env, it.revision)),
        Command::Delete(delete) => locked(&env, "delete", || delete::run(&env, delete.purge)),
        Command::Patch => locked(&env, "patch", || targets(&env, &[TaskId::Patch])),
        Command::Requirements(_) => locked(&env, "requirements", || targets(&env, &[TaskId::Requirements])),
        Command::Image => locked(&env, "image", || targets(&env, &[TaskId::Image])),
        Command::Cluster => locked(&env, "cluster", || targets(&env, &[TaskId::Cluster])),
        Command::Deploy => locked(&env, "deploy", || create::run(&env, Output::Text)),
        Command::Ls => ls::run(&env),
        Command::Graph(it) => graph::run(&env, it.format),
        Command::Explain(it) => explain::run(&env, it.task),
        // Answered before there is anything to run.
        Command::Config(_) => Ok(()),
        Command::Test => test::run(&env),
    }
}

/// `--dry-run` of a command that changes something; the others change nothing anyway.
fn preview(env: &Env, command: &Command) -> Result<()> {
    let target = match command {
        Command::Delete(delete) => return delete::preview(env, delete.purge),
        Command::Patch => TaskId::Patch,
        Command::Requirements(_) => TaskId::Requirements,
        Command::Image => TaskId::Image,
        Command::Cluster => TaskId::Cluster,
        Command::Create(_) | Command::Update | Command::Deploy | Command::Plan(_) => TaskId::Deploy,
        Command::Rollback(it) => return rollback::preview(env, it.revision),
        Command::Test | Command::Ls | Command::History(_) | Command::Graph(_) | Command::Explain(_) | Command::Config(_) => {
            return Err(Problem { exit: Exit::Usage, ..Problem::new("--dry-run is for commands that change something") }.into());
        }
    };
    plan::run(env, &[target], false)
}

/// Flags over variables over the file over the defaults.
fn configure(project: &Path, flags: &Global) -> Result<Resolved> {
    let path = match &flags.config {
        Some(path) if !path.is_file() => {
            return Err(Problem::config(format!("--config {}: there is no such file", path.display())).into());
        }
        Some(path) => path.clone(),
        None => project.join(FILE),
    };
    let mut resolved = Config::read(&path)?;
    if let Some(kind) = flags.cluster_type {
        resolved.config.cluster.kind = kind;
        resolved.origins.insert("cluster.type".to_owned(), Origin::Flag("--type"));
    }
    if let Some(name) = &flags.name {
        resolved.config.name = Some(name.clone());
        resolved.origins.insert("name".to_owned(), Origin::Flag("--name"));
        resolved.config.check()?;
    }
    Ok(resolved)
}

fn targets(env: &Env, targets: &[TaskId]) -> Result<()> {
    if targets.contains(&TaskId::Cluster) {
        // A kind of cluster that is not there yet says so before anything happens.
        provider(env)?;
    }
    runner::run(env, &tasks::task, targets)?;
    Ok(())
}

fn locked(env: &Env, command: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let path = env.work("lock");
    let purpose = format!("cargo xtask {command}");
    let waiting = |holder: &str| env.note(TaskId::Engine, format!("waiting for another run of this instance: {holder}"));
    let _lock = lock::acquire(&path, &purpose, LOCK_LIMIT, &env.interrupt, waiting)?;
    work()
}
