//! The environment of a run: project, configuration, folders, and the doors.
//!
//! The command creates it once; tasks read it and store no state of their own.

mod readings;
mod scope;
mod trees;
mod withheld;

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use filetree::hashes::Hashes;
use tokio::runtime::Runtime;

use crate::{
    config::{Config, Secret},
    embedded,
    engine::Engine,
    env::{readings::Readings, withheld::Withheld},
    errors::{Code, Problem},
    files::{EMBEDDED, Files},
    fingerprint::{Fingerprint, hex},
    graph::{self, Graph, Mode, Selection, TaskId},
    interrupt::Interrupt,
    invocation,
    layout::WORK,
    progress::Progress,
    report::{Event, Report, Waiting},
    tool::Tools,
};

pub use crate::env::{scope::Scope, trees::Trees};

/// The settings of the command line.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `--yes`: install and start missing programs without asking.
    pub yes: bool,
    /// Ask no questions, since standard output is for a program.
    pub never_ask: bool,
    /// Standard output has events, one on each line, and nothing else.
    pub events: bool,
    /// Resolve the requirements again.
    pub refresh: bool,
    /// `patch --discard`: stage again, and drop what a person changed in the staged tree.
    pub discard: bool,
    /// The part of the graph to run.
    pub selection: Selection,
    /// `--name` was given: the instance's files are in a separate folder.
    pub named: bool,
    /// The time limit of the whole run.
    pub timeout: Option<Duration>,
}

/// The environment of one run.
pub struct Env {
    /// The project's top folder.
    pub project: PathBuf,
    pub config: Config,
    pub options: Options,
    /// The instance's name, used for cluster, network and labels.
    pub instance: String,
    pub report: Arc<dyn Report>,
    pub interrupt: Interrupt,
    pub tools: Tools,
    /// The files of `deploy/` and `build/`.
    pub files: Files,
    pub runtime: Arc<Runtime>,
    /// The tasks of a run, by the configuration.
    pub graph: Graph,
    /// The state of each task in this run.
    pub task_progress: Progress,
    /// The credentials with which nodes pull from the cluster's registry, once they were computed.
    pub(crate) pull_credentials: OnceLock<Option<Secret>>,
    pub readings: Readings,
    /// What is known of the files of source and staged tree.
    pub hashes: Hashes,
    pub trees: Trees,
    withheld: Withheld,
    /// Locked while the source of images is decided.
    pub(crate) source_turn: Mutex<()>,
    /// Held while the requirements of one service are pinned.
    pub(crate) requirements_turn: Mutex<()>,
    work: PathBuf,
    cache: PathBuf,
    engine: OnceLock<Engine>,
    looks_only: AtomicBool,
    is_developing: AtomicBool,
    /// The run's name: the UTC time, so that names sort by time.
    run: String,
}

impl Env {
    /// Reads the configuration; changes nothing.
    pub fn new(project: PathBuf, config: Config, options: Options, report: Arc<dyn Report>) -> Result<Env> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().context("start the runtime")?;
        let interrupt = Interrupt::listen(&runtime, options.timeout)?;
        let instance = match &config.name {
            Some(name) => name.clone(),
            None => default_instance(&project),
        };
        let cache = cache_dir()?;
        let work = if options.named { project.join(WORK).join("instances").join(&instance) } else { project.join(WORK) };
        let run = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S.%3fZ").to_string();
        let tools = Tools::new(work.join(RUNS).join(&run), interrupt.clone(), report.clone()).without(config.variables_with_secrets());
        let program = if embedded::is_installed() { Some(std::env::current_exe().context("find the running program")?) } else { None };
        let graph = graph::of(&config);
        let config_early = config.cluster.shortcuts;
        let files = Files::new(project.clone(), cache.join(EMBEDDED), program);
        Ok(Env {
            project,
            config,
            options,
            instance,
            report,
            interrupt,
            tools,
            files,
            runtime: Arc::new(runtime),
            task_progress: Progress::new(graph.clone(), config_early),
            graph,
            pull_credentials: OnceLock::new(),
            readings: Readings::default(),
            hashes: Hashes::kept_in(work.join("hashes")),
            trees: Trees::default(),
            withheld: Withheld::default(),
            source_turn: Mutex::new(()),
            requirements_turn: Mutex::new(()),
            work,
            cache,
            engine: OnceLock::new(),
            looks_only: AtomicBool::new(false),
            is_developing: AtomicBool::new(false),
            run,
        })
    }

    /// A path in the project. For `deploy/` and `build/` use `files`.
    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.project.join(relative)
    }

    /// A path below `target/pocdeploy`, for everything that a run writes. Deleting the folder is always safe.
    pub fn work(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.work.join(relative)
    }

    /// Makes git ignore the work folder, without changing the project's `.gitignore`.
    pub fn keep_out_of_git(&self) -> Result<()> {
        let folder = self.project.join(WORK);
        let file = folder.join(".gitignore");
        // Also a link that leads nowhere stays: a file would be created where it points.
        if file.symlink_metadata().is_ok() {
            return Ok(());
        }
        let write = || {
            std::fs::create_dir_all(&folder)?;
            std::fs::File::create_new(&file)?.write_all(b"*\n")
        };
        write().with_context(|| format!("write {}", file.display()))
    }

    /// A path below the user's cache, for expensive products that all projects on the machine share.
    pub fn cache(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.cache.join(relative)
    }

    /// The same with another cache.
    #[cfg(test)]
    pub(crate) fn with_cache(self, cache: PathBuf) -> Env {
        Env { cache, ..self }
    }

    /// The name of this run.
    pub fn run_id(&self) -> &str {
        &self.run
    }

    /// The task's log of this run, relative to the project.
    pub fn log(&self, task: TaskId) -> String {
        let path = self.tools.log(task);
        path.strip_prefix(&self.project).unwrap_or(&path).display().to_string()
    }

    /// The folder of the recorded runs, with events and logs.
    pub fn runs(&self) -> PathBuf {
        self.work(RUNS)
    }

    /// The instance's own kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.work("kubeconfig")
    }

    /// The invocation in hints, so that their commands concern this instance.
    pub fn tool(&self) -> String {
        invocation::with(self.options.named.then_some(self.instance.as_str()))
    }

    /// The engine that the `engine` task connected to.
    pub fn engine(&self) -> Result<&Engine> {
        self.engine.get().ok_or_else(|| Problem::new("no container engine is connected yet").code(Code::NoEngine).into())
    }

    /// Stores the connected engine. A second call has no effect.
    pub fn set_engine(&self, engine: Engine) {
        self.engine.set(engine).ok();
    }

    /// Runs `look` without decisions, stored files and other changes: `may_change` fails meanwhile.
    pub fn only_looking<T>(&self, look: impl FnOnce() -> T) -> T {
        let before = self.looks_only.swap(true, Ordering::SeqCst);
        let result = look();
        self.looks_only.store(before, Ordering::SeqCst);
        result
    }

    /// An error with this message inside `only_looking`. Code that is also used for reading calls it before it changes something.
    pub fn may_change(&self, otherwise: impl FnOnce() -> String) -> Result<()> {
        if self.looks_only.load(Ordering::SeqCst) { Err(Problem::new(otherwise()).into()) } else { Ok(()) }
    }

    /// Whether images are for development, see `tasks/image.rs`.
    pub fn is_developing(&self) -> bool {
        self.is_developing.load(Ordering::SeqCst)
    }

    /// From now on, images are for development, or for use; what was read so far is read again.
    pub fn develop(&self, on: bool) {
        self.is_developing.store(on, Ordering::SeqCst);
        self.readings.forget();
        self.trees.forget();
    }

    /// Whether the user requested to run the task even if its product exists.
    pub fn is_forced(&self, task: TaskId) -> bool {
        self.mode(task) == Mode::Forced
    }

    /// Whether the task runs in this run, and how.
    pub fn mode(&self, task: TaskId) -> Mode {
        self.options.selection.mode(&self.graph, task)
    }

    /// The tool's folders on nearly full file systems, which often cause unclear errors of other programs.
    pub fn scarce_space(&self) -> Vec<String> {
        let dirs = [&self.project, &self.cache];
        let free = |dir: &PathBuf| rustix::fs::statvfs(dir).ok().map(|it| it.f_bavail * it.f_frsize / 1_000_000);
        dirs.into_iter().filter_map(|dir| scarce(dir, free(dir)?)).collect()
    }

    /// Runs a step of a task, with its own line in the timeline.
    pub fn step<T>(&self, task: TaskId, name: &str, work: impl FnOnce() -> T) -> T {
        self.report.event(task, Event::StepBegan { name: name.to_owned() });
        let result = work();
        self.report.event(task, Event::StepEnded { name: name.to_owned() });
        result
    }

    pub fn progress(&self, task: TaskId, text: impl Into<String>) {
        self.report.event(task, Event::Progress { text: text.into() });
    }

    /// Reports that the task waits. Every wait with a limit calls it several times a second.
    pub fn waiting(&self, task: TaskId, waiting: Waiting) {
        self.report.event(task, Event::Waiting(waiting));
    }

    pub fn note(&self, task: TaskId, text: impl Into<String>) {
        self.report.event(task, Event::Note { text: text.into() });
    }

    pub fn detail(&self, task: TaskId, text: impl Into<String>) {
        self.report.event(task, Event::Detail { text: text.into() });
    }
}

/// The free space in megabytes below which packages, images and logs probably do not fit.
const SCARCE: u64 = 200;

fn scarce(dir: &Path, megabytes: u64) -> Option<String> {
    (megabytes < SCARCE).then(|| format!("only {megabytes} MB are free where {} lies: this may be the cause", dir.display()))
}

const RUNS: &str = "runs";

/// The project folder's name and six hex digits of a hash of its path. Two checkouts never have the same name, and no value that users edit
/// changes it. It is a valid DNS label, since kind uses it in host names.
fn default_instance(project: &Path) -> String {
    let mut key = Fingerprint::new();
    key.add("checkout", project.as_os_str().as_encoded_bytes());
    let folder = project.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let name: String = folder.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(30).collect();
    let name = name.trim_matches('-');
    format!("{}-{}", if name.is_empty() { "project" } else { name }, &key.digest()[..6])
}

/// The user's cache folder for this tool; it may not exist.
pub fn cache_dir() -> Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|it| !it.is_empty()).map(PathBuf::from);
    if let Some(dir) = set("POCDEPLOY_CACHE_DIR") {
        return Ok(dir);
    }
    if let Some(dir) = set("XDG_CACHE_HOME") {
        return Ok(dir.join("pocdeploy"));
    }
    match set("HOME") {
        Some(home) => Ok(home.join(".cache/pocdeploy")),
        None => Err(Problem::requirement("there is no HOME to keep the cache in")
            .hint("set POCDEPLOY_CACHE_DIR to a folder with 15 GB to spare")
            .into()),
    }
}

/// The nearest folder upwards with a `Pocdeploy.toml`, or else cargo's workspace.
pub fn find_project(from: &Path) -> Result<PathBuf> {
    match nearest_project(from) {
        Some(dir) => dir.canonicalize().with_context(|| format!("find {}", dir.display())),
        None => {
            let tool = invocation::program();
            Err(Problem::config(format!("no {} here or above", crate::config::FILE))
                .code(Code::NoProject)
                .hint(format!(
                    "change into the project's folder; in an application's folder `{tool} create` or `{tool} init` writes the file"
                ))
                .into())
        }
    }
}

/// Whether a folder belongs to no project.
pub fn is_outside(folder: &Path) -> bool {
    nearest_project(folder).is_none()
}

fn nearest_project(from: &Path) -> Option<PathBuf> {
    // Any file type with this name makes the folder a project. If it cannot be read, that is an error, and no folder above is used.
    let found = from.ancestors().find(|it| it.join(crate::config::FILE).symlink_metadata().is_ok()).map(Path::to_owned);
    let manifest = || std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).filter(|_| !embedded::is_installed());
    found.or_else(|| Some(manifest()?.parent()?.to_owned()))
}

/// A short hash of a path, for names of limited length.
pub fn path_key(path: &Path) -> String {
    use sha2::Digest as _;
    hex(&sha2::Sha256::digest(path.as_os_str().as_encoded_bytes()))[..8].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_named_by_its_checkout_alone() {
        for (path, start) in [("/srv/Shop", "shop-"), ("/home/x/My App (2)", "my-app--2-"), ("/tmp/...", "project-"), ("/", "project-")] {
            let name = default_instance(Path::new(path));
            assert_eq!(name.strip_prefix(start).map(str::len), Some(6), "{path}: {name}");
        }
        assert_ne!(default_instance(Path::new("/a/app")), default_instance(Path::new("/b/app")));
    }

    #[test]
    fn only_a_full_disk_is_a_suspect() {
        assert_eq!(scarce(Path::new("/cache"), 200), None);
        assert_eq!(scarce(Path::new("/cache"), 0).as_deref(), Some("only 0 MB are free where /cache lies: this may be the cause"));
    }
}
