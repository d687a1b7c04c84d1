//! Flags of the commands that look inside an instance that runs.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use crate::{
    config::ServiceName,
    flags::{Output, duration, values::PartParser},
};

#[derive(Clone, Debug, Args)]
#[command(after_help = "Ends with 0 when all is well, with 5 when something is not.\n\nExample: cargo xtask validate --junit report.xml")]
pub struct Validate {
    /// How to write it
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// Also write the checks as JUnit XML, for a CI system
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "Example: cargo xtask status --watch")]
pub struct Status {
    /// Look again every two seconds, until Ctrl-C
    #[arg(long, short)]
    pub watch: bool,
    /// How to write it
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// A part of an instance, as commands name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartName {
    /// The first service.
    App,
    Migration,
    Database,
    Operator,
    /// The cluster's node, also of a cluster that is not finished.
    Node,
    /// A further service.
    Service(ServiceName),
}

impl PartName {
    /// As it is typed.
    pub fn name(&self) -> String {
        match self {
            PartName::Service(name) => name.to_string(),
            other => other.fixed().unwrap_or_default().to_owned(),
        }
    }

    /// The name of a part that every instance has.
    pub(super) fn fixed(&self) -> Option<&'static str> {
        match self {
            PartName::App => Some("app"),
            PartName::Migration => Some("migration"),
            PartName::Database => Some("database"),
            PartName::Operator => Some("operator"),
            PartName::Node => Some("node"),
            PartName::Service(_) => None,
        }
    }
}

const LOG_PARTS: &[PartName] = &[PartName::App, PartName::Migration, PartName::Database, PartName::Operator, PartName::Node];
const SHELL_PARTS: &[PartName] = &[PartName::App, PartName::Database, PartName::Node];
const FORWARD_PARTS: &[PartName] = &[PartName::Database, PartName::App];

#[derive(Clone, Debug, Args)]
#[command(after_help = "Example: cargo xtask logs app --follow --since 10m --grep ' 5\\d\\d '")]
pub struct Logs {
    /// Only this part; all parts without it. The name of a further service is one, too
    #[arg(value_parser = PartParser(LOG_PARTS))]
    pub part: Option<PartName>,
    /// Go on with what comes, also from pods that are new, until Ctrl-C
    #[arg(long, short)]
    pub follow: bool,
    /// Only what is younger, such as 30s, 10m or 2h
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub since: Option<Duration>,
    /// Only lines that the regular expression matches
    #[arg(long, value_name = "REGEX")]
    pub grep: Option<String>,
    /// One JSON object for each line
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "Example: cargo xtask forward database")]
pub struct Forward {
    /// A further service's name is one, too
    #[arg(value_parser = PartParser(FORWARD_PARTS), default_value = "database")]
    pub to: PartName,
    /// The port on this machine: this one or an error [default: the usual one, or the next that is free]
    #[arg(long)]
    pub port: Option<u16>,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "Example: cargo xtask psql -c 'SELECT * FROM polls_choice'")]
pub struct Psql {
    /// Passed on to psql
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub arguments: Vec<String>,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "Example: cargo xtask shell app -- ls -l /tmp")]
pub struct Shell {
    /// A further service's name is one, too; the node also of a cluster that is not finished
    #[arg(value_parser = PartParser(SHELL_PARTS), default_value = "app")]
    pub part: PartName,
    /// A command in place of the shell
    #[arg(last = true)]
    pub command: Vec<String>,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "Example: cargo xtask manage createsuperuser\nEnds with the command's own exit code.")]
pub struct Manage {
    /// The management command and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    pub arguments: Vec<String>,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "Example: cargo xtask kubectl get pods -A\nEnds with kubectl's own exit code.")]
pub struct Kubectl {
    /// Passed on to kubectl
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub arguments: Vec<String>,
}
