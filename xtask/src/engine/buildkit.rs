//! Builds with the engine's own BuildKit through the Engine API, without BuildKit's client.
//!
//! The context is the body of the request, as for the classic builder; BuildKit reads it as an archive from the network (moby's
//! `builder/builder-next/builder.go`). Such a build has no session: no secrets, no ssh keys, and only the engine's built-in frontend, since
//! the body can be read once only.

use std::sync::Mutex;

use anyhow::Result;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bollard::body_try_stream;
use futures_util::StreamExt as _;
use http::{Method, Uri, header::CONTENT_TYPE};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    engine::{BuildRequest, Engine, context},
    errors::{Code, Problem},
};

/// The builder of an engine for the user's Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Builder {
    /// The classic builder: the engine has no BuildKit, or `DOCKER_BUILDKIT=0` disables it. The text says which.
    Classic(String),
    /// BuildKit, whose built-in frontend supports Dockerfile 1.N; and the engine's name and version.
    BuildKit { frontend: u32, engine: String },
    /// Another engine with the same API, for example Podman. It rejects by itself what it does not support.
    Other,
}

/// Docker's releases, oldest first, with the Dockerfile version that each supports: its `vendor.mod` names BuildKit 0.N, which has
/// Dockerfile 1.(N-6). Source: the modules github.com/docker/docker v20.10.24 to v28.5.2.
const FRONTENDS: [(u32, u32, u32); 14] = [
    (18, 9, 0),
    (19, 3, 1),
    (20, 10, 2),
    (23, 0, 4),
    (24, 0, 5),
    (25, 0, 6),
    (26, 0, 7),
    (27, 0, 8),
    (28, 0, 14),
    (28, 1, 15),
    (28, 2, 16),
    (28, 3, 17),
    (28, 4, 18),
    (28, 5, 19),
];

/// The Dockerfile version of a release. A release newer than the table counts as supporting everything: it rejects by itself what it does
/// not.
fn frontend(version: &str) -> u32 {
    let mut numbers = version.split(|it: char| !it.is_ascii_digit()).map(|it| it.parse().unwrap_or(0_u32));
    let (major, minor) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if major > 28 {
        return u32::MAX;
    }
    FRONTENDS.iter().rev().find(|it| (it.0, it.1) <= (major, minor)).map_or(0, |it| it.2)
}

/// The first release of Docker that supports Dockerfile 1.N, for messages.
pub fn first_release(frontend: u32) -> String {
    match FRONTENDS.iter().find(|it| it.2 >= frontend) {
        Some((major, minor, _)) => format!("Docker {major}.{minor}"),
        None => "Docker 29".to_owned(),
    }
}

impl Engine {
    /// The builder of this engine.
    pub fn builder(&self) -> Result<Builder> {
        let version = self.wait(async { self.docker.version().await.map_err(|error| self.explain(error)) })?;
        let components = version.components.unwrap_or_default();
        if components.iter().any(|it| it.name.to_lowercase().contains("podman")) {
            return Ok(Builder::Other);
        }
        let name = format!("Docker {}", version.version.as_deref().unwrap_or("of an unknown version"));
        if std::env::var("DOCKER_BUILDKIT").is_ok_and(|it| it == "0") {
            return Ok(Builder::Classic("DOCKER_BUILDKIT=0 selects the classic builder".to_owned()));
        }
        let minor = version.api_version.as_deref().and_then(|it| it.strip_prefix("1.")).and_then(|it| it.parse::<u32>().ok());
        if minor.is_none_or(|it| it < 39) || version.os.as_deref().is_some_and(|it| it != "linux") {
            return Ok(Builder::Classic(format!("{name} has no BuildKit")));
        }
        Ok(Builder::BuildKit { frontend: frontend(version.version.as_deref().unwrap_or_default()), engine: name })
    }

    /// Builds and tags with BuildKit; calls `progress` for each step and each line of a step's output.
    pub fn build_with_buildkit(&self, request: BuildRequest, progress: impl Fn(&str)) -> Result<()> {
        let query = query(&[
            ("version", "2"),
            ("dockerfile", &request.dockerfile),
            ("t", &request.tag),
            ("networkmode", if request.network { "host" } else { "none" }),
            ("buildargs", &json!(request.args).to_string()),
            ("labels", &json!(request.labels).to_string()),
        ]);
        let body = Mutex::new(Some(body_try_stream(context::tar_stream(request.context))));
        // bollard can parse the output of such a build only with tonic and a TLS library. So this starts from bollard's request for a raw
        // byte stream and turns it into a build request.
        let docker = self.docker.clone().with_request_modifier(move |mut it| {
            let taken = body.lock().ok().and_then(|mut body| body.take());
            let path = it.uri().path().replace("/images/build/get", "/build");
            let mut parts = it.uri().clone().into_parts();
            parts.path_and_query = format!("{path}?{query}").parse().ok();
            if let (Some(body), Ok(uri)) = (taken, Uri::from_parts(parts)) {
                *it.uri_mut() = uri;
                *it.method_mut() = Method::POST;
                it.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/x-tar"));
                *it.body_mut() = body;
            }
            it
        });
        let mut trace = Trace::default();
        self.wait(async {
            let mut stream = std::pin::pin!(docker.export_image("build"));
            let mut rest = Vec::new();
            while let Some(bytes) = stream.next().await {
                rest.extend_from_slice(&bytes.map_err(|error| self.explain(error))?);
                while let Some(end) = rest.iter().position(|it| *it == b'\n') {
                    let line: Vec<u8> = rest.drain(..=end).collect();
                    trace.line(&line, &progress)?;
                }
            }
            trace.line(&rest, &progress)
        })
    }
}

fn query(pairs: &[(&str, &str)]) -> String {
    let encoded = |text: &str| -> String {
        let plain = |it: u8| it.is_ascii_alphanumeric() || b"-._~".contains(&it);
        text.bytes().map(|it| if plain(it) { char::from(it).to_string() } else { format!("%{it:02X}") }).collect()
    };
    pairs.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect::<Vec<_>>().join("&")
}

/// One line of the response.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Line {
    id: String,
    aux: Value,
    #[serde(rename = "errorDetail")]
    error: Option<Detail>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Detail {
    message: String,
}

/// BuildKit's progress, reduced to what users read.
#[derive(Default)]
struct Trace {
    /// Steps that were reported, and whether as cached.
    told: std::collections::BTreeMap<String, bool>,
    /// The unfinished last line of each step's output.
    open: std::collections::BTreeMap<String, String>,
}

impl Trace {
    fn line(&mut self, line: &[u8], progress: &impl Fn(&str)) -> Result<()> {
        let Ok(line) = serde_json::from_slice::<Line>(line) else { return Ok(()) };
        if let Some(error) = line.error {
            return Err(Problem::new(message(&error.message)).code(Code::EngineFailed).into());
        }
        if line.id == "moby.buildkit.trace"
            && let Some(status) = line.aux.as_str().and_then(|it| STANDARD.decode(it).ok())
        {
            self.status(&status, progress);
        }
        Ok(())
    }

    /// `StatusResponse` of github.com/moby/buildkit's `api/services/control/control.proto`: vertexes are 1, logs 3.
    fn status(&mut self, status: &[u8], progress: &impl Fn(&str)) {
        for (number, field) in fields(status) {
            match number {
                1 => self.vertex(field, progress),
                3 => self.log(field, progress),
                _ => {}
            }
        }
    }

    /// `Vertex`: digest 1, name 3, cached 4, started 5, error 7.
    fn vertex(&mut self, vertex: &[u8], progress: &impl Fn(&str)) {
        let all = fields(vertex);
        let text = |wanted: u64| all.iter().find(|it| it.0 == wanted).map(|it| String::from_utf8_lossy(it.1).into_owned());
        let (Some(digest), Some(name)) = (text(1), text(3)) else { return };
        let is_cached = all.iter().any(|it| it.0 == 4);
        let is_new = match self.told.get(&digest) {
            None => is_cached || all.iter().any(|it| it.0 == 5),
            Some(told) => is_cached && !told,
        };
        if is_new {
            self.told.insert(digest, is_cached);
            progress(&if is_cached { format!("CACHED {name}") } else { name });
        }
    }

    /// `VertexLog`: vertex 1, message 4.
    fn log(&mut self, log: &[u8], progress: &impl Fn(&str)) {
        let all = fields(log);
        let text = |wanted: u64| all.iter().find(|it| it.0 == wanted).map(|it| String::from_utf8_lossy(it.1).into_owned());
        let open = self.open.entry(text(1).unwrap_or_default()).or_default();
        open.push_str(&text(4).unwrap_or_default());
        while let Some((line, rest)) = open.split_once('\n') {
            if !line.trim().is_empty() {
                progress(line.trim_end());
            }
            *open = rest.to_owned();
        }
    }
}

/// The error's last part, without the chain of contexts before it.
fn message(text: &str) -> String {
    let mut text = text.trim();
    for station in [
        "failed to solve with frontend dockerfile.v0: ",
        "failed to solve: ",
        "failed to create LLB definition: ",
        "failed to compute cache key: ",
    ] {
        text = text.strip_prefix(station).unwrap_or(text);
    }
    text.to_owned()
}

/// Field numbers and contents of a message in the protobuf wire format; integers have no content.
fn fields(mut message: &[u8]) -> Vec<(u64, &[u8])> {
    let mut out = Vec::new();
    while let Some(key) = varint(&mut message) {
        let length = match key & 7 {
            0 => varint(&mut message).map(|_| 0),
            1 => Some(8),
            2 => varint(&mut message),
            5 => Some(4),
            _ => None,
        };
        let Some(length) = length.and_then(|it| usize::try_from(it).ok()) else { break };
        let Some((content, rest)) = message.split_at_checked(length) else { break };
        out.push((key >> 3, content));
        message = rest;
    }
    out
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_leads_to_the_dockerfile_that_it_reads() {
        let known = ["20.10.24+dfsg1", "23.0.6", "25.0.5", "27.5.1", "28.5.2", "19.03.15", "17.0"];
        assert_eq!(known.map(frontend), [2, 4, 6, 8, 19, 1, 0]);
        assert_eq!(frontend("29.1.0"), u32::MAX);
        assert_eq!(
            [2, 3, 4, 14, 19, 20].map(first_release),
            ["20.10", "23.0", "23.0", "28.0", "28.5", "29"].map(|it| format!("Docker {it}"))
        );
    }

    #[test]
    fn steps_and_what_they_say_are_read_from_an_engines_answer() {
        // Lines of Docker 20.10.24: a step starts, writes output, and fails.
        let lines = concat!(
            "{\"id\":\"moby.buildkit.trace\",\"aux\":\"CrwBCkdzaGEyNTY6ODU3ZGQ2NDNlNzIwODNkYzdiMDM4MmEyNjRiOWFiM2JhZGFmYjMxNmZlZWNiNGUwYTBiNTVlZGJiZjhmYWVlMxJHc2hhMjU2OmQzNWVkMDJkODc4M2I0MDRiOGY1MWJjZDI4MzVjZGZlNjEwZGU2NTQ5NTIyMzEzOTA3MGU0YWE2ZWI0MDY2ODEaGltzdGFnZS0wIDQvNF0gUlVOIGxzIC1sIC9hKgwIheSl2AYQ4vz8wQE=\"}\n",
            "{\"id\":\"moby.buildkit.trace\",\"aux\":\"GoQBCkdzaGEyNTY6ODU3ZGQ2NDNlNzIwODNkYzdiMDM4MmEyNjRiOWFiM2JhZGFmYjMxNmZlZWNiNGUwYTBiNTVlZGJiZjhmYWVlMxIMCIXkpdgGEJ6D2ekBGAEiKS1ydy0tLS0tLS0gMSByb290IHJvb3QgMyBOb3YgMjcgMTI6MDUgL2EK\"}\n",
            "{\"id\":\"moby.image.id\",\"aux\":{\"ID\":\"sha256:00\"}}\n",
            "{\"errorDetail\":{\"message\":\"failed to solve with frontend dockerfile.v0: failed to create LLB definition: dockerfile parse error line 2: Unknown flag: link\"},\"error\":\"x\"}\n",
        );
        let heard = Mutex::new(Vec::new());
        let mut trace = Trace::default();
        let results: Vec<Result<()>> =
            lines.lines().map(|it| trace.line(it.as_bytes(), &|line: &str| heard.lock().unwrap().push(line.to_owned()))).collect();
        assert_eq!(*heard.lock().unwrap(), ["[stage-0 4/4] RUN ls -l /a", "-rw------- 1 root root 3 Nov 27 12:05 /a"]);
        assert_eq!(results[3].as_ref().unwrap_err().to_string(), "dockerfile parse error line 2: Unknown flag: link");
        assert!(results[..3].iter().all(Result::is_ok));
    }

    #[test]
    fn a_message_that_is_cut_off_is_read_as_far_as_it_goes() {
        assert_eq!(fields(&[0x0a, 1, b'x', 0x12, 9, b'y']), [(1, b"x".as_slice())]);
        assert_eq!(fields(&[0xff; 12]), []);
    }

    #[test]
    fn values_of_a_request_are_written_so_that_nothing_in_them_ends_them() {
        assert_eq!(query(&[("a", "x y&z=%"), ("b", "{\"k\":\"v\"}")]), "a=x%20y%26z%3D%25&b=%7B%22k%22%3A%22v%22%7D");
    }
}
