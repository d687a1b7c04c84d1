//! `dev`: copies each saved file into the running pod, until Ctrl-C; then `update` builds an image.

use std::{io::Write as _, time::Duration};

use anyhow::{Context as _, Result};

use crate::{
    cluster::{Cluster, Line, Source},
    commands::{instance, update},
    env::Env,
    errors::{self, Exit},
    graph::TaskId,
    report::Took,
    runner,
    tasks::{
        self,
        dev::{
            Session, Synced,
            watch::{self, Decision},
        },
        image,
    },
};

const TASK: TaskId = TaskId::Dev;
/// The pause between two checks of the files.
const LOOK: Duration = Duration::from_millis(50);
/// Editors write several files in one save.
const SETTLE: Duration = Duration::from_millis(20);

pub(crate) fn run(env: &Env) -> Result<()> {
    instance::find(env)?;
    let watched = prepare(env).and_then(|session| with_logs(env, session));
    match watched {
        Err(error) if errors::exit_code(&error) != Exit::Interrupted => return Err(error),
        _ => env.interrupt.answered(),
    }
    env.note(TASK, "stopped watching: `update` builds an image of the current source and deploys it");
    update::run(env)
}

/// Builds the image of the current source, and starts a pod whose code can be replaced.
fn prepare(env: &Env) -> Result<Session<'_>> {
    runner::run(env, &tasks::task, &[TaskId::Load, TaskId::Database])?;
    env.note(TASK, "rolling out one pod whose code can be replaced");
    let session = Session::enter(env)?;
    let others: Vec<String> =
        env.config.services.iter().filter(|(_, it)| it.uses.as_deref() == Some("frontend")).map(|(name, _)| name.clone()).collect();
    if !others.is_empty() {
        env.note(TASK, format!("{} keep the code of the image until `update`", others.join(", ")));
    }
    env.note(
        TASK,
        format!("watching {}; Ctrl-C stops it, and `update` then builds an image with all changes", env.config.frontend.path.display()),
    );
    Ok(session)
}

/// Follows the pods' logs on standard output while it watches the files.
fn with_logs<'a>(env: &'a Env, session: Session<'a>) -> Result<()> {
    let (namespace, labels) = session.labels();
    let sources = [Source { part: "app".to_owned(), namespace: namespace.to_owned(), labels: labels.to_owned() }];
    let cluster = Cluster::open_for_streams(env, &env.kubeconfig())?;
    let show = |line: Line| writeln!(std::io::stdout(), "{}", line.text).map(|()| true).context("print the log");
    std::thread::scope(|scope| {
        // Ctrl-C ends both.
        scope.spawn(|| {
            if let Err(error) = cluster.logs(&sources, Some(Duration::ZERO), true, show)
                && !env.interrupt.is_set()
            {
                env.note(TASK, format!("the logs are no longer followed: {error:#}"));
            }
        });
        follow(env, session)
    })
}

/// Runs until Ctrl-C. Reports an error of a change, and waits for the next change.
fn follow<'a>(env: &'a Env, mut session: Session<'a>) -> Result<()> {
    let mut seen = watch::stamps(env);
    loop {
        env.interrupt.sleep(LOOK)?;
        let mut now = watch::stamps(env);
        let changed = watch::changed(&seen, &now);
        if changed.is_empty() {
            continue;
        }
        loop {
            env.interrupt.sleep(SETTLE)?;
            let later = watch::stamps(env);
            if later == now {
                break;
            }
            now = later;
        }
        let changed = watch::changed(&seen, &now);
        seen = now;
        let result = match watch::decide(
            &env.path(&env.config.frontend.path),
            &env.project,
            image::ignore(&env.scope(TaskId::Image))?.as_ref(),
            &changed,
        ) {
            Decision::Sync => sync(env, &mut session),
            Decision::Rebuild(why) => rebuild(env, &mut session, &why),
        };
        if let Err(error) = result {
            env.interrupt.check()?;
            env.note(TASK, format!("{error:#}"));
        }
    }
}

fn sync<'a>(env: &'a Env, session: &mut Session<'a>) -> Result<()> {
    match session.sync()? {
        Synced::Rebuild(why) => rebuild(env, session, &why),
        Synced::Done { files: 0, .. } => {
            env.note(TASK, "nothing to copy: the pods have these files");
            Ok(())
        }
        Synced::Done { files, pods, took } => {
            env.note(TASK, format!("{files} files into {pods} pods, loaded in place ({})", Took(took)));
            Ok(())
        }
    }
}

fn rebuild<'a>(env: &'a Env, session: &mut Session<'a>, why: &str) -> Result<()> {
    env.note(TASK, format!("a new image: {why}"));
    env.readings.forget();
    *session = prepare(env)?;
    Ok(())
}
