//! `create`: the whole chain, and the URL alone on standard output's last line.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::{
    env::Env,
    flags::Output,
    graph::TaskId,
    provider::provider,
    report::Took,
    runner::{self, Summary},
    tasks::{self, wanted},
};

/// The deployment with all that it needs; independent parts at the same time.
pub(crate) fn run(env: &Env, output: Output) -> Result<()> {
    let provider = provider(env)?;
    let summary = runner::run(env, &tasks::task, &[TaskId::Deploy])?;
    let url = format!("{}{}", provider.reach(env)?.origin, env.config.app.path);
    let kubeconfig = env.kubeconfig();
    let kubeconfig = kubeconfig.strip_prefix(&env.project).unwrap_or(&kubeconfig).display().to_string();
    let namespace = &env.config.app.namespace;
    let secret = wanted::credentials(env)?;
    let app_secret = wanted::APP_SECRET;
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
    let result = match output {
        Output::Text => url,
        Output::Json => json(&url, &kubeconfig, namespace, &summary).to_string(),
    };
    writeln!(std::io::stdout(), "{result}").context("print the URL")
}

/// One object; `schema` goes up when a field changes its meaning.
fn json(url: &str, kubeconfig: &str, namespace: &str, summary: &Summary) -> Value {
    let names = |ids: &[TaskId]| ids.iter().map(|it| it.name()).collect::<Vec<_>>();
    json!({
        "schema": 1,
        "url": url,
        "seconds": (summary.took.as_secs_f64() * 10.0).round() / 10.0,
        "ran": names(&summary.ran),
        "skipped": names(&summary.skipped),
        "kubeconfig": kubeconfig,
        "namespace": namespace,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn machines_get_one_object() {
        let summary = Summary { ran: vec![TaskId::Patch], skipped: vec![TaskId::Engine], took: Duration::from_millis(1234) };
        assert_eq!(
            json("http://localhost:8080/", "k", "polls", &summary).to_string(),
            r#"{"schema":1,"url":"http://localhost:8080/","seconds":1.2,"ran":["patch"],"skipped":["engine"],"kubeconfig":"k","namespace":"polls"}"#
        );
    }
}
