//! Reads the requirements in the application's own files, each with the program of its format, for the image's Python and platform.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::json;
use xshell::cmd;

use crate::{
    env::Scope,
    errors::{Code, Problem},
    record,
    requirements::{
        PIPENV, POETRY,
        environment::{Environment, alone, environment_with, script},
        settings::Settings,
        source::Source,
        target::Target,
    },
};

/// Requirements without markers, and the options that decide which files are installed.
#[derive(Debug, Default, Deserialize)]
pub struct Asked {
    pub requirements: Vec<Requirement>,
    pub constraints: Vec<String>,
    /// The options in a requirements file, for example `index-url`.
    pub options: BTreeMap<String, String>,
    /// Whether every package needs a hash, so that one without is an error.
    pub hashed: bool,
    pub problems: Vec<Trouble>,
    pub notes: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
pub struct Requirement {
    pub text: String,
    /// `sha256:…`; empty if the file has none.
    pub hashes: Vec<String>,
}

/// A requirement that cannot be put into the image, and the reason.
#[derive(Debug, Deserialize)]
pub struct Trouble {
    #[serde(rename = "where")]
    pub place: String,
    pub text: String,
    pub why: String,
}

impl Asked {
    /// Plain names, for example from a scan of imports.
    pub fn names(names: &[String]) -> Asked {
        let requirements = names.iter().map(|it| Requirement { text: it.clone(), hashes: Vec::new() }).collect();
        Asked { requirements, ..Asked::default() }
    }
}

/// Reads the source. `file` replaces the application's requirements.txt if the pins are maintained by hand.
pub fn read(env: &Scope<'_>, environment: &Environment, source: Source, file: Option<&Path>, target: &Target) -> Result<Asked> {
    let app = env.stage();
    let groups = &env.service.groups;
    let asked = match source {
        Source::Requirements => {
            let own = app.join("requirements.txt");
            parse(
                env,
                environment,
                "requirements",
                file.unwrap_or(&own),
                file.map_or("requirements.txt", |_| "the pins kept by hand"),
                target,
            )?
        }
        Source::Pylock => parse(env, environment, "pylock", &app.join("pylock.toml"), "pylock.toml", target)?,
        Source::Pyproject | Source::Imports => parse(env, environment, "pyproject", &app.join("pyproject.toml"), "pyproject.toml", target)?,
        Source::UvLock => {
            let (uv, project) = (environment.program("uv"), laid_out(env, &["pyproject.toml", "uv.lock"])?);
            let sh = env.tools.shell(&project)?;
            let python = environment.python();
            let format = ["--format", "requirements.txt", "--no-header", "--no-annotate", "--no-emit-project", "--no-default-groups"];
            let groups = groups.iter().flat_map(|it| ["--group", it.as_str()]);
            let command = cmd!(sh, "{uv} export --quiet --frozen --no-config --python {python}").args(format).args(groups);
            exported(env, environment, source, alone(command), target)?
        }
        Source::PoetryLock => {
            let poetry = environment_with(env, "poetry", POETRY)?;
            let sh = env.tools.shell(&laid_out(env, &["pyproject.toml", "poetry.lock"])?)?;
            let python = poetry.python();
            // poetry's --quiet suppresses the export, too.
            let groups = groups.iter().flat_map(|it| ["--with", it.as_str()]);
            let command = cmd!(sh, "{python} -I -m poetry export --no-interaction --format requirements.txt").args(groups);
            exported(env, environment, source, alone(command).env("POETRY_WARNINGS_EXPORT", "false"), target)?
        }
        Source::PipfileLock => {
            let pipenv = environment_with(env, "pipenv", PIPENV)?;
            let folder = laid_out(env, &["Pipfile.lock", "Pipfile"])?;
            let sh = env.tools.shell(&folder)?;
            let python = pipenv.python();
            let command = cmd!(sh, "{python} -I -m pipenv requirements --hash").args(if groups.is_empty() {
                Vec::new()
            } else {
                vec!["--categories".to_owned(), format!("packages {}", groups.join(" "))]
            });
            let command = alone(command).env("PIPENV_PIPFILE", folder.join("Pipfile")).env("PIPENV_IGNORE_VIRTUALENVS", "1");
            exported(env, environment, source, command, target)?
        }
    };
    refuse(asked)
}

/// Copies the files of a lock to a folder of their own, since the programs write beside them and look for settings above them.
fn laid_out(env: &Scope<'_>, names: &[&str]) -> Result<PathBuf> {
    let folder = env.own("lock.in");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    for name in names {
        // Pipfile.lock is sufficient, but pipenv needs a Pipfile to find it.
        let bytes = fs::read(env.stage().join(name)).unwrap_or_default();
        record::write_file(&folder.join(name), &bytes)?;
    }
    Ok(folder)
}

fn exported(env: &Scope<'_>, environment: &Environment, source: Source, command: xshell::Cmd<'_>, target: &Target) -> Result<Asked> {
    let text = env.tools.read(env.id, command).map_err(|error| {
        let what = format!("{source} cannot be exported\n{error:#}");
        Problem::new(what)
            .code(Code::Requirements)
            .hint(format!("bring {source} in line with its project file, with the tool that wrote it"))
    })?;
    let file = env.own("requirements.lock");
    record::write_file(&file, text.as_bytes())?;
    let mut asked = parse(env, environment, "requirements", &file, &source.to_string(), target)?;
    // A lock names the public index by default. The machine's own setting has priority.
    if asked.options.get("index-url").is_some_and(|it| it.starts_with("https://pypi.org/")) {
        asked.options.remove("index-url");
    }
    Ok(asked)
}

fn parse(env: &Scope<'_>, environment: &Environment, kind: &str, file: &Path, shown: &str, target: &Target) -> Result<Asked> {
    let sh = env.tools.shell(&env.project)?;
    let told = json!({
        "python": target.python,
        "arch": target.arch,
        "platforms": target.platforms(),
        "app": env.stage(),
        "groups": env.service.groups,
    });
    // pip's parser downloads files given as URLs, so it gets pip's settings.
    let command = script(&sh, environment, "read.py").arg(kind).arg(file).arg(told.to_string()).arg(shown);
    let command = Settings::read(env, environment, "{}")?.for_pip(command);
    let text = env.tools.read(env.id, command).with_context(|| format!("read {shown}"))?;
    serde_json::from_str(&text).with_context(|| format!("read {shown}"))
}

fn refuse(asked: Asked) -> Result<Asked> {
    if asked.problems.is_empty() {
        return Ok(asked);
    }
    let mut what = "the application's requirements contain entries that cannot be put into the image".to_owned();
    for it in &asked.problems {
        let quoted = if it.text.is_empty() { String::new() } else { format!(" `{}`", it.text) };
        what.push_str(&format!("\n{}:{quoted}: {}", it.place, it.why));
    }
    Err(Problem::new(what).code(Code::Requirements).hint(WAY_OUT).into())
}

/// Advice for a package without a wheel: build the wheel once, with compiler and network, and store it in the application.
pub const WAY_OUT: &str = "change the line by a patch. A source becomes a wheel with\n\
    `pip wheel --no-deps -w vendor SOURCE`, run in an image like the application's; keep the\n\
    wheel in the application and name it in requirements.txt as `./vendor/NAME.whl`";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_that_cannot_be_had_is_told_with_its_place_and_the_way_out() {
        let text = r#"{"requirements":[],"constraints":[],"options":{},"hashed":false,"notes":[],"problems":[
            {"where":"requirements.txt, line 3","text":"git+https://example.invalid/x","why":"it is a repository, not a wheel"},
            {"where":"requirements/base.txt, line 1","text":"./libs/x","why":"it is a folder or an archive, not a wheel"}]}"#;
        let error = refuse(serde_json::from_str(text).unwrap()).unwrap_err();
        let text = crate::errors::render(&error);
        for part in [
            "requirements.txt, line 3: `git+https://example.invalid/x`: it is a repository, not a wheel",
            "requirements/base.txt, line 1: `./libs/x`: it is a folder",
            "pip wheel --no-deps -w vendor SOURCE",
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert!(text.lines().all(|it| it.chars().count() <= 100), "{text}");
    }
}
