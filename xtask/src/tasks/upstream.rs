//! Fetches a version of upstream's source with the client of its ecosystem, and checks its hash.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use xshell::cmd;

use crate::{
    env::Scope,
    errors::{Code, Problem, recode},
    fingerprint::hex,
    npm as registry, regular,
    requirements::{environment::environment, settings::Settings},
    setup::{self, Need},
    tasks::patch::{git::here, source},
    tool::COMMAND_LIMIT,
    upstream::{Section, Source},
};

/// Unpacks an archive without leaving the folder, and fetches a URL.
const SCRIPT: &str = include_str!("upstream/fetch.py");

/// Fetches the version into `folder`, which is replaced. `known` is the section with the hash that the same version had.
pub(crate) fn fetch(scope: &Scope<'_>, from: &Source, version: &str, known: Option<&Section>, folder: &Path) -> Result<Section> {
    check_version(version)?;
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    let place = tempfile::tempdir().context("make a temporary folder")?;
    scope.progress(scope.id, format!("fetching {from} {version}"));
    let failed = |error: anyhow::Error| match versions(scope, from) {
        Ok(Some(all)) if !all.is_empty() && !all.iter().any(|it| it == version) => missing(from, version, &all),
        _ => recode(error, Code::Upstream).context(format!("version {version} of {from} cannot be fetched")),
    };
    let archive = match from {
        Source::Sdist(name) => packed(scope, &pip(scope, name, version, "--no-binary", place.path()).map_err(failed)?, folder, true)?,
        Source::Wheel(name) => packed(scope, &pip(scope, name, version, "--only-binary", place.path()).map_err(failed)?, folder, false)?,
        Source::Npm(name) => packed(scope, &npm(scope, name, version, place.path()).map_err(failed)?, folder, true)?,
        Source::Git(url) => git(scope, url, version, folder).map_err(failed)?,
        Source::Archive(path) => {
            let path = path.replace("{version}", version);
            let file = if path.contains("://") {
                run(scope, "fetch", &path, place.path()).map_err(failed)?;
                only_file(place.path())?
            } else {
                scope.path(&path)
            };
            if !file.is_file() {
                return Err(failed(Problem::new(format!("there is no archive {}", file.display())).into()));
            }
            packed(scope, &file, folder, true)?
        }
        Source::Folder(path) => {
            let from = scope.path(path.replace("{version}", version));
            if !from.is_dir() {
                return Err(failed(Problem::new(format!("there is no folder {}", from.display())).into()));
            }
            source::copy_files(scope, &source::of_folder(&from)?, folder)?;
            String::new()
        }
    };
    if let Some(known) = known.filter(|it| it.version == version && it.source == *from && !it.archive.is_empty() && it.archive != archive) {
        let what = format!("{from} {version} is not what UPSTREAM.md says: it has `{}`, and now it is `{archive}`", known.archive);
        return Err(Problem::new(what)
            .code(Code::Upstream)
            .hint("the file was replaced upstream, or the line was edited: compare both, and correct or remove the line `- Archive:`")
            .into());
    }
    let files = source::of_folder(folder)?;
    if files.is_empty() {
        return Err(Problem::new(format!("{from} {version} has no files")).code(Code::Upstream).into());
    }
    let content = source::content(&files)?;
    Ok(Section { source: from.clone(), version: version.to_owned(), archive, license: license(folder), content })
}

/// The error for a version that is in no list.
fn missing(from: &Source, version: &str, all: &[String]) -> anyhow::Error {
    let newest: Vec<&str> = all.iter().rev().take(10).map(String::as_str).collect();
    Problem::new(format!("{from} has no version {version}"))
        .code(Code::Upstream)
        .hint(format!("the newest are: {}", newest.join(", ")))
        .into()
}

/// The versions that there are, the newest last; `None` if the source has no list of them.
pub(crate) fn versions(scope: &Scope<'_>, from: &Source) -> Result<Option<Vec<String>>> {
    let sh = scope.tools.shell(&scope.project)?;
    Ok(match from {
        Source::Sdist(name) | Source::Wheel(name) => {
            let environment = environment(scope)?;
            let (settings, python) = (Settings::read(scope, &environment, "{}")?, environment.python());
            let command = settings.for_pip(cmd!(sh, "{python} -I -m pip index versions --disable-pip-version-check {name}"));
            let text = scope.tools.read(scope.id, command).map_err(|it| recode(it, Code::Upstream))?;
            let list = text.lines().find_map(|it| it.trim().strip_prefix("Available versions:")).unwrap_or_default();
            Some(list.split(',').map(|it| it.trim().to_owned()).filter(|it| !it.is_empty()).rev().collect())
        }
        Source::Npm(name) => {
            let text = scope.tools.read(scope.id, cmd!(sh, "npm view {name} versions --json")).map_err(|it| recode(it, Code::Upstream))?;
            let list: Value = serde_json::from_str(&text).context("read npm's list of versions")?;
            let all = list.as_array().cloned().unwrap_or_else(|| vec![list]);
            Some(all.iter().filter_map(|it| it.as_str()).map(str::to_owned).collect())
        }
        Source::Git(url) => {
            let command = here(cmd!(sh, "git ls-remote --tags --refs --sort=version:refname -- {url}").env("GIT_TERMINAL_PROMPT", "0"));
            let text = scope.tools.read(scope.id, command).map_err(|it| recode(it, Code::Upstream))?;
            Some(text.lines().filter_map(|it| it.split("refs/tags/").nth(1)).map(str::to_owned).collect())
        }
        Source::Archive(_) | Source::Folder(_) => None,
    })
}

/// A version becomes a part of commands and paths.
fn check_version(version: &str) -> Result<()> {
    let is_plain = |it: char| it.is_ascii_alphanumeric() || "._-+!/".contains(it);
    let has_name = version.chars().any(|it| it.is_ascii_alphanumeric());
    if version.starts_with('-') || !has_name || version.contains("..") || !version.chars().all(is_plain) || version.is_empty() {
        return Err(Problem::usage(format!("`{version}` is not a version, a tag or a commit")).into());
    }
    Ok(())
}

/// Downloads one file with pip, which checks its hash against the index.
fn pip(scope: &Scope<'_>, name: &str, version: &str, form: &str, place: &Path) -> Result<PathBuf> {
    let environment = environment(scope)?;
    let (settings, python) = (Settings::read(scope, &environment, "{}")?, environment.python());
    let sh = scope.tools.shell(place)?;
    let wanted = format!("{name}=={version}");
    let command =
        cmd!(sh, "{python} -I -m pip download --quiet --disable-pip-version-check --no-deps {form} :all: --dest {place} {wanted}");
    scope.tools.fetching().run_watched(scope.id, settings.for_pip(command), COMMAND_LIMIT, |_| ())?;
    only_file(place)
}

fn npm(scope: &Scope<'_>, name: &str, version: &str, place: &Path) -> Result<PathBuf> {
    setup::ensure(scope, scope.id, &[Need { program: "npm", package: "npm" }], "fetching a package of Node.js")?;
    let sh = scope.tools.shell(place)?;
    let wanted = format!("{name}@{version}");
    scope.tools.fetching().run(scope.id, registry::soon(cmd!(sh, "npm pack --ignore-scripts --loglevel=warn {wanted}")))?;
    only_file(place)
}

/// The commit of a tag, a branch, or a commit itself. The person's settings of git apply, since they may have its credentials.
fn git(scope: &Scope<'_>, url: &str, version: &str, folder: &Path) -> Result<String> {
    let place = tempfile::tempdir().context("make a temporary folder")?;
    let sh = scope.tools.shell(place.path())?;
    // A path is relative to the project.
    let local = scope.path(url);
    let url = if !url.contains(':') && local.exists() { local.display().to_string() } else { url.to_owned() };
    let plain = ["-c", "core.autocrlf=false", "-c", "core.hooksPath=/dev/null", "-c", "advice.detachedHead=false"];
    let fetch = cmd!(sh, "git {plain...} fetch --quiet --depth 1 -- {url} {version}").env("GIT_TERMINAL_PROMPT", "0");
    scope.tools.run(scope.id, here(cmd!(sh, "git init --quiet")))?;
    // A server that packs a large repository is silent for minutes, and so is git.
    scope.tools.fetching_by_itself().run(scope.id, here(fetch))?;
    scope.tools.run(scope.id, here(cmd!(sh, "git {plain...} checkout --quiet FETCH_HEAD")))?;
    let commit = scope.tools.read(scope.id, here(cmd!(sh, "git rev-parse HEAD")))?;
    source::copy_files(scope, &source::of_folder(place.path())?, folder)?;
    Ok(format!("commit {commit}"))
}

fn only_file(folder: &Path) -> Result<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)?.flatten().map(|it| it.path()).filter(|it| it.is_file()).collect();
    let file = files.pop().context("the client fetched no file")?;
    if files.is_empty() { Ok(file) } else { Err(Problem::new("the client fetched several files").code(Code::Upstream).into()) }
}

/// Unpacks the archive; returns its name and SHA-256. `strip`: without the folder that all files are in.
fn packed(scope: &Scope<'_>, archive: &Path, folder: &Path, strip: bool) -> Result<String> {
    let bytes = regular::read(archive).with_context(|| format!("read {}", archive.display()))?;
    let place = tempfile::tempdir().context("make a temporary folder")?;
    run(scope, if strip { "strip" } else { "whole" }, &archive.display().to_string(), place.path())
        .map_err(|it| recode(it, Code::Upstream))?;
    source::copy_files(scope, &source::of_folder(place.path())?, folder)?;
    let name = archive.file_name().unwrap_or_default().to_string_lossy();
    Ok(format!("{name}, sha256:{}", hex(&Sha256::digest(&bytes))))
}

fn run(scope: &Scope<'_>, what: &str, from: &str, to: &Path) -> Result<()> {
    let script = tempfile::Builder::new().suffix(".py").tempfile().context("write the script")?;
    fs::write(script.path(), SCRIPT).context("write the script")?;
    let (sh, path) = (scope.tools.shell(to)?, script.path());
    scope.tools.run(scope.id, cmd!(sh, "python3 -I {path} {what} {from} {to}"))
}

/// The licence that upstream's own files name: metadata first, then the first line of a licence file.
fn license(folder: &Path) -> String {
    let read = |path: &Path| regular::read(path).ok().map(|it| String::from_utf8_lossy(&it).into_owned());
    let entries: Vec<PathBuf> = fs::read_dir(folder).map(|it| it.flatten().map(|it| it.path()).collect()).unwrap_or_default();
    let infos = entries.iter().filter(|it| it.extension().is_some_and(|it| it == "dist-info")).map(|it| it.join("METADATA"));
    for text in infos.chain([folder.join("PKG-INFO")]).filter_map(|it| read(&it)) {
        let head = text.split("\n\n").next().unwrap_or_default();
        let value =
            |name: &str| head.lines().find_map(|it| it.strip_prefix(name)).map(str::trim).filter(|it| !it.is_empty() && *it != "UNKNOWN");
        let class = head.lines().find_map(|it| it.strip_prefix("Classifier: License ::")?.rsplit("::").next());
        if let Some(found) = value("License-Expression:").or_else(|| value("License:").filter(|it| it.len() < 60)).or(class.map(str::trim))
        {
            return found.to_owned();
        }
    }
    if let Some(found) =
        read(&folder.join("package.json")).and_then(|it| serde_json::from_str::<Value>(&it).ok()?["license"].as_str().map(str::to_owned))
    {
        return found;
    }
    let is_licence = |it: &&PathBuf| {
        let name = it.file_name().unwrap_or_default().to_string_lossy().to_ascii_uppercase();
        ["LICENSE", "LICENCE", "COPYING"].iter().any(|start| name.starts_with(start)) && it.is_file()
    };
    let mut files: Vec<&PathBuf> = entries.iter().filter(is_licence).collect();
    files.sort();
    let line = files.first().and_then(|it| read(it)).and_then(|it| it.lines().map(str::trim).find(|it| !it.is_empty()).map(str::to_owned));
    line.map(|it| it.chars().take(80).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_no_option_and_leads_nowhere() {
        for version in ["1.0", "v1.2.3-rc.1", "release/2024", "1!2.0+local"] {
            assert!(check_version(version).is_ok(), "{version}");
        }
        for version in ["", ".", "./", "-u", "--upload-pack=x", "../x", "1 0", "1;x", "$(x)"] {
            assert!(check_version(version).is_err(), "{version}");
        }
    }

    #[test]
    fn the_licence_is_the_one_that_the_files_name() {
        let of = |name: &str, text: &str| {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir_all(dir.path().join(name).parent().unwrap()).unwrap();
            fs::write(dir.path().join(name), text).unwrap();
            license(dir.path())
        };
        assert_eq!(of("PKG-INFO", "Name: x\nLicense-Expression: MIT\n\nLicense: other\n"), "MIT");
        assert_eq!(of("x-1.dist-info/METADATA", "License: UNKNOWN\nClassifier: License :: OSI Approved :: BSD License\n"), "BSD License");
        assert_eq!(of("package.json", r#"{"license": "ISC"}"#), "ISC");
        assert_eq!(of("LICENSE.md", "\n  The Unlicense\nmore"), "The Unlicense");
        assert_eq!(of("README", "x"), "");
    }
}
