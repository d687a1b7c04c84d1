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
        let (number, image) = deploy::rollback(env, revision)?;
        Ok(format!("{image} of revision {number} serves again"))
    })?;
    env.note(TASK, "the database does not change: migrations of the later revision are not reverted");
    Ok(())
}

pub(crate) fn preview(env: &Env, revision: Option<u32>) -> Result<()> {
    instance::find(env)?;
    let wanted = deploy::rollback_target(env, revision)?;
    writeln!(std::io::stdout(), "revision {}: {}", wanted.number, wanted.image).context("print what would serve")
}
