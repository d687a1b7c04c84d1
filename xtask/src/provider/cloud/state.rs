//! The state's file in the instance's folder: which program wrote it, and what is done about a truncated one.
//!
//! Both programs write it in place, so that a kill in that moment truncates it. Beside it is what it was before their run.

use std::{
    fs::{self, File, OpenOptions},
    io::Read as _,
    path::Path,
};

use anyhow::{Context as _, Result};
use rustix::fs::{FlockOperation, fcntl_lock};
use serde_json::Value;

use crate::record;

/// Its name. A backend keeps it elsewhere.
pub(super) const STATE: &str = "terraform.tfstate";
const BEFORE: &str = "terraform.tfstate.backup";
/// The truncated one, until a run has succeeded.
const TRUNCATED: &str = "terraform.tfstate.truncated";

/// Who wrote a state. This tool lets OpenTofu encrypt every one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writer {
    OpenTofu,
    Terraform,
}

/// Who wrote the state in the folder; `None` without one that can be read.
pub(super) fn writer(folder: &Path) -> Option<Writer> {
    let state: Value = [STATE, BEFORE].iter().find_map(|it| record::read_json(&folder.join(it)))?;
    Some(if state["encrypted_data"].is_string() { Writer::OpenTofu } else { Writer::Terraform })
}

/// Puts the state of before into the place of a truncated one; returns what to say about it. What is written just now is left alone.
pub(super) fn repair(folder: &Path) -> Result<Option<&'static str>> {
    let file = folder.join(STATE);
    if !file.is_file() || is_whole(&fs::read(&file)?) {
        return Ok(None);
    }
    let mut opened = OpenOptions::new().read(true).write(true).open(&file).with_context(|| format!("open {}", file.display()))?;
    // The lock of both programs. It would end with any other handle of the file, so that all is read through this one.
    if fcntl_lock(&opened, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(None);
    }
    let found = content(&mut opened)?;
    let before = fs::read(folder.join(BEFORE)).ok().filter(|it| is_whole(it));
    // A run that was stopped before its first write leaves an empty one.
    if is_whole(&found) || (found.is_empty() && before.is_none()) {
        return Ok(None);
    }
    record::write_file(&folder.join(TRUNCATED), &found)?;
    match before {
        Some(before) => {
            record::write_file(&file, &before)?;
            Ok(Some("the state is truncated, since its writer was killed: going on with the one before it and with what the cloud has"))
        }
        None => {
            remove(&file)?;
            Ok(Some("the state is truncated, since its writer was killed: going on with what the cloud has"))
        }
    }
}

/// Whether a state was truncated and no run has succeeded since: things may exist that it does not know.
pub(super) fn was_truncated(folder: &Path) -> bool {
    folder.join(TRUNCATED).exists()
}

/// After a run that has succeeded.
pub(super) fn is_settled(folder: &Path) -> Result<()> {
    remove(&folder.join(TRUNCATED))
}

/// Removes a file that may be there.
pub(super) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).with_context(|| format!("remove {}", path.display())),
        _ => Ok(()),
    }
}

fn content(file: &mut File) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    file.read_to_end(&mut out).context("read the state")?;
    Ok(out)
}

fn is_whole(text: &[u8]) -> bool {
    serde_json::from_slice::<Value>(text).is_ok_and(|it| it.is_object())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"{"version":4,"serial":3,"resources":[]}"#;
    const OLDER: &str = r#"{"version":4,"serial":2,"resources":[]}"#;
    const ENCRYPTED: &str = r#"{"serial":3,"lineage":"x","encrypted_data":"AAAA","encryption_version":"v0"}"#;

    fn with(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn read(folder: &tempfile::TempDir) -> Option<String> {
        fs::read_to_string(folder.path().join(STATE)).ok()
    }

    #[test]
    fn a_state_tells_who_wrote_it() {
        assert_eq!(writer(with(&[]).path()), None);
        assert_eq!(writer(with(&[(STATE, "")]).path()), None);
        assert_eq!(writer(with(&[(STATE, WHOLE)]).path()), Some(Writer::Terraform));
        assert_eq!(writer(with(&[(STATE, ENCRYPTED)]).path()), Some(Writer::OpenTofu));
        assert_eq!(writer(with(&[(STATE, &ENCRYPTED[..20]), (BEFORE, ENCRYPTED)]).path()), Some(Writer::OpenTofu));
    }

    #[test]
    fn a_state_that_is_truncated_anywhere_is_the_one_before() {
        for end in 0..WHOLE.len() {
            let folder = with(&[(STATE, &WHOLE[..end]), (BEFORE, OLDER)]);
            assert!(repair(folder.path()).unwrap().is_some_and(|it| it.contains("the one before")), "{end}");
            assert_eq!(read(&folder).unwrap(), OLDER);
            assert!(was_truncated(folder.path()));
            is_settled(folder.path()).unwrap();
            assert!(!was_truncated(folder.path()));
        }
    }

    #[test]
    fn without_one_before_there_is_none_and_a_whole_one_stays() {
        let folder = with(&[(STATE, &WHOLE[..9])]);
        assert!(repair(folder.path()).unwrap().is_some());
        assert!(read(&folder).is_none() && was_truncated(folder.path()));
        for files in [&[(STATE, WHOLE), (BEFORE, OLDER)][..], &[(STATE, "")], &[(BEFORE, OLDER)], &[]] {
            let folder = with(files);
            let before = read(&folder);
            assert_eq!(repair(folder.path()).unwrap(), None);
            assert!(read(&folder) == before && !was_truncated(folder.path()));
        }
    }

    #[test]
    fn what_another_process_writes_is_left_alone() {
        let folder = with(&[(STATE, &WHOLE[..9]), (BEFORE, OLDER)]);
        // A lock of this process would not count.
        let script =
            "import fcntl, sys; f = open(sys.argv[1], 'r+'); fcntl.lockf(f, fcntl.LOCK_EX); print('held', flush=True); sys.stdin.read()";
        #[expect(clippy::disallowed_methods, reason = "the other process is the test's")]
        let mut other = std::process::Command::new("python3")
            .args(["-c", script])
            .arg(folder.path().join(STATE))
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        other.stdout.take().unwrap().read_exact(&mut [0; 5]).unwrap();
        assert_eq!(repair(folder.path()).unwrap(), None);
        drop(other.stdin.take());
        other.wait().unwrap();
        assert!(repair(folder.path()).unwrap().is_some());
    }
}
