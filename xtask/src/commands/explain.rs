//! `explain`: the inputs of a task's key, each beside what it was when the task last ended well.

use std::io::Write as _;

use anyhow::{Context as _, Result};

use crate::{env::Env, fingerprint::Fingerprint, graph::TaskId, probe::Probe, record, tasks};

pub(crate) fn run(env: &Env, only: Option<TaskId>) -> Result<()> {
    let ids = match only {
        Some(id) => vec![id],
        None => TaskId::GRAPH.to_vec(),
    };
    // An engine that runs is used to look; none is started for this.
    if let Some(engine) = tasks::engine::find(env)? {
        env.set_engine(engine);
    }
    let mut out = String::new();
    for id in ids {
        out.push_str(&explain(env, id));
    }
    std::io::stdout().write_all(out.as_bytes()).context("print the explanation")
}

fn explain(env: &Env, id: TaskId) -> String {
    let Some(task) = tasks::task(id) else { return String::new() };
    let want = match task.inputs(env) {
        Ok(want) => want,
        Err(error) => return format!("{}: its inputs are not known yet: {error:#}\n", id.name()),
    };
    let decision = match task.probe(env, &want) {
        Ok(Probe::Fresh(text)) => format!("nothing to do: {text}"),
        Ok(Probe::Stale(reason)) => format!("would run: {reason}"),
        Err(error) => format!("not known: {error:#}"),
    };
    format!("{}: {decision}\n{}", id.name(), inputs(&want, record::read(env, id).as_ref()))
}

/// One line for each part: unchanged, changed, new or gone since `last`.
fn inputs(want: &Fingerprint, last: Option<&Fingerprint>) -> String {
    let before = |name: &str| last.and_then(|it| it.parts.iter().find(|(other, _)| other == name)).map(|(_, value)| value.as_str());
    let short = |value: &str| value.chars().take(12).collect::<String>();
    let mut out = String::new();
    for (name, value) in &want.parts {
        let state = match before(name) {
            _ if last.is_none() => "",
            None => "new",
            Some(old) if old != value => "changed",
            Some(_) => "unchanged",
        };
        out.push_str(format!("  {:<12}  {state:<9}  {name}", short(value)).trim_end());
        out.push('\n');
    }
    for (name, value) in last.map(|it| it.parts.as_slice()).unwrap_or_default() {
        if !want.parts.iter().any(|(other, _)| other == name) {
            out.push_str(&format!("  {:<12}  {:<9}  {name}\n", short(value), "gone"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(parts: &[(&str, &str)]) -> Fingerprint {
        Fingerprint { parts: parts.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect() }
    }

    #[test]
    fn each_input_says_what_became_of_it() {
        let last = of(&[("same", "1"), ("other", "2"), ("lost", "3")]);
        let want = of(&[("same", "1"), ("other", "4"), ("fresh", "5")]);
        let expected = "  1             unchanged  same\n  4             changed    other\n  5             new        fresh\n  3             gone       lost\n";
        assert_eq!(inputs(&want, Some(&last)), expected);
        assert_eq!(inputs(&of(&[("a", "1")]), None), "  1                        a\n");
    }
}
