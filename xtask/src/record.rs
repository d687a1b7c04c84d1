//! Records: the inputs of a task's last success. They explain changes and are never the source of truth.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};

use crate::{
    env::Env,
    fingerprint::{Fingerprint, hex},
    graph::TaskId,
};

/// The fingerprint of the task's last success; `None` if the record is missing or unreadable.
pub fn read(env: &Env, task: TaskId) -> Option<Fingerprint> {
    read_fingerprint(&env.work(format!("record/{}.json", task.file_name())))
}

/// Whether the task's last success had exactly these inputs. The digest of a large record is remembered by the hash of its file, so that the
/// record of 20,000 files, three megabytes of JSON, is not parsed to learn that nothing has changed.
pub fn is_of(env: &Env, task: TaskId, inputs: &Fingerprint) -> bool {
    let path = env.work(format!("record/{}.json", task.file_name()));
    if fs::metadata(&path).is_ok_and(|it| it.len() < LARGE) {
        return read(env, task).is_some_and(|it| it == *inputs);
    }
    let Ok(hash) = env.hashes.file(&path) else { return false };
    let mut key = Fingerprint::new();
    key.add("the record of a task", hash);
    if let Some(known) = env.hashes.fact(&key) {
        return known == inputs.digest();
    }
    // Of the same bytes, whatever became of the file since.
    let Some((hash, digest)) = fs::read(&path).ok().and_then(|it| Some((hex(&Sha256::digest(&it)), Fingerprint::from_json(&it)?.digest())))
    else {
        return false;
    };
    let mut key = Fingerprint::new();
    key.add("the record of a task", hash);
    env.hashes.remember(&key, &digest);
    digest == inputs.digest()
}

/// From this size on, the digest of a record is remembered.
const LARGE: u64 = 1 << 16;

/// The inode and the times of the record, which each success changes; `None` without a record.
pub fn state(env: &Env, task: TaskId) -> Option<(u64, i64, i64)> {
    let it = fs::metadata(env.work(format!("record/{}.json", task.file_name()))).ok()?;
    Some((it.ino(), it.ctime(), it.ctime_nsec()))
}

/// How the task's inputs differ from those of its last success, as a text.
pub fn changed(env: &Env, task: TaskId, want: &Fingerprint) -> Option<String> {
    match read(env, task) {
        None => Some("not done yet".to_owned()),
        Some(last) => want.difference(&last),
    }
}

pub fn write(env: &Env, task: TaskId, fingerprint: &Fingerprint) -> Result<()> {
    write_file(&env.work(format!("record/{}.json", task.file_name())), &fingerprint.to_json()?)
}

/// Reads the record of a fingerprint; `None` if it is missing or invalid.
pub fn read_fingerprint(path: &Path) -> Option<Fingerprint> {
    Fingerprint::from_json(&fs::read(path).ok()?)
}

/// The file in an instance's folder with its name and the address that its application had last.
pub const ADDRESS: &str = "record/address.json";

/// The content of [`ADDRESS`].
#[derive(Debug, Serialize, Deserialize)]
pub struct LastAddress {
    pub instance: String,
    /// `http://shop.localhost:8080`.
    pub origin: String,
}

/// Reads a JSON file; `None` if it is missing or invalid.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Writes a JSON file atomically: to a temporary file, flushed, then renamed.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    write_file(path, &serde_json::to_vec_pretty(value)?)
}

/// Writes a file atomically: to a temporary file, flushed, then renamed. Only its owner can read it.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, bytes, 0o600)
}

/// The same for a file of the user's: an existing one keeps its mode, and a link stays one.
pub fn write_text(path: &Path, bytes: &[u8]) -> Result<()> {
    let path = if path.is_symlink() { path.canonicalize().unwrap_or_else(|_| path.to_owned()) } else { path.to_owned() };
    let mode = fs::metadata(&path).map_or(0o644, |it| it.permissions().mode() & 0o777);
    replace(&path, bytes, mode)
}

/// Brings the names in a folder to the disk: a rename is there once its folder is. Some file systems cannot flush a folder, and one that is not
/// readable cannot be opened; the name is in its place all the same.
pub fn flush_folder(folder: &Path) -> std::io::Result<()> {
    use std::io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    match fs::File::open(folder).and_then(|it| it.sync_all()) {
        Err(error) if [InvalidInput, PermissionDenied, Unsupported].contains(&error.kind()) => Ok(()),
        other => other,
    }
}

fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let dir = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> Result<()> {
        fs::create_dir_all(dir)?;
        let mut file = tempfile::Builder::new().permissions(fs::Permissions::from_mode(mode)).tempfile_in(dir)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        flush_folder(dir)?;
        Ok(())
    };
    write().with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{config::Config, env::Options, report::Recorder};

    #[test]
    fn a_large_record_is_of_its_own_inputs_alone_also_once_its_digest_is_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let env = Env::new(dir.path().to_owned(), Config::default(), Options::default(), Arc::new(Recorder::default())).unwrap();
        let of = |count: usize, last: &str| -> Fingerprint {
            let files = (0..count).map(|it| (format!("app/file-{it}"), "digest".repeat(6)));
            files.chain([("last".to_owned(), last.to_owned())]).collect()
        };
        let path = env.work("record/patch.json");
        for (count, is_large) in [(2000, true), (1, false)] {
            fs::remove_file(&path).ok();
            let (one, other) = (of(count, "1"), of(count, "2"));
            assert!(!is_of(&env, TaskId::Patch, &one));
            for last in [&one, &other, &one] {
                write(&env, TaskId::Patch, last).unwrap();
                assert_eq!(fs::metadata(&path).unwrap().len() >= LARGE, is_large);
                // The second time the digest is remembered.
                for _ in 0..2 {
                    let found = [&one, &other].map(|it| is_of(&env, TaskId::Patch, it));
                    assert_eq!(found, [last == &one, last == &other]);
                }
            }
            let whole = fs::read(&path).unwrap();
            fs::write(&path, &whole[..whole.len() - 1]).unwrap();
            assert!(!is_of(&env, TaskId::Patch, &one), "a torn record is of no inputs");
        }
    }
}
