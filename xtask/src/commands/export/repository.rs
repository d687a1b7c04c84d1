//! The git repository that exported files are committed to.

use std::path::{Path, PathBuf};

use anyhow::Result;
use xshell::cmd;

use crate::{
    env::Env,
    errors::Problem,
    export::flux::Place,
    flags::exporting::{Ci, Export, Format},
    graph::TaskId,
    tasks::patch::{git::here, source::CI_RECORDS},
    tool::COMMAND_LIMIT,
};

/// Where the files are in the repository.
pub(super) struct Repository {
    /// Its top folder.
    pub(super) top: PathBuf,
    /// The folder of the files, relative to the top; empty for the top itself.
    pub(super) path: String,
    pub(super) branch: String,
    /// Its URL without credentials, if there is one.
    url: Option<String>,
}

impl Repository {
    /// Errors if the format or the flags need a repository and there is none.
    pub(super) fn read(env: &Env, folder: &Path, flags: &Export) -> Result<Repository> {
        let sh = env.tools.shell(&env.project)?;
        let asked = |command: xshell::Cmd<'_>| {
            let (ok, text) = env.tools.converse(TaskId::Image, here(command), &[], COMMAND_LIMIT).ok()?;
            Some(text.trim().to_owned()).filter(|it| ok && !it.is_empty())
        };
        let top = asked(cmd!(sh, "git rev-parse --show-toplevel")).map_or_else(|| env.project.clone(), PathBuf::from);
        let needs = flags.ci.is_some() || matches!(flags.format, Format::Flux | Format::Argocd);
        let path = match inside(folder, &top) {
            Some(path) => path,
            None if needs => {
                let what = format!("{} is outside the repository {}", folder.display(), top.display());
                return Err(Problem::usage(what).hint("name a folder inside it with --to").into());
            }
            None => String::new(),
        };
        let branch = asked(cmd!(sh, "git symbolic-ref --quiet --short HEAD")).unwrap_or_else(|| "main".to_owned());
        let url = flags.repository.clone().or_else(|| asked(cmd!(sh, "git config --get remote.origin.url")));
        if let Some(wrong) = url.as_ref().filter(|it| !is_remote(it) && matches!(flags.format, Format::Flux | Format::Argocd)) {
            let what = format!("{wrong} is no URL from which a cluster can read a repository");
            return Err(Problem::usage(what).hint("name one: --repository https://git.example.com/team/app.git").into());
        }
        let out = Repository { top, path, branch, url: url.map(|it| without_credentials(&it)) };
        if matches!(flags.format, Format::Flux | Format::Argocd) {
            out.place(flags.format)?;
        }
        Ok(out)
    }

    /// Where a cluster reads the files.
    pub(super) fn place(&self, format: Format) -> Result<Place> {
        let Some(url) = &self.url else {
            let what = format!("{} needs the repository that the cluster reads, and git has no remote origin here", format.name());
            return Err(Problem::usage(what).hint("name it: --repository https://git.example.com/team/app.git").into());
        };
        let repository = if format == Format::Flux { as_url(url) } else { url.clone() };
        Ok(Place { repository, branch: self.branch.clone(), path: self.path.clone() })
    }

    /// The file with the hash of the file for continuous integration. All formats share it, since they share that file; other projects of the
    /// repository have records of their own.
    pub(super) fn record(&self, of: Ci, project: &Path) -> PathBuf {
        let [github, gitlab] = CI_RECORDS;
        project.join(if of == Ci::Github { github } else { gitlab })
    }
}

/// The path of a folder relative to another that contains it.
pub(super) fn inside(folder: &Path, top: &Path) -> Option<String> {
    let real = |path: &Path| {
        // The folder may not exist yet.
        let known = path.ancestors().find(|it| it.exists())?;
        Some(known.canonicalize().ok()?.join(path.strip_prefix(known).ok()?))
    };
    let path = real(folder)?.strip_prefix(real(top)?).ok()?.to_path_buf();
    Some(path.display().to_string())
}

/// A URL without user and password; `git@host:path` and `ssh://git@host` keep their user, which is no secret.
fn without_credentials(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme @ ("http" | "https"), rest)) => {
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            format!("{scheme}://{}{path}", host.rsplit('@').next().unwrap_or_default())
        }
        _ => url.to_owned(),
    }
}

/// Whether another machine can read it: a URL with a scheme, or `user@host:path`.
fn is_remote(url: &str) -> bool {
    match url.split_once("://") {
        Some((scheme, rest)) => ["https", "http", "ssh", "git"].contains(&scheme) && !rest.is_empty(),
        None => url.split_once(':').is_some_and(|(host, path)| host.contains('@') && !path.is_empty()),
    }
}

/// `git@host:path` as a URL, the only form that Flux takes.
fn as_url(url: &str) -> String {
    match url.split_once(':') {
        Some((host, path)) if !url.contains("://") && host.contains('@') => format!("ssh://{host}/{path}"),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_named_without_credentials() {
        for (url, expected) in [
            ("https://name:token@git.example.com/team/app.git", "https://git.example.com/team/app.git"),
            ("https://git.example.com/team/app@2.git", "https://git.example.com/team/app@2.git"),
            ("git@git.example.com:team/app.git", "git@git.example.com:team/app.git"),
            ("ssh://git@git.example.com/team/app.git", "ssh://git@git.example.com/team/app.git"),
        ] {
            assert_eq!(without_credentials(url), expected);
        }
        assert_eq!(as_url("git@git.example.com:team/app.git"), "ssh://git@git.example.com/team/app.git");
        for url in ["../x", "/srv/git/x", "file:///srv/git/x", "https://", "x"] {
            assert!(!is_remote(url), "{url}");
        }
        assert!(is_remote("git@git.example.com:team/app.git") && is_remote("https://git.example.com/x"));
        assert_eq!(as_url("https://git.example.com/team/app.git"), "https://git.example.com/team/app.git");
    }
}
