//! Applies one patch to the copied tree. The result depends on tree and patch only, not on git's settings.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context as _, Result};
use xshell::{Cmd, cmd};

use crate::{
    env::Scope,
    errors::{Code, Problem},
    patch::{self, Patch, mail, mismatch, parse::FilePatch, steps},
    regular,
};

/// Applies the patch; for a mailbox, one mail after the other, as `git am` does.
pub(super) fn patch(env: &Scope<'_>, patch: &Patch, tree: &Path) -> Result<()> {
    let bytes = regular::read(&patch.path).with_context(|| format!("read patch {}", patch.path.display()))?;
    // Outside the tree, so that git's temporary files never get into the application.
    let parts = env.own("patch.parts");
    remove(&parts)?;
    fs::create_dir_all(&parts).with_context(|| format!("create {}", parts.display()))?;
    let diffs = if mail::needs_decoding(&String::from_utf8_lossy(&bytes)) { mails(env, patch, &bytes, &parts)? } else { vec![bytes] };
    let mut changes = 0;
    for bytes in diffs {
        changes += diff(env, patch, &bytes, tree, &parts)?;
    }
    remove(&parts)?;
    if changes == 0 {
        return Err(Problem::new(format!("patch {} holds no change", patch.name))
            .code(Code::PatchRefused)
            .hint("write it again with `git format-patch`: a mail program may have changed it")
            .into());
    }
    Ok(())
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    Ok(())
}

/// The decoded diff of each mail.
fn mails(env: &Scope<'_>, patch: &Patch, bytes: &[u8], parts: &Path) -> Result<Vec<Vec<u8>>> {
    let (whole, folder) = (parts.join("mailbox"), parts.join("mails"));
    fs::write(&whole, bytes).context("write the mailbox")?;
    fs::create_dir_all(&folder)?;
    let sh = env.tools.shell(parts)?;
    let option = format!("-o{}", folder.display());
    env.tools.run(env.id, alone(cmd!(sh, "git mailsplit --keep-cr -b {option} {whole}"), parts)).context("split the mails")?;
    let mut names: Vec<_> = fs::read_dir(&folder)?.flatten().map(|it| it.path()).collect();
    names.sort();
    let mut out = Vec::new();
    for name in names {
        let (message, diff) = (parts.join("message"), parts.join("diff"));
        let mail = regular::read(&name)?;
        let command = alone(cmd!(sh, "git mailinfo {message} {diff}"), parts);
        env.tools
            .run_with_input(env.id, command, |input| Ok(input.write_all(&mail)?))
            .with_context(|| format!("decode a mail of patch {}", patch.name))?;
        out.push(regular::read(&diff).context("read the mail's diff")?);
    }
    Ok(out)
}

/// Applies a diff in as many steps as necessary; returns the number of changed files.
fn diff(env: &Scope<'_>, patch: &Patch, bytes: &[u8], tree: &Path, parts: &Path) -> Result<usize> {
    if let Some(what) = steps::not_understood(bytes) {
        return Err(Problem::new(format!("patch {} is refused: {what}", patch.name))
            .code(Code::PatchRefused)
            .hint("git applies none of it: write the patch again, with `git format-patch` or `diff -urN`; nothing was changed")
            .into());
    }
    let mut changes = 0;
    for step in steps::steps(bytes, tree) {
        changes += step.files.len();
        patch::refuse_escapes(&patch.name, &step.files, tree)?;
        let file = parts.join("step");
        fs::write(&file, steps::with_the_files_line_ends(&step, tree)).context("write a step of the patch")?;
        let sh = env.tools.shell(tree)?;
        let strip = format!("-p{}", step.strip);
        // If git cannot read it, the next call fails with git's message.
        if let Ok(listed) = env.tools.read(env.id, alone(cmd!(sh, "git apply --numstat -z {strip} {file}"), tree)) {
            same_names(patch, &step.files, &listed)?;
        }
        let (good, said) = env.tools.outcome(env.id, alone(cmd!(sh, "git apply --whitespace=nowarn {strip} {file}"), tree))?;
        if !good {
            let mut what = mismatch::explain(&patch.name, &step.files, tree, &said);
            if let Some(remark) = regular::read(&patch.path).ok().and_then(|it| mail::remark(&String::from_utf8_lossy(&it))) {
                what.push_str(&format!("\n{remark}"));
            }
            let path = env.config.frontend.path.display();
            let hint = format!("renew the patch against {path}, or remove it; the staged application is as it was");
            return Err(Problem::new(what).code(Code::PatchMismatch).hint(hint).into());
        }
    }
    Ok(changes)
}

/// Rejects a patch whose files, according to git, differ from the checked ones.
fn same_names(patch: &Patch, files: &[FilePatch], listed: &str) -> Result<()> {
    let git: BTreeSet<&str> = listed.split('\0').filter_map(|it| it.splitn(3, '\t').nth(2)).collect();
    let ours: BTreeSet<&str> = files.iter().filter_map(FilePatch::result).collect();
    if git == ours {
        return Ok(());
    }
    let other: Vec<&str> = git.symmetric_difference(&ours).copied().collect();
    let what = format!("patch {} is refused: git and this tool read different names from it: {}", patch.name, other.join(", "));
    Err(Problem::new(what)
        .code(Code::PatchRefused)
        .hint("write it again with `git format-patch` and its usual prefixes a/ and b/; nothing was changed")
        .into())
}

/// git without a repository and without settings of system, user and environment: for example, `core.autocrlf` would change the bytes.
fn alone<'a>(mut command: Cmd<'a>, folder: &Path) -> Cmd<'a> {
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GIT_")) {
        command = command.env_remove(name);
    }
    let none = folder.join(".none");
    command
        // The tree is inside the project's repository. git must not find that repository, or it would interpret paths relative to it and
        // change nothing.
        .env("GIT_CEILING_DIRECTORIES", folder.parent().unwrap_or(folder))
        .env("GIT_CONFIG_NOSYSTEM", "1")
        // For git 2.32 and newer; an older git does not find the user's file because of the two folders.
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("HOME", &none)
        .env("XDG_CONFIG_HOME", &none)
        .env("GIT_ATTR_NOSYSTEM", "1")
        .env("LC_ALL", "C")
}
