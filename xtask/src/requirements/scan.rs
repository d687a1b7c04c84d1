//! Finds the packages of the application's imports, and asks for consent to guessed ones.
//!
//! `python/scan.py` parses the files. A module in our table has a known package. For any other module the package is a guess, which may be
//! a malicious package. The tool shows each guess and asks; `--yes` does not answer.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::{
    env::Scope,
    errors::{Code, Problem},
    requirements::{
        environment::{Environment, script},
        pins,
    },
    setup,
};

/// The result of a scan.
#[derive(Debug, Deserialize)]
pub struct Found {
    /// Each requirement, and the first place that imports it.
    known: BTreeMap<String, String>,
    guessed: Vec<Guess>,
    notes: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Guess {
    module: String,
    /// Empty if there is not even a guess.
    requirement: String,
    source: String,
    #[serde(rename = "where")]
    place: String,
}

/// Scans the application's files for the image's Python version.
pub fn scan(env: &Scope<'_>, environment: &Environment, app: &Path, python: &str) -> Result<Found> {
    let sh = env.tools.shell(&env.project)?;
    let (table, pipreqs) = (environment.script("packages.txt"), environment.pipreqs_table());
    let confirmed = serde_json::to_string(&env.service.packages).context("write the confirmed packages")?;
    let command = script(&sh, environment, "scan.py").arg(app).arg(python).arg(table).arg(pipreqs).arg(confirmed);
    let text = env.tools.read(env.id, command).context("read the application's imports")?;
    serde_json::from_str(&text).context("read the application's imports")
}

impl Found {
    pub fn is_empty(&self) -> bool {
        self.known.is_empty() && self.guessed.is_empty()
    }

    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// All requirements, sorted. Asks for each guess that is not in `before`, the earlier pins.
    pub fn settled(self, env: &Scope<'_>, before: Option<&str>) -> Result<Vec<String>> {
        let earlier = before.map(pins::names).unwrap_or_default();
        let is_settled = |it: &Guess| !it.requirement.is_empty() && earlier.contains(&pins::normal(&it.requirement));
        let open: Vec<&Guess> = self.guessed.iter().filter(|it| !is_settled(it)).collect();
        if !open.is_empty() {
            ask(env, &open)?;
        }
        let mut out: Vec<String> = self.known.into_keys().chain(self.guessed.into_iter().map(|it| it.requirement)).collect();
        out.sort_by_key(|it| it.to_lowercase());
        out.dedup();
        Ok(out)
    }
}

fn ask(env: &Scope<'_>, open: &[&Guess]) -> Result<()> {
    let what = told(open);
    if open.iter().all(|it| !it.requirement.is_empty()) && !env.options.yes {
        env.note(env.id, &what);
        let names: Vec<&str> = open.iter().map(|it| it.requirement.as_str()).collect();
        let asked = setup::consent(env, env.id, &format!("installing {} from the package index on that guess", names.join(", ")));
        return asked.map_err(|_| refused(open, what));
    }
    Err(refused(open, what))
}

fn told(open: &[&Guess]) -> String {
    let mut out = "the packages of some imports are not known; a guess may be an attacker's package".to_owned();
    for it in open {
        match it.requirement.as_str() {
            "" => out.push_str(&format!("\n{} in {}: {}", it.module, it.place, it.source)),
            name => out.push_str(&format!("\n{} in {}: perhaps {name}, by {}", it.module, it.place, it.source)),
        }
    }
    out
}

fn refused(open: &[&Guess], what: String) -> anyhow::Error {
    let lines: Vec<String> = open.iter().map(|it| format!("{} = \"{}\"", it.module, it.requirement)).collect();
    let hint = format!(
        "add a requirements.txt to the application, or write the right names to Pocdeploy.toml\n(\"\" for an import \
         that needs no package); --yes does not answer this:\n[frontend.packages]\n{}",
        lines.join("\n")
    );
    Problem::new(what).code(Code::Requirements).hint(hint).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Config,
        env::{Env, Options},
        graph::TaskId,
        report::Recorder,
    };

    fn found(guesses: &[(&str, &str)]) -> Found {
        let guess = |(module, requirement): &(&str, &str)| Guess {
            module: (*module).to_owned(),
            requirement: (*requirement).to_owned(),
            source: "the import's own name".to_owned(),
            place: "polls/views.py:3".to_owned(),
        };
        Found {
            known: BTreeMap::from([("Django".to_owned(), "manage.py:1".to_owned())]),
            guessed: guesses.iter().map(guess).collect(),
            notes: Vec::new(),
        }
    }

    fn env(yes: bool) -> (tempfile::TempDir, Env) {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { yes, never_ask: true, ..Options::default() };
        let env = Env::new(dir.path().to_owned(), Config::default(), options, std::sync::Arc::new(Recorder::default())).unwrap();
        (dir, env)
    }

    #[test]
    fn a_guess_is_never_installed_unasked_not_even_with_yes() {
        for yes in [false, true] {
            let (_dir, env) = env(yes);
            let error = found(&[("foo", "foo"), ("core", "")]).settled(&env.scope(TaskId::Requirements), None).unwrap_err();
            let text = crate::errors::render(&error);
            for part in [
                "error[E0207]",
                "foo in polls/views.py:3: perhaps foo, by the import's own name",
                "[frontend.packages]\n      foo = \"foo\"\n      core = \"\"",
            ] {
                assert!(text.contains(part), "{part}: {text}");
            }
        }
    }

    #[test]
    fn what_is_known_or_was_pinned_before_is_not_asked_again() {
        let (_dir, env) = env(true);
        assert_eq!(found(&[]).settled(&env.scope(TaskId::Requirements), None).unwrap(), ["Django"]);
        let before = "# imports: 0\nfoo-bar==1.0 \\\n    --hash=sha256:0\n";
        assert_eq!(found(&[("foo", "Foo_Bar")]).settled(&env.scope(TaskId::Requirements), Some(before)).unwrap(), ["Django", "Foo_Bar"]);
        assert!(found(&[("other", "other")]).settled(&env.scope(TaskId::Requirements), Some(before)).is_err());
    }
}
