//! Writes exported files: those of the last export are replaced, others are never overwritten in silence.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use crate::{
    errors::{Code, Problem},
    export::{File, Files},
    record, regular,
    tasks::patch::source::EXPORT_RECORD,
};

/// A folder, and the files to write there.
pub(super) struct Target {
    pub(super) folder: PathBuf,
    pub(super) files: Files,
    /// The file with the hashes of what was written.
    pub(super) record: PathBuf,
}

impl Target {
    pub(super) fn new(folder: PathBuf, files: Files) -> Target {
        let record = folder.join(EXPORT_RECORD);
        Target { folder, files, record }
    }
}

/// What happened to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    New,
    Changed,
    Gone,
    /// The user's own changes of a file that is written to be changed.
    Kept,
    /// The same, where the export would write other content than last time: it is in a file beside it, with `.new` at its end.
    Outdated,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) path: PathBuf,
    pub(super) fate: Fate,
}

/// The SHA-256 of each file that an export wrote. Two while one is being written, since a run may be killed.
type Hashes = BTreeMap<String, Vec<String>>;

/// Writes all targets, or none if the user changed a file since the last export. Returns what changed.
pub(super) fn write(project: &Path, targets: Vec<Target>, force: bool) -> Result<Vec<Change>> {
    let mut foreign = Vec::new();
    for target in &targets {
        foreign.extend(target.foreign()?);
    }
    if !foreign.is_empty() && !force {
        let names: Vec<String> = foreign.iter().map(|it| it.strip_prefix(project).unwrap_or(it).display().to_string()).collect();
        let what = format!("these files are not as the last export wrote them; nothing was written:\n{}", names.join("\n"));
        let hint = "move your changes to files of your own, choose another folder with --to, or overwrite them with --force";
        return Err(Problem::new(what).code(Code::WouldOverwrite).hint(hint).into());
    }
    let mut out = Vec::new();
    for target in targets {
        out.extend(target.write()?);
    }
    Ok(out)
}

impl Target {
    fn known(&self) -> Hashes {
        record::read_json(&self.record).unwrap_or_default()
    }

    /// Files that exist, and are neither what an export wrote nor what this one writes.
    fn foreign(&self) -> Result<Vec<PathBuf>> {
        let known = self.known();
        let mut out = Vec::new();
        let names = self.files.keys().map(|it| it.display().to_string()).chain(known.keys().cloned());
        for name in names.collect::<std::collections::BTreeSet<_>>() {
            let path = self.folder.join(&name);
            let Some(present) = content(&path)? else { continue };
            let wanted = self.files.get(Path::new(&name)).is_some_and(|it| it.to_change || it.content.as_bytes() == present);
            let ours = known.get(&name).is_some_and(|it| it.contains(&hash(&present)));
            if !wanted && !ours {
                out.push(path);
            }
        }
        Ok(out)
    }

    fn write(&self) -> Result<Vec<Change>> {
        let known = self.known();
        let mut hashes = Hashes::new();
        for (path, file) in &self.files {
            hashes.insert(path.display().to_string(), vec![hash(file.content.as_bytes())]);
        }
        let mut both = hashes.clone();
        for (name, of) in &known {
            both.entry(name.clone()).or_default().extend(of.iter().cloned());
        }
        save(&self.record, &both)?;
        let mut out = Vec::new();
        for (path, file) in &self.files {
            let name = &path.display().to_string();
            let path = self.folder.join(path);
            let fate = match content(&path)? {
                None => Fate::New,
                Some(present) if present == file.content.as_bytes() => {
                    allow(&path, file)?;
                    continue;
                }
                Some(present) if file.to_change && !known.get(name).is_some_and(|it| it.contains(&hash(&present))) => {
                    // Other content than at the last export: the user's file may lack what it has now.
                    let is_new = !known.get(name).is_some_and(|it| it.contains(&hash(file.content.as_bytes())));
                    let beside = PathBuf::from(format!("{}.new", path.display()));
                    if is_new {
                        record::write_text(&beside, file.content.as_bytes())?;
                    }
                    out.push(Change { path, fate: if is_new { Fate::Outdated } else { Fate::Kept } });
                    continue;
                }
                Some(_) => Fate::Changed,
            };
            record::write_text(&path, file.content.as_bytes())?;
            allow(&path, file)?;
            out.push(Change { path, fate });
        }
        for name in known.keys().filter(|it| !hashes.contains_key(*it)) {
            let path = self.folder.join(name);
            if path.is_file() {
                fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))?;
                remove_empty(path.parent(), &self.folder);
                out.push(Change { path, fate: Fate::Gone });
            }
        }
        save(&self.record, &hashes)?;
        Ok(out)
    }
}

fn save(path: &Path, hashes: &Hashes) -> Result<()> {
    record::write_text(path, format!("{}\n", serde_json::to_string_pretty(hashes)?).as_bytes())
}

fn allow(path: &Path, file: &File) -> Result<()> {
    if file.executable {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

/// Removes folders that became empty, up to the top.
fn remove_empty(folder: Option<&Path>, top: &Path) {
    let mut folder = folder;
    while let Some(path) = folder.filter(|it| *it != top && it.starts_with(top)) {
        if fs::remove_dir(path).is_err() {
            return;
        }
        folder = path.parent();
    }
}

/// The content of a regular file; `None` if nothing is there.
fn content(path: &Path) -> Result<Option<Vec<u8>>> {
    if path.symlink_metadata().is_err() {
        return Ok(None);
    }
    if !path.exists() {
        return Err(Problem::new(format!("{} is a link to nothing; nothing was written", path.display())).hint("remove the link").into());
    }
    regular::read(path).map(Some).with_context(|| format!("read {}", path.display()))
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|it| format!("{it:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn export(folder: &Path, files: &[(&str, &str)], force: bool) -> Result<Vec<(String, Fate)>> {
        let files = files.iter().map(|(path, content)| (PathBuf::from(path), File::from((*content).to_owned()))).collect();
        let changes = write(folder, vec![Target::new(folder.to_owned(), files)], force)?;
        Ok(changes.iter().map(|it| (it.path.strip_prefix(folder).unwrap().display().to_string(), it.fate)).collect())
    }

    #[test]
    fn files_of_the_last_export_are_replaced_and_all_others_are_kept() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path();
        let of = |name: &str, fate| vec![(name.to_owned(), fate)];
        assert_eq!(export(folder, &[("a/b.yaml", "1"), ("c.yaml", "1")], false).unwrap().len(), 2);
        assert_eq!(export(folder, &[("a/b.yaml", "1"), ("c.yaml", "1")], false).unwrap(), []);
        assert_eq!(export(folder, &[("a/b.yaml", "2"), ("c.yaml", "1")], false).unwrap(), of("a/b.yaml", Fate::Changed));
        assert_eq!(export(folder, &[("c.yaml", "1")], false).unwrap(), of("a/b.yaml", Fate::Gone));
        assert!(!folder.join("a").exists());

        // A file that is written to be changed stays as the user wants it.
        let own = File { content: "new".to_owned(), executable: false, to_change: true };
        let change = |content: &str| {
            let files = Files::from([
                ("c.yaml".into(), "1".to_owned().into()),
                ("o.yaml".into(), File { content: content.to_owned(), ..own.clone() }),
            ]);
            let changes = write(folder, vec![Target::new(folder.to_owned(), files)], false).unwrap();
            changes.iter().map(|it| it.fate).collect::<Vec<_>>()
        };
        assert_eq!([change("1"), change("2"), change("2")], [vec![Fate::New], vec![Fate::Changed], vec![]]);
        fs::write(folder.join("o.yaml"), "mine").unwrap();
        assert_eq!([change("3"), change("3")], [[Fate::Outdated], [Fate::Kept]]);
        assert_eq!(fs::read_to_string(folder.join("o.yaml.new")).unwrap(), "3");
        assert_eq!(fs::read_to_string(folder.join("o.yaml")).unwrap(), "mine");
        fs::remove_file(folder.join("o.yaml")).unwrap();

        // Changed by hand, or there before: neither overwritten nor removed.
        fs::write(folder.join("c.yaml"), "mine").unwrap();
        fs::write(folder.join("d.yaml"), "mine").unwrap();
        for files in [&[("c.yaml", "2")][..], &[][..], &[("c.yaml", "1"), ("d.yaml", "1")][..]] {
            let error = export(folder, files, false).unwrap_err().to_string();
            assert!(error.contains("c.yaml"), "{error}");
            assert_eq!(fs::read_to_string(folder.join("c.yaml")).unwrap(), "mine");
        }
        export(folder, &[("c.yaml", "2"), ("d.yaml", "1")], true).unwrap();
        assert_eq!(fs::read_to_string(folder.join("d.yaml")).unwrap(), "1");
    }

    #[test]
    fn two_projects_of_a_repository_keep_each_others_files() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path();
        let of = |project: &str, path: &str, content: &str| {
            let files = Files::from([(path.into(), content.to_owned().into())]);
            write(folder, vec![Target { folder: folder.to_owned(), files, record: folder.join(project).join("record.json") }], false)
        };
        of("a", "workflows/a.yaml", "a").unwrap();
        of("b", "workflows/b.yaml", "b").unwrap();
        of("a", "workflows/a.yaml", "2").unwrap();
        assert_eq!(fs::read_to_string(folder.join("workflows/b.yaml")).unwrap(), "b");
        // A file that both would write is the first one's.
        of("a", "ci.yml", "a").unwrap();
        assert!(of("b", "ci.yml", "b").unwrap_err().to_string().contains("ci.yml"));
        assert_eq!(fs::read_to_string(folder.join("ci.yml")).unwrap(), "a");
    }

    #[test]
    fn a_killed_export_is_finished_by_the_next_one() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path();
        export(folder, &[("a.yaml", "1"), ("b.yaml", "1")], false).unwrap();
        // Killed after the first file: the record knows both contents.
        let both = Hashes::from([("a.yaml".to_owned(), vec![hash(b"2"), hash(b"1")]), ("b.yaml".to_owned(), vec![hash(b"2"), hash(b"1")])]);
        save(&folder.join(".pocdeploy-export.json"), &both).unwrap();
        fs::write(folder.join("a.yaml"), "2").unwrap();
        assert_eq!(export(folder, &[("a.yaml", "3"), ("b.yaml", "3")], false).unwrap().len(), 2);
    }
}
