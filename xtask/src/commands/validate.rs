//! `validate`: checks the whole deployment. Changes nothing; exits with 5 if a check fails.

mod check;
mod collect;
mod database;
mod page;

use std::{io::Write as _, time::Instant};

use anyhow::{Context as _, Result};

use crate::{
    cluster::evidence,
    commands::instance,
    deploy::operator,
    env::Env,
    errors::{Code, Exit, Problem},
    flags::{Output, inspection::Validate},
    invocation, record,
};

pub(crate) use database::{ask as ask_database, wrong_settings};

use check::{Area, Check, cause, json, junit, table};

pub(crate) fn run(env: &Env, flags: &Validate) -> Result<()> {
    let began = Instant::now();
    let connected = instance::connect(env);
    let checks = match &connected {
        Ok(cluster) => env.only_looking(|| collect::everything(env, cluster)),
        Err(error) => {
            env.interrupt.check()?;
            vec![Check::new(Area::Cluster, format!("instance {}", env.instance), Err(format!("{error:#}")))]
        }
    };
    env.interrupt.check()?;
    let seconds = began.elapsed().as_secs_f64();
    if let Some(path) = &flags.junit {
        record::write_file(path, junit(&env.instance, seconds, &checks).as_bytes())?;
    }
    let shown = match flags.output {
        Output::Text => table(&checks),
        Output::Json => format!("{}\n", json(&env.instance, seconds, &checks)),
    };
    std::io::stdout().write_all(invocation::reworded(&shown).as_bytes()).context("print the checks")?;
    let Some(cause) = cause(&checks) else { return Ok(()) };
    let cluster = connected?;
    let failed = checks.iter().filter(|it| !it.well).count();
    let what = format!("{failed} of {} checks failed; first of all: {}: {}", checks.len(), cause.name, cause.seen);
    let otherwise = "`cargo xtask create` applies the tool's objects again; `cargo xtask logs` shows the logs of the components";
    let mut problem =
        Problem { exit: Exit::Unhealthy, ..Problem::new(what) }.code(Code::Unhealthy).hint(cause.hint.as_deref().unwrap_or(otherwise));
    // States, logs and events explain failed pods.
    if cause.area != Area::Held && checks.iter().any(|it| !it.well && it.area >= Area::Readiness) {
        let namespaces = [env.config.namespace.as_str(), operator::NAMESPACE];
        let unwell = namespaces.into_iter().map(|it| evidence::collect(&cluster, it, "")).find(|it| !it.symptoms.is_empty());
        if let Some(diagnosis) = unwell {
            problem = diagnosis.explain(problem);
        }
    }
    Err(problem.into())
}
