//! From an application's repository to a running proof of concept on Kubernetes, in one command.
//!
//! Modules are in layers, and use only modules of lower layers. `tests/layers.rs` has the table and checks it.

pub mod artifacts;
pub mod authority;
pub mod cluster;
pub mod commands;
pub mod config;
pub mod deploy;
pub mod dockerfile;
pub mod doctor;
pub mod embedded;
pub mod engine;
pub mod engines;
pub mod env;
pub mod errors;
pub mod export;
pub mod exposure;
pub mod files;
pub mod fingerprint;
pub mod flags;
pub mod graph;
pub mod host_quirks;
#[cfg(test)]
#[expect(dead_code, reason = "integration tests use the rest")]
#[path = "../../tests/support/http.rs"]
mod http;
pub mod images;
pub mod interrupt;
pub mod invocation;
pub mod layout;
pub mod lock;
#[cfg(test)]
mod mutation;
pub mod npm;
pub mod patch;
pub mod port;
pub mod probe;
pub mod progress;
pub mod provider;
pub mod recognise;
pub mod record;
pub mod redact;
pub mod regular;
pub mod report;
pub mod requirements;
pub mod runner;
pub mod sbom;
pub mod scaffold;
pub mod secrets;
pub mod setup;
pub mod snapshot;
pub mod tasks;
pub mod terminal;
pub mod tool;
pub mod upstream;
