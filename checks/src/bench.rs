//! `bench`: the plain script that everybody writes and this tool, side by side in one run, with the same images and the same end.
//!
//! Both start without a cluster and end when the page answers out of the database; which goes first alternates. The
//! further rows are timed on the last cluster that this tool made. Figures are reported and never judged.

mod figures;
mod fixture;
mod rows;
mod script;

use std::io::Write as _;

use anyhow::{Context as _, Result};
use pocdeploy::{env::Env, flags::Output, graph::TaskId, runner, setup, tasks};
use serde_json::json;

use crate::{
    bench::{
        figures::{Figures, Row, machine},
        fixture::Fixture,
        script::Script,
    },
    flags::Bench as Flags,
};

/// Under this name the tool's own library logs and reports what the bench calls.
const TASK: TaskId = TaskId::Engine;

pub(crate) fn run(env: &Env, flags: &Flags, quiet: bool) -> Result<()> {
    setup::ensure(env, TASK, &script::NEEDS, "the plain script")?;
    // Both sides find their images made.
    runner::run(env, &tasks::task, &[TaskId::Image, TaskId::NodeImage])?;
    let fixture = Fixture::new(env, flags.program()?, quiet)?;
    let script = Script::new(env, &fixture)?;
    let measured = measure(env, &fixture, &script, flags);
    // What was made goes, also after a failure; the failure comes first.
    let removed = script.delete().and_then(|_| fixture.remove());
    let (create, delete, rows) = measured?;
    removed?;
    let document = json!({
        "schema": 1,
        "machine": machine(),
        "runs": flags.runs,
        "create": create.json(),
        "delete": delete.json(),
        "rows": rows.iter().map(Row::json).collect::<Vec<_>>(),
    });
    let text = match flags.output {
        Output::Json => format!("{document}\n"),
        Output::Text => figures::table(&create, &delete, &rows),
    };
    std::io::stdout().write_all(text.as_bytes()).context("print the figures")
}

/// Ours beside the script's.
struct Pair {
    ours: Figures,
    script: Figures,
}

fn measure(env: &Env, fixture: &Fixture<'_>, script: &Script<'_>, flags: &Flags) -> Result<(Pair, Pair, Vec<Row>)> {
    let mut create = Pair { ours: Figures::default(), script: Figures::default() };
    let mut delete = Pair { ours: Figures::default(), script: Figures::default() };
    let mut steps = Vec::new();
    let mut rows = Vec::new();
    for run in 0..flags.runs {
        let is_last = run + 1 == flags.runs;
        for ours in if run % 2 == 0 { [false, true] } else { [true, false] } {
            if ours {
                fixture.say(&format!("run {} of {}: this tool", run + 1, flags.runs));
                let (created, took) = fixture.create()?;
                create.ours.add(took);
                if is_last {
                    rows.extend(rows::tasks(&created));
                    rows.extend(rows::on_a_cluster(env, fixture, script, flags)?);
                }
                delete.ours.add(fixture.delete()?);
            } else {
                fixture.say(&format!("run {} of {}: the plain script", run + 1, flags.runs));
                let (took, each) = script.run()?;
                create.script.add(took);
                steps = each;
                delete.script.add(script.delete()?);
            }
        }
    }
    for peer in &flags.peers {
        rows.push(rows::peer(env, fixture, peer, flags.runs)?);
    }
    // Where the script's seconds go, from its last run.
    rows.extend(steps.into_iter().map(|(name, took)| Row::of(&format!("script: {name}"), "s").script(took.as_secs_f64())));
    Ok((create, delete, rows))
}
