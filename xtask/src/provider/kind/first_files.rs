//! The files of a database's first instance, made in the node, where `bootstrap` of the recipes does what the operator's Job would.

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    engine::Engine,
    env::Env,
    graph::TaskId,
    images::{self, Role},
    provider::kind::node,
};

const TASK: TaskId = TaskId::Database;
/// Where the recipe of the node image puts it.
const PROGRAM: &str = "/usr/libexec/pocdeploy/bootstrap";

/// What `bootstrap` says: either of both.
#[derive(Deserialize)]
struct Answer {
    claim: Option<Value>,
    reason: Option<String>,
}

/// Has the files made, or waits until they are where that was begun; the claim for them.
pub(super) fn make(env: &Env, engine: &Engine, database: &Value) -> Result<Option<Value>> {
    let operator = images::reference(env, TASK, Role::Operator)?;
    let input = futures_util::stream::iter([Ok(bytes::Bytes::from(serde_json::to_vec(database)?))]);
    let said = engine.exec_with_input(&node(env), &[PROGRAM, "--operator", &operator], input)?.ok("make the database's files")?;
    let answer: Answer = serde_json::from_str(&said).with_context(|| format!("read what {PROGRAM} said: {said}"))?;
    if let Some(reason) = answer.reason {
        env.detail(TASK, format!("the operator makes the database's files: {reason}"));
    }
    Ok(answer.claim)
}
