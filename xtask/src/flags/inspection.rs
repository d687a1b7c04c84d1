//! Flags of the commands that inspect a running instance.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use crate::{
    config::ServiceName,
    flags::{Output, duration, values::ComponentParser},
    provider::Rest,
};

#[derive(Clone, Debug, Args)]
#[command(after_help = "Example: cargo xtask pause --keep-memory")]
pub struct Pause {
    /// Freeze the programs instead of stopping them: they need no processor, keep their memory, and go on within seconds
    #[arg(long)]
    pub keep_memory: bool,
}

impl Pause {
    pub fn rest(&self) -> Rest {
        if self.keep_memory { Rest::Frozen } else { Rest::Stopped }
    }
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "Exit code: 0 if every check passes, 5 if one fails.\n\nExample: cargo xtask validate --junit report.xml")]
pub struct Validate {
    /// The output format
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// Also write the checks as JUnit XML, for a CI system
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "Example: cargo xtask status --watch")]
pub struct Status {
    /// Refresh every two seconds, until Ctrl-C
    #[arg(long, short)]
    pub watch: bool,
    /// The output format
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// A component of an instance, by its name on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ComponentName {
    /// The first service.
    App,
    Migration,
    Database,
    Operator,
    /// The cluster's node, also of an unfinished cluster.
    Node,
    /// A further service.
    Service(ServiceName),
}

impl ComponentName {
    /// As it is typed.
    pub fn name(&self) -> String {
        match self {
            ComponentName::Service(name) => name.to_string(),
            other => other.fixed().unwrap_or_default().to_owned(),
        }
    }

    /// The name of a part that every instance has.
    pub(super) fn fixed(&self) -> Option<&'static str> {
        match self {
            ComponentName::App => Some("app"),
            ComponentName::Migration => Some("migration"),
            ComponentName::Database => Some("database"),
            ComponentName::Operator => Some("operator"),
            ComponentName::Node => Some("node"),
            ComponentName::Service(_) => None,
        }
    }
}

const LOG_PARTS: &[ComponentName] =
    &[ComponentName::App, ComponentName::Migration, ComponentName::Database, ComponentName::Operator, ComponentName::Node];
const SHELL_PARTS: &[ComponentName] = &[ComponentName::App, ComponentName::Database, ComponentName::Node];
const FORWARD_PARTS: &[ComponentName] = &[ComponentName::Database, ComponentName::App];

#[derive(Clone, Debug, Args)]
#[command(after_help = "Example: cargo xtask logs app --follow --since 10m --grep ' 5\\d\\d '")]
pub struct Logs {
    /// The component, or the name of a further service [default: all]
    #[arg(value_parser = ComponentParser(LOG_PARTS))]
    pub part: Option<ComponentName>,
    /// Follow the logs, also of new pods, until Ctrl-C
    #[arg(long, short)]
    pub follow: bool,
    /// Only lines younger than this, for example 30s, 10m or 2h
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub since: Option<Duration>,
    /// Only lines that match this regular expression
    #[arg(long, value_name = "REGEX")]
    pub grep: Option<String>,
    /// Print each line as a JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "Example: cargo xtask forward database")]
pub struct Forward {
    /// The component, or the name of a further service
    #[arg(value_parser = ComponentParser(FORWARD_PARTS), default_value = "database")]
    pub to: ComponentName,
    /// The local port; an error if it is not free [default: the usual port, or the next free one]
    #[arg(long)]
    pub port: Option<u16>,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "Example: cargo xtask psql -c 'SELECT * FROM polls_choice'")]
pub struct Psql {
    /// Arguments for psql
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub arguments: Vec<String>,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "Example: cargo xtask shell app -- ls -l /tmp")]
pub struct Shell {
    /// The component, or the name of a further service; `node` works also for an unfinished cluster
    #[arg(value_parser = ComponentParser(SHELL_PARTS), default_value = "app")]
    pub part: ComponentName,
    /// A command to run instead of the shell
    #[arg(last = true)]
    pub command: Vec<String>,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "Example: cargo xtask manage createsuperuser\nThe exit code is that of the command.")]
pub struct Manage {
    /// The management command and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    pub arguments: Vec<String>,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "Example: cargo xtask kubectl get pods -A\nThe exit code is that of kubectl.")]
pub struct Kubectl {
    /// Arguments for kubectl
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub arguments: Vec<String>,
}
