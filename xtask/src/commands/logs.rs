//! `logs`: the logs of application, migration, database and operator as one stream on standard output.

use std::io::{self, BufWriter, IsTerminal as _, StdoutLock, Write as _};

use anyhow::{Context as _, Result};
use regex::Regex;
use serde_json::{Value, json};

use crate::{
    cluster::{Line, Source},
    commands::instance::{self, Answering},
    deploy::components::Components,
    env::Env,
    errors::Problem,
    flags::inspection::{ComponentName, Logs},
    provider::provider,
};

pub(crate) fn run(env: &Env, flags: &Logs) -> Result<()> {
    let grep = flags.grep.as_deref().map(Regex::new).transpose().map_err(|error| Problem::usage(format!("--grep: {error}")))?;
    if flags.part == Some(ComponentName::Node) {
        // The engine can still read the log and files of a stopped node.
        env.only_looking(|| instance::what_answers(env))?;
        return of_node(env, flags, grep.as_ref());
    }
    let components = Components::read(env)?;
    let wanted = flags.part.map(|it| it.name());
    if let Some(ComponentName::Service(name)) = flags.part {
        components.service(name)?;
    }
    let sources: Vec<Source> = components
        .all()
        .filter(|it| wanted.as_ref().is_none_or(|wanted| *wanted == it.name))
        .map(|it| Source { part: it.name.clone(), namespace: it.namespace.clone(), labels: it.selector.clone() })
        .collect();
    if sources.is_empty() {
        return Err(Problem::config(format!("the manifests in deploy/ have no {}", wanted.as_deref().unwrap_or("part"))).into());
    }
    if let Answering::Node { why } = env.only_looking(|| instance::what_answers(env))? {
        instance::say(&format!("{why}\nthe node's own logs follow"))?;
        return of_node(env, flags, grep.as_ref());
    }
    let cluster = instance::connect_for_streams(env)?;
    let mut printer = Printer::new(flags, grep.as_ref());
    cluster.logs(&sources, flags.since, flags.follow, |line| printer.print(&line))?;
    printer.end()
}

/// Prints the node's journals and the logs of its containers, read through the engine, once and completely.
fn of_node(env: &Env, flags: &Logs, grep: Option<&Regex>) -> Result<()> {
    if flags.follow || flags.since.is_some() {
        return Err(Problem::usage("--follow and --since are for the logs of pods")
            .hint(format!("`{} shell node -- journalctl --follow` goes on with what the node says", env.tool()))
            .into());
    }
    let evidence = env.only_looking(|| provider(env).evidence(env))?;
    if evidence.files.is_empty() {
        env.only_looking(|| instance::node(env))?;
    }
    let mut printer = Printer::new(flags, grep);
    for (name, text) in evidence.files.iter().filter(|(name, _)| name.ends_with(".log")) {
        // `NODE/pods/kube-system_etcd-…/etcd/0.log`, `NODE/kubelet.log`
        let (node, file) = name.split_once('/').unwrap_or(("", name));
        let words: Vec<&str> = file.trim_end_matches(".log").split('/').collect();
        let container = if words.len() > 2 { words[words.len() - 2] } else { words[words.len() - 1] };
        for text in text.lines() {
            let line = Line {
                part: "node".to_owned(),
                pod: node.to_owned(),
                container: container.to_owned(),
                time: String::new(),
                text: text.to_owned(),
            };
            if !printer.print(&line)? {
                return Ok(());
            }
        }
    }
    printer.end()?;
    for missing in &evidence.missing {
        instance::say(&format!("missing: {missing}"))?;
    }
    Ok(())
}

/// Prints the requested lines. Lines that are followed are there at once, others in blocks.
struct Printer<'a> {
    flags: &'a Logs,
    grep: Option<&'a Regex>,
    colour: bool,
    out: BufWriter<StdoutLock<'static>>,
}

impl<'a> Printer<'a> {
    fn new(flags: &'a Logs, grep: Option<&'a Regex>) -> Printer<'a> {
        let out = io::stdout().lock();
        let colour = out.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty());
        Printer { flags, grep, colour, out: BufWriter::with_capacity(1 << 16, out) }
    }

    /// Returns false when the reader has closed the output (`| head`).
    fn print(&mut self, line: &Line) -> Result<bool> {
        if self.grep.is_some_and(|it| !it.is_match(&line.text)) {
            return Ok(true);
        }
        let shown = if self.flags.json { as_json(line).to_string() } else { as_text(line, self.colour) };
        let written = writeln!(self.out, "{shown}").and_then(|()| if self.flags.follow { self.out.flush() } else { Ok(()) });
        is_open(written)
    }

    fn end(&mut self) -> Result<()> {
        is_open(self.out.flush()).map(drop)
    }
}

fn is_open(written: io::Result<()>) -> Result<bool> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        other => other.map(|()| true).context("print the log"),
    }
}

fn as_json(line: &Line) -> Value {
    json!({ "time": line.time, "part": line.part, "pod": line.pod, "container": line.container, "text": line.text })
}

/// The component, the distinguishing end of the pod's name, and the line.
fn as_text(line: &Line, colour: bool) -> String {
    // For a node, the program in it.
    let pod = if line.part == "node" { &line.container } else { line.pod.rsplit('-').next().unwrap_or(&line.pod) };
    let said = readable(&line.text).unwrap_or_else(|| line.text.clone());
    let (on, off) = match (colour, line.part.as_str()) {
        (false, _) => ("", ""),
        (true, "app") => ("\x1b[32m", "\x1b[0m"),
        (true, "migration") => ("\x1b[33m", "\x1b[0m"),
        (true, "database") => ("\x1b[34m", "\x1b[0m"),
        (true, _) => ("\x1b[35m", "\x1b[0m"),
    };
    format!("{on}{:<9} {pod:<5} |{off} {said}", line.part)
}

/// The level and message of CloudNativePG's JSON lines, which also contain PostgreSQL's lines.
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

    fn line(part: &str, text: &str) -> Line {
        Line {
            part: part.to_owned(),
            pod: "polls-frontend-57db-cmqhl".to_owned(),
            container: "c".to_owned(),
            time: "t".to_owned(),
            text: text.to_owned(),
        }
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
