//! Reads a file once, for its hash and for those who want its content, and tells whether the hash may be remembered.

use std::{
    ffi::CStr,
    io,
    os::fd::{AsFd, BorrowedFd},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};
use sha2::{Digest as _, Sha256};

use super::Hash;
use crate::{regular, walk::Stamp};

/// The room that a reader brings: nearly every file of source is read by one system call.
pub(super) const BUFFER: usize = 1 << 16;

/// Linux stamps files with the time of its last tick, at most 10 ms ago (`CONFIG_HZ=100`).
pub(super) const STEP: i128 = 20_000_000;
/// File systems without fractions of a second, such as ext4 with small inodes: their times have none.
const WHOLE_STEP: i128 = 2_000_000_000;

/// A file that was read to its end.
pub(super) struct Content {
    /// Of content and executable bit.
    pub(super) hash: Hash,
    /// The file's state after the last byte.
    pub(super) stamp: Stamp,
    /// Whether this content is certainly the one of the stamp.
    pub(super) is_settled: bool,
}

/// Reads a file of an open folder; `None` if it is gone. `before` is its state, if it was asked for. Afterwards `buffer` has the content if it
/// is wanted.
pub(super) fn in_folder(
    folder: BorrowedFd<'_>,
    name: &CStr,
    before: Option<&Stamp>,
    buffer: &mut Vec<u8>,
    is_wanted: bool,
) -> io::Result<Option<Content>> {
    let began = now();
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOFOLLOW;
    match rustix::fs::openat(folder, name, flags, Mode::empty()) {
        Ok(file) => content(file, before, began, buffer, is_wanted).map(Some),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Reads a file; follows symbolic links.
pub(super) fn at(path: &Path, buffer: &mut Vec<u8>) -> io::Result<Content> {
    // Before the first byte: every change that is not read has this time or a later one.
    let began = now();
    content(regular::open(path)?, None, began, buffer, false)
}

fn content(file: impl AsFd, before: Option<&Stamp>, began: i128, buffer: &mut Vec<u8>, is_wanted: bool) -> io::Result<Content> {
    let mut hasher = Sha256::new();
    let mut length = 0;
    buffer.clear();
    let after = loop {
        if buffer.len() == buffer.capacity() {
            // What is not a file may have no end.
            regular::check(&Stamp::of_open(&file)?)?;
            if is_wanted {
                buffer.reserve(BUFFER);
            } else {
                hasher.update(&buffer);
                buffer.clear();
            }
        }
        let count = rustix::io::retry_on_intr(|| rustix::io::read(&file, rustix::buffer::spare_capacity(buffer)))?;
        length += count as u64;
        // A file is read to its end when it is as long as it now is: one more read would tell the same.
        if buffer.len() < buffer.capacity() {
            let now = Stamp::of_open(&file)?;
            regular::check(&now)?;
            if count == 0 || now.size == length {
                break now;
            }
        }
    };
    hasher.update(&buffer);
    if after.mode & 0o111 != 0 {
        hasher.update(b"\0executable");
    }
    // A change during the reading has left a time that is not clearly earlier than its begin.
    let is_settled = before.is_none_or(|it| *it == after) && is_settled(&after, began);
    Ok(Content { hash: hasher.finalize().into(), stamp: after, is_settled })
}

/// Whether every later change gives the file another stamp: its times are clearly earlier than the moment `now`.
pub(super) fn is_settled(stamp: &Stamp, now: i128) -> bool {
    let step = if stamp.changed % 1_000_000_000 == 0 { WHOLE_STEP } else { STEP };
    stamp.modified < now - step && stamp.changed < now - step
}

/// Nanoseconds since 1970 by the clock of this machine.
pub(super) fn now() -> i128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i128::try_from(since.as_nanos()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::{ffi::CString, fs, fs::File};

    use super::*;

    fn read(folder: &File, name: &str, before: Option<&Stamp>, is_wanted: bool) -> io::Result<Option<(Content, Vec<u8>)>> {
        let mut buffer = Vec::with_capacity(BUFFER);
        let found = in_folder(folder.as_fd(), &CString::new(name).unwrap(), before, &mut buffer, is_wanted)?;
        Ok(found.map(|it| (it, buffer)))
    }

    #[test]
    fn files_of_every_length_are_read_whole_and_what_is_none_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let folder = File::open(dir.path()).unwrap();
        for length in [0, 1, BUFFER - 1, BUFFER, BUFFER + 1, 3 * BUFFER] {
            let bytes: Vec<u8> = (0..length).map(|it| (it % 251) as u8).collect();
            fs::write(dir.path().join("a"), &bytes).unwrap();
            let hash: Hash = Sha256::digest(&bytes).into();
            let (found, content) = read(&folder, "a", None, true).unwrap().unwrap();
            assert!(found.hash == hash && content == bytes, "{length}");
            assert!(read(&folder, "a", None, false).unwrap().unwrap().0.hash == hash, "{length}");
            assert_eq!(found.stamp, Stamp::of_open(File::open(dir.path().join("a")).unwrap()).unwrap());
        }
        assert!(read(&folder, "absent", None, false).unwrap().is_none());
        std::os::unix::fs::symlink("a", dir.path().join("link")).unwrap();
        rustix::fs::mkfifoat(&folder, "fifo", Mode::RWXU).unwrap();
        for name in ["link", "fifo", "."] {
            assert!(read(&folder, name, None, false).is_err(), "{name}");
        }
        // A device has no end, and a name in /dev may come in the place of a file.
        assert!(read(&File::open("/dev").unwrap(), "zero", None, true).is_err());
    }

    #[test]
    fn a_file_that_was_in_another_state_before_is_not_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, path) = (File::open(dir.path()).unwrap(), dir.path().join("a"));
        fs::write(&path, "one").unwrap();
        std::thread::sleep(std::time::Duration::from_millis(60));
        let state = Stamp::of_open(File::open(&path).unwrap()).unwrap();
        let is_settled = |before: Option<&Stamp>| read(&folder, "a", before, false).unwrap().unwrap().0.is_settled;
        assert!(is_settled(None) && is_settled(Some(&state)));
        assert!(!is_settled(Some(&Stamp { changed: state.changed - 1, ..state })));
        // What was written after the begin of the reading has a later time.
        let began = now();
        let file = File::open(&path).unwrap();
        fs::write(&path, "two").unwrap();
        std::thread::sleep(std::time::Duration::from_millis(60));
        assert!(!content(&file, None, began, &mut Vec::with_capacity(BUFFER), false).unwrap().is_settled);
        assert!(content(File::open(&path).unwrap(), None, now(), &mut Vec::with_capacity(BUFFER), false).unwrap().is_settled);
    }
}
