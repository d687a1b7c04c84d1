//! The application's image, from the patched source, the pinned wheels and the user's Dockerfile.
//!
//! One of its two tags contains a hash of all inputs; this tag is probed and deployed. Files that `.dockerignore` excludes are not inputs.

mod build;
mod choice;
mod clear;
mod copied;

use std::sync::Arc;

use anyhow::{Context as _, Result};

pub use crate::tasks::image::clear::{in_engine, remove, remove_all};

use crate::{
    config::ServiceName,
    dockerfile::{self, Dockerfile, Ignore},
    engine::{Builder, Engine, Nameless},
    engines::{self, Managed},
    env::{Env, Scope},
    errors::{Code, Problem},
    fingerprint::Fingerprint,
    graph::{TaskId, TaskKind},
    images::{self, Role},
    invocation,
    probe::Probe,
    record, regular,
    requirements::{imports::SHARED, wheels::PINS},
    tasks::{Task, brought},
};

/// The task of a service; `None` is the first one.
#[derive(Clone, Copy, Default)]
pub struct Image(pub Option<ServiceName>);

/// The label with the digest of the image's inputs.
pub const INPUTS_LABEL: &str = "dev.pocdeploy.inputs";

/// The reference with the hash: `name:version-key`.
fn reference(env: &Scope<'_>, fingerprint: &Fingerprint) -> String {
    format!("{}:{}-{}", env.service.image, env.service.version, fingerprint.short())
}

impl Task for Image {
    fn id(&self) -> TaskId {
        TaskId::for_service(TaskKind::Image, self.0)
    }

    /// Of the files as they are now. Later tasks of the run ask for [`inputs`].
    fn inputs(&self, env: &Env) -> Result<Fingerprint> {
        let out = self.read(env)?;
        // Its copies know it, too.
        out.digest();
        env.readings.put(&self.reading(), &Arc::new(out.clone()));
        Ok(out)
    }

    fn probe(&self, env: &Env, want: &Fingerprint) -> Result<Probe> {
        if let Some(role) = brought::role(env, self.0) {
            return brought::probe(env, self.id(), role);
        }
        let env = &env.scope(self.id());
        let found = built(env, want)?;
        let Probe::Fresh(text) = found else {
            refuse(env, want)?;
            return Ok(found);
        };
        let engine = env.engine()?;
        let plain = format!("{}:{}", env.service.image, env.service.version);
        let id = |name: &str| engine.image(name).map(|it| it.map(|it| it.id));
        Ok(match id(&plain)? {
            tagged @ Some(_) if tagged == id(&reference(env, want))? => Probe::Fresh(text),
            // All checkouts on this machine share this tag, and pods never use it. If these inputs were the last ones here, another checkout
            // has moved the tag since.
            Some(_) if record::changed(env, env.id, want).is_none() => Probe::Fresh(format!("{text}; {plain} is another checkout's")),
            Some(_) => Probe::Stale(format!("{plain} is another image")),
            None => Probe::Stale(format!("the tag {plain} is gone")),
        })
    }

    /// The tag without a key is shared with other checkouts, which may move it in this moment.
    fn made(&self, env: &Env, want: &Fingerprint) -> Result<Probe> {
        match brought::role(env, self.0) {
            Some(role) => brought::probe(env, self.id(), role),
            None => built(&env.scope(self.id()), want),
        }
    }

    fn run(&self, env: &Env, want: &Fingerprint) -> Result<()> {
        if let Some(role) = brought::role(env, self.0) {
            return images::ensure(env, self.id(), role);
        }
        let env = &env.scope(self.id());
        let engine = env.engine()?;
        let reference = reference(env, want);
        let built = engine.image(&reference)?.is_some_and(|it| it.labels.get(INPUTS_LABEL) == Some(&want.digest()));
        if !built || env.is_forced(env.id) {
            build::build(env, want, &reference)?;
            clear_replaced(env, engine);
        }
        engine.tag(&reference, &env.service.image, &env.service.version)
    }
}

impl Image {
    /// The name of its inputs among what a run has read.
    fn reading(&self) -> String {
        format!("inputs of {}", self.id().name())
    }

    fn read(&self, env: &Env) -> Result<Fingerprint> {
        if let Some(role) = brought::role(env, self.0) {
            let mut out = Fingerprint::new();
            out.add("reference", images::reference(env, self.id(), role)?);
            return Ok(out);
        }
        let env = &env.scope(self.id());
        let dockerfile = env.files.file(&env.service.dockerfile)?;
        if !dockerfile.is_file() {
            return Err(no_dockerfile(env));
        }
        let mut out = Fingerprint::new();
        out.add("base image", images::reference(env, env.id, Role::Python)?);
        out.add_file("Dockerfile", &dockerfile)?;
        let text = regular::read_to_string(&dockerfile)?;
        if env.is_developing() && dockerfile::in_development(&text).is_some() {
            out.add("development", "true");
        }
        // The command says which of several programs is compiled.
        if let Some(command) = env.service.command.as_ref().filter(|_| build::names_artifacts(&text)) {
            out.add("command", command.join("\0"));
        }
        out.add("name", &env.service.image);
        let ignore = ignore(env)?;
        let tree = env.trees.recent(&env.hashes, &env.stage(), &SHARED)?;
        out.extend(tree.only(dockerfile::belongs(ignore.as_ref())).map(|(_, part)| part));
        // If the application has its own requirements.txt, the pins are only here.
        out.add_file("pins", &env.wheels().join(PINS))?;
        Ok(out)
    }
}

/// The inputs with which this run has found or built the image of the service; read now if it has not looked at the image yet.
pub fn inputs(env: &Env, service: Option<ServiceName>) -> Result<Arc<Fingerprint>> {
    let image = Image(service);
    env.readings.once(&image.reading(), || image.read(env).map(Arc::new))
}

/// Removes what the build replaced, and from the tool's own engine all images without a name that are a day old, such as the stages of
/// classic builds. An image too many is no reason to fail.
fn clear_replaced(env: &Scope<'_>, engine: &Engine) {
    let mut cleared = engine.remove_nameless(Nameless::Labelled(INPUTS_LABEL));
    if engine.host == Managed::new(env).found().host {
        cleared = cleared.and_then(|()| engine.remove_nameless(Nameless::OlderThan("24h")));
    }
    if let Err(error) = cleared {
        env.detail(env.id, format!("older images stay: {error:#}"));
    }
}

/// Whether the image of these inputs is in the engine.
fn built(env: &Scope<'_>, want: &Fingerprint) -> Result<Probe> {
    let reference = reference(env, want);
    let Some(found) = env.engine()?.image(&reference)? else {
        let changed = record::changed(env, env.id, want);
        return Ok(Probe::Stale(changed.unwrap_or_else(|| format!("image {reference} is gone from the engine"))));
    };
    if found.labels.get(INPUTS_LABEL) != Some(&want.digest()) {
        return Ok(Probe::Stale(format!("{reference} was not built from these inputs")));
    }
    Ok(Probe::Fresh(format!("{reference} is in the engine ({} MB)", found.size / 1_000_000)))
}

fn no_dockerfile(env: &Scope<'_>) -> anyhow::Error {
    Problem::config(format!("there is no Dockerfile at {}", dockerfile_name(env)))
        .code(Code::SourceMissing)
        .hint(format!("write one, or name it as `{}.dockerfile` in Pocdeploy.toml", env.table()))
        .into()
}

/// Reports errors that would fail the build, with their line.
fn refuse(env: &Scope<'_>, context: &Fingerprint) -> Result<()> {
    let (file, _) = read(env)?;
    if !choice::is_plain(&file) {
        choose(env, env.engine()?, &file)?;
    }
    let Some(missing) = copied::missing(&file, context) else { return Ok(()) };
    let name = dockerfile_name(env);
    let what = format!("{name}, line {}: `{}`: {}", missing.line, missing.what, copied::why(&missing, &env.stage()));
    let is_own = env.path(&env.service.dockerfile).is_file();
    let hint = if is_own {
        "correct the line, or bring the file by a patch".to_owned()
    } else {
        format!("this Dockerfile is that of {}'s example: write one for this application as {name}", invocation::program())
    };
    Err(Problem::config(what).code(Code::ImageBuild).hint(hint).into())
}

/// The user's Dockerfile, parsed and as text.
fn read(env: &Scope<'_>) -> Result<(Dockerfile, String)> {
    let name = &env.service.dockerfile;
    let path = env.files.file(name)?;
    if !path.is_file() {
        return Err(no_dockerfile(env));
    }
    let text = regular::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let text = if env.is_developing() { dockerfile::in_development(&text).unwrap_or(text) } else { text };
    Ok((dockerfile::parse(&text), text))
}

/// The ignore rules: the file named after the Dockerfile, or else the application's own, as in Docker.
pub fn ignore(env: &Scope<'_>) -> Result<Option<Ignore>> {
    let beside = format!("{}.dockerignore", env.service.dockerfile.display());
    for (path, name) in
        [(env.files.file(&beside)?, beside.as_str()), (env.stage().join(".dockerignore"), "the application's .dockerignore")]
    {
        if path.is_file() {
            let content = regular::read(&path).with_context(|| format!("read {}", path.display()))?;
            return Ignore::parse(&content, name).map(Some);
        }
    }
    Ok(None)
}

/// Rejects a Dockerfile that the engine cannot build, if this is known before a run, so that nothing is created in vain.
pub fn refuse_early(env: &Env) -> Result<()> {
    for service in env.config.built() {
        let env = &env.scope(Image(service).id());
        let (file, _) = read(env)?;
        if choice::is_plain(&file) {
            continue;
        }
        // Without an engine, the run starts one or reports it; some Dockerfiles cannot be built by any.
        match engines::find(env).ok().flatten() {
            Some(engine) => choose(env, &engine, &file).map(|_| ())?,
            None => choice::choose(&file, &dockerfile_name(env), &Builder::Other, || Ok(false)).map(|_| ())?,
        }
    }
    Ok(())
}

fn dockerfile_name(env: &Scope<'_>) -> String {
    env.service.dockerfile.display().to_string()
}

fn choose(env: &Scope<'_>, engine: &Engine, file: &Dockerfile) -> Result<choice::Choice> {
    let has_client = || build::has_client(env, engine);
    choice::choose(file, &dockerfile_name(env), &engine.builder()?, has_client)
}

/// The reference for the current inputs of a service with its own image, which `load` loads into the cluster.
pub fn current(env: &Env, service: Option<ServiceName>) -> Result<String> {
    let image = Image(service);
    if let Some(role) = brought::role(env, service) {
        return images::reference(env, image.id(), role);
    }
    let fingerprint = inputs(env, service).context("find the application's image")?;
    Ok(reference(&env.scope(image.id()), &fingerprint))
}

/// The references of all services with their own image, the first service's first.
pub fn all(env: &Env) -> Result<Vec<String>> {
    env.config.built().map(|it| current(env, it)).collect()
}
