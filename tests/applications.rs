//! Applications of every stack: small ones, whose images are built and run, and real ones, which are taken as packages and recognised.
//!
//! Needs the registries of packages and an engine that holds the base image: `cargo xtask image` makes it. `cargo xtask test` runs this.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
#![expect(clippy::disallowed_methods, reason = "programs that are not the tool's")]

#[path = "applications/deployed.rs"]
mod deployed;
#[path = "applications/images.rs"]
mod images;
#[path = "applications/real.rs"]
mod real;
#[path = "applications/secrets.rs"]
mod secrets;
#[path = "applications/updated.rs"]
mod updated;

// The doors in memory, for secrets.
#[expect(dead_code, reason = "made for the tests of the doors")]
#[path = "support/engine.rs"]
mod engine;
#[path = "support/http.rs"]
mod http;
#[expect(dead_code, reason = "made for the tests of the doors")]
#[path = "support/kubernetes/mod.rs"]
mod kubernetes;
#[expect(dead_code, reason = "made for the tests of the doors")]
#[path = "support/mod.rs"]
mod support;
#[expect(dead_code, reason = "made for the tests of the doors")]
#[path = "doors/world.rs"]
mod world;

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

/// A program of this machine.
fn command(program: &str, words: &[&str]) -> Command {
    #[expect(clippy::disallowed_methods, reason = "the registries' own clients and the engine's")]
    let mut command = Command::new(program);
    command.args(words);
    command
}

#[track_caller]
fn ran(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = String::from_utf8_lossy(&stdout).into_owned();
    assert!(status.success(), "{command:?}\n{text}\n{}", String::from_utf8_lossy(&stderr));
    text
}

fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}
