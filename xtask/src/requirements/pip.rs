//! Runs pip where it downloads.

use anyhow::Result;
use xshell::Cmd;

use crate::{
    env::Scope,
    errors::{self, Code},
    requirements::settings::Settings,
    tool::{BUILD_LIMIT, download},
};

/// Runs the command with pip's settings. pip keeps what a server sends in its cache, and finds it there again even if it has refused it; so
/// refused bytes are asked for once more, without the cache.
pub fn run<'a>(env: &Scope<'_>, settings: &Settings, command: impl Fn() -> Cmd<'a>, on_line: impl Fn(&str) + Sync) -> Result<()> {
    let tools = env.tools.fetching();
    let ended = tools.run_watched(env.id, settings.for_pip(command()), BUILD_LIMIT, &on_line);
    match ended {
        Err(error) if errors::code(&error) == Code::Download && download::has_other_bytes(&format!("{error:#}")) => {
            env.note(env.id, "pip refused a file, which its cache may have: asking for it again without the cache");
            tools.run_watched(env.id, settings.for_pip(command()).env("PIP_NO_CACHE_DIR", "1"), BUILD_LIMIT, &on_line)
        }
        other => other,
    }
}
