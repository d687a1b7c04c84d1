//! When the watched files are looked at: those that the kernel tells, or all of them in turn.

use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use rustix::io::Errno;

use super::{
    events::{Events, Told},
    watch::{Root, Seen, Stamps, all_roots, stamps},
};
use crate::env::Env;

/// Begins to watch: [`Events::of`].
type Begin = dyn Fn(&[Root]) -> Result<Events, Errno>;

/// Looks at the files of a project, as seldom as possible.
pub struct Watch<'a> {
    roots: Box<dyn Fn() -> Vec<Root> + 'a>,
    begin: &'a Begin,
    /// `None`: all files are looked at.
    events: Option<Events>,
    /// Why there are no events, until it is reported.
    note: Option<String>,
    files: Stamps,
    /// The files that may have changed since `changed` was asked; `None` for all of them.
    touched: Option<BTreeSet<PathBuf>>,
    /// When all files may be looked at again.
    next: Instant,
}

/// The shortest pause between two looks at all files.
const LOOK: Duration = Duration::from_millis(50);
/// The pause after a look at all files, in durations of the look: 2 % of one core, and 4 % with the comparison.
const REST: u32 = 50;
/// The kernel tells no change through a memory map or through another name of the same file: such files are found by a look at all files, for
/// which the pauses are longer.
const CHECK: Duration = Duration::from_secs(5);
/// The same as `REST` for these looks: 0.25 % of one core, and 0.5 % with the comparison.
const CHECK_REST: u32 = 400;

impl<'a> Watch<'a> {
    /// Watches all files of the project.
    pub fn of(env: &'a Env) -> Watch<'a> {
        Watch::over(Box::new(|| all_roots(env)), &Events::of)
    }

    fn over(roots: Box<dyn Fn() -> Vec<Root> + 'a>, begin: &'a Begin) -> Watch<'a> {
        let mut out = Watch { roots, begin, events: None, note: None, files: Stamps::new(), touched: None, next: Instant::now() };
        out.look_at_all(true);
        out
    }

    /// Looks at all files, and watches them if `begins`.
    fn look_at_all(&mut self, begins: bool) {
        let began = Instant::now();
        let all = (self.roots)();
        // Watched before they are looked at, so that no change is lost between the two.
        if begins {
            let events = events(&all, self.begin);
            self.note = events.as_ref().err().map(|why| format!("{why}: all files are looked at in turn, so changes are seen later"));
            self.events = events.ok();
        }
        self.files = stamps(&all);
        self.touched = None;
        let took = began.elapsed();
        self.next = Instant::now() + if self.events.is_some() { CHECK.max(took * CHECK_REST) } else { LOOK.max(took * REST) };
    }

    /// A sentence that says why the kernel does not tell changes, once.
    pub fn note(&mut self) -> Option<String> {
        self.note.take()
    }

    /// The files as they were last looked at.
    pub fn files(&self) -> &Stamps {
        &self.files
    }

    /// The files, if one of them may have changed since the last call. Does not wait.
    pub fn look(&mut self) -> Option<&Stamps> {
        let is_due = Instant::now() >= self.next;
        let told = self.events.as_ref().map_or(Told::Nothing, Events::take);
        match told {
            Told::Nothing if is_due => self.look_at_all(false),
            Told::Nothing => return None,
            Told::Files(paths) => {
                if let Some(touched) = &mut self.touched {
                    touched.extend(paths.iter().cloned());
                }
                for path in paths {
                    match fs::symlink_metadata(&path).ok().filter(fs::Metadata::is_file) {
                        Some(metadata) => self.files.insert(path, (metadata.modified().ok(), metadata.len())),
                        None => self.files.remove(&path),
                    };
                }
            }
            Told::More => self.look_at_all(self.events.is_some()),
        }
        Some(&self.files)
    }

    /// The new, changed and deleted files, compared with `seen`. The next call looks only at
    /// files that were touched since this one, so the caller must take over what it is told.
    pub fn changed(&mut self, seen: &Seen) -> Vec<PathBuf> {
        match self.touched.replace(BTreeSet::new()) {
            Some(touched) => touched.into_iter().filter(|it| seen.differs(it, &self.files)).collect(),
            None => seen.changed(&self.files),
        }
    }

    /// Whether no file has changed since the last look.
    pub fn is_settled(&mut self) -> bool {
        if self.events.is_some() {
            return self.look().is_none();
        }
        let before = std::mem::take(&mut self.files);
        self.look_at_all(false);
        self.files == before
    }
}

/// Watches the roots; or says why that is not possible.
fn events(roots: &[Root], begin: &Begin) -> Result<Events, String> {
    if let Some(it) = roots.iter().find(|it| it.path.exists() && !filetree::hashes::is_local(&it.path)) {
        return Err(format!("{} is on a file system that another machine may write to", it.path.display()));
    }
    begin(roots).map_err(|error| match error {
        Errno::NOSPC => "the limit of watches is reached (sysctl fs.inotify.max_user_watches)".to_owned(),
        Errno::MFILE => "the limit of queues for changes is reached (sysctl fs.inotify.max_user_instances)".to_owned(),
        other => format!("the kernel refuses to watch: {other}"),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Waits until a look shows a change of the file.
    fn until_seen(watch: &mut Watch<'_>, path: &Path) {
        let (began, before) = (Instant::now(), watch.files().get(path).copied());
        while watch.look().is_none_or(|files| files.get(path).copied() == before) {
            assert!(began.elapsed() < Duration::from_secs(60), "{} is not seen", path.display());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_change_is_seen_with_events_and_without_and_the_reason_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let full = |_: &[Root]| Err(Errno::NOSPC);
        let begins: [&Begin; 2] = [&Events::of, &full];
        for (begin, note) in
            begins.into_iter().zip([None, Some("the limit of watches is reached (sysctl fs.inotify.max_user_watches): all")])
        {
            let app = dir.path().join(if note.is_some() { "polled" } else { "told" });
            fs::create_dir(&app).unwrap();
            fs::write(app.join("a.py"), "1").unwrap();
            let roots = || vec![Root { path: app.clone(), own: Vec::new() }];
            let mut watch = Watch::over(Box::new(roots), begin);
            let said = watch.note();
            assert_eq!(said.is_some(), note.is_some());
            assert!(note.is_none_or(|it| said.unwrap().starts_with(it)) && watch.note().is_none());
            fs::write(app.join("a.py"), "22").unwrap();
            until_seen(&mut watch, &app.join("a.py"));
            // A file in a folder that is new, and a later change of it.
            fs::create_dir_all(app.join("new/er")).unwrap();
            fs::write(app.join("new/er/b.py"), "1").unwrap();
            until_seen(&mut watch, &app.join("new/er/b.py"));
            while !watch.is_settled() {}
            fs::write(app.join("new/er/b.py"), "22").unwrap();
            assert!(!watch.is_settled());
            assert_eq!(watch.files()[&app.join("new/er/b.py")].1, 2);
            fs::remove_dir_all(app.join("new")).unwrap();
            until_seen(&mut watch, &app.join("new/er/b.py"));
            while !watch.is_settled() {}
            assert_eq!(watch.files().keys().collect::<Vec<_>>(), [&app.join("a.py")]);
        }
    }

    #[test]
    fn without_events_the_pause_grows_with_the_time_of_a_look() {
        let dir = tempfile::tempdir().unwrap();
        let full = |_: &[Root]| Err(Errno::NOSPC);
        let slow = || {
            std::thread::sleep(Duration::from_millis(10));
            vec![Root { path: dir.path().to_owned(), own: Vec::new() }]
        };
        let began = Instant::now();
        let mut watch = Watch::over(Box::new(slow), &full);
        assert!(watch.next.duration_since(began) > Duration::from_millis(500));
        // However long ago that was.
        watch.next = Instant::now() + Duration::from_secs(600);
        assert!(watch.look().is_none());
        watch.next = Instant::now();
        assert!(watch.look().is_some());
    }

    #[test]
    fn what_the_kernel_does_not_tell_is_found_by_a_look_at_all_files() {
        let dir = tempfile::tempdir().unwrap();
        let app = dir.path().join("app");
        fs::create_dir(&app).unwrap();
        fs::write(app.join("a.py"), "1").unwrap();
        fs::hard_link(app.join("a.py"), dir.path().join("other")).unwrap();
        let roots = || vec![Root { path: app.clone(), own: Vec::new() }];
        let mut watch = Watch::over(Box::new(roots), &Events::of);
        fs::write(dir.path().join("other"), "22").unwrap();
        assert!(watch.look().is_none(), "the name in the folder was not used");
        watch.next = Instant::now();
        assert_eq!(watch.look().unwrap()[&app.join("a.py")].1, 2);
        assert!(watch.events.is_some() && watch.look().is_none());
    }

    #[test]
    fn a_change_is_told_once_and_again_after_the_next_save() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        fs::write(&one, "1").unwrap();
        let roots = || vec![Root { path: dir.path().to_owned(), own: Vec::new() }];
        let mut watch = Watch::over(Box::new(roots), &Events::of);
        let mut seen = Seen::over(Stamps::new());
        // Everything is compared first, then what was touched.
        for (change, expected) in [(None, vec![&one]), (Some((&two, "1")), vec![&two]), (Some((&one, "22")), vec![&one]), (None, vec![])] {
            if let Some((path, text)) = change {
                fs::write(path, text).unwrap();
                until_seen(&mut watch, path);
            }
            let changed = watch.changed(&seen);
            assert_eq!(changed.iter().collect::<Vec<_>>(), expected);
            seen.learn(&changed, watch.files());
        }
        fs::remove_file(&one).unwrap();
        fs::write(&two, "1").unwrap();
        until_seen(&mut watch, &one);
        assert!(watch.changed(&seen).contains(&one));
    }
}
