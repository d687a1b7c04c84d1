//! Where backups are kept: a folder, or a bucket of an S3-compatible store, by the AWS CLI.

use std::{
    fs,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use serde_json::Value;
use tempfile::TempDir;
use xshell::cmd;

use crate::{env::Env, errors::Problem, graph::TaskId, record, snapshot::WrittenBy, tool};

/// For a file of some gigabytes over a slow connection.
const TRANSFER: Duration = Duration::from_secs(7200);
/// For a list, or a deletion.
const ASK: Duration = Duration::from_secs(60);

/// A place for backups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Store {
    Folder(PathBuf),
    Bucket {
        name: String,
        /// Ends with `/`, or is empty.
        prefix: String,
    },
}

impl Store {
    /// The place of a text: `s3://BUCKET/PREFIX`, or a folder, which is relative to the project.
    pub fn of(env: &Env, text: &str) -> Store {
        match text.strip_prefix("s3://") {
            None => Store::Folder(env.path(text)),
            Some(rest) => {
                let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                let prefix = prefix.trim_end_matches('/');
                let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
                Store::Bucket { name: name.to_owned(), prefix }
            }
        }
    }

    /// The place of a file, for people and for `db restore`.
    pub fn place(&self, file: &str) -> String {
        match self {
            Store::Folder(folder) => folder.join(file).display().to_string(),
            Store::Bucket { name, prefix } => format!("s3://{name}/{prefix}{file}"),
        }
    }

    /// Fails if the place cannot be used, before a dump is taken.
    pub fn prepare(&self, env: &Env, task: TaskId) -> Result<()> {
        match self {
            Store::Folder(folder) => fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)
                .with_context(|| format!("create the folder of database.backup.to, {}", folder.display())),
            Store::Bucket { .. } => self.list(env, task).map(drop),
        }
    }

    /// Puts a complete file into the store, where it has its name or is absent.
    pub fn put(&self, env: &Env, task: TaskId, file: &Path, name: &str) -> Result<()> {
        let size = fs::metadata(file).with_context(|| format!("read {}", file.display()))?.len();
        match self {
            Store::Folder(folder) => {
                let partial = tempfile::Builder::new().prefix(".pocdeploy-").suffix(".part").tempfile_in(folder)?;
                fs::copy(file, partial.path()).with_context(|| format!("write to {}", folder.display()))?;
                partial.as_file().set_permissions(fs::Permissions::from_mode(0o600))?;
                partial.as_file().sync_all()?;
                partial.persist_noclobber(folder.join(name)).map_err(|it| it.error).with_context(|| format!("write {name}"))?;
                // The cluster may be deleted next: the name must be on the disk, too.
                record::flush_folder(folder)?;
            }
            Store::Bucket { name: bucket, .. } => {
                let place = self.place(name);
                aws(env, task, bucket, &["s3", "cp", "--only-show-errors", &file.display().to_string(), &place], TRANSFER)?;
            }
        }
        // What a store acknowledges is not what it has.
        match self.list(env, task)?.iter().find(|it| it.0 == name) {
            Some((_, there)) if *there == size => Ok(()),
            Some((_, there)) => Err(Problem::new(format!("{} has {there} bytes of {size}", self.place(name))).into()),
            None => Err(Problem::new(format!("{} was written, and is missing", self.place(name))).into()),
        }
    }

    /// Writes a file of the store to `to`.
    pub fn fetch(&self, env: &Env, task: TaskId, name: &str, to: &Path) -> Result<()> {
        match self {
            Store::Folder(folder) => fs::copy(folder.join(name), to).map(drop).with_context(|| format!("read {}", self.place(name))),
            Store::Bucket { name: bucket, .. } => {
                aws(env, task, bucket, &["s3", "cp", "--only-show-errors", &self.place(name), &to.display().to_string()], TRANSFER)
                    .map(drop)
            }
        }
    }

    /// The names and sizes of the files in the place, sorted by name; folders below it do not count.
    pub fn list(&self, env: &Env, task: TaskId) -> Result<Vec<(String, u64)>> {
        let mut out = Vec::new();
        match self {
            Store::Folder(folder) => {
                let entries = fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
                for entry in entries {
                    let entry = entry?;
                    if entry.file_type()?.is_file() {
                        out.push((entry.file_name().to_string_lossy().into_owned(), entry.metadata()?.len()));
                    }
                }
            }
            Store::Bucket { name: bucket, prefix } => {
                let said =
                    aws(env, task, bucket, &["s3api", "list-objects-v2", "--bucket", bucket, "--prefix", prefix, "--output", "json"], ASK)?;
                out = objects(&said, prefix)?;
            }
        }
        out.sort();
        Ok(out)
    }

    /// Deletes a file.
    pub fn remove(&self, env: &Env, task: TaskId, name: &str) -> Result<()> {
        match self {
            Store::Folder(folder) => fs::remove_file(folder.join(name)).with_context(|| format!("remove {}", self.place(name))),
            Store::Bucket { name: bucket, .. } => {
                aws(env, task, bucket, &["s3", "rm", "--only-show-errors", &self.place(name)], ASK).map(drop)
            }
        }
    }
}

/// The objects of an answer of `list-objects-v2`; an empty bucket's is empty. The CLI asks for all pages itself.
fn objects(said: &str, prefix: &str) -> Result<Vec<(String, u64)>> {
    if said.trim().is_empty() {
        return Ok(Vec::new());
    }
    let said: Value = serde_json::from_str(said).with_context(|| format!("read the list of objects: {said}"))?;
    let all = said["Contents"].as_array().into_iter().flatten();
    let one = |it: &Value| {
        let name = it["Key"].as_str()?.strip_prefix(prefix)?;
        (!name.is_empty() && !name.contains('/')).then(|| Some((name.to_owned(), it["Size"].as_u64()?))).flatten()
    };
    Ok(all.filter_map(one).collect())
}

fn aws(env: &Env, task: TaskId, bucket: &str, arguments: &[&str], limit: Duration) -> Result<String> {
    if tool::find("aws").is_none() {
        let hint =
            "install the AWS CLI, which every S3-compatible store understands (AWS_ENDPOINT_URL names another one): pip install awscli";
        return Err(Problem::requirement(format!("s3://{bucket} is a bucket, and there is no program `aws`")).hint(hint).into());
    }
    let sh = env.tools.shell(&env.project)?;
    let asked = env.tools.read_within(task, cmd!(sh, "aws {arguments...}"), limit);
    asked.map_err(|error| {
        let said = format!("{error:#}");
        if said.contains("NoSuchBucket") {
            let hint = format!("if its name is right, make it: aws s3 mb s3://{bucket}");
            return Problem::requirement(format!("bucket {bucket} does not exist")).hint(hint).into();
        }
        error.context(format!("bucket {bucket}"))
    })
}

/// A folder for files that may be large, on the project's disk: `/tmp` may be in memory. It goes with the value.
pub(super) fn room(env: &Env) -> Result<TempDir> {
    let parent = env.work("record");
    fs::create_dir_all(&parent).with_context(|| format!("make {}", parent.display()))?;
    tempfile::tempdir_in(&parent).with_context(|| format!("make a temporary folder in {}", parent.display()))
}

/// A file that commands name: a path of this machine, or `s3://BUCKET/PREFIX/NAME`.
pub struct Named<'a> {
    pub shown: std::path::Display<'a>,
    place: Place<'a>,
}

enum Place<'a> {
    Here(&'a Path),
    Bucket(Store, String),
}

/// A file on this machine; one that was fetched goes with the value.
pub struct AtHand {
    pub path: PathBuf,
    /// The name under which the user knows it.
    pub shown: String,
    _folder: Option<TempDir>,
}

impl AtHand {
    /// A file that was here before.
    pub fn here(path: &Path) -> AtHand {
        AtHand { path: path.to_owned(), shown: path.display().to_string(), _folder: None }
    }
}

impl<'a> Named<'a> {
    /// Reads the name alone.
    pub fn read(env: &Env, file: &'a Path) -> Result<Named<'a>> {
        let (text, shown) = (file.to_string_lossy(), file.display());
        if !text.starts_with("s3://") {
            return Ok(Named { shown, place: Place::Here(file) });
        }
        match text.rsplit_once('/') {
            Some((place, name)) if place.len() > "s3://".len() && !name.is_empty() => {
                Ok(Named { shown, place: Place::Bucket(Store::of(env, place), name.to_owned()) })
            }
            _ => Err(Problem::usage(format!("{text} names no file in a bucket: s3://BUCKET/PREFIX/FILE")).into()),
        }
    }

    /// Refuses a file that is no database's content, as far as it can be seen without fetching it.
    pub fn check(&self, env: &Env, task: TaskId, writer: WrittenBy) -> Result<()> {
        match &self.place {
            Place::Here(path) => super::look(path, writer),
            Place::Bucket(store, name) if store.list(env, task)?.iter().any(|it| it.0 == *name) => Ok(()),
            Place::Bucket(..) => Err(Problem::usage(format!("{} does not exist", self.shown)).hint("cargo xtask db ls").into()),
        }
    }

    /// The file, after `check`; one in a bucket is fetched into a folder of the project, and checked as one of this machine is.
    pub fn at_hand(&self, env: &Env, task: TaskId, writer: WrittenBy) -> Result<AtHand> {
        match &self.place {
            Place::Here(path) => Ok(AtHand::here(path)),
            Place::Bucket(store, name) => {
                let folder = room(env)?;
                let path = folder.path().join(name);
                store.fetch(env, task, name, &path)?;
                super::look(&path, writer).with_context(|| format!("look at what {} is", self.shown))?;
                Ok(AtHand { path, shown: self.shown.to_string(), _folder: Some(folder) })
            }
        }
    }

    /// Whether it must be fetched.
    pub fn is_elsewhere(&self) -> bool {
        matches!(self.place, Place::Bucket(..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_the_place_itself_are_listed() {
        let said = r#"{"Contents": [{"Key": "a/x.dump", "Size": 5}, {"Key": "a/b/y.dump", "Size": 6}, {"Key": "a/", "Size": 0}]}"#;
        assert_eq!(objects(said, "a/").unwrap(), [("x.dump".to_owned(), 5)]);
        assert_eq!(objects("", "a/").unwrap(), []);
        assert_eq!(objects("{}", "a/").unwrap(), []);
        assert!(objects("<html>", "a/").is_err());
    }
}
