//! The hashes of files that have not changed since they were read: a file in the project's work folder, so that a run reads no file twice.
//!
//! A hash counts only for exactly the same state of the same inode: size, mode, mtime and ctime. The system's clock advances in steps, so
//! two changes within one step leave the same times. A hash is therefore kept only if the file was last changed clearly before it was read.
//! A program that writes through shared memory changes the times late, as for make and git.

mod kept;

use std::{
    io::Read as _,
    os::fd::AsFd,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use crate::{
    fingerprint::{Fingerprint, hex},
    hashes::kept::Kept,
    regular,
    walk::{Found, Kind, Stamp},
};

/// The hash of a file's content and of its executable bit.
type Hash = [u8; 32];

/// What is known of the files of a project. Threads share it; processes replace its file as a whole.
#[derive(Debug, Default)]
pub struct Hashes {
    file: Option<PathBuf>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Whether the file was read.
    is_read: bool,
    is_changed: bool,
    kept: Kept,
}

/// Linux stamps files with the time of its last tick, at most 10 ms ago (`CONFIG_HZ=100`).
const STEP: i128 = 20_000_000;
/// File systems without fractions of a second, such as ext4 with small inodes: their times have none.
const WHOLE_STEP: i128 = 2_000_000_000;
/// File systems of this machine whose ctime follows its clock (linux/magic.h): ext, XFS, Btrfs, tmpfs, overlay, ZFS, F2FS, bcachefs.
/// Others may be written by another machine, with its clock and its caches.
const LOCAL: [u64; 8] = [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630, 0x2fc1_2fc1, 0xf2f5_2010, 0xca45_1a4e];

impl Hashes {
    /// Hashes that are kept in `file`, in a folder that need not exist. Nothing is read yet.
    pub fn kept_in(file: PathBuf) -> Hashes {
        Hashes { file: Some(file), known: Mutex::default() }
    }

    /// Adds the files of a walk below `root`, each as `name/path`. For a symbolic link, adds its target's name. Entries of other kinds are
    /// passed over. A file that was deleted since the walk has the value of a missing file.
    pub fn add(&self, out: &mut Fingerprint, name: &str, root: &Path, files: &[Found]) -> Result<()> {
        let device = local_device(root);
        let mut known = self.read();
        out.reserve(files.len());
        for found in files {
            let part = || [name, "/", &found.path.to_string_lossy()].concat();
            match found.kind {
                Kind::Link => {
                    let path = root.join(&found.path);
                    let target = std::fs::read_link(&path).with_context(|| format!("read {}", path.display()))?;
                    out.add(part(), format!("link {}", target.display()));
                }
                Kind::File => match known.hash(root, &found.path, &found.stamp, device) {
                    Ok(hash) => out.push(part(), hex(&hash)),
                    Err(_) if !root.join(&found.path).exists() => out.push(part(), ABSENT.to_owned()),
                    Err(error) => return Err(error),
                },
                Kind::Folder | Kind::Other => {}
            }
        }
        Ok(())
    }

    /// The hash of a single file, as [`Fingerprint::add_file`] adds it.
    pub fn file(&self, path: &Path) -> Result<String> {
        let context = || format!("read {}", path.display());
        let (_, stamp) = regular::open_with_stamp(path).with_context(context)?;
        let device = path.parent().and_then(local_device);
        Ok(hex(&self.read().hash(Path::new(""), path, &stamp, device)?))
    }

    /// The line that was remembered for all that it depends on.
    pub fn fact(&self, key: &Fingerprint) -> Option<String> {
        let (key, mut known) = (key.digest(), self.read());
        known.kept.fact(&key)
    }

    /// Remembers a short line that follows from `key` alone.
    pub fn remember(&self, key: &Fingerprint, fact: &str) {
        let (key, mut known) = (key.digest(), self.read());
        known.kept.remember(key, fact);
        known.is_changed = true;
    }

    /// Writes what has changed, if the folder exists. Another process may do the same: the later file stays, and what it lacks is read again.
    pub fn save(&self) {
        let mut known = self.known();
        let (Some(file), true) = (&self.file, known.is_changed) else { return };
        known.is_changed = false;
        // Without it, the next run reads the files.
        known.kept.write(file, now()).ok();
    }

    fn read(&self) -> MutexGuard<'_, Known> {
        let mut known = self.known();
        if !known.is_read {
            known.is_read = true;
            known.kept = self.file.as_deref().and_then(|it| Kept::read(it, now())).unwrap_or_default();
        }
        known
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hashes {
    fn drop(&mut self) {
        self.save();
    }
}

impl Known {
    /// The hash of the file `path` below `root` with this stamp. `device`: the one whose stamps are trusted.
    fn hash(&mut self, root: &Path, path: &Path, stamp: &Stamp, device: Option<u64>) -> Result<Hash> {
        if device == Some(stamp.device)
            && let Some(hash) = self.kept.hash(stamp)
        {
            return Ok(hash);
        }
        let (hash, settled) = read_hash(&root.join(path))?;
        match settled.filter(|it| device == Some(it.device)) {
            Some(stamp) => {
                self.kept.put(stamp, hash);
                self.is_changed = true;
            }
            None => self.is_changed |= self.kept.remove(stamp.device, stamp.inode),
        }
        Ok(hash)
    }
}

/// The hash of a file's content and executable bit. Also its stamp, if this content is certainly the one of the stamp.
fn read_hash(path: &Path) -> Result<(Hash, Option<Stamp>)> {
    let context = || format!("read {}", path.display());
    // Before the first byte: every change that is not read has this time or a later one.
    let began = now();
    let (mut file, before) = regular::open_with_stamp(path).with_context(context)?;
    let mut hasher = Sha256::new();
    let mut buffer = [0; 1 << 15];
    let mut length = 0;
    let after = loop {
        let count = file.read(&mut buffer).with_context(context)?;
        hasher.update(&buffer[..count]);
        length += count as u64;
        // A file is read to its end when it is as long as it now is: one more read would tell the same.
        if count == 0 || length == before.size {
            let now = Stamp::of_open(file.as_fd()).with_context(context)?;
            if count == 0 || now.size == length {
                break now;
            }
        }
    };
    if after.mode & 0o111 != 0 {
        hasher.update(b"\0executable");
    }
    Ok((hasher.finalize().into(), (before == after && is_settled(&after, began)).then_some(after)))
}

/// The hash of a file's content and executable bit, read now.
pub(crate) fn of_file(path: &Path) -> Result<Hash> {
    read_hash(path).map(|(hash, _)| hash)
}

/// The value of a missing file.
pub(crate) const ABSENT: &str = "absent";

/// Whether every later change gives the file another stamp: its times are clearly earlier than the moment `now`.
fn is_settled(stamp: &Stamp, now: i128) -> bool {
    let step = if stamp.changed % 1_000_000_000 == 0 { WHOLE_STEP } else { STEP };
    stamp.modified < now - step && stamp.changed < now - step
}

/// Whether only this machine writes to the file system of a path, so that its clock and its events tell all changes.
pub fn is_local(path: &Path) -> bool {
    local_device(path).is_some()
}

/// The device of a folder whose file system is a local one.
fn local_device(root: &Path) -> Option<u64> {
    let kind = rustix::fs::statfs(root).ok()?.f_type;
    let is_local = u64::try_from(kind).is_ok_and(|it| LOCAL.contains(&(it & 0xffff_ffff)));
    let state = std::fs::metadata(root).ok().filter(|_| is_local)?;
    Some(std::os::unix::fs::MetadataExt::dev(&state))
}

/// Nanoseconds since 1970 by the clock of this machine.
fn now() -> i128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i128::try_from(since.as_nanos()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
