//! The hashes of files that have not changed since they were read: a file in the project's work folder, so that a run reads no file twice.
//!
//! A hash counts only for exactly the same state of the same inode: size, mode, mtime and ctime. The system's clock advances in steps, so
//! two changes within one step leave the same times. A hash is therefore kept only if the file was last changed clearly before it was read.
//! A program that writes through shared memory changes the times late, as for make and git.

mod kept;
mod reading;

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context as _, Result};

use crate::{
    fingerprint::{Fingerprint, hex},
    hashes::{
        kept::Kept,
        reading::{BUFFER, Content, now},
    },
    regular,
    walk::{self, Found, Keep, Kind, Passed, Stamp},
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
    /// The trees that this process has read.
    roots: HashSet<PathBuf>,
}

/// File systems of this machine whose ctime follows its clock (linux/magic.h): ext, XFS, Btrfs, tmpfs, overlay, ZFS, F2FS, bcachefs.
/// Others may be written by another machine, with its clock and its caches.
const LOCAL: [u64; 8] = [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630, 0x2fc1_2fc1, 0xf2f5_2010, 0xca45_1a4e];

impl Hashes {
    /// Hashes that are kept in `file`, in a folder that need not exist. Nothing is read yet.
    pub fn kept_in(file: PathBuf) -> Hashes {
        Hashes { file: Some(file), known: Mutex::default() }
    }

    /// Walks below `root` and adds each file as `name/path`, in the order of the walk. For a symbolic link, adds its target's name. Entries of
    /// other kinds are passed over. `each` gets the files and links, and the content of each Python file that had to be read.
    pub fn add(
        &self,
        out: &mut Fingerprint,
        name: &str,
        root: &Path,
        passed: &Passed<'_>,
        keep: Option<&mut Keep<'_>>,
        each: &mut dyn FnMut(Found, Option<&[u8]>),
    ) -> Result<()> {
        let device = local_device(root);
        let mut known = self.read();
        let mut buffer = Vec::with_capacity(BUFFER);
        // Where nothing is known, each file is read, and its state asked for then.
        let has_stamps = !known.roots.insert(root.to_owned()) || known.kept.has_old();
        walk::visit(root, passed, keep, has_stamps, &mut |entry| {
            let mut part = |digest: &str| out.push(&[name, "/", &entry.path.to_string_lossy()], digest);
            let known_hash = entry.stamp.filter(|it| device == Some(it.device)).and_then(|it| known.kept.hash(&it));
            let mut content = None;
            match (entry.kind, known_hash) {
                (Kind::File, Some(hash)) => part(&hex(&hash)),
                (Kind::File, None) => {
                    let is_python = entry.name.to_bytes().ends_with(b".py");
                    let found = reading::in_folder(entry.folder, entry.name, entry.stamp.as_ref(), &mut buffer, is_python);
                    let found = found.with_context(|| format!("read {}", root.join(&entry.path).display()))?;
                    // It was deleted since the walk has met it.
                    let Some(found) = found else { return Ok(()) };
                    part(&hex(&found.hash));
                    known.learn(entry.stamp.as_ref(), &found, device);
                    content = is_python.then_some(buffer.as_slice());
                }
                (Kind::Link, _) => {
                    let path = root.join(&entry.path);
                    let target = std::fs::read_link(&path).with_context(|| format!("read {}", path.display()))?;
                    out.add([name, "/", &entry.path.to_string_lossy()].concat(), format!("link {}", target.display()));
                }
                (Kind::Folder | Kind::Other, _) => return Ok(()),
            }
            each(Found { path: entry.path, kind: entry.kind }, content);
            Ok(())
        })
    }

    /// The hash of a single file, as [`Fingerprint::add_file`] adds it.
    pub fn file(&self, path: &Path) -> Result<String> {
        let context = || format!("read {}", path.display());
        let stamp = Stamp::of_open(regular::open(path).with_context(context)?).with_context(context)?;
        let device = path.parent().and_then(local_device).filter(|it| *it == stamp.device);
        let mut known = self.read();
        if let Some(hash) = device.and_then(|_| known.kept.hash(&stamp)) {
            return Ok(hex(&hash));
        }
        let found = reading::at(path, &mut Vec::with_capacity(BUFFER)).with_context(context)?;
        known.learn(Some(&stamp), &found, device);
        Ok(hex(&found.hash))
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
    /// Remembers the hash of a file that was read, or forgets an older one that `before` may stand for.
    fn learn(&mut self, before: Option<&Stamp>, found: &Content, device: Option<u64>) {
        if found.is_settled && device == Some(found.stamp.device) {
            self.kept.put(found.stamp, found.hash);
            self.is_changed = true;
        } else if let Some(before) = before {
            self.is_changed |= self.kept.remove(before.device, before.inode);
        }
    }
}

/// The hash of a file's content and executable bit, read now.
pub(crate) fn of_file(path: &Path) -> Result<Hash> {
    reading::at(path, &mut Vec::with_capacity(BUFFER)).map(|it| it.hash).with_context(|| format!("read {}", path.display()))
}

/// The value of a missing file.
pub(crate) const ABSENT: &str = "absent";

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

#[cfg(test)]
mod tests;
