//! Puts a layer's files into another folder of the same disk by hard links to the files in the engine's store, without copying.

use std::{
    fs::{self, FileTimes, Metadata, Permissions},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::Path,
};

use anyhow::{Context as _, Result};
use rustix::{fs::XattrFlags, io::Errno};
use walkdir::WalkDir;

use crate::engine::Layer;

/// The maximum length of the extended attributes that an overlay file system uses.
const ATTRIBUTES: usize = 4096;

impl Layer {
    /// Fills an empty folder with the layer in overlayfs format, including whiteouts. Folders are created with owner, mode, times and
    /// attributes; everything else is a hard link. After an error the folder is incomplete and useless. Fails if the folder is on another
    /// disk. Afterwards neither store may write to the files; layer stores never do.
    pub fn link_into(&self, folder: &Path) -> Result<()> {
        let mut folders = Vec::new();
        for entry in WalkDir::new(&self.files) {
            let entry = entry.with_context(|| format!("read {}", self.files.display()))?;
            let to = folder.join(entry.path().strip_prefix(&self.files)?);
            if entry.file_type().is_dir() {
                if entry.depth() > 0 {
                    fs::create_dir(&to).with_context(|| format!("create {}", to.display()))?;
                }
                folders.push((entry.metadata()?, entry.into_path(), to));
            } else {
                fs::hard_link(entry.path(), &to).with_context(|| format!("link {} to {}", entry.path().display(), to.display()))?;
            }
        }
        // At the end, since creating entries in a folder changes its times.
        for (metadata, from, to) in folders.iter().rev() {
            resemble(from, metadata, to).with_context(|| format!("make {} like {}", to.display(), from.display()))?;
        }
        Ok(())
    }
}

fn resemble(from: &Path, metadata: &Metadata, to: &Path) -> Result<()> {
    chown(to, Some(metadata.uid()), Some(metadata.gid()))?;
    // After the owner, since `chown` clears setuid and setgid bits.
    fs::set_permissions(to, Permissions::from_mode(metadata.mode() & 0o7777))?;
    let mut names = [0; ATTRIBUTES];
    let length = match rustix::fs::listxattr(from, &mut names) {
        Err(Errno::NOTSUP) => 0,
        length => length?,
    };
    for name in names[..length].split(|it| *it == 0).filter(|it| !it.is_empty()) {
        let mut value = [0; ATTRIBUTES];
        let length = rustix::fs::getxattr(from, name, &mut value)?;
        rustix::fs::setxattr(to, name, &value[..length], XattrFlags::empty())?;
    }
    fs::File::open(to)?.set_times(FileTimes::new().set_accessed(metadata.accessed()?).set_modified(metadata.modified()?))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{
        path::PathBuf,
        time::{Duration, SystemTime},
    };

    use super::*;

    #[test]
    fn folders_are_alike_and_files_are_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("diff"), dir.path().join("fs"));
        fs::create_dir_all(from.join("app/sub")).unwrap();
        fs::create_dir(&to).unwrap();
        fs::write(from.join("app/sub/a.py"), "content").unwrap();
        std::os::unix::fs::symlink("nowhere", from.join("app/link")).unwrap();
        fs::set_permissions(from.join("app"), Permissions::from_mode(0o1750)).unwrap();
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        fs::File::open(from.join("app")).unwrap().set_times(FileTimes::new().set_modified(long_ago)).unwrap();
        let layer = Layer { digest: String::new(), chain: String::new(), content: 0, files: from.clone(), shape: PathBuf::new() };
        layer.link_into(&to).unwrap();
        let of = |path: &str| (fs::symlink_metadata(from.join(path)).unwrap(), fs::symlink_metadata(to.join(path)).unwrap());
        for path in ["app/sub/a.py", "app/link"] {
            let (theirs, ours) = of(path);
            assert_eq!((theirs.dev(), theirs.ino()), (ours.dev(), ours.ino()), "{path}");
        }
        for path in ["app", "app/sub"] {
            let (theirs, ours) = of(path);
            assert_ne!(theirs.ino(), ours.ino(), "{path}");
            assert_eq!((theirs.mode(), theirs.uid(), theirs.mtime()), (ours.mode(), ours.uid(), ours.mtime()), "{path}");
        }
        assert_eq!(fs::metadata(to.join("app")).unwrap().modified().unwrap(), long_ago);
    }

    #[test]
    fn what_is_there_already_is_not_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("diff"), dir.path().join("fs"));
        for folder in [&from, &to] {
            fs::create_dir(folder).unwrap();
            fs::write(folder.join("a"), folder.display().to_string()).unwrap();
        }
        let layer = Layer { digest: String::new(), chain: String::new(), content: 0, files: from, shape: PathBuf::new() };
        assert!(layer.link_into(&to).is_err());
        assert_eq!(fs::read_to_string(to.join("a")).unwrap(), to.display().to_string());
    }
}
