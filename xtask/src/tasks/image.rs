//! The application's image, from the staged source, the pinned wheels and the user's Dockerfile.
//!
//! One of its two tags follows from the content of all inputs: that tag is what is looked for and deployed. What `.dockerignore` keeps
//! out of the context is no input.

mod build;
mod choice;
mod copied;

use anyhow::{Context as _, Result};

use crate::{
    called,
    dockerfile::{self, Dockerfile, Ignore},
    engine::{Builder, Engine},
    engines,
    env::Env,
    errors::{Code, Problem},
    fingerprint::Fingerprint,
    graph::TaskId,
    images::{self, Role},
    probe::Probe,
    record, regular,
    requirements::wheels::PINS,
    tasks::Task,
};

pub struct Image;

/// The label that carries the digest of the image's inputs.
pub const INPUTS_LABEL: &str = "dev.pocdeploy.inputs";

/// The reference that follows from the content: `name:version-key`.
pub fn reference(env: &Env, fingerprint: &Fingerprint) -> String {
    let frontend = &env.config.frontend;
    format!("{}:{}-{}", frontend.image, frontend.version, fingerprint.short())
}

impl Task for Image {
    fn id(&self) -> TaskId {
        TaskId::Image
    }

    fn inputs(&self, env: &Env) -> Result<Fingerprint> {
        let frontend = &env.config.frontend;
        let dockerfile = env.files.file(&frontend.dockerfile)?;
        if !dockerfile.is_file() {
            return Err(no_dockerfile(env));
        }
        let mut out = Fingerprint::new();
        out.add("base image", images::reference(env, self.id(), Role::Python)?);
        out.add_file("Dockerfile", &dockerfile)?;
        out.add("name", &frontend.image);
        out.add_context("app", &env.stage(), ignore(env)?.as_ref())?;
        // Where the application has a requirements.txt of its own, the pins lie here alone.
        out.add_file("pins", &env.wheels().join(PINS))?;
        Ok(out)
    }

    fn probe(&self, env: &Env, want: &Fingerprint) -> Result<Probe> {
        let engine = env.engine()?;
        let frontend = &env.config.frontend;
        let reference = reference(env, want);
        let Some(built) = engine.image(&reference)? else {
            refuse(env, want)?;
            let changed = record::changed(env, self.id(), want);
            return Ok(Probe::Stale(changed.unwrap_or_else(|| format!("image {reference} is gone from the engine"))));
        };
        if built.labels.get(INPUTS_LABEL) != Some(&want.digest()) {
            refuse(env, want)?;
            return Ok(Probe::Stale(format!("{reference} was not built from these inputs")));
        }
        let plain = format!("{}:{}", frontend.image, frontend.version);
        match engine.image(&plain)? {
            Some(tagged) if tagged.id == built.id => {
                Ok(Probe::Fresh(format!("{reference} is in the engine ({} MB)", built.size / 1_000_000)))
            }
            Some(_) => Ok(Probe::Stale(format!("{plain} is another image"))),
            None => Ok(Probe::Stale(format!("the tag {plain} is gone"))),
        }
    }

    fn run(&self, env: &Env, want: &Fingerprint) -> Result<()> {
        let engine = env.engine()?;
        let frontend = &env.config.frontend;
        let reference = reference(env, want);
        let built = engine.image(&reference)?.is_some_and(|it| it.labels.get(INPUTS_LABEL) == Some(&want.digest()));
        if !built || env.is_forced(self.id()) {
            build::build(env, self.id(), want, &reference)?;
        }
        engine.tag(&reference, &frontend.image, &frontend.version)
    }
}

fn no_dockerfile(env: &Env) -> anyhow::Error {
    Problem::config(format!("there is no Dockerfile at {}", dockerfile_name(env)))
        .code(Code::SourceMissing)
        .hint("write one, or name it as `frontend.dockerfile` in Pocdeploy.toml")
        .into()
}

/// What would end a build can often be told before it, with the line.
fn refuse(env: &Env, context: &Fingerprint) -> Result<()> {
    let (file, _) = read(env)?;
    if !choice::is_plain(&file) {
        choose(env, env.engine()?, &file)?;
    }
    let Some(missing) = copied::missing(&file, context) else { return Ok(()) };
    let name = dockerfile_name(env);
    let what = format!("{name}, line {}: `{}`: {}", missing.line, missing.what, copied::why(&missing, &env.stage()));
    let is_own = env.path(&env.config.frontend.dockerfile).is_file();
    let hint = if is_own {
        "correct the line, or bring the file by a patch".to_owned()
    } else {
        format!("this Dockerfile is the one that {} carries for its example: write one for this application as {name}", called::program())
    };
    Err(Problem::config(what).code(Code::ImageBuild).hint(hint).into())
}

/// The user's Dockerfile, and its text.
fn read(env: &Env) -> Result<(Dockerfile, String)> {
    let name = &env.config.frontend.dockerfile;
    let path = env.files.file(name)?;
    if !path.is_file() {
        return Err(no_dockerfile(env));
    }
    let text = regular::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    Ok((dockerfile::parse(&text), text))
}

/// What stays out of the context: the file beside the Dockerfile that has its name goes before the application's own, as in Docker.
pub fn ignore(env: &Env) -> Result<Option<Ignore>> {
    let beside = format!("{}.dockerignore", env.config.frontend.dockerfile.display());
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

/// Refuses a Dockerfile that the engine will not build, where that can be known before a run: nothing is made for it in vain.
pub fn refuse_early(env: &Env) -> Result<()> {
    let (file, _) = read(env)?;
    if choice::is_plain(&file) {
        return Ok(());
    }
    // Where no engine answers, the run starts one or says so; some things none would build.
    match engines::find(env).ok().flatten() {
        Some(engine) => choose(env, &engine, &file).map(|_| ()),
        None => choice::choose(&file, &dockerfile_name(env), &Builder::Other, || Ok(false)).map(|_| ()),
    }
}

fn dockerfile_name(env: &Env) -> String {
    env.config.frontend.dockerfile.display().to_string()
}

fn choose(env: &Env, engine: &Engine, file: &Dockerfile) -> Result<choice::Choice> {
    let has_client = || build::has_client(env, engine);
    choice::choose(file, &dockerfile_name(env), &engine.builder()?, has_client)
}

/// The reference for the present inputs: what `deploy` brings to the cluster.
pub fn current(env: &Env) -> Result<String> {
    let fingerprint = Image.inputs(env).context("find the application's image")?;
    Ok(reference(env, &fingerprint))
}

/// The reference that the last run of this instance built.
pub fn last_built(env: &Env) -> Option<String> {
    record::read(env, TaskId::Image).map(|it| reference(env, &it))
}
