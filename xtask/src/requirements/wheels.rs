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
    errors::{self, Code, Problem},
    fingerprint::{Fingerprint, hex},
    record, regular,
    requirements::{environment::Environment, index, pip, settings::Settings, source::lines, target::Target},
};

/// The name of the pins file in the folder.
pub const PINS: &str = "requirements.txt";

/// Puts the wheels of the pins, and pip's own, into a new folder that replaces the old one when it is complete. Pins with hashes are the
/// same for all instances on the machine, so the wheels are downloaded once and cached under `key`. `policy`, a limit on the age of files,
/// is part of the cache key, since files that were downloaded without it may violate it.
pub fn provide(
    env: &Scope<'_>,
    (pins, pip): (&str, &str),
    key: &str,
    policy: &str,
    download: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let fresh = emptied(env.own("wheels.new"))?;
    let mut name = Fingerprint::new();
    name.add("policy", policy);
    let kept = env.cache(if policy.is_empty() { format!("wheels/{key}") } else { format!("wheels/{key}-{}", name.short()) });
    let mut is_there = kept.is_dir() && !env.is_forced(env.id);
    if is_there {
        copy_files(&kept, &fresh)?;
        if let Some(damaged) = damaged(&fresh, pins, pip)? {
            env.note(env.id, format!("{} in the cache is damaged: downloading the wheels again", kept.join(damaged).display()));
            fs::remove_dir_all(&kept).with_context(|| format!("remove {}", kept.display()))?;
            emptied(fresh.clone())?;
            is_there = false;
        }
    }
    if !is_there {
        download(&fresh)?;
        if let Some(damaged) = damaged(&fresh, pins, pip)? {
            let what =
                format!("{damaged} is not what its pinned digest says, or has no file: other bytes came, and the tool kept none of them");
            return Err(Problem::new(what).code(Code::Download).hint("run the same command again, or see `pip config list`").into());
        }
        // Without comments: they change more often than the pins, and would cause a new image.
        let bare: String = pins.lines().filter(|it| !it.starts_with('#')).map(|it| format!("{it}\n")).collect();
        record::write_file(&fresh.join(PINS), bare.as_bytes())?;
        let part = emptied(env.cache(format!("wheels/.{key}.{}.part", std::process::id())))?;
        copy_files(&fresh, &part)?;
        regular::settle(&part)?;
        // Another run may have stored the same files already.
        if fs::rename(&part, &kept).is_err() {
            fs::remove_dir_all(&part).with_context(|| format!("remove {}", part.display()))?;
        }
    }
    let place = env.wheels();
    // The record of the wheels does not compare them, and without its pins an image would have no packages.
    regular::settle(&fresh)?;
    if place.exists() {
        fs::remove_dir_all(&place).with_context(|| format!("remove {}", place.display()))?;
    }
    fs::rename(&fresh, &place).with_context(|| format!("rename {} to {}", fresh.display(), place.display()))
}

/// The name of a file that is not what the pins name by its digest, or of a pin without a file.
fn damaged(folder: &Path, pins: &str, pip: &str) -> Result<Option<String>> {
    // An author's own pins may have other digests, which are not compared.
    let mut wanted: Vec<String> = lines(pins).into_iter().filter(|it| !it.starts_with('-') && it.contains("--hash=sha256:")).collect();
    let has_others = lines(pins).iter().any(|it| it.contains("--hash=") && !it.contains("--hash=sha256:"));
    wanted.push(pip.to_owned());
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry.with_context(|| format!("read {}", folder.display()))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name == PINS {
            continue;
        }
        let digest = format!("--hash=sha256:{}", file_sha256(&path)?);
        let before = wanted.len();
        wanted.retain(|it| !it.contains(&digest));
        if wanted.len() == before && !has_others {
            return Ok(Some(name));
        }
    }
    Ok(wanted.first().map(|it| it.split_whitespace().next().unwrap_or_default().to_owned()))
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
        let to = to.join(entry.file_name());
        fs::copy(entry.path(), &to).with_context(|| format!("copy {} to {}", entry.path().display(), to.display()))?;
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
        index::check(env, environment, settings, &rest.iter().map(String::as_str).collect::<Vec<_>>())?;
        let file = env.own("requirements.wanted");
        record::write_file(&file, format!("{}\n", rest.join("\n")).as_bytes())?;
        let version = &target.python;
        let platforms: Vec<String> = target.platforms().into_iter().flat_map(|it| ["--platform".to_owned(), it]).collect();
        let command = || {
            pip()
                .args(["--require-hashes", "--implementation", "cp", "--python-version", version])
                .args(&platforms)
                .arg("--requirement")
                .arg(&file)
        };
        let progress = |line: &str| {
            if line.starts_with("Collecting") || line.starts_with("Downloading") {
                env.progress(env.id, line);
            }
        };
        pip::run(env, settings, command, progress).map_err(|error| failed(error, target))?;
    }
    let file = env.own("requirements.wanted");
    record::write_file(&file, format!("{}\n", environment.pip()).as_bytes())?;
    let command = || pip().args(["--quiet", "--require-hashes", "--requirement"]).arg(&file);
    pip::run(env, settings, command, |_| ()).map_err(|error| failed(error, target))
}

fn failed(error: anyhow::Error, target: &Target) -> anyhow::Error {
    let text = format!("{error:#}");
    if errors::code(&error) == Code::Download || !text.contains("ERROR: ") {
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

    #[test]
    fn a_file_that_the_pins_do_not_name_by_its_digest_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            fs::write(dir.path().join(name), text).unwrap();
            file_sha256(&dir.path().join(name)).unwrap()
        };
        put(PINS, "");
        let (six, idna) = (put("six-1.17.0-py3-none-any.whl", "six"), put("idna-3.10-py3-none-any.whl", "idna"));
        let pins = format!("six==1.17.0 \\\n    --hash=sha256:00 \\\n    --hash=sha256:{six}\nidna==3.10 --hash=sha256:{idna}\n");
        let pip = put("pip-1-py3-none-any.whl", "pip");
        let found = |pins: &str| damaged(dir.path(), pins, &format!("pip==1 --hash=sha256:{pip}")).unwrap();
        assert_eq!(found(&pins), None);
        // The application's own pin of pip is the same file.
        assert_eq!(found(&format!("{pins}pip==1 --hash=sha256:{pip}\n")), None);
        // Only the author's pins have digests of another kind.
        assert_eq!(found(&pins.replace(&format!("sha256:{idna}"), "sha512:00")), None);
        put("idna-3.10-py3-none-any.whl", "idnb");
        assert_eq!(found(&pins).as_deref(), Some("idna-3.10-py3-none-any.whl"));
        fs::remove_file(dir.path().join("idna-3.10-py3-none-any.whl")).unwrap();
        assert_eq!(found(&pins).as_deref(), Some("idna==3.10"));
    }
}
