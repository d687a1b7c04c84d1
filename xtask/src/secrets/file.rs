//! Files with secrets in clear text. One that git tracks is in every clone, so it is refused, and so is one that every user of the machine can
//! read. SOPS and age are for secrets in a repository.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use crate::{env::Env, regular, secrets::TASK};

/// The absolute path: relative to the project's folder, and `~/` is the home folder.
pub(super) fn place(env: &Env, path: &Path) -> PathBuf {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => env.path(path),
    }
}

/// The file's content without line breaks at its end, as a shell's `$(cat FILE)`.
pub(super) fn clear_text(env: &Env, path: &Path) -> Result<String, String> {
    refuse_open(env, path)?;
    let text = regular::read_to_string(&place(env, path)).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

/// Why a file with a secret is none any more.
pub(super) fn refuse_open(env: &Env, path: &Path) -> Result<(), String> {
    let (place, shown) = (place(env, path), path.display());
    if !place.exists() {
        return Err(format!("there is no file {shown}"));
    }
    if is_readable_by_all(&place) {
        return Err(format!("every user of this machine can read {shown}; take that away: chmod go-rwx {shown}"));
    }
    if is_tracked(env, &place) {
        return Err(format!(
            "git tracks {shown}, so that its value is in every clone; change the value, and take the file out: git rm --cached {shown}. SOPS and \
             age are for secrets in a repository"
        ));
    }
    Ok(())
}

/// Whether the mode of the file and of all folders above lets every user read it.
fn is_readable_by_all(place: &Path) -> bool {
    let Ok(whole) = place.canonicalize() else { return false };
    let allows = |path: &Path, bit: u32| path.metadata().is_ok_and(|it| it.permissions().mode() & bit != 0);
    allows(&whole, 0o004) && whole.ancestors().skip(1).all(|it| allows(it, 0o001))
}

/// Without git, or outside a repository, nothing is tracked.
fn is_tracked(env: &Env, place: &Path) -> bool {
    let (Some(folder), Some(name)) = (place.parent(), place.file_name()) else { return false };
    let Ok(sh) = env.tools.shell(folder) else { return false };
    env.tools.is_ok(TASK, sh.cmd("git").arg("ls-files").arg("--error-unmatch").arg("--").arg(name)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_in_a_closed_folder_is_not_open_to_all() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        fs::write(&file, "x").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        // The folder of a test is the user's own.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert!(!is_readable_by_all(&file));
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert!(is_readable_by_all(&file));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(!is_readable_by_all(&file));
    }
}
