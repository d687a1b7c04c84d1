//! An application of Node.js whose package comes from a registry of the test's own, by npm, pnpm and yarn, in `create` and in `update`: the first
//! line names what is wrong, nothing of it is kept, and the next run takes the right bytes. The programs are those that the tool itself fetches.

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;
use sha2::{Digest as _, Sha512};

use crate::{
    http::{self, Answer},
    served::{Ill, wrong},
    support::Ran,
    world::World,
};

const APP: &str = "third_party/django-polls";
const FILE: &str = "@tiny/tiny/-/tiny-1.0.0.tgz";

/// An archive as npm makes it.
fn archive(text: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default()));
    for (name, content) in [("package/package.json", "{\"name\": \"@tiny/tiny\", \"version\": \"1.0.0\"}"), ("package/index.js", text)] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

fn integrity(bytes: &[u8]) -> String {
    format!("sha512-{}", STANDARD.encode(Sha512::digest(bytes)))
}

const RIGHT: &str = "module.exports = 'right';\n";
const OTHER: &str = "module.exports = 'other';\n";

struct Registry {
    world: World,
    manager: &'static str,
    ill: Arc<Mutex<Ill>>,
    port: u16,
}

impl Registry {
    fn new(manager: &'static str) -> Registry {
        let world = World::new();
        let (right, other) = (archive(RIGHT), archive(OTHER));
        let ill = Arc::new(Mutex::new(Ill::Nothing));
        let now = ill.clone();
        let port = http::serve_tcp(&http::Health::default(), move |request| {
            let ill = *now.lock().unwrap();
            if request.path.ends_with(".tgz") {
                return ill.file(&right, &other);
            }
            let said = if ill == Ill::TamperedWithDigest { &other } else { &right };
            let dist = json!({ "tarball": format!("http://{}/{FILE}", request.header("host")), "integrity": integrity(said) });
            let version = json!({ "name": "@tiny/tiny", "version": "1.0.0", "dist": dist });
            Answer::json(200, &json!({ "name": "@tiny/tiny", "dist-tags": { "latest": "1.0.0" }, "versions": { "1.0.0": version } }))
        });
        fs::remove_dir_all(world.project.root.join(APP)).unwrap();
        fs::remove_dir_all(world.project.root.join("build/patches")).unwrap();
        let package = json!({
            "name": "shop", "version": "1.0.0", "scripts": { "start": "node index.js" }, "dependencies": { "@tiny/tiny": "1.0.0" },
        });
        world.project.write(&format!("{APP}/package.json"), &package.to_string());
        world.project.write(
            "build/Dockerfile.frontend",
            "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nCOPY artifacts /opt/artifacts/\nCOPY index.js /srv/\nCMD [\"/srv/index.js\"]\n",
        );
        Registry { world, manager, ill, port }
    }

    /// The package manager's lock, with the digest of the right bytes.
    fn lock(&self, address: &str) -> (&'static str, String) {
        let digest = integrity(&archive(RIGHT));
        match self.manager {
            "pnpm" => (
                "pnpm-lock.yaml",
                format!(
                    "lockfileVersion: '9.0'\nimporters:\n  .:\n    dependencies:\n      '@tiny/tiny':\n        specifier: 1.0.0\n        version: 1.0.0\n\
                     packages:\n  '@tiny/tiny@1.0.0':\n    resolution: {{integrity: {digest}}}\nsnapshots:\n  '@tiny/tiny@1.0.0': {{}}\n"
                ),
            ),
            "yarn" => (
                "yarn.lock",
                format!(
                    "# yarn lockfile v1\n\n\n\"@tiny/tiny@1.0.0\":\n  version \"1.0.0\"\n  resolved \"{address}/{FILE}\"\n  integrity {digest}\n"
                ),
            ),
            _ => {
                let of = json!({ "version": "1.0.0", "resolved": format!("{address}/{FILE}"), "integrity": digest });
                let app = json!({ "name": "shop", "version": "1.0.0", "dependencies": { "@tiny/tiny": "1.0.0" } });
                let packages = json!({ "": app, "node_modules/@tiny/tiny": of });
                let lock = json!({ "name": "shop", "version": "1.0.0", "lockfileVersion": 3, "requires": true, "packages": packages });
                ("package-lock.json", lock.to_string())
            }
        }
    }

    fn run(&self, ill: Ill, words: &[&str]) -> Ran {
        *self.ill.lock().unwrap() = ill;
        let (address, _) = ill.address(self.port);
        let (name, lock) = self.lock(&address);
        self.world.project.write(&format!("{APP}/{name}"), &lock);
        // Node.js and the package manager come from the machine's own registry.
        let settings = format!("@tiny:registry={address}/\nfetch-retries=1\nfetch-retry-mintimeout=100\nnoproxy=127.0.0.1\n");
        self.world.project.write(&format!("{APP}/.npmrc"), &settings);
        let mut command = self.world.command(words);
        Ran::from(command.env("XDG_CACHE_HOME", self.world.project.root.join("home")).output().unwrap())
    }

    /// Another source, so that there is something to build, and nothing that was fetched.
    fn forget(&self, number: usize) {
        self.world.project.write(&format!("{APP}/index.js"), &format!("console.log({number}, require('@tiny/tiny'));\n"));
        for folder in ["target/pocdeploy/artifacts", "home"] {
            fs::remove_dir_all(self.world.project.root.join(folder)).ok();
        }
    }
}

/// What is wrong with the runs of these commands for an application with this package manager.
fn suffer(manager: &'static str, commands: &[&str], faults: &[(Ill, String)]) -> Vec<String> {
    let registry = Registry::new(manager);
    let kept: Vec<PathBuf> = ["cache", "target", "home"].iter().map(|it| registry.world.project.root.join(it)).collect();
    let (other, mut found, mut number) = (archive(OTHER), Vec::new(), 0);
    for word in commands {
        // `update` fetches as `create` does: one kind shows that it does.
        for (ill, says) in faults.iter().filter(|it| *word == "create" || it.0 == Ill::Tampered) {
            number += 1;
            registry.forget(number);
            let ran = registry.run(*ill, &[*word, "--yes"]);
            let is_other =
                |it: &[u8]| [&other[..], OTHER.as_bytes()].iter().any(|other| it.windows(other.len()).any(|part| part == *other));
            let says = says.replace("HOST", &format!("127.0.0.1:{}", registry.port));
            found.extend(wrong(&format!("{ill:?} with {manager} in {word}"), &ran, &[&says], &kept, is_other));
        }
    }
    // The engine in memory has no node to load the image into.
    registry.run(Ill::Nothing, &["image"]).ends_with(0);
    let build = registry.world.engine.builds().pop().unwrap();
    // pnpm keeps the file, npm and yarn the archive.
    let right = if manager == "pnpm" { RIGHT.as_bytes().to_vec() } else { archive(RIGHT) };
    assert!(build.context.windows(right.len()).any(|it| it == right), "{manager}");
    found
}

#[test]
fn a_package_with_other_bytes_that_pnpm_leaves_out_is_refused_by_name_and_the_next_run_takes_the_right_one() {
    let changed = format!("http://HOST/{FILE} is not what its pinned digest says");
    let found = suffer("pnpm", &["create"], &[(Ill::Tampered, changed)]);
    assert!(found.is_empty(), "{}", found.join("\n\n"));
}

#[test]
#[ignore = "long: `cargo xtask test --full` runs it"]
fn a_package_that_drips_or_hangs_is_named_with_its_server_by_npm_pnpm_and_yarn_and_the_next_run_takes_it() {
    let slow = |ill, how: &str| (ill, format!("the download from HOST {how}, for 24"));
    let (drips, hangs) = ((Ill::Drips, "the download from HOST gives ".to_owned()), slow(Ill::Hangs, "hangs"));
    let of_yarn = (Ill::Hangs, format!("the server does not answer in time: error Error: http://HOST/{FILE}: ESOCKETTIMEDOUT"));
    suffer_all(
        vec![("npm", vec![drips.clone(), hangs.clone()]), ("pnpm", vec![drips.clone(), hangs]), ("yarn", vec![drips, of_yarn])],
        &["create"],
    );
}

#[test]
#[ignore = "long: `cargo xtask test --full` runs it"]
fn a_package_with_other_bytes_is_refused_by_name_by_npm_pnpm_and_yarn_and_the_next_run_takes_the_right_one() {
    let changed = format!("http://HOST/{FILE} is not what its pinned digest says");
    let of = |ill, says: &str| (ill, says.to_owned());
    let closed = of(Ill::Closed, "the server refuses the connection: ");
    let all = [
        ("npm", vec![of(Ill::Tampered, &changed), closed.clone()]),
        (
            "pnpm",
            vec![
                of(Ill::Tampered, &changed),
                of(Ill::TamperedWithDigest, &changed),
                of(Ill::Page, &changed),
                of(Ill::Cut, &format!("the connection was cut: GET http://HOST/{FILE} error (ECONNRESET)")),
                of(Ill::Unavailable, "the server answers with an error: ERR_PNPM_FETCH_503 GET http://HOST"),
            ],
        ),
        (
            "yarn",
            vec![
                of(Ill::Tampered, &changed),
                of(Ill::Page, &format!("a file is no package, as if it were cut or a web page: error http://HOST/{FILE}: ")),
                // yarn does not say of which file.
                of(Ill::Cut, "the connection was cut: "),
                closed,
            ],
        ),
    ];
    suffer_all(all.into(), &["create", "update"]);
}

fn suffer_all(all: Vec<(&'static str, Vec<(Ill, String)>)>, commands: &[&str]) {
    let found = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for (manager, faults) in all {
            let found = &found;
            scope.spawn(move || {
                let wrong = suffer(manager, commands, &faults);
                found.lock().unwrap().extend(wrong);
            });
        }
    });
    let found = found.into_inner().unwrap();
    assert!(found.is_empty(), "{}", found.join("\n\n"));
}
