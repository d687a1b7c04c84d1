//! Python requirements: from the application's imports to pins with hashes, and from pins to wheels.
//!
//! pipreqs, uv and pip do the work, from a virtual environment of the tool's own; they use the host's index,
//! proxy and CA settings. Which of it must be done is decided in `tasks/requirements.rs`.

pub mod imports;
pub mod pip_settings;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use xshell::cmd;

use crate::{
    env::Env,
    errors::{Code, Problem},
    fingerprint::Fingerprint,
    graph::TaskId,
    record,
    setup::{self, Need},
    tool::{self, BUILD_LIMIT},
};

const ID: TaskId = TaskId::Requirements;

/// What goes into the tool's own virtual environment. pip's wheel also goes into the image's build context.
const PIPREQS: &str = "pipreqs==0.4.13";
const UV: &str = "uv==0.13.9";
pub const PIP: &str = "pip==26.3";

/// The image's Python and platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `3.13`.
    pub python: String,
    /// `x86_64` or `aarch64`.
    pub arch: &'static str,
}

impl Target {
    pub fn new(python: &str) -> Target {
        Target { python: python.to_owned(), arch: std::env::consts::ARCH }
    }

    /// Newest first; wheels for older C libraries run on newer ones (PEP 600).
    fn platforms(&self) -> Vec<String> {
        ["manylinux_2_34", "manylinux_2_31", "manylinux_2_28", "manylinux_2_17", "manylinux2014"]
            .iter()
            .map(|it| format!("{it}_{}", self.arch))
            .collect()
    }
}

/// The environment with pipreqs, uv and pip; made once per machine and set of versions.
pub fn environment(env: &Env) -> Result<PathBuf> {
    let sh = env.tools.shell(&env.project)?;
    if tool::find("python3").is_none() || !env.tools.is_ok(ID, cmd!(sh, "python3 -c 'import venv, ensurepip'"))? {
        setup::ensure(env, ID, &[Need { program: "python3", package: "python3-venv" }], "pinning the requirements")?;
        if !env.tools.is_ok(ID, cmd!(sh, "python3 -c 'import venv, ensurepip'"))? {
            let what = "this machine's python3 cannot make virtual environments (modules venv and ensurepip)";
            return Err(Problem::requirement(what).hint("install them, on Debian with: apt-get install python3-venv").into());
        }
    }
    let mut key = Fingerprint::new();
    key.add("packages", format!("{PIPREQS} {UV} {PIP}"));
    key.add("python", env.tools.read(ID, cmd!(sh, "python3 -c 'import sys; print(sys.executable, sys.version)'"))?);
    let dir = env.cache(format!("python-{}", key.short()));
    let finished = dir.join(".finished");
    if finished.exists() {
        return Ok(dir);
    }
    // An environment knows its own path and cannot be moved into place: a mark tells a finished one.
    if dir.exists() {
        fs::remove_dir_all(&dir).with_context(|| format!("remove {}", dir.display()))?;
    }
    env.progress(ID, "installing pipreqs, uv and pip into an environment of the tool's own");
    env.tools.run(ID, cmd!(sh, "python3 -m venv {dir}")).context("make a virtual environment")?;
    let pip = dir.join("bin/pip");
    // pipreqs asks for notebook support by default; imports of .py files need none of it.
    env.tools.run(ID, cmd!(sh, "{pip} install --quiet {UV} {PIP} docopt yarg")).context("install uv and pip")?;
    env.tools.run(ID, cmd!(sh, "{pip} install --quiet --no-deps {PIPREQS}")).context("install pipreqs")?;
    fs::write(&finished, "")?;
    Ok(dir)
}

/// The packages that the application's files import, as pipreqs names them; asks no index.
pub fn from_imports(env: &Env, environment: &Path, app: &Path) -> Result<Vec<String>> {
    let python = environment.join("bin/python");
    let sh = env.tools.shell(&env.project)?;
    let script = "import sys\nfrom pipreqs import pipreqs\nimports = pipreqs.get_all_imports(sys.argv[1], encoding='utf-8')\nprint('\\n'.join(sorted(set(pipreqs.get_pkg_names(imports)), key=str.lower)))";
    let out = env.tools.read(ID, cmd!(sh, "{python} -c {script} {app}")).context("read the application's imports")?;
    let names: Vec<String> = out.lines().map(|it| it.trim().to_owned()).filter(|it| !it.is_empty()).collect();
    if names.is_empty() {
        let what = "the application imports no package";
        return Err(Problem::new(what)
            .code(Code::Requirements)
            .hint("write a requirements.txt into it by a patch, or correct `frontend.path`")
            .into());
    }
    Ok(names)
}

/// Pins the packages and all that they need, with hashes, for the target; the text of a requirements file.
pub fn pin(env: &Env, environment: &Path, names: &[String], target: &Target) -> Result<String> {
    let input = env.work("requirements.in");
    record::write_file(&input, format!("{}\n", names.join("\n")).as_bytes())?;
    let (uv, pip) = (environment.join("bin/uv"), environment.join("bin/pip"));
    let python = environment.join("bin/python");
    let sh = env.tools.shell(&env.project)?;
    let settings = env.tools.read(ID, cmd!(sh, "{pip} config list")).context("read pip's settings")?;
    let (version, platform) = (&target.python, format!("{}-manylinux_2_28", target.arch));
    let mut command =
        cmd!(sh, "{uv} pip compile --quiet --generate-hashes --no-header --no-annotate --only-binary :all: --python {python}");
    command = command
        .args(["--python-version", version, "--python-platform", &platform])
        .arg(&input)
        .env("UV_SYSTEM_CERTS", "1")
        .env("UV_NATIVE_TLS", "1");
    for (name, value) in pip_settings::for_uv(&settings) {
        if std::env::var_os(name).is_none() {
            command = command.env(name, value);
        }
    }
    env.tools.read(ID, command).context("pin the requirements")
}

/// Puts every wheel of the file, and pip's own, into a new folder that takes the old one's place when it is whole. What is
/// pinned to the last hash is the same for every instance of the machine: it is downloaded once, and kept under `key`.
pub fn provide(env: &Env, file: &Path, target: &Target, key: &str) -> Result<()> {
    let fresh = emptied(env.work("wheels.new"))?;
    let kept = env.cache(format!("wheels/{key}"));
    let is_pinned = fs::read_to_string(file).is_ok_and(|it| it.contains("--hash="));
    if is_pinned && kept.is_dir() && !env.is_forced(ID) {
        copy_files(&kept, &fresh)?;
    } else {
        download(env, file, target, &fresh, is_pinned)?;
        if is_pinned {
            let part = emptied(env.cache(format!("wheels/.{key}.{}.part", std::process::id())))?;
            copy_files(&fresh, &part)?;
            // Another run may have been faster; its files are the same.
            if fs::rename(&part, &kept).is_err() {
                fs::remove_dir_all(&part).with_context(|| format!("remove {}", part.display()))?;
            }
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

fn download(env: &Env, file: &Path, target: &Target, fresh: &Path, is_pinned: bool) -> Result<()> {
    let environment = environment(env)?;
    let pip = environment.join("bin/pip");
    let sh = env.tools.shell(&env.project)?;
    let version = &target.python;
    let platforms: Vec<String> = target.platforms().into_iter().flat_map(|it| ["--platform".to_owned(), it]).collect();
    let mut command = cmd!(
        sh,
        "{pip} download --dest {fresh} --only-binary=:all: --implementation cp --python-version {version} {platforms...} --requirement {file}"
    );
    if is_pinned {
        // Pinned to the last: what is not in the file is not wanted.
        command = command.args(["--require-hashes", "--no-deps"]);
    }
    let progress = |line: &str| {
        if line.starts_with("Collecting") || line.starts_with("Downloading") {
            env.progress(ID, line);
        }
    };
    env.tools.run_watched(ID, command, BUILD_LIMIT, progress).context("download the wheels")?;
    env.tools.run(ID, cmd!(sh, "{pip} download --quiet --dest {fresh} --no-deps --only-binary=:all: {PIP}")).context("download pip's wheel")
}
