//! The command line of `bench` and `test`, with the global flags of the tool itself.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand};
use pocdeploy::flags::{Global, Output};

/// Commands of a checkout
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, arg_required_else_help = true, max_term_width = 100)]
pub(crate) struct Flags {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) global: Global,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Compare the time with that of a plain script, or of an earlier commit
    Bench(Bench),
    /// Check the project: format, lints, tests, and a real cluster from create to delete
    Test(Test),
}

#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Test {
    /// Run the long tests too
    #[arg(long)]
    pub(crate) full: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Bench {
    /// Runs of each side [default: 3; with --before, 5]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) runs: Option<u16>,
    /// Skip the rows that take long; with --before, those that need a cluster
    #[arg(long)]
    pub(crate) short: bool,
    /// Compare with the tool of an earlier commit instead of the script: DIR is a checkout of it, which is built there
    #[arg(long, value_name = "DIR", conflicts_with = "peers")]
    pub(crate) before: Option<PathBuf>,
    /// Another command to measure: NAME=COMMAND, run without a shell in a copy of the project
    #[arg(long = "peer", value_name = "NAME=COMMAND", value_parser = peer)]
    pub(crate) peers: Vec<Peer>,
    /// The program to measure, for example of another commit [default: the one that cargo has built]
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) tool: Option<PathBuf>,
    /// The output format: a table, or one JSON object
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

impl Bench {
    /// Runs of this tool and of the script.
    pub(crate) fn runs(&self) -> u16 {
        self.runs.unwrap_or(3)
    }

    /// The program to measure: `--tool`, or else the one in the same folder as this program.
    pub(crate) fn program(&self) -> Result<PathBuf> {
        match &self.tool {
            Some(tool) => tool.canonicalize().with_context(|| format!("--tool {}", tool.display())),
            None => Ok(std::env::current_exe().context("find the running program")?.with_file_name("xtask")),
        }
    }
}

/// The command of another tool.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) name: String,
    pub(crate) command: Vec<String>,
}

fn peer(text: &str) -> Result<Peer, String> {
    let (name, command) = text.split_once('=').ok_or("it is written NAME=COMMAND")?;
    let command: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
    if name.is_empty() || command.is_empty() {
        return Err("it is written NAME=COMMAND".to_owned());
    }
    Ok(Peer { name: name.to_owned(), command })
}
