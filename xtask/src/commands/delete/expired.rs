//! `delete --expired`: deletes each cluster in a cloud whose time is over and whose state is in this project, one after the other.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use xshell::cmd;

use crate::{
    env::Env,
    errors::{Code, Problem},
    provider::{Expired, expired},
};

/// Runs `delete` for each, which asks for consent, and goes on after a failure.
pub(crate) fn run(env: &Env) -> Result<()> {
    let found = expired(env);
    if found.is_empty() {
        return writeln!(std::io::stdout(), "no cluster of this project has expired").context("print the result");
    }
    let mut failed = Vec::new();
    for it in found {
        env.interrupt.check()?;
        writeln!(std::io::stderr(), "instance {} ({}) has expired on {}", it.instance, it.kind, it.on).context("print the instance")?;
        if delete(env, &it)? != 0 {
            failed.push(it.instance);
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    let what = format!("not everything could be removed: {}", failed.join(", "));
    Err(Problem::new(what).code(Code::Leftovers).hint("the messages above say why; run the same command again").into())
}

/// This program itself, as for one instance.
fn delete(env: &Env, it: &Expired) -> Result<u8> {
    let program = std::env::current_exe().context("find the running program")?;
    let sh = env.tools.shell(&env.project)?;
    let (kind, project) = (&it.kind, &env.project);
    let name = if it.is_named { vec!["--name", it.instance.as_str()] } else { Vec::new() };
    let consent = env.options.yes.then_some("--yes");
    env.tools.run_in_place(cmd!(sh, "{program} delete --type {kind} --project {project} {name...} {consent...}"))
}
