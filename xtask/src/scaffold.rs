//! The files that an application needs to be deployed, from what was recognised of it: configuration, Dockerfile, patches.
//!
//! Everything here is text made of data; nothing is written. Who writes it is `commands/init.rs`.

mod configuration;
mod diff;
mod dockerfile;
mod lines;
mod patches;

use std::path::Path;

use anyhow::Result;

pub use crate::scaffold::lines::completed;

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

/// Where the files are written, relative to the project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    pub dockerfile: String,
    pub patches: String,
}

impl Default for Places {
    fn default() -> Places {
        Places { dockerfile: "Dockerfile".to_owned(), patches: "build/patches".to_owned() }
    }
}

/// All files for an application. `folder` is the project, and `source` the application's folder in it, empty if that is the project. The
/// first file is Pocdeploy.toml.
pub fn files(folder: &Path, source: &Path, found: &Recognised, places: &Places) -> Result<Vec<Planned>> {
    let text = configuration::text(&config::slug(folder), source, found, &places.dockerfile);
    let mut out = vec![Planned { path: config::FILE.to_owned(), text }];
    if found.stack != Stack::Dockerfile {
        out.push(Planned { path: places.dockerfile.clone(), text: dockerfile::text(found) });
    }
    out.extend(patches::all(&folder.join(source), found, &places.patches)?);
    Ok(out)
}
