//! The files of a build context: by a walk of its own, or out of a whole walk that serves others too.

use std::path::{Path, PathBuf};

use filetree::walk::Found;

use crate::dockerfile::ignore::{Ignore, Visit};

/// Decides in a walk what belongs to a context, and which folders must be entered.
pub fn keep(ignore: Option<&Ignore>) -> impl FnMut(&Path, bool) -> bool {
    let mut visit = visit(ignore);
    move |path, is_folder| visit.as_mut().is_none_or(|it| !it.excludes(path) || (is_folder && it.may_return()))
}

/// Whether a file belongs to the context, for the files of a whole walk in its order: the same files as with [`keep`].
pub fn belongs(ignore: Option<&Ignore>) -> impl FnMut(&Found) -> bool {
    let mut visit = visit(ignore);
    // The folders above the last file, and whether nothing in them belongs to the context.
    let mut above: Vec<(PathBuf, bool)> = Vec::new();
    move |found| {
        let Some(visit) = &mut visit else { return true };
        while above.pop_if(|(folder, _)| !found.path.starts_with(folder)).is_some() {}
        let mut entered: Vec<&Path> = found.path.ancestors().skip(1).filter(|it| !it.as_os_str().is_empty()).collect();
        entered.reverse();
        for folder in entered.split_off(above.len()) {
            let is_out = above.last().is_some_and(|(_, is_out)| *is_out) || (visit.excludes(folder) && !visit.may_return());
            above.push((folder.to_owned(), is_out));
        }
        !above.last().is_some_and(|(_, is_out)| *is_out) && !visit.excludes(&found.path)
    }
}

fn visit(ignore: Option<&Ignore>) -> Option<Visit<'_>> {
    ignore.filter(|it| !it.is_empty()).map(Ignore::visit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use filetree::walk::Passed;
    use std::fs;

    #[test]
    fn out_of_a_whole_walk_come_the_files_of_a_walk_of_the_context() {
        let dir = tempfile::tempdir().unwrap();
        let files = ["a.py", "a/b/c.py", "a/b/d.txt", "a/e.py", "a.d/e.py", "docs/a/b.md", "docs/a/keep.md", "docs/z.md", "last", "z/a.py"];
        for file in files {
            fs::create_dir_all(dir.path().join(file).parent().unwrap()).unwrap();
            fs::write(dir.path().join(file), file).unwrap();
        }
        fs::create_dir_all(dir.path().join("docs/empty/er")).unwrap();
        let whole = filetree::walk::walk(dir.path(), &Passed::default(), None).unwrap();
        let names = |found: Vec<Found>| -> Vec<String> { found.into_iter().map(|it| it.path.display().to_string()).collect() };
        let mut counts = Vec::new();
        for text in [
            "",
            "a",
            "a/b",
            "**/b",
            "*.py",
            "docs\n!docs/a/keep.md",
            "docs\n!docs/a\ndocs/a/b.md",
            "a/b/*\n!a/b/c.py",
            "*\n!z",
            "**/*.py\n!a/**",
            "**",
        ] {
            let ignore = Ignore::parse(text.as_bytes(), ".dockerignore").unwrap();
            let walked = names(filetree::walk::walk(dir.path(), &Passed::default(), Some(&mut keep(Some(&ignore)))).unwrap());
            let mut is_wanted = belongs(Some(&ignore));
            assert_eq!(names(whole.iter().filter(|it| is_wanted(it)).cloned().collect()), walked, "{text}");
            counts.push(walked.len());
        }
        assert_eq!(counts[0], files.len());
        assert!(counts[1..].iter().all(|it| *it < files.len()) && counts.contains(&0), "{counts:?}");
    }
}
