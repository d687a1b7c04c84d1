//! What an image build needs and a package registry has: Node's own programs with a cache of locked packages, or programs that this
//! machine's compiler makes. The build itself has no network.
//!
//! `prepare` fills a folder that the build's context holds as `artifacts/`, as the Dockerfiles of `scaffold/` copy it:
//! - Node.js: `bin/` with `node` and the package manager, its package in `lib/`, and `cache/` (npm), `store/` (pnpm) or `mirror/` (yarn);
//!   `package-lock.json` where the application has no lock.
//! - Go and Rust: `bin/` with the programs.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use xshell::cmd;

use crate::{
    errors::Problem,
    fingerprint::Fingerprint,
    graph::TaskId,
    npm::{self, NODE, NPM, PNPM, YARN},
    recognise::{Recognised, ServiceKind, Stack},
    record, regular,
    tool::{self, BUILD_LIMIT, Tools},
};

/// The folder's name in the context.
pub const FOLDER: &str = "artifacts";
/// The ending of the file beside it that says what its packages are for.
const KEY: &str = "key";

/// Whether builds of this stack need the folder.
pub fn are_needed(stack: Stack) -> bool {
    matches!(stack, Stack::Node | Stack::Go | Stack::Rust)
}

/// The files that decide which packages of Node.js are installed, and how.
const NODE_FILES: [&str; 8] =
    ["package.json", "package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "pnpm-workspace.yaml", "yarn.lock", ".npmrc", ".yarnrc"];

/// Fills `into`, which is emptied first, for the application in `app`. Packages of Node.js stay where nothing that decides about them has
/// changed, so that an update of the source fetches none: `into` with the ending `key` says what they are for.
pub fn prepare(tools: &Tools, task: TaskId, found: &Recognised, app: &Path, into: &Path) -> Result<()> {
    let key = into.with_extension(KEY);
    let wanted = if found.stack == Stack::Node { node_key(found, app)? } else { String::new() };
    if !wanted.is_empty() && into.is_dir() && fs::read_to_string(&key).is_ok_and(|it| it == wanted) {
        return Ok(());
    }
    if key.exists() {
        fs::remove_file(&key).with_context(|| format!("remove {}", key.display()))?;
    }
    fill(tools, task, found, app, into)?;
    if wanted.is_empty() {
        return Ok(());
    }
    regular::settle(into)?;
    record::write_file(&key, wanted.as_bytes())
}

fn node_key(found: &Recognised, app: &Path) -> Result<String> {
    let mut key = Fingerprint::new();
    key.add("versions", format!("{NODE} {NPM} {PNPM} {YARN} {:?} {:?}", found.language, found.packages));
    for name in NODE_FILES {
        if app.join(name).is_file() {
            key.add_file(name, &app.join(name))?;
        }
    }
    Ok(key.digest())
}

fn fill(tools: &Tools, task: TaskId, found: &Recognised, app: &Path, into: &Path) -> Result<()> {
    if into.exists() {
        fs::remove_dir_all(into).with_context(|| format!("remove {}", into.display()))?;
    }
    fs::create_dir_all(into.join("bin")).with_context(|| format!("make {}", into.display()))?;
    match found.stack {
        Stack::Node => node(tools, task, found, app, into),
        Stack::Go => go(tools, task, found, app, into),
        Stack::Rust => rust(tools, task, found, app, into),
        Stack::Python | Stack::Site | Stack::Dockerfile => Ok(()),
    }
}

/// A program that the machine must have, with the command that brings it.
fn need(program: &str, why: &str, hint: &str) -> Result<()> {
    if tool::find(program).is_some() {
        return Ok(());
    }
    Err(Problem::requirement(format!("{why} needs `{program}`, which is not on this machine")).hint(hint).into())
}

fn node(tools: &Tools, task: TaskId, found: &Recognised, app: &Path, into: &Path) -> Result<()> {
    let tools = &tools.fetching();
    need("npm", "an application of Node.js", "install it, on Debian with: sudo apt-get install --no-install-recommends npm")?;
    let package = npm::node_package();
    let version = match &found.language {
        Some(range) => fitting(tools, task, package, range)?,
        None => NODE.to_owned(),
    };
    let node = fetch(tools, task, app, &format!("{package}@{version}"), &into.join("lib/node"))?;
    fs::rename(node.join("bin/node"), into.join("bin/node")).context("take the program node out of its package")?;
    fs::remove_dir_all(&node).context("remove what the program node does not need")?;
    // Only what decides about the packages goes to the package manager: nothing of the application runs on this machine.
    let lone = tempfile::tempdir().context("make a folder for the package manager")?;
    for name in NODE_FILES {
        if app.join(name).is_file() {
            fs::copy(app.join(name), lone.path().join(name)).with_context(|| format!("copy {name}"))?;
        }
    }
    let sh = tools.shell(lone.path())?;
    let packages = found.packages.as_ref();
    let program = into.join("bin/node");
    match packages.map_or("npm", |it| it.manager.as_str()) {
        "pnpm" => {
            let pnpm = manager(tools, task, app, into, "pnpm", PNPM, "bin/pnpm.cjs")?;
            let store = into.join("store");
            // Without the flag, pnpm calls a lock "broken" whose digest other bytes do not fit, asks the registry for another one, and may end well
            // without the package.
            let fetch = cmd!(sh, "{program} {pnpm} fetch --frozen-lockfile --store-dir {store}");
            let fetch = fetch.env("CI", "true").env("npm_config_manage_package_manager_versions", "false");
            tools.run_watched(task, npm::soon(fetch), BUILD_LIMIT, |_| ())
        }
        "yarn" => {
            let yarn = manager(tools, task, app, into, "yarn", YARN, "bin/yarn.js")?;
            let mirror = into.join("mirror");
            // Yarn makes no folder for it, and puts nothing there that its own cache has.
            fs::create_dir_all(&mirror).with_context(|| format!("make {}", mirror.display()))?;
            let cache = lone.path().join("cache");
            let flags = ["--frozen-lockfile", "--ignore-scripts", "--ignore-engines", "--non-interactive"];
            // Without a byte; yarn then tries again four times, and says so each time.
            let bounds = ["--network-timeout", "30000", "--cache-folder"];
            let command = cmd!(sh, "{program} {yarn} install {flags...} {bounds...} {cache}");
            tools.run_watched(task, command.env("YARN_YARN_OFFLINE_MIRROR", mirror), BUILD_LIMIT, |_| ())
        }
        _ => {
            let cli = manager(tools, task, app, into, "npm", NPM, "bin/npm-cli.js")?;
            let cache = into.join("cache");
            let flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--cache"];
            if packages.is_none_or(|it| it.lock.is_none()) {
                let lock = cmd!(sh, "{program} {cli} install --package-lock-only {flags...} {cache}");
                tools.run_watched(task, npm::soon(lock), BUILD_LIMIT, |_| ())?;
                fs::copy(lone.path().join("package-lock.json"), into.join("package-lock.json")).context("keep the lock")?;
            }
            tools.run_watched(task, npm::soon(cmd!(sh, "{program} {cli} ci {flags...} {cache}")), BUILD_LIMIT, |_| ())?;
            let settings = tools.read(task, cmd!(sh, "{program} {cli} config list --json")).context("read npm's settings")?;
            fs::write(into.join("npmrc"), registries(&settings)).context("write npm's registries")
        }
    }
}

/// The release of Node.js for a range such as `>=20`, which npm reads: the line with long support where it fits, since the newest line may
/// need libraries that the base image lacks.
fn fitting(tools: &Tools, task: TaskId, package: &str, range: &str) -> Result<String> {
    let sh = tools.shell(&std::env::temp_dir())?;
    let text = tools
        .read(task, npm::soon(cmd!(sh, "npm view {package}@{range} version --json")))
        .with_context(|| format!("ask for Node.js {range}"))?;
    npm::choice(&text).ok_or_else(|| {
        let what = format!("no release of Node.js fits `{range}`, which the application asks for");
        Problem::new(what).hint("change `engines.node` in package.json, or .nvmrc, by a patch").into()
    })
}

/// Which registries npm was told, and nothing else of its settings: answers are found in the cache by the address that they came from. What
/// an address says of a user stays behind.
fn registries(settings: &str) -> String {
    let all: serde_json::Map<String, serde_json::Value> = serde_json::from_str(settings).unwrap_or_default();
    let mut out = String::new();
    for (name, value) in all.iter().filter(|(name, _)| *name == "registry" || name.starts_with('@') && name.ends_with(":registry")) {
        let address = value.as_str().unwrap_or_default();
        let (scheme, rest) = address.split_once("://").unwrap_or(("https", address));
        let place = rest.split_once('/').map_or((rest, ""), |it| it);
        let host = place.0.rsplit('@').next().unwrap_or_default();
        out.push_str(&format!("{name}={scheme}://{host}/{}\n", place.1));
    }
    out
}

/// A package of npm's registry, unpacked. A release of Node.js that only a range of the application's fits has no pinned digest.
fn fetch(tools: &Tools, task: TaskId, app: &Path, spec: &str, to: &Path) -> Result<PathBuf> {
    npm::fetch(tools, task, &app.join(".npmrc"), spec, npm::digest(spec), to)?;
    Ok(to.to_owned())
}

/// The package manager's package, and a program of its name that runs it.
fn manager(tools: &Tools, task: TaskId, app: &Path, into: &Path, name: &str, version: &str, file: &str) -> Result<PathBuf> {
    let package = fetch(tools, task, app, &format!("{name}@{version}"), &into.join("lib").join(name))?;
    let program = into.join("bin").join(name);
    let text = format!("#!/bin/sh\nexec node /opt/{FOLDER}/lib/{name}/{file} \"$@\"\n");
    fs::write(&program, text).with_context(|| format!("write {}", program.display()))?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).with_context(|| format!("write {}", program.display()))?;
    Ok(package.join(file))
}

/// Programs beside the server that services of the same module are.
fn beside(found: &Recognised) -> impl Iterator<Item = &str> {
    found.services.iter().filter(|it| matches!(it.kind, ServiceKind::Process(_))).map(|it| it.name.as_str())
}

fn go(tools: &Tools, task: TaskId, found: &Recognised, app: &Path, into: &Path) -> Result<()> {
    let tools = &tools.fetching();
    need("go", "an application of Go", "install it: https://go.dev/doc/install")?;
    let sh = tools.shell(app)?;
    let target = found.target.clone().unwrap_or_else(|| ".".to_owned());
    // A command of the user's may be a line for a shell, and a Procfile may call the program by another name.
    let started =
        || found.start.as_ref().map(ToString::to_string).and_then(|it| it.split(' ').next()?.rsplit('/').next().map(str::to_owned));
    let name = found.program.clone().filter(|_| found.is_start_said).or_else(started);
    let mut programs = vec![(target.clone(), name.unwrap_or_else(|| "app".to_owned()))];
    for service in beside(found) {
        let folder = target.rsplit_once('/').map_or(".", |it| it.0);
        if app.join(folder).join(service).is_dir() {
            programs.push((format!("{folder}/{service}"), service.to_owned()));
        }
    }
    for (package, name) in programs {
        let out = into.join("bin").join(name);
        // Static, so that it runs in an empty image; times of the world are in it.
        let flags = ["-trimpath", "-buildvcs=false", "-tags=timetzdata", "-ldflags=-s -w"];
        let command = cmd!(sh, "go build {flags...} -o {out} {package}").env("CGO_ENABLED", "0").env("GOOS", "linux");
        tools.run_watched(task, command, BUILD_LIMIT, |_| ()).with_context(|| format!("compile {package}"))?;
    }
    Ok(())
}

fn rust(tools: &Tools, task: TaskId, found: &Recognised, app: &Path, into: &Path) -> Result<()> {
    let tools = &tools.fetching();
    need("cargo", "an application of Rust", "install it: https://rustup.rs")?;
    let sh = tools.shell(app)?;
    let (package, program) = found.target.as_deref().and_then(|it| it.split_once('/')).context("the program to build is not known")?;
    let triple = if cfg!(target_arch = "aarch64") { "aarch64-unknown-linux-gnu" } else { "x86_64-unknown-linux-gnu" };
    // Not below the staged source, which is replaced: what is compiled already stays compiled.
    let made = into.with_file_name("cargo");
    let locked: &[&str] = if app.join("Cargo.lock").is_file() { &["--locked"] } else { &[] };
    // With the C library in it, the program needs none of the image's, which may be older. A target is named so that this does not
    // hold for build scripts and macros.
    let flags = format!("{} -C target-feature=+crt-static", std::env::var("RUSTFLAGS").unwrap_or_default());
    let command = cmd!(sh, "cargo build --release {locked...} --target {triple} --target-dir {made} --package {package} --bin {program}");
    tools.run_watched(task, command.env("RUSTFLAGS", flags.trim()), BUILD_LIMIT, |_| ()).with_context(|| format!("compile {program}"))?;
    let built = made.join(triple).join("release").join(program);
    fs::copy(&built, into.join("bin").join(found.program.as_deref().unwrap_or(program)))
        .with_context(|| format!("take {}", built.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_places_of_registries_leave_npms_settings() {
        let settings = r#"{"registry": "https://me:secret@mirror.example.com/npm/", "@team:registry": "http://team.example.com/", "//mirror.example.com/:_authToken": "(protected)", "cache": "/root"}"#;
        assert_eq!(registries(settings), "registry=https://mirror.example.com/npm/\n@team:registry=http://team.example.com/\n");
        assert_eq!(registries("no JSON"), "");
    }
}
