//! `support-bundle`: packs everything that helps to understand a failure into one archive without secrets.
//!
//! Only reads. If engine or cluster are down, the archive and the terminal name what is missing.

mod archive;
mod state;

use std::{fs, io::Write as _, path::Path, path::PathBuf, sync::Arc};

use anyhow::{Context as _, Result};

use crate::{
    cluster::Cluster,
    commands::{
        config, doctor,
        instance::{self, Answering},
        plan,
    },
    config::{FILE, Resolved},
    doctor as checks,
    env::Env,
    layout, record,
    redact::Redactor,
};

use archive::Bundle;

/// The maximum size of a log; its end is kept.
const LOG_LIMIT: usize = 1_000_000;

/// Writes the archive and prints its path. `complaint` is the error of an invalid configuration; the defaults are used then.
pub(crate) fn run(env: Env, resolved: &Resolved, complaint: Option<&anyhow::Error>, out: Option<PathBuf>) -> Result<()> {
    let env = Arc::new(env);
    let opened = reach(&env);
    let mut secrets = env.secrets();
    if let Ok(cluster) = &opened {
        secrets.extend(state::secrets(&env, cluster));
    }
    let mut bundle = Bundle::new(Redactor::new(secrets));
    of_project(&mut bundle, &env, resolved, complaint);
    of_runs(&mut bundle, &env);
    bundle.value("doctor.json", &doctor::value(&checks::all(&env)));
    state::engine(&mut bundle, &env);
    match &opened {
        Ok(cluster) => state::cluster(&mut bundle, &env, cluster),
        Err(why) => bundle.lack("objects, events and pod logs of the cluster", why),
    }
    match plan::document(&env) {
        Ok(text) => bundle.add("plan.json", &text),
        Err(error) => bundle.lack("the plan", &format!("{error:#}")),
    }
    env.interrupt.check()?;
    let path = out.unwrap_or_else(|| env.work("support-bundle.tar.gz"));
    let bytes = bundle.bytes()?;
    record::write_file(&path, &bytes)?;
    let mut words = String::new();
    for missing in bundle.missing() {
        words.push_str(&format!("missing: {missing}\n"));
    }
    words.push_str("look through it before you hand it on: what no rule knows as a secret is still in it\n");
    std::io::stderr().write_all(words.as_bytes()).ok();
    writeln!(std::io::stdout(), "{}", path.display()).context("print the archive's path")
}

/// The cluster, if its API server is ready; also an unfinished one.
fn reach(env: &Env) -> Result<Cluster, String> {
    if let Ok(Answering::Node { why }) = env.only_looking(|| instance::what_answers(env)) {
        return Err(why);
    }
    if !env.kubeconfig().exists() {
        return Err("there is no kubeconfig: no cluster was made, or it was deleted".to_owned());
    }
    let cluster = Cluster::open(env, &env.kubeconfig()).map_err(|error| format!("{error:#}"))?;
    cluster.is_ready().map(|()| cluster)
}

fn of_project(bundle: &mut Bundle, env: &Env, resolved: &Resolved, complaint: Option<&anyhow::Error>) {
    match fs::read_to_string(env.path(FILE)) {
        Ok(text) => bundle.add(&format!("configuration/{FILE}"), &text),
        Err(error) => bundle.lack(FILE, &error.to_string()),
    }
    match complaint {
        Some(error) => bundle.lack("the resolved configuration", &format!("{error:#}")),
        None => bundle.value("configuration/resolved.json", &config::value(resolved)),
    }
    let versions = env.files.file("build/images/versions.toml").and_then(|it| Ok(fs::read_to_string(it)?));
    let versions = versions.unwrap_or_else(|error| format!("the versions of upstream parts cannot be read: {error:#}"));
    let own = format!("pocdeploy {}\ninstance {}\n\n{versions}", env!("CARGO_PKG_VERSION"), env.instance);
    bundle.add("versions.txt", &own);
}

/// The records of the last runs with their logs, and the inputs of each task's last success.
fn of_runs(bundle: &mut Bundle, env: &Env) {
    let mut found = 0;
    for entry in layout::ENTRIES.iter().filter(|it| it.bundled) {
        let dir = env.work(entry.name);
        for entry in walkdir::WalkDir::new(&dir).sort_by_file_name().into_iter().flatten().filter(|it| it.file_type().is_file()) {
            let name = entry.path().strip_prefix(env.work("")).unwrap_or(entry.path()).display().to_string();
            found += 1;
            file(bundle, &name, entry.path());
        }
    }
    if found == 0 {
        bundle.lack("records and logs of runs", "this instance has none: nothing was run, or it was deleted");
    }
    let log = env.cache("engine").join("dockerd.log");
    if log.exists() {
        file(bundle, "engine/dockerd.log", &log);
    }
}

fn file(bundle: &mut Bundle, name: &str, path: &Path) {
    match fs::read(path) {
        Ok(bytes) => bundle.add(name, &String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(LOG_LIMIT)..])),
        Err(error) => bundle.lack(name, &error.to_string()),
    }
}
