//! `doctor`: one line for each check, with advice, on standard output. Fails if a check fails.

use std::{io::Write as _, sync::Arc};

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::{
    doctor::{self, Check, State},
    env::Env,
    errors::{Code, Problem},
    flags::Output,
    invocation,
};

/// `configuration` is the error of an invalid file; the checks then use the defaults.
pub(crate) fn run(env: Env, configuration: Option<anyhow::Error>, output: Output) -> Result<()> {
    let mut checks = doctor::all(&Arc::new(env));
    if let Some(error) = configuration {
        let found = format!("{error:#}").lines().next().unwrap_or_default().to_owned();
        checks.push(Check::fail("configuration", found, "correct the file; all mistakes: cargo xtask config show"));
    }
    let shown = match output {
        Output::Text => text(&checks),
        Output::Json => format!("{:#}\n", value(&checks)),
    };
    std::io::stdout().write_all(invocation::reworded(&shown).as_bytes()).context("print the checks")?;
    verdict(&checks)
}

/// The first step of `create`: checks without network and external programs, in a few milliseconds.
pub(crate) fn before_create(env: &Env) -> Result<()> {
    let failed: Vec<Check> = doctor::cheap(env).into_iter().filter(|it| it.state == State::Fail).collect();
    if failed.is_empty() {
        return Ok(());
    }
    let lines = text(&failed);
    let found: Vec<String> = failed.iter().map(|it| format!("{}: {}", it.name, it.found)).collect();
    let what = format!("this machine does not meet the requirements of a run: {}\n{}", found.join("; "), lines.trim_end());
    Err(Problem::requirement(what).code(Code::Unfit).hint("see all with: cargo xtask doctor").into())
}

fn verdict(checks: &[Check]) -> Result<()> {
    let failed: Vec<&str> = checks.iter().filter(|it| it.state == State::Fail).map(|it| it.name).collect();
    if failed.is_empty() {
        return Ok(());
    }
    let what = format!("{} of {} checks failed: {}", failed.len(), checks.len(), failed.join(", "));
    Err(Problem::requirement(what).code(Code::Unfit).hint("each failed line above has advice").into())
}

/// The JSON form, also for the support bundle.
pub(crate) fn value(checks: &[Check]) -> serde_json::Value {
    json!({ "schema": 1, "version": env!("CARGO_PKG_VERSION"), "checks": checks })
}

pub(crate) fn text(checks: &[Check]) -> String {
    let width = checks.iter().map(|it| it.name.len()).max().unwrap_or_default();
    let mut out = String::new();
    for it in checks {
        let (mark, word) = match it.state {
            State::Pass => ('✓', "pass"),
            State::Warn => ('!', "warn"),
            State::Fail => ('✗', "fail"),
        };
        out.push_str(&format!("{mark} {word}  {:<width$}  {}\n", it.name, it.found));
        if let Some(remedy) = &it.remedy {
            out.push_str(&format!("         {:width$}  remedy: {remedy}\n", ""));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errors::{Exit, exit_code};

    fn checks() -> Vec<Check> {
        vec![
            Check { name: "memory", state: State::Pass, found: "8 GB".to_owned(), remedy: None },
            Check::fail("port", "8080 is taken by nginx", "end it"),
        ]
    }

    #[test]
    fn each_check_is_a_line_and_says_its_state_in_words_too() {
        assert_eq!(text(&checks()), "✓ pass  memory  8 GB\n✗ fail  port    8080 is taken by nginx\n                 remedy: end it\n");
    }

    #[test]
    fn one_failure_is_a_missing_requirement_and_a_warning_is_none() {
        let error = verdict(&checks()).unwrap_err();
        assert_eq!((exit_code(&error), error.to_string().as_str()), (Exit::Requirement, "1 of 2 checks failed: port"));
        let warned = Check { state: State::Warn, ..checks().remove(1) };
        assert!(verdict(&[warned]).is_ok());
    }
}
