//! `explain`: the inputs of each task, compared with its last success; or an error code.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use filetree::compare::{Since, compare, lines};
use serde_json::{Value, json};

use crate::{
    engines, env::Env, errors::Code, fingerprint::Fingerprint, flags::Output, graph::TaskId, invocation, probe::Probe, record, tasks,
};

/// Prints the meaning, usual causes and advice of an error code.
pub(crate) fn code(code: Code, output: Output) -> Result<()> {
    let entry = code.entry();
    let list = |title: &str, lines: &[&str]| format!("\n{title}\n{}", lines.iter().map(|it| format!("  - {it}\n")).collect::<String>());
    let (means, group) = (entry.means, code.group());
    let shown = match output {
        Output::Text => {
            let lists = list("usual causes", entry.causes) + &list("what to do", entry.steps);
            format!("{code}: {means}\nfix it in: {group}\n{lists}")
        }
        Output::Json => {
            let group = group.to_string();
            let value =
                json!({ "schema": 1, "code": entry.number, "means": means, "group": group, "causes": entry.causes, "steps": entry.steps });
            format!("{value:#}\n")
        }
    };
    std::io::stdout().write_all(invocation::reworded(&shown).as_bytes()).context("print the explanation")
}

pub(crate) fn run(env: &Env, ids: &[TaskId], output: Output) -> Result<()> {
    // Uses a running engine; starts none.
    if let Some(engine) = engines::find(env)? {
        env.set_engine(engine);
    }
    let found: Vec<Explained> = env.only_looking(|| ids.iter().map(|id| explain(env, *id)).collect());
    let shown = match output {
        Output::Text => found.iter().map(text).collect(),
        Output::Json => {
            let tasks: Vec<Value> = found.iter().map(value).collect();
            format!("{}\n", serde_json::to_string_pretty(&json!({ "schema": 1, "tasks": tasks }))?)
        }
    };
    std::io::stdout().write_all(shown.as_bytes()).context("print the explanation")
}

/// The explanation of a task.
struct Explained {
    id: TaskId,
    /// `fresh`, `stale` or `unknown`, with the reason.
    state: (&'static str, String),
    inputs: Fingerprint,
    last: Last,
}

/// The inputs of the last success.
enum Last {
    None,
    Same,
    Other(Fingerprint),
}

fn explain(env: &Env, id: TaskId) -> Explained {
    let looked = tasks::task(id).map(|task| task.inputs(env).map(|want| (task.probe(env, &want), want)));
    let (state, inputs) = match looked {
        None => (("unknown", "not a task".to_owned()), Fingerprint::new()),
        Some(Err(error)) => (("unknown", format!("its inputs are not known yet: {error:#}")), Fingerprint::new()),
        Some(Ok((found, want))) => {
            let state = match found {
                Ok(Probe::Fresh(text)) => ("fresh", text),
                Ok(Probe::Stale(reason)) => ("stale", reason),
                Err(error) => ("unknown", format!("{error:#}")),
            };
            (state, want)
        }
    };
    let last = match inputs.is_empty() {
        true => Last::None,
        false if record::is_of(env, id, &inputs) => Last::Same,
        false => record::read(env, id).map_or(Last::None, Last::Other),
    };
    Explained { id, state, inputs, last }
}

fn text(it: &Explained) -> String {
    let (state, why) = &it.state;
    let decision = match *state {
        "fresh" => format!("nothing to do: {why}"),
        "stale" => format!("would run: {why}"),
        _ => format!("not known: {why}"),
    };
    format!("{}: {decision}\n{}", it.id.name(), lines(inputs(it).into_iter()))
}

fn value(it: &Explained) -> Value {
    let input = |(name, digest, since)| json!({ "name": name, "digest": digest, "since": since });
    let inputs: Vec<Value> = inputs(it).into_iter().map(input).collect();
    json!({ "task": it.id.name(), "state": it.state.0, "reason": it.state.1, "inputs": inputs })
}

/// The name and the digest of each input, and what became of it since the last success; nothing if there was none.
fn inputs(it: &Explained) -> Vec<(&str, &str, &'static str)> {
    match (&it.last, &it.inputs) {
        (Last::Same, inputs) => inputs.parts().map(|(name, digest)| (name, digest, Since::Unchanged.word())).collect(),
        (Last::Other(last), inputs) => compare(inputs, last).into_iter().map(|it| (it.name, it.digest, it.since.word())).collect(),
        (Last::None, inputs) => inputs.parts().map(|(name, digest)| (name, digest, "")).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_input_says_what_became_of_it() {
        let of = |parts: &[(&str, &str)]| parts.iter().copied().collect::<Fingerprint>();
        let last = of(&[("same", "1"), ("other", "2"), ("lost", "3")]);
        let want = of(&[("same", "1"), ("other", "4"), ("fresh", "5")]);
        let mut explained = Explained { id: TaskId::Patch, state: ("stale", "x".to_owned()), inputs: want, last: Last::Other(last) };
        let states: Vec<(&str, &str)> = inputs(&explained).iter().map(|(name, _, since)| (*name, *since)).collect();
        assert_eq!(states, [("same", "unchanged"), ("other", "changed"), ("fresh", "new"), ("lost", "gone")]);
        let shown = text(&explained);
        assert!(shown.starts_with("patch: would run: x\n  1             unchanged  same\n  4             changed    other\n"), "{shown}");
        explained.last = Last::None;
        assert!(inputs(&explained).iter().all(|it| it.2.is_empty()));
        explained.last = Last::Same;
        assert!(inputs(&explained).iter().all(|it| it.2 == "unchanged"));
    }
}
