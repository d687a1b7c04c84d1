//! `bench` and `test`, which only a checkout has: their code is the package `checks`, compiled when one of them is called.
//!
//! The menu of a checkout names them; their flags are in `checks/src/flags.rs`. An installed program does not know them.

use std::{ffi::OsString, path::Path};

use clap::{Arg, ArgAction, ArgMatches, Command};
use pocdeploy::tool;

/// Each with what `--help` says of it.
const COMMANDS: [(&str, &str); 2] = [
    ("bench", "Time this tool beside the script that everybody writes"),
    ("test", "Check the project: format, lints, tests, and a real cluster from create to delete"),
];

/// The tool's command line with these commands at its end. What follows their names is left to `checks`, `--help` too.
pub(crate) fn with_its_commands(tool: Command) -> Command {
    COMMANDS.into_iter().fold(tool, |tool, (name, about)| {
        let arguments = Arg::new("arguments").action(ArgAction::Append).num_args(0..).trailing_var_arg(true).allow_hyphen_values(true);
        let after = format!("What it takes is told by: cargo xtask {name} --help");
        tool.subcommand(Command::new(name).about(about).after_help(after).disable_help_flag(true).arg(arguments))
    })
}

/// Whether one of these commands was called.
pub(crate) fn has_its_commands(found: &ArgMatches) -> bool {
    found.subcommand_name().is_some_and(|called| COMMANDS.iter().any(|(name, _)| *name == called))
}

/// Puts `checks` with this call's arguments in the place of this process, compiled by cargo where it is not yet. Returns only if that
/// fails.
pub(crate) fn run_checks() -> anyhow::Error {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../checks/Cargo.toml");
    let start = ["run", "--quiet", "--manifest-path", manifest, "--"].map(OsString::from);
    let arguments: Vec<OsString> = start.into_iter().chain(std::env::args_os().skip(1)).collect();
    tool::replace_by(Path::new(&cargo), &arguments)
}
