//! Values of flags that are types of the modules below, which do not know the command line.

use clap::{ValueEnum, builder::PossibleValue};

use crate::{config::ClusterType, graph::TaskId, report::choose::Colour};

impl ValueEnum for TaskId {
    fn value_variants<'a>() -> &'a [TaskId] {
        &TaskId::GRAPH
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()))
    }
}

impl ValueEnum for ClusterType {
    fn value_variants<'a>() -> &'a [ClusterType] {
        &ClusterType::ALL
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
