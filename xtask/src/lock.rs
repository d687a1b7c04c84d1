//! One command at a time for an instance: a file lock, which the kernel releases when its process ends.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result};
use rustix::{fs::OFlags, io::Errno};

use crate::{
    errors::{Code, Problem},
    interrupt::Interrupt,
    report::{Took, Waiting},
};

/// Holds the lock until it is dropped. The file stays, since a new file would let a second process lock it.
pub struct Lock {
    _file: File,
}

/// Waits until the lock is free, at most `limit`, and calls `waiting` five times a second. Does not write to the file. `what` names the
/// wait: `another command of this instance`.
pub fn acquire(path: &Path, what: &str, limit: Duration, interrupt: &Interrupt, waiting: impl Fn(Waiting)) -> Result<Lock> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
    }
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        // Where a link points, the file may be another owner's, or would be created.
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
        .map_err(|error| match Errno::from_io_error(&error) {
            Some(Errno::LOOP) => is_a_link(path),
            _ => anyhow::Error::from(error).context(format!("open {}", path.display())),
        })?;
    let mut left = limit;
    let pause = Duration::from_millis(200);
    let mut unseen = 0;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Lock { _file: file }),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error).with_context(|| format!("lock {}", path.display())),
        }
        let holder = match holder(&file) {
            Some(found) => found,
            // It may have ended since, or ends just now.
            None if unseen < 10 => {
                unseen += 1;
                interrupt.sleep(Duration::from_millis(20)).with_context(|| format!("waiting for {what}"))?;
                continue;
            }
            None => "a process that cannot be seen from here".to_owned(),
        };
        let state = Waiting::new(what, format!("{holder} holds the lock"), limit - left, limit);
        if left.is_zero() {
            let problem = Problem::timed_out(state.timed_out()).code(Code::Locked);
            return Err(problem.hint("let that process end, or end it by its process id").into());
        }
        waiting(state);
        interrupt.sleep(pause.min(left)).with_context(|| format!("waiting for {what}: {holder}"))?;
        left = left.saturating_sub(pause);
    }
}

fn is_a_link(path: &Path) -> anyhow::Error {
    let problem = Problem::new(format!("{} is a symbolic link, and the tool locks no other file", path.display())).code(Code::NotAllowed);
    problem.hint(format!("remove the link: rm {}", path.display())).into()
}

/// The holder of the lock according to the kernel: command, process id and age. A text in the file could be that of an ended process.
fn holder(file: &File) -> Option<String> {
    let found = file.metadata().ok().and_then(|it| {
        let locks = fs::read_to_string("/proc/locks").ok()?;
        holding(&locks, it.ino()).next()
    });
    let process = found?;
    let folder = format!("/proc/{process}");
    // A process that ends loses its memory, with the command line, before its locks.
    let line = fs::read(format!("{folder}/cmdline")).ok().filter(|it| !it.is_empty())?;
    let line = String::from_utf8_lossy(&line).replace('\0', " ");
    // Shows the command as typed; cargo starts the program with its full path.
    let command =
        line.trim_end().rsplit_once("/xtask ").map_or_else(|| line.trim_end().to_owned(), |(_, rest)| format!("cargo xtask {rest}"));
    let age = fs::metadata(&folder).and_then(|it| it.modified()).ok().and_then(|it| it.elapsed().ok()).unwrap_or_default();
    Some(format!("`{command}`, process {process}, for {}", Took(age)))
}

/// The processes in `/proc/locks` that hold a lock on the file with this inode.
fn holding(locks: &str, inode: u64) -> impl Iterator<Item = u32> {
    locks.lines().filter_map(move |line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        // `->` marks processes that wait for the lock.
        let [_, "FLOCK", _, _, process, file, ..] = words.as_slice() else { return None };
        let matches = file.rsplit(':').next()?.parse() == Ok(inode);
        if matches { process.parse().ok() } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_holder_hears_of_the_first_and_gives_up_in_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let interrupt = Interrupt::default();
        let first = acquire(&path, "another run", Duration::ZERO, &interrupt, |_| ()).unwrap();
        let heard = std::cell::RefCell::new(String::new());
        let second = acquire(&path, "another run", Duration::from_secs(1), &interrupt, |it| *heard.borrow_mut() = it.to_string());
        let (heard, error) = (heard.into_inner(), second.err().unwrap().to_string());
        let holder = format!("process {}, for ", std::process::id());
        assert!(heard.starts_with("waiting for another run (0 of at most 1 s): `") && heard.contains(&holder), "{heard}");
        assert!(error.starts_with("timed out after 1 s waiting for another run; last seen: `") && error.contains(&holder), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"");
        drop(first);
        assert!(acquire(&path, "another run", Duration::ZERO, &interrupt, |_| ()).is_ok());
    }

    /// Locks the file and ends its first thread alone: as with a process that ends, the command line is gone and the lock is held.
    const ENDING: &str = "import ctypes, fcntl, sys, threading, time\nf = open(sys.argv[1], 'r+')\nfcntl.flock(f, fcntl.LOCK_EX)\n\
                          threading.Thread(target=time.sleep, args=(600,), daemon=True).start()\nctypes.CDLL(None).pthread_exit(None)\n";

    #[test]
    fn a_holder_that_ends_just_now_is_not_named_by_an_empty_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let file = File::create(&path).unwrap();
        #[expect(clippy::disallowed_methods, reason = "a process that ends for as long as the test needs")]
        let mut ending =
            std::process::Command::new("python3").args(["-c", ENDING]).arg(&path).stdout(std::process::Stdio::null()).spawn().unwrap();
        let began = std::time::Instant::now();
        let is_ending = |file: &File| {
            let line = fs::read(format!("/proc/{}/cmdline", ending.id())).unwrap();
            let is_free = file.try_lock().is_ok();
            file.unlock().unwrap();
            !is_free && line.is_empty()
        };
        while !is_ending(&file) && began.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let error = acquire(&path, "another run", Duration::ZERO, &Interrupt::default(), |_| ()).err().map(|it| it.to_string());
        ending.kill().unwrap();
        ending.wait().unwrap();
        let error = error.unwrap_or_default();
        assert!(error.ends_with("last seen: a process that cannot be seen from here holds the lock"), "{error}");
    }

    #[test]
    fn only_those_who_hold_the_file_are_named() {
        let locks = "1: FLOCK  ADVISORY  WRITE 17 fe:00:55 0 EOF\n1: -> FLOCK  ADVISORY  WRITE 18 fe:00:55 0 EOF\n\
                     2: POSIX  ADVISORY  WRITE 19 fe:00:55 0 EOF\n3: FLOCK  ADVISORY  WRITE 20 fe:00:555 0 EOF\n";
        assert_eq!(holding(locks, 55).collect::<Vec<_>>(), [17]);
    }
}
