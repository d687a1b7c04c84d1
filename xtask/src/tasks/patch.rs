//! The patched application: a copy of the source with the patch queue applied. The source itself is never changed.

mod apply;
mod batch;
pub(crate) mod by_hand;
mod check;
pub(crate) mod commits;
pub(crate) mod edit;
mod fill;
pub(crate) mod git;
mod last;
pub(crate) mod old_source;
pub(crate) mod rebase;
pub(crate) mod source;
pub(crate) mod status;
mod summary;
pub(crate) mod written;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use filetree::{fingerprint::digest, walk::Passed};

use crate::{
    config::ServiceName,
    env::{Env, Scope},
    errors::{Code, Problem},
    fingerprint::{Fingerprint, TreeRecord},
    graph::{TaskId, TaskKind},
    patch::{
        self,
        queue::{self, Queue},
    },
    probe::Probe,
    record,
    requirements::imports::SHARED,
    tasks::Task,
};

/// Adds the files of the source.
fn add_source(env: &Scope<'_>, out: &mut Fingerprint) -> Result<()> {
    let (root, own) = (env.path(&env.service.path), source::own_paths_below(env));
    let name = env.service.path.display().to_string();
    env.hashes.add(out, &name, &root, &source::passed(&own), None, &mut |_, _| ())
}

/// The task of a service; `None` is the first one.
#[derive(Clone, Copy, Default)]
pub struct Patch(pub Option<ServiceName>);

impl Task for Patch {
    fn id(&self) -> TaskId {
        TaskId::for_service(TaskKind::Patch, self.0)
    }

    fn inputs(&self, env: &Env) -> Result<Fingerprint> {
        let env = &env.scope(self.id());
        let service = env.service;
        let source = env.path(&service.path);
        if !source.is_dir() {
            let what = format!("there is no application at {}", service.path.display());
            return Err(Problem::config(what)
                .code(Code::SourceMissing)
                .hint(format!("name its folder as `{}.path` in Pocdeploy.toml", env.table()))
                .into());
        }
        let mut out = Fingerprint::new();
        add_source(env, &mut out)?;
        let queue = queue(env)?;
        for patch in &queue.patches {
            out.add_file(format!("patch {}", patch.name), &patch.path)?;
        }
        Ok(out)
    }

    fn probe(&self, env: &Env, want: &Fingerprint) -> Result<Probe> {
        let env = &env.scope(self.id());
        if let Some(known) = summary::of(env)
            && known.inputs == want.digest()
        {
            let change = if env.stage().is_dir() {
                let now = env.trees.now(&env.hashes, &env.stage(), &SHARED)?;
                // The `requirements` task adds this file if the application has none.
                let parts = || now.content().parts().filter(|(name, _)| known.has_requirements || *name != PINS);
                if digest(parts()) == known.content { None } else { difference(env, &parts().collect()) }
            } else {
                difference(env, &Fingerprint::new())
            };
            return Ok(match change {
                None => Probe::Fresh(format!("the patched application is unchanged ({} files)", known.count)),
                Some(change) => Probe::Stale(format!("the patched application was changed: {change}")),
            });
        }
        Ok(Probe::Stale(record::changed(env, env.id, want).unwrap_or_else(|| "not staged yet".to_owned())))
    }

    fn run(&self, env: &Env, want: &Fingerprint) -> Result<()> {
        let env = &env.scope(self.id());
        let before = Staged::read(&staged_record(env));
        let fresh = env.own("app.new");
        let source = source::files(env)?;
        for sentence in &source.notes {
            env.note(env.id, sentence);
        }
        if source.files.is_empty() {
            return Err(source::nothing(env));
        }
        let queue = queue(env)?;
        for sentence in &queue.passed_over {
            env.note(env.id, sentence);
        }
        let last = match last::apply(env, before.as_ref(), want, &queue.patches, &fresh)? {
            Some(last) => last,
            None => last::all(env, &source, want, &queue.patches, &fresh)?,
        };
        let content = tree(env, &fresh)?;
        if !env.options.discard {
            by_hand::refuse(env, before.as_ref(), &content)?;
        }
        // The next record comes before the tree that it is about, so that a run that is killed between them leaves no tree without one.
        let staged = Staged { inputs: want.digest(), content, last: Some(last) };
        staged.write(&next_record(env))?;
        // The old tree stays until the new one is complete.
        let old = env.own("app.old");
        remove(&old)?;
        if env.stage().exists() {
            fs::rename(env.stage(), &old).context("set the old staged application aside")?;
        }
        fs::rename(&fresh, env.stage()).context("put the staged application in place")?;
        remove(&old)?;
        fs::rename(next_record(env), staged_record(env)).context("write the record of the staged application")
    }
}

/// The record: which tree was made from which inputs.
struct Staged {
    inputs: String,
    content: Fingerprint,
    last: Option<last::Last>,
}

/// Whether the patched application has its own requirements.txt.
pub(crate) fn has_own_requirements(env: &Scope<'_>) -> bool {
    summary::of(env).is_some_and(|it| it.has_requirements)
}

/// How the staged tree differs from its record.
fn difference(env: &Scope<'_>, now: &Fingerprint) -> Option<String> {
    match Staged::read(&staged_record(env)) {
        Some(staged) => now.difference(&staged.content),
        None => Some("its record is gone".to_owned()),
    }
}

impl Staged {
    /// `None` if the record is missing or unreadable.
    fn read(path: &Path) -> Option<Staged> {
        let TreeRecord { inputs, content, last } = TreeRecord::from_json(&fs::read(path).ok()?)?;
        Some(Staged { inputs, content, last: serde_json::from_value(last).ok()? })
    }

    fn write(self, path: &Path) -> Result<()> {
        let it = TreeRecord { inputs: self.inputs, content: self.content, last: serde_json::to_value(self.last)? };
        record::write_file(path, &it.to_json()?)
    }

    fn has_requirements(&self) -> bool {
        self.content.parts().any(|(name, _)| name == PINS)
    }
}

/// The part of a tree's fingerprint that the `requirements` task may add.
const PINS: &str = "app/requirements.txt";

fn staged_record(env: &Scope<'_>) -> PathBuf {
    env.own("record/staged.json")
}

fn next_record(env: &Scope<'_>) -> PathBuf {
    env.own("record/staged.next.json")
}

fn tree(env: &Env, stage: &Path) -> Result<Fingerprint> {
    let mut out = Fingerprint::new();
    if stage.is_dir() {
        env.hashes.add(&mut out, "app", stage, &Passed::default(), None, &mut |_, _| ())?;
    }
    Ok(out)
}

/// The project's patches, and the embedded ones if they are for this application.
pub fn queue(env: &Scope<'_>) -> Result<Queue> {
    let service = env.service;
    let source = env.path(&service.path);
    let exists = |name: &str| source.join(name).symlink_metadata().is_ok();
    let mut queue = queue::read(&env.path(&service.patch_dir), &exists)?;
    let Some(embedded) = env.files.embedded_folder(&service.patch_dir)? else { return Ok(queue) };
    let mut embedded = queue::read(&embedded, &exists)?;
    if let Some(absent) = patch::absent(&embedded.patches, &source) {
        env.detail(env.id, format!("the embedded patches are for another application: this one has no {absent}"));
        return Ok(queue);
    }
    embedded.patches.retain(|it| !queue.patches.iter().any(|own| own.name == it.name));
    queue.patches.extend(embedded.patches);
    queue.patches.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(queue)
}

/// Copies the application's files.
fn copy(env: &Env, source: &source::Source, to: &Path) -> Result<()> {
    source::copy_files(env, &source.files, to)
}

/// A copy of the application's files in a folder, without those that do not belong to it.
pub(crate) fn copied_source(env: &Scope<'_>, to: &Path) -> Result<PathBuf> {
    copy(env, &source::files(env)?, to)?;
    Ok(to.to_owned())
}

/// Removes the folder, if it exists.
pub(crate) fn remove(dir: &Path) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("remove {}", dir.display()))?;
    }
    Ok(())
}
