//! Whether the package index answers as one, asked before uv and pip use it: they take a login page for an index without the package.

use anyhow::{Context as _, Result};
use xshell::cmd;

use crate::{
    env::Scope,
    errors::{Code, Problem},
    requirements::{environment::Environment, pins::normal, settings::Settings},
};

/// The seconds for an answer of the index.
const LIMIT: &str = "20";

/// An error if the index answers with something else, too slowly, or not at all, within 20 s. Asks for the first of these requirements, once
/// in a run. What uv and pip report themselves is no error here, nor an index that is not the only place of files.
pub fn check(env: &Scope<'_>, environment: &Environment, settings: &Settings, requirements: &[&str]) -> Result<()> {
    let Some(package) = requirements.iter().map(|it| normal(it)).find(|it| !it.is_empty()) else { return Ok(()) };
    let wrong: Option<String> = env.readings.once("package index", || {
        let sh = env.tools.shell(&env.project)?;
        let (python, script) = (environment.python(), environment.script("index.py"));
        let said = env.tools.read(env.id, settings.for_pip(cmd!(sh, "{python} -I {script} {package} {LIMIT}")));
        serde_json::from_str(&said.context("ask the package index")?).context("read what index.py said")
    })?;
    match wrong {
        None => Ok(()),
        Some(what) => Err(Problem::new(what).code(Code::Download).hint("open the address in a browser, and see `pip config list`").into()),
    }
}
