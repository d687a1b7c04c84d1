//! `logs`: what application, migration, database and operator write, in one stream on standard output.

use std::io::{IsTerminal as _, Write as _};

use anyhow::{Context as _, Result};
use regex::Regex;
use serde_json::{Value, json};

use crate::{
    cluster::{Line, Source},
    commands::instance,
    deploy::parts::Parts,
    env::Env,
    errors::Problem,
    flags::inside::{LogPart, Logs},
};

pub(crate) fn run(env: &Env, flags: &Logs) -> Result<()> {
    let grep = flags.grep.as_deref().map(Regex::new).transpose().map_err(|error| Problem::usage(format!("--grep: {error}")))?;
    let parts = Parts::read(env)?;
    let wanted = flags.part.map(name);
    let sources: Vec<Source> = parts
        .all()
        .filter(|it| wanted.is_none_or(|wanted| wanted == it.name))
        .map(|it| Source { part: it.name, namespace: it.namespace.clone(), labels: it.selector.clone() })
        .collect();
    if sources.is_empty() {
        return Err(Problem::config(format!("the manifests in deploy/ have no {}", wanted.unwrap_or("part"))).into());
    }
    let cluster = instance::connect_for_streams(env)?;
    let mut out = std::io::stdout().lock();
    let colour = out.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty());
    cluster.logs(&sources, flags.since, flags.follow, |line| {
        if grep.as_ref().is_some_and(|it| !it.is_match(&line.text)) {
            return Ok(true);
        }
        let shown = if flags.json { as_json(&line).to_string() } else { as_text(&line, colour) };
        match writeln!(out, "{shown}").and_then(|()| out.flush()) {
            // `| head` has seen enough.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
            other => other.map(|()| true).context("print the log"),
        }
    })
}

fn name(part: LogPart) -> &'static str {
    match part {
        LogPart::App => "app",
        LogPart::Migration => "migration",
        LogPart::Database => "database",
        LogPart::Operator => "operator",
    }
}

fn as_json(line: &Line) -> Value {
    json!({ "time": line.time, "part": line.part, "pod": line.pod, "container": line.container, "text": line.text })
}

/// The part, the end of the pod's name that tells it from its like, and what it says.
fn as_text(line: &Line, colour: bool) -> String {
    let pod = line.pod.rsplit('-').next().unwrap_or(&line.pod);
    let said = readable(&line.text).unwrap_or_else(|| line.text.clone());
    let (on, off) = match (colour, line.part) {
        (false, _) => ("", ""),
        (true, "app") => ("\x1b[32m", "\x1b[0m"),
        (true, "migration") => ("\x1b[33m", "\x1b[0m"),
        (true, "database") => ("\x1b[34m", "\x1b[0m"),
        (true, _) => ("\x1b[35m", "\x1b[0m"),
    };
    format!("{on}{:<9} {pod:<5} |{off} {said}", line.part)
}

/// CloudNativePG writes JSON, with PostgreSQL's own lines inside. What people read of it: the level and the words.
fn readable(text: &str) -> Option<String> {
    let entry: Value = text.starts_with('{').then(|| serde_json::from_str(text).ok())??;
    let field = |pointer: &str| entry.pointer(pointer).and_then(Value::as_str).filter(|it| !it.is_empty());
    if let Some(message) = field("/record/message") {
        let detail = field("/record/detail").map(|it| format!(" ({it})")).unwrap_or_default();
        return Some(format!("{} {message}{detail}", field("/record/error_severity").unwrap_or("LOG")));
    }
    let error = field("/error").or_else(|| field("/err")).map(|it| format!(": {it}")).unwrap_or_default();
    Some(format!("{} {}{error}", field("/level")?, field("/msg").or_else(|| field("/message"))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(part: &'static str, text: &str) -> Line {
        Line { part, pod: "polls-frontend-57db-cmqhl".to_owned(), container: "c".to_owned(), time: "t".to_owned(), text: text.to_owned() }
    }

    #[test]
    fn every_line_says_who_wrote_it() {
        assert_eq!(as_text(&line("app", "GET / 200"), false), "app       cmqhl | GET / 200");
        assert_eq!(as_text(&line("app", "x"), true), "\x1b[32mapp       cmqhl |\x1b[0m x");
        assert_eq!(
            as_json(&line("app", "x")).to_string(),
            r#"{"time":"t","part":"app","pod":"polls-frontend-57db-cmqhl","container":"c","text":"x"}"#
        );
    }

    #[test]
    fn the_databases_json_is_put_into_words_and_other_json_stays() {
        let postgres = r#"{"level":"info","msg":"record","record":{"error_severity":"ERROR","message":"no such table","detail":""}}"#;
        assert_eq!(readable(postgres).unwrap(), "ERROR no such table");
        assert_eq!(readable(r#"{"level":"error","msg":"failed","error":"timeout"}"#).unwrap(), "error failed: timeout");
        assert_eq!(readable(r#"{"a":1}"#), None);
        assert_eq!(readable("plain"), None);
    }
}
