//! Writes the commits of the queue back as patch files. A patch whose commit says the same as before keeps its file, byte for byte.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::{
    check,
    commits::{Commit, Commits, State, Written},
};
use crate::{
    errors::{Code, Problem},
    fingerprint::hex,
    record, regular,
};

use sha2::{Digest as _, Sha256};

/// quilt's file with the order of the patches.
const SERIES: &str = "series";
/// The form of a patch: the same from every version of git, and without anything that changes by itself.
const FORM: [&str; 8] =
    ["--quiet", "--numbered-files", "--no-numbered", "--zero-commit", "--no-signature", "--full-index", "--binary", "-p"];

/// What happens to a patch file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Unchanged,
    Changed,
    New,
    /// The earlier name; the content may have changed too.
    Renamed(String),
    Removed,
}

/// The patch files that belong to the commits.
#[derive(Debug)]
pub(crate) struct Plan {
    folder: PathBuf,
    files: Vec<File>,
    removed: Vec<String>,
    /// The new content of `series`, if it changes.
    series: Option<String>,
    state: State,
}

#[derive(Debug)]
struct File {
    name: String,
    fate: Fate,
    content: Vec<u8>,
}

impl Plan {
    /// The files and what happens to each: first the queue in its order, then the removed files.
    pub(crate) fn fates(&self) -> Vec<(String, Fate)> {
        let files = self.files.iter().map(|it| (it.name.clone(), it.fate.clone()));
        files.chain(self.removed.iter().map(|it| (it.clone(), Fate::Removed))).collect()
    }

    /// The digest of the source that the patches are for, if it is replaced after the plan was made.
    pub(crate) fn for_source(&mut self, digest: String) {
        self.state.source = digest;
    }

    /// Writes new and changed files, then removes the others.
    pub(crate) fn write(self, commits: &mut Commits<'_>) -> Result<()> {
        let in_the_way = self.files.iter().map(|it| self.folder.join(&it.name)).find(|it| it.is_dir());
        if let Some(path) = in_the_way {
            return Err(Problem::new(format!("{} is a folder, and a patch has this name; nothing was written", path.display()))
                .code(Code::QueueOpen)
                .hint("move it away")
                .into());
        }
        commits.state.writing = true;
        commits.save()?;
        for file in self.files.iter().filter(|it| it.fate != Fate::Unchanged) {
            record::write_text(&self.folder.join(&file.name), &file.content)?;
        }
        if let Some(series) = &self.series {
            record::write_text(&self.folder.join(SERIES), series.as_bytes())?;
        }
        let replaced = self.files.iter().filter_map(|it| match &it.fate {
            Fate::Renamed(from) => Some(from),
            _ => None,
        });
        for name in self.removed.iter().chain(replaced).filter(|it| !self.files.iter().any(|file| file.name == **it)) {
            let path = self.folder.join(name);
            if path.exists() {
                fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))?;
            }
        }
        commits.state = self.state;
        super::commits::name(&commits.git, commits.state.patches.iter().map(|it| (it.commit.as_str(), it.name.as_str())))?;
        commits.save()
    }
}

/// The files for the commits from `base` to HEAD. `base` has the source with the digest `source`.
pub(crate) fn plan(commits: &Commits<'_>, base: &str, source: &str) -> Result<Plan> {
    let env = &commits.git.env;
    let folder = env.path(&env.service.patch_dir);
    let mut line = commits.line(base, "HEAD")?;
    let known = &commits.state;
    let texts = texts(commits, base, "HEAD", line.len())?;
    let before = texts_before(commits)?;
    belong(&mut line, &texts, &known.patches, &before);
    let has_series = folder.join(SERIES).is_file();
    let names = names(&line, has_series, &numbers_of_others(&folder, &known.patches));
    let mut out = Plan { folder: folder.clone(), files: Vec::new(), removed: Vec::new(), series: None, state: known.clone() };
    out.state.patches.clear();
    for ((commit, name), text) in line.iter().zip(names).zip(texts) {
        if !text.split(|it| *it == b'\n').any(|it| it.starts_with(b"diff --git ")) {
            return Err(Problem::new(format!("the commit `{}` changes nothing, which no patch can hold", commit.subject))
                .code(Code::QueueOpen)
                .hint(format!("remove it with `git rebase --interactive`, in {}", commits.shown()))
                .into());
        }
        let at = commit.patch.as_ref().and_then(|it| known.patches.iter().position(|patch| patch.name == *it));
        let file = at.and_then(|it| known.patches.get(it));
        let same = file.is_some_and(|it| it.commit == commit.id)
            || at.and_then(|it| before.get(it)).is_some_and(|it| essence(it) == essence(&text));
        // After a run that was killed while it wrote, the file may have its new name already.
        let kept = file.filter(|_| same).and_then(|it| regular::read(&folder.join(&it.name)).ok().filter(|text| digest(text) == it.digest));
        let is_kept = kept.is_some();
        let content = kept.unwrap_or_else(|| text.clone());
        let fate = match &commit.patch {
            Some(old) if *old != name => Fate::Renamed(old.clone()),
            Some(_) if is_kept => Fate::Unchanged,
            Some(_) if file.is_some() => Fate::Changed,
            _ => Fate::New,
        };
        out.state.patches.push(Written { name: name.clone(), commit: commit.id.clone(), digest: digest(&content) });
        out.files.push(File { name, fate, content });
    }
    let is_left = |it: &&Written| !line.iter().any(|commit| commit.patch.as_ref() == Some(&it.name));
    out.removed = known.patches.iter().filter(is_left).map(|it| it.name.clone()).collect();
    if has_series {
        let old = regular::read_to_string(&folder.join(SERIES)).context("read series")?;
        let new = series(&old, &out.files);
        out.series = (new != old).then_some(new);
    }
    if out.files.iter().any(|it| it.fate != Fate::Unchanged) || !out.removed.is_empty() || base != known.base {
        let files: Vec<(&str, &[u8])> = out.files.iter().map(|it| (it.name.as_str(), it.content.as_slice())).collect();
        check::makes(commits, base, &files)?;
    }
    out.state.base = base.to_owned();
    out.state.source = source.to_owned();
    out.state.tip = commits.git.read(&["rev-parse", "HEAD"])?;
    out.state.pending = None;
    out.state.writing = false;
    Ok(out)
}

/// Finds the patch of each commit: by its note, or else by what it says, as git has no notes for a commit that was picked from elsewhere. Of
/// two commits with one note, as of a commit that was split, the second is a new patch.
fn belong(line: &mut [Commit], texts: &[Vec<u8>], known: &[Written], before: &[Vec<u8>]) {
    let mut taken = BTreeSet::new();
    for commit in &mut *line {
        let is_known = |it: &String| known.iter().any(|patch| patch.name == *it);
        commit.patch = commit.patch.take().filter(|it| is_known(it) && taken.insert(it.clone()));
    }
    for (commit, text) in line.iter_mut().zip(texts).filter(|it| it.0.patch.is_none()) {
        let same = |it: &(&Written, &Vec<u8>)| essence(it.1) == essence(text) && !taken.contains(&it.0.name);
        commit.patch = known.iter().zip(before).find(same).map(|it| it.0.name.clone());
        taken.extend(commit.patch.clone());
    }
}

/// The digest of a patch file.
pub(super) fn digest(content: &[u8]) -> String {
    hex(&Sha256::digest(content))
}

/// The patches' texts of a range of commits, in order.
fn texts(commits: &Commits<'_>, from: &str, to: &str, count: usize) -> Result<Vec<Vec<u8>>> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let folder = tempfile::tempdir().context("make a temporary folder")?;
    let (out, range) = (folder.path().display().to_string(), format!("{from}..{to}"));
    let mut arguments = vec!["format-patch"];
    arguments.extend(FORM);
    arguments.extend(["--output-directory", &out, &range]);
    commits.git.run(&arguments)?;
    let read =
        |number: usize| regular::read(&folder.path().join(number.to_string())).with_context(|| format!("read the text of commit {number}"));
    (1..=count).map(read).collect()
}

/// The texts of the commits that the patches were read or last written from.
fn texts_before(commits: &Commits<'_>) -> Result<Vec<Vec<u8>>> {
    let State { base, tip, patches, .. } = &commits.state;
    texts(commits, base, tip, patches.len())
}

/// The text without the hashes of whole files, which change with every earlier patch.
fn essence(text: &[u8]) -> Vec<&[u8]> {
    text.split(|it| *it == b'\n').filter(|it| !it.starts_with(b"index ")).collect()
}

/// A file name for each commit: its own, or for a new commit the next number and its subject. If these are not in order, all get new
/// numbers; with a `series`, names have no order.
fn names(line: &[Commit], has_series: bool, others: &[u32]) -> Vec<String> {
    let numbers = line.iter().filter_map(|it| number(it.patch.as_deref()?)).chain(others.iter().copied());
    let mut next = numbers.max().unwrap_or(0).saturating_add(1);
    let mut out: Vec<String> = Vec::new();
    for commit in line {
        let name = commit.patch.clone().unwrap_or_else(|| {
            let slug: String = commit.slug.chars().take(52).collect();
            let slug = slug.trim_end_matches(['-', '.']);
            let own = next;
            next = next.saturating_add(1);
            format!("{own:04}-{}.patch", if slug.is_empty() { "patch" } else { slug })
        });
        out.push(name);
    }
    if has_series || out.is_sorted_by(|one, other| one < other) {
        return out;
    }
    let rest = |it: &String| number(it).and_then(|_| it.split_once('-')).map_or(it.clone(), |(_, rest)| rest.to_owned());
    out.iter().enumerate().map(|(at, it)| format!("{:04}-{}", at + 1, rest(it))).collect()
}

/// The number that a patch's name begins with, of at most six digits.
fn number(name: &str) -> Option<u32> {
    name.split_once('-').filter(|it| it.0.len() <= 6).and_then(|it| it.0.parse().ok())
}

/// The numbers of files in the folder that are not in the queue: a new patch must not take their names.
fn numbers_of_others(folder: &Path, known: &[Written]) -> Vec<u32> {
    let entries = fs::read_dir(folder).map(|it| it.flatten().collect::<Vec<_>>()).unwrap_or_default();
    let names = entries.iter().map(|it| it.file_name().to_string_lossy().into_owned());
    names.filter(|name| !known.iter().any(|it| it.name == *name)).filter_map(|it| number(&it)).collect()
}

/// `series` with the names in their new order. Comments stay above the line that they are above now; those of removed patches go.
fn series(old: &str, files: &[File]) -> String {
    let mut above: Vec<(String, String)> = Vec::new();
    let mut comments = String::new();
    for line in old.lines() {
        match line.split_whitespace().next().filter(|it| !it.starts_with('#')) {
            None => comments.push_str(&format!("{line}\n")),
            Some(name) => above.push((name.to_owned(), format!("{}{line}\n", std::mem::take(&mut comments)))),
        }
    }
    let mut out = String::new();
    for file in files {
        let own = match &file.fate {
            Fate::Renamed(old) => old,
            _ => &file.name,
        };
        let found = above.iter().find(|it| it.0 == *own);
        out.push_str(&found.map_or_else(|| format!("{}\n", file.name), |it| it.1.replace(own, &file.name)));
    }
    out + &comments
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(patch: Option<&str>, slug: &str) -> Commit {
        Commit { id: slug.to_owned(), slug: slug.to_owned(), subject: slug.to_owned(), patch: patch.map(str::to_owned) }
    }

    #[test]
    fn patches_keep_their_names_and_new_ones_come_after_the_last_number() {
        let line = [commit(Some("0001-a.patch"), "A"), commit(Some("0007-b.patch"), "B"), commit(None, "Wait-for-it.")];
        assert_eq!(names(&line, false, &[]), ["0001-a.patch", "0007-b.patch", "0008-Wait-for-it.patch"]);
    }

    #[test]
    fn a_new_order_gives_new_numbers_but_not_where_a_series_has_the_order() {
        let line = [commit(Some("0002-b.patch"), "B"), commit(None, "New"), commit(Some("0001-a.patch"), "A"), commit(Some("x.diff"), "X")];
        assert_eq!(names(&line, false, &[]), ["0001-b.patch", "0002-New.patch", "0003-a.patch", "0004-x.diff"]);
        assert_eq!(names(&line, true, &[]), ["0002-b.patch", "0003-New.patch", "0001-a.patch", "x.diff"]);
    }

    #[test]
    fn comments_of_a_series_follow_their_patch() {
        let file = |name: &str, fate: Fate| File { name: name.to_owned(), fate, content: Vec::new() };
        let old = "# the first\na.patch -p1\n\n# the second\nb.patch # why\nc.patch\n# the end\n";
        let files = [file("b.patch", Fate::Unchanged), file("new.patch", Fate::New), file("d.patch", Fate::Renamed("a.patch".to_owned()))];
        assert_eq!(series(old, &files), "\n# the second\nb.patch # why\nnew.patch\n# the first\nd.patch -p1\n# the end\n");
    }
}
