//! `eject`: writes files into the project so that users can change them: the manifests that the tool writes for an application, and what an
//! installed program embeds.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{
    commands::surroundings,
    config::{Service, name_of, table_of},
    deploy::{folder, yaml},
    embedded::{self, Embedded},
    env::{Env, Options, find_project},
    errors::{Code, Problem},
    flags::{Eject, Global},
    invocation, record,
    report::hub::Hub,
};

/// The first lines of a written manifest.
const HEAD: &str =
    "# Written by `pocdeploy eject`. It replaces the object that the tool would write; without this file the tool writes it again.\n";

pub(crate) fn run(hub: &Arc<Hub>, flags: &Eject, global: &Global) -> Result<()> {
    let here = std::env::current_dir().context("find the current folder")?;
    let found = global.project.clone().or_else(|| find_project(&here).ok());
    // Without a project there is no application, so only the embedded files are known.
    let env = found.is_some().then(|| surroundings::surroundings(hub, global, Options::default())).transpose()?;
    let project = found.unwrap_or(here);
    let archive = embedded::archive(&std::env::current_exe().context("find the running program")?)?;
    let mut all = archive.map(|it| embedded::files(&it)).transpose()?.unwrap_or_default();
    if let Some(env) = &env {
        if !folder::is_example(env)? {
            all.retain(|it| !is_of_the_example(&it.path));
        }
        all.extend(manifests(env)?);
    }
    if all.is_empty() {
        let what = "there is nothing to write: deploy/ has all manifests, and in a checkout the other files are in build/";
        return Err(Problem::usage(what).into());
    }
    let (chosen, generated) = choose(all, &flags.paths)?;
    let differing: Vec<String> = chosen.iter().filter(|it| differs(&project, it)).map(|it| it.path.display().to_string()).collect();
    if !differing.is_empty() && !flags.force {
        let what = format!("existing files have other content; nothing was written:\n{}", differing.join("\n"));
        return Err(Problem::new(what).code(Code::WouldOverwrite).hint("name other files, or overwrite these with --force").into());
    }
    let mut notes = String::new();
    for path in generated {
        notes.push_str(&format!("skipped: {}, which `{} requirements` writes\n", path.display(), invocation::program()));
    }
    if let Some(env) = &env {
        notes.push_str(&keys_without_effect(env, &chosen)?);
    }
    let mut out = String::new();
    for file in chosen {
        let target = project.join(&file.path);
        if !global.dry_run {
            record::write_file(&target, &file.content)?;
            let mode = if file.executable { 0o755 } else { 0o644 };
            fs::set_permissions(&target, fs::Permissions::from_mode(mode)).with_context(|| format!("write {}", target.display()))?;
        }
        out.push_str(&format!("{}\n", target.display()));
    }
    std::io::stderr().write_all(notes.as_bytes()).ok();
    std::io::stdout().write_all(out.as_bytes()).context("print the paths")
}

/// The manifests that the tool writes for the application, without those that a file in `deploy/` replaces.
fn manifests(env: &Env) -> Result<Vec<Embedded>> {
    let mut out = Vec::new();
    for (folder, objects) in folder::written(env)? {
        for object in &objects {
            let path = path_of(&folder, object, &objects);
            let content = format!("{HEAD}{}", yaml::text(object).map_err(Problem::new)?).into_bytes();
            out.push(Embedded { path, content, executable: false });
        }
    }
    Ok(out)
}

/// `deploy/frontend/deployment.yaml`; `deploy/frontend/networkpolicy-default-deny.yaml` if there are several of a kind.
fn path_of(folder: &str, object: &Value, all: &[Value]) -> PathBuf {
    let text = |it: &Value| it.as_str().unwrap_or_default().to_lowercase();
    let kind = text(&object["kind"]);
    let is_only_one = all.iter().filter(|it| it["kind"] == object["kind"]).count() == 1;
    let file = if is_only_one { format!("{kind}.yaml") } else { format!("{kind}-{}.yaml", text(&object["metadata"]["name"])) };
    Path::new("deploy").join(folder).join(file)
}

/// Whether an embedded file belongs to the example application.
fn is_of_the_example(path: &Path) -> bool {
    let Service { patch_dir, dockerfile, requirements, .. } = Service::default();
    let folders = [patch_dir, "deploy/frontend".into(), "deploy/database".into()];
    folders.iter().any(|it| path.starts_with(it)) || path == dockerfile || path == requirements
}

/// What to remove from the configuration, since the written workloads say it themselves.
fn keys_without_effect(env: &Env, chosen: &[Embedded]) -> Result<String> {
    let (mut out, written) = (String::new(), folder::written(env)?);
    for (service, config) in env.config.all_services() {
        let name = name_of(service);
        let Some((_, objects)) = written.iter().find(|(folder, _)| *folder == name) else { continue };
        let is_left = |it: &&Value| !chosen.iter().any(|one| one.path == path_of(&name, it, objects));
        let left: Vec<&str> = objects.iter().filter(is_left).filter_map(|it| it["kind"].as_str()).collect();
        let keys = folder::without_effect(service, config, &left);
        if !keys.is_empty() {
            out.push_str(&format!("remove from [{}]: {}; deploy/{name} has them from now on\n", table_of(service), keys.join(", ")));
        }
    }
    Ok(out)
}

/// The files to write, and skipped generated files: all files, or those below the given paths. Each path must match a file. A generated
/// file belongs to one application, so it is written only if it is named itself.
fn choose(all: Vec<Embedded>, paths: &[PathBuf]) -> Result<(Vec<Embedded>, Vec<PathBuf>)> {
    if let Some(path) = paths.iter().find(|path| !all.iter().any(|it| it.path.starts_with(path))) {
        let what = format!("there is no file {}, or below it, to write", path.display());
        let hint = format!("`{} eject --dry-run` lists them", invocation::program());
        return Err(Problem::usage(what).hint(hint).into());
    }
    let is_chosen = |it: &Embedded| paths.is_empty() || paths.iter().any(|path| it.path.starts_with(path));
    let generated = Service::default().requirements;
    let is_passed_over = |it: &Embedded| it.path == generated && !paths.contains(&it.path);
    let (passed_over, chosen): (Vec<Embedded>, Vec<Embedded>) = all.into_iter().filter(is_chosen).partition(is_passed_over);
    Ok((chosen, passed_over.into_iter().map(|it| it.path).collect()))
}

fn differs(project: &Path, file: &Embedded) -> bool {
    fs::read(project.join(&file.path)).is_ok_and(|present| present != file.content)
}
