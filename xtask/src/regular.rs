//! Reads the user's files without the risk to hang: a FIFO, socket or device is an error at once.

use std::{
    fs,
    io::{self, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use anyhow::{Context as _, Result};
use walkdir::WalkDir;

pub use filetree::regular::{kind, open};

/// Copies a folder's regular files, which its owner can then write: those of Go's module cache are read-only.
pub fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    for entry in WalkDir::new(from) {
        let entry = entry.with_context(|| format!("read {}", from.display()))?;
        let target = to.join(entry.path().strip_prefix(from)?);
        let written = || format!("write {}", target.display());
        if entry.file_type().is_dir() {
            fs::create_dir_all(&target).with_context(|| format!("make {}", target.display()))?;
        } else if entry.file_type().is_file() {
            fs::copy(entry.path(), &target).with_context(written)?;
            let mut mode = fs::metadata(&target).with_context(written)?.permissions();
            mode.set_mode(mode.mode() | 0o200);
            fs::set_permissions(&target, mode).with_context(written)?;
        }
    }
    Ok(())
}

/// Writes to the disk what was written to the file system of `path`, before a name or a mark says that it is complete: after a loss of power a
/// file that was not flushed may be empty, also if its later rename is there.
pub fn settle(path: &Path) -> Result<()> {
    let synced = fs::File::open(path).and_then(|it| Ok(rustix::fs::syncfs(it)?));
    synced.with_context(|| format!("write {} to the disk", path.display()))
}

/// The whole content of a regular file.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    open(path)?.read_to_end(&mut out)?;
    Ok(out)
}

/// The content of a regular file as text; the error has the position of the first byte that is not UTF-8.
pub fn read_to_string(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let before = &error.as_bytes()[..at];
        let line = before.iter().filter(|it| **it == b'\n').count() + 1;
        let byte = error.as_bytes()[at];
        io::Error::new(io::ErrorKind::InvalidData, format!("line {line} holds the byte 0x{byte:02x}, which is not UTF-8"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifo_without_a_writer_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o600), 0).unwrap();
        assert_eq!(read(&path).unwrap_err().to_string(), "it is a FIFO, not a file");
        assert_eq!(read(dir.path()).unwrap_err().to_string(), "it is a folder, not a file");
    }

    #[test]
    fn a_byte_that_is_no_utf_8_is_named_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("text");
        std::fs::write(&path, b"one\ntwo \xe9\n").unwrap();
        assert_eq!(read_to_string(&path).unwrap_err().to_string(), "line 2 holds the byte 0xe9, which is not UTF-8");
    }
}
