//! The commands: turns flags into an environment and calls the steps of each command. `tasks/` implements the steps.

mod backup;
mod clone;
mod config;
mod create;
mod db;
mod delete;
mod dev;
mod doctor;
mod drill;
mod eject;
mod explain;
mod export;
mod forward;
mod graph;
mod history;
mod init;
pub mod install;
mod instance;
mod logs;
mod ls;
mod patch;
mod pause;
mod plan;
mod programs;
mod report;
mod rollback;
mod sbom;
mod spec;
mod status;
mod support_bundle;
mod surroundings;
mod trust;
mod update;
mod upstream;
mod validate;

use std::{cell::Cell, io::Write as _, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use rustix::{fs::Mode, process::umask};
use serde_json::Value;

use crate::{
    commands::spec::{DryRun, Needs},
    config::{ClusterType, Ingress, Resolved},
    env::{Env, Options},
    errors::{self, Problem},
    flags::{self, Command, ConfigCommand, Db, DbCommand, Flags, Global, Output, Plan, Topic, database::DrillCommand},
    graph::{self as tasks_graph, TaskId},
    invocation,
    lock::{self, Lock},
    provider::provider,
    report::{Event, Report as _, RunEvent, Waiting, hub::Hub, listeners},
    runner, secrets,
    snapshot::WrittenBy,
    tasks,
};

pub use crate::commands::surroundings::surroundings;

/// How long a command waits for another command of the same instance.
const LOCK_LIMIT: Duration = Duration::from_secs(30 * 60);

/// Runs the command in the flags. If a program reads standard output, a failure is also printed there.
pub fn run(flags: Flags) -> Result<()> {
    closed_to_others();
    let hub = Hub::new();
    if flags.global.events {
        listeners::stream(&hub);
    }
    let json = matches!(&flags.command, Command::Create(it) if it.output == Output::Json);
    let result = run_command(&hub, flags);
    hub.run(RunEvent::Ended { error: result.as_ref().err().map(errors::json) });
    match &result {
        Err(error) if json => create::print_failure(&hub.so_far(), error)?,
        _ => {}
    }
    result
}

/// Whatever the umask, other users cannot change what this run and its programs write: the cache has programs that later runs start.
fn closed_to_others() {
    let given = umask(Mode::WOTH);
    umask(given | Mode::WOTH);
}

fn run_command(hub: &Arc<Hub>, flags: Flags) -> Result<()> {
    let Flags { command, global } = flags;
    let spec = command.spec();
    spec.check(&global)?;
    if spec.needs == Needs::Nothing {
        return run_without_project(hub, command, &global);
    }
    if let Command::Create(it) = &command
        && let Some(folder) = surroundings::to_recognise(&global)?
        && !init::before_create(it, &global, &folder)?
    {
        return Ok(());
    }
    let project = match surroundings::project(&global) {
        Err(_) if spec.needs == Needs::AnyFolder && global.project.is_none() => {
            std::env::current_dir().context("find the current folder")?
        }
        found => found?,
    };
    if let Some(name) = &global.name {
        invocation::for_instance(name);
    }
    let (mut resolved, complaint) = match surroundings::configure(&project, &global) {
        Err(error) if spec.needs == Needs::Project => (Resolved::default(), Some(error)),
        Err(_) if spec.needs == Needs::AnyFolder && global.config.is_none() => (Resolved::default(), None),
        resolved => (resolved?, None),
    };
    if let Command::Config(flags::Config { command: ConfigCommand::Show { origin, output } }) = command {
        return config::show(&resolved, origin, output);
    }
    if let Command::Export(flags::exporting::Export { registry: Some(place), .. }) = &command {
        // Nodes of other clusters know it by this name.
        (resolved.config.cluster.registry, resolved.config.cluster.pull_registry) = (Some(place.clone()), None);
    }
    let options = Options {
        yes: global.yes,
        never_ask: global.events || spec.output == Output::Json,
        events: global.events,
        refresh: matches!(&command, Command::Requirements(it) if it.refresh),
        discard: matches!(&command, Command::Patch(it) if it.discard),
        selection: spec.selection(&tasks_graph::of(&resolved.config))?,
        ..Options::default()
    };
    let env = surroundings::environment(hub, &global, project, resolved.config.clone(), options)?;
    match spec.dry_run {
        DryRun::Plan(tasks) if global.dry_run => return plan::run(&env, tasks, &Plan { output: spec.output, ..Plan::default() }),
        DryRun::Own if global.dry_run => return preview(&env, command),
        _ => {}
    }
    // Only one command of the instance at a time, with a message that it starts.
    let _lock = if spec.locks { Some(lock(&env, spec.name)?) } else { None };
    if let Command::Clone(it) = &command {
        return clone::run(&env, &it.new, global.config.as_deref());
    }
    if let Command::Db(Db { command: DbCommand::Backup { every: Some(every) } }) = &command {
        return backup::repeat(&env, *every, global.config.as_deref());
    }
    run_in_project(env, command, &resolved, complaint)
}

/// Commands that need no project, or that find it themselves.
fn run_without_project(hub: &Arc<Hub>, command: Command, global: &Global) -> Result<()> {
    match command {
        Command::Explain(flags::Explain { topic: Some(Topic::Code(code)), output }) => explain::code(code, output),
        Command::Config(_) => config::schema(),
        Command::Install(it) => install::run(&it, global.project.as_deref(), global.dry_run),
        Command::Eject(it) => eject::run(hub, &it, global),
        Command::Init(it) => init::run(&it, global),
        _ => Err(Problem::new("this command needs a project").into()),
    }
}

fn run_in_project(mut env: Env, command: Command, resolved: &Resolved, complaint: Option<anyhow::Error>) -> Result<()> {
    match command {
        Command::Doctor(it) => doctor::run(env, complaint, it.output),
        Command::Sbom(it) => sbom::run(&env, it.to),
        Command::SupportBundle(it) => support_bundle::run(env, resolved, complaint.as_ref(), it.out),
        Command::Plan(it) => plan::run(&env, &[TaskId::Deploy], &it),
        Command::Create(it) => {
            if let Some(path) = &it.plan {
                env.options.selection = plan::selection(&env, path)?;
            }
            create::run(&env, it.output, it.restore.as_deref())
        }
        Command::Update => update::run(&env),
        Command::Dev => dev::run(&env),
        Command::History(it) => history::run(&env, it.output),
        Command::Rollback(it) => rollback::run(&env, it.revision),
        Command::Db(it) => match it.command {
            DbCommand::Snapshot { file, no_verify } => db::take(&env, file, no_verify),
            DbCommand::Backup { .. } => backup::once(&env),
            DbCommand::Ls => db::ls(&env),
            DbCommand::Restore { file, from_pg_dump } => db::restore(&env, &file, writer(from_pg_dump)),
        },
        Command::Drill(it) => match &it.command {
            DrillCommand::Failover(it) => drill::failover(&env, it),
            DrillCommand::Restore(it) => drill::restore::run(&env, it),
        },
        Command::Delete(it) if it.expired => delete::expired::run(&env),
        Command::Delete(it) => delete::run(&env, &it),
        Command::Patch(it) => match &it.command {
            Some(command) => patch::run(&env, command),
            None => target(&env, TaskId::Patch),
        },
        Command::Upstream(it) => upstream::run(&env, &it.command),
        Command::Export(it) => {
            // The files are for clusters with controllers of their own; the tool's stays behind.
            if env.config.cluster.kind == ClusterType::Kind {
                env.config.ingress = Ingress::default();
            }
            export::run(&env, &it)
        }
        Command::Requirements(_) => target(&env, TaskId::Requirements),
        Command::Image(_) => target(&env, TaskId::Image),
        Command::Cluster(_) => target(&env, TaskId::Cluster),
        Command::Load(_) => target(&env, TaskId::Load),
        Command::Operator(_) => target(&env, TaskId::Operator),
        Command::Database(_) => target(&env, TaskId::Database),
        Command::Deploy(_) => create::run(&env, Output::Text, None),
        Command::Report(it) => report::run(&env, &it),
        Command::Validate(it) => validate::run(&env, &it),
        Command::Status(it) => status::run(&env, &it),
        Command::Logs(it) => logs::run(&env, &it),
        Command::Pause(it) => pause::pause(&env, it.rest()),
        Command::Resume => pause::resume(&env),
        Command::Trust => trust::run(&env),
        Command::Url => programs::print_url(&env),
        Command::Open => programs::open(&env),
        Command::Forward(it) => forward::run(&env, &it),
        Command::Psql(it) => programs::psql(&env, &it.arguments),
        Command::Shell(it) => programs::shell(&env, it.part, &it.command),
        Command::Manage(it) => programs::manage(&env, &it.arguments),
        Command::Kubectl(it) => programs::kubectl(&env, &it.arguments),
        Command::Ls(it) => ls::run(&env, it.output),
        Command::Graph(it) => graph::run(&env, it.format()),
        Command::Explain(it) => match it.topic {
            Some(Topic::Task(id)) => explain::run(&env, &[id], it.output),
            _ => explain::run(&env, &env.graph.ids(), it.output),
        },
        // These have run already.
        Command::Clone(_) | Command::Config(_) | Command::Install(_) | Command::Eject(_) | Command::Init(_) => Ok(()),
    }
}

/// `--dry-run` of commands with their own description.
fn preview(env: &Env, command: Command) -> Result<()> {
    match command {
        Command::Delete(it) => delete::preview(env, it.purge, it.output),
        Command::Clone(it) => clone::preview(env, &it.new),
        Command::Drill(it) => match &it.command {
            DrillCommand::Failover(it) => drill::preview(env, it),
            DrillCommand::Restore(it) => drill::restore::preview(env, it),
        },
        Command::Pause(it) => pause::preview(env, if it.keep_memory { "freeze" } else { "stop" }),
        Command::Resume => pause::preview(env, "start"),
        Command::Rollback(it) => rollback::preview(env, it.revision),
        Command::Export(it) => export::preview(env, &it),
        Command::Db(it) => match it.command {
            DbCommand::Snapshot { file, .. } => db::preview_snapshot(env, file),
            DbCommand::Restore { file, from_pg_dump } => db::preview_restore(env, &file, writer(from_pg_dump)),
            DbCommand::Backup { .. } => backup::preview(env),
            DbCommand::Ls => Ok(()),
        },
        Command::Patch(flags::patches::Patch { command: Some(it), .. }) => patch::preview(env, &it),
        Command::Upstream(it) => upstream::preview(env, &it.command),
        _ => Ok(()),
    }
}

/// Runs work outside the graph, and reports it like a task.
fn reported(env: &Env, task: TaskId, reason: &str, work: impl FnOnce() -> Result<String>) -> Result<()> {
    env.report.event(task, Event::Started { reason: reason.to_owned() });
    let result = work();
    env.report.event(
        task,
        match &result {
            Ok(text) => Event::Done { text: text.clone() },
            Err(error) => Event::Failed { text: format!("{error:#}").lines().next().unwrap_or_default().to_owned() },
        },
    );
    result.map(|_| ())
}

/// Prints the command's result on standard output: one line, or with `--events` the object in an event.
fn answer(env: &Env, line: &str, object: impl FnOnce() -> Value) -> Result<()> {
    if env.options.events {
        env.report.run(RunEvent::Result { result: object() });
        return Ok(());
    }
    writeln!(std::io::stdout(), "{line}").context("print the result")
}

/// Runs the task and all its needs.
fn target(env: &Env, task: TaskId) -> Result<()> {
    if task == TaskId::Cluster {
        // An unsupported kind of cluster is reported before anything happens.
        provider(env).check(env)?;
    }
    if env.graph.reached(&[task]).contains(&TaskId::Deploy) {
        secrets::read(env)?;
    }
    runner::run(env, &tasks::task, &[task])?;
    Ok(())
}

/// The program that wrote the file to restore, by the flag.
fn writer(from_pg_dump: bool) -> WrittenBy {
    if from_pg_dump { WrittenBy::PgDump } else { WrittenBy::Snapshot }
}

/// Locks the instance while a command changes it.
fn lock(env: &Env, command: &str) -> Result<Lock> {
    let path = env.work("lock");
    let logs = env.runs().join(env.run_id());
    env.report.run(RunEvent::Began {
        run: env.run_id().to_owned(),
        command: command.to_owned(),
        time: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        logs: logs.strip_prefix(&env.project).unwrap_or(&logs).display().to_string(),
    });
    env.keep_out_of_git()?;
    // This wait may take minutes, so it is reported at once.
    let told = Cell::new(false);
    let waiting = |it: Waiting| {
        if !told.replace(true) {
            env.note(TaskId::Engine, it.to_string());
        }
        env.waiting(TaskId::Engine, it);
    };
    lock::acquire(&path, "another command of this instance", LOCK_LIMIT, &env.interrupt, waiting)
}
