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
    open_with_stamp(path).map(|(file, _)| file)
}

/// The same, and the state of the open file.
pub(crate) fn open_with_stamp(path: &Path) -> io::Result<(File, Stamp)> {
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let stamp = Stamp::of_open(&file)?;
    if stamp.is_file() {
        return Ok((file, stamp));
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it is {}, not a file", kind(file.metadata()?.file_type()))))
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
