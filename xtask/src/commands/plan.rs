//! `plan`: shows what a run would do, for each task and for each field of the cluster's objects. Changes nothing.

mod document;
mod text;

use std::{io::Write as _, path::Path};

use anyhow::{Context as _, Result};

use crate::{
    commands::graph::{self, Seen, State},
    env::Env,
    errors::{Code, PlanHasChanges, Problem},
    flags::{Output, Plan as Flags},
    graph::{Selection, TaskId},
    provider::provider,
    record,
    tasks::objects,
};

use document::{Action, Plan, Planned, SCHEMA};

/// Prints the plan for the targets, and writes it to a file if requested.
pub(crate) fn run(env: &Env, targets: &[TaskId], flags: &Flags) -> Result<()> {
    let plan = make(env, targets)?;
    let document = || serde_json::to_string_pretty(&plan).map(|it| format!("{it}\n"));
    if let Some(path) = &flags.out {
        record::write_file(path, document()?.as_bytes())?;
    }
    let shown = match flags.output {
        Output::Text => text::text(&plan),
        Output::Json => document()?,
    };
    std::io::stdout().write_all(shown.as_bytes()).context("print the plan")?;
    if !plan.runs().is_empty() && flags.detailed_exitcode { Err(PlanHasChanges.into()) } else { Ok(()) }
}

/// The plan for everything, as JSON.
pub(crate) fn document(env: &Env) -> Result<String> {
    Ok(format!("{}\n", serde_json::to_string_pretty(&make(env, &[TaskId::Deploy])?)?))
}

/// The part of the graph that a saved plan allows to run, if the cluster and all inputs are unchanged.
pub(crate) fn selection(env: &Env, path: &Path) -> Result<Selection> {
    let planned = Plan::read(path)?;
    let differences = planned.differs(&make(env, &[TaskId::Deploy])?);
    if differences.is_empty() {
        return Ok(Selection::Planned(planned.runs()));
    }
    let what = format!("{} is out of date; nothing was changed:\n{}", path.display(), differences.join("\n"));
    Err(Problem::new(what).code(Code::PlanChanged).hint("make a new plan: plan --out FILE").into())
}

fn make(env: &Env, targets: &[TaskId]) -> Result<Plan> {
    let ids = env.graph.reached(targets);
    let seen = graph::look(env, &ids);
    let is_fresh = |id: TaskId| seen.iter().filter(|it| id.means(it.id)).all(|it| matches!(it.state, State::Fresh(_)));
    let objects = match ids.contains(&TaskId::Deploy) {
        // The objects contain the image's name, so its inputs must be known; the image itself need not be built.
        true if is_fresh(TaskId::Requirements) && is_fresh(TaskId::Cluster) => Some(env.only_looking(|| objects::preview(env))?),
        true => None,
        false => Some(Vec::new()),
    };
    let makes_cluster = ids.contains(&TaskId::Cluster) && !is_fresh(TaskId::Cluster);
    let features = provider(env).features(env);
    let ignored = features.ignores_policies.then_some("NetworkPolicies are accepted and not enforced: `cluster.network_policies` is false");
    let shortcuts = features.shortcuts.iter().copied().chain(ignored).filter(|_| makes_cluster);
    let infrastructure = if makes_cluster { env.only_looking(|| provider(env).preview(env))? } else { Vec::new() };
    Ok(Plan {
        schema: SCHEMA,
        tool: env!("CARGO_PKG_VERSION").to_owned(),
        instance: env.instance.clone(),
        tasks: seen.into_iter().map(|it| planned(env, it)).collect(),
        shortcuts: shortcuts.map(str::to_owned).collect(),
        infrastructure,
        objects,
    })
}

fn planned(env: &Env, seen: Seen) -> Planned {
    let changed = match &seen.inputs {
        Some(want) if !record::is_of(env, seen.id, want) => record::read(env, seen.id).map(|last| want.changes(&last)).unwrap_or_default(),
        _ => Vec::new(),
    };
    // Existing products match their inputs, except the cluster, which is never recreated automatically.
    let recreation =
        (seen.id == TaskId::Cluster && matches!(seen.state, State::Fresh(_)) && !changed.is_empty()).then(|| changed.join(", "));
    let (action, reason) = match seen.state {
        State::Fresh(text) => (Action::Nothing, text),
        State::Stale(reason) => (Action::Run, reason),
        State::After(need) => (Action::Follows, format!("follows {}", need.name())),
        State::Unknown(why) => (Action::Unknown, why),
    };
    Planned { task: seen.id.name().to_owned(), action, reason, changed, recreation, inputs: seen.inputs }
}
