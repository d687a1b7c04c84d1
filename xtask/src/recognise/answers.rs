//! What the user says where files do not decide: on a terminal, or in a Pocdeploy.toml.

use std::collections::{BTreeMap, BTreeSet};

use crate::{config::FILE, recognise::Command};

/// Where compiled programs are in the image.
pub(super) const PROGRAMS: &str = "/srv/app/bin/";

/// The place of a signal that is an answer from a terminal.
pub const YOU: &str = "you";

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Question {
    /// Which of several compiled programs is the server.
    Program,
    /// Which of several settings modules of Django the deployment uses.
    Settings,
    /// Which of several application objects of Python is served.
    Object,
    /// Which command starts the server.
    Start,
    /// Which port the server listens on.
    Port,
}

/// A question that the files leave open. A deployment can still be made where there is a default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    pub question: Question,
    /// One of these is the answer; empty where any text can be.
    pub candidates: Vec<String>,
    /// What holds without an answer.
    pub default: Option<String>,
    /// What is assumed without an answer, in sentences.
    pub assumed: Vec<String>,
}

/// Answers to [`Question`]s. What was asked on a terminal overrides what a Pocdeploy.toml says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    asked: BTreeMap<Question, String>,
    stated: Stated,
}

/// What a Pocdeploy.toml says of a service, as far as it decides what is recognised.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stated {
    pub command: Option<Vec<String>>,
    pub port: Option<u16>,
    pub migrate: Option<Vec<String>>,
    pub dockerfile: Option<String>,
    /// Variables of the environment, also those with secret values.
    pub env: BTreeMap<String, String>,
    /// Names of the other services.
    pub services: BTreeSet<String>,
}

impl Answers {
    /// The answers of a Pocdeploy.toml.
    pub fn stated(stated: Stated) -> Answers {
        Answers { stated, ..Answers::default() }
    }

    /// Takes an answer. An error says what is wrong with it.
    pub fn say(&mut self, open: &Open, text: &str) -> Result<(), String> {
        let text = text.trim();
        let answer = match (text, &open.default) {
            ("", Some(default)) => default.clone(),
            ("", None) => return Err("this has no default".to_owned()),
            _ if !open.candidates.is_empty() => {
                let numbered = text.parse::<usize>().ok().and_then(|it| open.candidates.get(it.checked_sub(1)?));
                let named = || open.candidates.iter().find(|it| *it == text);
                let wrong =
                    || format!("`{}` is neither a number from 1 to {} nor one of the names", text.escape_debug(), open.candidates.len());
                numbered.or_else(named).ok_or_else(wrong)?.clone()
            }
            _ if text.chars().any(char::is_control) => return Err("this has a control character".to_owned()),
            _ if open.question == Question::Port && text.parse::<u16>().ok().is_none_or(|it| it == 0) => {
                return Err(format!("`{text}` is no port: a number from 1 to 65535"));
            }
            _ => text.to_owned(),
        };
        self.asked.insert(open.question, answer);
        Ok(())
    }

    /// What was answered on a terminal.
    pub(super) fn asked(&self, question: Question) -> Option<&str> {
        self.asked.get(&question).map(String::as_str)
    }

    /// Whether the variable has a value.
    pub(super) fn gives(&self, variable: &str) -> bool {
        self.stated.env.contains_key(variable)
    }

    /// The Dockerfile that a Pocdeploy.toml names.
    pub(super) fn dockerfile(&self) -> Option<&str> {
        self.stated.dockerfile.as_deref()
    }

    /// Whether there is a table of that service.
    pub(super) fn has_service(&self, name: &str) -> bool {
        self.stated.services.contains(name)
    }

    /// The settings module of Django that a Pocdeploy.toml names.
    pub(super) fn stated_settings(&self) -> Option<&str> {
        self.stated.env.get("DJANGO_SETTINGS_MODULE").map(String::as_str)
    }

    /// The name of the compiled program that the command of a Pocdeploy.toml runs, also inside a line for a shell.
    pub(super) fn stated_program(&self) -> Option<&str> {
        // A program on PATH is named without its folder.
        let on_path = || self.stated.command.as_ref()?.first().map(String::as_str).filter(|it| !it.contains(['/', ' ']));
        self.with_path().or_else(on_path)
    }

    /// Whether the command of a Pocdeploy.toml has the whole path of a compiled program.
    pub(super) fn names_path(&self) -> bool {
        self.with_path().is_some()
    }

    fn with_path(&self) -> Option<&str> {
        let words = self.stated.command.iter().flatten().flat_map(|it| it.split_whitespace());
        words.filter_map(|it| it.strip_prefix(PROGRAMS)).find(|it| !it.is_empty() && !it.contains('/'))
    }

    /// The start command, and the place that says it.
    pub(super) fn start(&self) -> Option<(Command, &'static str)> {
        let asked = || Some((Command::line(self.asked(Question::Start)?), YOU));
        self.stated.command.clone().map(|it| (Command::Words(it), FILE)).or_else(asked)
    }

    /// The port, and the place that says it.
    pub(super) fn port(&self) -> Option<(u16, &'static str)> {
        let asked = || Some((self.asked(Question::Port)?.parse().ok()?, YOU));
        self.stated.port.map(|it| (it, FILE)).or_else(asked)
    }

    /// The command of migrations.
    pub(super) fn migrate(&self) -> Option<Command> {
        self.stated.migrate.clone().map(Command::Words)
    }
}

/// What was chosen among several candidates.
pub(super) struct Choice {
    /// The candidate's number from 0.
    pub(super) at: usize,
    /// Who said it; `None` for the default.
    pub(super) by: Option<&'static str>,
}

/// Chooses among candidates: what was answered, else the default. Returns the question that stays open beside it.
pub(super) fn choose(
    asked: Option<&str>,
    question: Question,
    candidates: &[String],
    default: Option<usize>,
    assumed: Vec<String>,
) -> (Option<Choice>, Option<Open>) {
    if let Some(at) = asked.and_then(|it| candidates.iter().position(|known| known == it)) {
        return (Some(Choice { at, by: Some(YOU) }), None);
    }
    let open = Open { question, candidates: candidates.to_vec(), default: default.map(|it| candidates[it].clone()), assumed };
    (default.map(|at| Choice { at, by: None }), (candidates.len() > 1).then_some(open))
}
