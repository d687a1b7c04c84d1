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
    record, regular,
    requirements::{TOOLS, index, pip, settings::Settings, source},
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
    pip: String,
}

impl Environment {
    pub fn python(&self) -> PathBuf {
        self.dir.join("bin/python")
    }

    /// pip's own line of the lock: name, version and digest.
    pub fn pip(&self) -> &str {
        &self.pip
    }

    #[cfg(test)]
    pub(crate) fn with_pip(&self, line: &str) -> Environment {
        Environment { pip: line.to_owned(), ..self.clone() }
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
    // Of pipreqs only its table is read, so it needs no package of its own.
    environment_with(env, "python", TOOLS)
}

/// An environment with the programs of a lock, for example poetry, for applications with its lock file; created on first use.
pub fn environment_with(env: &Scope<'_>, name: &str, lock: &str) -> Result<Environment> {
    made(env, name, lock, "{}")
}

/// The same with options that have priority over pip's settings.
pub(super) fn made(env: &Scope<'_>, name: &str, lock: &str, options: &str) -> Result<Environment> {
    let sh = env.tools.shell(&env.project)?;
    let mut key = Fingerprint::new();
    key.add("lock", lock);
    key.add("python", env.tools.read(env.id, alone(cmd!(sh, "python3 -c 'import sys; print(sys.executable, sys.version)'")))?);
    let dir = env.cache(format!("{name}-{}", key.short()));
    let pip = source::lines(lock).into_iter().find(|it| it.starts_with("pip==")).unwrap_or_default();
    let environment = Environment { dir: dir.clone(), scripts: scripts(env)?, pip };
    let finished = dir.join(".finished");
    if finished.exists() {
        return Ok(environment);
    }
    // An environment contains its own path and cannot be renamed, so a file marks a finished one.
    if dir.exists() {
        fs::remove_dir_all(&dir).with_context(|| format!("remove {}", dir.display()))?;
    }
    let names: Vec<String> = source::lines(lock).iter().filter_map(|it| Some(it.split("==").next()?.to_owned())).collect();
    let shown = if names.len() > 6 { name.to_owned() } else { names.join(", ") };
    env.progress(env.id, format!("installing {shown} into an environment of the tool's own"));
    env.tools.run(env.id, alone(cmd!(sh, "python3 -m venv {dir}"))).context("make a virtual environment")?;
    let settings = Settings::read(env, &environment, options)?;
    let (python, file) = (environment.python(), dir.join("lock.txt"));
    record::write_file(&file, lock.as_bytes())?;
    // pip compares every file with the lock's digests, and takes nothing that the lock does not have.
    let install = || {
        cmd!(sh, "{python} -I -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes")
            .args(["--only-binary", ":all:", "--requirement"])
            .arg(&file)
    };
    index::check(env, &environment, &settings, &["pip"])?;
    pip::run(env, &settings, install, |_| ()).with_context(|| format!("install {shown}"))?;
    regular::settle(&dir)?;
    record::write_file(&finished, b"")?;
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
