//! Builds an image from a context through the Engine API.
//!
//! This file uses the classic builder, which builds the tool's own images. The user's Dockerfile is built by BuildKit if the engine has it.

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use bollard::{
    body_try_stream,
    query_parameters::{BuildImageOptions, BuilderVersion},
};

pub use crate::engine::context::Root;
use crate::engine::{Engine, context};

/// A build: context, Dockerfile, names.
#[derive(Clone, Debug, Default)]
pub struct BuildRequest {
    pub context: Vec<Root>,
    /// The Dockerfile's name in the context.
    pub dockerfile: String,
    /// `name:tag` of the result.
    pub tag: String,
    pub args: HashMap<String, String>,
    /// Each label is a step of the build.
    pub labels: HashMap<String, String>,
    /// Whether `RUN` steps have a network. It is the host's network, since an engine may have no default bridge.
    pub network: bool,
}

impl Engine {
    /// Builds and tags the image; calls `progress` with each line of the builder's output.
    pub fn build(&self, request: BuildRequest, progress: impl Fn(&str)) -> Result<()> {
        let tag = request.tag.clone();
        let options = BuildImageOptions {
            dockerfile: request.dockerfile,
            t: Some(request.tag),
            buildargs: Some(request.args),
            labels: Some(request.labels),
            networkmode: Some(if request.network { "host" } else { "none" }.to_owned()),
            rm: true,
            forcerm: true,
            version: BuilderVersion::BuilderV1,
            ..BuildImageOptions::default()
        };
        let body = body_try_stream(context::tar_stream(request.context));
        self.follow(self.docker.build_image(options, None, Some(body)), |step| {
            if let Some(text) = step.stream {
                for line in text.lines().filter(|it| !it.trim().is_empty()) {
                    progress(line);
                }
            }
            step.error_detail.and_then(|it| it.message)
        })
        .with_context(|| format!("build image {tag}"))
    }
}
