//! Flags of `db` and `drill`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueEnum};

use crate::flags::{Output, duration};

#[derive(Clone, Debug, Args)]
pub struct Db {
    #[command(subcommand)]
    pub command: DbCommand,
}

#[derive(Clone, Debug, Subcommand)]
pub enum DbCommand {
    /// Write a consistent dump of the database to a file, and check that it can be restored
    Snapshot {
        /// The new file [default: a file in snapshots/ with instance and time in its name]
        file: Option<PathBuf>,
        /// Skip the check, which restores the dump into a scratch database
        #[arg(long)]
        no_verify: bool,
    },
    /// Write a snapshot to the place of `database.backup`, and delete the oldest ones there
    Backup {
        /// Go on until Ctrl-C or `delete`: the first backup at once, and then one in each interval, such as 6h
        #[arg(long, value_name = "INTERVAL", value_parser = duration::parse)]
        every: Option<Duration>,
    },
    /// List the files in snapshots/, and the backups
    Ls,
    /// Replace the database's content by a file's, all or nothing, while the application runs
    Restore {
        /// A file that `db snapshot` or `db backup` wrote; s3://BUCKET/PREFIX/FILE is fetched first
        file: PathBuf,
        /// Accept a file of pg_dump in custom format; only pg_restore can detect that it is truncated
        #[arg(long)]
        from_pg_dump: bool,
    },
}

#[derive(Clone, Debug, Args)]
#[command(
    after_help = "`--name NAME` addresses the new instance in every command, also in `delete`. Its generated keys are its own, and files of volumes\nare not copied.\n\nExample: cargo xtask clone demo"
)]
pub struct NewInstance {
    /// The name of the new instance
    #[arg(value_name = "NAME")]
    pub new: String,
}

#[derive(Clone, Debug, Args)]
pub struct Drill {
    #[command(subcommand)]
    pub command: DrillCommand,
}

#[derive(Clone, Debug, Subcommand)]
pub enum DrillCommand {
    /// Kill the primary while numbered votes are written, and count the acknowledged votes that are lost
    Failover(Failover),
    /// Restore the database's content into a scratch database, and report the seconds, tables and rows
    Restore(Rehearse),
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "The application's database does not change.\n\nExample: cargo xtask drill restore")]
pub struct Rehearse {
    /// A file that `db snapshot` or `db backup` wrote, or s3://BUCKET/PREFIX/FILE [default: a new dump of the database]
    pub file: Option<PathBuf>,
    /// The output format: lines, or one JSON object
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

#[derive(Clone, Debug, Args)]
#[command(
    after_help = "The votes go into a database of their own, which is dropped at the end.\n\nExit code: 1 if an acknowledged vote is lost.\n\nExample: cargo xtask drill failover --yes --kill postgres --times 5"
)]
pub struct Failover {
    /// What is killed
    #[arg(long, value_enum, default_value_t = Kill::Pod)]
    pub kill: Kill,
    /// How many times
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub times: u16,
    /// The output format: a table, or one JSON object
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kill {
    /// The primary's pod, without a grace period
    Pod,
    /// PostgreSQL in the primary's pod, by SIGKILL
    Postgres,
    /// kind with workers: the node of the primary, which starts again after the failover
    Node,
    /// kind with workers: the network of the primary's node, which runs on alone until after the failover
    Partition,
}

impl Kill {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Kill::Pod => "pod",
            Kill::Postgres => "postgres",
            Kill::Node => "node",
            Kill::Partition => "partition",
        }
    }
}
