//! The cache of products: files and folders with a hash of their inputs in their names, complete or absent.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result};

use crate::{env::Env, graph::TaskId, lock, regular, tool::BUILD_LIMIT};

/// The product's path. `make` writes to a temporary name, which is renamed when the product is complete.
pub(super) fn product(env: &Env, task: TaskId, name: &str, key: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let path = place(env, name, key);
    if path.exists() {
        touch(&path);
        return Ok(path);
    }
    env.may_change(|| format!("{name} is not in the cache yet"))?;
    let (file, what) = (env.cache(format!("images/.{name}.lock")), format!("another run that makes {name}"));
    let guard = lock::acquire(&file, &what, BUILD_LIMIT, &env.interrupt, |it| env.waiting(task, it))?;
    if path.exists() {
        return Ok(path);
    }
    // Leftovers of interrupted runs, whose lock this run has now.
    remove_parts(&env.cache("images"), name)?;
    let part = env.cache(format!("images/.{name}-{key}.part"));
    make(&part)?;
    regular::settle(&part)?;
    fs::rename(&part, &path).with_context(|| format!("rename {} to {}", part.display(), path.display()))?;
    if let Err(error) = keep_two(&env.cache("images"), name, &path) {
        env.detail(task, format!("older products stay: {error:#}"));
    }
    drop(guard);
    Ok(path)
}

/// The path of a product, whether it exists or not.
pub(super) fn place(env: &Env, name: &str, key: &str) -> PathBuf {
    env.cache(format!("images/{name}-{key}"))
}

/// A product that was used at most this time ago may be in use by a run in another checkout.
const RECENT: Duration = Duration::from_secs(24 * 60 * 60);

/// Says that the product was used now.
fn touch(path: &Path) {
    // The cache may be another user's; then the product counts as older than it is.
    fs::File::open(path).and_then(|it| it.set_modified(SystemTime::now())).ok();
}

fn remove_parts(folder: &Path, name: &str) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let entry = entry?;
        let file = entry.file_name().to_string_lossy().into_owned();
        let of = file.strip_prefix('.').and_then(|it| it.strip_suffix(".part")).and_then(|it| it.rsplit_once('-'));
        if of.is_some_and(|(it, _)| it == name) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Of the products `name-KEY`, keeps `current`, the one of the others that was used last, and all that were used in the last day; removes the
/// rest.
fn keep_two(folder: &Path, name: &str, current: &Path) -> Result<()> {
    let mut others = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let entry = entry?;
        let file = entry.file_name().to_string_lossy().into_owned();
        // `kind-1` is no product of the name `kind-proxy`, nor the other way round: keys and versions have no hyphen.
        let is_one = file.rsplit_once('-').is_some_and(|(start, _)| start == name);
        if is_one && entry.path() != current {
            others.push((entry.metadata()?.modified()?, entry.path()));
        }
    }
    others.sort();
    others.pop();
    let is_recent = |at: &SystemTime| at.elapsed().is_ok_and(|it| it < RECENT);
    others.iter().filter(|(at, _)| !is_recent(at)).try_for_each(|(_, it)| remove(it))
}

fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).with_context(|| format!("remove {}", path.display())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_product_and_the_newest_other_of_its_name_stay() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str, hours: u64| {
            let path = folder.path().join(name);
            fs::create_dir(&path).unwrap();
            let file = fs::File::open(&path).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(hours * 3600)).unwrap();
            path
        };
        // Oldest and current: a version that was built again.
        let current = make("rootfs-node-c", 1);
        make("rootfs-node-b", 2);
        make("rootfs-node-a", 3);
        make("rootfs-node-0", 2);
        touch(&make("rootfs-node-d", 0));
        make("node-0", 0);
        make(".rootfs-node-0.part", 0);
        keep_two(folder.path(), "rootfs-node", &current).unwrap();
        let mut left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        // The newest other is the touched one, so the next newest goes.
        assert_eq!(left, [".rootfs-node-0.part", "node-0", "rootfs-node-c", "rootfs-node-d"]);
        remove_parts(folder.path(), "node").unwrap();
        assert!(folder.path().join(".rootfs-node-0.part").exists(), "another product's");
        remove_parts(folder.path(), "rootfs-node").unwrap();
        assert!(!folder.path().join(".rootfs-node-0.part").exists());
    }
}
