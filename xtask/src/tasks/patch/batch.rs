//! Applies a whole queue. Patches that need no step of their own share one call of git, so that 500 patches take as long as a few.

use std::{collections::VecDeque, fs, path::Path};

use anyhow::{Context as _, Result};
use xshell::cmd;

use super::{apply, git::alone, remove};
use crate::{
    env::Scope,
    patch::{self, Patch, mail, parse::FilePatch, steps},
    regular,
};

/// The number of files in one call, well below the limit of a command line.
const AT_ONCE: usize = 500;

/// Applies the patches in order. `false` if a shared call failed: then the tree holds an unknown part of it, and the caller copies it again
/// and applies the patches one by one, which names the fault.
pub(super) fn queue(env: &Scope<'_>, patches: &[Patch], tree: &Path) -> Result<bool> {
    let mut left: VecDeque<&Patch> = patches.iter().collect();
    while let Some(first) = left.front().copied() {
        let mut plain = Vec::new();
        while let Some(next) = left.front().copied()
            && plain.len() < AT_ONCE
            && let Some(step) = shared(next, tree)?
        {
            plain.push(step);
            left.pop_front();
        }
        if plain.is_empty() {
            env.progress(env.id, format!("applying {}", first.name));
            apply::patch(env, first, tree)?;
            left.pop_front();
        } else {
            env.progress(env.id, format!("applying {} and {} more", first.name, plain.len() - 1));
            if !together(env, plain, tree)? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Applies the patches one by one; the error explains the first that does not apply.
pub(super) fn one_by_one(env: &Scope<'_>, patches: &[Patch], tree: &Path) -> Result<()> {
    for patch in patches {
        env.interrupt.check()?;
        env.progress(env.id, format!("applying {}", patch.name));
        apply::patch(env, patch, tree)?;
    }
    Ok(())
}

/// The patch as one step, if nothing about it depends on what earlier patches do to the tree: a single diff with git's usual prefixes and
/// LF, for files that are no symbolic links and have no CRLF.
pub(super) fn shared(patch: &Patch, tree: &Path) -> Result<Option<steps::Step>> {
    let bytes = regular::read(&patch.path).with_context(|| format!("read patch {}", patch.path.display()))?;
    if bytes.contains(&b'\r') || steps::not_understood(&bytes).is_some() || mail::needs_decoding(&String::from_utf8_lossy(&bytes)) {
        return Ok(None);
    }
    let mut found = steps::steps(&bytes, tree);
    let (Some(step), true) = (found.pop(), found.is_empty()) else { return Ok(None) };
    let is_link = |name: &str| tree.join(name).symlink_metadata().is_ok_and(|it| it.is_symlink());
    let is_usual = |it: &FilePatch| it.unsure_prefix.is_none() && !it.names().into_iter().any(is_link);
    let is_plain = step.strip == 1
        && !step.files.is_empty()
        && step.files.iter().all(is_usual)
        && patch::refuse_escapes(&patch.name, &step.files, tree).is_ok()
        && steps::with_the_files_line_ends(&step, tree) == step.bytes;
    Ok(is_plain.then_some(step))
}

/// One call of git for all steps; each is applied to the result of the one before.
fn together(env: &Scope<'_>, plain: Vec<steps::Step>, tree: &Path) -> Result<bool> {
    let parts = env.own("patch.parts");
    remove(&parts)?;
    fs::create_dir_all(&parts).with_context(|| format!("create {}", parts.display()))?;
    let (mut files, mut ours) = (Vec::new(), Vec::new());
    for (number, step) in plain.into_iter().enumerate() {
        let file = parts.join(format!("{number}"));
        fs::write(&file, &step.bytes).context("write a step of the patches")?;
        files.push(file);
        ours.extend(step.files.iter().filter_map(|it| it.result().map(str::to_owned)));
    }
    let sh = env.tools.shell(tree)?;
    let names = &files;
    // Other names than the checked ones: applied one by one, the patch is refused.
    let listed = env.tools.read(env.id, alone(cmd!(sh, "git apply --numstat -z -p1 {names...}"), tree));
    let same = listed.is_ok_and(|it| it.split('\0').filter_map(|it| it.splitn(3, '\t').nth(2)).eq(ours.iter().map(String::as_str)));
    let good = same && env.tools.outcome(env.id, alone(cmd!(sh, "git apply --whitespace=nowarn -p1 {files...}"), tree))?.0;
    remove(&parts)?;
    Ok(good)
}
