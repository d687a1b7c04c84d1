//! Files of the node: read directly if this process can, else through the engine.
//!
//! For each file the engine mounts the container's volumes, and a command in a container takes a tenth of a second. That is too slow for
//! twenty checks a second while a cluster starts.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::{engine::Engine, env::Env, provider::kind::node};

/// The files of a running node.
pub(super) struct Files<'a> {
    engine: &'a Engine,
    node: String,
    /// The node's root directory, if the host shows it to this process.
    root: Option<PathBuf>,
}

impl<'a> Files<'a> {
    /// `None` if the node does not run.
    pub(super) fn of(env: &Env, engine: &'a Engine) -> Result<Option<Files<'a>>> {
        let node = node(env);
        let Some(container) = engine.container(&node)?.filter(|it| it.running) else { return Ok(None) };
        let root = root(&node, container.process);
        Ok(Some(Files { engine, node, root }))
    }

    pub(super) fn has(&self, path: &str) -> Result<bool> {
        match &self.root {
            Some(root) => Ok(inside(root, path).exists()),
            None => self.engine.has_path(&self.node, path),
        }
    }

    /// Creates an empty file in an existing folder.
    pub(super) fn touch(&self, path: &str) -> Result<()> {
        match &self.root {
            Some(root) => fs::write(inside(root, path), "").with_context(|| format!("write {path} of {}", self.node)),
            None => self.engine.exec(&self.node, &["touch", path])?.ok(&format!("write {path} of {}", self.node)).map(drop),
        }
    }

    pub(super) fn read(&self, path: &str) -> Result<String> {
        match &self.root {
            Some(root) => fs::read_to_string(inside(root, path)).with_context(|| format!("read {path} of {}", self.node)),
            None => self.engine.exec(&self.node, &["cat", path])?.ok(&format!("read {path} of {}", self.node)),
        }
    }
}

/// The root directory of the node whose first process has this id, if the host shows it to this process.
pub(super) fn root(node: &str, process: i64) -> Option<PathBuf> {
    let root = PathBuf::from(format!("/proc/{process}/root"));
    is_of(&root, node).then_some(root)
}

/// Whether this is the root directory of the node, and not of a process with the same id on another machine than the engine's. The node's
/// host name is its container's name.
fn is_of(root: &Path, node: &str) -> bool {
    fs::read_to_string(inside(root, "/etc/hostname")).is_ok_and(|it| it.trim() == node)
}

fn inside(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_machines_process_of_the_same_number_is_not_the_node() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        assert!(!is_of(root.path(), "polls-control-plane"));
        fs::write(root.path().join("etc/hostname"), "polls-control-plane\n").unwrap();
        assert!(is_of(root.path(), "polls-control-plane"));
        assert!(!is_of(root.path(), "polls"));
    }
}
