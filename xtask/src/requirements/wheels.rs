//! From pins to wheels: a folder with one file for each pin, the pins, and pip's own wheel.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};
use xshell::cmd;

use crate::{
    env::Scope,
    errors::{Code, Problem},
    fingerprint::{Fingerprint, hex},
    record,
    requirements::{PIP, environment::Environment, settings::Settings, source::lines, target::Target},
    tool::BUILD_LIMIT,
};

/// The name of the pins file in the folder.
pub const PINS: &str = "requirements.txt";

/// Puts the wheels of the pins, and pip's own, into a new folder that replaces the old one when it is complete. Pins with hashes are the
/// same for all instances on the machine, so the wheels are downloaded once and cached under `key`. `policy`, a limit on the age of files,
/// is part of the cache key, since files that were downloaded without it may violate it.
pub fn provide(env: &Scope<'_>, pins: &str, key: &str, policy: &str, download: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let fresh = emptied(env.own("wheels.new"))?;
    let mut name = Fingerprint::new();
    name.add("policy", policy);
    let kept = env.cache(if policy.is_empty() { format!("wheels/{key}") } else { format!("wheels/{key}-{}", name.short()) });
    if kept.is_dir() && !env.is_forced(env.id) {
        copy_files(&kept, &fresh)?;
    } else {
        download(&fresh)?;
        // Without comments: they change more often than the pins, and would cause a new image.
        let bare: String = pins.lines().filter(|it| !it.starts_with('#')).map(|it| format!("{it}\n")).collect();
        record::write_file(&fresh.join(PINS), bare.as_bytes())?;
        let part = emptied(env.cache(format!("wheels/.{key}.{}.part", std::process::id())))?;
        copy_files(&fresh, &part)?;
        // Another run may have stored the same files already.
        if fs::rename(&part, &kept).is_err() {
            fs::remove_dir_all(&part).with_context(|| format!("remove {}", part.display()))?;
        }
    }
    let place = env.wheels();
    if place.exists() {
        fs::remove_dir_all(&place).with_context(|| format!("remove {}", place.display()))?;
    }
    fs::rename(&fresh, &place).with_context(|| format!("rename {} to {}", fresh.display(), place.display()))
}

fn emptied(folder: PathBuf) -> Result<PathBuf> {
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    Ok(folder)
}

fn copy_files(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("read {}", from.display()))? {
        let entry = entry.with_context(|| format!("read {}", from.display()))?;
        fs::copy(entry.path(), to.join(entry.file_name())).with_context(|| format!("copy {}", entry.path().display()))?;
    }
    Ok(())
}

/// Downloads one wheel for each pin, and pip's own.
pub fn download(env: &Scope<'_>, environment: &Environment, settings: &Settings, pins: &str, target: &Target, fresh: &Path) -> Result<()> {
    let sh = env.tools.shell(&env.project)?;
    let python = environment.python();
    let pip = || cmd!(sh, "{python} -I -m pip download --disable-pip-version-check --dest {fresh} --no-deps --only-binary=:all:");
    let rest = from_folders(pins, &settings.folders, fresh)?;
    if !rest.is_empty() {
        let file = env.own("requirements.wanted");
        record::write_file(&file, format!("{}\n", rest.join("\n")).as_bytes())?;
        let version = &target.python;
        let platforms: Vec<String> = target.platforms().into_iter().flat_map(|it| ["--platform".to_owned(), it]).collect();
        let command = pip()
            .args(["--require-hashes", "--implementation", "cp", "--python-version", version])
            .args(platforms)
            .arg("--requirement")
            .arg(&file);
        let progress = |line: &str| {
            if line.starts_with("Collecting") || line.starts_with("Downloading") {
                env.progress(env.id, line);
            }
        };
        env.tools.run_watched(env.id, settings.for_pip(command), BUILD_LIMIT, progress).map_err(|error| failed(error, target))?;
    }
    env.tools.run(env.id, settings.for_pip(pip().args(["--quiet", PIP]))).map_err(|error| failed(error, target))
}

fn failed(error: anyhow::Error, target: &Target) -> anyhow::Error {
    let text = format!("{error:#}");
    if !text.contains("ERROR: ") {
        return error.context("download the wheels");
    }
    let said: Vec<&str> = text.lines().map(str::trim).filter(|it| it.starts_with("ERROR: ")).collect();
    let what = format!("the wheels for {} cannot be downloaded\n{}", target.words(), said.join("\n"));
    Problem::new(what).code(Code::Requirements).hint("renew the pins: cargo xtask requirements --refresh").into()
}

/// Copies the wheels in folders of pip's `find-links`; returns the pins that are still to download.
///
/// If a folder and the index have the same version, uv pins the folder's file, but pip takes the index's and finds another hash. So the
/// file with the pinned hash is taken here.
fn from_folders(pins: &str, folders: &[PathBuf], fresh: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for folder in folders {
        for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?.flatten() {
            files.extend(Some(entry.path()).filter(|it| it.extension().is_some_and(|it| it == "whl") && it.is_file()));
        }
    }
    let mut rest = Vec::new();
    for line in lines(pins) {
        let mut taken = false;
        // A wheel's name starts with the package's name, with `-` replaced by `_`.
        let name = crate::requirements::pins::normal(&line);
        for file in &files {
            let of = file.file_name().and_then(|it| it.to_str()).and_then(|it| it.split('-').next()).unwrap_or_default();
            if crate::requirements::pins::normal(of) == name && line.contains(&format!("--hash=sha256:{}", file_sha256(file)?)) {
                let to = fresh.join(file.file_name().unwrap_or_default());
                fs::copy(file, &to).with_context(|| format!("copy {}", file.display()))?;
                taken = true;
                break;
            }
        }
        if !taken {
            rest.push(line);
        }
    }
    Ok(rest)
}

/// The SHA-256 digest of a file, in the form of package indexes.
fn file_sha256(file: &Path) -> Result<String> {
    let bytes = fs::read(file).with_context(|| format!("read {}", file.display()))?;
    Ok(hex(&Sha256::digest(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_file_of_a_folder_is_taken_by_its_hash_and_the_rest_is_left_to_pip() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, fresh) = (dir.path().join("links"), dir.path().join("fresh"));
        fs::create_dir_all(&folder).unwrap();
        fs::create_dir_all(&fresh).unwrap();
        for (name, text) in [("my_own-1.0-py3-none-any.whl", "ours"), ("six-1.17.0-py3-none-any.whl", "another build")] {
            fs::write(folder.join(name), text).unwrap();
        }
        let ours = file_sha256(&folder.join("my_own-1.0-py3-none-any.whl")).unwrap();
        let pins = format!("# six\nmy-own==1.0 \\\n    --hash=sha256:{ours}\nsix==1.17.0 \\\n    --hash=sha256:00\n");
        let rest = from_folders(&pins, &[folder], &fresh).unwrap();
        assert_eq!(rest, ["six==1.17.0     --hash=sha256:00"]);
        let there: Vec<String> = fs::read_dir(&fresh).unwrap().flatten().map(|it| it.file_name().into_string().unwrap()).collect();
        assert_eq!(there, ["my_own-1.0-py3-none-any.whl"]);
    }
}
