//! pip's settings for uv and for pip itself: companies configure pip, and uv does not read pip's configuration.
//!
//! `python/settings.py` reads them with pip's own code and translates them.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::{Context as _, Result};
use serde::Deserialize;
use xshell::{Cmd, cmd};

use crate::{
    env::Scope,
    requirements::environment::{Environment, alone},
};

/// The settings that decide which files may be installed. Values may contain credentials, so they are passed only in the environment of a
/// child process.
#[derive(Default, Deserialize)]
pub struct Settings {
    uv: BTreeMap<String, String>,
    /// Arguments of `uv pip compile` for settings without a uv variable.
    pub arguments: Vec<String>,
    pip: BTreeMap<String, String>,
    /// Settings that neither uv nor pip can follow here.
    unheard: Vec<String>,
    /// The value of `uploaded-prior-to`, or empty.
    pub policy: String,
    /// The local folders in `find-links`.
    pub folders: Vec<PathBuf>,
}

impl Settings {
    /// The settings of user and machine. `options`, a JSON object with the options of a requirements file, has priority.
    pub fn read(env: &Scope<'_>, environment: &Environment, options: &str) -> Result<Settings> {
        let sh = env.tools.shell(&env.project)?;
        let (python, script) = (environment.python(), environment.script("settings.py"));
        // Not `alone`, since pip's variables and files are what is read here.
        let command = cmd!(sh, "{python} -I {script}").env("POCDEPLOY_FILE_OPTIONS", options);
        let text = env.tools.read(env.id, command).context("read pip's settings")?;
        serde_json::from_str(&text).context("read pip's settings")
    }

    /// A sentence for each setting that the tool cannot follow.
    pub fn notes(&self) -> Vec<String> {
        self.unheard.iter().map(|it| format!("pip's setting {it} is ignored: uv has no equivalent")).collect()
    }

    pub fn for_pip<'a>(&self, command: Cmd<'a>) -> Cmd<'a> {
        self.pip.iter().fold(alone(command), |command, (name, value)| command.env(name, value))
    }

    pub fn for_uv<'a>(&self, command: Cmd<'a>) -> Cmd<'a> {
        let command = alone(command).env("UV_SYSTEM_CERTS", "1").env("UV_NATIVE_TLS", "1");
        self.uv.iter().fold(command, |command, (name, value)| command.env(name, value))
    }
}
