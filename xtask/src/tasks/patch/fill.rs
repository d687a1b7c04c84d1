//! Makes the repository of the queue: its settings, and a commit for each patch.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

use super::{
    apply, batch,
    commits::{BRANCH, NOTES},
    git::Repository,
};
use crate::{
    errors::{Code, Problem},
    patch::{Patch, mail},
    regular,
};

/// git's settings in the repository: the bytes of files stay as they are, and notes follow rewritten commits. git says of a dropped commit
/// that it became the one before it, which keeps its own note ("ignore").
const SETTINGS: &[(&str, &str)] = &[
    ("core.autocrlf", "false"),
    ("core.safecrlf", "false"),
    ("core.quotepath", "false"),
    ("notes.rewriteRef", NOTES),
    ("notes.rewriteMode", "ignore"),
    ("notes.displayRef", NOTES),
    ("merge.conflictStyle", "diff3"),
    ("merge.renames", "true"),
    ("merge.directoryRenames", "true"),
    ("merge.renameLimit", "20000"),
    ("diff.renameLimit", "20000"),
    ("rebase.autoSquash", "false"),
    ("gc.auto", "0"),
];
/// Attributes of the application, such as `text=auto`, must not change bytes.
const ATTRIBUTES: &str = "* -text -filter -ident -working-tree-encoding\n";
const EXCLUDED: &str = "__pycache__/\n*.pyc\n.venv/\nnode_modules/\n.pytest_cache/\n.mypy_cache/\n*.sqlite3\n";

/// A new repository in the folder, without commits.
pub(super) fn begin(git: &Repository<'_>) -> Result<()> {
    git.run(&["-c", "init.templateDir=", "init", "--quiet", "--initial-branch", BRANCH])?;
    for (name, value) in SETTINGS {
        git.run(&["config", name, value])?;
    }
    let info = git.dir.join(".git/info");
    fs::create_dir_all(&info)?;
    fs::write(info.join("attributes"), ATTRIBUTES).context("write git's attributes")?;
    fs::write(info.join("exclude"), EXCLUDED).context("write git's list of ignored files")
}

/// One commit for each patch; returns their ids. Runs of mails share one call of `git am`.
pub(super) fn commit_all(git: &Repository<'_>, patches: &[Patch]) -> Result<Vec<String>> {
    let mut at = 0;
    while let Some(patch) = patches.get(at) {
        let count = patches[at..].iter().take_while(|it| is_mail(it, &git.dir)).count();
        let files: Vec<String> = patches[at..at + count].iter().map(|it| it.path.display().to_string()).collect();
        if count > 0 {
            let before = git.read(&["rev-parse", "HEAD"])?;
            let mut arguments = vec!["am", "--quiet", "--keep-cr", "--keep-non-patch", "--no-gpg-sign"];
            arguments.extend(files.iter().map(String::as_str));
            git.env.progress(git.env.id, format!("committing {}", of(patch, count)));
            if git.outcome(&arguments)?.0 {
                at += count;
                continue;
            }
            git.outcome(&["am", "--abort"])?;
            git.run(&["reset", "--quiet", "--hard", &before])?;
        }
        for patch in &patches[at..at + count.max(1)] {
            git.env.progress(git.env.id, format!("committing {}", patch.name));
            apply::patch(&git.env, patch, &git.dir)?;
            commit_one(git, patch)?;
        }
        at += count.max(1);
    }
    let ids: Vec<String> = git.read(&["rev-list", "--reverse", "HEAD"])?.lines().skip(1).map(str::to_owned).collect();
    if ids.len() != patches.len() {
        return Err(Problem::new(format!("git made {} commits of {} patches", ids.len(), patches.len())).code(Code::PatchRefused).into());
    }
    Ok(ids)
}

fn of(patch: &Patch, count: usize) -> String {
    if count > 1 { format!("{} and {} more", patch.name, count - 1) } else { patch.name.clone() }
}

/// Whether `git am` makes of it what the tool makes of it.
fn is_mail(patch: &Patch, tree: &Path) -> bool {
    let text = regular::read(&patch.path).unwrap_or_default();
    mail::is_mail(&String::from_utf8_lossy(&text)) && batch::shared(patch, tree).is_ok_and(|it| it.is_some())
}

/// Commits what the patch changed, with author and message of its mail.
fn commit_one(git: &Repository<'_>, patch: &Patch) -> Result<()> {
    git.run(&["add", "--all", "--force", "."])?;
    let bytes = regular::read(&patch.path)?;
    let (head, parts) = (apply::head(&git.env, &bytes)?, patch.name.rsplit('/').next().unwrap_or(&patch.name));
    let stem = parts.rsplit_once('.').map_or(parts, |it| it.0).trim_start_matches(|it: char| it.is_ascii_digit() || it == '-');
    let message = if head.message.trim().is_empty() { stem.replace(['-', '_'], " ") } else { head.message };
    // A header of several lines is no subject: git would join them.
    let message = match message.split_once('\n') {
        Some((first, rest)) if !rest.starts_with('\n') => format!("{first}\n\n{rest}"),
        _ => message,
    };
    let mut variables = Vec::new();
    let author = head.author.zip(head.address);
    if let Some((name, address)) = &author {
        variables.extend([("GIT_AUTHOR_NAME", name.as_str()), ("GIT_AUTHOR_EMAIL", address.as_str())]);
    }
    if let Some(date) = &head.date {
        variables.push(("GIT_AUTHOR_DATE", date.as_str()));
    }
    git.feed(&["commit", "--quiet", "--allow-empty", "--no-verify", "--cleanup=whitespace", "--file=-"], &variables, message.as_bytes())
}
