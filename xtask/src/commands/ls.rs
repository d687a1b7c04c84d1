//! `ls`: lists the instances in this machine's engine and in the configured cluster. Starts no engine.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::{
    env::Env,
    flags::Output,
    provider::{Instance, instances},
};

pub(crate) fn run(env: &Env, output: Output) -> Result<()> {
    let (instances, unasked) = instances(env)?;
    if let Some(why) = unasked {
        writeln!(std::io::stderr(), "not asked: {why}").context("print what was not asked")?;
    }
    let shown = match output {
        Output::Text => text(&instances),
        Output::Json => format!("{}\n", serde_json::to_string_pretty(&json!({ "schema": 1, "instances": instances }))?),
    };
    std::io::stdout().write_all(shown.as_bytes()).context("print the instances")
}

fn text(instances: &[Instance]) -> String {
    if instances.is_empty() {
        return "no instance on this machine\n".to_owned();
    }
    let width = instances.iter().map(|it| it.name.len()).max().unwrap_or_default();
    let line = |it: &Instance| format!("{:<width$}  {:<8} {:<24} {}", it.name, it.state, it.url, it.project).trim_end().to_owned() + "\n";
    instances.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_instance_is_a_line_and_none_is_said() {
        let instance =
            |name: &str, state, url: &str| Instance { name: name.to_owned(), state, url: url.to_owned(), project: "/p".to_owned() };
        let expected = "polls-1  running  http://localhost:8080/   /p\np        no node                           /p\n";
        assert_eq!(text(&[instance("polls-1", "running", "http://localhost:8080/"), instance("p", "no node", "")]), expected);
        assert_eq!(text(&[]), "no instance on this machine\n");
    }
}
