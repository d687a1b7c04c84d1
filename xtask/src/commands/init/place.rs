//! Writes the files: all or none.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::{commands::init::begun::Begun, config::FILE, errors::Problem, scaffold::Planned};

/// All files or none: each is written beside its place first, and what was placed goes again when a later one fails. A Pocdeploy.toml that
/// gets lines is replaced last, in one step.
pub(super) fn write(folder: &Path, planned: &[Planned], begun: Option<&Begun>) -> Result<()> {
    let mut folders: Vec<PathBuf> = Vec::new();
    let mut placed: Vec<PathBuf> = Vec::new();
    let result = place(folder, planned, begun, &mut folders, &mut placed);
    if result.is_err() {
        for path in &placed {
            fs::remove_file(path).ok();
        }
        // Only those that were made here, and are empty again.
        for path in folders.iter().rev() {
            fs::remove_dir(path).ok();
        }
    }
    result
}

fn place(folder: &Path, planned: &[Planned], begun: Option<&Begun>, folders: &mut Vec<PathBuf>, placed: &mut Vec<PathBuf>) -> Result<()> {
    let mut ready = Vec::new();
    let mut last = None;
    for file in planned {
        let target = folder.join(&file.path);
        let parent = target.parent().unwrap_or(folder);
        let mut absent: Vec<&Path> = parent.ancestors().take_while(|it| !it.exists()).collect();
        while let Some(path) = absent.pop() {
            fs::create_dir(path).with_context(|| format!("make {}", path.display()))?;
            folders.push(path.to_owned());
        }
        let begun = begun.filter(|_| file.path == FILE);
        let mode = begun.map_or(0o644, |it| it.mode);
        let mut part = tempfile::Builder::new()
            .permissions(fs::Permissions::from_mode(mode))
            .tempfile_in(parent)
            .with_context(|| format!("write {}", target.display()))?;
        part.write_all(file.text.as_bytes()).with_context(|| format!("write {}", target.display()))?;
        match begun {
            Some(begun) => last = Some((part, target, begun)),
            None => ready.push((part, target)),
        }
    }
    for (part, target) in ready {
        part.as_file().sync_all().with_context(|| format!("write {}", target.display()))?;
        part.persist_noclobber(&target).with_context(|| format!("write {}", target.display()))?;
        placed.push(target);
    }
    if let Some((part, target, begun)) = last {
        if fs::read_to_string(&target).ok().as_ref() != Some(&begun.text) {
            let what = format!("{} has changed since it was read; nothing was written", target.display());
            return Err(Problem::new(what).hint("run the same command again").into());
        }
        part.as_file().sync_all().with_context(|| format!("write {}", target.display()))?;
        part.persist(&target).with_context(|| format!("write {}", target.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pocdeploy_toml_that_changed_meanwhile_stays_and_the_others_go_again() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), "[frontend]\nport = 1\n").unwrap();
        let begun = Begun { text: "[frontend]\n".to_owned(), ..Begun::default() };
        let file = |path: &str| Planned { path: path.to_owned(), text: "x".to_owned() };
        let error = write(dir.path(), &[file(FILE), file("a/Dockerfile")], Some(&begun)).unwrap_err();
        assert!(error.to_string().contains("has changed since it was read"), "{error:#}");
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert_eq!(left, [FILE]);
        assert_eq!(fs::read_to_string(dir.path().join(FILE)).unwrap(), "[frontend]\nport = 1\n");
    }
}
