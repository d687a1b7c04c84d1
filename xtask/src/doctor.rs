//! Checks whether this machine meets the requirements of a run. Changes nothing.
//!
//! `measure.rs` and `network.rs` measure, `judge.rs` judges. `create` runs the checks that take no time.

pub(crate) mod judge;
mod measure;
mod network;

use std::{
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::{
    config::Source,
    engine::capabilities,
    env::Env,
    port,
    provider::{Met, Requirement, provider},
    secrets, tool,
};

/// All answers must arrive within this time; later ones are ignored.
const LIMIT: Duration = Duration::from_millis(1800);
/// The same if a cloud is asked, whose programs take seconds to start.
const CLOUD_LIMIT: Duration = Duration::from_secs(60);
/// The limit of one question to a program or host.
const ONE: Duration = Duration::from_millis(1500);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Pass,
    /// It works, but with restrictions.
    Warn,
    /// A run cannot succeed.
    Fail,
}

/// One line of the doctor's output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    pub name: &'static str,
    pub state: State,
    pub found: String,
    /// The advice; `None` if the check passes.
    pub remedy: Option<String>,
}

impl Check {
    fn pass(name: &'static str, found: impl Into<String>) -> Check {
        Check { name, state: State::Pass, found: found.into(), remedy: None }
    }

    fn warn(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Check {
        Check { name, state: State::Warn, found: found.into(), remedy: Some(remedy.into()) }
    }

    /// A failed check; other modules use it for `configuration`.
    pub fn fail(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Check {
        Check { name, state: State::Fail, found: found.into(), remedy: Some(remedy.into()) }
    }
}

impl From<Requirement> for Check {
    fn from(it: Requirement) -> Check {
        match it.met {
            Met::Yes => Check::pass(it.name, it.found),
            Met::Unknown => Check::warn(it.name, it.found, it.remedy),
            Met::No => Check::fail(it.name, it.found, it.remedy),
        }
    }
}

/// The checks that need only a few system calls.
pub fn cheap(env: &Env) -> Vec<Check> {
    let filled = env.cache("engine").exists() || env.work("record").exists();
    let cache = env.cache("");
    let (total, available) = measure::memory();
    let installable = rustix::process::geteuid().is_root() && tool::find("apt-get").is_some();
    vec![
        judge::disk(
            "disk (project)",
            &env.project.display().to_string(),
            measure::free(&env.project),
            true,
            measure::is_writable(&env.project),
        ),
        judge::disk("disk (cache)", &cache.display().to_string(), measure::free(&cache), filled, measure::is_writable(&cache)),
        judge::memory(total, available),
        judge::inotify(measure::sysctl("fs/inotify/max_user_watches"), measure::sysctl("fs/inotify/max_user_instances")),
        judge::cgroups(measure::cgroups()),
        judge::program("git", &measure::program("git"), (2, 0), true, false),
        judge::program("python3", &measure::program("python3"), (3, 10), true, installable),
    ]
}

type Question = (&'static str, Box<dyn FnOnce(&Env) -> Vec<Check> + Send>);

/// All checks, in parallel; a check without an answer in time says so.
pub fn all(env: &Arc<Env>) -> Vec<Check> {
    let began = Instant::now();
    let limit = if env.config.cluster.kind.is_cloud() { CLOUD_LIMIT } else { LIMIT };
    let questions = questions(env);
    let (sender, receiver) = mpsc::channel();
    let mut names = Vec::new();
    for (index, (name, ask)) in questions.into_iter().enumerate() {
        names.push(name);
        let (sender, env) = (sender.clone(), env.clone());
        // Not joined, so that a hanging DNS server does not delay the others.
        std::thread::spawn(move || sender.send((index, ask(&env))).ok());
    }
    let mut answers: Vec<Option<Vec<Check>>> = vec![None; names.len()];
    while answers.iter().any(Option::is_none) {
        match receiver.recv_timeout(limit.saturating_sub(began.elapsed())) {
            Ok((index, checks)) => answers[index] = Some(checks),
            Err(_) => break,
        }
    }
    answers.into_iter().zip(names).flat_map(|(answer, name)| answer.unwrap_or_else(|| vec![judge::silent(name)])).collect()
}

fn questions(env: &Env) -> Vec<Question> {
    let source = env.config.images.source;
    let installable = rustix::process::geteuid().is_root() && tool::find("apt-get").is_some();
    let made = env.work("record").exists();
    let mut out: Vec<Question> = vec![
        ("engine", Box::new(engine_and_port)),
        ("machine", Box::new(|env| cheap(env).into_iter().filter(|it| !matches!(it.name, "git" | "python3")).collect())),
        ("git", Box::new(|_| vec![judge::program("git", &measure::version("git", &["--version"], ONE), (2, 0), true, false)])),
        (
            "python3",
            Box::new(move |_| {
                vec![judge::program("python3", &measure::version("python3", &["--version"], ONE), (3, 10), true, installable)]
            }),
        ),
        ("go", Box::new(move |_| vec![judge::program("go", &measure::go(), (1, 21), source == Source::Packages, false)])),
        ("clock", Box::new(|_| vec![judge::clock(network::pip().and_then(|it| network::clock(&it, ONE)))])),
    ];
    if env.config.cluster.kind.is_cloud() {
        out.push(("cloud", Box::new(|env| provider(env).requirements(env).into_iter().map(Check::from).collect())));
    }
    for secrets::Program { name, least, version, .. } in secrets::programs(env) {
        out.push((name, Box::new(move |_| vec![judge::program(name, &measure::version(name, version, ONE), least, true, false)])));
    }
    for place in network::registries(&env.config) {
        out.push((place.name, Box::new(move |_| vec![registry(&place, source)])));
    }
    out.push(("pip", Box::new(move |_| network::pip().map(|it| mirror(&it, made)).into_iter().collect())));
    out.push(("go", Box::new(move |_| network::go().map(|it| mirror(&it, made)).into_iter().collect())));
    out.push(("cargo", Box::new(move |_| network::cargo().map(|it| mirror(&it, true)).into_iter().collect())));
    out
}

fn engine_and_port(env: &Env) -> Vec<Check> {
    let seen = measure::engine(env);
    let own = !matches!(seen, judge::EngineSeen::Answers { .. });
    let number = env.config.cluster.port.unwrap_or(port::FIRST);
    let holder = port::taken_by(number, env.engine().ok());
    let ours = provider(env).features(env).node_container.map(|it| format!("container {it}"));
    let holder = holder.as_deref().map(|it| (it, Some(it) == ours.as_deref()));
    vec![
        judge::engine(&seen),
        judge::capabilities(&capabilities::missing(), own),
        judge::port(number, env.config.cluster.port.is_some(), holder),
    ]
}

fn registry(place: &network::Place, source: Source) -> Check {
    let instead = (source == Source::Auto).then_some("images are built from packages");
    let remedy = "name a mirror in [images.mirrors] of Pocdeploy.toml";
    judge::reach(place.name, &format!("registry {}:{}", place.host, place.port), &network::connect(place, ONE), instead, remedy)
}

/// `made`: the products that need it exist, or can be made without it.
fn mirror(place: &network::Place, made: bool) -> Check {
    let instead = made.then_some("what was downloaded before is still used");
    let what = format!("{}:{}", place.host, place.port);
    let remedy = match place.name {
        "pip" => "pip config set global.index-url URL, or set HTTPS_PROXY",
        "go" => "go env -w GOPROXY=URL, or set HTTPS_PROXY",
        _ => "name a mirror as [source] in ~/.cargo/config.toml, or set HTTPS_PROXY",
    };
    let name = match place.name {
        "pip" => "pip's index",
        "go" => "go's proxy",
        _ => "cargo's index",
    };
    judge::reach(name, &what, &network::connect(place, ONE), instead, remedy)
}
