//! Detects changed files, and decides whether they can be copied into running pods or need a new image. Polls: no library is needed, and a
//! few hundred files take less than a millisecond.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::SystemTime,
};

use walkdir::WalkDir;

use crate::{
    config::name_of,
    dockerfile::Ignore,
    env::Env,
    graph::{TaskId, TaskKind},
    tasks::patch::source,
};

/// The modification time and size of each file.
pub type Stamps = BTreeMap<PathBuf, (Option<SystemTime>, u64)>;

/// What to do about changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Copy the files into the running pods.
    Sync,
    /// Build a new image; the reason.
    Rebuild(String),
}

/// All files of the services' sources, and the other inputs of their images and objects.
pub fn stamps(env: &Env) -> Stamps {
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

/// The new, changed and deleted files.
pub fn changed(before: &Stamps, now: &Stamps) -> Vec<PathBuf> {
    let new = now.iter().filter(|(path, stamp)| before.get(*path) != Some(stamp)).map(|(path, _)| path.clone());
    let gone = before.keys().filter(|path| !now.contains_key(*path)).cloned();
    new.chain(gone).collect()
}

/// If one file needs an image, all do. A file that `ignore` excludes from the image needs nothing.
pub fn decide(source: &Path, project: &Path, ignore: Option<&Ignore>, changed: &[PathBuf]) -> Decision {
    for path in changed {
        let Ok(relative) = path.strip_prefix(source) else {
            let shown = path.strip_prefix(project).unwrap_or(path).display();
            return Decision::Rebuild(format!("{shown} changed, which the image or its objects are made from"));
        };
        if ignore.is_some_and(|it| it.excludes(relative)) {
            continue;
        }
        let is_in = |folder: &str| relative.components().any(|it| it.as_os_str() == folder);
        let shown = relative.display();
        if is_in("migrations") {
            return Decision::Rebuild(format!("{shown} changed: the database may have to be migrated"));
        }
        if relative.extension().is_none_or(|it| it != "py") && !is_in("templates") {
            return Decision::Rebuild(format!(
                "{shown} changed, which is no Python and no template: the image's build may collect or need it"
            ));
        }
    }
    Decision::Sync
}

/// Whether a file can be copied into a pod.
pub fn goes(name: &str) -> bool {
    let path = Path::new(name);
    let is_in = |folder: &str| path.components().any(|it| it.as_os_str() == folder);
    !is_in("migrations") && (path.extension().is_some_and(|it| it == "py") || is_in("templates"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(paths: &[&str], expected: Option<&str>) {
        let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
        let ignore = Ignore::parse(b"notes\n.env\n", ".dockerignore").unwrap();
        let reason = match decide(Path::new("/p/app"), Path::new("/p"), Some(&ignore), &paths) {
            Decision::Sync => None,
            Decision::Rebuild(why) => Some(why),
        };
        assert_eq!(reason.is_some(), expected.is_some(), "{reason:?}");
        assert!(reason.unwrap_or_default().contains(expected.unwrap_or_default()));
    }

    #[test]
    fn python_and_templates_go_into_pods_and_all_else_into_an_image() {
        check(&["/p/app/polls/views.py", "/p/app/polls/templates/polls/index.html"], None);
        check(&["/p/app/polls/views.py", "/p/app/polls/static/style.css"], Some("polls/static/style.css"));
        check(&["/p/app/polls/migrations/0003_x.py"], Some("migrated"));
        check(&["/p/build/patches/0001-a.patch"], Some("build/patches/0001-a.patch"));
        check(&["/p/app/requirements.txt"], Some("requirements.txt"));
    }

    #[test]
    fn what_is_kept_out_of_the_image_asks_for_nothing() {
        check(&["/p/app/.env", "/p/app/notes/today.txt"], None);
        check(&["/p/app/.env", "/p/app/other.txt"], Some("other.txt"));
    }

    #[test]
    fn new_other_and_gone_files_are_changes() {
        let stamps = |files: &[(&str, u64)]| files.iter().map(|(path, size)| (PathBuf::from(path), (None, *size))).collect::<Stamps>();
        let found = changed(&stamps(&[("a", 1), ("b", 1), ("c", 1)]), &stamps(&[("a", 1), ("b", 2), ("d", 1)]));
        assert_eq!(found, ["b", "d", "c"].map(PathBuf::from));
    }

    #[test]
    fn what_editors_write_beside_a_file_is_passed_over() {
        for name in ["views.py~", ".views.py.swp", "4913", "__pycache__"] {
            assert!(is_passing(name), "{name}");
        }
        assert!(!is_passing("views.py"));
    }
}
