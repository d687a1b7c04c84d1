//! What an application is: framework, start command, port, migrations, database, read from its files. Nothing of it is run or changed.
//!
//! `recognise` is the way in. Each file below reads one kind of application and adds to a [`Recognised`]; what was looked at is kept as
//! signals, so that every decision can be shown with its reason. The rules and their sources are in `docs/recognition.md`.

mod asgi;
mod compose;
mod distributions;
mod django;
mod dockerfile;
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
    facts::Span,
    types::{
        Change, Command, Database, DjangoSettings, Files, Framework, Hosts, Install, Missing, Packages, Recognised, Service, ServiceKind,
        Signal, Stack,
    },
    variables::{OF_CACHE, Part},
};

use crate::recognise::{compose::Compose, tree::Tree};

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
            port,
            health: None,
            page: None,
            migrate: None,
            release: None,
            build: Vec::new(),
            files: Files::default(),
            database: Database::None,
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
        self.missing.push(Missing { what: what.into(), lines: lines.into() });
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
        for it in self.signals.iter().filter(|it| it.file != "requirements.txt") {
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

/// What a folder holds. `None`: nothing that is known. An error: the folder itself cannot be read.
///
/// Python files are read by the machine's `python3`, with its own grammar; the other kinds need no program.
pub fn recognise(folder: &Path) -> Result<Option<Recognised>> {
    let tree = Tree::read(folder)?;
    let compose = Compose::read(&tree);
    // An own Dockerfile says how the image is made; what the source says of migrations and variables still counts.
    let found = dockerfile::add(&tree, by_language(&tree), &compose).or_else(|| site::recognise(&tree));
    Ok(completed(&tree, &compose, found))
}

/// What the source says, whatever Dockerfile lies beside it: for a build by the Dockerfile that `init` wrote.
pub fn recognise_source(folder: &Path) -> Result<Option<Recognised>> {
    let tree = Tree::read(folder)?;
    Ok(completed(&tree, &Compose::read(&tree), by_language(&tree)))
}

fn by_language(tree: &Tree) -> Option<Recognised> {
    // The order decides where several fit: a server's language before that of its pages, which often have a package.json too.
    [python::recognise, golang::recognise, rust::recognise, node::recognise].into_iter().find_map(|look| look(tree))
}

fn completed(tree: &Tree, compose: &Compose, found: Option<Recognised>) -> Option<Recognised> {
    let mut found = found?;
    procfile::add(tree, &mut found);
    compose.add(&mut found);
    node_commands::settle(tree, &mut found);
    hints::add(tree, &mut found);
    variables::settle(&mut found);
    alone(tree, &mut found);
    distributions::requirements(tree, &mut found);
    if tree.is_cut() {
        found.assume("the folder holds more files than are looked at: deep ones were left out");
    }
    Some(found)
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
