//! Detects changed files, and decides whether they can be copied into running pods or need a new image. Polls: no library is needed, and a
//! few hundred files take less than a millisecond.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::SystemTime,
};

use walkdir::WalkDir;

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
        Seen(stamps(env))
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

    pub fn look(&mut self, now: Stamps) {
        self.0 = now;
    }
}

/// All watched files.
pub fn files(env: &Env) -> Stamps {
    let mut out = stamps(env);
    out.extend(staged(env));
    out
}

fn staged(env: &Env) -> Stamps {
    let mut out = Stamps::new();
    for service in env.config.built() {
        add(env, &env.scope(TaskId::for_service(TaskKind::Patch, service)).stage(), &[], &mut out);
    }
    out
}

/// The staged trees and the generated pins, which the tool writes.
fn written(env: &Env) -> Stamps {
    let mut out = staged(env);
    for pins in env.config.built().map(|it| &env.config.service(it).requirements) {
        if requirements::is_generated(&env.path(pins)) {
            add(env, pins, &[], &mut out);
        }
    }
    out
}

fn is_written(env: &Env, path: &Path) -> bool {
    env.config.built().any(|it| path.starts_with(env.scope(TaskId::for_service(TaskKind::Patch, it)).stage()))
}

/// All files of the services' sources, and the other inputs of their images and objects.
fn stamps(env: &Env) -> Stamps {
    let mut out = Stamps::new();
    add(env, Path::new("Pocdeploy.toml"), &[], &mut out);
    for (name, service) in env.config.all_services() {
        add(env, Path::new(&format!("deploy/{}", name_of(name))), &[], &mut out);
        if service.uses.is_some() || service.kind.is_some() {
            continue;
        }
        let own = source::own_paths(&env.scope(TaskId::for_service(TaskKind::Patch, name)));
        add(env, &service.path, &own, &mut out);
        let ignore = PathBuf::from(format!("{}.dockerignore", service.dockerfile.display()));
        for root in [&service.patch_dir, &service.dockerfile, &ignore, &service.requirements] {
            add(env, root, &[], &mut out);
        }
    }
    out
}

/// Adds the files below a path of the project, except `own`, the tool's files, which change in its runs.
fn add(env: &Env, root: &Path, own: &[PathBuf], out: &mut Stamps) {
    let is_own = |it: &walkdir::DirEntry| own.iter().any(|own| own == it.path());
    let kept = |it: &walkdir::DirEntry| it.depth() == 0 || !(is_passing(&it.file_name().to_string_lossy()) || is_own(it));
    for entry in WalkDir::new(env.path(root)).into_iter().filter_entry(kept).flatten().filter(|it| it.file_type().is_file()) {
        // A file may be deleted meanwhile.
        if let Ok(metadata) = entry.metadata() {
            out.insert(entry.into_path(), (metadata.modified().ok(), metadata.len()));
        }
    }
}

/// Version control, caches, and temporary files of editors.
fn is_passing(name: &str) -> bool {
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

    fn stamps(files: &[(&str, u64)]) -> Stamps {
        files.iter().map(|(path, size)| (PathBuf::from(path), (None, *size))).collect()
    }

    #[test]
    fn new_other_and_gone_files_are_changes() {
        let found = Seen(stamps(&[("a", 1), ("b", 1), ("c", 1)])).changed(&stamps(&[("a", 1), ("b", 2), ("d", 1)]));
        assert_eq!(found, ["b", "d", "c"].map(PathBuf::from));
    }

    #[test]
    fn a_file_that_is_saved_while_the_tool_runs_is_a_change_and_what_the_tool_writes_is_none() {
        let mut seen = Seen(stamps(&[("app/views.py", 1), ("staged/views.py", 1), ("staged/gone.py", 1)]));
        let now = stamps(&[("app/views.py", 2), ("staged/views.py", 3), ("pins", 1)]);
        seen.replace(stamps(&[("staged/views.py", 3), ("pins", 1)]), &|path| path.starts_with("staged"));
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
