//! The files that an application needs to be deployed, from what was recognised of it: configuration, Dockerfile, patches.
//!
//! Everything here is text made of data; nothing is written. Who writes it is `commands/init.rs`.

mod configuration;
mod diff;
mod dockerfile;
mod patches;

use std::path::Path;

use anyhow::Result;

use crate::{
    config,
    recognise::{Recognised, Stack},
};

/// A file to write, relative to the project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    pub path: String,
    pub text: String,
}

/// The Dockerfile's name where the application has none.
pub const DOCKERFILE: &str = "Dockerfile";

/// All files for an application that lies in `folder`, which is the project.
pub fn files(folder: &Path, found: &Recognised) -> Result<Vec<Planned>> {
    let mut out = vec![Planned { path: config::FILE.to_owned(), text: configuration::text(&config::slug(folder), found) }];
    if found.stack != Stack::Dockerfile {
        out.push(Planned { path: DOCKERFILE.to_owned(), text: dockerfile::text(found) });
    }
    out.extend(patches::all(folder, found)?);
    Ok(out)
}
