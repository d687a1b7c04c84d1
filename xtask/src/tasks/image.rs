//! The application's image, from the staged source, the pinned wheels and the user's Dockerfile.
//!
//! One of its two tags follows from the content of all inputs: that tag is what is looked for and deployed.

use std::{collections::HashMap, fs};

use anyhow::{Context as _, Result};

use crate::{
    engine::{BuildRequest, Root},
    env::Env,
    errors::{Code, Problem},
    fingerprint::Fingerprint,
    graph::TaskId,
    images::{self, Role},
    probe::Probe,
    record,
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
            let what = format!("there is no Dockerfile at {}", frontend.dockerfile.display());
            return Err(Problem::config(what)
                .code(Code::SourceMissing)
                .hint("write one, or name it as `frontend.dockerfile` in Pocdeploy.toml")
                .into());
        }
        let mut out = Fingerprint::new();
        out.add("base image", images::reference(env, self.id(), Role::Python)?);
        out.add_file("Dockerfile", &dockerfile)?;
        out.add("name", &frontend.image);
        out.add_tree("app", &env.stage())?;
        Ok(out)
    }

    fn probe(&self, env: &Env, want: &Fingerprint) -> Result<Probe> {
        let engine = env.engine()?;
        let frontend = &env.config.frontend;
        let reference = reference(env, want);
        let Some(built) = engine.image(&reference)? else {
            let changed = record::changed(env, self.id(), want);
            return Ok(Probe::Stale(changed.unwrap_or_else(|| format!("image {reference} is gone from the engine"))));
        };
        if built.labels.get(INPUTS_LABEL) != Some(&want.digest()) {
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
            build(env, self.id(), want, &reference)?;
        }
        engine.tag(&reference, &frontend.image, &frontend.version)
    }
}

fn build(env: &Env, id: TaskId, want: &Fingerprint, reference: &str) -> Result<()> {
    let frontend = &env.config.frontend;
    let log = env.tools.log(id);
    let mut context = vec![Root { path: env.stage(), name: String::new() }];
    if env.wheels().is_dir() {
        context.push(Root { path: env.wheels(), name: "wheels".to_owned() });
    }
    // Added last: a Dockerfile of the application's own gives way to the one that the configuration names.
    let dockerfile = env.files.file(&frontend.dockerfile)?;
    let text = fs::read_to_string(&dockerfile).with_context(|| format!("read {}", dockerfile.display()))?;
    let labels = [(INPUTS_LABEL, want.digest()), ("org.opencontainers.image.version", frontend.version.clone())];
    let dockerfile = env.work("Dockerfile");
    record::write_file(&dockerfile, labelled(&text, &labels).as_bytes())?;
    context.push(Root { path: dockerfile, name: DOCKERFILE.to_owned() });
    let request = BuildRequest {
        context,
        dockerfile: DOCKERFILE.to_owned(),
        tag: reference.to_owned(),
        args: HashMap::from([("BASE_IMAGE".to_owned(), images::reference(env, id, Role::Python)?)]),
        labels: HashMap::new(),
        network: frontend.build_network,
    };
    let lines = std::sync::Mutex::new(String::new());
    let result = env.engine()?.build(request, |line| {
        if let Ok(mut lines) = lines.lock() {
            lines.push_str(line);
            lines.push('\n');
        }
        if line.starts_with("Step ") {
            env.progress(id, line);
        }
        env.detail(id, line);
    });
    let lines = lines.into_inner().unwrap_or_default();
    result.map_err(|error| {
        let last: Vec<&str> = lines.lines().rev().take(12).collect();
        let tail: Vec<&str> = last.into_iter().rev().collect();
        Problem::new(format!("{error:#}\n  {}", tail.join("\n  ")))
            .code(Code::ImageBuild)
            .hint(format!("the whole output is in {}", log.display()))
            .into()
    })
}

/// The Dockerfile with one more instruction: each label that the engine is told beside it would be a step, and a container, of its own.
fn labelled(dockerfile: &str, labels: &[(&str, String)]) -> String {
    let quoted = |value: &str| format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$"));
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={}", quoted(value))).collect();
    format!("{dockerfile}\nLABEL {}\n", pairs.join(" "))
}

/// The Dockerfile's name in the context, which nobody's source has.
const DOCKERFILE: &str = ".pocdeploy.Dockerfile";

/// The reference for the present inputs: what `deploy` brings to the cluster.
pub fn current(env: &Env) -> Result<String> {
    let fingerprint = Image.inputs(env).context("find the application's image")?;
    Ok(reference(env, &fingerprint))
}

/// The reference that the last run of this instance built.
pub fn last_built(env: &Env) -> Option<String> {
    record::read(env, TaskId::Image).map(|it| reference(env, &it))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_one_instruction_and_say_what_they_are_told() {
        let labels = [("a.b", "0f".to_owned()), ("version", r#"1"$x\"#.to_owned())];
        assert_eq!(labelled("FROM x", &labels), "FROM x\nLABEL a.b=\"0f\" version=\"1\\\"\\$x\\\\\"\n");
    }
}
