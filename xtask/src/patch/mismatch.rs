//! Explains why a patch does not apply: the file and hunk of git's error, and the lines of both sides.

use std::{fs, path::Path};

use crate::patch::parse::{FilePatch, Hunk};

/// The message for git's error: patch, file, hunk, the lines that the patch expects, and the lines of the file.
pub fn explain(patch: &str, files: &[FilePatch], tree: &Path, complaint: &str) -> String {
    let Some((name, line)) = place(complaint) else {
        let words: Vec<&str> = complaint.lines().map(|it| it.trim_start_matches("error: ")).collect();
        return format!("patch {patch} does not apply: {}", words.join("; "));
    };
    let file = files.iter().find(|it| it.names().contains(&name.as_str()));
    let found = file
        .and_then(|it| it.hunks.iter().enumerate().find(|(_, hunk)| hunk.line == line).map(|(index, hunk)| (index, hunk, it.hunks.len())));
    let mut out = format!("patch {patch} does not apply to {name}");
    let Some((index, hunk, count)) = found else { return out };
    out.push_str(&format!(", hunk {} of {count} at line {line}", index + 1));
    out.push_str("\nthe patch expects:");
    for text in hunk.before() {
        out.push_str(&format!("\n  - {text}"));
    }
    out.push_str(&format!("\n{name} has:"));
    let actual = fs::read_to_string(tree.join(&name)).unwrap_or_default();
    let there = there(&actual, hunk);
    for text in &there {
        out.push_str(&format!("\n  + {text}"));
    }
    if let Some(remark) = invisible(&hunk.before(), &there, &actual) {
        out.push_str(&format!("\n{remark}"));
    }
    out
}

/// The invisible difference between two lines that look the same.
fn invisible(expected: &[&str], there: &[&str], actual: &str) -> Option<String> {
    let words = |it: &[&str]| it.iter().map(|it| it.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>();
    if words(expected) != words(there) {
        return None;
    }
    let with_cr = actual.matches("\r\n").count();
    let lines = actual.matches('\n').count();
    if with_cr > 0 && with_cr < lines {
        return Some(format!(
            "the lines differ in white space only: {with_cr} of the file's {lines} lines end with CRLF, the others with LF"
        ));
    }
    if expected == there {
        return Some("the lines are the same, and the hunk has no others around them by which git could find its place".to_owned());
    }
    Some("the lines differ in white space only: tabs, or blanks at a line's start or end".to_owned())
}

/// `error: patch failed: FILE:LINE`.
fn place(complaint: &str) -> Option<(String, usize)> {
    let rest = complaint.lines().find_map(|it| it.strip_prefix("error: patch failed: "))?;
    let (name, line) = rest.rsplit_once(':')?;
    Some((name.to_owned(), line.parse().ok()?))
}

fn there<'a>(text: &'a str, hunk: &Hunk) -> Vec<&'a str> {
    let count = hunk.before().len();
    let lines: Vec<&str> = text.lines().skip(hunk.line.saturating_sub(1)).take(count).collect();
    if lines.is_empty() { vec!["(the file ends before)"] } else { lines }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch::parse;

    #[test]
    fn both_sides_are_shown() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("x.py"), "a\nB\nc\n").unwrap();
        let files = parse::files("--- a/x.py\n+++ b/x.py\n@@ -2,2 +2,2 @@\n-b\n+bb\n c\n", &|_| true);
        let text = explain("0003-x.patch", &files, dir.path(), "error: patch failed: x.py:2\nerror: x.py: patch does not apply\n");
        assert_eq!(
            text,
            "patch 0003-x.patch does not apply to x.py, hunk 1 of 1 at line 2\nthe patch expects:\n  - b\n  - c\nx.py has:\n  + B\n  + c"
        );
    }

    #[test]
    fn a_complaint_without_a_place_is_passed_on() {
        let text = explain("0001.patch", &[], Path::new("/"), "error: x.py: No such file or directory\n");
        assert_eq!(text, "patch 0001.patch does not apply: x.py: No such file or directory");
    }

    #[test]
    fn what_the_eye_does_not_see_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let files = parse::files("--- a/x.py\n+++ b/x.py\n@@ -1,2 +1,2 @@\n-b\n+bb\n c\n", &|_| true);
        for (content, said) in [("b\r\nc\n", "1 of the file's 2 lines end with CRLF"), ("b \nc\n", "blanks at a line's start or end")] {
            fs::write(dir.path().join("x.py"), content).unwrap();
            let text = explain("p", &files, dir.path(), "error: patch failed: x.py:1\n");
            assert!(text.contains(said), "{text}");
        }
    }
}
