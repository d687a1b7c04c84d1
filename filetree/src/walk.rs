//! Lists the files of a tree, and if wanted the state that the file system has of each: then it needs one system call for each file.

use std::{
    ffi::{CStr, OsStr, OsString},
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, Stat};

/// What a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Folder,
    File,
    Link,
    /// A FIFO, socket or device.
    Other,
}

/// The state of a file. The system changes `changed` with each change of content, mode or links, and no program can set it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub device: u64,
    pub inode: u64,
    pub size: u64,
    pub mode: u32,
    /// Nanoseconds since 1970: mtime.
    pub modified: i128,
    /// Nanoseconds since 1970: ctime.
    pub changed: i128,
}

/// A file, symbolic link or other entry that is no folder.
#[derive(Clone, Debug)]
pub struct Found {
    /// Relative to the root of the walk.
    pub path: PathBuf,
    pub kind: Kind,
}

/// Which entries a walk passes over, with all that is below them. The root is never passed over.
#[derive(Clone, Copy, Debug, Default)]
pub struct Passed<'a> {
    /// Names of files and folders.
    pub names: &'a [&'a str],
    /// Ends of names.
    pub endings: &'a [&'a str],
    /// Last components of an absolute path.
    pub tails: &'a [&'a str],
    /// Paths relative to the root.
    pub paths: &'a [PathBuf],
}

impl Passed<'_> {
    fn over(&self, name: &[u8], root: &Path, path: &Path) -> bool {
        let is_tail = |tail: &str| Path::new(tail).file_name().is_some_and(|it| it.as_bytes() == name) && root.join(path).ends_with(tail);
        self.names.iter().any(|it| it.as_bytes() == name)
            || self.endings.iter().any(|it| name.ends_with(it.as_bytes()))
            || self.tails.iter().any(|it| is_tail(it))
            || self.paths.iter().any(|it| it == path)
    }
}

/// Decides about a path relative to the root; `true` for folders. It is asked for each folder before its content.
pub type Keep<'a> = dyn FnMut(&Path, bool) -> bool + 'a;

/// All entries below `root` that are no folders, sorted by name within each folder. Follows no symbolic link but `root` itself. An entry
/// that is deleted meanwhile is passed over; a folder that cannot be read is an error.
pub fn walk(root: &Path, passed: &Passed<'_>, keep: Option<&mut Keep<'_>>) -> Result<Vec<Found>> {
    let mut out = Vec::new();
    visit(root, passed, keep, false, &mut |entry| {
        out.push(Found { path: entry.path, kind: entry.kind });
        Ok(())
    })?;
    Ok(out)
}

/// An entry of a walk, in its folder, which is open.
pub(crate) struct Entry<'a> {
    pub(crate) folder: BorrowedFd<'a>,
    pub(crate) name: &'a CStr,
    pub(crate) path: PathBuf,
    pub(crate) kind: Kind,
    /// Its state, if the walk asked for it.
    pub(crate) stamp: Option<Stamp>,
}

/// The same walk: hands over each entry that is no folder. Without `has_stamps` it asks the system for no file's state.
pub(crate) fn visit(
    root: &Path,
    passed: &Passed<'_>,
    keep: Option<&mut Keep<'_>>,
    has_stamps: bool,
    each: &mut dyn FnMut(Entry<'_>) -> Result<()>,
) -> Result<()> {
    let folder = rustix::fs::openat(CWD, root, FOLDER, Mode::empty()).with_context(|| format!("read {}", root.display()))?;
    Walk { root, passed, keep, has_stamps, each }.below(folder, Path::new(""))
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

struct Walk<'a, 'b> {
    root: &'a Path,
    passed: &'a Passed<'a>,
    keep: Option<&'a mut Keep<'b>>,
    has_stamps: bool,
    each: &'a mut dyn FnMut(Entry<'_>) -> Result<()>,
}

impl Walk<'_, '_> {
    fn below(&mut self, folder: OwnedFd, here: &Path) -> Result<()> {
        let shown = || format!("read {}", self.root.join(here).display());
        // All names behind each other, each with its zero at the end, and where each begins.
        let mut text: Vec<u8> = Vec::new();
        let mut names: Vec<(std::ops::Range<usize>, FileType)> = Vec::new();
        let mut buffer = Vec::with_capacity(1 << 15);
        let mut entries = RawDir::new(folder.as_fd(), buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry.with_context(shown)?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                let began = text.len();
                text.extend_from_slice(entry.file_name().to_bytes_with_nul());
                names.push((began..text.len(), entry.file_type()));
            }
        }
        drop(buffer);
        // The zero is the least byte, so that it changes nothing in their order.
        names.sort_unstable_by(|(one, _), (other, _)| text[one.clone()].cmp(&text[other.clone()]));
        for (place, listed) in names {
            let name = CStr::from_bytes_with_nul(&text[place]).unwrap_or_default();
            let path = joined(here, name);
            if self.passed.over(name.to_bytes(), self.root, &path) {
                continue;
            }
            // Some file systems list no types. A folder needs no more than its type.
            let state = match listed {
                FileType::Directory => None,
                FileType::RegularFile | FileType::Symlink if !self.has_stamps => None,
                _ => match rustix::fs::statat(folder.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(state) => Some(state),
                    Err(rustix::io::Errno::NOENT) => continue,
                    Err(error) => return Err(error).with_context(|| format!("read {}", self.root.join(&path).display())),
                },
            };
            let kind = kind(state.as_ref().map_or(listed, |it| FileType::from_raw_mode(it.st_mode)));
            if !self.keep.as_mut().is_none_or(|keep| keep(&path, kind == Kind::Folder)) {
                continue;
            }
            if kind != Kind::Folder {
                let stamp = state.as_ref().map(Stamp::of);
                (self.each)(Entry { folder: folder.as_fd(), name, path, kind, stamp })?;
                continue;
            }
            match inner(folder.as_fd(), name) {
                Ok(inner) => self.below(inner, &path)?,
                Err(rustix::io::Errno::NOENT) => {}
                Err(error) => return Err(error).with_context(|| format!("read {}", self.root.join(&path).display())),
            }
        }
        Ok(())
    }
}

/// A path and a name below it, in one allocation.
fn joined(path: &Path, name: &CStr) -> PathBuf {
    let (path, name) = (path.as_os_str(), OsStr::from_bytes(name.to_bytes()));
    let mut out = OsString::with_capacity(path.len() + 1 + name.len());
    out.push(path);
    if !path.is_empty() {
        out.push("/");
    }
    out.push(name);
    out.into()
}

fn inner(folder: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<OwnedFd> {
    rustix::fs::openat(folder, name, FOLDER | OFlags::NOFOLLOW, Mode::empty())
}

fn kind(of: FileType) -> Kind {
    match of {
        FileType::Directory => Kind::Folder,
        FileType::RegularFile => Kind::File,
        FileType::Symlink => Kind::Link,
        _ => Kind::Other,
    }
}

impl Stamp {
    /// Whether it is that of a regular file.
    pub(crate) fn is_file(&self) -> bool {
        FileType::from_raw_mode(self.mode) == FileType::RegularFile
    }

    /// The state of an open file.
    pub fn of_open(file: impl AsFd) -> io::Result<Stamp> {
        Ok(Stamp::of(&rustix::fs::fstat(file)?))
    }

    #[allow(clippy::unnecessary_cast, reason = "the fields' types differ between platforms")]
    fn of(state: &Stat) -> Stamp {
        let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        Stamp {
            device: state.st_dev as u64,
            inode: state.st_ino as u64,
            size: state.st_size as u64,
            mode: state.st_mode as u32,
            modified: nanoseconds(state.st_mtime as i64, state.st_mtime_nsec as i64),
            changed: nanoseconds(state.st_ctime as i64, state.st_ctime_nsec as i64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn paths(root: &Path, passed: &Passed<'_>, keep: Option<&mut Keep<'_>>) -> Vec<String> {
        walk(root, passed, keep).unwrap().into_iter().map(|it| it.path.display().to_string()).collect()
    }

    #[test]
    fn files_are_listed_in_the_order_of_names_and_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        for file in ["b/y.py", "b/x.py", "a.py", "b.py", "z/deep/er/1"] {
            fs::create_dir_all(dir.path().join(file).parent().unwrap()).unwrap();
            fs::write(dir.path().join(file), "x").unwrap();
        }
        std::os::unix::fs::symlink("b", dir.path().join("link")).unwrap();
        std::os::unix::fs::symlink(".", dir.path().join("b/loop")).unwrap();
        // The folder `b` comes before the file `b.py`, as its name does.
        let all = ["a.py", "b/loop", "b/x.py", "b/y.py", "b.py", "link", "z/deep/er/1"];
        assert_eq!(paths(dir.path(), &Passed::default(), None), all);
        assert_eq!(paths(&dir.path().join("link"), &Passed::default(), None), ["loop", "x.py", "y.py"]);
        let passed = Passed { names: &["deep"], endings: &[".py"], tails: &["b/loop"], paths: &[PathBuf::from("link")] };
        assert_eq!(paths(dir.path(), &passed, None), Vec::<String>::new());
        let mut asked = Vec::new();
        let mut keep = |path: &Path, is_folder: bool| {
            asked.push(format!("{}{}", path.display(), if is_folder { "/" } else { "" }));
            path != Path::new("b")
        };
        assert_eq!(paths(dir.path(), &Passed::default(), Some(&mut keep)), ["a.py", "b.py", "link", "z/deep/er/1"]);
        assert_eq!(asked, ["a.py", "b/", "b.py", "link", "z/", "z/deep/", "z/deep/er/", "z/deep/er/1"]);
        assert!(walk(&dir.path().join("absent"), &Passed::default(), None).is_err());
    }
}
