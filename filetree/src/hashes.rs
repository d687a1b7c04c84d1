//! The hashes of files that have not changed since they were read: a file in the project's work folder, so that a run reads no file twice.
//!
//! A hash counts only for exactly the same state of the same inode: size, mode, mtime and ctime. The system's clock advances in steps, so
//! two changes within one step leave the same times. A hash is therefore kept only if the file was last changed clearly before it was read.
//! A program that writes through shared memory changes the times late, as for make and git.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hasher as _},
    io::{Read as _, Write as _},
    os::fd::AsFd,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use crate::{
    fingerprint::{Fingerprint, hex},
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

/// The content of the file.
#[derive(Debug, Default)]
struct Kept {
    /// By device and inode.
    entries: HashMap<(u64, u64), Entry>,
    /// What was computed from files, by the digest of all that it depends on; the last used one last.
    facts: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    stamp: Stamp,
    hash: Hash,
    /// The number of saves since it was last needed.
    unused: u8,
}

/// Linux stamps files with the time of its last tick, at most 10 ms ago (`CONFIG_HZ=100`).
const STEP: i128 = 20_000_000;
/// File systems without fractions of a second, such as ext4 with small inodes: their times have none.
const WHOLE_STEP: i128 = 2_000_000_000;
/// As many facts are kept: those of some services, each before and after a change.
const FACTS: usize = 32;
/// A branch that is checked out in turn with another one stays known for as many changes.
const UNUSED: u8 = 20;

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
        out.parts.reserve(files.len());
        for found in files {
            let part = format!("{name}/{}", found.path.display());
            match found.kind {
                Kind::Link => {
                    let path = root.join(&found.path);
                    let target = std::fs::read_link(&path).with_context(|| format!("read {}", path.display()))?;
                    out.add(part, format!("link {}", target.display()));
                }
                Kind::File => {
                    let path = root.join(&found.path);
                    match known.hash(&path, &found.stamp, device) {
                        Ok(hash) => out.parts.push((part, hex(&hash))),
                        Err(_) if !path.exists() => out.parts.push((part, ABSENT.to_owned())),
                        Err(error) => return Err(error),
                    }
                }
                Kind::Folder | Kind::Other => {}
            }
        }
        Ok(())
    }

    /// The line that was remembered for all that it depends on.
    pub fn fact(&self, key: &Fingerprint) -> Option<String> {
        let (key, mut known) = (key.digest(), self.read());
        let facts = &mut known.kept.facts;
        let found = facts.remove(facts.iter().position(|(other, _)| *other == key)?);
        facts.push(found.clone());
        Some(found.1)
    }

    /// Remembers a short line that follows from `key` alone.
    pub fn remember(&self, key: &Fingerprint, fact: &str) {
        let (key, mut known) = (key.digest(), self.read());
        known.kept.facts.retain(|(other, _)| *other != key);
        known.kept.facts.push((key, fact.to_owned()));
        let count = known.kept.facts.len();
        known.kept.facts.drain(..count.saturating_sub(FACTS));
        known.is_changed = true;
    }

    /// Writes what has changed, if the folder exists. Another process may do the same: the later file stays, and what it lacks is read again.
    pub fn save(&self) {
        let mut known = self.known();
        let (Some(file), true) = (&self.file, known.is_changed) else { return };
        known.is_changed = false;
        // Without it, the next run reads the files.
        write(file, &known.kept, now()).ok();
    }

    fn read(&self) -> MutexGuard<'_, Known> {
        let mut known = self.known();
        if !known.is_read {
            known.is_read = true;
            known.kept = self.file.as_deref().and_then(|it| read(it, now())).unwrap_or_default();
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
    /// The hash of a file with this stamp. `device`: the one whose stamps are trusted.
    fn hash(&mut self, path: &Path, stamp: &Stamp, device: Option<u64>) -> Result<Hash> {
        let key = (stamp.device, stamp.inode);
        if let Some(entry) = self.kept.entries.get_mut(&key)
            && entry.stamp == *stamp
            && device == Some(stamp.device)
        {
            entry.unused = 0;
            return Ok(entry.hash);
        }
        let (hash, settled) = read_hash(path)?;
        match settled.filter(|it| device == Some(it.device)) {
            Some(stamp) => {
                self.kept.entries.insert((stamp.device, stamp.inode), Entry { stamp, hash, unused: 0 });
                self.is_changed = true;
            }
            None => self.is_changed |= self.kept.entries.remove(&key).is_some(),
        }
        Ok(hash)
    }
}

/// The hash of a file's content and executable bit. Also its stamp, if this content is certainly the one of the stamp.
fn read_hash(path: &Path) -> Result<(Hash, Option<Stamp>)> {
    let context = || format!("read {}", path.display());
    // Before the first byte: every change that is not read has this time or a later one.
    let began = now();
    let mut file = regular::open(path).with_context(context)?;
    let before = Stamp::of_open(file.as_fd()).with_context(context)?;
    let mut hasher = Sha256::new();
    let mut buffer = [0; 1 << 15];
    loop {
        let count = file.read(&mut buffer).with_context(context)?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
    }
    let after = Stamp::of_open(file.as_fd()).with_context(context)?;
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

/// The first bytes of the file. The number is that of the format.
const MAGIC: &[u8] = b"pocdeploy hashes 1\n";
const NUMBERS: usize = 10;
const ENTRY: usize = 8 * NUMBERS + 32;

/// The file: its name, the time of its writing, facts as lines of two words, an empty line, entries of equal length, and a checksum.
fn write(file: &Path, kept: &Kept, now: i128) -> std::io::Result<()> {
    let mut out = Vec::with_capacity(MAGIC.len() + 4096 + ENTRY * kept.entries.len());
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&now.to_le_bytes());
    for (key, fact) in kept.facts.iter().filter(|(_, fact)| !fact.contains('\n')) {
        out.extend_from_slice(format!("{key} {fact}\n").as_bytes());
    }
    out.push(b'\n');
    for entry in kept.entries.values().filter(|it| it.unused < UNUSED) {
        let it = &entry.stamp;
        let (modified, changed) = (it.modified.to_le_bytes(), it.changed.to_le_bytes());
        for number in [it.device, it.inode, it.size, u64::from(it.mode), u64::from(entry.unused) + 1] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&modified);
        out.extend_from_slice(&changed);
        out.extend_from_slice(&[0; 8]);
        out.extend_from_slice(&entry.hash);
    }
    out.extend_from_slice(&checksum(&out).to_le_bytes());
    let folder = file.parent().unwrap_or(Path::new("."));
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(&out)?;
    new.persist(file)?;
    Ok(())
}

/// The entries of the file; `None` if it is missing, torn, of another format, or from the future: then the clock was set back, and times
/// that were clearly earlier may come again.
fn read(file: &Path, now: i128) -> Option<Kept> {
    let bytes = std::fs::read(file).ok()?;
    let (content, sum) = bytes.split_last_chunk::<8>()?;
    if u64::from_le_bytes(*sum) != checksum(content) {
        return None;
    }
    let (written, mut rest) = content.strip_prefix(MAGIC)?.split_first_chunk::<16>()?;
    if i128::from_le_bytes(*written) > now {
        return None;
    }
    let mut facts = Vec::new();
    loop {
        let (line, others) = rest.split_at(rest.iter().position(|it| *it == b'\n')?);
        rest = &others[1..];
        if line.is_empty() {
            break;
        }
        let (key, fact) = std::str::from_utf8(line).ok()?.split_once(' ')?;
        facts.push((key.to_owned(), fact.to_owned()));
    }
    if rest.len() % ENTRY != 0 {
        return None;
    }
    let mut entries = HashMap::with_capacity(rest.len() / ENTRY + 64);
    while let Some((entry, others)) = rest.split_first_chunk::<ENTRY>() {
        rest = others;
        let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|it| entry[8 * at + it]));
        let time = |at: usize| i128::from_le_bytes(std::array::from_fn(|it| entry[8 * at + it]));
        let stamp = Stamp {
            device: number(0),
            inode: number(1),
            size: number(2),
            mode: u32::try_from(number(3)).ok()?,
            modified: time(5),
            changed: time(7),
        };
        let unused = u8::try_from(number(4)).ok()?;
        let hash = std::array::from_fn(|it| entry[8 * NUMBERS + it]);
        entries.insert((stamp.device, stamp.inode), Entry { stamp, hash, unused });
    }
    Some(Kept { entries, facts })
}

/// Recognises a file that is truncated or was partly written. Another version of the compiler may compute another one, which costs one reading.
fn checksum(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests;
