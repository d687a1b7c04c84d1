//! `bench`: the plain script that everybody writes and this tool, side by side in one run, with the same images and the same end.
//!
//! Both start without a cluster and end when the page answers out of the database; which goes first alternates. The
//! further rows are timed on the last cluster that this tool made. Figures are reported and never judged.

mod bed;
mod figures;
mod rows;
mod script;

use std::io::Write as _;

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::{
    commands::bench::{
        bed::Bed,
        figures::{Figures, Row, machine},
        script::Script,
    },
    env::Env,
    flags::{Bench as Flags, Output},
    graph::TaskId,
    report::Event,
    runner, setup, tasks,
};

const TASK: TaskId = TaskId::Bench;

pub(crate) fn run(env: &Env, flags: &Flags) -> Result<()> {
    setup::ensure(env, TASK, &script::NEEDS, "the plain script")?;
    // Both sides find their images made.
    runner::run(env, &tasks::task, &[TaskId::Image, TaskId::NodeImage])?;
    env.report.event(TASK, Event::Started { reason: format!("{} runs of each", flags.runs) });
    let bed = Bed::new(env)?;
    let script = Script::new(env, &bed)?;
    let measured = measure(env, &bed, &script, flags);
    // What was made goes, also after a failure; the failure comes first.
    let removed = script.delete().and_then(|_| bed.remove());
    let (create, delete, rows) = measured?;
    removed?;
    env.report.event(TASK, Event::Done { text: format!("create takes {:.2} of the script's time", create.ratio()) });
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

fn measure(env: &Env, bed: &Bed<'_>, script: &Script<'_>, flags: &Flags) -> Result<(Pair, Pair, Vec<Row>)> {
    let mut create = Pair { ours: Figures::default(), script: Figures::default() };
    let mut delete = Pair { ours: Figures::default(), script: Figures::default() };
    let mut steps = Vec::new();
    let mut rows = Vec::new();
    for run in 0..flags.runs {
        let is_last = run + 1 == flags.runs;
        for ours in if run % 2 == 0 { [false, true] } else { [true, false] } {
            if ours {
                env.note(TASK, format!("run {} of {}: this tool", run + 1, flags.runs));
                let (created, took) = bed.create()?;
                create.ours.add(took);
                if is_last {
                    rows.extend(rows::tasks(&created));
                    rows.extend(rows::on_a_cluster(env, bed, script, flags)?);
                }
                delete.ours.add(bed.delete()?);
            } else {
                env.note(TASK, format!("run {} of {}: the plain script", run + 1, flags.runs));
                let (took, each) = script.run()?;
                create.script.add(took);
                steps = each;
                delete.script.add(script.delete()?);
            }
        }
    }
    for peer in &flags.peers {
        rows.push(rows::peer(env, bed, peer, flags.runs)?);
    }
    // Where the script's seconds go, from its last run.
    rows.extend(steps.into_iter().map(|(name, took)| Row::of(&format!("script: {name}"), "s").script(took.as_secs_f64())));
    Ok((create, delete, rows))
}
