//! Build contexts as reproducible tar streams: sorted names, zero times and owners, never as a whole in memory.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use futures_util::{Stream, stream};
use tar::{Builder, EntryType, Header};
use tokio::sync::mpsc;

use crate::dockerfile::{self, Ignore};

/// A part of a context: a file or folder of the host, and its path in the archive (empty: the archive's root).
#[derive(Clone, Debug)]
pub struct Root {
    pub path: PathBuf,
    pub name: String,
    /// Rules for files of the folder to leave out.
    pub ignore: Option<Ignore>,
}

impl Root {
    /// A whole file or folder.
    pub fn whole(path: PathBuf, name: &str) -> Root {
        Root { path, name: name.to_owned(), ignore: None }
    }
}

/// The archive of all roots, written while the receiver reads it.
pub(crate) fn tar_stream(roots: Vec<Root>) -> impl Stream<Item = Result<Bytes, io::Error>> + Send + 'static {
    let (sender, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        let failed = sender.clone();
        let written = write_all(&roots, ChannelWriter { sender, buffer: Vec::with_capacity(CHUNK) });
        if let Err(error) = written {
            // The receiver may have ended already.
            failed.blocking_send(Err(error)).ok();
        }
    });
    receiver_stream(receiver)
}

/// A writer, and the stream of the bytes written to it.
pub(crate) fn pipe() -> (ChannelWriter, impl Stream<Item = Result<Bytes, io::Error>> + Send + 'static) {
    let (sender, receiver) = mpsc::channel(16);
    (ChannelWriter { sender, buffer: Vec::with_capacity(CHUNK) }, receiver_stream(receiver))
}

const CHUNK: usize = 1 << 18;

fn receiver_stream(receiver: mpsc::Receiver<Result<Bytes, io::Error>>) -> impl Stream<Item = Result<Bytes, io::Error>> + Send + 'static {
    stream::unfold(receiver, |mut receiver| async move { receiver.recv().await.map(|item| (item, receiver)) })
}

/// Sends written bytes in chunks; blocks while the receiver is slower.
pub(crate) struct ChannelWriter {
    sender: mpsc::Sender<Result<Bytes, io::Error>>,
    buffer: Vec<u8>,
}

impl ChannelWriter {
    /// Ends the stream with an error, so that the receiver does not accept a truncated archive.
    pub(crate) fn fail(&mut self) {
        let error = io::Error::other("the archive could not be written");
        // The receiver may have ended already.
        self.sender.blocking_send(Err(error)).ok();
    }
}

impl Write for ChannelWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let full = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK));
        self.sender.blocking_send(Ok(Bytes::from(full))).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}

fn write_all(roots: &[Root], out: impl Write) -> io::Result<()> {
    let mut builder = Builder::new(out);
    for root in roots {
        for entry in dockerfile::walk(&root.path, root.ignore.as_ref()).map_err(io::Error::other)? {
            let relative = entry.path().strip_prefix(&root.path).unwrap_or(entry.path());
            // Joining an empty path would add a slash to a file's name, which engines reject.
            let name = if relative.as_os_str().is_empty() { PathBuf::from(&root.name) } else { Path::new(&root.name).join(relative) };
            if name.as_os_str().is_empty() {
                continue;
            }
            append(&mut builder, entry.path(), &name)?;
        }
    }
    builder.into_inner()?.flush()
}

fn append(builder: &mut Builder<impl Write>, path: &Path, name: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    let mut header = Header::new_gnu();
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    if metadata.is_symlink() {
        header.set_entry_type(EntryType::Symlink);
        header.set_mode(0o777);
        return builder.append_link(&mut header, name, fs::read_link(path)?);
    }
    let executable = metadata.permissions().mode() & 0o111 != 0;
    header.set_mode(if metadata.is_dir() || executable { 0o755 } else { 0o644 });
    if metadata.is_dir() {
        header.set_entry_type(EntryType::Directory);
        return builder.append_data(&mut header, name, io::empty());
    }
    header.set_entry_type(EntryType::Regular);
    header.set_size(metadata.len());
    builder.append_data(&mut header, name, fs::File::open(path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_file_keeps_its_name() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("Dockerfile.frontend"), "FROM x").unwrap();
        let mut out = Vec::new();
        write_all(&[Root::whole(dir.path().join("Dockerfile.frontend"), "Dockerfile")], &mut out).unwrap();
        let mut archive = tar::Archive::new(out.as_slice());
        let entry = archive.entries().unwrap().next().unwrap().unwrap();
        assert_eq!(entry.path_bytes().as_ref(), b"Dockerfile");
    }

    #[test]
    fn the_same_content_gives_the_same_bytes() {
        let archive = || {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir(dir.path().join("app")).unwrap();
            fs::write(dir.path().join("app/b.py"), "b").unwrap();
            fs::write(dir.path().join("app/a.py"), "a").unwrap();
            let mut out = Vec::new();
            write_all(&[Root::whole(dir.path().to_owned(), "")], &mut out).unwrap();
            out
        };
        let first = archive();
        assert_eq!(first, archive());

        let names: Vec<String> =
            tar::Archive::new(first.as_slice()).entries().unwrap().map(|it| it.unwrap().path().unwrap().display().to_string()).collect();
        assert_eq!(names, ["app", "app/a.py", "app/b.py"]);
    }

    #[test]
    fn a_single_file_has_the_name_that_it_was_given() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("Dockerfile.frontend");
        fs::write(&path, "FROM scratch").unwrap();
        let mut out = Vec::new();
        write_all(&[Root::whole(path, "Dockerfile")], &mut out).unwrap();
        let names: Vec<Vec<u8>> =
            tar::Archive::new(out.as_slice()).entries().unwrap().map(|it| it.unwrap().path_bytes().into_owned()).collect();
        assert_eq!(names, [b"Dockerfile".to_vec()]);
    }
}
