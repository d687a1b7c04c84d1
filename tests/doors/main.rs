//! Tests with fake doors: an API server and an engine in memory. They need no cluster and no engine.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod bundle;
mod cluster;
mod crates;
mod create;
mod delete;
mod downloads;
mod evidence;
mod existing;
mod extending;
mod faults;
mod files;
mod frozen;
mod hints;
mod history;
mod image;
mod injection;
mod killed;
mod packages;
mod power;
mod prune;
mod records;
mod runner;
mod secrets;
mod served;
mod services;
mod signals;
mod together;
mod transcripts;
mod wheels;
mod world;

#[path = "../support/certificates.rs"]
mod certificates;
#[path = "../support/engine.rs"]
mod engine;
#[path = "../support/http.rs"]
mod http;
#[path = "../support/kubernetes/mod.rs"]
mod kubernetes;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/transcript.rs"]
mod transcript;

use std::{fs, path::PathBuf, sync::Arc};

use pocdeploy::{
    config::Config,
    env::{Env, Options},
    report::Recorder,
};

/// A project in a temporary folder, and an environment for it.
pub(crate) struct Bench {
    _dir: tempfile::TempDir,
    pub(crate) env: Env,
}

impl Bench {
    /// `settings` is the content of `Pocdeploy.toml`.
    pub(crate) fn new(settings: &str) -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let root: PathBuf = dir.path().canonicalize().unwrap();
        fs::write(root.join("Pocdeploy.toml"), settings).unwrap();
        let config = Config::parse(settings).unwrap();
        let env = Env::new(root, config, Options::default(), Arc::new(Recorder::default())).unwrap();
        Bench { _dir: dir, env }
    }
}
