//! The operator's manifest comes from a Go module. Here a server of the test's own has the module, and something is wrong with it, in `create`
//! and in `update`: the first line names the fault, nothing of it is kept, and the next run takes the right bytes. The machine's own Go asks.

use std::{
    fmt::Write as _,
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    path::PathBuf,
    process::Command,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};

use crate::{
    http::{self, Answer},
    support::Ran,
    world::{OPERATOR, World},
};

const MODULE: &str = "github.com/cloudnative-pg/cloudnative-pg";
const VERSION: &str = "v1.30.0";

const ZIP: &str = "import sys, zipfile
out = zipfile.ZipFile(sys.argv[1], 'w')
for name, text in zip(sys.argv[2::2], sys.argv[3::2]):
    out.writestr(name, text)
out.close()
";

/// What is wrong with the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ill {
    Nothing,
    /// A byte of the archive is another.
    Tampered,
    /// The connection ends in the middle of the archive.
    Cut,
    Unavailable,
    /// A proxy's login page instead of the archive.
    Page,
    /// Nobody listens at the port.
    Closed,
    NoName,
    NoProxy,
    /// The server speaks no TLS.
    NoTls,
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut out, it| {
        write!(out, "{it:02x}").unwrap();
        out
    })
}

/// The digest of files as go.sum has it.
fn h1(files: &[(&str, &str)]) -> String {
    let lines: String = files.iter().map(|(name, text)| format!("{}  {name}\n", hex(text.as_bytes()))).collect();
    format!("h1:{}", STANDARD.encode(Sha256::digest(lines)))
}

/// The port of a server that answers the beginning of TLS as a web server without it does.
fn without_tls() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut begin = [0; 16];
            if stream.read_exact(&mut begin).is_ok() {
                stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").ok();
            }
        }
    });
    port
}

struct Proxy {
    world: World,
    ill: Arc<Mutex<Ill>>,
    port: u16,
}

impl Proxy {
    fn new() -> Proxy {
        let world = World::new();
        let go_mod = format!("module {MODULE}\n");
        let (first, second) = (format!("{MODULE}@{VERSION}/go.mod"), format!("{MODULE}@{VERSION}/releases/cnpg-1.30.0.yaml"));
        let make = |manifest: &str| {
            let at = world.project.root.join("module.zip");
            #[expect(clippy::disallowed_methods, reason = "makes a file of the test")]
            let made = Command::new("python3").args(["-c", ZIP]).arg(&at).args([&first, &go_mod, &second, manifest]).status().unwrap();
            assert!(made.success());
            fs::read(&at).unwrap()
        };
        let (right, other) = (make(OPERATOR), make(&OPERATOR.replace("image: x", "image: y")));
        let sums = format!(
            "{MODULE} {VERSION} {}\n{MODULE} {VERSION}/go.mod {}\n",
            h1(&[(&first, &go_mod), (&second, OPERATOR)]),
            h1(&[("go.mod", &go_mod)])
        );
        world.project.write("build/images/go/go.mod", &format!("module images\n\ngo 1.21\n\nrequire {MODULE} {VERSION}\n"));
        world.project.write("build/images/go/go.sum", &sums);
        let ill = Arc::new(Mutex::new(Ill::Nothing));
        let now = ill.clone();
        let port = http::serve_tcp(&http::Health::default(), move |request| {
            let ill = *now.lock().unwrap();
            let whole = |body: &[u8]| Answer::Whole { status: 200, kind: "application/octet-stream", body: body.to_vec() };
            match request.path.rsplit('.').next().unwrap_or_default() {
                "info" => Answer::text(&format!("{{\"Version\": \"{VERSION}\"}}")),
                "mod" => Answer::text(&go_mod),
                "zip" => match ill {
                    Ill::Tampered => whole(&other),
                    Ill::Unavailable => Answer::Whole { status: 503, kind: "text/plain", body: b"busy".to_vec() },
                    Ill::Page => whole(b"<form>login</form>"),
                    Ill::Cut => {
                        let (begin, length) = (right[..100].to_vec(), right.len());
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
        world.build();
        Proxy { world, ill, port }
    }

    fn run(&self, ill: Ill, word: &str) -> Ran {
        *self.ill.lock().unwrap() = ill;
        // Nothing listens there without the rights of root.
        let free = "127.0.0.1:1";
        let (mut address, mut http_proxy) = (format!("http://127.0.0.1:{}", self.port), String::new());
        match ill {
            Ill::Closed => address = format!("http://{free}"),
            Ill::NoName => "http://index.invalid".clone_into(&mut address),
            Ill::NoProxy => (address, http_proxy) = ("http://index.invalid".to_owned(), format!("http://{free}")),
            Ill::NoTls => address = format!("https://127.0.0.1:{}", without_tls()),
            _ => {}
        }
        let mut command = self.world.command(&[word, "--yes"]);
        command.envs([("GOPROXY", &*address), ("HTTP_PROXY", &*http_proxy), ("GONOSUMDB", "*"), ("GOTOOLCHAIN", "local")]);
        Ran::from(command.env_remove("http_proxy").output().unwrap())
    }

    /// The operator's manifest in the cache.
    fn product(&self) -> PathBuf {
        self.world.project.root.join("cache/images/operator-objects-1.30.0")
    }

    fn forget(&self) {
        fs::remove_file(self.product()).unwrap();
        for folder in ["github.com", "cache"] {
            fs::remove_dir_all(self.world.project.root.join("cache/go/mod").join(folder)).ok();
        }
    }
}

#[test]
fn a_download_that_fails_or_brings_other_bytes_is_named_first_and_the_next_run_goes_on() {
    let proxy = Proxy::new();
    let mut wrong = Vec::new();
    let faults = [
        (Ill::Tampered, "github.com/cloudnative-pg/cloudnative-pg@v1.30.0 is not what its pinned digest says"),
        (Ill::Page, "not a valid zip file"),
        (Ill::Cut, "the connection was cut"),
        (Ill::Unavailable, "the server answers with an error"),
        (Ill::Closed, "the server refuses the connection"),
        (Ill::NoName, "the server's name does not resolve"),
        (Ill::NoProxy, "the proxy does not let the download through"),
        (Ill::NoTls, "the server speaks no TLS"),
    ];
    for word in ["create", "update"] {
        for (ill, says) in faults {
            proxy.forget();
            let ran = proxy.run(ill, word);
            let first = ran.stderr.split_once("error[").map(|it| it.1).unwrap_or_default().lines().next().unwrap_or_default();
            eprintln!("{ill:?} in {word}: {} {first}", ran.code);
            if ran.code != 1 || !first.contains(says) || !ran.stderr.contains("\nhint: ") || proxy.product().exists() {
                wrong.push(format!("{ill:?} in {word}: {}\n{}", ran.code, ran.stderr));
            }
            proxy.run(Ill::Nothing, word).ends_with(0);
            assert!(fs::read_to_string(proxy.product()).unwrap().contains("\"x\""));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    // A byte that changes in the cache of modules after Go has compared it.
    fs::remove_file(proxy.product()).unwrap();
    let unpacked = proxy.world.project.root.join(format!("cache/go/mod/{MODULE}@{VERSION}/releases/cnpg-1.30.0.yaml"));
    fs::write(&unpacked, OPERATOR.replace("image: x", "image: y")).unwrap();
    let ran = proxy.run(Ill::Nothing, "create");
    ran.ends_with(0).says("in the cache of Go modules is not what go.sum says: downloading it again");
    assert!(fs::read_to_string(proxy.product()).unwrap().contains("\"x\""));
}
