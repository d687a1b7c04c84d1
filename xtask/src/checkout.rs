//! `bench` and `test`, which only a checkout has: their code is the package `checks`, which cargo compiles when you run one of them.
//!
//! `--help` of a checkout lists them; their flags are in `checks/src/flags.rs`. An installed program does not have them.

use std::{ffi::OsString, path::Path};

use clap::{Arg, ArgAction, ArgMatches, Command};
use pocdeploy::tool;

/// The commands and their help texts.
const COMMANDS: [(&str, &str); 2] = [
    ("bench", "Compare the time with that of a plain script, or of an earlier commit"),
    ("test", "Check the project: format, lints, tests, and a real cluster from create to delete"),
];

/// The tool's command line with these commands at its end. `checks` parses their arguments, including `--help`.
pub(crate) fn with_its_commands(tool: Command) -> Command {
    COMMANDS.into_iter().fold(tool, |tool, (name, about)| {
        let arguments = Arg::new("arguments").action(ArgAction::Append).num_args(0..).trailing_var_arg(true).allow_hyphen_values(true);
        let after = format!("For its flags, run: cargo xtask {name} --help");
        tool.subcommand(Command::new(name).about(about).after_help(after).disable_help_flag(true).arg(arguments))
    })
}

/// Whether the user runs one of these commands.
pub(crate) fn has_its_commands(found: &ArgMatches) -> bool {
    found.subcommand_name().is_some_and(|called| COMMANDS.iter().any(|(name, _)| *name == called))
}

/// Replaces this process by `checks` with the same arguments; cargo compiles it if necessary. Returns only an error.
pub(crate) fn run_checks() -> anyhow::Error {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../checks/Cargo.toml");
    let start = ["run", "--quiet", "--manifest-path", manifest, "--"].map(OsString::from);
    let arguments: Vec<OsString> = start.into_iter().chain(std::env::args_os().skip(1)).collect();
    tool::replace_by(Path::new(&cargo), &arguments)
}
