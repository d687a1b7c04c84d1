//! The pinned requirements, kept in the repository, in the staged application, and as wheels.

use std::{
    cell::Cell,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::{
    env::Env,
    errors::{Code, Problem},
    fingerprint::Fingerprint,
    graph::TaskId,
    images,
    probe::Probe,
    record, regular,
    requirements::{self, Target, imports},
    tasks::{Task, patch},
};

#[derive(Default)]
pub struct Requirements {
    /// `--refresh` is done once in a run.
    refreshed: Cell<bool>,
}

const ID: TaskId = TaskId::Requirements;

/// How the first line of generated pins begins.
const GENERATED: &str = "# Pinned for Python";

/// The line of the kept file that tells which imports it was made from.
const IMPORTS: &str = "# imports: ";

/// Which wheels were downloaded for which pins.
#[derive(Serialize, Deserialize)]
struct Wheels {
    key: String,
    files: Vec<String>,
}

impl Task for Requirements {
    fn id(&self) -> TaskId {
        ID
    }

    fn inputs(&self, env: &Env) -> Result<Fingerprint> {
        let target = target(env)?;
        let mut out = Fingerprint::new();
        out.add("python", &target.python);
        out.add("platform", target.arch);
        if patch::has_own_requirements(env) {
            out.add_file("the application's requirements.txt", &staged(env))?;
        } else {
            out.add("the application's imports", imports::key(&env.stage())?);
        }
        Ok(out)
    }

    fn probe(&self, env: &Env, _want: &Fingerprint) -> Result<Probe> {
        if env.options.refresh && !self.refreshed.get() {
            return Ok(Probe::Stale("asked for with --refresh".to_owned()));
        }
        if !patch::has_own_requirements(env) {
            let Some(pins) = kept(env)? else {
                return Ok(Probe::Stale(format!("there is no {}", env.config.frontend.requirements.display())));
            };
            if imports_of(&pins).is_some_and(|it| Ok(it) != imports::key(&env.stage()).as_deref().map_err(|_| ())) {
                return Ok(Probe::Stale("the application's imports changed".to_owned()));
            }
            if fs::read_to_string(staged(env)).ok() != Some(pins) {
                return Ok(Probe::Stale("the staged application lacks the pins".to_owned()));
            }
        }
        let key = wheels_key(env)?;
        let Some(wheels) = record::read_json::<Wheels>(&wheels_record(env)).filter(|it| it.key == key) else {
            return Ok(Probe::Stale("the wheels are not those of the pins".to_owned()));
        };
        if let Some(name) = wheels.files.iter().find(|it| !env.wheels().join(it).is_file()) {
            return Ok(Probe::Stale(format!("wheel {name} is gone")));
        }
        Ok(Probe::Fresh(format!("pins are in place with {} wheels", wheels.files.len())))
    }

    fn run(&self, env: &Env, _want: &Fingerprint) -> Result<()> {
        let target = target(env)?;
        if patch::has_own_requirements(env) {
            env.detail(ID, "the application brings its own requirements.txt");
        } else {
            let key = imports::key(&env.stage())?;
            let pins = match kept(env)? {
                // A file that a person keeps by hand has no such line and is taken as it is.
                Some(pins) if !env.options.refresh && imports_of(&pins).is_none_or(|it| it == key) => pins,
                _ => renew(env, &target, &key)?,
            };
            record::write_file(&staged(env), pins.as_bytes())?;
        }
        let key = wheels_key(env)?;
        let present = record::read_json::<Wheels>(&wheels_record(env))
            .is_some_and(|it| it.key == key && it.files.iter().all(|name| env.wheels().join(name).is_file()));
        if !present || env.is_forced(ID) {
            requirements::provide(env, &staged(env), &target, &key)?;
            let mut files: Vec<String> =
                fs::read_dir(env.wheels())?.flatten().map(|it| it.file_name().to_string_lossy().into_owned()).collect();
            files.sort();
            record::write_json(&wheels_record(env), &Wheels { key, files })?;
        }
        self.refreshed.set(true);
        Ok(())
    }
}

/// Generates the pins anew and keeps them in the repository.
fn renew(env: &Env, target: &Target, key: &str) -> Result<String> {
    let environment = requirements::environment(env)?;
    let names = requirements::from_imports(env, &environment, &env.stage())?;
    env.note(ID, format!("pinning {} for Python {}", names.join(", "), target.python));
    let pins = requirements::pin(env, &environment, &names, target)?;
    if !pins.contains("--hash=") {
        return Err(Problem::new("uv gave no pins with hashes").code(Code::Requirements).into());
    }
    let text =
        format!("{GENERATED} {} by pocdeploy; renewed by its command `requirements --refresh`.\n{IMPORTS}{key}\n{pins}\n", target.python);
    let path = env.path(&env.config.frontend.requirements);
    record::write_file(&path, text.as_bytes())?;
    Ok(text)
}

/// Whether the file holds pins that this tool generated.
pub(crate) fn is_generated(path: &Path) -> bool {
    regular::read_to_string(path).is_ok_and(|it| it.starts_with(GENERATED))
}

fn imports_of(pins: &str) -> Option<&str> {
    pins.lines().find_map(|it| it.strip_prefix(IMPORTS)).map(str::trim)
}

fn target(env: &Env) -> Result<Target> {
    Ok(Target::new(&images::packages::versions(env)?.python))
}

fn kept(env: &Env) -> Result<Option<String>> {
    let path = env.files.file(&env.config.frontend.requirements)?;
    if !path.is_file() {
        return Ok(None);
    }
    fs::read_to_string(&path).with_context(|| format!("read {}", path.display())).map(Some)
}

fn staged(env: &Env) -> PathBuf {
    env.stage().join("requirements.txt")
}

fn wheels_record(env: &Env) -> PathBuf {
    env.work("record/wheels.json")
}

fn wheels_key(env: &Env) -> Result<String> {
    let target = target(env)?;
    let mut out = Fingerprint::new();
    out.add_file("pins", &staged(env))?;
    out.add("target", format!("{} {}", target.python, target.arch));
    out.add("pip", requirements::PIP);
    Ok(out.digest())
}
