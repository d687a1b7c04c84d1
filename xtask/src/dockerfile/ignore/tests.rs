//! Compares with Docker's own code: the files that it keeps of one tree, for 400 ignore files.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::*;

/// Written by `main.go` in the same folder.
const CASES: &str = include_str!("../../../../tests/fixtures/dockerignore/cases.jsonl");

#[derive(Deserialize)]
struct Case {
    ignore: String,
    #[serde(default)]
    kept: String,
    #[serde(default)]
    refused: bool,
}

#[derive(Deserialize)]
struct Tree {
    files: Vec<String>,
}

/// The kept files, and the error if the file cannot be parsed.
fn kept(files: &[String], ignore: &str) -> Result<String> {
    let ignore = Ignore::parse(ignore.as_bytes(), ".dockerignore")?;
    let mut visit = ignore.visit();
    let mut paths = BTreeSet::new();
    for file in files {
        paths.extend(Path::new(file).ancestors().filter(|it| !it.as_os_str().is_empty()));
    }
    let excluded: BTreeSet<&Path> = paths.into_iter().filter(|it| visit.excludes(it)).collect();
    let letters = files.iter().zip('A'..).filter(|(it, _)| !excluded.contains(Path::new(it.as_str()))).map(|(_, letter)| letter);
    Ok(letters.collect())
}

#[test]
fn what_dockers_own_code_keeps_is_kept_and_what_it_refuses_is_refused() {
    let mut lines = CASES.lines();
    let tree: Tree = serde_json::from_str(lines.next().unwrap()).unwrap();
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in lines {
        let case: Case = serde_json::from_str(line).unwrap();
        let ours = kept(&tree.files, &case.ignore);
        let expected = if case.refused { None } else { Some(case.kept) };
        if ours.as_ref().ok() != expected.as_ref() {
            wrong.push(format!("{:?}: {ours:?}, Docker {expected:?}", case.ignore));
        }
        count += 1;
    }
    assert!(count == 400 && wrong.is_empty(), "{} of {count} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_pattern_that_docker_refuses_is_told_with_its_line() {
    let error = Ignore::parse(b"a\n# [\n\n[b\n", "app/.dockerignore").unwrap_err();
    assert_eq!(
        error.to_string(),
        "app/.dockerignore, line 4: `[b` is not a pattern: a bracket is open or empty, or the last character is a backslash"
    );
    let error = Ignore::parse(b"\\d\n", ".dockerignore").unwrap_err();
    assert!(error.to_string().contains("line 1: `\\d` has a backslash before a letter or digit"), "{error}");
}

#[test]
fn brackets_mean_what_they_mean_in_dockers_expressions() {
    let excludes = |pattern: &str, path: &str| Ignore::parse(pattern.as_bytes(), "").unwrap().excludes(Path::new(path));
    assert!(excludes("[!a]", "!") && excludes("[!a]", "a") && !excludes("[!a]", "b"));
    assert!(excludes("x[^a]y", "x/y"), "a negated class holds the slash");
    assert!(excludes("[a&&b]", "&") && excludes("[[x]", "["), "what only this library reads as a set is characters");
    assert!(excludes("x[a-c]", "xb") && !excludes("x[a\\-c]", "xb") && excludes("a[.]b", "a.b") && !excludes("a[.]b", "a-b"));
}

#[test]
fn an_excluded_folder_comes_back_with_what_is_excepted_in_it() {
    let dir = tempfile::tempdir().unwrap();
    for file in ["a/b/keep", "a/b/drop", "c/drop", "top"] {
        let path = dir.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "").unwrap();
    }
    let names = |ignore: &str| -> Vec<String> {
        let found = walk(dir.path(), Some(&Ignore::parse(ignore.as_bytes(), "").unwrap())).unwrap();
        found.iter().filter_map(|it| it.path().strip_prefix(dir.path()).ok()).map(|it| it.display().to_string()).collect()
    };
    assert_eq!(names("*\n!**/keep"), ["", "a", "a/b", "a/b/keep"]);
    assert_eq!(names("a\nc"), ["", "top"]);
}
