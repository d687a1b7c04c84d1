//! A Pocdeploy.toml that answers questions and is no configuration of a deployment yet.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::{
    config::{Config, FILE, Origin, Service},
    errors::Problem,
    recognise::{Answers, Recognised, Stack, Stated},
    scaffold::Places,
    tasks,
};

/// What the file says, for `init` to add the lines that it lacks.
#[derive(Debug, Default)]
pub(super) struct Begun {
    /// As it was read.
    pub(super) text: String,
    pub(super) mode: u32,
    pub(super) answers: Answers,
    pub(super) places: Places,
    /// The folder of the application below the project, for example `third_party/polls`; empty where it is the project's.
    pub(super) source: PathBuf,
    /// The Dockerfile that the file names, with whether it exists.
    pub(super) dockerfile: Option<(String, bool)>,
}

impl Begun {
    /// The unfinished file of a folder: its first service has no source and no Dockerfile where it says, or where the defaults say; or it
    /// names a source in another folder, without a Dockerfile and without patches. `None`: there is no file, or it is complete.
    ///
    /// # Errors The file is wrong, with its places.
    pub(super) fn read(folder: &Path) -> Result<Option<Begun>> {
        let path = folder.join(FILE);
        // A link is another folder's file.
        let Ok(found) = path.symlink_metadata() else { return Ok(None) };
        if found.is_symlink() {
            return Ok(None);
        }
        let resolved = Config::read(&path, folder)?;
        let is_set = |key: &str| *resolved.origin(key) != Origin::Default;
        let service = &resolved.config.frontend;
        let exists = |it: &Path| folder.join(it).symlink_metadata().is_ok();
        let has_dockerfile = exists(&service.dockerfile);
        let is_here = is_set("frontend.path") && service.path.as_path() == Path::new(".");
        let is_nowhere = !is_set("frontend.path") && !exists(&Service::default().path);
        let is_named = is_set("frontend.dockerfile");
        let has_patches = fs::read_dir(folder.join(&service.patch_dir)).is_ok_and(|mut it| it.next().is_some());
        let is_elsewhere = is_set("frontend.path") && !is_here && folder.join(&service.path).is_dir() && !has_patches;
        let is_begun = (is_here || is_elsewhere) && !has_dockerfile || is_nowhere && (is_named || !has_dockerfile);
        if !is_begun {
            return Ok(None);
        }
        let mut places = Places::default();
        let text_of = |it: &Path| it.to_str().map(str::to_owned).with_context(|| format!("{FILE}: {} is no UTF-8", it.display()));
        if is_named {
            places.dockerfile = text_of(&service.dockerfile)?;
        }
        if is_set("frontend.patch_dir") {
            places.patches = text_of(&service.patch_dir)?;
        }
        let dockerfile = is_named.then(|| (places.dockerfile.clone(), has_dockerfile));
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let stated = tasks::answers::stated(service, &resolved.config.services);
        let answers = Answers::stated(Stated { dockerfile: is_named.then(|| places.dockerfile.clone()), ..stated });
        let source = if is_elsewhere { service.path.clone() } else { PathBuf::new() };
        Ok(Some(Begun { text, source, mode: found.permissions().mode() & 0o777, answers, places, dockerfile }))
    }

    /// # Errors The file names another Dockerfile than the application has.
    pub(super) fn fits(&self, found: &Recognised) -> Result<()> {
        let Some((named, exists)) = &self.dockerfile else { return Ok(()) };
        let own = found.target.as_deref().filter(|_| found.stack == Stack::Dockerfile);
        let own = own.map(|it| self.source.join(it).display().to_string());
        let own = own.as_deref();
        let what = match own {
            Some(own) if own != named => format!("{FILE}: frontend.dockerfile is {named}, and the application's own Dockerfile is {own}"),
            None if *exists => format!("{FILE}: frontend.path is missing, and {named} exists: its source is not known"),
            _ => return Ok(()),
        };
        let lines = format!("[frontend]\npath = \".\"\ndockerfile = \"{}\"", own.unwrap_or(named));
        Err(Problem::config(what).hint(format!("these lines of {FILE} would say it; nothing was changed:\n{lines}")).into())
    }
}
