//! `db backup`: snapshots in the place of `database.backup`, once or in intervals.

use std::{
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use serde_json::json;
use xshell::cmd;

use crate::{
    cluster::Cluster,
    commands::{answer, instance, reported},
    env::Env,
    errors::Problem,
    graph::TaskId,
    provider::provider,
    snapshot::{self, Store},
    tasks::{database, desired},
};

const TASK: TaskId = TaskId::Snapshot;

/// The place of the configuration.
fn store(env: &Env) -> Result<Store> {
    let Some(to) = &env.config.database.backup.to else {
        let hint = "to = \"backups\" under [database.backup]: a folder, or s3://BUCKET/PREFIX";
        return Err(Problem::config("database.backup.to is not set").hint(hint).into());
    };
    Ok(Store::of(env, to))
}

/// One backup. Prints its place.
pub(super) fn once(env: &Env) -> Result<()> {
    let store = store(env)?;
    instance::find(env)?;
    let mut place = String::new();
    reported(env, TASK, "backing up the database", || {
        let cluster = Cluster::open(env, &env.kubeconfig())?;
        database::refuse_interrupted(env, &cluster)?;
        let (written, size, removed) = snapshot::back_up(env, TASK, &cluster, &desired::database(env)?, &store)?;
        let gone = if removed.is_empty() { String::new() } else { format!("; deleted {}", removed.join(", ")) };
        place.clone_from(&written);
        Ok(format!("{written} holds it ({} KB), checked by a restore into a scratch database{gone}", size.div_ceil(1000)))
    })?;
    answer(env, &place, || json!({ "schema": 1, "backup": place }))
}

/// `db backup --dry-run`.
pub(super) fn preview(env: &Env) -> Result<()> {
    let store = store(env)?;
    instance::find(env)?;
    let name = snapshot::default_path(env, None).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let keep = env.config.database.backup.keep;
    writeln!(std::io::stdout(), "would write {}\nwould keep the newest {keep} of this instance there", store.place(&name))
        .context("print what would be done")
}

/// A backup in each interval, until a signal, or until the instance is gone. Each is a command of its own, so that other commands of the instance run between them; one
/// that fails is followed by the next.
pub(super) fn repeat(env: &Env, every: Duration, config: Option<&Path>) -> Result<()> {
    store(env)?;
    instance::find(env)?;
    let program = std::env::current_exe().context("find the running program")?;
    let (kind, project, name) = (env.config.cluster.kind.name(), &env.project, &env.instance);
    loop {
        let began = Instant::now();
        let sh = env.tools.shell(&env.project)?;
        let named = env.config.name.is_some().then_some(["--name", name.as_str()]).into_iter().flatten();
        let config = config.map(|it| ["--config".into(), it.as_os_str().to_owned()]).into_iter().flatten();
        let code = env.tools.run_in_place(cmd!(sh, "{program} db backup --type {kind} --project {project} {named...} {config...}"))?;
        env.interrupt.check()?;
        // A stopped instance may be started for the next backup; one that is deleted has none.
        let all = (code != 0).then(|| provider(env).instances(env));
        if let Some(Ok(all)) = all
            && !all.iter().any(|it| it.name == env.instance)
        {
            return Err(instance::absent(env, "it was deleted, and backups end with it"));
        }
        let left = every.saturating_sub(began.elapsed());
        let said = if code == 0 { "done".to_owned() } else { format!("failed (exit code {code})") };
        writeln!(std::io::stderr(), "backup {said}; the next one in {} s", left.as_secs()).context("print the interval")?;
        env.interrupt.sleep(left)?;
    }
}
