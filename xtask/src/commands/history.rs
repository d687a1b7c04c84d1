//! `history`: the revisions in the cluster, on standard output.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::{
    cluster::Cluster,
    commands::instance,
    env::Env,
    errors::{Code, Exit, Problem},
    flags::Output,
    tasks::deploy::{self, Outcome, Revision},
};

pub(crate) fn run(env: &Env, output: Output) -> Result<()> {
    instance::find(env)?;
    let revisions = deploy::revisions(env)?;
    if let Some(last) = deploy::lost_history(env, &Cluster::open(env, &env.kubeconfig())?)? {
        let what = format!("the history is gone: ConfigMap pocdeploy-history was deleted, which had the revisions up to {last}");
        return Err(Problem { exit: Exit::Unhealthy, ..Problem::new(what) }
            .code(Code::Unhealthy)
            .hint("cargo xtask create records what serves as the next revision")
            .into());
    }
    let text = match output {
        Output::Text => text(&revisions),
        Output::Json => format!("{}\n", json(&revisions)),
    };
    std::io::stdout().write_all(text.as_bytes()).context("print the history")
}

fn text(revisions: &[Revision]) -> String {
    if revisions.is_empty() {
        return "nothing was deployed yet\n".to_owned();
    }
    let width = revisions.iter().map(|it| it.images().join(", ").len()).max().unwrap_or_default();
    let line = |it: &Revision| {
        let became = state(it, revisions);
        let failure = if let Outcome::Failed(why) = &it.outcome { format!("; {why}") } else { String::new() };
        format!("{:>4}  {}  {:<width$}  {became:<8}  {}{failure}\n", it.number, it.when, it.images().join(", "), it.why)
    };
    revisions.iter().map(line).collect()
}

/// `serving`, `replaced`, `failed` or `cut-off`.
fn state(revision: &Revision, all: &[Revision]) -> &'static str {
    match &revision.outcome {
        Outcome::Deployed if deploy::serving(all) == Some(revision.number) => "serving",
        Outcome::Deployed => "replaced",
        Outcome::Failed(_) => "failed",
        Outcome::Started => "cut-off",
    }
}

/// The JSON object; `schema` increases when a field changes its meaning.
fn json(revisions: &[Revision]) -> Value {
    let one = |it: &Revision| {
        let failure = if let Outcome::Failed(why) = &it.outcome { Some(why) } else { None };
        json!({
            "number": it.number,
            "image": it.image,
            "further_images": it.further_images,
            "when": it.when,
            "why": it.why,
            "state": state(it, revisions),
            "failure": failure,
        })
    };
    json!({ "schema": 1, "revisions": revisions.iter().map(one).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_revision_is_a_line_with_what_became_of_it() {
        let revision = |number, outcome, why: &str| Revision {
            number,
            image: "polls:1".to_owned(),
            further_images: Vec::new(),
            when: "2026-11-24T06:00:00Z".to_owned(),
            why: why.to_owned(),
            outcome,
            objects: Vec::new(),
        };
        let all = [
            revision(1, Outcome::Deployed, "not done yet"),
            revision(2, Outcome::Deployed, "app/polls/views.py changed"),
            revision(3, Outcome::Failed("the migration: BackoffLimitExceeded".to_owned()), "app/x.py is new"),
            revision(4, Outcome::Started, "app/y.py is new"),
        ];
        let expected = "   1  2026-11-24T06:00:00Z  polls:1  replaced  not done yet\n   \
                        2  2026-11-24T06:00:00Z  polls:1  serving   app/polls/views.py changed\n   \
                        3  2026-11-24T06:00:00Z  polls:1  failed    app/x.py is new; the migration: BackoffLimitExceeded\n   \
                        4  2026-11-24T06:00:00Z  polls:1  cut-off   app/y.py is new\n";
        assert_eq!(text(&all), expected);
        assert_eq!(json(&all)["revisions"][2]["state"], "failed");
    }
}
