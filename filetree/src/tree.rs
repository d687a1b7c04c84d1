//! A folder's files with the hash of each, from one walk that serves all who ask for some of them.

use std::path::Path;

use anyhow::Result;

use crate::{
    fingerprint::Fingerprint,
    hashes::Hashes,
    walk::{Found, Kind, Passed, walk},
};

/// The files and symbolic links of a folder in the order of a walk, each with its part of the fingerprint.
#[derive(Debug)]
pub struct Tree {
    files: Vec<Found>,
    content: Fingerprint,
}

impl Tree {
    /// Walks over the folder `root`. The parts are named `name/path`.
    pub fn read(hashes: &Hashes, name: &str, root: &Path) -> Result<Tree> {
        let mut files = walk(root, &Passed::default(), None)?;
        files.retain(|it| matches!(it.kind, Kind::File | Kind::Link));
        let mut content = Fingerprint::new();
        hashes.add(&mut content, name, root, &files)?;
        Ok(Tree { files, content })
    }

    /// The fingerprint of all.
    pub fn content(&self) -> &Fingerprint {
        &self.content
    }

    /// The files and links that are wanted, with their parts. `is_wanted` is asked in the order of the walk.
    pub fn only<'a>(&'a self, mut is_wanted: impl FnMut(&Found) -> bool + 'a) -> impl Iterator<Item = (&'a Found, &'a (String, String))> {
        self.files.iter().zip(self.content.parts()).filter(move |(found, _)| is_wanted(found))
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
        let tree = Tree::read(&Hashes::default(), "app", dir.path()).unwrap();
        let mut whole = Fingerprint::new();
        whole.add_tree("app", dir.path()).unwrap();
        assert_eq!(*tree.content(), whole);
        let all: Vec<String> = tree.only(|_| true).map(|(found, (name, _))| format!("{} {name}", found.path.display())).collect();
        assert_eq!(all, ["a.py app/a.py", "b/c.html app/b/c.html", "link app/link", "z.py app/z.py"]);
        let python = tree.only(|it| it.path.extension().is_some_and(|it| it == "py")).map(|(_, part)| part.clone());
        let named = whole.parts().iter().filter(|(name, _)| name.ends_with(".py")).cloned();
        assert_eq!(python.collect::<Fingerprint>(), named.collect::<Fingerprint>());
    }
}
