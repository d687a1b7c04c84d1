//! Reads the file as text, without the risk to hang.

use std::{fs, io, path::Path};

use anyhow::Result;

use crate::errors::{Code, Problem};

/// A configuration has some hundred lines; a larger file is another one.
const LARGEST: u64 = 1024 * 1024;

/// The text without a byte order mark; `None` if there is no file.
///
/// # Errors A configuration error with the file's name: not a regular file, too large, not readable, or not UTF-8 (with line and column).
pub(super) fn read(path: &Path) -> Result<String> {
    // A dangling symbolic link is not a missing file.
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        _ => {}
    }
    let bytes = bytes(path).map_err(|why| wrong(path, &why))?;
    text(bytes).map_err(|why| match why {
        Unreadable::Encoding(why) => wrong(path, why),
        Unreadable::At { line, column } => {
            let what = format!("{}:{line}:{column}: the byte here is not UTF-8", path.display());
            problem(what).hint("save the file as UTF-8; nothing was changed").into()
        }
    })
}

fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    let found = fs::metadata(path).map_err(|error| cannot(&error))?;
    if !found.is_file() {
        // Opening a pipe would wait for a writer.
        return Err(format!("this is {}, not a file", if found.is_dir() { "a folder" } else { "a pipe, a socket or a device" }));
    }
    if found.len() > LARGEST {
        return Err(format!("the file has {} MB: this is no configuration", found.len() / 1_000_000));
    }
    fs::read(path).map_err(|error| cannot(&error))
}

fn cannot(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "this is a link, and there is nothing at its end".to_owned(),
        io::ErrorKind::PermissionDenied => "this user may not read the file".to_owned(),
        _ => format!("the file cannot be read: {error}"),
    }
}

enum Unreadable {
    Encoding(&'static str),
    /// Both counted from 1; columns count characters.
    At {
        line: usize,
        column: usize,
    },
}

fn text(bytes: Vec<u8>) -> Result<String, Unreadable> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(Unreadable::Encoding("the file is UTF-16: save it as UTF-8"));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text)),
        Err(error) => {
            let good = String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]).into_owned();
            let line = good.matches('\n').count() + 1;
            let column = good.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            Err(Unreadable::At { line, column })
        }
    }
}

fn wrong(path: &Path, why: &str) -> anyhow::Error {
    problem(format!("{}: {why}", path.display())).hint("correct the configuration; nothing was changed").into()
}

fn problem(what: String) -> Problem {
    Problem::config(what).code(Code::Config)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::errors::{Exit, exit_code};

    fn check(content: &[u8], expected: Result<&str, &str>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("Pocdeploy.toml");
        fs::write(&path, content).unwrap();
        match (read(&path), expected) {
            (Ok(text), Ok(expected)) => assert_eq!(text, expected),
            (Err(error), Err(expected)) => {
                assert_eq!(exit_code(&error), Exit::Config);
                assert_eq!(error.to_string(), format!("{}{expected}", path.display()));
            }
            (found, _) => panic!("{content:?}: {found:?}"),
        }
    }

    #[test]
    fn a_file_is_utf8_with_or_without_a_mark_or_is_pointed_at() {
        check(b"", Ok(""));
        check(b"\xef\xbb\xbfname = \"x\"\r\n", Ok("name = \"x\"\r\n"));
        check(b"name = \"x\"\n# Stra\xdfe\n", Err(":2:7: the byte here is not UTF-8"));
        check("# ä\nname = \"ä".as_bytes().strip_suffix(b"\xa4").unwrap(), Err(":2:9: the byte here is not UTF-8"));
        check(b"\xff\xfen\0", Err(": the file is UTF-16: save it as UTF-8"));
        check(b"\xfe\xff\0n", Err(": the file is UTF-16: save it as UTF-8"));
        check(&vec![b' '; 2_000_000], Err(": the file has 2 MB: this is no configuration"));
    }

    #[test]
    fn what_is_no_file_is_refused_and_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let said = |name: &str| read(&dir.path().join(name)).map_err(|it| it.to_string().split(": ").nth(1).unwrap().to_owned());
        fs::create_dir(dir.path().join("folder")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, dir.path().join("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        symlink("nowhere", dir.path().join("link")).unwrap();
        assert_eq!(said("absent"), Ok(String::new()));
        assert_eq!(said("folder"), Err("this is a folder, not a file".to_owned()));
        assert_eq!(said("pipe"), Err("this is a pipe, a socket or a device, not a file".to_owned()));
        assert_eq!(said("link"), Err("this is a link, and there is nothing at its end".to_owned()));
    }
}
