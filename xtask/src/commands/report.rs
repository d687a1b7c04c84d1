//! `report`: writes an HTML page about the last runs of the instance.

use std::{fs, io::Write as _, path::Path};

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::{
    env::Env,
    flags::{Output, Report},
    images::packages,
    record,
    report::{
        history,
        html::{Page, page},
        run::Run,
    },
};

/// The number of last lines of each log on the page.
const TAIL: usize = 60;

pub(crate) fn run(env: &Env, flags: &Report) -> Result<()> {
    let folders = history::folders(&env.runs());
    let runs: Vec<(Run, Vec<(String, String)>)> =
        folders.iter().rev().filter_map(|folder| history::read(folder).map(|run| (run, logs(folder)))).collect();
    let path = flags.out.clone().unwrap_or_else(|| env.work("report.html"));
    let html = page(&Page { instance: &env.instance, versions: &versions(env)?, runs: &runs });
    record::write_file(&path, html.as_bytes())?;
    let line = match flags.output {
        Output::Text => path.display().to_string(),
        Output::Json => json!({ "schema": 1, "path": path, "runs": runs.len() }).to_string(),
    };
    writeln!(std::io::stdout(), "{line}").context("print where the report is")
}

/// Names and last lines of a run's logs.
fn logs(folder: &Path) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.ends_with(".log") {
            continue;
        }
        let text = fs::read(entry.path()).map(|it| String::from_utf8_lossy(&it).into_owned()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        out.push((name, lines[lines.len().saturating_sub(TAIL)..].join("\n")));
    }
    out.sort();
    out
}

/// Names and versions of everything that a run installs; the application's packages come last.
fn versions(env: &Env) -> Result<Vec<(String, String)>> {
    let pinned = packages::versions(env)?;
    let frontend = &env.config.frontend;
    let mut out = vec![
        ("pocdeploy".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        (frontend.image.clone(), frontend.version.clone()),
        ("Kubernetes".to_owned(), pinned.kubernetes),
        ("kind".to_owned(), pinned.kind),
        ("containerd".to_owned(), pinned.containerd),
        ("etcd".to_owned(), pinned.etcd),
        ("CoreDNS".to_owned(), pinned.coredns),
        ("CloudNativePG".to_owned(), pinned.cloudnative_pg),
        ("PostgreSQL".to_owned(), pinned.postgresql),
        ("Python".to_owned(), pinned.python),
    ];
    let pins = fs::read_to_string(env.path(&frontend.requirements)).unwrap_or_default();
    let packages = pins.lines().filter_map(|line| line.split_whitespace().next()?.split_once("=="));
    out.extend(packages.map(|(name, version)| (name.to_owned(), version.to_owned())));
    Ok(out)
}
