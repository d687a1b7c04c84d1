//! Detects changed files, and decides whether they can be copied into running pods or need a new image.
//!
//! `look.rs` decides when the files are looked at.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::SystemTime,
};

use walkdir::{DirEntry, WalkDir};

use crate::{
    config::{ServiceName, name_of},
    dockerfile::Ignore,
    env::Env,
    graph::{TaskId, TaskKind},
    tasks::{dev::rules::Rules, patch::source, requirements},
};

/// The modification time and size of each file.
pub type Stamps = BTreeMap<PathBuf, (Option<SystemTime>, u64)>;

/// What to do about changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Copy the changed files of these services into their running pods.
    Sync(Vec<Change>),
    /// Build a new image; the reason.
    Rebuild(String),
}

/// A service with changed files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    pub service: Option<ServiceName>,
    /// Whether only the staged tree was changed, by hand: then it is copied as it is.
    pub by_hand: bool,
}

/// The files as they were last looked at.
pub struct Seen(Stamps);

impl Seen {
    /// Before the tool runs: a file that is saved while images are built is a change, too.
    pub fn new(env: &Env) -> Seen {
        Seen(stamps(&roots(env)))
    }

    #[cfg(test)]
    pub(super) fn over(files: Stamps) -> Seen {
        Seen(files)
    }

    /// Takes over what the tool itself has written; changes of other files since the last look remain changes.
    pub fn take_over(&mut self, env: &Env) {
        self.replace(written(env), &|path| is_written(env, path));
    }

    fn replace(&mut self, written: Stamps, is_written: &dyn Fn(&Path) -> bool) {
        self.0.retain(|path, _| written.contains_key(path) || !is_written(path));
        self.0.extend(written);
    }

    /// The new, changed and deleted files since the last look.
    pub fn changed(&self, now: &Stamps) -> Vec<PathBuf> {
        let new = now.iter().filter(|(path, stamp)| self.0.get(*path) != Some(stamp)).map(|(path, _)| path.clone());
        let gone = self.0.keys().filter(|path| !now.contains_key(*path)).cloned();
        new.chain(gone).collect()
    }

    /// Whether the state of a file is another one than at the last look.
    pub fn differs(&self, path: &Path, now: &Stamps) -> bool {
        self.0.get(path) != now.get(path)
    }

    /// Takes over the changed files.
    pub fn learn(&mut self, changed: &[PathBuf], now: &Stamps) {
        for path in changed {
            match now.get(path) {
                Some(stamp) => self.0.insert(path.clone(), *stamp),
                None => self.0.remove(path),
            };
        }
    }
}

/// A file or folder to watch; it need not exist.
pub(super) struct Root {
    pub(super) path: PathBuf,
    /// The tool's files in it, which change in its runs.
    pub(super) own: Vec<PathBuf>,
}

fn stage_roots(env: &Env) -> Vec<Root> {
    let stage = |service| env.scope(TaskId::for_service(TaskKind::Patch, service)).stage();
    env.config.built().map(|it| Root { path: stage(it), own: Vec::new() }).collect()
}

/// All watched files.
pub(super) fn all_roots(env: &Env) -> Vec<Root> {
    let mut out = roots(env);
    out.extend(stage_roots(env));
    out
}

pub(super) fn stamps(roots: &[Root]) -> Stamps {
    let mut out = Stamps::new();
    for entry in roots.iter().flat_map(entries).filter(|it| it.file_type().is_file()) {
        // A file may be deleted meanwhile.
        if let Ok(metadata) = entry.metadata() {
            out.insert(entry.into_path(), (metadata.modified().ok(), metadata.len()));
        }
    }
    out
}

/// The staged trees and the generated pins, which the tool writes.
fn written(env: &Env) -> Stamps {
    let mut out = stage_roots(env);
    let pins = env.config.built().map(|it| env.path(&env.config.service(it).requirements));
    out.extend(pins.filter(|it| requirements::is_generated(it)).map(|path| Root { path, own: Vec::new() }));
    stamps(&out)
}

fn is_written(env: &Env, path: &Path) -> bool {
    env.config.built().any(|it| path.starts_with(env.scope(TaskId::for_service(TaskKind::Patch, it)).stage()))
}

/// All files of the services' sources, and the other inputs of their images and objects.
fn roots(env: &Env) -> Vec<Root> {
    let mut out = Vec::new();
    let mut add = |path: &Path, own: Vec<PathBuf>| out.push(Root { path: env.path(path), own });
    add(Path::new("Pocdeploy.toml"), Vec::new());
    for (name, service) in env.config.all_services() {
        add(Path::new(&format!("deploy/{}", name_of(name))), Vec::new());
        if service.uses.is_some() || service.kind.is_some() {
            continue;
        }
        let own = source::own_paths(&env.scope(TaskId::for_service(TaskKind::Patch, name)));
        add(&service.path, own);
        let ignore = PathBuf::from(format!("{}.dockerignore", service.dockerfile.display()));
        for root in [&service.patch_dir, &service.dockerfile, &ignore, &service.requirements] {
            add(root, Vec::new());
        }
    }
    out
}

/// The files and folders of a root, without the tool's own, and without what passes.
pub(super) fn entries(root: &Root) -> impl Iterator<Item = DirEntry> + '_ {
    let is_own = |it: &DirEntry| root.own.iter().any(|own| own == it.path());
    let kept = move |it: &DirEntry| it.depth() == 0 || !(is_passing(&it.file_name().to_string_lossy()) || is_own(it));
    WalkDir::new(&root.path).into_iter().filter_entry(kept).flatten()
}

/// Version control, caches, and temporary files of editors.
pub(super) fn is_passing(name: &str) -> bool {
    matches!(name, ".git" | "__pycache__" | ".venv" | "node_modules" | "4913")
        || name.ends_with('~')
        || [".pyc", ".swp", ".swx", ".tmp", ".sqlite3"].iter().any(|it| name.ends_with(it))
}

/// The source of a service with an image, or its staged tree.
pub struct Watched<'a> {
    pub service: Option<ServiceName>,
    pub source: PathBuf,
    pub is_staged: bool,
    pub ignore: Option<Ignore>,
    pub rules: &'a Rules,
    /// The command of its migration.
    pub migrate: &'a [String],
}

/// If one file needs an image, all do. A file that `ignore` excludes from the image needs nothing.
pub fn decide(watched: &[Watched<'_>], project: &Path, changed: &[PathBuf]) -> Decision {
    let mut services: Vec<Change> = Vec::new();
    for path in changed {
        let of = |it: &&Watched<'_>| path.starts_with(&it.source);
        // One source may lie inside another's.
        let Some(it) = watched.iter().filter(of).max_by_key(|it| it.source.components().count()) else {
            let shown = path.strip_prefix(project).unwrap_or(path).display();
            return Decision::Rebuild(format!("{shown} changed, which the image or its objects are made from"));
        };
        let relative = path.strip_prefix(&it.source).unwrap_or(path);
        if it.ignore.as_ref().is_some_and(|it| it.excludes(relative)) {
            continue;
        }
        if let Some(why) = it.rules.needs_image(relative, it.migrate) {
            return Decision::Rebuild(why);
        }
        match services.iter_mut().find(|change| change.service == it.service) {
            Some(change) => change.by_hand &= it.is_staged,
            None => services.push(Change { service: it.service, by_hand: it.is_staged }),
        }
    }
    Decision::Sync(services)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_concerns_the_service_of_its_source_and_all_else_needs_an_image() {
        let worker = ServiceName::new("worker");
        let of = |service, source: &str, ignore: &str, rules| Watched {
            service,
            source: PathBuf::from(source),
            is_staged: source.contains("target"),
            ignore: Some(Ignore::parse(ignore.as_bytes(), ".dockerignore").unwrap()),
            rules,
            migrate: &[],
        };
        // The first service is the whole project, and holds the other one.
        let watched = [
            of(None, "/p", "notes\n.env\n", &Rules::Python),
            of(worker, "/p/worker", "", &Rules::All),
            of(None, "/p/target/app", "notes\n", &Rules::Python),
        ];
        let saved = |service| Change { service, by_hand: false };
        let decided = |paths: &[&str]| decide(&watched, Path::new("/p"), &paths.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(decided(&["/p/polls/views.py", "/p/a/templates/a.html"]), Decision::Sync(vec![saved(None)]));
        assert_eq!(decided(&["/p/worker/a.css"]), Decision::Sync(vec![saved(worker)]));
        assert_eq!(decided(&["/p/worker/a.css", "/p/views.py"]), Decision::Sync(vec![saved(worker), saved(None)]));
        assert_eq!(
            decided(&["/p/target/app/views.py", "/p/target/app/notes/x"]),
            Decision::Sync(vec![Change { service: None, by_hand: true }])
        );
        assert_eq!(decided(&["/p/target/app/views.py", "/p/views.py"]), Decision::Sync(vec![saved(None)]));
        assert_eq!(decided(&["/p/.env", "/p/notes/today.txt"]), Decision::Sync(vec![]));
        for (path, why) in [("/p/.other", ".other changed"), ("/q/0001-a.patch", "/q/0001-a.patch changed, which the image or")] {
            let Decision::Rebuild(reason) = decided(&["/p/views.py", path]) else { panic!("{path} needs an image") };
            assert!(reason.contains(why), "{reason}");
        }
    }

    fn listed(files: &[(&str, u64)]) -> Stamps {
        files.iter().map(|(path, size)| (PathBuf::from(path), (None, *size))).collect()
    }

    #[test]
    fn new_other_and_gone_files_are_changes() {
        let found = Seen(listed(&[("a", 1), ("b", 1), ("c", 1)])).changed(&listed(&[("a", 1), ("b", 2), ("d", 1)]));
        assert_eq!(found, ["b", "d", "c"].map(PathBuf::from));
    }

    #[test]
    fn a_file_that_is_saved_while_the_tool_runs_is_a_change_and_what_the_tool_writes_is_none() {
        let mut seen = Seen(listed(&[("app/views.py", 1), ("staged/views.py", 1), ("staged/gone.py", 1)]));
        let now = listed(&[("app/views.py", 2), ("staged/views.py", 3), ("pins", 1)]);
        seen.replace(listed(&[("staged/views.py", 3), ("pins", 1)]), &|path| path.starts_with("staged"));
        assert_eq!(seen.changed(&now), [PathBuf::from("app/views.py")]);
    }

    #[test]
    fn what_editors_write_beside_a_file_is_passed_over() {
        for name in ["views.py~", ".views.py.swp", "4913", "__pycache__"] {
            assert!(is_passing(name), "{name}");
        }
        assert!(!is_passing("views.py"));
    }
}
