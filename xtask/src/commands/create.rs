//! `create`: runs the whole graph, and prints the URL as the last line of standard output.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::{
    commands::{answer, db, doctor, instance},
    env::Env,
    errors,
    flags::Output,
    graph::TaskId,
    invocation,
    provider::provider,
    report::{
        RunEvent, Took,
        run::{Outcome, Run},
        wire,
    },
    runner, secrets, setup,
    snapshot::{self, AtHand, WrittenBy},
    tasks::{self, desired, image},
};

/// The result of a successful run.
struct Created {
    url: String,
    kubeconfig: String,
    namespace: String,
    database_secret: String,
}

/// Deploys everything; independent tasks run in parallel.
pub(crate) fn run(env: &Env, output: Output, restore: Option<&Path>) -> Result<()> {
    provider(env).check(env)?;
    doctor::before_create(env)?;
    image::refuse_early(env)?;
    desired::refuse_manifests(env)?;
    secrets::read(env)?;
    let given = restore.map(|file| anyhow::Ok((file, db::for_new(env, file)?))).transpose()?;
    let kept = if restore.is_none() { offered(env)? } else { None };
    let run = runner::run(env, &tasks::task, &[TaskId::Deploy])?;
    if let Some((file, here)) = given {
        if !is_new(env, &run)? {
            return Err(db::exists(env, file));
        }
        db::put(env, (&here, WrittenBy::Snapshot), false)?;
    }
    if let Some(file) = kept {
        let again = format!("cargo xtask db restore {}", file.display());
        if is_new(env, &run)? {
            let why = || format!("the database is new; to have the kept one: {again}");
            // A snapshot of its present content is taken first.
            db::put(env, (&AtHand::here(&file), WrittenBy::Snapshot), true).with_context(why)?;
            snapshot::given_back(&file)?;
        } else {
            env.note(TaskId::Snapshot, format!("not restored, since the instance had a database already; to replace it: {again}"));
        }
    }
    let kubeconfig = env.kubeconfig();
    let created = Created {
        url: instance::url(env)?,
        kubeconfig: kubeconfig.strip_prefix(&env.project).unwrap_or(&kubeconfig).display().to_string(),
        namespace: env.config.namespace.clone(),
        database_secret: desired::credentials(env)?,
    };
    env.report.run(RunEvent::Closing { text: words(&run, &created) });
    let mut object = json(&run, Some(&created), None);
    object["peak_memory_mb"] = json!(peak_memory());
    let line = match output {
        Output::Text => created.url,
        Output::Json => object.to_string(),
    };
    answer(env, &line, || object)
}

/// Whether this run has made the database and deployed the first revision. Before a run it may be unknown: a stopped instance does not answer.
fn is_new(env: &Env, run: &Run) -> Result<bool> {
    let ran = |task: TaskId| run.in_order().iter().any(|it| it.id == task && it.outcome() == Some(Outcome::Ran));
    Ok(ran(TaskId::Database) && ran(TaskId::Deploy) && tasks::deploy::revisions(env)?.len() == 1)
}

/// What `delete --keep-database` has kept for this instance, if the instance is new and the user takes it.
fn offered(env: &Env) -> Result<Option<PathBuf>> {
    let Some(file) = snapshot::kept(env)? else { return Ok(None) };
    if db::is_used(env)? {
        return Ok(None);
    }
    let shown = file.display();
    snapshot::look(&file, WrittenBy::Snapshot)
        .with_context(|| format!("{shown} was kept for this instance; to go on without it, move it"))?;
    if setup::restores(env, TaskId::Snapshot, &format!("{shown} holds the database that `delete` kept of this instance"))? {
        return Ok(Some(file));
    }
    env.note(TaskId::Snapshot, format!("not restored; the database will be new, and `cargo xtask db restore {shown}` has the other"));
    Ok(None)
}

/// The peak memory of this process in megabytes, from Linux.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes: u64 = status.lines().find_map(|it| it.strip_prefix("VmHWM:"))?.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kilobytes / 1000)
}

/// Prints a failure as the JSON object of `--output json`.
pub(crate) fn print_failure(run: &Run, error: &anyhow::Error) -> Result<()> {
    let line = json(run, None, Some(errors::json(error)));
    writeln!(std::io::stdout(), "{line}").context("print the failure")
}

/// The closing message, with the next useful commands.
fn words(run: &Run, created: &Created) -> String {
    let Created { namespace, database_secret, .. } = created;
    let (tool, app_secret) = (invocation::name(), desired::APP_SECRET);
    format!(
        "{} in {}: {} ran, {} restored, {} skipped\n\n\
         look inside   {tool} status, or validate, logs, open, kubectl\n\
         credentials   Secrets {database_secret} and {app_secret} in namespace {namespace}\n\
         delete it     {tool} delete\n\n",
        if run.worked() { "done" } else { "nothing to do" },
        Took(run.took()),
        run.count(Outcome::Ran),
        run.count(Outcome::Restored),
        run.count(Outcome::Skipped),
    )
}

/// The JSON object; `schema` increases when a field changes its meaning. `docs/events.md` documents it.
fn json(run: &Run, created: Option<&Created>, error: Option<Value>) -> Value {
    let names = |outcome| run.in_order().iter().filter(|it| it.outcome() == Some(outcome)).map(|it| it.id.name()).collect::<Vec<_>>();
    json!({
        "schema": 1,
        "ok": error.is_none(),
        "url": created.map(|it| &it.url),
        "seconds": wire::seconds(run.took()),
        "ran": names(Outcome::Ran),
        "restored": names(Outcome::Restored),
        "skipped": names(Outcome::Skipped),
        "kubeconfig": created.map(|it| &it.kubeconfig),
        "namespace": created.map(|it| &it.namespace),
        "run": run.id,
        "logs": run.logs,
        "tasks": wire::tasks(run),
        "error": error,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::report::{Event, Told};

    #[test]
    fn machines_get_one_object() {
        let mut run = Run { id: "1".to_owned(), logs: "l".to_owned(), ..Run::default() };
        let mut tell = |ms, event| run.take(Duration::from_millis(ms), &Told::Task(TaskId::Patch, event));
        tell(100, Event::Restoring { reason: "gone".to_owned() });
        tell(1334, Event::Done { text: "there".to_owned() });
        run.take(Duration::from_millis(1400), &Told::Run(RunEvent::Settled));
        let created = Created {
            url: "http://localhost:8080/".to_owned(),
            kubeconfig: "k".to_owned(),
            namespace: "polls".to_owned(),
            database_secret: "s".to_owned(),
        };
        assert_eq!(
            json(&run, Some(&created), None).to_string(),
            "{\"schema\":1,\"ok\":true,\"url\":\"http://localhost:8080/\",\"seconds\":1.4,\"ran\":[],\"restored\":[\"patch\"],\"skipped\":[],\
             \"kubeconfig\":\"k\",\"namespace\":\"polls\",\"run\":\"1\",\"logs\":\"l\",\"tasks\":[{\"task\":\"patch\",\"outcome\":\"restored\",\
             \"reason\":\"gone\",\"began\":0.1,\"ended\":1.334,\"critical\":true,\"steps\":[],\"waits\":[]}],\"error\":null}"
        );
        assert!(words(&run, &created).starts_with("done in 1.4 s: 0 ran, 1 restored, 0 skipped\n"));
    }
}
