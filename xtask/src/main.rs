//! The binary: runs one command and sets the exit code. No other code ends the process.

mod checkout;

use std::process::ExitCode;

use pocdeploy::{
    commands::{self, install},
    embedded,
    engine::capabilities,
    errors, flags,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

fn main() -> ExitCode {
    without_core_dumps();
    // A copy of this program runs instead of runc, see `engine/capabilities.rs`.
    if let Some(arguments) = capabilities::runtime_arguments() {
        return errors::finish(capabilities::act_as_runtime(&arguments));
    }
    if embedded::is_installed() {
        // If a shell requests completions, this prints them and ends the process.
        clap_complete::CompleteEnv::with_factory(flags::command).var(install::COMPLETE).complete();
        return errors::finish(commands::run(flags::read(&flags::command().get_matches())));
    }
    let found = checkout::with_its_commands(flags::command()).get_matches();
    if checkout::has_its_commands(&found) {
        return errors::finish(Err(checkout::run_checks()));
    }
    errors::finish(commands::run(flags::read(&found)))
}

/// A core dump would write the secrets in this program's memory into a file. Programs that it starts inherit the limit, and may raise it.
fn without_core_dumps() {
    let limit = Rlimit { current: Some(0), ..getrlimit(Resource::Core) };
    // Lowering a limit of one's own is always allowed.
    setrlimit(Resource::Core, limit).ok();
}
