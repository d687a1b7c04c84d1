//! Applies the last patch alone if nothing else has changed, since the last one is the one that users are writing.
//!
//! Before the last patch is applied, the files that it changes are kept. The next run copies the staged tree, puts these files back, and
//! applies the changed patch.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use filetree::fingerprint::digest;
use serde::{Deserialize, Serialize};
use walkdir::WalkDir;

use super::{PINS, Staged, apply, batch, copy, remove, source::Source, tree};
use crate::{
    env::Scope,
    fingerprint::Fingerprint,
    patch::{self, Patch},
};

/// What the record knows about the last patch of the staged tree.
#[derive(Serialize, Deserialize)]
pub(super) struct Last {
    /// The digest of source and patches without the last patch; empty if its files were not kept.
    base: String,
    /// The files that the last patch changes. Those that existed before are in the folder of the same name.
    files: Vec<String>,
}

/// The files before the last patch.
fn kept(env: &Scope<'_>) -> PathBuf {
    env.own("patch.last")
}

/// The digest of everything before the last patch. `want` ends with the patches.
fn base(want: &Fingerprint, patches: &[Patch]) -> String {
    let ours = want.len() - usize::from(!patches.is_empty());
    digest(want.parts().take(ours))
}

/// Copies the source and applies all patches.
pub(super) fn all(env: &Scope<'_>, source: &Source, want: &Fingerprint, patches: &[Patch], fresh: &Path) -> Result<Last> {
    remove(fresh)?;
    copy(env, source, fresh)?;
    let Some((last, earlier)) = patches.split_last() else { return Ok(Last { base: String::new(), files: Vec::new() }) };
    if !batch::queue(env, earlier, fresh)? {
        remove(fresh)?;
        copy(env, source, fresh)?;
        batch::one_by_one(env, earlier, fresh)?;
    }
    the_last(env, last, &base(want, patches), fresh)
}

/// Applies the last patch, or takes it back, on a copy of the staged tree; `None` if the tree is not one that this works on.
pub(super) fn apply(env: &Scope<'_>, before: Option<&Staged>, want: &Fingerprint, patches: &[Patch], fresh: &Path) -> Result<Option<Last>> {
    let Some(before) = before else { return Ok(None) };
    let Some(known) = before.last.as_ref().filter(|it| !it.base.is_empty()) else { return Ok(None) };
    let Some(last) = patches.last() else { return Ok(None) };
    let base = base(want, patches);
    let is_added = before.inputs == base;
    if !(is_added || known.base == base) || before.inputs == want.digest() {
        return Ok(None);
    }
    let mut now = tree(env, &env.stage())?;
    if !before.has_requirements() {
        now.retain(|name| name != PINS);
    }
    if now != before.content {
        return Ok(None);
    }
    remove(fresh)?;
    copy(env, &staged(env, before)?, fresh)?;
    if !is_added {
        put_back(env, known, fresh)?;
    }
    the_last(env, last, &base, fresh).map(Some)
}

/// The files of the staged tree, without the pins that the tool added.
pub(super) fn staged(env: &Scope<'_>, before: &Staged) -> Result<Source> {
    let root = env.stage();
    let mut out = Source::default();
    for entry in WalkDir::new(&root).sort_by_file_name() {
        let entry = entry.with_context(|| format!("read {}", root.display()))?;
        let relative = entry.path().strip_prefix(&root).unwrap_or(entry.path()).to_owned();
        let is_added = !before.has_requirements() && Path::new("app").join(&relative) == Path::new(PINS);
        if !entry.file_type().is_dir() && !is_added {
            out.files.push((relative, entry.into_path()));
        }
    }
    Ok(out)
}

/// Keeps the files that the patch changes, and applies it.
fn the_last(env: &Scope<'_>, last: &Patch, base: &str, fresh: &Path) -> Result<Last> {
    let kept = kept(env);
    remove(&kept)?;
    let files: BTreeSet<String> = last.files.iter().flat_map(patch::parse::FilePatch::names).map(str::to_owned).collect();
    let is_inside = patch::refuse_escapes(&last.name, &last.files, fresh).is_ok();
    for name in files.iter().filter(|_| is_inside) {
        let (from, to) = (fresh.join(name), kept.join(name));
        if from.symlink_metadata().is_ok_and(|it| it.is_file()) {
            fs::create_dir_all(to.parent().unwrap_or(&kept))?;
            fs::copy(&from, &to).with_context(|| format!("keep {name} as it was before the last patch"))?;
        }
    }
    env.progress(env.id, format!("applying {}", last.name));
    apply::patch(env, last, fresh)?;
    let is_link = |name: &String| fresh.join(name).symlink_metadata().is_ok_and(|it| it.is_symlink());
    // An encoded mail shows its files to git only, and a link is not kept: then the next run applies all.
    let is_whole = is_inside && !files.is_empty() && !files.iter().any(is_link) && !last.files.iter().any(|it| it.removes_link());
    Ok(Last { base: if is_whole { base.to_owned() } else { String::new() }, files: files.into_iter().collect() })
}

fn put_back(env: &Scope<'_>, last: &Last, fresh: &Path) -> Result<()> {
    let kept = kept(env);
    for name in &last.files {
        let (from, to) = (kept.join(name), fresh.join(name));
        if to.symlink_metadata().is_ok() {
            fs::remove_file(&to).with_context(|| format!("remove {name} of the last patch"))?;
        }
        if from.is_file() {
            fs::create_dir_all(to.parent().unwrap_or(fresh))?;
            fs::copy(&from, &to).with_context(|| format!("put {name} back as it was before the last patch"))?;
            continue;
        }
        // A folder that only the patch's file was in.
        let mut above = to.parent();
        while let Some(folder) = above.filter(|it| *it != fresh && fs::remove_dir(it).is_ok()) {
            above = folder.parent();
        }
    }
    Ok(())
}
