//! An image's files as one tar stream, from archives, programs and text.
//!
//! Engines reject an archive with a duplicate path; here a duplicate path is an error with its name, except for folders.

use std::{
    cell::Cell,
    collections::{HashMap, HashSet},
    fs::File,
    io::{self, BufReader, Read, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use tar::{Builder, EntryType, Header};

use crate::errors::{Code, Problem};

/// Writes entries, each after its parent folders.
pub(super) struct Archive<'a> {
    builder: Builder<Counted<'a>>,
    written: HashSet<PathBuf>,
    /// The path in the archive of each program of this machine.
    programs: HashMap<PathBuf, String>,
}

impl<'a> Archive<'a> {
    /// Calls `progress` regularly with the number of bytes written.
    pub(super) fn new(out: &'a mut (dyn Write + 'a), progress: &'a dyn Fn(u64)) -> Archive<'a> {
        let counted = Counted { out, bytes: 0, said: Cell::new(0), progress };
        Archive { builder: Builder::new(counted), written: HashSet::new(), programs: HashMap::new() }
    }

    pub(super) fn finish(self) -> Result<()> {
        self.builder.into_inner().and_then(|mut it| it.flush()).context("write the image's files")
    }

    pub(super) fn folder(&mut self, path: &str, mode: u32) -> Result<()> {
        if self.claim(Path::new(path), true)? {
            self.builder.append_data(&mut header(EntryType::Directory, mode, 0), path, io::empty()).with_context(|| writing(path))?;
        }
        Ok(())
    }

    pub(super) fn text(&mut self, path: &str, mode: u32, content: &[u8]) -> Result<()> {
        self.claim(Path::new(path), false)?;
        let mut header = header(EntryType::Regular, mode, content.len() as u64);
        self.builder.append_data(&mut header, path, content).with_context(|| writing(path))
    }

    /// An executable file of this machine. A file that is in the archive already, or to which `from` is another link, becomes a hard link: it
    /// takes its space once, and its pages are in memory once for all processes, in whatever container they run.
    pub(super) fn program(&mut self, path: &str, from: &Path) -> Result<()> {
        let from = &from.canonicalize().with_context(|| format!("read {}", from.display()))?;
        if let Some(first) = self.programs.get(from).cloned() {
            return self.hard_link(path, &first);
        }
        self.programs.insert(from.clone(), path.to_owned());
        self.claim(Path::new(path), false)?;
        let file = File::open(from).with_context(|| format!("read {}", from.display()))?;
        let mut header = header(EntryType::Regular, 0o755, file.metadata()?.len());
        self.builder.append_data(&mut header, path, file).with_context(|| writing(path))
    }

    pub(super) fn symlink(&mut self, path: &str, target: &str) -> Result<()> {
        self.claim(Path::new(path), false)?;
        self.builder.append_link(&mut header(EntryType::Symlink, 0o777, 0), path, target).with_context(|| writing(path))
    }

    /// A hard link to a file of this archive.
    pub(super) fn hard_link(&mut self, path: &str, target: &str) -> Result<()> {
        self.claim(Path::new(path), false)?;
        self.builder.append_link(&mut header(EntryType::Link, 0o755, 0), path, target).with_context(|| writing(path))
    }

    /// A root file system below `prefix`, without paths that begin with one of `without`, and without devices.
    pub(super) fn rootfs(&mut self, from: &Path, prefix: &str, without: &[&str]) -> Result<()> {
        each(from, |entry| {
            let path = inner(&entry.path()?)?;
            if path.is_empty() || without.iter().any(|it| path.starts_with(it)) {
                return Ok(());
            }
            let kind = entry.header().entry_type();
            let target = entry.link_name()?.map(|it| it.into_owned());
            let mut header = header(kind, entry.header().mode()?, entry.size());
            header.set_uid(entry.header().uid()?);
            header.set_gid(entry.header().gid()?);
            header.set_mtime(entry.header().mtime()?);
            let name = format!("{prefix}{path}");
            if kind.is_dir() && !self.claim(Path::new(&name), true)? {
                return Ok(());
            }
            match (kind, target) {
                (EntryType::Directory, _) => self.builder.append_data(&mut header, &name, io::empty())?,
                (EntryType::Symlink, Some(target)) => {
                    self.claim(Path::new(&name), false)?;
                    self.builder.append_link(&mut header, &name, target)?;
                }
                (EntryType::Link, Some(target)) => {
                    self.claim(Path::new(&name), false)?;
                    let target = format!("{prefix}{}", inner(&target)?);
                    header.set_size(0);
                    self.builder.append_link(&mut header, &name, target)?;
                }
                (EntryType::Regular | EntryType::Continuous, _) => {
                    self.claim(Path::new(&name), false)?;
                    self.builder.append_data(&mut header, &name, entry)?;
                }
                _ => {}
            }
            Ok(())
        })
        .with_context(|| format!("copy {}", from.display()))
    }

    /// Records a path and writes its parent folders; false for a folder that exists already.
    fn claim(&mut self, path: &Path, folder: bool) -> Result<bool> {
        if self.written.contains(path) {
            if folder {
                return Ok(false);
            }
            return Err(Problem::new(format!("the recipes put {} into an image twice", path.display())).code(Code::Recipe).into());
        }
        let mut above: Vec<&Path> = path.ancestors().skip(1).filter(|it| !it.as_os_str().is_empty()).collect();
        above.reverse();
        for folder in above {
            if self.written.insert(folder.to_owned()) {
                self.builder.append_data(&mut header(EntryType::Directory, 0o755, 0), folder, io::empty())?;
            }
        }
        self.written.insert(path.to_owned());
        Ok(true)
    }
}

/// Files of an archive, with their paths.
pub(super) fn read_files(from: &Path, wanted: &[&str]) -> Result<Vec<(String, Vec<u8>)>> {
    let mut out = Vec::new();
    each(from, |entry| {
        let path = inner(&entry.path()?)?;
        if wanted.contains(&path.as_str()) {
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            out.push((path, content));
        }
        Ok(())
    })
    .with_context(|| format!("read {}", from.display()))?;
    match wanted.iter().find(|it| !out.iter().any(|(path, _)| path == *it)) {
        Some(missing) => Err(Problem::new(format!("{} has no file {missing}", from.display())).code(Code::Recipe).into()),
        None => Ok(out),
    }
}

type Entry<'a> = tar::Entry<'a, BufReader<File>>;

fn each(from: &Path, mut take: impl FnMut(&mut Entry<'_>) -> Result<()>) -> Result<()> {
    let mut archive = tar::Archive::new(BufReader::with_capacity(1 << 18, File::open(from)?));
    for entry in archive.entries()? {
        take(&mut entry?)?;
    }
    Ok(())
}

/// A path in an archive, without leading `./` and trailing `/`.
fn inner(path: &Path) -> Result<String> {
    let text = path.to_str().with_context(|| format!("the name {} is not UTF-8", path.display()))?;
    let text = text.trim_start_matches("./").trim_matches('/');
    Ok(if text == "." { String::new() } else { text.to_owned() })
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

fn writing(path: &str) -> String {
    format!("write {path}")
}

struct Counted<'a> {
    out: &'a mut (dyn Write + 'a),
    bytes: u64,
    said: Cell<u64>,
    progress: &'a dyn Fn(u64),
}

const SAY_EACH: u64 = 20_000_000;

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.bytes += count as u64;
        if self.bytes - self.said.get() >= SAY_EACH {
            self.said.set(self.bytes);
            (self.progress)(self.bytes);
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(bytes: &[u8]) -> Vec<(String, EntryType)> {
        let mut archive = tar::Archive::new(bytes);
        archive
            .entries()
            .unwrap()
            .map(|it| {
                let it = it.unwrap();
                (it.path().unwrap().display().to_string(), it.header().entry_type())
            })
            .collect()
    }

    fn small_root(dir: &Path) -> PathBuf {
        let path = dir.join("root.tar");
        let mut builder = Builder::new(File::create(&path).unwrap());
        builder.append_data(&mut header(EntryType::Directory, 0o1777, 0), "./tmp", io::empty()).unwrap();
        builder.append_data(&mut header(EntryType::Regular, 0o755, 2), "./usr/bin/a", &b"aa"[..]).unwrap();
        builder.append_link(&mut header(EntryType::Link, 0o755, 0), "./usr/bin/b", "./usr/bin/a").unwrap();
        builder.append_data(&mut header(EntryType::Char, 0o666, 0), "./dev/null", io::empty()).unwrap();
        builder.append_data(&mut header(EntryType::Regular, 0o644, 1), "./var/log/x", &b"x"[..]).unwrap();
        builder.finish().unwrap();
        path
    }

    #[test]
    fn a_program_of_several_names_is_in_the_archive_once() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("all"), "program").unwrap();
        std::os::unix::fs::symlink("all", dir.path().join("kubelet")).unwrap();
        let mut out = Vec::new();
        let mut archive = Archive::new(&mut out, &|_| ());
        archive.program("bin/kubelet", &dir.path().join("kubelet")).unwrap();
        archive.program("bin/etcd", &dir.path().join("all")).unwrap();
        assert!(archive.program("bin/etcd", &dir.path().join("all")).is_err(), "a path that is there already");
        archive.finish().unwrap();
        let names = names(&out);
        let (first, second) = (("bin/kubelet".to_owned(), EntryType::Regular), ("bin/etcd".to_owned(), EntryType::Link));
        assert_eq!(names[1..], [first, second]);
        let at = dir.path().join("unpacked");
        tar::Archive::new(out.as_slice()).unpack(&at).unwrap();
        assert_eq!(std::fs::read_to_string(at.join("bin/etcd")).unwrap(), "program");
    }

    #[test]
    fn a_root_file_system_moves_below_a_prefix_with_its_links() {
        let dir = tempfile::tempdir().unwrap();
        let root = small_root(dir.path());
        let mut out = Vec::new();
        let mut archive = Archive::new(&mut out, &|_| ());
        archive.rootfs(&root, "layers/1/fs/", &["var/log/"]).unwrap();
        archive.finish().unwrap();
        let names: Vec<String> = names(&out).into_iter().map(|(name, _)| name).collect();
        assert_eq!(
            names,
            [
                "layers",
                "layers/1",
                "layers/1/fs",
                "layers/1/fs/tmp",
                "layers/1/fs/usr",
                "layers/1/fs/usr/bin",
                "layers/1/fs/usr/bin/a",
                "layers/1/fs/usr/bin/b"
            ]
        );
        let mut archive = tar::Archive::new(out.as_slice());
        let links: Vec<PathBuf> =
            archive.entries().unwrap().filter_map(|it| it.unwrap().link_name().unwrap().map(|it| it.into_owned())).collect();
        assert_eq!(links, [PathBuf::from("layers/1/fs/usr/bin/a")]);
    }

    #[test]
    fn a_path_that_comes_twice_is_named() {
        let mut out = Vec::new();
        let mut archive = Archive::new(&mut out, &|_| ());
        archive.folder("etc", 0o755).unwrap();
        archive.folder("etc", 0o755).unwrap();
        archive.text("etc/a", 0o644, b"").unwrap();
        assert!(archive.text("etc/a", 0o644, b"").unwrap_err().to_string().contains("etc/a"));
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let root = small_root(dir.path());
        assert_eq!(read_files(&root, &["usr/bin/a"]).unwrap()[0].1, b"aa");
        assert!(read_files(&root, &["usr/bin/z"]).unwrap_err().to_string().contains("usr/bin/z"));
    }
}
