//! `sbom`: writes what is in each image that the tool has built for the instance, one CycloneDX file for each image.

use std::{fs, io::Write as _, path::PathBuf};

use anyhow::{Context as _, Result};

use crate::{
    config::{ClusterType, ServiceName, name_of},
    engines,
    env::Env,
    errors::{Code, Problem},
    graph::{TaskId, TaskKind},
    images::{self, Chosen, Role},
    record,
    sbom::{self, Application, Contents, Image},
    tasks::{image, patch},
    upstream::{self, Source},
};

/// The folder of the files, in the tool's own.
const FOLDER: &str = "sbom";

pub(crate) fn run(env: &Env, to: Option<PathBuf>) -> Result<()> {
    if let Some(engine) = engines::find(env)? {
        env.set_engine(engine);
    }
    let engine = env.engine()?;
    let folder = to.map_or_else(|| env.work(FOLDER), |it| env.path(it));
    let mut out = String::new();
    for (name, reference, application) in built(env)? {
        let Some(facts) = engine.image(&reference)? else {
            eprint_line(&format!("missing: {reference} is not in the engine"));
            continue;
        };
        let mut contents = Contents::default();
        engine.each_file(&reference, |path, content| contents.file(path, content))?;
        let of_image = Image { reference: &reference, id: &facts.id };
        let document = sbom::document(&of_image, &contents, application.as_ref());
        let file = folder.join(format!("{name}.cdx.json"));
        record::write_file(&file, format!("{document:#}\n").as_bytes())?;
        out.push_str(&format!("{}\n", file.display()));
    }
    if out.is_empty() {
        let what = "the engine has none of the images that the tool builds for this instance";
        return Err(Problem::new(what).code(Code::NoProduct).hint("run `cargo xtask image` or `cargo xtask create` first").into());
    }
    std::io::stdout().write_all(out.as_bytes()).context("print the paths")
}

fn eprint_line(text: &str) {
    writeln!(std::io::stderr(), "{text}").ok();
}

/// The images that the tool builds: a name for the file, the reference, and the application in it. Images that a registry has are their
/// publishers' own.
fn built(env: &Env) -> Result<Vec<(String, String, Option<Application>)>> {
    let mut out = Vec::new();
    for service in env.config.built() {
        out.push((name_of(service), image::current(env, service)?, application(env, service)?));
    }
    if images::chosen(env, TaskId::Load)? == Chosen::Packages {
        let mut roles = Vec::new();
        // The node's own database and operator are files of the node image.
        if images::packages::has_own_database(env)? {
            roles.push(("postgresql", TaskId::Database, Role::Postgresql));
        }
        if env.config.cluster.kind == ClusterType::Kind {
            roles.push(("node", TaskId::NodeImage, Role::Node));
        }
        for service in env.config.brought() {
            let task = TaskId::for_service(TaskKind::Load, Some(service));
            if let Some(kind) = env.config.service(Some(service)).kind {
                out.push((name_of(Some(service)), images::reference(env, task, kind.into())?, None));
            }
        }
        for (name, task, role) in roles {
            out.push((name.to_owned(), images::reference(env, task, role)?, None));
        }
    }
    Ok(out)
}

/// The service's source by `UPSTREAM.md`, with its patches; nothing for an application without upstream and patches.
fn application(env: &Env, service: Option<ServiceName>) -> Result<Option<Application>> {
    let scope = env.scope(TaskId::for_service(TaskKind::Patch, service));
    let path = &env.config.service(service).path;
    let section = upstream::of_folder(&env.project, path)?;
    let mut patches = Vec::new();
    for it in patch::queue(&scope)?.patches {
        let bytes = fs::read(&it.path).with_context(|| format!("read {}", it.path.display()))?;
        patches.push((it.name, String::from_utf8_lossy(&bytes).into_owned()));
    }
    let name = path.file_name().map_or_else(|| name_of(service), |it| it.to_string_lossy().into_owned());
    let Some(section) = section else {
        let version = String::new();
        let own = Application { name, version, license: String::new(), source: String::new(), patches };
        return Ok((!own.patches.is_empty()).then_some(own));
    };
    let version = section.version.clone();
    let source = match &section.source {
        Source::Sdist(it) | Source::Wheel(it) => format!("pkg:pypi/{}@{}", sbom::encoded(&it.to_lowercase()), sbom::encoded(&version)),
        Source::Npm(it) => {
            let parts: Vec<String> = it.split('/').map(sbom::encoded).collect();
            format!("pkg:npm/{}@{}", parts.join("/"), sbom::encoded(&version))
        }
        other => other.to_string(),
    };
    Ok(Some(Application { name, version, license: section.license, source, patches }))
}
