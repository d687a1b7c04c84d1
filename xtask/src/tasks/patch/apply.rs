//! Applies one patch to the copied tree. The result depends on tree and patch only, not on git's settings.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use xshell::cmd;

use super::{git::alone, remove};
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

/// Author and message of a patch.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) author: Option<String>,
    pub(super) address: Option<String>,
    pub(super) date: Option<String>,
    pub(super) message: String,
}

/// The head of a mail, of the first one in a mailbox; for a plain diff the text before it.
pub(super) fn head(env: &Scope<'_>, bytes: &[u8]) -> Result<Head> {
    let text = String::from_utf8_lossy(bytes);
    if !mail::is_mail(&text) {
        let is_diff = |it: &&str| ["diff ", "--- ", "Index: ", "===="].iter().any(|start| it.starts_with(start));
        let lines: Vec<&str> = text.lines().take_while(|it| !is_diff(it)).collect();
        return Ok(Head { message: lines.join("\n").trim().to_owned(), ..Head::default() });
    }
    let parts = env.own("patch.parts");
    remove(&parts)?;
    fs::create_dir_all(&parts).with_context(|| format!("create {}", parts.display()))?;
    let first = split(env, bytes, &parts)?.into_iter().next().context("the mailbox has no mail")?;
    let said = decoded(env, &first, &parts)?;
    let value = |name: &str| said.lines().find_map(|it| it.strip_prefix(name)).map(|it| it.trim().to_owned()).filter(|it| !it.is_empty());
    let body = fs::read_to_string(parts.join("message")).unwrap_or_default();
    let message = format!("{}\n\n{}", value("Subject:").unwrap_or_default(), body.trim());
    let out = Head { author: value("Author:"), address: value("Email:"), date: value("Date:"), message: message.trim().to_owned() };
    remove(&parts)?;
    Ok(out)
}

/// The decoded diff of each mail.
fn mails(env: &Scope<'_>, patch: &Patch, bytes: &[u8], parts: &Path) -> Result<Vec<Vec<u8>>> {
    let mut out = Vec::new();
    for name in split(env, bytes, parts)? {
        decoded(env, &name, parts).with_context(|| format!("decode a mail of patch {}", patch.name))?;
        out.push(regular::read(&parts.join("diff")).context("read the mail's diff")?);
    }
    Ok(out)
}

/// The files of a mailbox's mails, in order.
fn split(env: &Scope<'_>, bytes: &[u8], parts: &Path) -> Result<Vec<PathBuf>> {
    let (whole, folder) = (parts.join("mailbox"), parts.join("mails"));
    fs::write(&whole, bytes).context("write the mailbox")?;
    fs::create_dir_all(&folder)?;
    let sh = env.tools.shell(parts)?;
    let option = format!("-o{}", folder.display());
    env.tools.run(env.id, alone(cmd!(sh, "git mailsplit --keep-cr -b {option} {whole}"), parts)).context("split the mails")?;
    let mut names: Vec<_> = fs::read_dir(&folder)?.flatten().map(|it| it.path()).collect();
    names.sort();
    Ok(names)
}

/// Writes the mail's message and diff into `message` and `diff`, and returns its headers.
fn decoded(env: &Scope<'_>, mail: &Path, parts: &Path) -> Result<String> {
    let (message, diff) = (parts.join("message"), parts.join("diff"));
    let bytes = regular::read(mail)?;
    let sh = env.tools.shell(parts)?;
    let (good, said) =
        env.tools.converse(env.id, alone(cmd!(sh, "git mailinfo -b {message} {diff}"), parts), &bytes, crate::tool::COMMAND_LIMIT)?;
    if good { Ok(said) } else { Err(Problem::new("git cannot read the mail").code(Code::PatchRefused).into()) }
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
