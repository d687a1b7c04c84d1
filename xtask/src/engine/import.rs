//! Imports files as an image with one layer, as a stream.

use std::io::Write;

use anyhow::{Context as _, Result};
use bollard::{body_try_stream, query_parameters::CreateImageOptions};

use crate::{
    engine::{Engine, context},
    errors::Problem,
};

impl Engine {
    /// Creates the image `name:tag` from a tar archive, which `write` writes. The image has no settings; a Dockerfile on top of it adds
    /// them.
    pub fn import(&self, name: &str, tag: &str, write: impl FnOnce(&mut dyn Write) -> Result<()> + Send) -> Result<()> {
        let options = CreateImageOptions {
            from_src: Some("-".to_owned()),
            repo: Some(name.to_owned()),
            tag: Some(tag.to_owned()),
            ..CreateImageOptions::default()
        };
        let (mut writer, stream) = context::pipe();
        let (imported, written) = std::thread::scope(|scope| {
            let written = scope.spawn(move || {
                let written = write(&mut writer).and_then(|()| writer.flush().context("end the archive"));
                if written.is_err() {
                    writer.fail();
                }
                written
            });
            let body = body_try_stream(stream);
            let imported =
                self.follow(self.docker.create_image(Some(options), Some(body), None), |step| step.error_detail.and_then(|it| it.message));
            (imported, written.join())
        });
        let written = written.unwrap_or_else(|_| Err(Problem::new("the thread that writes the archive ended early").into()));
        let imported = imported.with_context(|| format!("import {name}:{tag}"));
        match written {
            // The engine's error message is more useful than the broken pipe.
            Err(error) if is_broken_pipe(&error) && imported.is_err() => imported,
            Err(error) => Err(error).with_context(|| format!("import {name}:{tag}")),
            Ok(()) => imported,
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|it| it.downcast_ref::<std::io::Error>()).any(|it| it.kind() == std::io::ErrorKind::BrokenPipe)
}
