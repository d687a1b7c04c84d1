//! Runs initdb for a database's first instance in the node. `bootstrap`, a program in the node image from packages, does the work of the
//! operator's Job.

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    engine::Engine,
    env::Env,
    graph::TaskId,
    images::{self, Chosen, Role, packages},
    provider::kind::{node, nodes},
};

const TASK: TaskId = TaskId::Database;
/// Its path in the node.
const PROGRAM: &str = "/usr/libexec/pocdeploy/bootstrap";

/// The output of `bootstrap`: one of the two fields.
#[derive(Deserialize)]
struct Answer {
    claim: Option<Value>,
    reason: Option<String>,
}

/// See `InitdbAhead`. Program and database are in the node image from packages, and the volume must be on that node.
pub(super) fn ahead(env: &Env, database: &Value) -> Result<Option<Value>> {
    if images::chosen(env, TASK)? != Chosen::Packages || !nodes::is_alone(env) || packages::has_own_database(env)? {
        return Ok(None);
    }
    make(env, env.engine()?, database)
}

/// Runs initdb, or waits for one that is running, and returns the PVC with the result.
fn make(env: &Env, engine: &Engine, database: &Value) -> Result<Option<Value>> {
    let operator = images::reference(env, TASK, Role::Operator)?;
    let input = futures_util::stream::iter([Ok(bytes::Bytes::from(serde_json::to_vec(database)?))]);
    let said = engine.exec_with_input(&node(env), &[PROGRAM, "--operator", &operator], input)?.ok("make the database's files")?;
    let answer: Answer = serde_json::from_str(&said).with_context(|| format!("read what {PROGRAM} said: {said}"))?;
    if let Some(reason) = answer.reason {
        env.detail(TASK, format!("the operator's Job runs initdb: {reason}"));
    }
    Ok(answer.claim)
}
