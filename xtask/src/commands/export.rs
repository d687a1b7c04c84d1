//! `export`: pushes the images, and writes what is deployed as files that work without this tool.

mod repository;
mod written;

use std::{io::Write as _, path::PathBuf};

use anyhow::{Context as _, Result};

use crate::{
    commands::export::{
        repository::Repository,
        written::{Fate, Target},
    },
    config::name_of,
    env::Env,
    errors::Problem,
    export::{Exported, Files, Key, argocd, ci, compose, flux, helm, kustomize},
    flags::exporting::{Ci, Export, Format},
    graph::{TaskId, TaskKind},
    runner,
    tasks::{self, exported, patch::source::EXPORTS},
};

/// The port on this machine of a Compose file.
const PORT: u16 = 8080;

pub(crate) fn run(env: &Env, flags: &Export) -> Result<()> {
    refuse_without_registry(env)?;
    let folder = folder(env, flags)?;
    // What needs no image is refused before one is built.
    let repository = Repository::read(env, &folder, flags)?;
    let images: Vec<TaskId> = env.config.built().map(|it| TaskId::for_service(TaskKind::Image, it)).collect();
    runner::run(env, &tasks::task, &images)?;
    let exported = exported::read(env)?;
    let mut targets = vec![Target::new(folder, files(env, flags, &exported, &repository)?)];
    targets.extend(ci_file(env, flags, &exported, &repository)?);
    let mut out = String::new();
    for change in written::write(&env.project, targets, flags.force)? {
        let path = change.path.strip_prefix(&env.project).unwrap_or(&change.path).display().to_string();
        match change.fate {
            Fate::New => out.push_str(&format!("new      {path}\n")),
            Fate::Changed => out.push_str(&format!("changed  {path}\n")),
            Fate::Outdated => out.push_str(&format!("kept     {path}, which has your changes; what it would be now is in {path}.new\n")),
            Fate::Kept => out.push_str(&format!("kept     {path}, which has your changes\n")),
            Fate::Gone => out.push_str(&format!("removed  {path}\n")),
        }
    }
    if out.is_empty() {
        out.push_str("nothing changed since the last export\n");
    }
    say(&out)
}

/// `--dry-run`: names the images and the folder, and pushes and writes nothing.
pub(crate) fn preview(env: &Env, flags: &Export) -> Result<()> {
    refuse_without_registry(env)?;
    let folder = folder(env, flags)?;
    Repository::read(env, &folder, flags)?;
    let registry = env.config.cluster.registry.clone().unwrap_or_default();
    let services: Vec<String> = env.config.built().map(name_of).collect();
    say(&format!(
        "would build and push the images of {} to {registry}, and upstream's images that are built here\nwould write {} files to {}\n",
        services.join(", "),
        flags.format.name(),
        folder.strip_prefix(&env.project).unwrap_or(&folder).display()
    ))
}

fn refuse_without_registry(env: &Env) -> Result<()> {
    if env.config.cluster.registry.is_some() {
        return Ok(());
    }
    let what =
        "exported files name images by digest, so the images must be in a registry that other clusters pull from; none is configured";
    Err(Problem::usage(what).hint("name one: cargo xtask export … --registry registry.example.com/team").into())
}

/// The folder for the files. Not inside an application's source: each export would change the image that it names.
fn folder(env: &Env, flags: &Export) -> Result<PathBuf> {
    let Some(path) = &flags.to else { return Ok(env.path(PathBuf::from(EXPORTS).join(flags.format.name()))) };
    let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
    if (path.exists() || path.is_symlink()) && !path.is_dir() {
        return Err(Problem::usage(format!("--to {} is not a folder", path.display())).into());
    }
    let is_of_exports = path.parent() == Some(&env.path(EXPORTS));
    let source = env.config.built().map(|it| env.path(&env.config.service(it).path)).find(|it| repository::inside(&path, it).is_some());
    match source.filter(|_| !is_of_exports) {
        Some(source) => {
            let what =
                format!("--to {} is inside the source {}, so that each export would change the image", path.display(), source.display());
            Err(Problem::usage(what).hint("name a folder in export/, or outside the source").into())
        }
        None => Ok(path),
    }
}

fn files(env: &Env, flags: &Export, exported: &Exported, repository: &Repository) -> Result<Files> {
    match flags.format {
        Format::Kustomize => kustomize::files(exported),
        Format::Helm => helm::files(exported, &env.config.frontend.version),
        Format::Compose => {
            let port = env.config.cluster.port.unwrap_or(PORT);
            compose::files(exported, &exported::here(env, exported, port)?, port)
        }
        Format::Flux => flux::files(exported, &repository.place(flags.format)?),
        Format::Argocd => argocd::files(exported, &repository.place(flags.format)?),
    }
}

/// The file for continuous integration, in the repository's top folder.
fn ci_file(env: &Env, flags: &Export, exported: &Exported, repository: &Repository) -> Result<Option<Target>> {
    let Some(of) = flags.ci else { return Ok(None) };
    let given = |key: &(String, Key)| matches!(key.1, Key::Given(_));
    let scripted = exported.secrets.iter().filter(|it| !it.is_open());
    let variables = scripted.flat_map(|it| it.keys.iter().filter(|key| given(key)).map(|(key, _)| it.variable(key)));
    let plan = ci::Plan {
        format: flags.format.into(),
        path: &repository.path,
        namespace: &exported.namespace,
        branch: &repository.branch,
        variables: variables.collect(),
        overlay: exported.variants.first().map(|it| it.name).unwrap_or_default(),
        has_operator: !exported.operator.is_empty(),
    };
    let service = match of {
        Ci::Github => ci::Service::Github,
        Ci::Gitlab => ci::Service::Gitlab,
    };
    let (path, content) = ci::file(service, &plan)?;
    Ok(Some(Target {
        folder: repository.top.clone(),
        files: Files::from([(path.into(), content.into())]),
        record: repository.record(of, &env.project),
    }))
}

fn say(text: &str) -> Result<()> {
    std::io::stdout().write_all(text.as_bytes()).context("print the result")
}
