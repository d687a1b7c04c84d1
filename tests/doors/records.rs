//! Records that a power cut left torn: each is read as whole or as absent, and no command ends because of one.

use std::{
    fs,
    path::{Path, PathBuf},
};

use pocdeploy::{
    record,
    report::{history, wire},
};
use serde_json::Value;

use crate::world::World;

/// Every JSON file that the tool has written below the work folder, also its configuration for kind.
fn records(world: &World) -> Vec<PathBuf> {
    let files = walkdir::WalkDir::new(world.project.root.join("target/pocdeploy")).sort_by_file_name();
    let found = files.into_iter().map(|it| it.unwrap().into_path()).filter(|it| it.extension().is_some_and(|it| it == "json"));
    found.filter(|it| it.is_file()).collect()
}

fn write(path: &Path, bytes: &[u8]) {
    // A second name of the content would change, too. A run may have removed the file.
    fs::remove_file(path).ok();
    fs::write(path, bytes).unwrap();
}

#[test]
fn every_prefix_of_every_record_is_whole_or_absent() {
    let world = World::new();
    world.create();
    world.run(&["plan", "--out", "plan.json"]).ends_with(0);
    let (mut prefixes, records) = (0, records(&world));
    assert!(records.len() >= 6, "{records:?}");
    let torn = world.project.root.join("torn.json");
    for path in &records {
        let whole = fs::read(path).unwrap();
        let value: Value = record::read_json(path).unwrap_or_else(|| panic!("{} is no JSON", path.display()));
        // The beginning of a number is a number, too.
        assert!(value.is_object() || value.is_array() || value.is_string(), "{}", path.display());
        for end in 0..whole.len() {
            fs::write(&torn, &whole[..end]).unwrap();
            let found: Option<Value> = record::read_json(&torn);
            assert!(found.is_none_or(|it| it == value), "{} up to byte {end} of {}", path.display(), whole.len());
            prefixes += 1;
        }
    }
    let events = walkdir::WalkDir::new(world.project.root.join("target/pocdeploy/runs")).into_iter().map(|it| it.unwrap().into_path());
    let file = events.filter(|it| it.file_name().is_some_and(|it| it == history::EVENTS)).max_by_key(|it| fs::metadata(it).unwrap().len());
    let text = fs::read_to_string(file.unwrap()).unwrap();
    // Of the events all that were written whole count, and no other.
    let begin: String = text.lines().take(12).map(|it| format!("{it}\n")).collect();
    let all: Vec<_> = begin.lines().map(wire::read).collect();
    assert!(all.len() == 12 && all.iter().all(Option::is_some));
    for end in (0..begin.len()).filter(|it| begin.is_char_boundary(*it)) {
        let read: Vec<_> = begin[..end].lines().filter_map(wire::read).collect();
        assert!(read.len() >= begin[..end].matches('\n').count(), "up to byte {end}");
        assert!(read.iter().zip(&all).all(|(read, whole)| Some(read) == whole.as_ref()), "up to byte {end}");
        prefixes += 1;
    }
    eprintln!("{prefixes} prefixes of {} records and the events of a run", records.len());
    assert!(prefixes > 3_000, "{prefixes}");
}

#[test]
fn no_command_ends_because_of_a_torn_record() {
    let world = World::new();
    let url = world.create().stdout;
    let mut runs = 0;
    let mut ends_well = |about: &str, words: &[&str]| {
        runs += 1;
        let ran = world.run(words);
        assert!([0, 5].contains(&ran.code), "{about}: {words:?}: {}{}", ran.stdout, ran.stderr);
        ran
    };
    for path in records(&world) {
        let whole = fs::read(&path).unwrap();
        let about = |end: usize| format!("{} up to byte {end}", path.display());
        for end in [0, 1, whole.len() - 1] {
            write(&path, &whole[..end]);
            ends_well(&about(end), &["plan"]);
        }
        // A file system may keep the length of a file whose content was not flushed.
        write(&path, &vec![0; whole.len()]);
        ends_well("zeroes", &["plan"]);
        let half = whole.len() / 2;
        write(&path, &whole[..half]);
        ends_well(&about(half), &["status"]);
        // The wheels were never downloaded here: their task would lead to an image that this engine only pretends to build.
        if !path.ends_with("wheels.json") {
            assert_eq!(ends_well(&about(half), &["create", "--yes"]).stdout, url);
        }
        write(&path, &whole);
    }
    for entry in walkdir::WalkDir::new(world.project.root.join("target/pocdeploy/runs")) {
        let entry = entry.unwrap();
        if entry.file_name() == history::EVENTS {
            let whole = fs::read(entry.path()).unwrap();
            write(entry.path(), &whole[..whole.len() * 2 / 3]);
        }
    }
    world.run(&["report"]).ends_with(0);
    world.run(&["create", "--yes"]).ends_with(0);
    assert!(runs >= 30, "{runs}");
}
