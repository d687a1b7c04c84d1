//! The binary: one call, one exit code. Nobody else ends the process.

use std::{io::Write as _, path::Path, process::ExitCode};

use pocdeploy::{
    carried,
    commands::{self, install},
    engine::capabilities,
    errors, flags,
};

fn main() -> ExitCode {
    let mut arguments = std::env::args();
    let name = arguments.next().unwrap_or_default();
    // A copy of this program under that name stands in front of runc, see `engine/capabilities.rs`.
    if Path::new(&name).file_name().is_some_and(|it| it == capabilities::RUNTIME) {
        let arguments: Vec<String> = arguments.collect();
        return finish(capabilities::act_as_runtime(&arguments));
    }
    if carried::is_installed() {
        // Where a shell asks for completions, the answer ends the process.
        clap_complete::CompleteEnv::with_factory(flags::command).var(install::COMPLETE).complete();
    }
    finish(commands::run(flags::parse()))
}

fn finish(result: anyhow::Result<()>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    if error.is::<errors::PlanHasChanges>() {
        return ExitCode::from(errors::exit_code(&error) as u8);
    }
    if let Some(errors::EndedWith(code)) = error.downcast_ref() {
        return ExitCode::from(*code);
    }
    // A closed terminal is no reason for another exit code.
    std::io::stderr().write_all(format!("\n{}", errors::render(&error)).as_bytes()).ok();
    ExitCode::from(errors::exit_code(&error) as u8)
}
