//! Changes of files as the kernel tells them (inotify), so that a watch costs nothing while nothing changes.

use std::{
    collections::{BTreeSet, HashMap},
    ffi::{OsStr, OsString},
    fs,
    mem::MaybeUninit,
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    path::{Path, PathBuf},
    rc::Rc,
};

use rustix::{
    fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags},
    io::Errno,
};

use super::watch::{Root, entries, is_passing};

/// What was told since the last question.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    Nothing,
    /// Only these files may have changed.
    Files(BTreeSet<PathBuf>),
    /// Folders changed, or the kernel's queue has overflowed: everything must be looked at, and watched again.
    More,
}

/// A watch over all folders below some roots, and over the folders that the roots are in.
pub(super) struct Events {
    queue: OwnedFd,
    folders: HashMap<i32, Folder>,
}

struct Folder {
    path: PathBuf,
    /// The names of roots in it.
    named: BTreeSet<OsString>,
    /// For each root that it is below: the tool's own paths, which do not count for this root.
    below: Vec<Rc<[PathBuf]>>,
}

const CHANGES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

impl Events {
    /// Begins to watch. `NOSPC`: the user's limit of watches (`fs.inotify.max_user_watches`) is reached; `MFILE`: that of queues.
    pub(super) fn of(roots: &[Root]) -> Result<Events, Errno> {
        let queue = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let mut out = Events { queue, folders: HashMap::new() };
        for root in roots {
            if let (Some(parent), Some(name)) = (root.path.parent(), root.path.file_name()) {
                // A root that does not exist yet may be made with the folders above it.
                let mut there = (parent, name);
                while let (false, Some(above), Some(name)) = (there.0.is_dir(), there.0.parent(), there.0.file_name()) {
                    there = (above, name);
                }
                if let Some(folder) = out.add(there.0)? {
                    folder.named.insert(there.1.to_owned());
                }
            }
            let own: Rc<[PathBuf]> = root.own.clone().into();
            for folder in entries(root).filter(|it| it.path().is_dir() && (it.depth() == 0 || it.file_type().is_dir())) {
                if let Some(folder) = out.add(folder.path())? {
                    folder.below.push(own.clone());
                }
            }
        }
        Ok(out)
    }

    /// Watches a folder; `None` if it was deleted meanwhile, which the folder above tells.
    fn add(&mut self, path: &Path) -> Result<Option<&mut Folder>, Errno> {
        match inotify::add_watch(&self.queue, path, CHANGES) {
            // The same folder has the same number again.
            Ok(id) => {
                let new = || Folder { path: path.to_owned(), named: BTreeSet::new(), below: Vec::new() };
                Ok(Some(self.folders.entry(id).or_insert_with(new)))
            }
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All that was told since the last call; does not wait.
    pub(super) fn take(&self) -> Told {
        let mut buffer = [MaybeUninit::uninit(); 1 << 14];
        let mut reader = Reader::new(&self.queue, &mut buffer);
        let mut files = BTreeSet::new();
        let mut more = false;
        loop {
            match reader.next() {
                Ok(event) => {
                    let name = event.file_name().map(|it| OsStr::from_bytes(it.to_bytes()));
                    match self.judge(event.wd(), event.events(), name) {
                        Told::Nothing => {}
                        Told::Files(path) => files.extend(path),
                        Told::More => more = true,
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => break,
                Err(_) => return Told::More,
            }
        }
        match (more, files.is_empty()) {
            (true, _) => Told::More,
            (false, true) => Told::Nothing,
            (false, false) => Told::Files(files),
        }
    }

    fn judge(&self, id: i32, what: ReadFlags, name: Option<&OsStr>) -> Told {
        if what.intersects(ReadFlags::QUEUE_OVERFLOW | ReadFlags::UNMOUNT) {
            return Told::More;
        }
        let Some(folder) = self.folders.get(&id) else { return Told::Nothing };
        let Some(name) = name else {
            // The folder itself.
            return if what.intersects(ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF) { Told::More } else { Told::Nothing };
        };
        let path = folder.path.join(name);
        let is_below = || !is_passing(&name.to_string_lossy()) && folder.below.iter().any(|own| !own.contains(&path));
        let counts = folder.named.contains(name) || is_below();
        if !counts {
            return Told::Nothing;
        }
        let comes_or_goes = ReadFlags::CREATE | ReadFlags::DELETE | ReadFlags::MOVED_FROM | ReadFlags::MOVED_TO;
        if what.contains(ReadFlags::ISDIR) {
            return if what.intersects(comes_or_goes) { Told::More } else { Told::Nothing };
        }
        // A link may be a root that leads to a folder.
        if fs::symlink_metadata(&path).is_ok_and(|it| it.is_symlink()) { Told::More } else { Told::Files(BTreeSet::from([path])) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(path: &Path, own: &[&str]) -> Root {
        Root { path: path.to_owned(), own: own.iter().map(|it| path.join(it)).collect() }
    }

    #[test]
    fn saves_of_every_kind_are_told_with_their_file_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        let app = dir.path().join("app");
        for folder in ["pkg/deep", "own", "__pycache__"] {
            fs::create_dir_all(app.join(folder)).unwrap();
        }
        for file in ["pkg/a.py", "pkg/deep/b.py", "own/x", "pins"] {
            fs::write(app.join(file), "1").unwrap();
        }
        // The file is the tool's own for the one root, and another root.
        let events = Events::of(&[root(&app, &["own", "pins", "settings"]), root(&app.join("settings"), &[])]).unwrap();
        let files = |names: &[&str]| Told::Files(names.iter().map(|it| app.join(it)).collect());
        assert_eq!(events.take(), Told::Nothing);
        fs::write(app.join("pkg/deep/b.py"), "2").unwrap();
        assert_eq!(events.take(), files(&["pkg/deep/b.py"]));
        assert_eq!(events.take(), Told::Nothing);
        // An editor writes beside the file, and gives it the name.
        fs::write(app.join("pkg/.a.py.swp"), "2").unwrap();
        assert_eq!(events.take(), Told::Nothing);
        fs::rename(app.join("pkg/.a.py.swp"), app.join("pkg/a.py")).unwrap();
        assert_eq!(events.take(), files(&["pkg/a.py"]));
        fs::rename(app.join("pkg/a.py"), app.join("pkg/deep/c.py")).unwrap();
        assert_eq!(events.take(), files(&["pkg/a.py", "pkg/deep/c.py"]));
        fs::remove_file(app.join("pkg/deep/c.py")).unwrap();
        fs::write(app.join("settings"), "1").unwrap();
        assert_eq!(events.take(), files(&["pkg/deep/c.py", "settings"]));
        for name in ["pins", "own/x", "__pycache__/a.pyc", "pkg/a.py~"] {
            fs::write(app.join(name), "2").unwrap();
        }
        fs::write(dir.path().join("beside"), "1").unwrap();
        assert_eq!(events.take(), Told::Nothing);
        // Version control sets times.
        fs::File::open(app.join("pkg/deep/b.py")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        assert_eq!(events.take(), files(&["pkg/deep/b.py"]));
    }

    #[test]
    fn folders_that_come_and_go_and_a_full_queue_ask_for_a_look_at_everything() {
        let dir = tempfile::tempdir().unwrap();
        let (app, later) = (dir.path().join("app"), dir.path().join("some/where/later"));
        fs::create_dir(&app).unwrap();
        let roots = [root(&app, &[]), root(&later, &[])];
        let steps: [&dyn Fn(); 6] = [
            &|| fs::create_dir(app.join("new")).unwrap(),
            &|| fs::rename(app.join("new"), app.join("other")).unwrap(),
            &|| fs::remove_dir(app.join("other")).unwrap(),
            &|| fs::rename(&app, dir.path().join("old")).unwrap(),
            &|| fs::rename(dir.path().join("old"), &app).unwrap(),
            &|| fs::create_dir_all(&later).unwrap(),
        ];
        for (number, step) in steps.iter().enumerate() {
            let events = Events::of(&roots).unwrap();
            step();
            assert_eq!(events.take(), Told::More, "step {number}");
        }
        let events = Events::of(&roots).unwrap();
        fs::write(later.join("a"), "1").unwrap();
        assert_eq!(events.take(), Told::Files(BTreeSet::from([later.join("a")])));
        let longest: u32 = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
        for number in 0..=longest {
            // The kernel joins equal events that follow each other.
            fs::write(app.join(if number % 2 == 0 { "one" } else { "two" }), "x").unwrap();
        }
        assert_eq!(events.take(), Told::More);
    }
}
