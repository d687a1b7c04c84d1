//! Mutations of valid patches: each is read, and what the check lets through has no name outside the tree.

use std::path::{Component, Path};

use crate::{
    mutation::{LONG, SHORT, each},
    patch::{mail, parse, refuse_escapes, steps},
};

const VALID: [&str; 5] = [
    "From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001\nFrom: A <a@example.com>\nSubject: [PATCH] x\n\n---\n a | 2 +-\n\n\
     diff --git a/x.py b/x.py\nindex 1..2 100644\n--- a/x.py\n+++ b/x.py\n@@ -3,2 +3,3 @@ def f():\n one\n-two\n+2\n+3\n-- \n2.39\n",
    "diff --git a/old b/new\nsimilarity index 90%\nrename from old\nrename to new\n--- a/old\n+++ b/new\n@@ -1 +1 @@\n-a\n+b\n\\ No newline at end of file\n",
    "diff --git \"a/\\303\\244\" \"b/\\303\\244\"\nnew file mode 120000\n--- /dev/null\n+++ \"b/\\303\\244\"\n@@ -0,0 +1 @@\n+/etc\n",
    "--- x.orig\t2026-01-01 00:00:00\n+++ x\t2026-01-01 00:00:00\n@@ -1,2 +1,2 @@\n a\r\n-b\r\n+c\r\n",
    "From: a@example.com\nSubject: =?utf-8?q?x?=\nContent-Transfer-Encoding: quoted-printable\n\n---\ndiff --git a/b b/b\ndeleted file mode 100755\n\
     --- a/b\n+++ /dev/null\n@@ -1 +0,0 @@\n-=20\n",
];

const WORDS: [&str; 24] = [
    "diff --git a/x b/x\n",
    "--- a/../x\n",
    "+++ b/.git/config\n",
    "--- /dev/null\n",
    "@@ -1 +1 @@\n",
    "@@ -0,0 +1,99999 @@\n",
    "@@ -1,18446744073709551615 +1 @@",
    "rename to ../../x\n",
    "copy from a\n",
    "new file mode 160000\n",
    "old mode 100644\n",
    "GIT binary patch\nliteral 9\n",
    "diff --cc x\n",
    "Binary files a and b differ\n",
    "\\ No newline at end of file\n",
    "\"a/\\",
    "a/",
    "../",
    "/etc/passwd",
    ".GIT/",
    "git~1/",
    "commit 0123456789012345678901234567890123456789\n",
    "-- \n",
    "From ",
];

fn check(text: &str) {
    let tree = Path::new("/nonexistent");
    let _ = (
        mail::is_mail(text),
        mail::needs_decoding(text),
        mail::is_encoded(text),
        mail::remark(text),
        mail::is_cover_letter("0000-x", text),
    );
    drop(steps::not_understood(text.as_bytes()));
    drop(parse::files(text, &|_| true));
    for step in steps::steps(text.as_bytes(), tree) {
        drop(steps::with_the_files_line_ends(&step, tree));
        if refuse_escapes("x.patch", &step.files, tree).is_err() {
            continue;
        }
        for name in step.files.iter().flat_map(|it| it.names()) {
            let inside = Path::new(name).components().all(|it| match it {
                Component::Normal(part) => !part.eq_ignore_ascii_case(".git"),
                Component::CurDir => true,
                _ => false,
            });
            assert!(inside && !name.contains('\0'), "{name:?} was let through");
        }
    }
}

#[test]
fn a_mutated_patch_is_read_and_never_leaves_the_tree() {
    each(&VALID, &WORDS, SHORT, check);
}

#[test]
#[ignore = "long: `cargo xtask test --full` reads a million texts"]
fn a_million_mutated_patches_are_read_and_never_leave_the_tree() {
    each(&VALID, &WORDS, LONG, check);
}
