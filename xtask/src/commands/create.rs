//! `create`: the whole chain, and the URL alone on standard output's last line.

use std::io::Write as _;

use anyhow::{Context as _, Result};

use crate::{
    env::Env,
    graph::TaskId,
    provider::provider,
    report::Took,
    runner,
    tasks::{self, deploy},
};

/// Everything; independent parts at the same time.
pub(crate) fn run(env: &Env) -> Result<()> {
    deploy(env)
}

/// The same for `deploy`: it needs all the others.
pub(crate) fn deploy(env: &Env) -> Result<()> {
    let provider = provider(env)?;
    let summary = runner::run(env, &tasks::task, &[TaskId::Deploy])?;
    let url = format!("{}{}", provider.reach(env)?.origin, env.config.app.path);
    let kubeconfig = env.kubeconfig();
    let kubeconfig = kubeconfig.strip_prefix(&env.project).unwrap_or(&kubeconfig).display().to_string();
    let namespace = &env.config.app.namespace;
    let secret = deploy::credentials(env)?;
    let app_secret = deploy::APP_SECRET;
    let words = format!(
        "\n{} in {}: {} ran, {} skipped\n\n\
         look inside   kubectl --kubeconfig {kubeconfig} -n {namespace} get all\n\
         credentials   Secrets {secret} and {app_secret} in namespace {namespace}\n\
         take it away  cargo xtask delete\n\n",
        if summary.ran.is_empty() { "nothing to do" } else { "done" },
        Took(summary.took),
        summary.ran.len(),
        summary.skipped.len(),
    );
    std::io::stderr().write_all(words.as_bytes()).ok();
    writeln!(std::io::stdout(), "{url}").context("print the URL")
}
