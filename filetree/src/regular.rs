//! Opens the user's files without the risk to hang: a FIFO, socket or device is an error at once.

use std::{
    fs::{File, FileType, OpenOptions},
    io,
    os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _},
    path::Path,
};

use crate::walk::Stamp;

/// Opens a regular file for reading; follows symbolic links. Does not wait for the other end of a FIFO.
pub fn open(path: &Path) -> io::Result<File> {
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let state = file.metadata()?;
    if state.is_file() { Ok(file) } else { Err(no_file(kind(state.file_type()))) }
}

/// An error if it is the state of something else than a regular file.
pub(crate) fn check(stamp: &Stamp) -> io::Result<()> {
    if stamp.is_file() { Ok(()) } else { Err(no_file("something else")) }
}

fn no_file(kind: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("it is {kind}, not a file"))
}

/// A description of something that is not a regular file.
pub fn kind(file_type: FileType) -> &'static str {
    if file_type.is_dir() {
        "a folder"
    } else if file_type.is_fifo() {
        "a FIFO"
    } else if file_type.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}
