//! Pins: every package with version and hashes, for one Python version and platform, without environment markers. uv computes them.

use std::{collections::BTreeSet, fs};

use anyhow::{Context as _, Result};
use xshell::cmd;

use crate::{
    env::Scope,
    errors::{Code, Problem},
    record,
    requirements::{
        environment::Environment,
        index,
        read::{Asked, WAY_OUT},
        settings::Settings,
        source::lines,
        target::Target,
    },
    tool::download,
};

/// Pins the requested packages and their dependencies. Keeps versions of the earlier pins, `before`, if they still fit.
pub fn pin(
    env: &Scope<'_>,
    environment: &Environment,
    asked: &Asked,
    target: &Target,
    settings: &Settings,
    before: Option<&str>,
) -> Result<String> {
    let (input, limits, output) = (env.own("requirements.in"), env.own("requirements.limits"), env.own("requirements.pins"));
    let texts: Vec<&str> = asked.requirements.iter().map(|it| it.text.as_str()).collect();
    if texts.is_empty() {
        return Ok(String::new());
    }
    index::check(env, environment, settings, &texts)?;
    record::write_file(&input, format!("{}\n", texts.join("\n")).as_bytes())?;
    record::write_file(&limits, format!("{}\n", asked.constraints.join("\n")).as_bytes())?;
    match before {
        Some(before) => record::write_file(&output, before.as_bytes())?,
        None if output.exists() => fs::remove_file(&output).with_context(|| format!("remove {}", output.display()))?,
        None => {}
    }
    let (uv, python) = (environment.program("uv"), environment.python());
    let sh = env.tools.shell(&env.project)?;
    let (version, ceiling) = (&target.python, target.ceiling());
    let command = cmd!(
        sh,
        "{uv} pip compile --quiet --no-progress --color never --generate-hashes --no-header --no-annotate --only-binary :all: --python {python} --python-version {version} --python-platform {ceiling} --constraints {limits} --output-file {output} {input}"
    );
    let (good, said) = env.tools.outcome(env.id, settings.for_uv(command.args(&settings.arguments))).context("pin the requirements")?;
    if !good {
        return Err(failed(&said, target).into());
    }
    let text = fs::read_to_string(&output).with_context(|| format!("read {}", output.display()))?;
    let text = with_own_hashes(text.trim_end(), asked)?;
    if !is_pinned(&text) {
        return Err(Problem::new("uv gave no pins with hashes").code(Code::Requirements).into());
    }
    Ok(text)
}

/// uv's error message, and its meaning for the user.
fn failed(said: &str, target: &Target) -> Problem {
    let said = said.trim();
    if let Some(problem) = download::problem(said, &format!("the requirements cannot be pinned for {}\n{said}", target.words())) {
        return problem;
    }
    let what = format!("the requirements cannot be pinned for {}\n{said}", target.words());
    let no_wheel = ["no wheels", "no usable wheels", "building from source is disabled", "no source distribution"];
    let hint = if no_wheel.iter().any(|it| said.to_lowercase().contains(it)) {
        format!("a package that is named above has no wheel for this Python and platform: take\nanother version, or {WAY_OUT}")
    } else {
        "correct the versions that the application asks for, or pip's settings:\nsee `pip config list`".to_owned()
    };
    Problem::new(what).code(Code::Requirements).hint(hint)
}

/// Hashes in the application's own file replace those of the index, since its author has chosen them.
fn with_own_hashes(pins: &str, asked: &Asked) -> Result<String> {
    if !asked.hashed {
        return Ok(pins.to_owned());
    }
    let mut out = Vec::new();
    for line in lines(pins) {
        let Some(first) = line.split_whitespace().next() else { continue };
        let name = normal(first);
        let own = asked.requirements.iter().find(|it| normal(&it.text) == name && !it.hashes.is_empty());
        let Some(own) = own else {
            let what = format!("{first} is needed, and the application's file, which pins by hash, does not have it");
            return Err(Problem::new(what).code(Code::Requirements).hint("make the file again with the tool that wrote it").into());
        };
        let hashes: Vec<String> = own.hashes.iter().map(|it| format!("    --hash={it}")).collect();
        out.push(format!("{first} \\\n{}", hashes.join(" \\\n")));
    }
    Ok(out.join("\n"))
}

/// Whether every line has a hash. Ignores comments; an empty file counts as pinned.
pub fn is_pinned(text: &str) -> bool {
    lines(text).iter().all(|it| it.contains("--hash="))
}

/// The package names in the pins, normalised by `normal`.
pub fn names(pins: &str) -> BTreeSet<String> {
    lines(pins).iter().map(|it| normal(it)).collect()
}

/// A requirement's package name, normalised by PEP 503: `Foo_Bar[x]==1` is `foo-bar`.
pub fn normal(requirement: &str) -> String {
    let name: String = requirement.chars().take_while(|it| it.is_alphanumeric() || matches!(it, '-' | '_' | '.')).collect();
    let mut out = String::new();
    for part in name.to_lowercase().split(['-', '_', '.']).filter(|it| !it.is_empty()) {
        if !out.is_empty() {
            out.push('-');
        }
        out.push_str(part);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::requirements::read::Requirement;

    #[test]
    fn a_hash_in_a_comment_pins_nothing() {
        assert!(!is_pinned("# made with --hash=sha256:0\ndjango==6.1\n"));
        assert!(!is_pinned("django==6.1 # --hash=sha256:0\n"));
        assert!(is_pinned("# why\ndjango==6.1 \\\n    --hash=sha256:0\n"));
        assert!(!is_pinned("django==6.1 --hash=sha256:0\nsix==1\n"));
    }

    #[test]
    fn names_are_compared_as_indexes_do() {
        assert_eq!(normal("Foo_.Bar[x,y]>=1 ; marker"), "foo-bar");
        assert_eq!(names("# psycopg==1\npsycopg-binary==3 \\\n  --hash=sha256:0\n"), BTreeSet::from(["psycopg-binary".to_owned()]));
    }

    #[test]
    fn hashes_of_the_applications_own_stay_and_a_package_without_one_is_refused() {
        let requirement =
            |text: &str, hashes: &[&str]| Requirement { text: text.to_owned(), hashes: hashes.iter().map(|it| (*it).to_owned()).collect() };
        let pins = "six==1.17.0 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\ndjango==6.1 \\\n    --hash=sha256:cc\n";
        let mut asked = Asked {
            requirements: vec![requirement("Django==6.1", &["sha256:dd"]), requirement("six==1.17.0", &["sha256:aa"])],
            ..Asked::default()
        };
        assert_eq!(with_own_hashes(pins, &asked).unwrap(), pins);
        asked.hashed = true;
        let own = with_own_hashes(pins, &asked).unwrap();
        assert_eq!(own, "six==1.17.0 \\\n    --hash=sha256:aa\ndjango==6.1 \\\n    --hash=sha256:dd");
        asked.requirements.pop();
        let error = with_own_hashes(pins, &asked).unwrap_err();
        assert!(error.to_string().contains("six==1.17.0 is needed"), "{error}");
    }
}
