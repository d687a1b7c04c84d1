//! The tool's own Python environment, and calls into it that are isolated from the user's Python, pip and uv.
//!
//! A call gets no `PYTHON…`, `PIP_…` or `UV_…` variable, no pip.conf and no uv.toml. `settings.rs` passes on those of pip's settings that
//! decide about packages.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use xshell::{Cmd, cmd};

use crate::{
    env::Scope,
    errors::Problem,
    fingerprint::Fingerprint,
    record,
    requirements::{PIP, PIPREQS, STDLIB_LIST, UV, settings::Settings},
    setup::{self, Need},
    tool,
};

/// Our own programs and their table of packages.
const SCRIPTS: [(&str, &str); 5] = [
    ("scan.py", include_str!("python/scan.py")),
    ("read.py", include_str!("python/read.py")),
    ("index.py", include_str!("python/index.py")),
    ("settings.py", include_str!("python/settings.py")),
    ("packages.txt", include_str!("python/packages.txt")),
];

/// An existing environment.
#[derive(Clone, Debug)]
pub struct Environment {
    dir: PathBuf,
    /// The folder of our own programs, with a hash of their content in its name.
    scripts: PathBuf,
}

impl Environment {
    pub fn python(&self) -> PathBuf {
        self.dir.join("bin/python")
    }

    pub fn program(&self, name: &str) -> PathBuf {
        self.dir.join("bin").join(name)
    }

    /// The path of one of our own programs.
    pub fn script(&self, name: &str) -> PathBuf {
        self.scripts.join(name)
    }

    /// The path of pipreqs' table of imports and packages, if pipreqs has it.
    pub fn pipreqs_table(&self) -> PathBuf {
        let library = self.dir.join("lib");
        let folders = fs::read_dir(&library).map(|it| it.flatten().map(|it| it.path()).collect::<Vec<_>>()).unwrap_or_default();
        folders.iter().map(|it| it.join("site-packages/pipreqs/mapping")).find(|it| it.is_file()).unwrap_or(library)
    }
}

/// The environment with pipreqs, uv and pip, created once for each machine and set of versions.
pub fn environment(env: &Scope<'_>) -> Result<Environment> {
    let sh = env.tools.shell(&env.project)?;
    let can = || env.tools.is_ok(env.id, alone(cmd!(sh, "python3 -c 'import venv, ensurepip'")));
    if tool::find("python3").is_none() || !can()? {
        setup::ensure(env, env.id, &[Need { program: "python3", package: "python3-venv" }], "pinning the requirements")?;
        if !can()? {
            let what = "this machine's python3 cannot make virtual environments (modules venv and ensurepip)";
            return Err(Problem::requirement(what).hint("install them, on Debian with: apt-get install python3-venv").into());
        }
    }
    // pipreqs installs notebook support by default; its table does not need it.
    made(env, "python", "pipreqs, uv and pip", &[UV, PIP, STDLIB_LIST, "docopt", "yarg"], &[PIPREQS])
}

/// An environment with a further program, for example poetry, for applications with its lock file; created on first use.
pub fn environment_with(env: &Scope<'_>, name: &str, packages: &[&str]) -> Result<Environment> {
    made(env, name, name, packages, &[])
}

fn made(env: &Scope<'_>, name: &str, shown: &str, packages: &[&str], alone_packages: &[&str]) -> Result<Environment> {
    let sh = env.tools.shell(&env.project)?;
    let mut key = Fingerprint::new();
    key.add("packages", [packages, alone_packages].concat().join(" "));
    key.add("python", env.tools.read(env.id, alone(cmd!(sh, "python3 -c 'import sys; print(sys.executable, sys.version)'")))?);
    let dir = env.cache(format!("{name}-{}", key.short()));
    let environment = Environment { dir: dir.clone(), scripts: scripts(env)? };
    let finished = dir.join(".finished");
    if finished.exists() {
        return Ok(environment);
    }
    // An environment contains its own path and cannot be renamed, so a file marks a finished one.
    if dir.exists() {
        fs::remove_dir_all(&dir).with_context(|| format!("remove {}", dir.display()))?;
    }
    env.progress(env.id, format!("installing {shown} into an environment of the tool's own"));
    env.tools.run(env.id, alone(cmd!(sh, "python3 -m venv {dir}"))).context("make a virtual environment")?;
    let settings = Settings::read(env, &environment, "{}")?;
    let python = environment.python();
    for (packages, more) in [(packages, None), (alone_packages, Some("--no-deps"))] {
        if !packages.is_empty() {
            let install = cmd!(sh, "{python} -I -m pip install --quiet --disable-pip-version-check {more...} {packages...}");
            env.tools.run(env.id, settings.for_pip(install)).with_context(|| format!("install {}", packages.join(", ")))?;
        }
    }
    fs::write(&finished, "")?;
    Ok(environment)
}

/// Writes our own programs to the cache, once for each content.
fn scripts(env: &Scope<'_>) -> Result<PathBuf> {
    let mut key = Fingerprint::new();
    for (name, text) in SCRIPTS {
        key.add(name, text);
    }
    let folder = env.cache(format!("scripts-{}", key.short()));
    for (name, text) in SCRIPTS {
        let path = folder.join(name);
        if !path.is_file() {
            record::write_file(&path, text.as_bytes())?;
        }
    }
    Ok(folder)
}

/// Removes the user's environment variables for Python, pip and uv, and their configuration files. uv keeps its cache variables.
pub fn alone(mut command: Cmd<'_>) -> Cmd<'_> {
    const KEPT: [&str; 4] = ["UV_CACHE_DIR", "UV_HTTP_TIMEOUT", "UV_CONCURRENT_DOWNLOADS", "UV_LINK_MODE"];
    for (name, _) in std::env::vars_os() {
        let Some(text) = name.to_str() else { continue };
        if is_foreign(text) && !KEPT.contains(&text) {
            command = command.env_remove(text);
        }
    }
    command.env("PIP_CONFIG_FILE", "/dev/null").env("UV_NO_CONFIG", "1").env("UV_PYTHON_DOWNLOADS", "never")
}

fn is_foreign(name: &str) -> bool {
    let prefixes = ["PIP_", "UV_", "PYTHON", "POETRY_", "PIPENV_"];
    prefixes.iter().any(|it| name.starts_with(it)) || matches!(name, "VIRTUAL_ENV" | "CONDA_PREFIX" | "__PYVENV_LAUNCHER__")
}

/// `-I` makes Python ignore modules in the user's current folder.
pub fn script<'a>(sh: &'a xshell::Shell, environment: &Environment, name: &str) -> Cmd<'a> {
    let (python, script) = (environment.python(), environment.script(name));
    let script: &Path = &script;
    alone(cmd!(sh, "{python} -I {script}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_users_python_reaches_a_call() {
        for name in ["PIP_USER", "PIP_TARGET", "PIP_REQUIRE_VIRTUALENV", "UV_INDEX_URL", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"] {
            assert!(is_foreign(name), "{name}");
        }
        for name in ["HOME", "PATH", "HTTPS_PROXY", "SSL_CERT_FILE", "NETRC"] {
            assert!(!is_foreign(name), "{name}");
        }
    }
}
