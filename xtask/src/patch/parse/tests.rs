//! Patches of many programs.

use super::*;

fn parsed(text: &str) -> Vec<FilePatch> {
    files(text, &|_| false)
}

/// Checks the names and the prefix's length.
fn check(text: &str, there: &[&str], names: &[&str], strip: usize) {
    let found = files(text, &|it| there.contains(&it));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].names().as_slice(), found[0].strip), (names, strip), "{text}");
}

#[test]
fn a_mail_with_two_files_is_read() {
    let text = "From 0 Mon Sep 17 00:00:00 2001\nSubject: x\n\n--- not a header\n---\n a | 2 +-\n\ndiff --git a/x.py b/x.py\nindex 1..2 100644\n--- a/x.py\n+++ b/x.py\n@@ -3,2 +3,3 @@ def f():\n one\n-two\n+2\n+3\ndiff --git a/new b/new\nnew file mode 120000\n--- /dev/null\n+++ b/new\n@@ -0,0 +1 @@\n+/etc\n-- \n2.39\n";
    let files = parsed(text);
    assert_eq!(files.len(), 2);
    assert_eq!(files[0].names(), ["x.py"]);
    assert_eq!(files[0].lines, 7..16);
    assert_eq!(files[0].hunks[0].lines, [" one", "-two", "+2", "+3"]);
    assert_eq!((files[0].hunks[0].line, files[0].hunks[0].range.clone()), (3, 12..16));
    assert_eq!(files[0].hunks[0].before(), ["one", "two"]);
    assert!(files[1].creates_link());
    assert_eq!(files[1].old, None);
    assert_eq!(files[1].names(), ["new"]);
}

#[test]
fn a_removed_line_that_looks_like_a_header_is_no_header() {
    let files = parsed("--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n--- ../../evil\n+++ ../../evil\n ok\n");
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].names(), ["x"]);
}

#[test]
fn names_of_renames_and_mode_changes_are_seen() {
    let files = parsed(
        "diff --git a/../a b/b\nsimilarity index 100%\nrename from ../a\nrename to b\ndiff --git a/.git/x b/.git/x\nold mode 100644\nnew mode 100755\n",
    );
    assert_eq!(files[0].names(), ["../a", "b"]);
    assert_eq!(files[1].names(), [".git/x"]);
}

#[test]
fn quoted_names_are_read_as_git_means_them() {
    assert_eq!(unquote(r#""a/\303\244 \"x\"""#), "a/ä \"x\"");
    check("diff --git \"a/\\303\\244 x\" \"b/\\303\\244 x\"\nold mode 100644\nnew mode 100755\n", &[], &["ä x"], 1);
}

#[test]
fn the_prefix_is_what_the_names_say_whatever_git_was_told_to_write() {
    let hunk = "@@ -1 +1 @@\n-a\n+b\n";
    let of = |old: &str, new: &str| format!("diff --git {old} {new}\n--- {old}\n+++ {new}\n{hunk}");
    check(&of("a/polls/x.py", "b/polls/x.py"), &[], &["polls/x.py"], 1);
    check(&of("i/polls/x.py", "w/polls/x.py"), &[], &["polls/x.py"], 1);
    check(&of("polls/x.py", "polls/x.py"), &["polls/x.py"], &["polls/x.py"], 0);
    check(&of("old/v1/polls/x.py", "new/v2/polls/x.py"), &[], &["polls/x.py"], 2);
    // Both sides have the same prefix, so the tree decides.
    check(&of("app/x.py", "app/x.py"), &["x.py"], &["x.py"], 1);
    let new = "new file mode 100644\n--- /dev/null\n";
    check(&format!("diff --git polls/e.py polls/e.py\n{new}+++ polls/e.py\n@@ -0,0 +1 @@\n+b\n"), &["e.py"], &["polls/e.py"], 0);
    check(&format!("diff --git a/polls/e.py b/polls/e.py\n{new}+++ b/polls/e.py\n@@ -0,0 +1 @@\n+b\n"), &[], &["polls/e.py"], 1);
    check("diff --git i/run w/run\nold mode 100644\nnew mode 100755\n", &[], &["run"], 1);
    check("diff --git a/b b/c b/b b/c\nnew file mode 100644\n", &[], &["b b/c"], 1);
}

#[test]
fn patches_of_other_tools_are_read_by_the_names_that_the_tree_has() {
    let hunk = "@@ -1 +1 @@\n-a\n+b\n";
    check(
        &format!("--- polls/x.py.orig\t2026-01-01 00:00:00\n+++ polls/x.py\t2026-01-01\n{hunk}"),
        &["polls/x.py"],
        &["polls/x.py.orig", "polls/x.py"],
        0,
    );
    check(
        &format!("Index: polls/x.py\n===\n--- polls/x.py\t(revision 1)\n+++ polls/x.py\t(working copy)\n{hunk}"),
        &["polls/x.py"],
        &["polls/x.py"],
        0,
    );
    check(
        &format!("# HG changeset patch\ndiff -r 12 polls/x.py\n--- a/polls/x.py\tThu\n+++ b/polls/x.py\tThu\n{hunk}"),
        &[],
        &["polls/x.py"],
        1,
    );
    check(&format!("--- old-1.0/x.py\n+++ new-1.1/x.py\n{hunk}"), &[], &["x.py"], 1);
    check("--- /dev/null\n+++ b/x.py\n@@ -0,0 +1 @@\n+b\n", &[], &["x.py"], 1);
}

#[test]
fn every_mode_is_seen() {
    let files = parsed("diff --git a/x b/x\nindex 1..2 104755\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n");
    assert_eq!(files[0].modes, ["104755"]);
    assert!(parsed("diff --git a/x b/x\ndeleted file mode 120000\n--- a/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n")[0].removes_link());
}
