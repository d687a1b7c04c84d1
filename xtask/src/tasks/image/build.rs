//! Builds the image with the chosen builder.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
};

use anyhow::{Context as _, Result};
use xshell::cmd;

use crate::{
    artifacts,
    dockerfile::{self, Dockerfile},
    engine::{BuildRequest, Engine, Root},
    env::Scope,
    errors::{Code, Problem},
    fingerprint::Fingerprint,
    images::{self, Role},
    recognise, record,
    tasks::{
        answers,
        image::{
            INPUTS_LABEL,
            choice::{self, Choice},
            choose, ignore, read,
        },
    },
    tool::BUILD_LIMIT,
};

/// The Dockerfile's name in the context, which no source uses.
const DOCKERFILE: &str = ".pocdeploy.Dockerfile";

/// Whether docker's client with its buildx plugin is installed.
pub(super) fn has_client(env: &Scope<'_>, engine: &Engine) -> Result<bool> {
    let sh = env.tools.shell(&env.project)?;
    env.tools.is_ok(env.id, cmd!(sh, "docker buildx version").env("DOCKER_HOST", &engine.host))
}

/// Builds the image and names it by the reference.
pub(super) fn build(env: &Scope<'_>, want: &Fingerprint, reference: &str) -> Result<()> {
    let engine = env.engine()?;
    let (file, text) = read(env)?;
    let choice = choose(env, engine, &file)?;
    let mut args = BTreeMap::from([("BASE_IMAGE".to_owned(), images::reference(env, env.id, Role::Python)?)]);
    if !matches!(choice, Choice::Client { .. }) {
        pull_bases(env, engine, &file, &args)?;
    }
    // Without a network, proxies are useless.
    if env.service.build_network {
        args.extend(engine.proxies()?);
    }
    prepare(env, &text)?;
    let labels = BTreeMap::from([
        (INPUTS_LABEL.to_owned(), want.digest()),
        ("org.opencontainers.image.version".to_owned(), env.service.version.clone()),
    ]);
    let lines = Mutex::new(String::new());
    let on_line = |line: &str| {
        if let Ok(mut lines) = lines.lock() {
            lines.push_str(line);
            lines.push('\n');
        }
        if line.starts_with("Step ") || (line.starts_with('[') && !line.starts_with("[internal]")) {
            env.progress(env.id, line);
        }
        env.detail(env.id, line);
    };
    let result = match choice {
        Choice::Client { fetches } => {
            let text = if fetches { text } else { choice::without_syntax(&text, &file) };
            by_client(env, engine, &text, reference, &args, &labels, &on_line)
        }
        Choice::BuildKit => {
            let context = context(env, &choice::without_syntax(&text, &file))?;
            engine.build_with_buildkit(request(env, context, reference, args, labels), on_line)
        }
        Choice::Classic => {
            let context = context(env, &labelled(&text, &labels))?;
            engine.build(request(env, context, reference, args, BTreeMap::new()), on_line)
        }
    };
    let lines = lines.into_inner().unwrap_or_default();
    result.map_err(|error| {
        let last: Vec<&str> = lines.lines().rev().take(12).collect();
        let tail: Vec<&str> = last.into_iter().rev().collect();
        Problem::new(format!("{error:#}\n  {}", tail.join("\n  ")))
            .code(Code::ImageBuild)
            .hint(format!("the whole output is in {}", env.tools.log(env.id).display()))
            .into()
    })
}

/// Fills the folder `artifacts` of the context with what the build needs and has no network for, if the Dockerfile names it: Node.js with
/// the locked packages, or the programs that this machine's compiler builds.
fn prepare(env: &Scope<'_>, dockerfile: &str) -> Result<()> {
    let folder = artifacts_of(env);
    if !names_artifacts(dockerfile) {
        return if folder.exists() { fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display())) } else { Ok(()) };
    }
    // The Dockerfile is that of `init`, or made from it: only the source says what it is built from.
    match recognise::recognise_source(&env.stage(), &answers::of_scope(env))? {
        Some(found) if artifacts::are_needed(found.stack) => {
            env.progress(env.id, format!("preparing {} for the build", found.name()));
            artifacts::prepare(&env.tools, env.id, &found, &env.stage(), &folder)
        }
        _ => Ok(()),
    }
}

/// Whether an instruction names the folder: `COPY . ./` takes it too, and only a later step says so.
pub(super) fn names_artifacts(dockerfile: &str) -> bool {
    dockerfile.lines().any(|it| !it.trim_start().starts_with('#') && it.contains(artifacts::FOLDER))
}

fn artifacts_of(env: &Scope<'_>) -> PathBuf {
    env.own(artifacts::FOLDER)
}

fn request(
    env: &Scope<'_>,
    context: Vec<Root>,
    reference: &str,
    args: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
) -> BuildRequest {
    BuildRequest {
        context,
        dockerfile: DOCKERFILE.to_owned(),
        tag: reference.to_owned(),
        args: args.into_iter().collect::<HashMap<_, _>>(),
        labels: labels.into_iter().collect(),
        network: env.service.build_network,
    }
}

/// The context: the application without the files that its `.dockerignore` excludes, and the files that the tool adds.
fn context(env: &Scope<'_>, dockerfile: &str) -> Result<Vec<Root>> {
    let mut out = vec![Root { path: env.stage(), name: String::new(), ignore: ignore(env)? }];
    if env.wheels().is_dir() {
        out.push(Root::whole(env.wheels(), "wheels"));
    }
    if artifacts_of(env).is_dir() {
        out.push(Root::whole(artifacts_of(env), artifacts::FOLDER));
    }
    let pins = env.stage().join("requirements.txt");
    if pins.is_file() {
        out.push(Root::whole(pins, "requirements.txt"));
    }
    // Added last, so that it replaces a Dockerfile of the application.
    let path = env.own("Dockerfile");
    record::write_file(&path, dockerfile.as_bytes())?;
    out.push(Root::whole(path, DOCKERFILE));
    Ok(out)
}

/// Pulls missing base images with the credentials of docker's configuration, since the engine's builder has no credentials.
fn pull_bases(env: &Scope<'_>, engine: &Engine, file: &Dockerfile, args: &BTreeMap<String, String>) -> Result<()> {
    for base in dockerfile::bases(file, args) {
        let reference = with_tag(&base.reference);
        if engine.image(&reference)?.is_some() {
            continue;
        }
        images::registry::pull(env, env.id, &reference).map_err(|error| {
            let name = env.service.dockerfile.display();
            Problem::new(format!("{name}, line {}: image {reference} is not in the engine, and cannot be pulled: {error:#}", base.line))
                .code(Code::ImageBuild)
                .hint(format!(
                    "look whether the name is right and its registry answers; for a private one: docker login {}",
                    host(&reference)
                ))
        })?;
    }
    Ok(())
}

/// For a name without a tag, the engine would pull all tags.
fn with_tag(reference: &str) -> String {
    let last = reference.rsplit('/').next().unwrap_or(reference);
    if last.contains([':', '@']) { reference.to_owned() } else { format!("{reference}:latest") }
}

/// The argument of `docker login`: empty for Docker Hub.
fn host(reference: &str) -> &str {
    reference.split_once('/').map(|it| it.0).filter(|it| it.contains(['.', ':'])).unwrap_or_default()
}

/// Builds with docker's client from a folder, since a frontend cannot read a context from standard input a second time.
fn by_client(
    env: &Scope<'_>,
    engine: &Engine,
    text: &str,
    reference: &str,
    args: &BTreeMap<String, String>,
    labels: &BTreeMap<String, String>,
    on_line: &(dyn Fn(&str) + Sync),
) -> Result<()> {
    let folder = env.own("context");
    lay_out(env, &folder)?;
    let dockerfile = env.own("Dockerfile");
    record::write_file(&dockerfile, text.as_bytes())?;
    // Files were excluded above. With this empty file the client does not exclude the tool's files.
    record::write_file(&env.own("Dockerfile.dockerignore"), b"")?;
    let sh = env.tools.shell(&env.project)?;
    let arguments = arguments(&dockerfile, &folder, reference, env.service.build_network, args.keys(), labels);
    // Build arguments are passed in the environment, since other users can see the command line.
    let command = cmd!(sh, "docker {arguments...}").env("DOCKER_HOST", &engine.host).envs(args).env("BUILDX_BUILDER", "default");
    let built = env.tools.run_watched(env.id, command, BUILD_LIMIT, on_line);
    fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    built
}

fn arguments<'a>(
    dockerfile: &Path,
    folder: &Path,
    reference: &str,
    network: bool,
    args: impl Iterator<Item = &'a String>,
    labels: &BTreeMap<String, String>,
) -> Vec<String> {
    let mut out: Vec<String> = ["buildx", "build", "--builder", "default", "--load", "--progress", "plain"].map(str::to_owned).to_vec();
    out.extend(["--tag".to_owned(), reference.to_owned(), "--file".to_owned(), dockerfile.display().to_string()]);
    out.push(format!("--network={}", if network { "host" } else { "none" }));
    out.extend(args.flat_map(|it| ["--build-arg".to_owned(), it.clone()]));
    out.extend(labels.iter().flat_map(|(name, value)| ["--label".to_owned(), format!("{name}={value}")]));
    out.push(folder.display().to_string());
    out
}

/// Writes the context to a folder.
fn lay_out(env: &Scope<'_>, folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    let mut roots = vec![(env.stage(), folder.to_owned(), ignore(env)?)];
    if env.wheels().is_dir() {
        roots.push((env.wheels(), folder.join("wheels"), None));
    }
    if artifacts_of(env).is_dir() {
        roots.push((artifacts_of(env), folder.join(artifacts::FOLDER), None));
    }
    for (from, to, ignore) in roots {
        for entry in dockerfile::walk(&from, ignore.as_ref())? {
            let target = to.join(entry.path().strip_prefix(&from).unwrap_or(entry.path()));
            let kind = entry.file_type();
            if kind.is_dir() {
                fs::create_dir_all(&target)
            } else if kind.is_symlink() {
                std::os::unix::fs::symlink(fs::read_link(entry.path())?, &target)
            } else {
                fs::copy(entry.path(), &target).map(|_| ())
            }
            .with_context(|| format!("write {}", target.display()))?;
        }
    }
    let pins = env.stage().join("requirements.txt");
    if pins.is_file() {
        fs::copy(&pins, folder.join("requirements.txt")).context("copy the requirements")?;
    }
    Ok(())
}

/// The Dockerfile with a LABEL instruction, since the classic builder runs a step and a container for each label given as an option.
fn labelled(dockerfile: &str, labels: &BTreeMap<String, String>) -> String {
    let quoted = |value: &str| format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$"));
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={}", quoted(value))).collect();
    format!("{dockerfile}\nLABEL {}\n", pairs.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_one_instruction_and_say_what_they_are_told() {
        let labels = BTreeMap::from([("a.b", "0f"), ("version", r#"1"$x\"#)].map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(labelled("FROM x", &labels), "FROM x\nLABEL a.b=\"0f\" version=\"1\\\"\\$x\\\\\"\n");
    }

    #[test]
    fn the_client_is_told_all_that_an_engine_would_be_and_no_value_of_an_argument() {
        let args = BTreeMap::from([("HTTP_PROXY".to_owned(), "http://me:secret@p:1".to_owned())]);
        let labels = BTreeMap::from([("a".to_owned(), "b c".to_owned())]);
        let told = arguments(Path::new("/w/Dockerfile"), Path::new("/w/context"), "polls:1-0f", false, args.keys(), &labels);
        let expected = "buildx build --builder default --load --progress plain --tag polls:1-0f --file /w/Dockerfile --network=none \
                        --build-arg HTTP_PROXY --label a=b c /w/context";
        assert_eq!(told.join(" "), expected);
    }

    #[test]
    fn artifacts_are_made_for_a_file_that_uses_them_in_any_instruction() {
        assert!(names_artifacts("FROM x\nCOPY . ./\nRUN mv artifacts/bin bin\n"));
        assert!(names_artifacts("FROM x\nCOPY artifacts /opt/artifacts/\n"));
        assert!(!names_artifacts("# artifacts/ is not here\nFROM x\nCOPY . ./\n"));
    }

    #[test]
    fn one_tag_is_pulled_and_not_all() {
        assert_eq!(with_tag("r.example:5000/x"), "r.example:5000/x:latest");
        assert_eq!(with_tag("x@sha256:00"), "x@sha256:00");
        assert_eq!([host("r.example:5000/x:1"), host("team/x:1"), host("x")], ["r.example:5000", "", ""]);
    }
}
