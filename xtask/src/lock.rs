//! One run at a time for an instance: a file lock that the kernel drops with its process.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{Seek as _, Write as _},
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result};

use crate::{
    errors::{Code, Problem},
    interrupt::Interrupt,
    report::Took,
};

/// Held until dropped. The file stays: removing a locked file would let a second holder in.
pub struct Lock {
    _file: File,
}

/// Waits until the lock is free, at most `limit`; `waiting` hears once who holds it.
pub fn acquire(path: &Path, purpose: &str, limit: Duration, interrupt: &Interrupt, waiting: impl FnOnce(&str)) -> Result<Lock> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
    }
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .with_context(|| format!("open {}", path.display()))?;
    let mut waiting = Some(waiting);
    let mut left = limit;
    let pause = Duration::from_millis(200);
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error).with_context(|| format!("lock {}", path.display())),
        }
        let holder = holder(path);
        if let Some(waiting) = waiting.take() {
            waiting(&holder);
        }
        if left.is_zero() {
            let text = format!("another run still holds {} after {} s: {}", path.display(), limit.as_secs(), holder);
            return Err(Problem::timed_out(text).code(Code::Locked).hint("wait for it to end, or end it by its process id").into());
        }
        interrupt.sleep(pause.min(left)).with_context(|| format!("waiting for another run of this instance: {holder}"))?;
        left = left.saturating_sub(pause);
    }
    let text = format!("`{purpose}`, process {}\n", std::process::id());
    let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(text.as_bytes())).and_then(|()| file.flush());
    written.with_context(|| format!("write {}", path.display()))?;
    Ok(Lock { _file: file })
}

/// Command and process of whoever holds the lock, and for how long: the file was written when it was taken.
fn holder(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let age = fs::metadata(path).and_then(|it| it.modified()).ok().and_then(|it| it.elapsed().ok()).unwrap_or_default();
    format!("{}, for {}", text.trim(), Took(age))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_holder_hears_of_the_first_and_gives_up_in_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let interrupt = Interrupt::default();
        let first = acquire(&path, "xtask create", Duration::ZERO, &interrupt, |_| ()).unwrap();
        let mut heard = String::new();
        let second = acquire(&path, "xtask delete", Duration::from_millis(1), &interrupt, |holder| heard = holder.to_owned());
        assert!(second.is_err());
        let expected = format!("`xtask create`, process {}, for 0.", std::process::id());
        assert!(heard.starts_with(&expected), "{heard}");
        drop(first);
        assert!(acquire(&path, "xtask delete", Duration::ZERO, &interrupt, |_| ()).is_ok());
    }
}
