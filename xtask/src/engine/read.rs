//! The log and the files of a container, also of a stopped one, and the programs of an image.

use std::{
    io::{self, Read},
    sync::mpsc,
    time::Duration,
};

use anyhow::{Context as _, Result};
use bollard::{
    container::LogOutput,
    errors::Error,
    models::ContainerCreateBody,
    query_parameters::{CreateContainerOptions, DownloadFromContainerOptions, LogsOptions, RemoveContainerOptions},
};
use bytes::Bytes;
use futures_util::StreamExt as _;

use crate::engine::{Engine, ImageFacts, PATH, is_not_found};

/// The engine sends the next chunk of an archive within this time.
const PIECE_LIMIT: Duration = Duration::from_secs(60);

impl Engine {
    /// The path of a program in an image: in its `PATH`, else where containers look without one. Nothing of the image is run.
    pub fn program_in(&self, reference: &str, facts: &ImageFacts, program: &str) -> Result<Option<String>> {
        // An image without a command cannot become a container; this one never starts.
        let body = ContainerCreateBody { image: Some(reference.to_owned()), cmd: Some(vec![program.to_owned()]), ..Default::default() };
        let id = self
            .wait(async {
                let made = self.docker.create_container(None::<CreateContainerOptions>, body).await;
                made.map_err(|error| self.explain(error)).map(|it| it.id)
            })
            .with_context(|| format!("look into image {reference}"))?;
        let folders = facts.path.iter().map(String::as_str).chain(PATH.split(':'));
        let paths: Vec<String> = folders.map(|it| format!("{it}/{program}")).collect();
        let mut found = Ok(None);
        for path in paths {
            match self.has_path(&id, &path) {
                Ok(false) => continue,
                Ok(true) => found = Ok(Some(path)),
                Err(error) => found = Err(error),
            }
            break;
        }
        let options = RemoveContainerOptions { force: true, v: true, ..Default::default() };
        self.after_the_end()
            .wait(async { self.docker.remove_container(&id, Some(options)).await.map_err(|error| self.explain(error)) })
            .with_context(|| format!("remove container {id}"))?;
        found
    }

    /// Calls `visit` with the path and the content of each regular file in an image. Nothing of the image is run.
    pub fn each_file(&self, reference: &str, mut visit: impl FnMut(&str, &mut dyn Read) -> io::Result<()>) -> Result<()> {
        // An image without a command cannot become a container; this one never starts.
        let body = ContainerCreateBody { image: Some(reference.to_owned()), cmd: Some(vec!["x".to_owned()]), ..Default::default() };
        let id = self
            .wait(async {
                let made = self.docker.create_container(None::<CreateContainerOptions>, body).await;
                made.map_err(|error| self.explain(error)).map(|it| it.id)
            })
            .with_context(|| format!("look into image {reference}"))?;
        let read = (|| -> Result<()> {
            let mut archive = tar::Archive::new(self.archive(&id, "/"));
            for entry in archive.entries()? {
                let mut entry = entry?;
                if entry.header().entry_type().is_file() {
                    let name = entry.path()?.display().to_string();
                    visit(name.trim_start_matches("./").trim_start_matches('/'), &mut entry)?;
                }
            }
            Ok(())
        })();
        let options = RemoveContainerOptions { force: true, v: true, ..Default::default() };
        self.after_the_end()
            .wait(async { self.docker.remove_container(&id, Some(options)).await.map_err(|error| self.explain(error)) })
            .with_context(|| format!("remove container {id}"))?;
        read.with_context(|| format!("read the files of image {reference}"))
    }

    /// The last lines of the container's log, standard output and standard error in order.
    pub fn log(&self, container: &str, lines: usize) -> Result<String> {
        let options = LogsOptions { stdout: true, stderr: true, tail: lines.to_string(), ..LogsOptions::default() };
        let read = async {
            let mut out = Vec::new();
            let mut stream = std::pin::pin!(self.docker.logs(container, Some(options)));
            while let Some(item) = stream.next().await {
                match item.map_err(|error| self.explain(error))? {
                    LogOutput::StdErr { message } | LogOutput::StdOut { message } | LogOutput::Console { message } => {
                        out.extend_from_slice(&message);
                    }
                    LogOutput::StdIn { .. } => {}
                }
            }
            Ok(String::from_utf8_lossy(&out).into_owned())
        };
        self.wait(read).with_context(|| format!("read the log of container {container}"))
    }

    /// The regular files at and below a path in the container for which `wanted` is true, each with at most its last `most` bytes. Names
    /// are relative to the path's parent folder: `manifests/etcd.yaml` for `/etc/kubernetes/manifests`. Empty if the path does not exist.
    pub fn files(&self, container: &str, path: &str, most: usize, wanted: impl Fn(&str) -> bool) -> Result<Vec<(String, Vec<u8>)>> {
        let mut archive = self.archive(container, path);
        let found = pick(&mut archive, most, wanted);
        match archive.failed {
            Some(error) if is_not_found(&error) => Ok(Vec::new()),
            Some(error) => Err(self.explain(error)),
            None => found,
        }
        .with_context(|| format!("read {path} of container {container}"))
    }

    /// A path of a container as an archive that is read as a stream, since it may be much larger than the wanted files.
    fn archive(&self, container: &str, path: &str) -> Pieces<'_> {
        let (sender, pieces) = mpsc::sync_channel(16);
        let (docker, container_name, options) =
            (self.docker.clone(), container.to_owned(), DownloadFromContainerOptions { path: path.to_owned() });
        self.runtime.spawn(async move {
            let mut stream = std::pin::pin!(docker.download_from_container(&container_name, Some(options)));
            while let Some(item) = stream.next().await {
                if sender.send(item).is_err() {
                    return;
                }
            }
        });
        Pieces { engine: self, pieces, left: Bytes::new(), failed: None }
    }
}

fn pick(archive: &mut Pieces<'_>, most: usize, wanted: impl Fn(&str) -> bool) -> Result<Vec<(String, Vec<u8>)>> {
    let mut out = Vec::new();
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        let name = entry.path()?.display().to_string();
        if entry.header().entry_type().is_file() && wanted(&name) {
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            out.push((name, content.split_off(content.len().saturating_sub(most))));
        }
    }
    Ok(out)
}

/// An archive that arrives in chunks, as a reader.
struct Pieces<'a> {
    engine: &'a Engine,
    pieces: mpsc::Receiver<Result<Bytes, Error>>,
    left: Bytes,
    failed: Option<Error>,
}

impl Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.left.is_empty() {
            self.engine.interrupt.check().map_err(io::Error::other)?;
            match self.pieces.recv_timeout(self.engine.limit.unwrap_or(PIECE_LIMIT)) {
                Ok(Ok(bytes)) => self.left = bytes,
                Ok(Err(error)) => {
                    let words = error.to_string();
                    self.failed = Some(error);
                    return Err(io::Error::other(words));
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(0),
                Err(error @ mpsc::RecvTimeoutError::Timeout) => return Err(io::Error::new(io::ErrorKind::TimedOut, error)),
            }
        }
        let count = self.left.len().min(into.len());
        into[..count].copy_from_slice(&self.left.split_to(count));
        Ok(count)
    }
}
