//! The binary behind `cargo xtask bench` and `cargo xtask test`, which only a checkout needs.
//!
//! `xtask/src/checkout.rs` starts it. It has the same global flags and uses the same library.

mod bench;
mod failures;
mod flags;
mod test;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser as _;
use pocdeploy::{
    commands,
    engine::capabilities,
    env::Options,
    errors::{self, Problem},
    flags::Output,
    report::hub::Hub,
};

use crate::flags::{Command, Flags};

fn main() -> ExitCode {
    // `bench` may be the first to start the engine, which then uses a copy of this program as its runtime.
    if let Some(arguments) = capabilities::runtime_arguments() {
        return errors::finish(capabilities::act_as_runtime(&arguments));
    }
    errors::finish(run(Flags::parse()))
}

fn run(flags: Flags) -> Result<()> {
    let Flags { command, global } = flags;
    for (given, flag) in [(global.events, "--events"), (global.dry_run, "--dry-run")] {
        if given {
            return Err(Problem::usage(format!("{flag} is for commands that change something")).into());
        }
    }
    let options = Options {
        // `test` implies consent, since it needs a browser and a registry.
        yes: global.yes || matches!(command, Command::Test(_)),
        never_ask: matches!(&command, Command::Bench(it) if it.output == Output::Json),
        ..Options::default()
    };
    let env = commands::surroundings(&Hub::new(), &global, options)?;
    match command {
        Command::Bench(it) => bench::run(&env, &it, global.quiet),
        Command::Test(it) => test::run(&env, it),
    }
}
