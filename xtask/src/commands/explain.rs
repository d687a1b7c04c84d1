//! `explain`: the inputs of each task, compared with its last success; or an error code.

use std::io::Write as _;

use anyhow::{Context as _, Result};
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
    inputs: Vec<Input>,
}

/// An input of a task.
#[derive(Debug, PartialEq, Eq)]
struct Input {
    name: String,
    digest: String,
    /// `unchanged`, `changed`, `new` or `gone` since the last run; empty without a last run.
    since: &'static str,
}

fn explain(env: &Env, id: TaskId) -> Explained {
    let looked = tasks::task(id).map(|task| task.inputs(env).map(|want| (task.probe(env, &want), want)));
    let (state, inputs) = match looked {
        None => (("unknown", "not a task".to_owned()), Vec::new()),
        Some(Err(error)) => (("unknown", format!("its inputs are not known yet: {error:#}")), Vec::new()),
        Some(Ok((found, want))) => {
            let state = match found {
                Ok(Probe::Fresh(text)) => ("fresh", text),
                Ok(Probe::Stale(reason)) => ("stale", reason),
                Err(error) => ("unknown", format!("{error:#}")),
            };
            (state, compared(&want, record::read(env, id).as_ref()))
        }
    };
    Explained { id, state, inputs }
}

fn text(it: &Explained) -> String {
    let (state, why) = &it.state;
    let decision = match *state {
        "fresh" => format!("nothing to do: {why}"),
        "stale" => format!("would run: {why}"),
        _ => format!("not known: {why}"),
    };
    let mut out = format!("{}: {decision}\n", it.id.name());
    for Input { name, digest, since } in &it.inputs {
        let digest: String = digest.chars().take(12).collect();
        out.push_str(&format!("  {digest:<12}  {since:<9}  {name}\n"));
    }
    out
}

fn value(it: &Explained) -> Value {
    let input = |it: &Input| json!({ "name": it.name, "digest": it.digest, "since": it.since });
    let inputs: Vec<Value> = it.inputs.iter().map(input).collect();
    json!({ "task": it.id.name(), "state": it.state.0, "reason": it.state.1, "inputs": inputs })
}

/// Compares each input with `last`.
fn compared(want: &Fingerprint, last: Option<&Fingerprint>) -> Vec<Input> {
    let (now, earlier) = (want.by_name(), last.map(Fingerprint::by_name).unwrap_or_default());
    let input = |name: &String, digest: &String, since| Input { name: name.clone(), digest: digest.clone(), since };
    let present = want.parts().iter().map(|(name, value)| {
        let since = match earlier.get(name.as_str()) {
            _ if last.is_none() => "",
            None => "new",
            Some(old) if old != value => "changed",
            Some(_) => "unchanged",
        };
        input(name, value, since)
    });
    let gone = last.into_iter().flat_map(|it| it.parts()).filter(|(name, _)| !now.contains_key(name.as_str()));
    present.chain(gone.map(|(name, value)| input(name, value, "gone"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(parts: &[(&str, &str)]) -> Fingerprint {
        parts.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn each_input_says_what_became_of_it() {
        let last = of(&[("same", "1"), ("other", "2"), ("lost", "3")]);
        let want = of(&[("same", "1"), ("other", "4"), ("fresh", "5")]);
        let inputs = compared(&want, Some(&last));
        let states: Vec<(&str, &str)> = inputs.iter().map(|it| (it.name.as_str(), it.since)).collect();
        assert_eq!(states, [("same", "unchanged"), ("other", "changed"), ("fresh", "new"), ("lost", "gone")]);
        assert_eq!(compared(&of(&[("a", "1")]), None)[0].since, "");
        let shown = text(&Explained { id: TaskId::Patch, state: ("stale", "x".to_owned()), inputs });
        assert!(shown.starts_with("patch: would run: x\n  1             unchanged  same\n  4             changed    other\n"), "{shown}");
    }
}
