//! The door to the container engine: the only module that uses bollard.
//!
//! Calls block. Each waits for the Engine API and for Ctrl-C at the same time.

mod attach;
mod build;
mod buildkit;
pub mod capabilities;
mod connect;
mod containers;
mod context;
mod import;
mod login;
mod read;
mod removal;
mod running;
mod store;
mod superseded;

use std::{collections::HashMap, future::Future, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use bollard::{
    BollardRequest, Docker,
    errors::Error,
    models::SystemInfo,
    query_parameters::{CreateImageOptions, ListImagesOptions, PushImageOptions, RemoveImageOptions, TagImageOptions},
};
use futures_util::{Stream, StreamExt as _};
use tokio::runtime::Runtime;

pub use crate::engine::{
    build::{BuildRequest, Root},
    buildkit::{Builder, first_release},
    connect::Found,
    containers::{Container, ContainerSpec, ExecOutput},
    login::credentials,
    store::{Layer, StoredImage},
    superseded::Nameless,
};
use crate::{
    engine::login::Login,
    errors::{Code, Problem},
    interrupt::Interrupt,
};

/// A connection to a running engine.
#[derive(Clone)]
pub struct Engine {
    docker: Docker,
    runtime: Arc<Runtime>,
    interrupt: Interrupt,
    /// The limit of one call; none without it.
    limit: Option<Duration>,
    /// The value of `DOCKER_HOST` for other programs that use the same engine.
    pub host: String,
    /// The engine's name in messages: "the engine at …", "pocdeploy's own engine".
    pub title: String,
    login: Login,
}

/// Where a container looks for programs if its image has no `PATH` (DefaultPathEnv in moby/pkg/system and containerd/oci).
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// An idle engine answers a ping within this time.
const PING_LIMIT: Duration = Duration::from_secs(5);
/// An engine that answered so many pings in a row not in time hangs.
const PINGS: u32 = 3;

/// The properties of an image.
#[derive(Clone, Debug, Default)]
pub struct ImageFacts {
    pub id: String,
    pub labels: HashMap<String, String>,
    pub size: u64,
    /// Digests of the uncompressed layers, lowest first.
    pub layers: Vec<String>,
    /// The image's working directory; empty if it sets none.
    pub folder: String,
    pub entrypoint: Vec<String>,
    /// The arguments (CMD).
    pub arguments: Vec<String>,
    /// The folders of its variable `PATH`; none if it has no such variable.
    pub path: Vec<String>,
}

impl Engine {
    /// Credentials for the registry of a reference, in this run only.
    pub fn give_login(&self, reference: &str, username: &str, password: &str) {
        self.login.give(reference, username, password);
    }

    fn wait<T>(&self, future: impl Future<Output = Result<T>>) -> Result<T> {
        self.interrupt.check()?;
        let interrupt = self.interrupt.clone();
        let limit = async {
            match self.limit {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        self.runtime.block_on(async move {
            tokio::select! {
                result = future => result,
                problem = interrupt.came() => Err(problem.into()),
                () = self.silent() => Err(self.does_not_answer(&format!("not even a ping, {PINGS} times"))),
                () = limit => {
                    let seconds = self.limit.unwrap_or_default().as_secs();
                    Err(Problem::timed_out(format!("{} did not answer within {seconds} s", self.title)).code(Code::EngineFailed).into())
                }
            }
        })
    }

    /// Completes when the engine answers nothing any more: a call may last for an hour, but a ping is answered at once.
    async fn silent(&self) {
        let mut unanswered = 0;
        tokio::time::sleep(PING_LIMIT).await;
        while unanswered < PINGS {
            let ping = tokio::time::timeout(PING_LIMIT, self.docker.ping());
            let (answer, ()) = tokio::join!(ping, tokio::time::sleep(PING_LIMIT));
            // An answer of any kind is one.
            unanswered = if answer.is_ok() { 0 } else { unanswered + 1 };
        }
    }

    fn does_not_answer(&self, why: &str) -> anyhow::Error {
        Problem::new(format!("{} does not answer: {why}", self.title))
            .code(Code::EngineFailed)
            .hint(format!("look whether it runs: DOCKER_HOST={} docker info", self.host))
            .into()
    }

    /// A copy of this connection with a limit for each call.
    pub fn within(&self, limit: Duration) -> Engine {
        Engine { limit: Some(limit), ..self.clone() }
    }

    /// A copy of this connection that ignores the run's time limit and signals, to collect evidence of a failure.
    pub fn after_the_end(&self) -> Engine {
        Engine { interrupt: Interrupt::default(), ..self.clone() }
    }

    /// The engine's own description; an error if it does not answer.
    pub fn info(&self) -> Result<SystemInfo> {
        self.wait(async { self.docker.info().await.map_err(|error| self.explain(error)) }).context("ask the container engine")
    }

    /// The image's properties; `None` if the engine has no such image.
    pub fn image(&self, reference: &str) -> Result<Option<ImageFacts>> {
        let found = self.wait(async {
            match self.docker.inspect_image(reference).await {
                Ok(image) => Ok(Some(image)),
                Err(error) if is_not_found(&error) => Ok(None),
                Err(error) => Err(self.explain(error)),
            }
        });
        let Some(image) = found.with_context(|| format!("look up image {reference}"))? else { return Ok(None) };
        let config = image.config.unwrap_or_default();
        let (labels, folder) = (config.labels.unwrap_or_default(), config.working_dir.unwrap_or_default());
        let (entrypoint, arguments) = (config.entrypoint.unwrap_or_default(), config.cmd.unwrap_or_default());
        let variables = config.env.unwrap_or_default();
        let path = variables.iter().find_map(|it| it.strip_prefix("PATH=")).into_iter().flat_map(|it| it.split(':')).map(str::to_owned);
        let path = path.collect();
        let size = image.size.and_then(|it| u64::try_from(it).ok()).unwrap_or_default();
        let layers = image.root_fs.and_then(|it| it.layers).unwrap_or_default();
        let id = image.id.unwrap_or_default();
        Ok(Some(ImageFacts { id, labels, size, layers, folder, entrypoint, arguments, path }))
    }

    /// Adds a name `name:tag` to an image.
    pub fn tag(&self, reference: &str, name: &str, tag: &str) -> Result<()> {
        let options = TagImageOptions { repo: Some(name.to_owned()), tag: Some(tag.to_owned()) };
        self.wait(async { self.docker.tag_image(reference, Some(options)).await.map_err(|error| self.explain(error)) })
            .with_context(|| format!("tag {reference} as {name}:{tag}"))
    }

    /// Removes a name of an image, and the image with its last name. A missing image counts as done; so does an image that a container
    /// uses.
    pub fn remove_image(&self, reference: &str) -> Result<()> {
        self.wait(async {
            match self
                .docker
                .remove_image(reference, Some(RemoveImageOptions { noprune: true, ..RemoveImageOptions::default() }), None)
                .await
            {
                Ok(_) => Ok(()),
                Err(error) if is_not_found(&error) || is_in_use(&error) => Ok(()),
                Err(error) => Err(self.explain(error)),
            }
        })
        .with_context(|| format!("remove image {reference}"))
    }

    /// The names of all images below a repository path that ends with `/`, sorted.
    pub fn images_below(&self, path: &str) -> Result<Vec<String>> {
        let mut out = self.list_images("reference", &format!("{path}*"))?;
        out.retain(|it| it.starts_with(path));
        Ok(out)
    }

    /// The names of all images with a label, sorted.
    pub fn images_with(&self, label: &str) -> Result<Vec<String>> {
        self.list_images("label", label)
    }

    fn list_images(&self, filter: &str, value: &str) -> Result<Vec<String>> {
        let filters = HashMap::from([(filter.to_owned(), vec![value.to_owned()])]);
        let options = ListImagesOptions { filters: Some(filters), ..ListImagesOptions::default() };
        let found = self
            .wait(async { self.docker.list_images(Some(options)).await.map_err(|error| self.explain(error)) })
            .context("list images")?;
        // An image is listed with all of its names.
        let mut out: Vec<String> = found.into_iter().flat_map(|it| it.repo_tags).collect();
        out.sort();
        Ok(out)
    }

    /// The digest under which a registry serves a reference, asked through the engine that would pull it.
    pub fn registry_digest(&self, reference: &str, limit: std::time::Duration) -> Result<String> {
        let (docker, unread) = self.logged_in(reference);
        let asked = async {
            match tokio::time::timeout(limit, docker.inspect_registry_image(reference, None)).await {
                Ok(Ok(answer)) => Ok(answer.descriptor.digest.unwrap_or_default()),
                Ok(Err(error)) => Err(self.explain(error)),
                Err(_) => Err(Problem::timed_out(format!("no answer within {} s", limit.as_secs())).code(Code::EngineFailed).into()),
            }
        };
        self.wait(asked).map_err(|error| told_of(error, unread)).with_context(|| format!("ask the registry for {reference}"))
    }

    /// Like `registry_digest`; `None` if the registry answers that it does not have the image.
    pub fn digest_in_registry(&self, reference: &str, limit: std::time::Duration) -> Result<Option<String>> {
        let (docker, unread) = self.logged_in(reference);
        let asked = async {
            match tokio::time::timeout(limit, docker.inspect_registry_image(reference, None)).await {
                Ok(Ok(answer)) => Ok(answer.descriptor.digest.filter(|it| !it.is_empty())),
                Ok(Err(error)) if is_unknown_there(&error) => Ok(None),
                Ok(Err(error)) => Err(self.explain(error)),
                Err(_) => Err(Problem::timed_out(format!("no answer within {} s", limit.as_secs())).code(Code::EngineFailed).into()),
            }
        };
        self.wait(asked).map_err(|error| told_of(error, unread)).with_context(|| format!("ask the registry for {reference}"))
    }

    /// Pulls one reference; calls `progress` for each step of a layer.
    pub fn pull(&self, reference: &str, progress: impl Fn(&str)) -> Result<()> {
        let options = CreateImageOptions { from_image: Some(reference.to_owned()), ..CreateImageOptions::default() };
        let (docker, unread) = self.logged_in(reference);
        let stream = docker.create_image(Some(options), None, None);
        self.follow(stream, |step| {
            if let (Some(id), Some(status)) = (step.id, step.status) {
                progress(&format!("{status} {id}"));
            }
            step.error_detail.and_then(|it| it.message)
        })
        .map_err(|error| told_of(error, unread))
        .with_context(|| format!("pull {reference}"))
    }

    /// Pushes one reference to the registry in its name; the engine skips layers that the registry has. Calls `progress` for each step of a
    /// layer.
    pub fn push(&self, name: &str, tag: &str, progress: impl Fn(&str)) -> Result<()> {
        let options = PushImageOptions { tag: Some(tag.to_owned()), ..PushImageOptions::default() };
        let (docker, unread) = self.logged_in(name);
        let stream = docker.push_image(name, Some(options), None);
        let pushed = self.follow(stream, |step| {
            if let Some(status) = step.status {
                progress(&status);
            }
            step.error_detail.and_then(|it| it.message)
        });
        pushed.map_err(|error| told_of(error, unread)).with_context(|| format!("push {name}:{tag}"))
    }

    /// The proxy settings of docker's configuration, as build arguments.
    pub fn proxies(&self) -> Result<std::collections::BTreeMap<String, String>> {
        self.login.proxies(&self.host)
    }

    /// This connection with the credentials of docker's configuration for the reference's registry. If they cannot be read, the connection
    /// has none, and the second value says why; an error of the registry shows it.
    fn logged_in(&self, reference: &str) -> (Docker, Option<String>) {
        match self.login.header(reference) {
            Ok(None) => (self.docker.clone(), None),
            Ok(Some(header)) => (self.docker.clone().with_request_modifier(move |it| with_header(it, &header)), None),
            Err(error) => (self.docker.clone(), Some(format!("{error:#}"))),
        }
    }

    /// Reads a stream of steps to its end; fails at a step with an error.
    fn follow<T>(&self, stream: impl Stream<Item = Result<T, Error>>, mut step: impl FnMut(T) -> Option<String>) -> Result<()> {
        self.wait(async {
            let mut stream = std::pin::pin!(stream);
            while let Some(item) = stream.next().await {
                let item = match item {
                    Err(error) if is_end(&error) => break,
                    item => item.map_err(|error| self.explain(error))?,
                };
                if let Some(message) = step(item) {
                    return Err(refused(message.trim()).into());
                }
            }
            Ok(())
        })
    }

    /// Turns an API error into a message. If the connection was lost, the hint says how to check whether the engine still runs.
    fn explain(&self, error: Error) -> anyhow::Error {
        match error {
            // The answer to some questions has no body.
            Error::DockerResponseServerError { message, status_code } if message.trim().is_empty() => {
                refused(&format!("{} answered with status {status_code}", self.title)).into()
            }
            Error::DockerResponseServerError { message, .. } => refused(message.trim()).into(),
            Error::DockerStreamError { error } => refused(error.trim()).into(),
            other => self.does_not_answer(&cause(&other)),
        }
    }
}

/// Whether the answer is complete. bollard 0.21.1 takes a message before its line break has come; where the last one comes alone, its
/// reader (tokio-util's `Decoder::decode_eof`) finds it left at the end and calls that an error. An answer that is cut has another one: its
/// body does not end.
fn is_end(error: &Error) -> bool {
    matches!(error, Error::IOError { err } if err.to_string() == "bytes remaining on stream")
}

/// What the engine refused, in its own words.
fn refused(message: &str) -> Problem {
    let is_full = message.contains("no space left on device");
    Problem::new(message).code(if is_full { Code::DiskFull } else { Code::EngineFailed })
}

/// The message of the transport that caused the error, at the end of its chain, without the library's words around it.
fn cause(error: &Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    let is_no_engine = matches!(
        error,
        Error::JsonDataError { .. } | Error::JsonSerdeError { .. } | Error::HttpHeaderNotFoundError(_) | Error::HttpHeaderToStrError { .. }
    );
    if is_no_engine { format!("its answer is not an engine's: {cause}") } else { cause.to_string() }
}

/// Adds the header with a registry's credentials. bollard's own function uses a base64 variant that engines do not read.
fn with_header(mut request: BollardRequest, header: &str) -> BollardRequest {
    if let Ok(mut value) = http::HeaderValue::from_str(header) {
        value.set_sensitive(true);
        request.headers_mut().insert("x-registry-auth", value);
    }
    request
}

/// Adds to a registry's refusal why the request had no credentials.
fn told_of(error: anyhow::Error, unread: Option<String>) -> anyhow::Error {
    match unread {
        Some(why) => error.context(format!("the request had no credentials, since they cannot be read ({why})")),
        None => error,
    }
}

/// Whether the error is a registry's answer that it has no such manifest or repository, as engines forward it.
fn is_unknown_there(error: &Error) -> bool {
    let words = ["manifest unknown", "name unknown", "no such manifest", "not found"];
    matches!(error, Error::DockerResponseServerError { message, .. } if words.iter().any(|it| message.to_lowercase().contains(it)))
}

/// Podman has another status for a name that is taken.
fn is_in_use(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code: 409, .. })
        || matches!(error, Error::DockerResponseServerError { message, .. } if message.contains("is already in use"))
}

fn is_not_found(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code: 404, .. })
}
