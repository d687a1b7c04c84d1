//! git without the settings of system, user and environment: for example, `core.autocrlf` would change the bytes of files.

use std::path::{Path, PathBuf};

use anyhow::Result;
use xshell::{Cmd, cmd};

use crate::env::Scope;

/// The command without git's settings, in a folder that belongs to no repository.
pub(super) fn alone<'a>(command: Cmd<'a>, folder: &Path) -> Cmd<'a> {
    // The tree is inside the project's repository. git must not find that repository, or it would interpret paths relative to it and
    // change nothing.
    unset(command, folder).env("GIT_CEILING_DIRECTORIES", folder.parent().unwrap_or(folder))
}

/// The command without git's settings, except those of the repository that it runs in.
fn unset<'a>(mut command: Cmd<'a>, folder: &Path) -> Cmd<'a> {
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GIT_")) {
        command = command.env_remove(name);
    }
    let none = folder.join(".none");
    command
        .env("GIT_CONFIG_NOSYSTEM", "1")
        // For git 2.32 and newer; an older git does not find the user's file because of the two folders.
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("HOME", &none)
        .env("XDG_CONFIG_HOME", &none)
        .env("GIT_ATTR_NOSYSTEM", "1")
        .env("LC_ALL", "C")
}

/// The command in the repository of its folder, whatever repository the environment names, as it does in git's hooks.
pub(crate) fn here(command: Cmd<'_>) -> Cmd<'_> {
    const OF_A_REPOSITORY: [&str; 8] = [
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_OBJECT_DIRECTORY",
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_COMMON_DIR",
        "GIT_NAMESPACE",
        "GIT_PREFIX",
    ];
    OF_A_REPOSITORY.iter().fold(command, |command, name| command.env_remove(name))
}

/// Name and address of the person, from git's settings in the project; those of the tool if git knows none.
pub(super) fn identity(env: &Scope<'_>) -> Result<(String, String)> {
    let sh = env.tools.shell(&env.project)?;
    let asked = |key: &str| env.tools.converse(env.id, cmd!(sh, "git config --get {key}"), &[], crate::tool::COMMAND_LIMIT);
    let known = |key: &str| Some(asked(key).ok().filter(|it| it.0)?.1.trim().to_owned()).filter(|it| !it.is_empty());
    Ok((
        known("user.name").unwrap_or_else(|| "pocdeploy".to_owned()),
        known("user.email").unwrap_or_else(|| "pocdeploy@localhost".to_owned()),
    ))
}

/// A repository of the tool.
pub(crate) struct Repository<'a> {
    pub(crate) env: Scope<'a>,
    pub(crate) dir: PathBuf,
    who: (String, String),
}

impl<'a> Repository<'a> {
    pub(super) fn at(env: Scope<'a>, dir: PathBuf) -> Result<Repository<'a>> {
        let who = identity(&env)?;
        Ok(Repository { env, dir, who })
    }

    fn command<'b>(&self, sh: &'b xshell::Shell, arguments: &[&str]) -> Cmd<'b> {
        let (name, address) = &self.who;
        alone(cmd!(sh, "git {arguments...}"), &self.dir)
            .env("GIT_EDITOR", "true")
            .env("GIT_COMMITTER_NAME", name)
            .env("GIT_COMMITTER_EMAIL", address)
            .env("GIT_AUTHOR_NAME", name)
            .env("GIT_AUTHOR_EMAIL", address)
    }

    pub(super) fn run(&self, arguments: &[&str]) -> Result<()> {
        let sh = self.env.tools.shell(&self.dir)?;
        self.env.tools.run(self.env.id, self.command(&sh, arguments))
    }

    pub(super) fn run_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Result<()> {
        let sh = self.env.tools.shell(&self.dir)?;
        let command = variables.iter().fold(self.command(&sh, arguments), |it, (name, value)| it.env(name, value));
        self.env.tools.run(self.env.id, command)
    }

    pub(super) fn feed(&self, arguments: &[&str], variables: &[(&str, &str)], input: &[u8]) -> Result<()> {
        let sh = self.env.tools.shell(&self.dir)?;
        let command = variables.iter().fold(self.command(&sh, arguments), |it, (name, value)| it.env(name, value));
        self.env.tools.run_with_input(self.env.id, command, |it| Ok(it.write_all(input)?))
    }

    /// Standard output without the final newline.
    pub(super) fn read(&self, arguments: &[&str]) -> Result<String> {
        self.read_with(arguments, &[])
    }

    pub(super) fn read_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Result<String> {
        let sh = self.env.tools.shell(&self.dir)?;
        let command = variables.iter().fold(self.command(&sh, arguments), |it, (name, value)| it.env(name, value));
        self.env.tools.read(self.env.id, command)
    }

    /// Whether it succeeded, and all that it said.
    pub(super) fn outcome(&self, arguments: &[&str]) -> Result<(bool, String)> {
        let sh = self.env.tools.shell(&self.dir)?;
        self.env.tools.outcome(self.env.id, self.command(&sh, arguments))
    }
}
