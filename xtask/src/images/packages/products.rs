//! The cache of products: files and folders with a hash of their inputs in their names, complete or absent.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::{env::Env, graph::TaskId, lock, tool::BUILD_LIMIT};

/// The product's path. `make` writes to a temporary name, which is renamed when the product is complete.
pub(super) fn product(env: &Env, task: TaskId, name: &str, key: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let path = place(env, name, key);
    if path.exists() {
        return Ok(path);
    }
    env.may_change(|| format!("{name} is not in the cache yet"))?;
    let (file, what) = (env.cache(format!("images/.{name}.lock")), format!("another run that makes {name}"));
    let guard = lock::acquire(&file, &what, BUILD_LIMIT, &env.interrupt, |it| env.waiting(task, it))?;
    if path.exists() {
        return Ok(path);
    }
    // The leftover of an interrupted run.
    let part = env.cache(format!("images/.{name}-{key}.part"));
    remove(&part)?;
    make(&part)?;
    fs::rename(&part, &path).with_context(|| format!("rename {} to {}", part.display(), path.display()))?;
    drop(guard);
    Ok(path)
}

/// The path of a product, whether it exists or not.
pub(super) fn place(env: &Env, name: &str, key: &str) -> PathBuf {
    env.cache(format!("images/{name}-{key}"))
}

fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).with_context(|| format!("remove {}", path.display())),
        _ => Ok(()),
    }
}
