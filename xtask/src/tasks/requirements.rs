//! The pinned requirements: in the repository, in the copied application, and as wheels.

use std::{
    cell::Cell,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::{
    config::ServiceName,
    env::{Env, Scope},
    errors::{Code, Problem},
    fingerprint::Fingerprint,
    graph::{TaskId, TaskKind},
    images,
    probe::Probe,
    record, regular,
    requirements::{
        self,
        environment::{self, Environment},
        pins,
        read::{self, Asked},
        scan,
        settings::Settings,
        source::Source,
        target::{self, Target},
        wheels,
    },
    tasks::{Task, patch},
};

/// The task of a service.
#[derive(Default)]
pub struct Requirements {
    /// `None` is the first one.
    service: Option<ServiceName>,
    /// `--refresh` is done once in a run.
    refreshed: Cell<bool>,
}

/// The first line of generated pins starts with this.
const GENERATED: &str = "# Pinned for Python";

/// The line in the pins file with the packages of the imports.
const PACKAGES: &str = "# packages: ";

/// The reason if pins exist and only the copied application lacks them.
pub(super) const UNSTAGED: &str = "the staged application lacks the pins";

/// The message if nothing is to be done.
const UNUSED: &str = "the Dockerfile names neither wheels nor requirements: nothing is pinned";

/// The record: which wheels were downloaded for which pins.
#[derive(Serialize, Deserialize)]
struct Wheels {
    key: String,
    files: Vec<String>,
}

/// The inputs and the target of the pins.
struct Plan {
    target: Target,
    source: Source,
    /// The user maintains the file in `requirements`; the tool does not change it.
    by_hand: bool,
    /// The line in the pins file with its inputs.
    mark: String,
    /// The content of the pins file.
    kept: Option<String>,
}

impl Plan {
    fn of(env: &Scope<'_>) -> Result<Plan> {
        let service = env.service;
        let target = target(env)?;
        let source = Source::of(&env.stage(), patch::has_own_requirements(env), &service.groups);
        let mut key = Fingerprint::new();
        // The staged source follows from what was patched, and several tasks of a run ask for this.
        let patched = record::state(env, TaskId::for_service(TaskKind::Patch, env.id.service));
        let name = format!("{source} of {} at {patched:?}", env.stage().display());
        key.add("source", env.readings.once(&name, || source.key(&env.hashes, &env.trees, &env.stage()))?);
        key.add("target", target.key());
        key.add("groups", service.groups.join(" "));
        if source == Source::Imports {
            key.add("packages", format!("{:?}", service.packages));
        }
        let kept = kept(env)?;
        let by_hand = kept.as_deref().is_some_and(|it| mark_of(it).is_none());
        Ok(Plan { target, source, by_hand, mark: format!("# {source}: {}", key.short()), kept })
    }

    /// Whether the pins in the file were made from the current inputs.
    fn is_kept(&self) -> bool {
        self.by_hand || self.kept.as_deref().and_then(mark_of) == Some(self.mark.as_str())
    }

    /// The key of the wheels: pins, target and pip.
    fn wheels_key(&self) -> String {
        let mut out = Fingerprint::new();
        out.add("pins", self.kept.as_deref().unwrap_or_default());
        out.add("target", format!("{} {}", self.target.key(), self.target.arch));
        out.add("pip", requirements::PIP);
        out.digest()
    }

    /// The requirements in the application's own file; none more if they come from imports.
    fn read(&self, env: &Scope<'_>, environment: &Environment) -> Result<Asked> {
        if self.by_hand {
            let file = env.files.file(&env.service.requirements)?;
            return read::read(env, environment, Source::Requirements, Some(&file), &self.target);
        }
        match self.source {
            Source::Imports => Ok(Asked::default()),
            source => read::read(env, environment, source, None, &self.target),
        }
    }
}

impl Requirements {
    /// The task of a service; `None` is the first one.
    pub fn of(service: Option<ServiceName>) -> Requirements {
        Requirements { service, ..Requirements::default() }
    }

    /// The cache key of the wheels for the current pins.
    pub fn wheels_key(&self, env: &Env) -> Result<String> {
        Ok(Plan::of(&env.scope(self.id()))?.wheels_key())
    }
}

impl Task for Requirements {
    fn id(&self) -> TaskId {
        TaskId::for_service(TaskKind::Requirements, self.service)
    }

    fn inputs(&self, env: &Env) -> Result<Fingerprint> {
        let env = &env.scope(self.id());
        let mut out = Fingerprint::new();
        if !is_used(env)? {
            out.add("the Dockerfile's use of requirements", "none");
            return Ok(out);
        }
        let plan = Plan::of(env)?;
        out.add("python", &plan.target.python);
        out.add("platform", plan.target.words());
        out.add(format!("the application's {}", plan.source), &plan.mark);
        Ok(out)
    }

    fn probe(&self, env: &Env, _want: &Fingerprint) -> Result<Probe> {
        let env = &env.scope(self.id());
        if !is_used(env)? {
            return Ok(Probe::Fresh(UNUSED.to_owned()));
        }
        if env.options.refresh && !self.refreshed.get() {
            return Ok(Probe::Stale("asked for with --refresh".to_owned()));
        }
        let plan = Plan::of(env)?;
        let name = env.service.requirements.display();
        if plan.kept.is_none() {
            return Ok(Probe::Stale(format!("there is no {name}")));
        }
        if !plan.is_kept() {
            return Ok(Probe::Stale(format!("the application's {} changed", plan.source)));
        }
        let key = plan.wheels_key();
        let Some(wheels) = record::read_json::<Wheels>(&wheels_record(env)).filter(|it| it.key == key) else {
            return Ok(Probe::Stale("the wheels are not those of the pins".to_owned()));
        };
        if let Some(name) = wheels.files.iter().find(|it| !env.wheels().join(it).is_file()) {
            return Ok(Probe::Stale(format!("wheel {name} is gone")));
        }
        if plan.source != Source::Requirements && fs::read_to_string(staged(env)).ok() != pinned(env) {
            return Ok(Probe::Stale(UNSTAGED.to_owned()));
        }
        let count = wheels.files.iter().filter(|it| it.ends_with(".whl")).count();
        let from = if plan.by_hand { "by hand".to_owned() } else { format!("from {}", plan.source) };
        Ok(Probe::Fresh(format!("{name}, made {from}, is in place with {count} wheels")))
    }

    fn run(&self, env: &Env, _want: &Fingerprint) -> Result<()> {
        let env = &env.scope(self.id());
        let mut plan = Plan::of(env)?;
        if let Some(doubt) = &plan.target.doubt {
            env.note(env.id, format!("{doubt}: the wheels are for {}", plan.target.words()));
        }
        let name = env.service.requirements.display();
        let is_written = plan.is_kept() && !env.options.refresh;
        let ready = plan.is_kept() && !(env.options.refresh || env.is_forced(env.id)) && {
            let key = plan.wheels_key();
            record::read_json::<Wheels>(&wheels_record(env))
                .is_some_and(|it| it.key == key && it.files.iter().all(|name| env.wheels().join(name).is_file()))
        };
        if !ready {
            // One service at a time, since they share the tool's environment and the cache of wheels.
            let _turn = env.requirements_turn.lock();
            let environment = environment::environment(env)?;
            let (pins, asked) = if plan.by_hand {
                env.note(env.id, format!("{name} is maintained by hand, and is used instead of {}", plan.source));
                let asked = plan.read(env, &environment)?;
                (pinned_by(env, &environment, &asked, &plan.target, plan.kept.as_deref())?, Some(asked))
            } else if is_written {
                (plan.kept.clone().unwrap_or_default(), None)
            } else {
                renew(env, &environment, &plan)?
            };
            if !plan.by_hand {
                plan.kept = Some(pins.clone());
            }
            let key = plan.wheels_key();
            let policy = Settings::read(env, &environment, "{}")?.policy;
            wheels::provide(env, (&pins, environment.pip()), &key, &policy, |fresh| {
                let asked = asked.map_or_else(|| plan.read(env, &environment), Ok)?;
                wheels::download(env, &environment, &settings(env, &environment, &asked)?, &pins, &plan.target, fresh)
            })?;
            // Written last, so that pins in the repository can be downloaded.
            if !plan.by_hand && !is_written {
                record::write_file(&env.path(&env.service.requirements), pins.as_bytes())?;
            }
            let mut files: Vec<String> =
                fs::read_dir(env.wheels())?.flatten().map(|it| it.file_name().to_string_lossy().into_owned()).collect();
            files.sort();
            record::write_json(&wheels_record(env), &Wheels { key, files })?;
        }
        if plan.source != Source::Requirements
            && let Some(pins) = pinned(env)
        {
            record::write_file(&staged(env), pins.as_bytes())?;
        }
        self.refreshed.set(true);
        Ok(())
    }
}

/// Makes new pins: the file's text, and the requested packages.
fn renew(env: &Scope<'_>, environment: &Environment, plan: &Plan) -> Result<(String, Option<Asked>)> {
    let before = plan.kept.as_deref().filter(|_| !env.options.refresh);
    let head = format!("# Pinned for {} by pocdeploy; renewed by its command `requirements --refresh`.", plan.target.software());
    let mut packages = String::new();
    let asked = if plan.source == Source::Imports {
        let found = scan::scan(env, environment, &env.stage(), &plan.target.python)?;
        found.notes().iter().for_each(|it| env.note(env.id, it));
        if found.is_empty() {
            return Err(Problem::new("the application imports no package, and the Dockerfile takes wheels or requirements")
                .code(Code::Requirements)
                .hint("add a requirements.txt with a patch, or correct `frontend.path`")
                .into());
        }
        let names = found.settled(env, plan.kept.as_deref().filter(|_| !plan.by_hand))?;
        packages = format!("{PACKAGES}{}\n", names.join(", "));
        // The imports changed, but not their packages, so all versions stay.
        if let Some(before) = before.filter(|it| it.starts_with(&head) && it.contains(&format!("\n{packages}"))) {
            let text = before.lines().map(|it| if mark_of(it).is_some() { plan.mark.as_str() } else { it });
            return Ok((text.map(|it| format!("{it}\n")).collect(), None));
        }
        Asked::names(&names)
    } else {
        plan.read(env, environment)?
    };
    let texts: Vec<&str> = asked.requirements.iter().map(|it| it.text.as_str()).collect();
    if texts.is_empty() {
        env.note(env.id, format!("the application's {} asks for no package for {}", plan.source, plan.target.words()));
    } else {
        env.note(env.id, format!("pinning {} for {}", texts.join(", "), plan.target.words()));
    }
    let pins = pinned_by(env, environment, &asked, &plan.target, before)?;
    Ok((format!("{head}\n{}\n{packages}{pins}\n", plan.mark), Some(asked)))
}

fn pinned_by(env: &Scope<'_>, environment: &Environment, asked: &Asked, target: &Target, before: Option<&str>) -> Result<String> {
    let settings = settings(env, environment, asked)?;
    asked.notes.iter().chain(&settings.notes()).for_each(|it| env.note(env.id, it));
    pins::pin(env, environment, asked, target, &settings, before)
}

/// pip's settings, overridden by options of the application's own file.
fn settings(env: &Scope<'_>, environment: &Environment, asked: &Asked) -> Result<Settings> {
    Settings::read(env, environment, &serde_json::to_string(&asked.options)?)
}

/// Whether the file has pins that this tool generated.
pub(crate) fn is_generated(path: &Path) -> bool {
    regular::read_to_string(path).is_ok_and(|it| it.starts_with(GENERATED))
}

/// The line with the inputs of generated pins; `None` if the user maintains them.
fn mark_of(pins: &str) -> Option<&str> {
    pins.lines()
        .take_while(|it| it.starts_with('#'))
        .find(|line| Source::ALL.iter().any(|it| line.strip_prefix(&format!("# {it}: ")).is_some_and(|key| key.trim().len() == 12)))
}

/// Whether the Dockerfile uses wheels or requirements. Another task reports a missing Dockerfile.
fn is_used(env: &Scope<'_>) -> Result<bool> {
    Ok(dockerfile(env)?.is_none_or(|it| target::is_used(&it)))
}

fn dockerfile(env: &Scope<'_>) -> Result<Option<String>> {
    let path = env.files.file(&env.service.dockerfile)?;
    if !path.is_file() {
        return Ok(None);
    }
    regular::read_to_string(&path).with_context(|| format!("read {}", path.display())).map(Some)
}

fn target(env: &Scope<'_>) -> Result<Target> {
    let python = images::packages::versions(env)?.python;
    Ok(Target::of(&dockerfile(env)?.unwrap_or_default(), &images::python_name(env, &python), &python))
}

fn kept(env: &Scope<'_>) -> Result<Option<String>> {
    let path = env.files.file(&env.service.requirements)?;
    if !path.is_file() {
        return Ok(None);
    }
    regular::read_to_string(&path).with_context(|| format!("read {}", path.display())).map(Some)
}

fn staged(env: &Scope<'_>) -> PathBuf {
    env.stage().join("requirements.txt")
}

/// The pins in the folder of wheels.
fn pinned(env: &Scope<'_>) -> Option<String> {
    fs::read_to_string(env.wheels().join(wheels::PINS)).ok()
}

fn wheels_record(env: &Scope<'_>) -> PathBuf {
    env.own("record/wheels.json")
}
