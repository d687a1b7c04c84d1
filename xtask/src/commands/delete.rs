//! `delete`: reverses `create`. Continues after failures, reports all of them, and ends with an audit of what is left.

pub(crate) mod expired;

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::{
    cluster::Cluster,
    commands::instance,
    engines::Managed,
    env::Env,
    errors::{Code, Problem},
    flags::{Delete, Output},
    graph::TaskId,
    layout,
    provider::{self, provider},
    report::Event,
    setup,
    snapshot::{self, Proof},
    tasks::{database, desired, image},
};

const TASK: TaskId = TaskId::Delete;

/// Removes cluster, application images and files; with `purge` also the tool's own engine and the cache. With `keep_database`, what the
/// database holds is first written to a file that is proven to be restorable; if that fails, nothing is removed.
pub(crate) fn run(env: &Env, flags: &Delete) -> Result<()> {
    let (purge, output) = (flags.purge, flags.output);
    let provider = provider(env);
    provider.check(env)?;
    let what = if purge { "its images and files, pocdeploy's own engine and the whole cache" } else { "its images here and its files" };
    let kept = if flags.keep_database {
        instance::find(env)?;
        Some(snapshot::path_to_keep(env))
    } else {
        None
    };
    let but = kept.as_ref().map(|it| format!("; keeps what the database holds in {}", it.display())).unwrap_or_default();
    setup::consent(env, TASK, &format!("{}, {what}{but}", provider.removal(env).takes))?;
    env.report.event(TASK, Event::Started { reason: format!("instance {}", env.instance) });
    if let Some(file) = &kept {
        let cluster = Cluster::open(env, &env.kubeconfig())?;
        database::refuse_interrupted(env, &cluster)?;
        snapshot::take(env, TASK, &cluster, &desired::database(env)?, file, Proof::Restored)
            .context("keep what the database holds; nothing was removed")?;
        env.note(TASK, format!("{} holds the database; the next `create` of this instance offers it", file.display()));
    }
    let mut failures = Vec::new();
    let (mut found, mut left) = (Vec::new(), Vec::new());
    match provider.connect(env).and_then(|_| products(env)) {
        Ok(products) => found.extend(products),
        Err(error) => failures.push(error),
    }
    if failures.is_empty() {
        keep(&mut failures, provider.destroy(env, TASK));
        keep(&mut failures, image::remove_all(env, TASK));
        match provider.leftovers(env) {
            Ok(found) => left.extend(found),
            Err(error) => failures.push(error),
        }
    }
    if purge {
        keep(&mut failures, refuse_others(env).and_then(|()| purge_machine(env)));
    }
    found.extend(present_files(env)?);
    if failures.is_empty() && left.is_empty() {
        // Their names are in files that go.
        let outside = provider.kept_outside(env)?;
        keep(&mut failures, remove_files(env));
        left.extend(present_files(env)?);
        if failures.is_empty() && left.is_empty() {
            keep(&mut failures, outside.iter().try_for_each(|it| remove(it)));
        }
    }
    if output == Output::Json {
        let words: Vec<String> = failures.iter().map(|error| format!("{error:#}")).collect();
        found.retain(|it| !left.contains(it));
        let value = json!({ "schema": 1, "instance": env.instance, "removed": found, "left": left, "failures": words });
        writeln!(std::io::stdout(), "{value:#}").context("print what was removed")?;
    }
    finish(env, failures, left)
}

/// Lists what `delete` would remove. Starts no engine and changes nothing.
pub(crate) fn preview(env: &Env, purge: bool, output: Output) -> Result<()> {
    let mut out = Vec::new();
    let unasked = provider(env).connect(env)?;
    if unasked.is_none() {
        out.extend(products(env)?);
    }
    out.extend(present_files(env)?);
    if purge {
        out.push(format!("pocdeploy's own engine and folder {}", env.cache("").display()));
    }
    if output == Output::Json {
        let value = json!({ "schema": 1, "instance": env.instance, "would_remove": out, "engine_answers": unasked.is_none() });
        return writeln!(std::io::stdout(), "{value:#}").context("print what would be removed");
    }
    if let Some(why) = unasked {
        out.push(format!("({why}: what exists of this instance is unknown)"));
    }
    if out.is_empty() {
        out.push("nothing of this instance exists".to_owned());
    }
    writeln!(std::io::stdout(), "{}", out.join("\n")).context("print what would be removed")
}

/// Descriptions of this instance's products in the cluster and the engine.
fn products(env: &Env) -> Result<Vec<String>> {
    let mut out = provider(env).leftovers(env)?;
    if let Ok(engine) = env.engine() {
        let built = image::in_engine(env, engine)?;
        if !built.is_empty() && provider::others(env)?.is_empty() {
            out.extend(built.into_iter().map(|it| format!("image {it}")));
        }
    }
    Ok(out)
}

/// Descriptions of this instance's existing files.
fn present_files(env: &Env) -> Result<Vec<String>> {
    Ok(files(env)?.into_iter().map(|it| format!("file {}", it.display())).collect())
}

fn finish(env: &Env, failures: Vec<anyhow::Error>, left: Vec<String>) -> Result<()> {
    if failures.is_empty() && left.is_empty() {
        env.report.event(TASK, Event::Done { text: format!("audit: {}", provider(env).removal(env).audited) });
        let snapshots = snapshot::list(env)?.len();
        if snapshots > 0 {
            env.note(TASK, format!("{snapshots} snapshots of databases stay in {}/", snapshot::FOLDER));
        }
        return Ok(());
    }
    let mut reasons: Vec<String> = failures.iter().map(|error| format!("{error:#}")).collect();
    reasons.extend(left.iter().map(|name| format!("left: {name}")));
    // A single reason is on the first line.
    let between = if reasons.len() == 1 { ": " } else { "\n" };
    let text = format!("not everything could be removed{between}{}", reasons.join("\n"));
    env.report.event(TASK, Event::Failed { text: "not everything could be removed".to_owned() });
    std::io::stderr().flush().ok();
    Err(Problem::new(text).code(Code::Leftovers).hint("fix the cause and run `cargo xtask delete` again: it continues from here").into())
}

fn keep(failures: &mut Vec<anyhow::Error>, result: Result<()>) {
    if let Err(error) = result {
        failures.push(error);
    }
}

/// An error if other instances exist, since all instances on the machine share engine and cache.
fn refuse_others(env: &Env) -> Result<()> {
    let others: Vec<String> =
        if env.engine().is_ok() { provider::others(env)?.into_iter().map(|it| it.name).collect() } else { Vec::new() };
    if others.is_empty() {
        return Ok(());
    }
    let what = format!("the engine and the cache stay: instance {} still needs them", others.join(", "));
    Err(Problem::new(what).code(Code::Leftovers).hint("delete the other instances from their own folders first").into())
}

fn purge_machine(env: &Env) -> Result<()> {
    let managed = Managed::new(env);
    managed.stop(env, TASK)?;
    managed.remove()?;
    let cache = env.cache("");
    env.progress(TASK, format!("removing {}", cache.display()));
    make_writable(&cache)?;
    if cache.exists() {
        fs::remove_dir_all(&cache).with_context(|| format!("remove {}", cache.display()))?;
    }
    Ok(())
}

/// Go makes its module cache read-only, so only root could delete it.
fn make_writable(dir: &std::path::Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    if rustix::process::geteuid().is_root() || !dir.exists() {
        return Ok(());
    }
    for entry in walkdir::WalkDir::new(dir).into_iter().flatten().filter(|it| it.file_type().is_dir()) {
        fs::set_permissions(entry.path(), fs::Permissions::from_mode(0o700)).with_context(|| format!("open {}", entry.path().display()))?;
    }
    Ok(())
}

fn remove_files(env: &Env) -> Result<()> {
    files(env)?.iter().try_for_each(|it| remove(it))
}

/// A missing file counts as removed.
fn remove(path: &Path) -> Result<()> {
    // Deletes a symbolic link, not its target.
    let is_folder = path.symlink_metadata().is_ok_and(|it| it.is_dir());
    match if is_folder { fs::remove_dir_all(path) } else { fs::remove_file(path) } {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).with_context(|| format!("remove {}", path.display())),
        _ => Ok(()),
    }
}

fn files(env: &Env) -> Result<Vec<PathBuf>> {
    let work = env.work("");
    layout::to_remove(&work).with_context(|| format!("read {}", work.display()))
}
