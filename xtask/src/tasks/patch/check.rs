//! Checks, before patch files are written, that they make what the commits make. Some commits have no form as a patch of this tool: changes of
//! line ends alone, new symbolic links, nested repositories; and a diff in a commit's message would be applied too.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

use super::{batch, commits::Commits, git::Repository, remove};
use crate::{
    errors::{Code, Problem},
    patch::queue,
};

/// An error if the files, applied in order to the commit `base`, make another tree than HEAD has.
pub(super) fn makes(commits: &Commits<'_>, base: &str, files: &[(&str, &[u8])]) -> Result<()> {
    let git = &commits.git;
    let place = tempfile::tempdir().context("make a temporary folder")?;
    let (tree, folder) = (place.path().join("tree"), place.path().join("patches"));
    fs::create_dir_all(&folder)?;
    let mut series = String::new();
    for (name, content) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap_or(&folder))?;
        fs::write(&path, content).with_context(|| format!("write {name} into a temporary folder"))?;
        series.push_str(&format!("{name}\n"));
    }
    fs::write(folder.join("series"), series).context("write the order of the patches")?;
    checked_out(git, base, &tree, &place.path().join("index"))?;
    let exists = |name: &str| tree.join(name).symlink_metadata().is_ok();
    let refused = |what: String| {
        Problem::new(format!("the patch files would not make what the commits in {} make: {what}", commits.shown()))
            .code(Code::QueueOpen)
            .hint("a patch holds no change of line ends alone, no new symbolic link and no repository, and its message no diff: change the commit")
    };
    let patches = queue::read(&folder, &exists).map_err(|error| refused(format!("{error:#}")))?.patches;
    if !matches!(batch::queue(&git.env, &patches, &tree), Ok(true)) {
        git.env.interrupt.check()?;
        remove(&tree)?;
        checked_out(git, base, &tree, &place.path().join("index"))?;
        batch::one_by_one(&git.env, &patches, &tree).map_err(|error| refused(format!("{error:#}")))?;
    }
    let (made, wanted) = (tree_of(git, &tree, &place.path().join("made"))?, git.read(&["rev-parse", "HEAD^{tree}"])?);
    if made == wanted {
        return Ok(());
    }
    let names = git.read(&["diff-tree", "-r", "--name-only", &made, &wanted])?;
    let shown: Vec<&str> = names.lines().take(5).collect();
    Err(refused(format!("they differ in {}", shown.join(", "))).into())
}

/// Writes a commit's files into the folder, byte for byte.
fn checked_out(git: &Repository<'_>, commit: &str, folder: &Path, index: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let (index, prefix) = (index.display().to_string(), format!("--prefix={}/", folder.display()));
    let variables = [("GIT_INDEX_FILE", index.as_str())];
    git.run_with(&["read-tree", commit], &variables)?;
    git.run_with(&["checkout-index", "--all", "--quiet", &prefix], &variables)
}

/// The id of git's tree of a folder.
pub(super) fn tree_of(git: &Repository<'_>, folder: &Path, index: &Path) -> Result<String> {
    if index.exists() {
        fs::remove_file(index)?;
    }
    let (index, repository, folder) =
        (index.display().to_string(), git.dir.join(".git").display().to_string(), folder.display().to_string());
    let place = ["-C", &folder, "--git-dir", &repository, "--work-tree", &folder];
    let variables = [("GIT_INDEX_FILE", index.as_str())];
    git.run_with(&[&place[..], &["add", "--all", "--force", "."]].concat(), &variables)?;
    git.read_with(&[&place[..], &["write-tree"]].concat(), &variables)
}
