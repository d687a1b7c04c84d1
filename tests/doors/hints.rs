//! Commands in hints exist, and name the instance if `--name` was given, so that users can copy them.

use std::{fs, path::Path};

use pocdeploy::{flags, graph::TaskKind};

use crate::world::World;

#[test]
fn a_hint_about_a_named_instance_names_it() {
    let world = World::new();
    let named = |arguments: &[&str]| world.run(&[arguments, &["--name", "other"]].concat());
    for arguments in [&["history"][..], &["rollback"], &["db", "snapshot"], &["validate"]] {
        let ran = named(arguments);
        ran.ends_with(5).says("`cargo xtask --name other resume` starts a stopped instance").says("more: cargo xtask explain E0309");
    }
    let status = named(&["status"]);
    assert!(status.stdout.contains("`cargo xtask --name other create` starts it"), "{}", status.stdout);
}

/// All commands `cargo xtask COMMAND` in the code's texts.
fn written() -> Vec<(String, String)> {
    let mut out = Vec::new();
    for entry in walkdir::WalkDir::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        let entry = entry.unwrap();
        if entry.path().extension().is_some_and(|it| it == "rs") {
            let whole = fs::read_to_string(entry.path()).unwrap();
            // The reason of a test that is left out is for developers, who have the commands of a checkout.
            let text: String = whole.lines().filter(|it| !it.trim_start().starts_with("#[ignore")).map(|it| format!("{it}\n")).collect();
            for rest in text.split("cargo xtask ").skip(1) {
                let command: String = rest.chars().take_while(|it| it.is_ascii_lowercase() || *it == '-').collect();
                out.push((entry.path().display().to_string(), command));
            }
        }
    }
    out
}

#[test]
fn every_command_in_a_hint_exists() {
    let menu = flags::command();
    let mut known: Vec<String> = menu.get_subcommands().map(|it| it.get_name().to_owned()).collect();
    known.extend(TaskKind::GRAPH.iter().map(|it| it.name().to_owned()));
    known.push("help".to_owned());
    let written = written();
    assert!(written.len() > 60, "{}", written.len());
    for (file, command) in written {
        // Not a command: a placeholder in capitals or braces, or a flag.
        if !command.is_empty() && !command.starts_with("--") {
            assert!(known.contains(&command), "{file}: cargo xtask {command}");
        }
    }
}
