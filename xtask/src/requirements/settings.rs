//! pip's settings for uv and for pip itself: a company configures pip, and uv does not read that.
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

/// What decides which files may be installed. Values may carry credentials: they go into a child's environment and nowhere else.
#[derive(Default, Deserialize)]
pub struct Settings {
    uv: BTreeMap<String, String>,
    /// For `uv pip compile`: what no variable of uv's says.
    pub arguments: Vec<String>,
    pip: BTreeMap<String, String>,
    /// Settings that neither call follows.
    unheard: Vec<String>,
    /// `uploaded-prior-to` as it was written, or nothing.
    pub policy: String,
    /// The folders among `find-links`.
    pub folders: Vec<PathBuf>,
}

impl Settings {
    /// Of the user and this machine, with the options of a requirements file, a JSON object, before them.
    pub fn read(env: &Scope<'_>, environment: &Environment, options: &str) -> Result<Settings> {
        let sh = env.tools.shell(&env.project)?;
        let (python, script) = (environment.python(), environment.script("settings.py"));
        // Not `alone`: pip's variables and files are what is read.
        let command = cmd!(sh, "{python} -I {script}").env("POCDEPLOY_FILE_OPTIONS", options);
        let text = env.tools.read(env.id, command).context("read pip's settings")?;
        serde_json::from_str(&text).context("read pip's settings")
    }

    /// A sentence for each setting that cannot be followed.
    pub fn notes(&self) -> Vec<String> {
        self.unheard.iter().map(|it| format!("pip's setting {it} is not followed: uv has no word for it")).collect()
    }

    pub fn for_pip<'a>(&self, command: Cmd<'a>) -> Cmd<'a> {
        self.pip.iter().fold(alone(command), |command, (name, value)| command.env(name, value))
    }

    pub fn for_uv<'a>(&self, command: Cmd<'a>) -> Cmd<'a> {
        let command = alone(command).env("UV_SYSTEM_CERTS", "1").env("UV_NATIVE_TLS", "1");
        self.uv.iter().fold(command, |command, (name, value)| command.env(name, value))
    }
}
