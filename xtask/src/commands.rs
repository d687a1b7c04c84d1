//! The commands: flags become an environment, then a page of calls. What a step does is in `tasks/`.

mod config;
mod create;
mod db;
mod delete;
mod dev;
mod doctor;
mod eject;
mod explain;
mod forward;
mod graph;
mod history;
mod inside;
pub mod install;
mod instance;
mod logs;
mod ls;
mod plan;
mod report;
mod rollback;
mod status;
mod support_bundle;
mod surroundings;
mod update;
mod validate;

use std::{io::Write as _, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{
    called,
    config::Resolved,
    env::{Env, Options},
    errors::{self, Problem},
    flags::{self, Command, ConfigCommand, DbCommand, Flags, Output, Plan, Topic},
    graph::{self as tasks_graph, Extent, Graph, TaskId},
    lock::{self, Lock},
    provider::provider,
    report::{Event, Report as _, RunEvent, choose, hub::Hub},
    runner,
    snapshot::WrittenBy,
    tasks,
};

pub use crate::commands::surroundings::surroundings;

/// Another run of the same instance is waited for this long.
const LOCK_LIMIT: Duration = Duration::from_secs(30 * 60);

/// Runs the command of the flags. Where a program reads, a failure is told on standard output too.
pub fn run(flags: Flags) -> Result<()> {
    let hub = Hub::new();
    if flags.global.events {
        choose::stream(&hub);
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

fn run_command(hub: &Arc<Hub>, flags: Flags) -> Result<()> {
    // Answered without a project: the code may be that of a broken configuration.
    if let Command::Explain(flags::Explain { topic: Some(Topic::Code(code)), output }) = flags.command {
        return explain::code(code, output);
    }
    // Likewise: it helps to mend one.
    if matches!(&flags.command, Command::Config(it) if matches!(it.command, ConfigCommand::Schema)) {
        return config::schema();
    }
    if flags.global.events && (flags.global.dry_run || only_looks(&flags.command)) {
        return Err(usage("--events is for commands that change something"));
    }
    // An installed program needs no project for these.
    match &flags.command {
        Command::Install(it) => return install::run(it, flags.global.project.as_deref(), flags.global.dry_run),
        Command::Eject(it) => return eject::run(it, flags.global.project.as_deref(), flags.global.dry_run),
        _ => {}
    }
    let project = match surroundings::project(&flags.global) {
        // All instances of the machine are the same from everywhere.
        Err(_) if matches!(flags.command, Command::Ls(_)) && flags.global.project.is_none() => {
            std::env::current_dir().context("find the current folder")?
        }
        found => found?,
    };
    if let Some(name) = &flags.global.name {
        called::for_instance(name);
    }
    let (resolved, complaint) = match surroundings::configure(&project, &flags.global) {
        // It tells what is wrong, and goes on with the defaults.
        Err(error) if matches!(flags.command, Command::Doctor(_) | Command::SupportBundle(_)) => (Resolved::default(), Some(error)),
        // It needs no setting.
        Err(_) if matches!(flags.command, Command::Ls(_)) && flags.global.config.is_none() => (Resolved::default(), None),
        resolved => (resolved?, None),
    };
    if let Command::Config(it) = &flags.command
        && let ConfigCommand::Show { origin, output } = it.command
    {
        return config::show(&resolved, origin, output);
    }
    let config = resolved.config.clone();
    let refresh = matches!(&flags.command, Command::Requirements(it) if it.refresh);
    let events = flags.global.events;
    let options = Options {
        yes: flags.global.yes,
        never_ask: events || flags.command.output() == Output::Json,
        events,
        refresh,
        extent: extent(&tasks_graph::graph(config.cluster.kind), &flags.command)?,
        ..Options::default()
    };
    let mut env = surroundings::environment(hub, &flags.global, project, config, options)?;
    if flags.global.dry_run {
        return preview(&env, &flags.command);
    }
    match flags.command {
        Command::Doctor(it) => doctor::run(env, complaint, it.output),
        Command::SupportBundle(it) => support_bundle::run(env, &resolved, complaint.as_ref(), it.out),
        Command::Plan(it) => plan::run(&env, &[TaskId::Deploy], &it),
        Command::Create(it) => {
            let _lock = lock(&env, "create")?;
            if let Some(path) = &it.plan {
                env.options.extent = plan::extent(&env, path)?;
            }
            create::run(&env, it.output, it.restore.as_deref())
        }
        Command::Update => locked(&env, "update", || update::run(&env)),
        Command::Dev => locked(&env, "dev", || dev::run(&env)),
        Command::History(it) => history::run(&env, it.output),
        Command::Rollback(it) => locked(&env, "rollback", || rollback::run(&env, it.revision)),
        Command::Db(it) => match it.command {
            DbCommand::Snapshot { file, no_verify } => locked(&env, "db snapshot", || db::take(&env, file, no_verify)),
            DbCommand::Ls => db::ls(&env),
            DbCommand::Restore { file, from_pg_dump } => {
                let writer = if from_pg_dump { WrittenBy::PgDump } else { WrittenBy::Snapshot };
                locked(&env, "db restore", || db::restore(&env, &file, writer))
            }
        },
        Command::Delete(it) => locked(&env, "delete", || delete::run(&env, it.purge, it.output)),
        Command::Patch(_) => locked(&env, "patch", || targets(&env, &[TaskId::Patch])),
        Command::Requirements(_) => locked(&env, "requirements", || targets(&env, &[TaskId::Requirements])),
        Command::Image(_) => locked(&env, "image", || targets(&env, &[TaskId::Image])),
        Command::Cluster(_) => locked(&env, "cluster", || targets(&env, &[TaskId::Cluster])),
        Command::Load(_) => locked(&env, "load", || targets(&env, &[TaskId::Load])),
        Command::Operator(_) => locked(&env, "operator", || targets(&env, &[TaskId::Operator])),
        Command::Database(_) => locked(&env, "database", || targets(&env, &[TaskId::Database])),
        Command::Deploy(_) => locked(&env, "deploy", || create::run(&env, Output::Text, None)),
        Command::Report(it) => report::run(&env, &it),
        Command::Validate(it) => validate::run(&env, &it),
        Command::Status(it) => status::run(&env, &it),
        Command::Logs(it) => logs::run(&env, &it),
        Command::Url => inside::print_url(&env),
        Command::Open => inside::open(&env),
        Command::Forward(it) => forward::run(&env, &it),
        Command::Psql(it) => inside::psql(&env, &it.arguments),
        Command::Shell(it) => inside::shell(&env, it.part, &it.command),
        Command::Manage(it) => inside::manage(&env, &it.arguments),
        Command::Kubectl(it) => inside::kubectl(&env, &it.arguments),
        Command::Ls(it) => ls::run(&env, it.output),
        Command::Graph(it) => graph::run(&env, it.format()),
        Command::Explain(it) => match it.topic {
            Some(Topic::Task(id)) => explain::run(&env, &[id], it.output),
            _ => explain::run(&env, &env.graph.ids(), it.output),
        },
        // Answered before there is anything to run.
        Command::Config(_) | Command::Install(_) | Command::Eject(_) => Ok(()),
    }
}

/// Work that is no task of the graph, told like one.
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

/// The command's result on standard output: one line, or with `--events` the object as one of the events.
fn answer(env: &Env, line: &str, object: impl FnOnce() -> Value) -> Result<()> {
    if env.options.events {
        env.report.run(RunEvent::Result { result: object() });
        return Ok(());
    }
    writeln!(std::io::stdout(), "{line}").context("print the result")
}

/// Commands that change nothing: what they print is data.
fn only_looks(command: &Command) -> bool {
    let changes = target(command).is_some() || matches!(command, Command::Delete(_) | Command::Rollback(_));
    let changes = changes || matches!(command, Command::Db(it) if !matches!(it.command, DbCommand::Ls));
    !changes || matches!(command, Command::Plan(_))
}

/// `--dry-run` of a command that changes something; the others change nothing anyway.
fn preview(env: &Env, command: &Command) -> Result<()> {
    if let Command::Delete(it) = command {
        return delete::preview(env, it.purge, it.output);
    }
    if let Command::Rollback(it) = command {
        return rollback::preview(env, it.revision);
    }
    let Some(target) = target(command) else { return Err(usage("--dry-run is for commands that change something")) };
    plan::run(env, &[target], &Plan { output: command.output(), ..Plan::default() })
}

/// The task that a command ends with.
fn target(command: &Command) -> Option<TaskId> {
    match command {
        Command::Patch(_) => Some(TaskId::Patch),
        Command::Requirements(_) => Some(TaskId::Requirements),
        Command::Image(_) => Some(TaskId::Image),
        Command::Cluster(_) => Some(TaskId::Cluster),
        Command::Load(_) => Some(TaskId::Load),
        Command::Operator(_) => Some(TaskId::Operator),
        Command::Database(_) => Some(TaskId::Database),
        Command::Create(_) | Command::Update | Command::Deploy(_) | Command::Plan(_) => Some(TaskId::Deploy),
        _ => None,
    }
}

/// How much of the graph the flags let run.
fn extent(graph: &Graph, command: &Command) -> Result<Extent> {
    let (only, from) = match command {
        Command::Patch(it)
        | Command::Image(it)
        | Command::Cluster(it)
        | Command::Load(it)
        | Command::Operator(it)
        | Command::Database(it)
        | Command::Deploy(it) => (it.only, it.from),
        Command::Requirements(it) => (it.part.only, it.part.from),
        Command::Create(it) => (false, it.from),
        _ => (false, None),
    };
    let Some(target) = target(command) else { return Ok(Extent::All) };
    match from {
        Some(from) if !graph.closure(&[target]).contains(&from) => {
            Err(usage(format!("{} does not need {}: --from {} means nothing here", target.name(), from.name(), from.name())))
        }
        Some(from) => Ok(Extent::From(from)),
        None if only => Ok(Extent::Only(target)),
        None => Ok(Extent::All),
    }
}

fn usage(what: impl Into<String>) -> anyhow::Error {
    Problem::usage(what).into()
}

fn targets(env: &Env, targets: &[TaskId]) -> Result<()> {
    if targets.contains(&TaskId::Cluster) {
        // A kind of cluster that is not there yet says so before anything happens.
        provider(env).check(env)?;
    }
    runner::run(env, &tasks::task, targets)?;
    Ok(())
}

/// One run of the instance at a time, told from its beginning.
fn locked(env: &Env, command: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let _lock = lock(env, command)?;
    work()
}

/// Held while a command changes something of this instance.
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
    let waiting = |holder: &str| env.note(TaskId::Engine, format!("waiting for another run of this instance: {holder}"));
    lock::acquire(&path, LOCK_LIMIT, &env.interrupt, waiting)
}
