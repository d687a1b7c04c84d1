//! `ValueEnum` for types of lower modules, which do not depend on clap.

use std::ffi::OsStr;

use clap::{
    Arg, Command, Error, ValueEnum,
    builder::{PossibleValue, TypedValueParser},
    error::ErrorKind,
};

use crate::{
    config::{ClusterType, ServiceName},
    flags::inspection::ComponentName,
    graph::{TaskId, TaskKind},
    report::listeners::Colour,
};

/// Reads a task: a name that the help lists, with `/SERVICE` behind it where one service is meant.
#[derive(Clone)]
pub(super) struct TaskParser;

impl TypedValueParser for TaskParser {
    type Value = TaskId;

    fn parse_ref(&self, command: &Command, argument: Option<&Arg>, value: &OsStr) -> Result<TaskId, Error> {
        let text = value.to_string_lossy();
        let found = TaskId::parse(&text).filter(|it| TaskKind::GRAPH.contains(&it.kind));
        found.ok_or_else(|| {
            let argument = argument.map(ToString::to_string).unwrap_or_default();
            let known = TaskKind::GRAPH.map(TaskKind::name).join(", ");
            let near = TaskKind::GRAPH.map(|it| (strsim::damerau_levenshtein(&text, it.name()), it.name())).into_iter().min();
            let meant = near.filter(|(distance, _)| *distance <= 3).map(|(_, it)| format!("\n\n  tip: did you mean '{it}'?"));
            let what = format!("invalid value '{text}' for '{argument}'\n  [tasks: {known}; with /SERVICE behind it: of one service]");
            Error::raw(ErrorKind::InvalidValue, format!("{what}{}\n", meant.unwrap_or_default())).with_cmd(command)
        })
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(TaskKind::GRAPH.into_iter().map(|it| PossibleValue::new(it.name()))))
    }
}

/// Reads one of these components, or the name of a further service. Whether that is configured is asked later.
#[derive(Clone)]
pub(super) struct ComponentParser(pub(super) &'static [ComponentName]);

impl TypedValueParser for ComponentParser {
    type Value = ComponentName;

    fn parse_ref(&self, command: &Command, argument: Option<&Arg>, value: &OsStr) -> Result<ComponentName, Error> {
        let text = value.to_string_lossy();
        let part = self.0.iter().copied().find(|it| it.name() == text);
        // A name of a part that this command does not take is no service's either.
        let service = || ServiceName::new(&text).filter(|_| !PARTS.contains(&text.as_ref())).map(ComponentName::Service);
        part.or_else(service).ok_or_else(|| {
            let argument = argument.map(ToString::to_string).unwrap_or_default();
            let known: Vec<String> = self.0.iter().map(ComponentName::name).collect();
            let what = format!("invalid value '{text}' for '{argument}'\n  [{}, or the name of a further service]", known.join(", "));
            Error::raw(ErrorKind::InvalidValue, format!("{what}\n")).with_cmd(command)
        })
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.0.iter().filter_map(ComponentName::fixed).map(PossibleValue::new)))
    }
}

/// The names of all components.
const PARTS: [&str; 5] = ["app", "migration", "database", "operator", "node"];

impl ValueEnum for ClusterType {
    fn value_variants<'a>() -> &'a [ClusterType] {
        ClusterType::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()))
    }
}

impl ValueEnum for Colour {
    fn value_variants<'a>() -> &'a [Colour] {
        &[Colour::Auto, Colour::Always, Colour::Never]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Colour::Auto => "auto",
            Colour::Always => "always",
            Colour::Never => "never",
        }))
    }
}
