//! `rollback`: restores an earlier revision. The database does not change.

use std::io::Write as _;

use anyhow::{Context as _, Result};

use crate::{
    commands::{instance, reported},
    env::Env,
    graph::TaskId,
    tasks::deploy,
};

const TASK: TaskId = TaskId::Rollback;

pub(crate) fn run(env: &Env, revision: Option<u32>) -> Result<()> {
    instance::find(env)?;
    let reason = revision.map_or_else(|| "to the revision that served before".to_owned(), |it| format!("to revision {it}"));
    reported(env, TASK, &reason, || {
        let deploy::Target { revision, serves } = deploy::rollback(env, revision)?;
        let again = if serves { "already" } else { "again" };
        Ok(format!("{} of revision {} serves {again}", revision.image, revision.number))
    })?;
    env.note(TASK, "the database does not change: migrations of the later revision are not reverted");
    Ok(())
}

pub(crate) fn preview(env: &Env, revision: Option<u32>) -> Result<()> {
    instance::find(env)?;
    let deploy::Target { revision, serves } = deploy::rollback_target(env, revision)?;
    let already = if serves { ", which serves already" } else { "" };
    writeln!(std::io::stdout(), "revision {}: {}{already}", revision.number, revision.image).context("print what would serve")
}
