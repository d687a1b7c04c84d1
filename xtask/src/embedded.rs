//! Files inside an installed program, at its end: `deploy/` and `build/` of its checkout.
//!
//! An archive, its length and a mark follow the program's bytes; the operating system ignores them. So nothing must be compiled, and the
//! files are those of the checkout at that moment. `files.rs` chooses between these files and the project's.

use std::{
    fs::{self, File},
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use anyhow::{Context as _, Result};
use walkdir::WalkDir;

/// The last bytes of a program with files; the archive's length precedes them.
const MARK: &[u8; 8] = b"POCDPLY\x01";
const TRAILER: u64 = 16;

/// An embedded file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Embedded {
    /// Relative to the project.
    pub path: PathBuf,
    pub content: Vec<u8>,
    pub executable: bool,
}

/// Whether this program is installed, so it has files.
pub fn is_installed() -> bool {
    static INSTALLED: OnceLock<bool> = OnceLock::new();
    *INSTALLED.get_or_init(|| std::env::current_exe().is_ok_and(|it| has_files(&it)))
}

/// Whether the file is a program of this tool with embedded files.
pub fn has_files(program: &Path) -> bool {
    File::open(program).is_ok_and(|mut file| split(&mut file).is_ok_and(|it| it.is_some()))
}

/// The lengths of the program and of the archive.
fn split(file: &mut File) -> std::io::Result<Option<(u64, u64)>> {
    let all = file.metadata()?.len();
    if all < TRAILER {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(all - TRAILER))?;
    let mut trailer = [0; TRAILER as usize];
    file.read_exact(&mut trailer)?;
    let (length, mark) = trailer.split_at(8);
    let length = u64::from_le_bytes(length.try_into().unwrap_or_default());
    Ok((mark == MARK && length <= all - TRAILER).then(|| (all - TRAILER - length, length)))
}

/// The archive in a program; `None` without one.
pub fn archive(program: &Path) -> Result<Option<Vec<u8>>> {
    let read = || -> std::io::Result<Option<Vec<u8>>> {
        let mut file = File::open(program)?;
        let Some((begin, length)) = split(&mut file)? else { return Ok(None) };
        file.seek(SeekFrom::Start(begin))?;
        let mut archive = Vec::new();
        file.take(length).read_to_end(&mut archive)?;
        Ok(Some(archive))
    };
    read().with_context(|| format!("read what {} carries", program.display()))
}

/// The files in an archive.
pub fn files(archive: &[u8]) -> Result<Vec<Embedded>> {
    let mut out = Vec::new();
    for entry in tar::Archive::new(archive).entries().context("read the embedded files")? {
        let mut entry = entry?;
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        out.push(Embedded { path: entry.path()?.into_owned(), content, executable: entry.header().mode()? & 0o111 != 0 });
    }
    Ok(out)
}

/// An archive of the project's folders, sorted by name, so that the same files give the same bytes.
pub fn pack(project: &Path, folders: &[&str]) -> Result<Vec<u8>> {
    let mut out = tar::Builder::new(Vec::new());
    for folder in folders {
        for entry in WalkDir::new(project.join(folder)).sort_by_file_name() {
            let entry = entry.with_context(|| format!("read {folder}"))?;
            if !entry.file_type().is_file() {
                continue;
            }
            let content = fs::read(entry.path()).with_context(|| format!("read {}", entry.path().display()))?;
            let executable = entry.metadata()?.permissions().mode() & 0o111 != 0;
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(if executable { 0o755 } else { 0o644 });
            out.append_data(&mut header, entry.path().strip_prefix(project)?, content.as_slice())?;
        }
    }
    out.into_inner().context("pack the files to carry")
}

/// Writes `program` with the archive at its end, replacing an earlier archive. After an error there is no file.
pub fn write(program: &Path, archive: &[u8], target: &Path) -> Result<()> {
    let dir = target.parent().unwrap_or(Path::new("."));
    let write = || -> Result<()> {
        fs::create_dir_all(dir)?;
        let mut from = File::open(program)?;
        let length = match split(&mut from)? {
            Some((length, _)) => length,
            None => from.metadata()?.len(),
        };
        from.rewind()?;
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        std::io::copy(&mut from.take(length), &mut file)?;
        file.write_all(archive)?;
        file.write_all(&(archive.len() as u64).to_le_bytes())?;
        file.write_all(MARK)?;
        file.as_file().sync_all()?;
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o755))?;
        file.persist(target)?;
        Ok(())
    };
    write().with_context(|| format!("write {}", target.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_back_and_the_program_stays_a_program() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("deploy/kind")).unwrap();
        fs::write(at("deploy/kind/cluster.yaml"), "kind: Cluster\n").unwrap();
        fs::write(at("deploy/run.sh"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(at("deploy/run.sh"), fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(at("program"), "the program's own bytes").unwrap();
        assert!(!has_files(&at("program")));
        let packed = pack(dir.path(), &["deploy"]).unwrap();
        assert_eq!(pack(dir.path(), &["deploy"]).unwrap(), packed);
        write(&at("program"), &packed, &at("bin/installed")).unwrap();
        assert!(has_files(&at("bin/installed")));
        let files = files(&archive(&at("bin/installed")).unwrap().unwrap()).unwrap();
        let seen: Vec<(String, bool)> = files.iter().map(|it| (it.path.display().to_string(), it.executable)).collect();
        assert_eq!(seen, [("deploy/kind/cluster.yaml".to_owned(), false), ("deploy/run.sh".to_owned(), true)]);
        // Installing from an installed program replaces the earlier archive.
        write(&at("bin/installed"), &packed, &at("bin/again")).unwrap();
        assert_eq!(fs::read(at("bin/again")).unwrap(), fs::read(at("bin/installed")).unwrap());
    }
}
