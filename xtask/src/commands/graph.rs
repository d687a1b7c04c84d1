//! `graph`: the tasks, the order between them, and the state that each was seen in. Data on standard output.

use std::{collections::BTreeMap, io::Write as _};

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::{env::Env, flags::GraphFormat, graph::TaskId, probe::Probe, tasks};

/// What a look at a task found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Fresh(String),
    Stale(String),
    /// Not looked at: a task that it needs would run first.
    After(TaskId),
    Unknown(String),
}

pub(crate) fn run(env: &Env, format: GraphFormat) -> Result<()> {
    let states = look(env, &TaskId::GRAPH);
    let text = match format {
        GraphFormat::Text => text(&states),
        GraphFormat::Mermaid => mermaid(&states),
        GraphFormat::Dot => dot(&states),
        GraphFormat::Json => json_text(&states)?,
    };
    std::io::stdout().write_all(text.as_bytes()).context("print the graph")
}

/// The state of each of the tasks; they come in an order that has needs first.
pub(crate) fn look(env: &Env, ids: &[TaskId]) -> BTreeMap<TaskId, State> {
    let mut states = BTreeMap::new();
    for id in ids.iter().copied() {
        let first = id.needs().iter().find(|need| !matches!(states.get(*need), Some(State::Fresh(_))));
        let state = match first {
            Some(need) => State::After(*need),
            None => match look_at(env, id) {
                Ok(Probe::Fresh(text)) => State::Fresh(text),
                Ok(Probe::Stale(reason)) => State::Stale(reason),
                Err(error) => State::Unknown(format!("{error:#}")),
            },
        };
        states.insert(id, state);
    }
    states
}

fn look_at(env: &Env, id: TaskId) -> Result<Probe> {
    let Some(task) = tasks::task(id) else { return Ok(Probe::Stale("not a task".to_owned())) };
    let want = task.inputs(env)?;
    task.probe(env, &want)
}

fn words(state: &State) -> (&'static str, String) {
    match state {
        State::Fresh(text) => ("fresh", text.clone()),
        State::Stale(reason) => ("stale", reason.clone()),
        State::After(need) => ("waits", format!("{} comes first", need.name())),
        State::Unknown(why) => ("unknown", why.lines().next().unwrap_or_default().to_owned()),
    }
}

fn text(states: &BTreeMap<TaskId, State>) -> String {
    let mut out = String::new();
    for id in TaskId::GRAPH {
        let needs: Vec<&str> = id.needs().iter().map(|it| it.name()).collect();
        let needs = if needs.is_empty() { "-".to_owned() } else { needs.join(", ") };
        let (word, why) = states.get(&id).map(words).unwrap_or_default();
        out.push_str(&format!("{:<13}{:<32}{word:<8}{why}\n", id.name(), format!("needs {needs}")));
    }
    out
}

fn mermaid(states: &BTreeMap<TaskId, State>) -> String {
    let mut out = String::from("graph LR\n");
    for id in TaskId::GRAPH {
        let (word, _) = states.get(&id).map(words).unwrap_or_default();
        out.push_str(&format!("  {0}[\"{0}: {word}\"]\n", id.name()));
        for need in id.needs() {
            out.push_str(&format!("  {} --> {}\n", need.name(), id.name()));
        }
    }
    out
}

fn dot(states: &BTreeMap<TaskId, State>) -> String {
    let mut out = String::from("digraph tasks {\n  rankdir=LR;\n");
    for id in TaskId::GRAPH {
        let (word, _) = states.get(&id).map(words).unwrap_or_default();
        out.push_str(&format!("  \"{0}\" [label=\"{0}\\n{word}\"];\n", id.name()));
        for need in id.needs() {
            out.push_str(&format!("  \"{}\" -> \"{}\";\n", need.name(), id.name()));
        }
    }
    out.push_str("}\n");
    out
}

fn json_text(states: &BTreeMap<TaskId, State>) -> Result<String> {
    let tasks: Vec<_> = TaskId::GRAPH
        .iter()
        .map(|id| {
            let (word, why) = states.get(id).map(words).unwrap_or_default();
            let needs: Vec<&str> = id.needs().iter().map(|it| it.name()).collect();
            json!({ "task": id.name(), "needs": needs, "state": word, "reason": why })
        })
        .collect();
    Ok(format!("{}\n", serde_json::to_string_pretty(&json!({ "schema": 1, "tasks": tasks }))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states() -> BTreeMap<TaskId, State> {
        let mut out: BTreeMap<TaskId, State> = TaskId::GRAPH.iter().map(|id| (*id, State::After(TaskId::Engine))).collect();
        out.insert(TaskId::Engine, State::Stale("no engine answers".to_owned()));
        out.insert(TaskId::Patch, State::Fresh("staged".to_owned()));
        out
    }

    #[test]
    fn each_task_has_its_needs_and_its_state() {
        let text = text(&states());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), TaskId::GRAPH.len());
        assert_eq!(lines[0], format!("{:<13}{:<32}stale   no engine answers", "engine", "needs -"));
        assert_eq!(lines[4], format!("{:<13}{:<32}waits   engine comes first", "image", "needs requirements, base-image"));
    }

    #[test]
    fn machines_get_the_same_in_their_own_words() {
        assert!(mermaid(&states()).contains("  database --> deploy\n"));
        assert!(dot(&states()).contains("  \"patch\" [label=\"patch\\nfresh\"];\n"));
        let value: serde_json::Value = serde_json::from_str(&json_text(&states()).unwrap()).unwrap();
        assert_eq!(value["tasks"][1], json!({ "task": "patch", "needs": [], "state": "fresh", "reason": "staged" }));
    }
}
