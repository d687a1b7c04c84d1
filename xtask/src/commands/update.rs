//! `update`: the changed source into the instance that runs. Everything that is as it should be is skipped.

use anyhow::Result;
use serde_json::json;

use crate::{
    called,
    commands::answer,
    env::Env,
    errors::{Code, Problem},
    graph::TaskId,
    probe::Probe,
    provider::provider,
    report::{RunEvent, Took},
    runner, tasks,
};

pub(crate) fn run(env: &Env) -> Result<()> {
    connect(env)?;
    let run = runner::run(env, &tasks::task, &[TaskId::Deploy])?;
    let revisions = tasks::deploy::revisions(env)?;
    let number = tasks::deploy::serving(&revisions).unwrap_or_default();
    let text = if !run.worked() {
        format!("nothing to do in {}: revision {number} serves\n\n", Took(run.took()))
    } else {
        format!(
            "revision {number} serves after {1}\n\ntake it back   {0} rollback\nall revisions  {0} history\n\n",
            called::name(),
            Took(run.took())
        )
    };
    env.report.run(RunEvent::Closing { text });
    let url = format!("{}{}", provider(env)?.reach(env)?.origin, env.config.app.path);
    answer(env, &url, || json!({ "schema": 1, "url": url, "revision": number }))
}

/// Connects to the engine of an instance that runs; creates and starts nothing.
pub(super) fn connect(env: &Env) -> Result<()> {
    let absent = |why: String| {
        Problem::new(format!("no instance {} runs here: {why}", env.instance))
            .code(Code::NoInstance)
            .hint("`cargo xtask create` brings one up")
    };
    let Some(engine) = tasks::engine::find(env)? else {
        return Err(absent("no container engine answers".to_owned()).into());
    };
    env.set_engine(engine);
    let provider = provider(env)?;
    match provider.probe(env, &provider.inputs(env)?)? {
        Probe::Fresh(_) => Ok(()),
        Probe::Stale(why) => Err(absent(why).into()),
    }
}
