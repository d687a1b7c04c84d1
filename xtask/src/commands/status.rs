//! `status`: one screen about the running instance: components, their states and ages. Changes nothing.

mod rows;
mod screen;

use std::{
    io::{IsTerminal as _, Write as _},
    time::Duration,
};

use anyhow::{Context as _, Result};

use crate::{
    env::Env,
    errors::{Exit, exit_code},
    flags::{Output, inspection::Status},
};

use rows::Looks;
use screen::Screen;

/// The pause between two refreshes, since each needs a dozen small requests to the API server.
const PAUSE: Duration = Duration::from_secs(2);

pub(crate) fn run(env: &Env, flags: &Status) -> Result<()> {
    let mut looks = Looks::default();
    let mut screen = Screen::new(std::io::stdout().is_terminal());
    loop {
        let rows = env.only_looking(|| looks.take(env))?;
        let text = match flags.output {
            Output::Json => format!("{}\n", screen::json(&env.instance, &rows)),
            Output::Text if flags.watch => screen.next(&rows),
            Output::Text => screen::text(&rows, usize::MAX),
        };
        match std::io::stdout().write_all(text.as_bytes()).and_then(|()| std::io::stdout().flush()) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
            other => other.context("print the status")?,
        }
        if !flags.watch {
            return Ok(());
        }
        match env.interrupt.sleep(PAUSE) {
            // Ctrl-C ends `--watch` regularly.
            Err(error) if exit_code(&error) == Exit::Interrupted => return Ok(()),
            other => other?,
        }
    }
}
