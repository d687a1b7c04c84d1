//! What stops an update of the source, since it would lose a person's work.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::place;
use crate::{
    commands::patch::flag,
    config::{ServiceName, name_of},
    env::Scope,
    errors::{Code, Problem},
    tasks::{patch::source, upstream::fetch},
    upstream::{Section, Source},
};

/// An error if the folder has files that are not upstream's and that no patch can hold.
pub(super) fn refuse_own_files(scope: &Scope<'_>) -> Result<()> {
    let left = source::left_out(scope)?;
    if !left.is_empty() {
        let shown: Vec<String> = left.iter().take(10).map(|it| it.display().to_string()).collect();
        let what = format!(
            "{} has files that are not upstream's, and an update would remove them:\n{}",
            scope.service.path.display(),
            shown.join("\n")
        );
        return Err(Problem::config(what).code(Code::Upstream).hint("move them to another folder").into());
    }
    Ok(())
}

/// The files in the folder that are not as the version has them. `pristine` has the version's files.
pub(super) fn changed_by_hand(scope: &Scope<'_>, pristine: &Path) -> Result<Vec<String>> {
    let folder = scope.path(&scope.service.path);
    let (ours, theirs) = (source::files(scope)?.files, source::of_folder(pristine)?);
    let digest = |files: &[(PathBuf, PathBuf)], name: &Path| -> Result<Option<String>> {
        files.iter().find(|it| it.0 == name).map(|it| source::content(std::slice::from_ref(it))).transpose()
    };
    let mut out = Vec::new();
    for (name, _) in &ours {
        match digest(&theirs, name)? {
            None => out.push(format!("{} is new", name.display())),
            Some(other) if Some(&other) != digest(&ours, name)?.as_ref() => out.push(format!("{} changed", name.display())),
            Some(_) => {}
        }
    }
    out.extend(
        theirs.iter().filter(|(name, _)| folder.join(name).symlink_metadata().is_err()).map(|it| format!("{} is gone", it.0.display())),
    );
    Ok(out)
}

/// An error if another service has patches for the same folder: an update would move only those of one.
pub(super) fn refuse_shared(scope: &Scope<'_>) -> Result<()> {
    let canonical = |path: &Path| scope.path(path).canonicalize().ok();
    let own = canonical(&scope.service.path);
    let shares = |it: &Option<ServiceName>| {
        let other = scope.config.service(*it);
        *it != scope.id.service && canonical(&other.path) == own && other.patch_dir != scope.service.patch_dir
    };
    let Some(other) = scope.config.built().find(shares) else { return Ok(()) };
    let what = format!("the service {} has patches of its own for {}", name_of(other), scope.service.path.display());
    let hint = "replace the folder by hand, and move the patches of each service: cargo xtask patch rebase --service NAME";
    Err(Problem::config(what).code(Code::Upstream).hint(hint).into())
}

/// An error if a person changed the source: an update would lose that.
pub(super) fn refuse_changed(scope: &Scope<'_>, known: Option<&Section>, from: &Source) -> Result<()> {
    let flag = flag(scope);
    let path = scope.service.path.display();
    let Some(known) = known else {
        let (file, name) = place(scope)?;
        let file = file.strip_prefix(&scope.project).unwrap_or(&file).display().to_string();
        return Err(Problem::config(format!("nothing says which version {path} has, so changes by hand in it would be lost unseen"))
            .code(Code::Upstream)
            .hint(format!("write its version into {file}:\n## {name}\n\n- Source: {from}\n- Version: VERSION\n\nor replace it whatever it has: --force"))
            .into());
    };
    let temporary = tempfile::tempdir().context("make a temporary folder")?;
    let folder = temporary.path().join("source");
    fetch(scope, &known.source, &known.version, Some(known), &folder)?;
    let changes = changed_by_hand(scope, &folder)?;
    if changes.is_empty() {
        return Ok(());
    }
    let shown: Vec<&str> = changes.iter().take(10).map(String::as_str).collect();
    let more = if changes.len() > shown.len() { format!("\nand {} more", changes.len() - shown.len()) } else { String::new() };
    Err(Problem::new(format!(
        "{path} is not as {} {} has it, and an update would lose that:\n{}{more}",
        known.source,
        known.version,
        shown.join("\n")
    ))
    .code(Code::Upstream)
    .hint(format!(
        "make a patch of it: cargo xtask upstream diff{flag} > {}/0000-local.patch\nthen replace the source: --force",
        scope.service.patch_dir.display()
    ))
    .into())
}
