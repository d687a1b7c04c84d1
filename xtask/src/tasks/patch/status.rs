//! The state of each patch against the source: it applies, upstream has it already, or it conflicts.

use std::path::Path;

use anyhow::{Context as _, Result};
use xshell::cmd;

use super::{apply, batch, copy, git::alone, queue, remove, source};
use crate::{
    env::Scope,
    patch::{
        Patch, mail,
        parse::{FilePatch, Hunk},
        steps,
    },
    regular,
};

/// What becomes of a patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Applied,
    /// The source has all of it.
    Upstream,
    /// The source has this many of its changes, and the others still apply.
    Partly {
        there: usize,
        of: usize,
    },
    /// File, hunk and both sides.
    Conflict(String),
    /// The file is in the patch folder and is not applied.
    Unused(String),
}

/// The verdicts in the order of the queue, then the unused files. Patches that do not apply are left out, as a person would do it.
pub(crate) fn of(env: &Scope<'_>) -> Result<Vec<(String, Verdict)>> {
    let found = source::files(env)?;
    let queue = queue(env)?;
    let place = tempfile::tempdir().context("make a temporary folder")?;
    let tree = place.path().join("tree");
    let again = |good: &[Patch]| -> Result<()> {
        remove(&tree)?;
        copy(env, &found, &tree)?;
        if !batch::queue(env, good, &tree)? {
            remove(&tree)?;
            copy(env, &found, &tree)?;
            batch::one_by_one(env, good, &tree)?;
        }
        Ok(())
    };
    let mut out = Vec::new();
    if again(&queue.patches).is_ok() {
        out.extend(queue.patches.iter().map(|it| (it.name.clone(), Verdict::Applied)));
    } else {
        env.interrupt.check()?;
        again(&[])?;
        let mut good: Vec<Patch> = Vec::new();
        for patch in &queue.patches {
            match apply::patch(env, patch, &tree) {
                Ok(()) => {
                    good.push(patch.clone());
                    out.push((patch.name.clone(), Verdict::Applied));
                }
                Err(error) => {
                    env.interrupt.check()?;
                    // git applies a step as a whole or not at all.
                    if !is_one_step(patch, &tree)? {
                        again(&good)?;
                    }
                    out.push((patch.name.clone(), failed(env, patch, &tree, &error)?));
                }
            }
        }
    }
    let unused = queue.passed_over.iter().filter(|it| !it.contains(" is a cover letter"));
    out.extend(unused.map(|it| (it.split_whitespace().next().unwrap_or_default().to_owned(), Verdict::Unused(it.clone()))));
    Ok(out)
}

fn is_one_step(patch: &Patch, tree: &Path) -> Result<bool> {
    let bytes = regular::read(&patch.path).with_context(|| format!("read patch {}", patch.path.display()))?;
    Ok(!mail::needs_decoding(&String::from_utf8_lossy(&bytes)) && steps::steps(&bytes, tree).len() == 1)
}

/// Why a patch does not apply to the tree.
fn failed(env: &Scope<'_>, patch: &Patch, tree: &Path, error: &anyhow::Error) -> Result<Verdict> {
    let bytes = regular::read(&patch.path).with_context(|| format!("read patch {}", patch.path.display()))?;
    let steps = steps::steps(&bytes, tree);
    if is_there(env, &steps, tree)? {
        return Ok(Verdict::Upstream);
    }
    let parts: Vec<Part> = steps.iter().flat_map(|it| &it.files).flat_map(|it| parts(it, tree)).collect();
    let there = parts.iter().filter(|it| **it == Part::There).count();
    Ok(match parts.len() {
        0 => Verdict::Conflict(format!("{error:#}")),
        of if there == of => Verdict::Upstream,
        of if there > 0 && !parts.contains(&Part::Conflicts) => Verdict::Partly { there, of },
        _ => Verdict::Conflict(format!("{error:#}")),
    })
}

/// Whether git could take the steps back, the last one first: then the tree has them.
fn is_there(env: &Scope<'_>, steps: &[steps::Step], tree: &Path) -> Result<bool> {
    let [step] = steps else { return Ok(false) };
    let place = tempfile::tempdir().context("make a temporary folder")?;
    let file = place.path().join("step");
    std::fs::write(&file, steps::with_the_files_line_ends(step, tree)).context("write a step of the patch")?;
    let (sh, strip) = (env.tools.shell(tree)?, format!("-p{}", step.strip));
    Ok(env.tools.outcome(env.id, alone(cmd!(sh, "git apply --check --reverse {strip} {file}"), tree))?.0)
}

/// One change of a patch, a hunk or a whole file, against the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Applies,
    There,
    Conflicts,
}

fn parts(file: &FilePatch, tree: &Path) -> Vec<Part> {
    let name = file.result().unwrap_or_default();
    let old = file.old.as_deref().or(file.renames.first().map(String::as_str)).unwrap_or(name);
    let text = |it: &str| regular::read(&tree.join(it)).ok().map(|it| String::from_utf8_lossy(&it).into_owned());
    if file.removes {
        return vec![if text(old).is_none() { Part::There } else { Part::Applies }];
    }
    // A renamed file may be at its new place already.
    let Some(content) = text(old).or_else(|| text(name)) else {
        return vec![if file.makes { Part::Applies } else { Part::Conflicts }];
    };
    let lines: Vec<&str> = content.lines().collect();
    let judged = |hunk: &Hunk| {
        let after: Vec<&str> = hunk.lines.iter().filter(|it| !it.starts_with('-')).map(|it| it.get(1..).unwrap_or_default()).collect();
        let has = |wanted: &[&str]| !wanted.is_empty() && lines.windows(wanted.len()).any(|it| it == wanted);
        match (has(&hunk.before()), has(&after)) {
            (_, true) if file.makes && lines != after => Part::Conflicts,
            (true, false) => Part::Applies,
            (_, true) => Part::There,
            (false, false) => Part::Conflicts,
        }
    };
    file.hunks.iter().map(judged).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch::parse;

    #[test]
    fn each_hunk_is_judged_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("x"), "a\nB\nc\nd\ne\nf\ng\nh\nZ\n").unwrap();
        let patch = "--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n@@ -4,2 +4,2 @@\n d\n-e\n+E\n@@ -8,2 +8,2 @@\n h\n-i\n+I\n";
        let files = parse::files(patch, &|_| true);
        assert_eq!(parts(&files[0], dir.path()), [Part::There, Part::Applies, Part::Conflicts]);
    }

    #[test]
    fn whole_files_are_compared() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("same"), "1\n").unwrap();
        std::fs::write(dir.path().join("other"), "1\n2\n").unwrap();
        let made =
            |name: &str| format!("diff --git a/{name} b/{name}\nnew file mode 100644\n--- /dev/null\n+++ b/{name}\n@@ -0,0 +1 @@\n+1\n");
        let removed = "diff --git a/gone b/gone\ndeleted file mode 100644\n--- a/gone\n+++ /dev/null\n@@ -1 +0,0 @@\n-1\n";
        let judged = |text: &str| parts(&parse::files(text, &|_| false)[0], dir.path());
        assert_eq!(judged(&made("same")), [Part::There]);
        assert_eq!(judged(&made("other")), [Part::Conflicts]);
        assert_eq!(judged(&made("new")), [Part::Applies]);
        assert_eq!(judged(removed), [Part::There]);
    }
}
