#!/usr/bin/env bash
# A push that an engine has finished ends with "bytes remaining on stream" in bollard, if the last line break comes alone.
#
# One would guess: a client of the Engine API reads the engine's messages, each a JSON text and a CR LF, and does not mind where the network
# cuts them: RFC 9112, section 7.1 gives the borders of chunks no meaning.
# What happens: bollard takes a JSON text without its line break as soon as it is whole, and empties its buffer. A CR LF that comes later is
# another line, which has no JSON in it; the CR stays in the buffer. If nothing follows, the end of the answer is the error "bytes remaining
# on stream": the engine has done its work, and the caller is told that it failed. Seen once with Docker, among many pushes, since the
# pieces are as large as the buffer has room. The same reader is used for pulls, imports and builds.
# Versions: bollard 0.21.1 (the newest), tokio-util 0.7. Seen on 2026-11-30.
# Source: bollard src/read.rs (JsonLineDecoder::decode); tokio-util src/codec/decoder.rs (decode_eof).
# What follows for us: Engine::follow takes this end for the end of the answer: the server has closed the body by its last chunk, so nothing
# is missing; a body that is cut is another error.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir src
cat > Cargo.toml <<'TOML'
[package]
name = "trial"
version = "0.1.0"
edition = "2021"

[dependencies]
bollard = { version = "=0.21.1", default-features = false, features = ["http"] }
futures-util = "0.3"
tokio = { version = "1", features = ["rt", "net", "macros"] }
TOML
cat > src/main.rs <<'RUST'
use std::io::{Read, Write};

use bollard::{Docker, API_DEFAULT_VERSION, query_parameters::PushImageOptions};
use futures_util::StreamExt;

/// An engine that sends its answer in these pieces.
fn engine(pieces: &'static [&'static str]) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place = format!("tcp://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        for piece in pieces {
            write!(stream, "{:x}\r\n{piece}\r\n", piece.len()).unwrap();
        }
        write!(stream, "0\r\n\r\n").unwrap();
    });
    place
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let whole: &[&str] = &["{\"status\":\"one\"}\r\n", "{\"status\":\"two\"}\r\n"];
    let cut: &[&str] = &["{\"status\":\"one\"}\r\n", "{\"status\":\"two\"}", "\r\n"];
    for (name, pieces) in [("with its line break", whole), ("without", cut)] {
        let docker = Docker::connect_with_http(&engine(pieces), 10, API_DEFAULT_VERSION).unwrap();
        let mut stream = Box::pin(docker.push_image("example", None::<PushImageOptions>, None));
        print!("the last message {name}:");
        while let Some(step) = stream.next().await {
            match step {
                Ok(step) => print!(" {}", step.status.unwrap()),
                Err(error) => print!(" {error}"),
            }
        }
        println!();
    }
}
RUST
seen=$(cargo run --quiet)
printf '%s\n' "$seen"
[ "$seen" = "the last message with its line break: one two
the last message without: one two bytes remaining on stream" ] || { echo CHANGED; exit 1; }
