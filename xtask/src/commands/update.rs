//! `update`: deploys the changed source to the running instance, and skips everything that is up to date.

use anyhow::Result;
use serde_json::json;

use crate::{
    commands::{answer, instance},
    env::Env,
    graph::TaskId,
    invocation,
    report::{RunEvent, Took},
    runner, secrets, tasks,
};

pub(crate) fn run(env: &Env) -> Result<()> {
    instance::find(env)?;
    secrets::read(env)?;
    let run = runner::run(env, &tasks::task, &[TaskId::Deploy])?;
    let revisions = tasks::deploy::revisions(env)?;
    let number = tasks::deploy::serving(&revisions).unwrap_or_default();
    let text = if !run.worked() {
        format!("nothing to do in {}: revision {number} serves\n\n", Took(run.took()))
    } else {
        format!(
            "revision {number} serves after {1}\n\ntake it back   {0} rollback\nall revisions  {0} history\n\n",
            invocation::name(),
            Took(run.took())
        )
    };
    env.report.run(RunEvent::Closing { text });
    let url = instance::url(env)?;
    answer(env, &url, || json!({ "schema": 1, "url": url, "revision": number }))
}
