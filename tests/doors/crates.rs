//! An application of Rust whose crate comes from a registry of the test's own, in `create` and in `update`: other bytes are refused by name,
//! nothing of them is kept, and the next run takes the right ones. The machine's own cargo asks and compiles.

use std::{
    fmt::Write as _,
    fs,
    sync::{Arc, Mutex},
};

use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::{
    http::{self, Answer},
    support::Ran,
    world::World,
};

/// What is wrong with the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ill {
    Nothing,
    /// A byte of the crate is another.
    Tampered,
    /// The index has the digest of the other bytes, too.
    TamperedWithDigest,
    /// The connection ends in the middle of the crate.
    Cut,
    Unavailable,
    /// A proxy's login page instead of the crate.
    Page,
    /// Nobody listens at the port.
    Closed,
}

fn archive(text: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default()));
    let manifest = "[package]\nname = \"tiny\"\nversion = \"1.0.0\"\nedition = \"2021\"\n";
    for (name, content) in [("tiny-1.0.0/Cargo.toml", manifest), ("tiny-1.0.0/src/lib.rs", text)] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut out, it| {
        write!(out, "{it:02x}").unwrap();
        out
    })
}

struct Registry {
    world: World,
    ill: Arc<Mutex<Ill>>,
    port: u16,
}

impl Registry {
    fn new() -> Registry {
        let world = World::new();
        let (right, other) = (archive("pub const SAYS: &str = \"right\";\n"), archive("pub const SAYS: &str = \"other\";\n"));
        let digest = hex(&right);
        let lock = format!(
            "version = 4\n\n[[package]]\nname = \"shop\"\nversion = \"0.1.0\"\ndependencies = [\n \"tiny\",\n]\n\n[[package]]\nname = \"tiny\"\n\
             version = \"1.0.0\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"{digest}\"\n"
        );
        let ill = Arc::new(Mutex::new(Ill::Nothing));
        let now = ill.clone();
        let port = http::serve_tcp(&http::Health::default(), move |request| {
            let ill = *now.lock().unwrap();
            let whole = |body: &[u8]| Answer::Whole { status: 200, kind: "application/octet-stream", body: body.to_vec() };
            match request.path.as_str() {
                "/config.json" => {
                    Answer::json(200, &json!({ "dl": format!("http://{}/{{crate}}-{{version}}.crate", request.header("host")) }))
                }
                "/ti/ny/tiny" => {
                    let cksum = if ill == Ill::TamperedWithDigest { hex(&other) } else { digest.clone() };
                    Answer::json(
                        200,
                        &json!({ "name": "tiny", "vers": "1.0.0", "deps": [], "cksum": cksum, "features": {}, "yanked": false }),
                    )
                }
                "/tiny-1.0.0.crate" => match ill {
                    Ill::Tampered | Ill::TamperedWithDigest => whole(&other),
                    Ill::Unavailable => Answer::Whole { status: 503, kind: "text/plain", body: b"busy".to_vec() },
                    Ill::Page => whole(b"<form>login</form>"),
                    Ill::Cut => {
                        let (begin, length) = (right[..50].to_vec(), right.len());
                        Answer::Takeover(Box::new(move |out| {
                            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
                            out.write_all(&[head.as_bytes(), &begin].concat()).unwrap();
                        }))
                    }
                    _ => whole(&right),
                },
                _ => Answer::Whole { status: 404, kind: "text/plain", body: Vec::new() },
            }
        });
        let app = "third_party/django-polls";
        fs::remove_dir_all(world.project.root.join(app)).unwrap();
        fs::remove_dir_all(world.project.root.join("build/patches")).unwrap();
        let manifest = "[package]\nname = \"shop\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\ntiny = \"1\"\n";
        world.project.write(&format!("{app}/Cargo.toml"), manifest);
        world.project.write(&format!("{app}/Cargo.lock"), &lock);
        world.project.write(
            "build/Dockerfile.frontend",
            "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nCOPY artifacts/bin/shop /srv/shop\nCMD [\"/srv/shop\"]\n",
        );
        Registry { world, ill, port }
    }

    /// Another source, so that there is something to compile.
    fn source(&self, number: usize) {
        let text = format!("// {number}\nfn main() {{\n    println!(\"{{}}\", tiny::SAYS);\n}}\n");
        self.world.project.write("third_party/django-polls/src/main.rs", &text);
    }

    fn run(&self, ill: Ill, words: &[&str]) -> Ran {
        *self.ill.lock().unwrap() = ill;
        let port = if ill == Ill::Closed { 1 } else { self.port };
        let settings = format!(
            "[source.crates-io]\nreplace-with = \"own\"\n[source.own]\nregistry = \"sparse+http://127.0.0.1:{port}/\"\n[net]\nretry = 0\n"
        );
        self.world.project.write("cargo/config.toml", &settings);
        let mut command = self.world.command(words);
        let ran = command.env("CARGO_HOME", self.world.project.root.join("cargo")).env_remove("RUSTFLAGS").output();
        Ran::from(ran.unwrap())
    }

    /// cargo asks again.
    fn forget(&self) {
        for folder in ["cargo", "target/pocdeploy/cargo"] {
            fs::remove_dir_all(self.world.project.root.join(folder)).ok();
        }
    }

    /// Whether a file of cargo's or of the tool's has the other bytes.
    fn keeps(&self) -> Vec<String> {
        let files = ["cargo", "cache", "target"].map(|it| walkdir::WalkDir::new(self.world.project.root.join(it)));
        let other = archive("pub const SAYS: &str = \"other\";\n");
        let has = |path: &std::path::Path| {
            let bytes = fs::read(path).unwrap_or_default();
            bytes == other || bytes.windows(16).any(|it| it == b"&str = \"other\";\n")
        };
        files
            .into_iter()
            .flatten()
            .flatten()
            .filter(|it| it.file_type().is_file() && has(it.path()))
            .map(|it| it.path().display().to_string())
            .collect()
    }
}

#[test]
fn a_crate_with_other_bytes_is_refused_by_name_and_the_next_run_compiles_the_right_one() {
    let registry = Registry::new();
    let mut wrong = Vec::new();
    let faults = [
        (Ill::Tampered, "tiny v1.0.0 is not what its pinned digest says"),
        (Ill::TamperedWithDigest, "tiny v1.0.0 is not what its pinned digest says"),
        (Ill::Cut, "the connection was cut"),
        (Ill::Unavailable, "the server answers with an error"),
        (Ill::Page, "is not what its pinned digest says"),
        (Ill::Closed, "no connection to the server, or to the proxy, came about"),
    ];
    let mut number = 0;
    for word in ["create", "update"] {
        // `update` downloads as `create` does: two kinds show that it does.
        for (ill, says) in faults.into_iter().filter(|it| word == "create" || [Ill::Tampered, Ill::Unavailable].contains(&it.0)) {
            number += 1;
            registry.source(number);
            registry.forget();
            let ran = registry.run(ill, &[word, "--yes"]);
            let first = ran.stderr.split_once("error[").map(|it| it.1).unwrap_or_default().lines().next().unwrap_or_default();
            eprintln!("{ill:?} in {word}: {} {first}", ran.code);
            let kept = registry.keeps();
            if ran.code != 1
                || !first.starts_with("E0118]")
                || !first.contains(says)
                || !ran.stderr.contains("\nhint: ")
                || !kept.is_empty()
            {
                wrong.push(format!("{ill:?} in {word}: {} {kept:?}\n{}", ran.code, ran.stderr));
            }
            if ill == Ill::TamperedWithDigest {
                // cargo keeps an index that it has read, and does not ask again for a version that the index has.
                registry.forget();
            }
            // The engine in memory has no node to load the image into.
            registry.run(Ill::Nothing, &["image"]).ends_with(0);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    let build = registry.world.engine.builds().pop().unwrap();
    let mut archive = tar::Archive::new(build.context.as_slice());
    let has = archive.entries().unwrap().any(|it| it.unwrap().path().unwrap().ends_with("artifacts/bin/shop"));
    assert!(has, "the program is not in the build's context");
}
