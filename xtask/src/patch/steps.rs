//! Splits a patch into steps. `git apply` compares its whole input with the tree before it, so a file that is changed twice needs two
//! steps. Also adapts the line endings of a patch to the files that it changes.

use std::{fs, path::Path};

use crate::{
    patch::parse::{self, FilePatch},
    regular,
};

/// The input of one call of `git apply`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    pub files: Vec<FilePatch>,
    pub bytes: Vec<u8>,
    /// Git's `-p`.
    pub strip: usize,
}

/// The steps of one diff, or of several diffs in sequence.
pub fn steps(bytes: &[u8], tree: &Path) -> Vec<Step> {
    let text = String::from_utf8_lossy(bytes);
    let lines = split(bytes);
    let mut out: Vec<Step> = Vec::new();
    for file in parse::files(&text, &|name| tree.join(name).symlink_metadata().is_ok()) {
        let begins = file.begins_commit || out.last().is_none_or(|it| it.strip != file.strip || comes_again(&it.files, &file));
        if begins {
            out.push(Step { strip: file.strip, ..Step::default() });
        }
        let Some(step) = out.last_mut() else { continue };
        for line in lines.get(file.lines.clone()).unwrap_or_default() {
            step.bytes.extend_from_slice(line);
        }
        // Names and hunks stay those of the whole text; only line numbers are relative to the step.
        step.files.push(file);
    }
    out
}

/// Text between hunks that `git apply` would silently ignore.
pub fn not_understood(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let files = parse::files(&text, &|_| false);
    let hunks = || files.iter().flat_map(|it| &it.hunks);
    let in_hunk = |at: usize| hunks().any(|it| it.range.contains(&at));
    let lines: Vec<&str> = text.lines().collect();
    if let Some((at, line)) = hunks().find_map(|it| surplus(&lines, it.range.end)) {
        return Some(format!("line {} is one more than its hunk's header counts: {line}", at + 1));
    }
    text.lines().enumerate().filter(|(at, _)| !in_hunk(*at)).find_map(|(at, line)| {
        let what = match line {
            _ if line.starts_with("diff --cc ") || line.starts_with("diff --combined ") => "a merge's combined diff",
            "***************" => "a context diff",
            _ if line.starts_with("Binary files ") && line.ends_with(" differ") => "a binary file without its content",
            _ if line.starts_with("Only in ") && line.contains(": ") => "a file that is only named",
            _ if line.starts_with("Property changes on: ") => "a property of Subversion's",
            _ => return None,
        };
        Some(format!("line {} is of {what}: {line}", at + 1))
    })
}

/// A changed line after the end of a hunk: the hunk was edited without its header. Ignores a mail's signature and the next file's header.
fn surplus<'a>(lines: &[&'a str], at: usize) -> Option<(usize, &'a str)> {
    let line = lines.get(at)?;
    let is_header = line.starts_with("--- ") && lines.get(at + 1).is_some_and(|it| it.starts_with("+++ "));
    let is_signature = line.trim_end() == "--";
    (line.starts_with(['+', '-']) && !is_header && !is_signature).then_some((at, line))
}

/// Whether both changes need separate diffs, because the file was created, changed or removed before. One diff can replace a link by a
/// file, since git removes the link first, and can rename files in a circle.
fn comes_again(before: &[FilePatch], file: &FilePatch) -> bool {
    let Some(name) = file.result() else { return false };
    let is_rename = |it: &FilePatch| it.names().len() > 1;
    // After a rename the old name does not exist, so a later entry with the old name belongs to an earlier change. After a copy it still
    // exists.
    let from = file.renamed_from.as_deref();
    before.iter().any(|it| {
        if from.is_some() && it.result() == from && !is_rename(it) && !it.removes && !it.rewrites {
            return true;
        }
        let same = it.result() == Some(name);
        let retyped = it.removes && file.makes;
        let goes_on = !is_rename(file) && it.result().is_some_and(|made| file.old.as_deref() == Some(made)) && !retyped;
        (same && !retyped) || goes_on
    })
}

fn split(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split_inclusive(|it| *it == b'\n').collect()
}

/// The step with the line endings of the files that it changes: if all lines of a file end with CRLF, or all with LF, the hunks get the
/// same. Headers end with LF. If the whole patch was converted to CRLF, new files get LF.
pub fn with_the_files_line_ends(step: &Step, tree: &Path) -> Vec<u8> {
    let mut out = Vec::with_capacity(step.bytes.len());
    let text = String::from_utf8_lossy(&step.bytes);
    let lines = split(&step.bytes);
    let files = parse::files(&text, &|name| tree.join(name).symlink_metadata().is_ok());
    for file in &files {
        let header_has_cr = lines.get(file.lines.start).is_some_and(|it| it.ends_with(b"\r\n"));
        let changed = file.old.as_ref().or(file.renames.first()).filter(|_| !file.makes);
        let ends = changed.and_then(|it| line_ends(&tree.join(it))).or(header_has_cr.then_some(Ends::Lf));
        let in_hunk = |at: usize| file.hunks.iter().any(|it| it.range.contains(&at));
        for at in file.lines.clone() {
            let Some(line) = lines.get(at) else { break };
            let ends = if in_hunk(at) { ends } else { header_has_cr.then_some(Ends::Lf) };
            match ends {
                // A note of git is not a line of the file.
                Some(ends) if !line.starts_with(b"\\") => push_line(&mut out, line, ends),
                Some(_) => push_line(&mut out, line, Ends::Lf),
                None => out.extend_from_slice(line),
            }
        }
    }
    out
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    Lf,
    CrLf,
}

fn push_line(out: &mut Vec<u8>, line: &[u8], ends: Ends) {
    let Some(content) = line.strip_suffix(b"\n") else { return out.extend_from_slice(line) };
    out.extend_from_slice(content.strip_suffix(b"\r").unwrap_or(content));
    out.extend_from_slice(match ends {
        Ends::Lf => b"\n",
        Ends::CrLf => b"\r\n",
    });
}

/// The line ending of all lines of a file; `None` if they differ, if there are no lines, or if the file is binary.
fn line_ends(path: &Path) -> Option<Ends> {
    if fs::symlink_metadata(path).ok()?.is_symlink() {
        return None;
    }
    let bytes = regular::read(path).ok()?;
    let lines = bytes.iter().filter(|it| **it == b'\n').count();
    let with_cr = bytes.windows(2).filter(|it| it == b"\r\n").count();
    match (lines, with_cr) {
        _ if bytes.contains(&0) => None,
        (0, _) => None,
        (_, 0) => Some(Ends::Lf),
        (lines, with_cr) if lines == with_cr => Some(Ends::CrLf),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str) -> usize {
        let dir = tempfile::tempdir().unwrap();
        steps(text.as_bytes(), dir.path()).len()
    }

    #[test]
    fn what_one_diff_cannot_hold_is_applied_in_steps() {
        let made = "diff --git a/x b/x\nnew file mode 100644\n--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+1\n";
        let changed = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-1\n+2\n";
        let removed = "diff --git a/x b/x\ndeleted file mode 100644\n--- a/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-2\n";
        let renamed = "diff --git a/x b/y\nsimilarity index 100%\nrename from x\nrename to y\n";
        let edited = "diff --git a/y b/y\n--- a/y\n+++ b/y\n@@ -1 +1 @@\n-1\n+2\n";
        let back = "diff --git a/y b/x\nsimilarity index 100%\nrename from y\nrename to x\n";
        let link =
            "diff --git a/x b/x\ndeleted file mode 120000\n--- a/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-y\n\\ No newline at end of file\n";
        assert_eq!(count(&[made, changed, removed].concat()), 3);
        assert_eq!(count(&[renamed, edited].concat()), 2);
        assert_eq!(count(&[renamed, back].concat()), 1);
        assert_eq!(count(&[link, made].concat()), 1);
        assert_eq!(count(&[changed, edited].concat()), 1);
        // Edited, then renamed: one step.
        assert_eq!(count(&[changed, renamed].concat()), 2);
        let rewritten = changed.replace("--- a/x", "dissimilarity index 90%\n--- a/x");
        assert_eq!(count(&[rewritten.as_str(), renamed].concat()), 1);
        let copied = "diff --git a/x b/y\nsimilarity index 100%\ncopy from x\ncopy to y\n";
        assert_eq!(count(&[changed, copied].concat()), 1);
        let log = format!("commit {}\n\n    one\n\n{renamed}commit {}\n\n    two\n\n{back}", "a".repeat(40), "b".repeat(40));
        assert_eq!(count(&log), 2);
    }

    #[test]
    fn what_would_be_passed_over_is_seen() {
        let change = "--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n Only in a: b\n-1\n+***************\n";
        assert_eq!(not_understood(change.as_bytes()), None);
        for line in ["diff --cc x", "Binary files a/y and b/y differ", "Only in b: y", "Property changes on: x", "***************"] {
            let found = not_understood(format!("{change}{line}\n").as_bytes());
            assert!(found.unwrap_or_default().contains("line 7 is of a"), "{line}");
        }
    }

    #[test]
    fn a_line_more_than_a_hunk_counts_is_seen_and_a_signature_is_none() {
        let hunk = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n 1\n-2\n+3\n";
        for line in ["+4\n", "-4\n"] {
            let found = not_understood(format!("{hunk}{line}").as_bytes()).unwrap_or_default();
            assert!(found.contains("line 8 is one more than its hunk's header counts"), "{found}");
        }
        for rest in ["", "-- \n2.39\n", "--\n2.39\n", "--- a/y\n+++ b/y\n@@ -1 +1 @@\n-1\n+2\n", "\\ No newline at end of file\n"] {
            assert_eq!(not_understood(format!("{hunk}{rest}").as_bytes()), None, "{rest}");
        }
    }

    #[test]
    fn hunks_get_the_line_ends_of_their_file() {
        let dir = tempfile::tempdir().unwrap();
        let patch = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-1\n+2\n";
        let crlf = patch.replace('\n', "\r\n");
        let of = |content: &str, patch: &str| {
            fs::write(dir.path().join("x"), content).unwrap();
            let step = steps(patch.as_bytes(), dir.path()).remove(0);
            String::from_utf8(with_the_files_line_ends(&step, dir.path())).unwrap()
        };
        assert_eq!(of("1\n", &crlf), patch);
        assert_eq!(of("1\n", patch), patch);
        let wanted = patch.replace("-1\n+2\n", "-1\r\n+2\r\n");
        assert_eq!(of("1\r\n", patch), wanted);
        assert_eq!(of("1\r\n", &crlf), wanted);
        // Mixed line endings: git decides.
        assert_eq!(of("1\r\n2\n", patch), patch);
    }
}
