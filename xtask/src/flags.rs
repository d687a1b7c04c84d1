//! The command line. `commands.rs` turns the flags into plain values once; no module below it uses clap.

pub mod database;
mod deletion;
pub(crate) mod duration;
pub mod exporting;
pub mod inspection;
pub mod patches;
mod values;

use std::{path::PathBuf, time::Duration};

use clap::{ArgMatches, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

use crate::{
    config::ClusterType,
    errors::Code,
    flags::values::TaskParser,
    graph::{TaskId, TaskKind},
    invocation,
    report::listeners::Colour,
};

pub use crate::flags::database::{Db, DbCommand};
pub use crate::flags::deletion::Delete;

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

/// The clap command, named as the user invoked the program: `cargo xtask` or `pocdeploy`.
pub fn command() -> clap::Command {
    Flags::command().name(invocation::program()).bin_name(invocation::program())
}

/// The parsed flags. Ends the process with a message when they are wrong.
pub fn read(found: &ArgMatches) -> Flags {
    Flags::from_arg_matches(found).unwrap_or_else(|error| error.exit())
}

/// Flags that every command has.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// Agree to everything, also to replacing or killing a database
    #[arg(long, short, global = true)]
    pub yes: bool,
    /// Show each external command, and the reason of each setting that this machine needs
    #[arg(long, short, global = true)]
    pub verbose: bool,
    /// Show failures only
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Colours: auto (on a terminal), always or never; NO_COLOR and CLICOLOR_FORCE are honoured
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Colour::Auto, hide_possible_values = true, global = true)]
    pub color: Colour,
    /// Print every event as one line of JSON on standard output; ask no questions
    #[arg(long, global = true)]
    pub events: bool,
    /// Show what the command would do, and change nothing
    #[arg(long, global = true)]
    pub dry_run: bool,
    /// Stop the whole run after this time, for example 90s, 10m or 1h30m
    #[arg(long, value_name = "DURATION", global = true, value_parser = duration::parse)]
    pub timeout: Option<Duration>,
    /// The project's folder [default: the nearest folder with a Pocdeploy.toml, from here upwards]
    #[arg(long, value_name = "DIR", global = true)]
    pub project: Option<PathBuf>,
    /// The configuration file [default: the project's Pocdeploy.toml]
    #[arg(long, value_name = "PATH", global = true)]
    pub config: Option<PathBuf>,
    /// The instance's name; overrides `name` in Pocdeploy.toml
    #[arg(long, global = true)]
    pub name: Option<String>,
    /// The kind of cluster; overrides `cluster.type` in Pocdeploy.toml
    #[arg(long = "type", value_name = "TYPE", global = true)]
    pub cluster_type: Option<ClusterType>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Recognise the application in this folder, and write what it needs
    Init(Init),
    /// Do everything: patch, requirements, image, cluster, deploy; print the URL
    Create(Create),
    /// Show what create would do, down to the fields of the cluster's objects
    Plan(Plan),
    /// Deploy the changed source to the running instance without downtime
    Update,
    /// Copy each saved file into the running pod, until Ctrl-C
    Dev,
    /// List the revisions: when, which image, why, and the outcome
    History(History),
    /// Return to an earlier revision
    Rollback(Rollback),
    /// Save the database to a file, and restore it
    Db(Db),
    /// Create a second instance with the content of this one's database
    Clone(database::NewInstance),
    /// Rehearse the loss of the database: kill its primary, or restore its content
    Drill(database::Drill),
    /// Remove everything of this instance, and check that nothing is left
    Delete(Delete),
    /// Stop the instance, which keeps everything and uses no processor and no memory
    Pause(inspection::Pause),
    /// Start a stopped instance again, and wait until the page answers
    Resume,
    /// Stage the application and apply the patches; its subcommands work on the patches
    Patch(patches::Patch),
    /// Replace the application's source by another version of upstream
    Upstream(patches::Upstream),
    /// Write what is deployed as files that work without this tool
    Export(exporting::Export),
    /// Pin the requirements and download their wheels
    Requirements(Requirements),
    /// Build the application's image
    Image(Part),
    /// Create or start the cluster
    Cluster(Part),
    /// Load the application's image into the cluster
    Load(Part),
    /// Install the CloudNativePG operator
    Operator(Part),
    /// Create the database, and the operator that it needs
    Database(Part),
    /// Deploy operator, database and application
    Deploy(Part),
    /// Check that the deployment is healthy and matches the configuration
    Validate(inspection::Validate),
    /// Show the instance on one screen: cluster, operator, database, application, drift
    Status(inspection::Status),
    /// Show the logs of application, migration, database and operator
    Logs(inspection::Logs),
    /// Print the URL of the running application
    Url,
    /// Open the running application in the browser
    Open,
    /// Forward a local port to the database or the application
    Forward(inspection::Forward),
    /// Run psql in the database's primary
    Psql(inspection::Psql),
    /// Run a shell or a command in a pod
    Shell(inspection::Shell),
    /// Run a management command of the application in the cluster
    Manage(inspection::Manage),
    /// Run kubectl on the instance's cluster
    Kubectl(inspection::Kubectl),
    /// List all instances on this machine
    Ls(Ls),
    /// Show the tasks, the needs of each, and its state
    Graph(Graph),
    /// Explain why a task would run, or what an error code means
    Explain(Explain),
    /// Check that this machine meets the requirements of a run
    Doctor(Doctor),
    /// Print how to trust the certificate authority of HTTPS on this machine
    Trust,
    /// Pack logs, configuration and cluster state into one archive, without secrets
    SupportBundle(SupportBundle),
    /// Write what is in each image that the tool has built, as CycloneDX files
    Sbom(Sbom),
    /// Write an HTML page about the last runs: timeline, reasons, logs, versions
    Report(Report),
    /// Show the effective configuration
    Config(Config),
    /// Install a program `pocdeploy` that works in any project's folder, with completions
    Install(Install),
    /// Write into the project what it lacks and the tool has: manifests, recipes, patches
    Eject(Eject),
}

#[derive(Clone, Debug, Args)]
pub struct Init {
    /// Show every file and line that was looked at and what follows from it, and write nothing
    #[arg(long)]
    pub explain: bool,
}

#[derive(Clone, Debug, Args)]
pub struct Create {
    /// What is printed on standard output: the URL, or one JSON object
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// Run this task and all later tasks, even if their products exist; skip the earlier tasks
    #[arg(long, value_name = "TASK", value_parser = TaskParser)]
    pub from: Option<TaskId>,
    /// Apply the plan in a file of `plan --out`; fail if the cluster or the inputs have changed since
    #[arg(long, value_name = "FILE", conflicts_with_all = ["from", "dry_run"])]
    pub plan: Option<PathBuf>,
    /// Restore a snapshot into the database of a new instance: a file, or s3://BUCKET/PREFIX/FILE
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    pub restore: Option<PathBuf>,
}

/// Flags of the commands that run one task and its needs.
#[derive(Clone, Debug, Args)]
pub struct Part {
    /// Run this task alone; fail if a product that it needs is missing
    #[arg(long)]
    pub only: bool,
    /// Run this task and all later tasks, even if their products exist; skip the earlier tasks
    #[arg(long, value_name = "TASK", value_parser = TaskParser, conflicts_with = "only")]
    pub from: Option<TaskId>,
}

#[derive(Clone, Debug, Args)]
pub struct Report {
    /// The page's file [default: target/pocdeploy/report.html]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// The format of the page's path on standard output
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

#[derive(Clone, Debug, Args)]
pub struct Ls {
    /// The output format
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
    /// Exit with 2 if create would change something, with 0 if not
    #[arg(long)]
    pub detailed_exitcode: bool,
    /// Write the plan to a file, for `create --plan`
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// The output format
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

#[derive(Clone, Debug, Args)]
pub struct Graph {
    /// The output format
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
    /// A task's name or an error code, for example E0201 [default: all tasks]
    #[arg(value_parser = Topic::parse)]
    pub topic: Option<Topic>,
    /// The output format
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
            format!("neither an error code nor one of the tasks {tasks}")
        })
    }
}

#[derive(Clone, Debug, Args)]
pub struct SupportBundle {
    /// The archive's file [default: target/pocdeploy/support-bundle.tar.gz]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub struct Sbom {
    /// The folder for the files [default: target/pocdeploy/sbom]
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub struct Doctor {
    /// The output format
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
        /// Also show the origin of each value: flag, variable, file or default
        #[arg(long)]
        origin: bool,
        /// The output format; JSON always has the origins
        #[arg(long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Print the JSON schema of Pocdeploy.toml, for editors
    Schema,
}

#[derive(Clone, Debug, Args)]
pub struct History {
    /// The output format: a table, or one JSON object
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

#[derive(Clone, Debug, Args)]
pub struct Rollback {
    /// The revision's number in `history` [default: the one before the current]
    pub revision: Option<u32>,
}

#[derive(Clone, Debug, Args)]
pub struct Install {
    /// Install into DIR/bin [default: cargo's folder, ~/.cargo]
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Remove the files that `install` wrote
    #[arg(long)]
    pub uninstall: bool,
}

#[derive(Clone, Debug, Args)]
pub struct Eject {
    /// Files and folders, for example deploy/frontend or deploy/frontend/deployment.yaml [default: all]
    pub paths: Vec<PathBuf>,
    /// Overwrite files with other content
    #[arg(long)]
    pub force: bool,
}

#[derive(Clone, Debug, Args)]
pub struct Requirements {
    #[command(flatten)]
    pub part: Part,
    /// Resolve again, even if the pins match the requirements
    #[arg(long)]
    pub refresh: bool,
}

impl Graph {
    /// The format that `--format` or `--output` sets.
    pub fn format(&self) -> GraphFormat {
        if self.output == Some(Output::Json) { GraphFormat::Json } else { self.format }
    }
}
