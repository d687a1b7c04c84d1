//! `drill restore`: how long a restore of the database takes, and what it brings back.

use std::{io::Write as _, path::Path};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::{
    cluster::Cluster,
    commands::{answer, db, instance, reported},
    env::Env,
    flags::{Output, database::Rehearse},
    graph::TaskId,
    snapshot::{self, Named, Rehearsal, WrittenBy},
    tasks::desired,
};

const TASK: TaskId = TaskId::Snapshot;

pub(crate) fn run(env: &Env, flags: &Rehearse) -> Result<()> {
    let file = flags.file.as_deref();
    let named = file.map(|it| Named::read(env, it)).transpose()?;
    if let Some(named) = &named {
        named.check(env, TASK, WrittenBy::Snapshot)?;
    }
    instance::find(env)?;
    let here = named.map(|it| db::fetched(env, &it, WrittenBy::Snapshot)).transpose()?;
    let mut result = None;
    reported(env, TASK, &what(env, file), || {
        let cluster = Cluster::open(env, &env.kubeconfig())?;
        let found = snapshot::rehearse(env, TASK, &cluster, &desired::database(env)?, here.as_ref().map(|it| it.path.as_path()))?;
        let words = format!("{} tables with {} rows came back", found.tables, found.rows);
        result = Some(found);
        Ok(words)
    })?;
    let found = result.context("the drill has no result")?;
    match flags.output {
        Output::Text => answer(env, text(&found).trim_end(), || json(&found)),
        Output::Json => answer(env, &json(&found).to_string(), || json(&found)),
    }
}

/// `drill restore --dry-run`.
pub(crate) fn preview(env: &Env, flags: &Rehearse) -> Result<()> {
    if let Some(file) = &flags.file {
        Named::read(env, file)?.check(env, TASK, WrittenBy::Snapshot)?;
    }
    instance::find(env)?;
    writeln!(std::io::stdout(), "would do: {}", what(env, flags.file.as_deref())).context("print what would be done")
}

fn what(env: &Env, file: Option<&Path>) -> String {
    let source = file.map_or_else(|| format!("the content of instance {}'s database", env.instance), |it| it.display().to_string());
    format!("restores {source} into a scratch database, which is dropped")
}

fn text(found: &Rehearsal) -> String {
    let line = |name: &str, value: String| format!("{name:<10}{value}\n");
    let dumped = found.dumped.map(|it| line("dump", format!("{it:.1} s"))).unwrap_or_default();
    dumped
        + &line("file", format!("{} KB", found.file.div_ceil(1000)))
        + &line("restore", format!("{:.1} s", found.restored))
        + &line("content", format!("{} tables, {} rows", found.tables, found.rows))
}

/// The JSON object; `schema` increases when a field changes its meaning. Times are in seconds, the file's size is in bytes.
fn json(found: &Rehearsal) -> Value {
    json!({
        "schema": 1,
        "file": found.file,
        "dump": found.dumped,
        "restore": found.restored,
        "tables": found.tables,
        "rows": found.rows,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_file_was_not_dumped() {
        let found = Rehearsal { file: 34_100, dumped: Some(0.52), restored: 1.25, tables: 12, rows: 340 };
        assert_eq!(text(&found), "dump      0.5 s\nfile      35 KB\nrestore   1.2 s\ncontent   12 tables, 340 rows\n");
        let given = Rehearsal { dumped: None, ..found };
        assert!(text(&given).starts_with("file ") && json(&given)["dump"].is_null());
    }
}
