//! A folder's files with the hash of each, from one walk that serves all who ask for some of them.

use std::{
    collections::{BTreeSet, HashSet},
    path::Path,
};

use anyhow::Result;

use crate::{
    fingerprint::Fingerprint,
    hashes::Hashes,
    imports::{self, Import},
    walk::{Found, Kind, Passed},
};

/// The files and symbolic links of a folder in the order of a walk, each with its part of the fingerprint.
#[derive(Debug)]
pub struct Tree {
    files: Vec<Found>,
    content: Fingerprint,
    /// Of the Python files that were read for their hashes.
    imports: BTreeSet<Import>,
    /// For each file, whether it was.
    is_read: Vec<bool>,
}

impl Tree {
    /// Walks over the folder `root`. The parts are named `name/path`. `shared`: see [`imports::of_tree`].
    pub fn read(hashes: &Hashes, name: &str, root: &Path, shared: &HashSet<&str>) -> Result<Tree> {
        let (mut files, mut content) = (Vec::new(), Fingerprint::new());
        let (mut imports, mut is_read) = (BTreeSet::new(), Vec::new());
        hashes.add(&mut content, name, root, &Passed::default(), None, &mut |found, bytes| {
            if let Some(bytes) = bytes {
                imports::of_file(&found.path, bytes, shared, &mut imports);
            }
            is_read.push(bytes.is_some());
            files.push(found);
        })?;
        Ok(Tree { files, content, imports, is_read })
    }

    /// Takes over the imports of an earlier reading of the same folder, if that found the same content.
    pub fn adopt(&mut self, earlier: &Tree) {
        if self.content == earlier.content {
            self.imports.clone_from(&earlier.imports);
            self.is_read.clone_from(&earlier.is_read);
        }
    }

    /// The fingerprint of all.
    pub fn content(&self) -> &Fingerprint {
        &self.content
    }

    /// The files and links that are wanted, with their parts. `is_wanted` is asked in the order of the walk.
    pub fn only<'a>(&'a self, mut is_wanted: impl FnMut(&Found) -> bool + 'a) -> impl Iterator<Item = (&'a Found, (&'a str, &'a str))> {
        self.files.iter().zip(self.content.parts()).filter(move |(found, _)| is_wanted(found))
    }

    /// The imports of the Python files that were read for their hashes.
    pub(crate) fn imports(&self) -> &BTreeSet<Import> {
        &self.imports
    }

    /// The other Python files.
    pub(crate) fn unread(&self) -> impl Iterator<Item = &Path> {
        let is_python = |it: &Found| it.kind == Kind::File && it.path.extension().is_some_and(|it| it == "py");
        self.files.iter().zip(&self.is_read).filter(move |(it, is_read)| !**is_read && is_python(it)).map(|(it, _)| it.path.as_path())
    }

    /// Whether its imports are those of exactly this content.
    pub fn has_all_imports(&self) -> bool {
        self.unread().next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn each_file_and_link_has_its_part_and_what_is_neither_has_none() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("b")).unwrap();
        for (path, text) in [("a.py", "a"), ("b/c.html", "c"), ("z.py", "z")] {
            fs::write(dir.path().join(path), text).unwrap();
        }
        std::os::unix::fs::symlink("a.py", dir.path().join("link")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("b/socket")).unwrap();
        let tree = Tree::read(&Hashes::default(), "app", dir.path(), &HashSet::new()).unwrap();
        let mut whole = Fingerprint::new();
        whole.add_tree("app", dir.path()).unwrap();
        assert_eq!(*tree.content(), whole);
        let all: Vec<String> = tree.only(|_| true).map(|(found, (name, _))| format!("{} {name}", found.path.display())).collect();
        assert_eq!(all, ["a.py app/a.py", "b/c.html app/b/c.html", "link app/link", "z.py app/z.py"]);
        let python = tree.only(|it| it.path.extension().is_some_and(|it| it == "py")).map(|(_, part)| part);
        let named = whole.parts().filter(|(name, _)| name.ends_with(".py"));
        assert_eq!(python.collect::<Fingerprint>(), named.collect::<Fingerprint>());
    }

    #[test]
    fn the_imports_of_a_first_reading_are_those_of_the_files() {
        let dir = tempfile::tempdir().unwrap();
        let (root, file) = (dir.path().join("app"), dir.path().join("hashes"));
        fs::create_dir_all(root.join("tests")).unwrap();
        let large = format!("import large\n{}", "# a comment\n".repeat(20_000));
        for (path, text) in [("a.py", "import one\n"), ("b.txt", "import two\n"), ("large.py", &large), ("tests/c.py", "import three\n")] {
            fs::write(root.join(path), text).unwrap();
        }
        // A link to a Python file has no imports of its own.
        std::os::unix::fs::symlink("b.txt", root.join("link.py")).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(60));
        let shared = HashSet::new();
        let read = || Tree::read(&Hashes::kept_in(file.clone()), "app", &root, &shared).unwrap();
        let imports = |tree: &Tree| imports::of_tree(&root, tree, &shared).unwrap();
        let first = read();
        assert!(first.has_all_imports());
        let names: Vec<(String, bool)> = imports(&first).into_iter().map(|it| (it.name, it.is_of_test)).collect();
        assert_eq!(names, [("large".to_owned(), false), ("one".to_owned(), false), ("three".to_owned(), true)]);
        // Now the hashes are known, and one file is new.
        let mut second = read();
        assert!(!second.has_all_imports() && second.imports().is_empty());
        assert_eq!(imports(&second), imports(&first));
        second.adopt(&first);
        assert!(second.has_all_imports() && second.imports() == first.imports());
        fs::write(root.join("a.py"), "import other\n").unwrap();
        let mut third = read();
        third.adopt(&first);
        assert!(!third.has_all_imports() && third.imports().len() == 1);
        assert_eq!(imports(&third).iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["large", "other", "three"]);
    }
}
