//! The command line. Flags are resolved once, in `commands.rs`; nobody below sees clap.

pub(crate) mod duration;
pub mod inside;
mod values;

use std::{path::PathBuf, time::Duration};

use clap::{ArgMatches, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

use crate::{
    called,
    config::ClusterType,
    errors::Code,
    flags::values::TaskParser,
    graph::{TaskId, TaskKind},
    report::choose::Colour,
};

/// Turn an application's repository into a running proof of concept on Kubernetes
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, 1 a task failed, 2 usage, 3 configuration, 4 a requirement is missing, 5 unhealthy,\n6 timed out, 130 interrupted, 143 terminated. The tool sends no telemetry."
)]
pub struct Flags {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub global: Global,
}

/// The command line under the name that the user called it by.
pub fn command() -> clap::Command {
    Flags::command().name(called::program()).bin_name(called::program())
}

/// What `command` found on the command line; ends the process where that cannot be meant.
pub fn read(found: &ArgMatches) -> Flags {
    Flags::from_arg_matches(found).unwrap_or_else(|error| error.exit())
}

/// Flags of every command.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// Consent to installing and starting what is missing, without a question
    #[arg(long, short, global = true)]
    pub yes: bool,
    /// Show each command that is run, and why settings were made
    #[arg(long, short, global = true)]
    pub verbose: bool,
    /// Show failures only
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Colours: on a terminal, always or never; NO_COLOR and CLICOLOR_FORCE are heard too
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Colour::Auto, hide_possible_values = true, global = true)]
    pub color: Colour,
    /// Print every event as one line of JSON on standard output; nothing is asked
    #[arg(long, global = true)]
    pub events: bool,
    /// Show what would be done, and change nothing
    #[arg(long, global = true)]
    pub dry_run: bool,
    /// End the whole run after this long, such as 90s, 10m or 1h30m
    #[arg(long, value_name = "DURATION", global = true, value_parser = duration::parse)]
    pub timeout: Option<Duration>,
    /// The project's folder [default: the nearest one upwards with a Pocdeploy.toml]
    #[arg(long, value_name = "DIR", global = true)]
    pub project: Option<PathBuf>,
    /// Another configuration file than the project's Pocdeploy.toml
    #[arg(long, value_name = "PATH", global = true)]
    pub config: Option<PathBuf>,
    /// The instance's name, over `name` of Pocdeploy.toml
    #[arg(long, global = true)]
    pub name: Option<String>,
    /// Where the cluster comes from, over `cluster.type` of Pocdeploy.toml
    #[arg(long = "type", value_name = "TYPE", global = true)]
    pub cluster_type: Option<ClusterType>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Do everything: patch, requirements, image, cluster, deploy; print the URL
    Create(Create),
    /// Show what create would do, down to the properties of the cluster's objects
    Plan(Plan),
    /// Bring the changed source to the running instance, without a failed request
    Update,
    /// Bring every save into the pods that run, until Ctrl-C
    Dev,
    /// List the revisions: what ran when, why, and what became of it
    History(History),
    /// Put an earlier revision back
    Rollback(Rollback),
    /// Keep what the database holds in a file, and put it back
    Db(Db),
    /// Take everything of this instance away, and prove it
    Delete(Delete),
    /// Stage the application and apply the patches
    Patch(Part),
    /// Pin the requirements and download their wheels
    Requirements(Requirements),
    /// Build the application's image
    Image(Part),
    /// Bring up the cluster
    Cluster(Part),
    /// Bring the application's image into the cluster
    Load(Part),
    /// Bring up the operator
    Operator(Part),
    /// Bring up the database, with its operator
    Database(Part),
    /// Deploy operator, database and application
    Deploy(Part),
    /// Check that the deployment is healthy and as planned
    Validate(inside::Validate),
    /// Show the instance on one screen: cluster, operator, database, application, drift
    Status(inside::Status),
    /// Show what application, migration, database and operator write
    Logs(inside::Logs),
    /// Print the URL of the running application
    Url,
    /// Open the running application in the browser
    Open,
    /// Lead a local port to the database or the application
    Forward(inside::Forward),
    /// Run psql in the database's primary
    Psql(inside::Psql),
    /// Run a shell or a command in a pod
    Shell(inside::Shell),
    /// Run a management command of the application in the cluster
    Manage(inside::Manage),
    /// Run kubectl on the instance's cluster
    Kubectl(inside::Kubectl),
    /// List all instances on this machine
    Ls(Ls),
    /// Show the tasks, what each needs, and the state that each is in
    Graph(Graph),
    /// Show what a task's result depends on, or what an error's code means
    Explain(Explain),
    /// Look whether this machine has what a run needs, and change nothing
    Doctor(Doctor),
    /// Pack what helps to understand a failure into one archive, without secrets
    SupportBundle(SupportBundle),
    /// Write the last runs as one HTML page: timeline, reasons, logs, versions
    Report(Report),
    /// Show the configuration that counts
    Config(Config),
    /// Install a program `pocdeploy` that works in any project's folder, with completions
    Install(Install),
    /// Write files that an installed pocdeploy carries into the project
    Eject(Eject),
}

#[derive(Clone, Debug, Args)]
pub struct Create {
    /// What is printed on standard output: the URL, or one JSON object
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// Take what comes before this task as it is; run it and all that follow, even if their products are there
    #[arg(long, value_name = "TASK", value_parser = TaskParser)]
    pub from: Option<TaskId>,
    /// Do what the file of `plan --out` says, or nothing where world or inputs have changed since
    #[arg(long, value_name = "FILE", conflicts_with_all = ["from", "dry_run"])]
    pub plan: Option<PathBuf>,
    /// Start a new instance from a snapshot of a database
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    pub restore: Option<PathBuf>,
}

/// For commands that end with one task.
#[derive(Clone, Debug, Args)]
pub struct Part {
    /// Run this task alone; what it needs must be there
    #[arg(long)]
    pub only: bool,
    /// Take what comes before this task as it is; run it and all that follow, even if their products are there
    #[arg(long, value_name = "TASK", value_parser = TaskParser, conflicts_with = "only")]
    pub from: Option<TaskId>,
}

#[derive(Clone, Debug, Args)]
pub struct Report {
    /// Where to write it [default: target/pocdeploy/report.html]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// How to print where it is
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

#[derive(Clone, Debug, Args)]
pub struct Ls {
    /// How to write it
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    #[default]
    Text,
    Json,
}

#[derive(Clone, Debug, Default, Args)]
pub struct Plan {
    /// End with 2 when there is something to do, with 0 when there is nothing
    #[arg(long)]
    pub detailed_exitcode: bool,
    /// Keep the plan in a file, for `create --plan`
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// How to write it
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

#[derive(Clone, Debug, Args)]
pub struct Graph {
    /// How to write it
    #[arg(long, value_enum, default_value_t = GraphFormat::Text)]
    pub format: GraphFormat,
    /// The same as --format
    #[arg(long, value_enum, conflicts_with = "format")]
    pub output: Option<Output>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GraphFormat {
    Text,
    Mermaid,
    Dot,
    Json,
}

#[derive(Clone, Debug, Args)]
pub struct Explain {
    /// A task's name or an error's code, such as E0201; all tasks without it
    #[arg(value_parser = Topic::parse)]
    pub topic: Option<Topic>,
    /// How to write it
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// What `explain` can explain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    Task(TaskId),
    Code(Code),
}

impl Topic {
    fn parse(text: &str) -> Result<Topic, String> {
        let code = Code::of(text).map(Topic::Code);
        let task = || TaskId::parse(text).filter(|it| TaskKind::GRAPH.contains(&it.kind)).map(Topic::Task);
        code.or_else(task).ok_or_else(|| {
            let tasks = TaskKind::GRAPH.map(TaskKind::name).join(", ");
            format!("neither an error's code nor one of the tasks {tasks}")
        })
    }
}

#[derive(Clone, Debug, Args)]
pub struct SupportBundle {
    /// Where to write it [default: support-bundle.tar.gz in target/pocdeploy]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub struct Doctor {
    /// How to write it
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

#[derive(Clone, Debug, Args)]
pub struct Config {
    #[command(subcommand)]
    pub command: ConfigCommand,
}

#[derive(Clone, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Show every key with its value
    Show {
        /// Also show where each value comes from: flag, variable, file or default
        #[arg(long)]
        origin: bool,
        /// How to write it; JSON has the origins in any case
        #[arg(long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Print the JSON schema of Pocdeploy.toml, for editors
    Schema,
}

#[derive(Clone, Debug, Args)]
pub struct History {
    /// What is printed on standard output: a table, or one JSON object
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

#[derive(Clone, Debug, Args)]
pub struct Db {
    #[command(subcommand)]
    pub command: DbCommand,
}

#[derive(Clone, Debug, Subcommand)]
pub enum DbCommand {
    /// Write what the database holds to a file, consistent, whole and proven to be restorable
    Snapshot {
        /// The file, which must not be there yet [default: one in snapshots/, named by instance and time]
        file: Option<PathBuf>,
        /// Do not restore it into a scratch database first: it may hold what cannot be put back
        #[arg(long)]
        no_verify: bool,
    },
    /// List the files of snapshots/
    Ls,
    /// Replace what the database holds by a file's content, all or nothing, while the application runs
    Restore {
        /// A file that `db snapshot` wrote
        file: PathBuf,
        /// The file is pg_dump's own, in its custom format: nothing but pg_restore can tell that it is whole
        #[arg(long)]
        from_pg_dump: bool,
    },
}

#[derive(Clone, Debug, Args)]
pub struct Rollback {
    /// The revision's number, as `history` shows it [default: the one that served before]
    pub revision: Option<u32>,
}

#[derive(Clone, Debug, Args)]
pub struct Delete {
    /// Also stop the engine of the tool's own, and remove all that it and the cache hold
    #[arg(long)]
    pub purge: bool,
    /// Also print one JSON object on standard output: what was removed, and what is left
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

#[derive(Clone, Debug, Args)]
pub struct Install {
    /// Install into DIR/bin [default: cargo's own folder, ~/.cargo]
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Remove what an earlier `install` wrote
    #[arg(long)]
    pub uninstall: bool,
}

#[derive(Clone, Debug, Args)]
pub struct Eject {
    /// Files and folders, such as deploy/frontend [default: all]
    pub paths: Vec<PathBuf>,
    /// Overwrite files of other content
    #[arg(long)]
    pub force: bool,
}

#[derive(Clone, Debug, Args)]
pub struct Requirements {
    #[command(flatten)]
    pub part: Part,
    /// Resolve anew, even if the pins fit
    #[arg(long)]
    pub refresh: bool,
}

impl Graph {
    /// The two flags as one.
    pub fn format(&self) -> GraphFormat {
        if self.output == Some(Output::Json) { GraphFormat::Json } else { self.format }
    }
}
