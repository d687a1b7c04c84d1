//! `dev`: copies each saved file into the running pod, until Ctrl-C; then `update` builds an image.

use std::{io::Write as _, time::Duration};

use anyhow::{Context as _, Result};

use crate::{
    cluster::{Cluster, Line, Source},
    commands::{instance, update},
    config::name_of,
    env::Env,
    errors::{self, Exit},
    graph::{TaskId, TaskKind},
    invocation,
    report::Took,
    runner, secrets,
    tasks::{
        self,
        dev::{
            Session, Synced,
            look::Watch,
            watch::{self, Decision, Seen},
        },
    },
};

const TASK: TaskId = TaskId::Dev;
/// The pause between two questions whether files changed.
const LOOK: Duration = Duration::from_millis(20);
/// Editors write several files in one save.
const SETTLE: Duration = Duration::from_millis(20);

pub(crate) fn run(env: &Env) -> Result<()> {
    instance::find(env)?;
    secrets::read(env)?;
    let mut seen = Seen::new(env);
    let watched = prepare(env, &mut seen).and_then(|session| with_logs(env, session, seen));
    match watched {
        Err(error) if errors::exit_code(&error) != Exit::Interrupted => return Err(error),
        _ => env.interrupt.answered(),
    }
    env.develop(false);
    env.note(TASK, "stopped watching: `update` builds an image of the current source and deploys it");
    update::run(env)
}

/// Builds the images of the current source, and starts pods whose code can be replaced.
fn prepare<'a>(env: &'a Env, seen: &mut Seen) -> Result<Session<'a>> {
    env.develop(true);
    let loads: Vec<TaskId> = env.graph.ids().into_iter().filter(|it| it.kind == TaskKind::Load).collect();
    runner::run(env, &tasks::task, &[loads, vec![TaskId::Database]].concat())?;
    env.note(TASK, "rolling out pods whose code can be replaced");
    seen.take_over(env);
    let session = Session::enter(env)?;
    for line in session.manners() {
        env.note(TASK, line);
    }
    let scheduled: Vec<String> = env.config.all_services().filter(|(_, it)| it.schedule.is_some()).map(|(name, _)| name_of(name)).collect();
    if !scheduled.is_empty() {
        env.note(TASK, format!("{}: the code of the image, until `update`, since it runs at times", scheduled.join(", ")));
    }
    let sources: Vec<String> = env.config.built().map(|it| env.config.service(it).path.display().to_string()).collect();
    env.note(TASK, format!("watching {}; Ctrl-C stops it, and `update` then builds an image with all changes", sources.join(", ")));
    Ok(session)
}

/// Follows the pods' logs on standard output while it watches the files.
fn with_logs<'a>(env: &'a Env, session: Session<'a>, seen: Seen) -> Result<()> {
    let pods = session.pods().into_iter();
    let sources: Vec<Source> = pods.map(|(part, namespace, labels)| Source { part, namespace, labels }).collect();
    let cluster = Cluster::open_for_streams(env, &env.kubeconfig())?;
    let is_one = sources.len() < 2;
    let show = |line: Line| {
        let mut out = std::io::stdout();
        let written = if is_one { writeln!(out, "{}", line.text) } else { writeln!(out, "{} {}", line.part, line.text) };
        written.map(|()| true).context("print the log")
    };
    std::thread::scope(|scope| {
        // Ctrl-C ends both.
        scope.spawn(|| {
            if let Err(error) = cluster.logs(&sources, Some(Duration::ZERO), true, show)
                && !env.interrupt.is_set()
            {
                env.note(TASK, format!("the logs are no longer followed: {error:#}"));
            }
        });
        follow(env, session, seen)
    })
}

/// Runs until Ctrl-C. Reports an error of a change, and waits for the next change.
fn follow<'a>(env: &'a Env, mut session: Session<'a>, mut seen: Seen) -> Result<()> {
    let mut watch = Watch::of(env);
    // Files may have changed before they were watched.
    let mut changed = watch.changed(&seen);
    loop {
        watch.note().iter().for_each(|it| env.note(TASK, it));
        if changed.is_empty() {
            env.interrupt.sleep(LOOK)?;
            if watch.look().is_some() {
                changed = watch.changed(&seen);
            }
            continue;
        }
        loop {
            env.interrupt.sleep(SETTLE)?;
            if watch.is_settled() {
                break;
            }
            let later = watch.changed(&seen);
            changed.extend(later);
        }
        let mut changed = std::mem::take(&mut changed);
        changed.sort();
        changed.dedup();
        changed.retain(|it| seen.differs(it, watch.files()));
        seen.learn(&changed, watch.files());
        if changed.is_empty() {
            continue;
        }
        let result = session.decide(&changed).and_then(|decision| match decision {
            Decision::Sync(changes) => sync(env, &mut session, &mut seen, &changes),
            Decision::Rebuild(why) => rebuild(env, &mut session, &mut seen, &why),
        });
        if let Err(error) = result {
            env.interrupt.check()?;
            let hint = errors::hint(&error).map(|it| format!("\n{}", invocation::reworded(it))).unwrap_or_default();
            env.note(TASK, format!("{error:#}{hint}"));
            seen.take_over(env);
        }
    }
}

fn sync<'a>(env: &'a Env, session: &mut Session<'a>, seen: &mut Seen, changes: &[watch::Change]) -> Result<()> {
    match session.sync(changes, seen)? {
        Synced::Rebuild(why) => rebuild(env, session, seen, &why),
        Synced::Done { files: 0, .. } => {
            env.note(TASK, "nothing to copy: the pods have these files");
            Ok(())
        }
        Synced::Done { files, pods, took } => {
            env.note(TASK, format!("{files} files into {pods} pods ({})", Took(took)));
            Ok(())
        }
    }
}

fn rebuild<'a>(env: &'a Env, session: &mut Session<'a>, seen: &mut Seen, why: &str) -> Result<()> {
    env.note(TASK, format!("a new image: {why}"));
    *session = prepare(env, seen)?;
    Ok(())
}
