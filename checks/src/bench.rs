//! `bench`: compares this tool with a plain script in one run, with the same images and the same final state.
//!
//! Both start without a cluster and end when the page shows a row of the database; they take turns in going first. The further rows are
//! measured on the last cluster of this tool. Figures are reported, not judged.

mod before;
mod figures;
mod fixture;
mod queue;
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

/// The task name for events and logs of the tool's library.
const TASK: TaskId = TaskId::Engine;

pub(crate) fn run(env: &Env, flags: &Flags, quiet: bool) -> Result<()> {
    if let Some(folder) = &flags.before {
        let text = before::measure(env, folder, flags, quiet)?;
        return std::io::stdout().write_all(text.as_bytes()).context("print the figures");
    }
    setup::ensure(env, TASK, &script::NEEDS, "the plain script")?;
    // Builds the images that both sides use.
    runner::run(env, &tasks::task, &[TaskId::Image, TaskId::NodeImage])?;
    let fixture = Fixture::new(env, flags.program()?, quiet)?;
    let script = Script::new(env, &fixture)?;
    let measured = measure(env, &fixture, &script, flags);
    // Removes everything, also after a failure, and reports the failure first.
    let removed = script.delete().and_then(|_| fixture.remove());
    let (create, delete, rows) = measured?;
    removed?;
    let document = json!({
        "schema": 1,
        "machine": machine(),
        "runs": flags.runs(),
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

/// This tool's figures and the script's.
struct Pair {
    ours: Figures,
    script: Figures,
}

fn measure(env: &Env, fixture: &Fixture<'_>, script: &Script<'_>, flags: &Flags) -> Result<(Pair, Pair, Vec<Row>)> {
    let mut create = Pair { ours: Figures::default(), script: Figures::default() };
    let mut delete = Pair { ours: Figures::default(), script: Figures::default() };
    let mut steps = Vec::new();
    let mut rows = Vec::new();
    for run in 0..flags.runs() {
        let is_last = run + 1 == flags.runs();
        for ours in if run % 2 == 0 { [false, true] } else { [true, false] } {
            if ours {
                fixture.say(&format!("run {} of {}: this tool", run + 1, flags.runs()));
                let (created, took) = fixture.create()?;
                create.ours.add(took);
                if is_last {
                    rows.extend(rows::tasks(&created));
                    rows.extend(rows::on_a_cluster(env, fixture, script, flags)?);
                }
                delete.ours.add(fixture.delete()?);
            } else {
                fixture.say(&format!("run {} of {}: the plain script", run + 1, flags.runs()));
                let (took, each) = script.run()?;
                create.script.add(took);
                steps = each;
                delete.script.add(script.delete()?);
            }
        }
    }
    if !flags.short {
        rows.extend(queue::rows(env, fixture, flags.runs())?);
    }
    for peer in &flags.peers {
        rows.push(rows::peer(env, fixture, peer, flags.runs())?);
    }
    // The steps of the script's last run.
    rows.extend(steps.into_iter().map(|(name, took)| Row::of(&format!("script: {name}"), "s").script(took.as_secs_f64())));
    Ok((create, delete, rows))
}
