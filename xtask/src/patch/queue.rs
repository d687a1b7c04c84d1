//! Finds the patches of the folder and their order. The output names each file that is not applied, since a silently ignored patch would
//! give a wrong result.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::{
    errors::{Code, Problem},
    patch::{Patch, mail, parse, steps},
    regular,
};

/// The patches in the order of application, and the other files of the folder.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    pub patches: Vec<Patch>,
    /// A sentence for each file that is not applied but may have been meant as a patch.
    pub passed_over: Vec<String>,
}

/// The file with the order of the patches, as in quilt and guilt.
const SERIES: &str = "series";

/// Reads the folder. `exists` tells whether the application has a file. A missing or empty folder is an empty queue.
pub fn read(dir: &Path, exists: &dyn Fn(&str) -> bool) -> Result<Queue> {
    let mut out = Queue::default();
    let mut names = Vec::new();
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(out),
        Err(error) => return Err(error).with_context(|| format!("read {}", dir.display())),
    };
    for entry in entries {
        let entry = entry.with_context(|| format!("read {}", dir.display()))?;
        names.push((entry.file_name().to_string_lossy().into_owned(), entry.path().is_dir()));
    }
    names.sort();
    let series = names.iter().any(|(name, is_dir)| name == SERIES && !is_dir);
    let listed = if series { Some(listed(dir)?) } else { None };
    for (name, is_dir) in names {
        let is_listed = |it: &Vec<String>| it.iter().any(|it| *it == name || it.starts_with(&format!("{name}/")));
        match (&listed, is_patch(&name)) {
            (Some(listed), _) if is_listed(listed) => {}
            (Some(_), true) => out.passed_over.push(format!("{name} is not applied: `{SERIES}` does not list it")),
            (None, true) if !is_dir => take(&mut out, dir, &name, exists)?,
            _ if is_dir && !name.starts_with('.') => {
                out.passed_over.push(format!("{name}/ is a folder: its files are not applied. Put patches directly into the patch folder"));
            }
            _ if is_meant(&name) => {
                out.passed_over.push(format!("{name} is not applied: a patch's name ends with .patch, .diff or .mbox"));
            }
            _ => {}
        }
    }
    for name in listed.into_iter().flatten() {
        take(&mut out, dir, &name, exists)?;
    }
    Ok(out)
}

fn is_patch(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    !name.starts_with('.') && [".patch", ".diff", ".mbox"].iter().any(|it| lower.ends_with(it))
}

/// Whether the file may have been meant as a patch; false for documentation and for backup files of editors and git.
fn is_meant(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let explains = ["readme", "license", "licence", "changelog", "upstream", "series", "status", "guards", "applied-patches"];
    let leftover = ['~', '#'].iter().any(|it| name.ends_with(*it))
        || [".orig", ".rej", ".swp", ".swx", ".bak", ".md"].iter().any(|it| lower.ends_with(it));
    !name.starts_with(['.', '#']) && !leftover && !explains.iter().any(|it| lower.starts_with(it))
}

/// The names in quilt's `series`: one on each line, then options, then a comment after `#`.
fn listed(dir: &Path) -> Result<Vec<String>> {
    let path = dir.join(SERIES);
    let text = regular::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let mut out = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if let Some(guard) = line.split_whitespace().find(|it| it.starts_with("#+") || it.starts_with("#-")) {
            let what = format!("{SERIES}, line {}: the guard `{guard}` is not supported", number + 1);
            return Err(Problem::config(what)
                .code(Code::PatchRefused)
                .hint("list the patches that are to be applied, without guards")
                .into());
        }
        let line = line.split(" #").next().unwrap_or_default().trim();
        let mut words = line.split_whitespace();
        let Some(name) = words.next().filter(|it| !it.starts_with('#')) else { continue };
        // `-p` is ignored, since the prefix follows from the names; `-R` would reverse the patch.
        if let Some(option) = words.find(|it| !it.starts_with("-p")) {
            let what = format!("{SERIES}, line {}: `{option}` is an option that is not supported", number + 1);
            return Err(Problem::config(what).code(Code::PatchRefused).hint("write the patch so that it needs none").into());
        }
        if Path::new(name).components().any(|it| !matches!(it, std::path::Component::Normal(_))) {
            let what = format!("{SERIES}, line {}: `{name}` leads out of the patch folder", number + 1);
            return Err(Problem::config(what).code(Code::PatchRefused).hint("put the patch into the folder").into());
        }
        out.push(name.to_owned());
    }
    Ok(out)
}

fn take(out: &mut Queue, dir: &Path, name: &str, exists: &dyn Fn(&str) -> bool) -> Result<()> {
    let path: PathBuf = dir.join(name);
    let bytes = regular::read(&path).map_err(|error| {
        Problem::config(format!("patch {name} cannot be read: {error}"))
            .code(Code::PatchRefused)
            .hint("put a file in its place, or remove it")
    })?;
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(Problem::config(format!("patch {name} is UTF-16"))
            .code(Code::PatchRefused)
            .hint("save it as UTF-8: PowerShell's `>` wrote it otherwise, `git diff --output FILE` does not")
            .into());
    }
    let text = String::from_utf8_lossy(&bytes);
    // The content of an encoded mail is known only after git has decoded it.
    let encoded = mail::is_mail(&text) && mail::is_encoded(&text);
    let files = if encoded { Vec::new() } else { parse::files(&text, exists) };
    if files.is_empty() && !encoded {
        if mail::is_cover_letter(name, &text) {
            out.passed_over.push(format!("{name} is a cover letter: it contains no change"));
            return Ok(());
        }
        let what = match steps::not_understood(&bytes) {
            Some(what) => format!("patch {name} is refused: {what}"),
            None => format!("patch {name} contains no change"),
        };
        return Err(Problem::config(what).code(Code::PatchRefused).hint("remove it, or write it with `git format-patch`").into());
    }
    out.patches.push(Patch { name: name.to_owned(), path, files });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGE: &str = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n";

    fn read_with(files: &[(&str, &str)]) -> Result<Queue> {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        read(dir.path(), &|_| false)
    }

    fn names(queue: &Queue) -> Vec<&str> {
        queue.patches.iter().map(|it| it.name.as_str()).collect()
    }

    #[test]
    fn a_missing_folder_is_an_empty_queue_and_order_is_by_name() {
        assert!(read(Path::new("/absent"), &|_| false).unwrap().patches.is_empty());
        let queue = read_with(&[("0002-b.patch", CHANGE), ("0001-a.diff", CHANGE), ("0003-c.mbox", CHANGE)]).unwrap();
        assert_eq!(names(&queue), ["0001-a.diff", "0002-b.patch", "0003-c.mbox"]);
        assert_eq!(queue.passed_over, Vec::<String>::new());
    }

    #[test]
    fn what_is_not_applied_is_named_unless_nobody_can_have_meant_it() {
        let queue = read_with(&[
            ("0000-cover-letter.patch", "From 1 Mon Sep 17 00:00:00 2001\nSubject: [PATCH 0/2] all\n\n*** BLURB HERE ***\n"),
            ("0001-a.patch", CHANGE),
            ("0002-b.patch.gz", "x"),
            ("0003-c.txt", CHANGE),
            ("more/0004-d.patch", CHANGE),
            ("README.md", "x"),
            (".gitkeep", ""),
            ("0001-a.patch~", CHANGE),
            ("0001-a.patch.orig", CHANGE),
            (".0001-a.patch.swp", "x"),
        ])
        .unwrap();
        assert_eq!(names(&queue), ["0001-a.patch"]);
        let firsts: Vec<&str> = queue.passed_over.iter().filter_map(|it| it.split_whitespace().next()).collect();
        assert_eq!(firsts, ["0000-cover-letter.patch", "0002-b.patch.gz", "0003-c.txt", "more/"]);
    }

    #[test]
    fn quilts_series_gives_order_and_choice() {
        let queue = read_with(&[
            ("series", "# all\nb.diff -p1\nsub/a.patch # first\n"),
            ("a.patch", CHANGE),
            ("b.diff", CHANGE),
            ("sub/a.patch", CHANGE),
        ])
        .unwrap();
        assert_eq!(names(&queue), ["b.diff", "sub/a.patch"]);
        assert_eq!(queue.passed_over, ["a.patch is not applied: `series` does not list it"]);
        for (line, said) in [
            ("a.patch -R", "`-R` is an option"),
            ("a.patch #+stable", "the guard `#+stable`"),
            ("../a.patch", "leads out"),
            ("absent.patch", "absent.patch"),
        ] {
            let error = read_with(&[("series", line), ("a.patch", CHANGE)]).unwrap_err();
            assert!(format!("{error:#}").contains(said), "{error:#}");
        }
    }

    #[test]
    fn an_empty_patch_is_refused_and_no_cover_letter() {
        for text in ["", "Subject: x\n\nno diff\n"] {
            assert!(format!("{:#}", read_with(&[("0001-a.patch", text)]).unwrap_err()).contains("contains no change"));
        }
    }
}
