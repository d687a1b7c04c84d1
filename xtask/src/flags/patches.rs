//! The flags of `patch` and `upstream`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::{
    config::ServiceName,
    flags::{Output, Part},
    upstream::Source,
};

#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Patch {
    #[command(flatten)]
    pub part: Part,
    /// Discard changes that were made by hand in the staged application
    #[arg(long)]
    pub discard: bool,
    #[command(subcommand)]
    pub command: Option<PatchCommand>,
}

/// The service whose patches or source are meant.
#[derive(Clone, Debug, Default, Args)]
pub struct Of {
    /// A further service, by its name [default: the first service, frontend]
    #[arg(long, value_name = "NAME", value_parser = service)]
    pub service: Option<ServiceName>,
}

fn service(text: &str) -> Result<ServiceName, String> {
    ServiceName::new(text).ok_or_else(|| "this is not the name of a service".to_owned())
}

/// How to go on after a conflict.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct After {
    /// Go on after the conflict was resolved
    #[arg(long = "continue", conflicts_with_all = ["skip", "abort"])]
    pub go_on: bool,
    /// Leave out the patch that conflicts, and go on
    #[arg(long, conflicts_with = "abort")]
    pub skip: bool,
    /// Undo everything
    #[arg(long)]
    pub abort: bool,
}

#[derive(Clone, Debug, Subcommand)]
pub enum PatchCommand {
    /// Show for each patch whether it applies, is upstream already, or conflicts
    Status {
        #[command(flatten)]
        of: Of,
        /// The output format
        #[arg(long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Make a patch of what was changed by hand in the staged application
    New {
        /// The subject of the patch, and its file name [default: the changed file]
        title: Option<String>,
        #[command(flatten)]
        of: Of,
    },
    /// Open the patches as commits of a git repository, and stop at one of them
    Edit {
        /// The patch to stop at: its file name, its number, or a part of its name
        patch: Option<String>,
        /// Begin again, and discard work that is not in the patches
        #[arg(long)]
        discard: bool,
        #[command(flatten)]
        of: Of,
    },
    /// Write the commits of `patch edit` back as patch files
    Refresh {
        #[command(flatten)]
        of: Of,
    },
    /// Move the patches to the source as it is now, after it was replaced by hand
    Rebase {
        #[command(flatten)]
        after: After,
        #[command(flatten)]
        of: Of,
    },
    /// Remove patches from the queue
    Drop {
        /// Their file names, numbers, or parts of their names
        #[arg(required = true)]
        patches: Vec<String>,
        #[command(flatten)]
        of: Of,
    },
    /// Print the patches as a mailbox, for `git am` or for upstream's maintainers
    Export {
        /// Their file names, numbers, or parts of their names [default: all]
        patches: Vec<String>,
        /// Write to this file instead of standard output
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        #[command(flatten)]
        of: Of,
    },
}

impl PatchCommand {
    /// The service that the command is about.
    pub fn service(&self) -> Option<ServiceName> {
        match self {
            PatchCommand::Status { of, .. }
            | PatchCommand::New { of, .. }
            | PatchCommand::Edit { of, .. }
            | PatchCommand::Refresh { of }
            | PatchCommand::Rebase { of, .. }
            | PatchCommand::Drop { of, .. }
            | PatchCommand::Export { of, .. } => of.service,
        }
    }
}

#[derive(Clone, Debug, Args)]
pub struct Upstream {
    #[command(subcommand)]
    pub command: UpstreamCommand,
}

#[derive(Clone, Debug, Subcommand)]
pub enum UpstreamCommand {
    /// Show where the source comes from, whether it was changed, and which versions there are
    Status {
        #[command(flatten)]
        of: Of,
        /// The output format
        #[arg(long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Replace the source by another version, and move the patches to it
    Update {
        /// The version, tag or commit
        #[arg(required_unless_present_any = ["go_on", "skip", "abort"], conflicts_with_all = ["skip", "abort"])]
        version: Option<String>,
        /// Where the source comes from, if UPSTREAM.md does not say it: sdist:NAME, wheel:NAME, npm:NAME, git:URL, archive:PATH, folder:PATH
        #[arg(long, value_name = "SOURCE", value_parser = Source::parse)]
        from: Option<Source>,
        /// Replace the source even if it was changed by hand
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        after: After,
        #[command(flatten)]
        of: Of,
    },
    /// Show how the source differs from its version, or from another one
    Diff {
        /// The other version [default: the one in UPSTREAM.md]
        version: Option<String>,
        #[command(flatten)]
        of: Of,
    },
}

impl UpstreamCommand {
    /// The service that the command is about.
    pub fn service(&self) -> Option<ServiceName> {
        match self {
            UpstreamCommand::Status { of, .. } | UpstreamCommand::Update { of, .. } | UpstreamCommand::Diff { of, .. } => of.service,
        }
    }
}
