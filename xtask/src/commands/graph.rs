//! `graph`: the tasks, their order, and the state of each, on standard output.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::{env::Env, fingerprint::Fingerprint, flags::GraphFormat, graph::TaskId, probe::Probe, tasks};

/// The result of probing a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Fresh(String),
    Stale(String),
    /// Not probed, since this need would run first.
    After(TaskId),
    Unknown(String),
}

/// A task and its state.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) id: TaskId,
    pub(crate) needs: Vec<TaskId>,
    pub(crate) state: State,
    /// If all its needs are fulfilled.
    pub(crate) inputs: Option<Fingerprint>,
}

pub(crate) fn run(env: &Env, format: GraphFormat) -> Result<()> {
    let seen = look(env, &env.graph.ids());
    let text = match format {
        GraphFormat::Text => text(&seen),
        GraphFormat::Mermaid => mermaid(&seen),
        GraphFormat::Dot => dot(&seen),
        GraphFormat::Json => json_text(&seen)?,
    };
    std::io::stdout().write_all(text.as_bytes()).context("print the graph")
}

/// Probes the tasks, which must be in order; changes nothing.
pub(crate) fn look(env: &Env, ids: &[TaskId]) -> Vec<Seen> {
    env.only_looking(|| {
        let mut seen: Vec<Seen> = Vec::new();
        for id in ids.iter().copied() {
            let is_fresh = |need: &TaskId| seen.iter().any(|it| it.id == *need && matches!(it.state, State::Fresh(_)));
            let needs = env.graph.needs(id).to_vec();
            let (state, inputs) = match needs.iter().find(|need| !is_fresh(need)) {
                Some(need) => (State::After(*need), None),
                None => look_at(env, id),
            };
            seen.push(Seen { id, needs, state, inputs });
        }
        seen
    })
}

fn look_at(env: &Env, id: TaskId) -> (State, Option<Fingerprint>) {
    let Some(task) = tasks::task(id) else { return (State::Unknown("not a task".to_owned()), None) };
    let inputs = match task.inputs(env) {
        Ok(inputs) => inputs,
        Err(error) => return (State::Unknown(format!("{error:#}")), None),
    };
    let state = match task.probe(env, &inputs) {
        Ok(Probe::Fresh(text)) => State::Fresh(text),
        Ok(Probe::Stale(reason)) => State::Stale(reason),
        Err(error) => State::Unknown(format!("{error:#}")),
    };
    (state, Some(inputs))
}

fn words(state: &State) -> (&'static str, String) {
    match state {
        State::Fresh(text) => ("fresh", text.clone()),
        State::Stale(reason) => ("stale", reason.clone()),
        State::After(need) => ("waits", format!("{} comes first", need.name())),
        State::Unknown(why) => ("unknown", why.clone()),
    }
}

fn text(seen: &[Seen]) -> String {
    let mut out = String::new();
    let needs = |it: &Seen| {
        let names: Vec<String> = it.needs.iter().map(|it| it.name()).collect();
        format!("needs {}", if names.is_empty() { "-".to_owned() } else { names.join(", ") })
    };
    let widest = |of: &dyn Fn(&Seen) -> usize, least: usize| seen.iter().map(of).max().unwrap_or_default().max(least) + 1;
    let (first, second) = (widest(&|it| it.id.name().len(), 12), widest(&|it| needs(it).len(), 31).min(46));
    for it in seen {
        let (word, why) = words(&it.state);
        let why = why.trim_end().replace('\n', "\n      ");
        out.push_str(&format!("{:<first$}{:<second$}{word:<8}{why}\n", it.id.name(), needs(it)));
    }
    out
}

fn mermaid(seen: &[Seen]) -> String {
    let mut out = String::from("graph LR\n");
    for it in seen {
        out.push_str(&format!("  {0}[\"{0}: {1}\"]\n", it.id.name(), words(&it.state).0));
        out.extend(it.needs.iter().map(|need| format!("  {} --> {}\n", need.name(), it.id.name())));
    }
    out
}

fn dot(seen: &[Seen]) -> String {
    let mut out = String::from("digraph tasks {\n  rankdir=LR;\n");
    for it in seen {
        out.push_str(&format!("  \"{0}\" [label=\"{0}\\n{1}\"];\n", it.id.name(), words(&it.state).0));
        out.extend(it.needs.iter().map(|need| format!("  \"{}\" -> \"{}\";\n", need.name(), it.id.name())));
    }
    out.push_str("}\n");
    out
}

fn json_text(seen: &[Seen]) -> Result<String> {
    let task = |it: &Seen| {
        let (word, why) = words(&it.state);
        let needs: Vec<String> = it.needs.iter().map(|it| it.name()).collect();
        json!({ "task": it.id.name(), "needs": needs, "state": word, "reason": why })
    };
    let tasks: Vec<_> = seen.iter().map(task).collect();
    Ok(format!("{}\n", serde_json::to_string_pretty(&json!({ "schema": 1, "tasks": tasks }))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::ClusterType, graph::graph};

    fn seen() -> Vec<Seen> {
        let of = |id| match id {
            TaskId::Engine => State::Stale("no engine answers".to_owned()),
            TaskId::Patch => State::Fresh("staged".to_owned()),
            _ => State::After(TaskId::Engine),
        };
        let graph = graph(ClusterType::Kind, &[None], &[]);
        graph.ids().into_iter().map(|id| Seen { id, needs: graph.needs(id).to_vec(), state: of(id), inputs: None }).collect()
    }

    #[test]
    fn each_task_has_its_needs_and_its_state() {
        let text = text(&seen());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), graph(ClusterType::Kind, &[None], &[]).ids().len());
        assert_eq!(lines[0], format!("{:<13}{:<32}stale   no engine answers", "engine", "needs -"));
        assert_eq!(lines[4], format!("{:<13}{:<32}waits   engine comes first", "image", "needs requirements, base-image"));
    }

    #[test]
    fn machines_get_the_same_in_their_own_words() {
        assert!(mermaid(&seen()).contains("  database --> deploy\n"));
        assert!(dot(&seen()).contains("  \"patch\" [label=\"patch\\nfresh\"];\n"));
        let value: serde_json::Value = serde_json::from_str(&json_text(&seen()).unwrap()).unwrap();
        assert_eq!(value["tasks"][1], json!({ "task": "patch", "needs": [], "state": "fresh", "reason": "staged" }));
    }
}
