//! What an application is: framework, start command, port, migrations, database, read from its files. Nothing of it is run or changed.
//!
//! `recognise` is the way in. Each file below reads one kind of application and adds to a [`Recognised`]; what was looked at is kept as
//! signals, so that every decision can be shown with its reason. The rules and their sources are in `docs/recognition.md`.

mod answers;
mod asgi;
mod compose;
mod distributions;
mod django;
mod dockerfile;
mod extensions;
mod facts;
mod flask;
mod golang;
mod hints;
mod node;
mod node_commands;
mod procfile;
mod python;
mod rust;
mod script;
mod settings;
mod site;
mod tokens;
mod tree;
mod types;
mod variables;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use anyhow::Result;

pub use crate::recognise::{
    answers::{Answers, Open, Question, Stated, YOU},
    facts::Span,
    types::{
        Change, Command, Database, DjangoSettings, Files, Framework, Hosts, Install, Missing, Packages, Recognised, Service, ServiceKind,
        Signal, Stack,
    },
    variables::{OF_CACHE, Part},
};

use crate::{
    config,
    recognise::{compose::Compose, tree::Tree},
};

impl Recognised {
    fn new(stack: Stack, framework: Framework, port: u16) -> Recognised {
        Recognised {
            stack,
            framework,
            version: None,
            language: None,
            packages: None,
            install: Install::default(),
            start: None,
            is_start_said: false,
            without_tls: false,
            program: None,
            port,
            health: None,
            page: None,
            migrate: None,
            release: None,
            build: Vec::new(),
            files: Files::default(),
            database: Database::None,
            extensions: BTreeSet::new(),
            hosts: Hosts::Any,
            secret_key: None,
            env: BTreeMap::new(),
            writable: BTreeSet::new(),
            replicas: None,
            services: Vec::new(),
            extra: BTreeSet::new(),
            groups: Vec::new(),
            stated: Vec::new(),
            changes: Vec::new(),
            target: None,
            signals: Vec::new(),
            assumed: Vec::new(),
            missing: Vec::new(),
            open: Vec::new(),
        }
    }

    fn signal(&mut self, file: &str, line: usize, says: impl Into<String>, follows: impl Into<String>) {
        let signal = Signal { file: file.to_owned(), line, says: says.into(), follows: follows.into() };
        if !self.signals.contains(&signal) {
            self.signals.push(signal);
        }
    }

    fn assume(&mut self, what: impl Into<String>) {
        self.assumed.push(what.into());
    }

    fn lacks(&mut self, what: impl Into<String>, lines: impl Into<String>) {
        self.missing.push(Missing { what: what.into(), lines: lines.into(), question: None });
    }

    /// What an answer to the question would say.
    fn lacks_answer(&mut self, question: Question, what: impl Into<String>, lines: impl Into<String>) {
        self.missing.push(Missing { what: what.into(), lines: lines.into(), question: Some(question) });
    }

    /// A file or the user decides what was left open: nothing of it is assumed, asked or missing any more.
    fn known(&mut self, question: Question) {
        let (answered, open): (Vec<Open>, Vec<Open>) = std::mem::take(&mut self.open).into_iter().partition(|it| it.question == question);
        self.open = open;
        self.assumed.retain(|it| !answered.iter().any(|open| open.assumed.contains(it)));
        self.missing.retain(|it| it.question != Some(question));
    }

    /// Takes over the questions that were left open. What is assumed without an answer is said first.
    fn leave(&mut self, tree: &Tree) {
        let open = tree.take_open();
        let assumed: Vec<String> = open.iter().flat_map(|it| it.assumed.clone()).collect();
        self.assumed.splice(0..0, assumed);
        self.open.extend(open);
    }

    /// No file names the port.
    fn leave_port(&mut self, tree: &Tree, why: &str) {
        tree.leave_open(Question::Port, Some(self.port.to_string()), vec![format!("the port is {}: {why}", self.port)]);
    }

    /// What was answered, in sentences.
    pub fn said(&self) -> impl Iterator<Item = &str> {
        self.signals.iter().filter(|it| is_answer(it)).map(|it| it.says.as_str())
    }

    /// The framework with its version: `Django 6.1`.
    pub fn name(&self) -> String {
        match &self.version {
            Some(version) => format!("{} {version}", self.framework),
            None => self.framework.to_string(),
        }
    }

    /// One line: what it is and why, how it is served, what happens before a rollout.
    pub fn summary(&self) -> String {
        let mut files: Vec<&str> = Vec::new();
        for it in self.signals.iter().filter(|it| it.file != "requirements.txt" && !is_answer(it)) {
            if !files.contains(&it.file.as_str()) && files.len() < 3 {
                files.push(&it.file);
            }
        }
        let mut parts = vec![if files.is_empty() { self.name() } else { format!("{}: {}", self.name(), files.join(", ")) }];
        let start = self.start.as_ref().map(ToString::to_string).unwrap_or_default();
        let server = ["gunicorn", "uvicorn"].into_iter().find(|it| start.split(' ').any(|word| word == *it));
        match (server, start.rsplit(' ').next()) {
            (Some(server), Some(target)) => parts.push(format!("{server} serves {target}")),
            _ if !start.is_empty() => parts.push(format!("started by `{start}`")),
            _ => {}
        }
        if let Some(by) = &self.files.served_by {
            parts.push(format!("static files by {by}"));
        }
        parts.push(format!("port {}", self.port));
        parts.push(self.health.as_ref().map_or("probes by TCP".to_owned(), |it| format!("probes ask {it}")));
        if let Some(migrate) = &self.migrate {
            let text = migrate.to_string();
            parts.push(format!("`{}` before a rollout", text.strip_prefix("python3 -m ").unwrap_or(&text)));
        }
        if let Some(packages) = &self.packages {
            parts.push(format!(
                "dependencies from {}",
                packages.lock.as_deref().unwrap_or(if self.stack == Stack::Node { "package.json" } else { "the imports" })
            ));
        }
        parts.join("; ")
    }
}

/// Whether the signal is an answer of the user.
fn is_answer(signal: &Signal) -> bool {
    signal.file == YOU || signal.file == config::FILE
}

/// What a folder holds, with the user's answers. `None`: nothing that is known. An error: the folder itself cannot be read.
///
/// Python files are read by the machine's `python3`, with its own grammar; the other kinds need no program.
pub fn recognise(folder: &Path, answers: &Answers) -> Result<Option<Recognised>> {
    let tree = Tree::read(folder, answers)?;
    let compose = Compose::read(&tree);
    let (found, unsure) = by_language(&tree);
    // An own Dockerfile says how the image is made; what the source says of migrations and variables still counts.
    let found = dockerfile::add(&tree, found, &compose).or_else(|| site::recognise(&tree)).or(unsure);
    Ok(completed(&tree, &compose, found))
}

/// What the source says, whatever Dockerfile lies beside it: for a build by the Dockerfile that `init` wrote.
pub fn recognise_source(folder: &Path, answers: &Answers) -> Result<Option<Recognised>> {
    let tree = Tree::read(folder, answers)?;
    let (found, unsure) = by_language(&tree);
    Ok(completed(&tree, &Compose::read(&tree), found.or(unsure)))
}

/// What the first language that fits says; beside it Python without a known framework, which counts where nothing else does.
fn by_language(tree: &Tree) -> (Option<Recognised>, Option<Recognised>) {
    let with_open = |look: fn(&Tree) -> Option<Recognised>| {
        tree.take_open();
        let mut found = look(tree)?;
        found.leave(tree);
        Some(found)
    };
    // The order decides where several fit: a server's language before that of its pages, which often have a package.json too.
    let (python, unsure) = match with_open(python::recognise) {
        Some(found) if found.framework == Framework::Python => (None, Some(found)),
        found => (found, None),
    };
    (python.or_else(|| [golang::recognise, rust::recognise, node::recognise].into_iter().find_map(with_open)), unsure)
}

fn completed(tree: &Tree, compose: &Compose, found: Option<Recognised>) -> Option<Recognised> {
    let mut found = found?;
    procfile::add(tree, &mut found);
    compose.add(&mut found, tree.answers());
    said(tree.answers(), &mut found);
    node_commands::settle(tree, &mut found);
    hints::add(tree, &mut found);
    variables::settle(&mut found);
    alone(tree, &mut found);
    distributions::requirements(tree, &mut found);
    extensions::add(tree, &mut found);
    if tree.is_cut() {
        found.assume("the folder holds more files than are looked at: deep ones were left out");
    }
    Some(found)
}

/// What the user says of start command, port and migrations overrides what files say.
fn said(answers: &Answers, found: &mut Recognised) {
    if let Some((port, by)) = answers.port() {
        found.signal(by, 0, format!("it listens on port {port}"), "requests go there");
        // The servers of Python are told where to listen.
        let (host, usual) = (format!("0.0.0.0:{}", python::PORT), python::PORT.to_string());
        if let Some(Command::Words(words)) = found.start.as_mut().filter(|_| found.stack == Stack::Python) {
            for at in 0..words.len() {
                if words[at] == host {
                    words[at] = format!("0.0.0.0:{port}");
                } else if words[at] == usual && at > 0 && words[at - 1] == "--port" {
                    words[at] = port.to_string();
                }
            }
        }
        found.port = port;
        found.known(Question::Port);
    }
    if let Some((start, by)) = answers.start() {
        found.signal(by, 0, format!("it is started by `{start}`"), "that is the start command");
        // What is recognised without the answer needs no line for a later build.
        found.is_start_said |= found.start.as_ref() != Some(&start);
        found.start = Some(start);
        found.known(Question::Start);
        found.known(Question::Object);
    }
    if let Some(migrate) = answers.migrate() {
        found.signal(config::FILE, 0, format!("`{migrate}` migrates"), "it runs before a rollout");
        found.migrate = Some(migrate);
        found.release = None;
    }
}

/// Without a command for migrations the program makes its tables when it starts, and two that start together collide.
fn alone(tree: &Tree, found: &mut Recognised) {
    let is_known = found.migrate.is_some() || found.release.is_some();
    if is_known || matches!(found.stack, Stack::Site | Stack::Dockerfile) || found.framework == Framework::Site {
        return;
    }
    let file = tree.files().iter().find(|it| it.contains("migrations/") && !tree::is_aside(it));
    if found.database == Database::None && file.is_none() {
        return;
    }
    found.replicas = Some(1);
    found.assume("no command for migrations is known: one pod runs, since several that make their tables at their start would collide");
}

#[cfg(test)]
mod tests;
