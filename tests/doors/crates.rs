//! An application of Rust whose crate comes from a registry of the test's own, in `create` and in `update`: other bytes are refused by name,
//! nothing of them is kept, and the next run takes the right ones. The machine's own cargo asks and compiles.

use std::{
    fs,
    sync::{Arc, Mutex},
};

use serde_json::json;

use crate::{
    http::{self, Answer},
    served::{Ill, hex, wrong},
    support::Ran,
    world::World,
};

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
                "/tiny-1.0.0.crate" => ill.file(&right, &other),
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
        let (address, _) = ill.address(self.port);
        let settings =
            format!("[source.crates-io]\nreplace-with = \"own\"\n[source.own]\nregistry = \"sparse+{address}/\"\n[net]\nretry = 0\n");
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
}

#[test]
fn a_crate_with_other_bytes_is_refused_by_name_and_the_next_run_compiles_the_right_one() {
    let registry = Registry::new();
    // Of cargo's files, too.
    let kept = ["cargo", "cache", "target"].map(|it| registry.world.project.root.join(it));
    let (other, mut found) = (archive("pub const SAYS: &str = \"other\";\n"), Vec::new());
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
            let is_other = |it: &[u8]| it == other || it.windows(16).any(|it| it == b"&str = \"other\";\n");
            found.extend(wrong(&format!("{ill:?} in {word}"), &ran, &[says], &kept, is_other));
            if ill == Ill::TamperedWithDigest {
                // cargo keeps an index that it has read, and does not ask again for a version that the index has.
                registry.forget();
            }
            // The engine in memory has no node to load the image into.
            registry.run(Ill::Nothing, &["image"]).ends_with(0);
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n\n"));
    let build = registry.world.engine.builds().pop().unwrap();
    let mut archive = tar::Archive::new(build.context.as_slice());
    let has = archive.entries().unwrap().any(|it| it.unwrap().path().unwrap().ends_with("artifacts/bin/shop"));
    assert!(has, "the program is not in the build's context");
}

#[test]
#[ignore = "long: `cargo xtask test --full` runs it"]
fn a_crate_that_drips_or_hangs_is_named_with_its_server_and_the_next_run_compiles_it() {
    let registry = Registry::new();
    let mut found = Vec::new();
    let server = format!("127.0.0.1:{}", registry.port);
    let of_cargo = format!("the server does not answer in time: http://{server}/tiny-1.0.0.crate: ");
    for (number, (ill, says)) in
        [(Ill::Drips, format!("the download from {server} gives ")), (Ill::Hangs, of_cargo)].into_iter().enumerate()
    {
        registry.source(number);
        registry.forget();
        let ran = registry.run(ill, &["create", "--yes"]);
        found.extend(wrong(&format!("{ill:?}"), &ran, &[&says], &[], |_| false));
        registry.run(Ill::Nothing, &["image"]).ends_with(0);
    }
    assert!(found.is_empty(), "{}", found.join("\n\n"));
}
