//! The staged trees as this run has seen them: one walk serves all tasks that look at a tree one after the other.
//!
//! A tree that was read is used for at most a second, and not once a task has begun to change something, since then.

use std::{
    collections::{BTreeMap, HashSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Result;
use filetree::{hashes::Hashes, tree::Tree};

/// The folders whose files were read, by their paths.
#[derive(Default)]
pub struct Trees(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    /// Counts the moments at which a tree may have changed.
    changes: u64,
    /// Each with the moment before its walk.
    trees: BTreeMap<PathBuf, (Instant, Arc<Tree>)>,
}

/// A change by another program is seen after this time at the latest: so long may a task work with what another one has read.
const AGE: Duration = Duration::from_secs(1);

impl Trees {
    /// The files of a folder, as read a moment ago or now. Their parts are named `app/path`. `shared`: see [`filetree::imports::of_tree`].
    pub fn recent(&self, hashes: &Hashes, root: &Path, shared: &HashSet<&str>) -> Result<Arc<Tree>> {
        let known = self.seen().trees.get(root).filter(|(began, _)| began.elapsed() < AGE).map(|(_, it)| it.clone());
        known.map_or_else(|| self.now(hashes, root, shared), Ok)
    }

    /// The same, read now.
    pub fn now(&self, hashes: &Hashes, root: &Path, shared: &HashSet<&str>) -> Result<Arc<Tree>> {
        self.keep(root, || Tree::read(hashes, "app", root, shared))
    }

    fn keep(&self, root: &Path, read: impl FnOnce() -> Result<Tree>) -> Result<Arc<Tree>> {
        let (began, changes) = (Instant::now(), self.seen().changes);
        let mut tree = read()?;
        let mut seen = self.seen();
        // A file is read once, however long the run takes.
        if let Some((_, earlier)) = seen.trees.get(root) {
            tree.adopt(earlier);
        }
        let tree = Arc::new(tree);
        // What was read while something changed serves only the one who asked for it.
        if seen.changes == changes {
            seen.trees.insert(root.to_owned(), (began, tree.clone()));
        }
        Ok(tree)
    }

    /// For everyone who changes a staged tree, before and afterwards, and for the runner around each task that runs.
    pub fn forget(&self) {
        let mut seen = self.seen();
        seen.changes += 1;
        seen.trees.clear();
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_tree_serves_until_something_may_have_changed_it() {
        let dir = tempfile::tempdir().unwrap();
        let (trees, hashes) = (Trees::default(), Hashes::default());
        let write = |text: &str| fs::write(dir.path().join("a"), text).unwrap();
        // However long the test itself takes.
        let read_at = |time: Instant| trees.seen().trees.get_mut(dir.path()).unwrap().0 = time;
        let soon = Instant::now() + AGE * 600;
        write("one");
        let first = trees.recent(&hashes, dir.path(), &HashSet::new()).unwrap();
        read_at(soon);
        write("two");
        assert!(Arc::ptr_eq(&first, &trees.recent(&hashes, dir.path(), &HashSet::new()).unwrap()));
        // Read now, and this one serves from now on.
        let second = trees.now(&hashes, dir.path(), &HashSet::new()).unwrap();
        assert_ne!(first.content(), second.content());
        read_at(soon);
        assert!(Arc::ptr_eq(&second, &trees.recent(&hashes, dir.path(), &HashSet::new()).unwrap()));
        write("six");
        trees.forget();
        let third = trees.recent(&hashes, dir.path(), &HashSet::new()).unwrap();
        assert_ne!(second.content(), third.content());
        // As if a second were over.
        read_at(Instant::now().checked_sub(AGE).unwrap());
        write("ten");
        assert_ne!(trees.recent(&hashes, dir.path(), &HashSet::new()).unwrap().content(), third.content());
        assert!(trees.recent(&hashes, &dir.path().join("absent"), &HashSet::new()).is_err());
    }

    #[test]
    fn a_tree_that_is_too_old_still_knows_what_its_files_import() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("app");
        fs::create_dir(&root).unwrap();
        fs::write(root.join("a.py"), "import one\n").unwrap();
        // Older than a step of the clock, so that its hash is remembered.
        std::thread::sleep(Duration::from_millis(60));
        let (trees, hashes) = (Trees::default(), Hashes::default());
        let now = || trees.now(&hashes, &root, &HashSet::new()).unwrap();
        assert!(now().has_all_imports() && now().has_all_imports());
        trees.forget();
        assert!(!now().has_all_imports());
    }

    #[test]
    fn what_was_read_while_a_task_changed_something_serves_nobody_else() {
        let dir = tempfile::tempdir().unwrap();
        let (trees, hashes) = (Trees::default(), Hashes::default());
        let read = || Tree::read(&hashes, "app", dir.path(), &HashSet::new());
        let first = trees.keep(dir.path(), || read().inspect(|_| trees.forget())).unwrap();
        assert!(!Arc::ptr_eq(&first, &trees.recent(&hashes, dir.path(), &HashSet::new()).unwrap()));
    }
}
