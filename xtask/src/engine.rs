//! The door to the container engine: the only place that names bollard.
//!
//! Blocking calls for tasks; inside, each waits for the Engine API and for Ctrl-C at once.

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
mod store;

use std::{collections::HashMap, future::Future, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use bollard::{
    BollardRequest, Docker,
    errors::Error,
    models::SystemInfo,
    query_parameters::{CreateImageOptions, PushImageOptions, RemoveImageOptions, TagImageOptions},
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
};
use crate::{
    engine::login::Login,
    errors::{Code, Problem},
    interrupt::Interrupt,
};

/// A connection to an engine that answered.
#[derive(Clone)]
pub struct Engine {
    docker: Docker,
    runtime: Arc<Runtime>,
    interrupt: Interrupt,
    /// How long one call may take.
    limit: Option<Duration>,
    /// What `DOCKER_HOST` must say for other programs to reach the same engine.
    pub host: String,
    /// For people: "the engine at …", "pocdeploy's own engine".
    pub title: String,
    login: Login,
}

/// What an image says of itself.
#[derive(Clone, Debug, Default)]
pub struct ImageFacts {
    pub id: String,
    pub labels: HashMap<String, String>,
    pub size: u64,
    /// Digests of the uncompressed layers, lowest first.
    pub layers: Vec<String>,
    /// The working directory of its processes; empty where it says none.
    pub folder: String,
}

impl Engine {
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
                () = limit => {
                    let seconds = self.limit.unwrap_or_default().as_secs();
                    Err(Problem::timed_out(format!("{} did not answer within {seconds} s", self.title)).code(Code::EngineFailed).into())
                }
            }
        })
    }

    /// The same connection with a limit for each call.
    pub fn within(&self, limit: Duration) -> Engine {
        Engine { limit: Some(limit), ..self.clone() }
    }

    /// The same connection, which goes on after the run's own limit was reached: for what explains a failure.
    pub fn after_the_end(&self) -> Engine {
        Engine { interrupt: Interrupt::default(), ..self.clone() }
    }

    /// The engine's own description; fails when it does not answer.
    pub fn info(&self) -> Result<SystemInfo> {
        self.wait(async { self.docker.info().await.map_err(|error| self.explain(error)) }).context("ask the container engine")
    }

    /// The image's facts, or nothing when the engine has no such image.
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
        let size = image.size.and_then(|it| u64::try_from(it).ok()).unwrap_or_default();
        let layers = image.root_fs.and_then(|it| it.layers).unwrap_or_default();
        Ok(Some(ImageFacts { id: image.id.unwrap_or_default(), labels, size, layers, folder }))
    }

    /// Gives an image a further `name:tag`.
    pub fn tag(&self, reference: &str, name: &str, tag: &str) -> Result<()> {
        let options = TagImageOptions { repo: Some(name.to_owned()), tag: Some(tag.to_owned()) };
        self.wait(async { self.docker.tag_image(reference, Some(options)).await.map_err(|error| self.explain(error)) })
            .with_context(|| format!("tag {reference} as {name}:{tag}"))
    }

    /// Removes a name of an image, and the image with its last name. Absent counts as done; so does an image that a
    /// container uses, for that container is not ours to judge.
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

    /// The same for an image that need not be there: nothing where the registry answers that it does not have it.
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

    /// Pulls one reference; `progress` hears of layers.
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

    /// Pushes one reference to the registry that its name says: layers that it has stay where they are. `progress` hears of layers.
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

    /// The proxies that docker's client would give to a build, as build arguments.
    pub fn proxies(&self) -> Result<std::collections::BTreeMap<String, String>> {
        self.login.proxies(&self.host)
    }

    /// The same connection with the credentials that docker's configuration has for a reference's registry. Where they cannot be read,
    /// nobody may need them: why comes back, for the case that the registry refuses.
    fn logged_in(&self, reference: &str) -> (Docker, Option<String>) {
        match self.login.header(reference) {
            Ok(None) => (self.docker.clone(), None),
            Ok(Some(header)) => (self.docker.clone().with_request_modifier(move |it| with_header(it, &header)), None),
            Err(error) => (self.docker.clone(), Some(format!("{error:#}"))),
        }
    }

    /// Reads a stream of steps to its end; a step that names an error ends it.
    fn follow<T>(&self, stream: impl Stream<Item = Result<T, Error>>, mut step: impl FnMut(T) -> Option<String>) -> Result<()> {
        self.wait(async {
            let mut stream = std::pin::pin!(stream);
            while let Some(item) = stream.next().await {
                let item = item.map_err(|error| self.explain(error))?;
                if let Some(message) = step(item) {
                    return Err(Problem::new(message.trim().to_owned()).code(Code::EngineFailed).into());
                }
            }
            Ok(())
        })
    }

    /// Puts an API error into words; a lost connection says how to see whether the engine still runs.
    fn explain(&self, error: Error) -> anyhow::Error {
        match error {
            Error::DockerResponseServerError { message, .. } => Problem::new(message.trim().to_owned()).code(Code::EngineFailed).into(),
            Error::DockerStreamError { error } => Problem::new(error.trim().to_owned()).code(Code::EngineFailed).into(),
            other => {
                let title = &self.title;
                Problem::new(format!("{title} does not answer: {other}"))
                    .code(Code::EngineFailed)
                    .hint(format!("look whether it runs: DOCKER_HOST={} docker info", self.host))
                    .into()
            }
        }
    }
}

/// A request for itself, with credentials for a registry. bollard's own way of giving them writes an alphabet that engines do not read.
fn with_header(mut request: BollardRequest, header: &str) -> BollardRequest {
    if let Ok(mut value) = http::HeaderValue::from_str(header) {
        value.set_sensitive(true);
        request.headers_mut().insert("x-registry-auth", value);
    }
    request
}

/// A registry's refusal, with why it was asked without credentials.
fn told_of(error: anyhow::Error, unread: Option<String>) -> anyhow::Error {
    match unread {
        Some(why) => error.context(format!("it was asked without credentials, since these cannot be read ({why})")),
        None => error,
    }
}

/// A registry's word that it has no such manifest or repository, as engines pass it on.
fn is_unknown_there(error: &Error) -> bool {
    let words = ["manifest unknown", "name unknown", "no such manifest", "not found"];
    matches!(error, Error::DockerResponseServerError { message, .. } if words.iter().any(|it| message.to_lowercase().contains(it)))
}

fn is_in_use(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code: 409, .. })
}

fn is_not_found(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code: 404, .. })
}
