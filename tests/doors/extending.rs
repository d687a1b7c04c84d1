//! Follows `docs/extending.md`: its task compiles and works, its lines exist in the source, and it names every method of a provider.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use pocdeploy::{env::Env, fingerprint::Fingerprint, graph::TaskId, probe::Probe, record, tasks::Task};

use crate::Bench;

/// The document gives its task an id of its own; here it has another task's.
const ID: TaskId = TaskId::BaseImage;

// The example of docs/extending.md begins.
/// Writes the pinned packages to a file.
struct Packages;

fn pins(env: &Env) -> Result<String> {
    let path = env.path(&env.config.frontend.requirements);
    fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
}

impl Task for Packages {
    fn id(&self) -> TaskId {
        ID
    }

    fn inputs(&self, env: &Env) -> Result<Fingerprint> {
        let mut out = Fingerprint::new();
        out.add("pins", pins(env)?);
        Ok(out)
    }

    fn probe(&self, env: &Env, _want: &Fingerprint) -> Result<Probe> {
        let written = fs::read_to_string(env.work("packages.txt")).unwrap_or_default();
        Ok(match written == pins(env)? {
            true => Probe::Fresh("packages.txt lists the pinned packages".to_owned()),
            false => Probe::Stale("packages.txt differs from the pins".to_owned()),
        })
    }

    fn run(&self, env: &Env, _want: &Fingerprint) -> Result<()> {
        record::write_file(&env.work("packages.txt"), pins(env)?.as_bytes())
    }
}
// The example ends.

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The code blocks of the document: the file that each names, and its lines.
fn blocks(document: &str) -> Vec<(&str, Vec<&str>)> {
    let mut parts = document.split("```rust");
    parts.next();
    parts
        .map(|it| {
            let (file, rest) = it.split_once('\n').unwrap();
            (file.trim(), rest.split("\n```").next().unwrap().lines().collect())
        })
        .collect()
}

#[test]
fn the_task_of_the_document_compiles_and_works() {
    let document = read("docs/extending.md");
    let source = include_str!("extending.rs");
    let example =
        source.split("// The example of docs/extending.md begins.\n").nth(1).unwrap().split("// The example ends.").next().unwrap();
    assert!(document.contains(&format!("```rust\n{example}```\n")), "docs/extending.md must have this block:\n```rust\n{example}```");

    let bench = Bench::new("");
    let (env, file) = (&bench.env, bench.env.path(&bench.env.config.frontend.requirements));
    record::write_file(&file, b"django==5.2\n").unwrap();
    let stale = |want: &Fingerprint| matches!(Packages.probe(env, want).unwrap(), Probe::Stale(_));
    let first = Packages.inputs(env).unwrap();
    assert!(stale(&first));
    Packages.run(env, &first).unwrap();
    assert!(!stale(&first));
    record::write_file(&file, b"django==5.3\n").unwrap();
    let second = Packages.inputs(env).unwrap();
    assert!(first.digest() != second.digest() && stale(&second));
    assert_eq!(Packages.id(), ID);
}

#[test]
fn each_existing_line_of_the_document_is_in_its_file_and_each_new_one_follows_it() {
    let document = read("docs/extending.md");
    let mut seen = 0;
    for (file, lines) in blocks(&document).into_iter().filter(|(file, _)| !file.is_empty()) {
        let source = read(&format!("xtask/src/{file}"));
        let (new, existing): (Vec<&str>, Vec<&str>) = lines.into_iter().partition(|it| it.ends_with("// new"));
        assert!(!existing.is_empty(), "a block for {file} shows no existing line");
        assert!(
            source.contains(&existing.join("\n")),
            "xtask/src/{file} does not have the lines of docs/extending.md:\n{}",
            existing.join("\n")
        );
        for line in new {
            assert!(!source.contains(line.trim_end_matches("// new").trim()), "xtask/src/{file} already has {line}");
        }
        seen += 1;
    }
    assert!(seen >= 6, "{seen} blocks");
}

#[test]
fn the_document_names_every_method_that_a_provider_must_have() {
    let document = read("docs/extending.md");
    let source = read("xtask/src/provider.rs");
    let contract = source.split("pub trait Provider: Sync {").nth(1).unwrap().split("\n}\n").next().unwrap();
    let required: Vec<&str> = contract
        .lines()
        .filter(|it| it.trim_start().starts_with("fn ") && it.ends_with(';'))
        .map(|it| it.trim_start().trim_start_matches("fn ").split('(').next().unwrap())
        .collect();
    assert!(required.len() > 10, "{required:?}");
    let table: String = document.lines().filter(|it| it.starts_with("| `")).collect();
    for method in required {
        assert!(table.contains(&format!("`{method}`")), "docs/extending.md does not name {method}");
    }
    // The document sends readers to this file to begin with.
    assert!(read("xtask/src/provider/cloud.rs").contains("impl Provider for Cloud"));
}
