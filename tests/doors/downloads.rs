//! The operator's manifest comes from a Go module. Here a server of the test's own has the module, and something is wrong with it, in `create`
//! and in `update`: the first line names the fault, nothing of it is kept, and the next run takes the right bytes. The machine's own Go asks.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustix::process::{Pid, Signal, kill_process};
use sha2::{Digest as _, Sha256};

use crate::{
    certificates::{self, Server},
    http::{self, Answer},
    served::{Ill, hex, wrong},
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

/// The digest of files as go.sum has it.
fn h1(files: &[(&str, &str)]) -> String {
    let lines: String = files.iter().map(|(name, text)| format!("{}  {name}\n", hex(text.as_bytes()))).collect();
    format!("h1:{}", STANDARD.encode(Sha256::digest(lines)))
}

struct Proxy {
    world: World,
    ill: Arc<Mutex<Ill>>,
    /// The archive with other bytes.
    other: Vec<u8>,
    port: u16,
}

/// A server of the module, whose digests the project has then: its fault, the archive with other bytes, and its port.
pub(crate) fn serve(world: &World) -> (Arc<Mutex<Ill>>, Vec<u8>, u16) {
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
    let (now, sent) = (ill.clone(), other.clone());
    let port = http::serve_tcp(&http::Health::default(), move |request| {
        let ill = *now.lock().unwrap();
        match request.path.rsplit('.').next().unwrap_or_default() {
            "info" => Answer::text(&format!("{{\"Version\": \"{VERSION}\"}}")),
            "mod" => Answer::text(&go_mod),
            "zip" => ill.file(&right, &sent),
            _ => Answer::Whole { status: 404, kind: "text/plain", body: Vec::new() },
        }
    });
    (ill, other, port)
}

/// Go asks this server alone.
pub(crate) fn settings(command: &mut Command, address: &str) {
    command.envs([("GOPROXY", address), ("GONOSUMDB", "*"), ("GOTOOLCHAIN", "local")]);
}

impl Proxy {
    fn new() -> Proxy {
        let world = World::new();
        let (ill, other, port) = serve(&world);
        world.build();
        Proxy { world, ill, other, port }
    }

    fn run(&self, ill: Ill, word: &str) -> Ran {
        *self.ill.lock().unwrap() = ill;
        let (address, http_proxy) = ill.address(self.port);
        Ran::from(self.command(word, &address, &http_proxy).output().unwrap())
    }

    fn command(&self, word: &str, address: &str, http_proxy: &str) -> Command {
        let mut command = self.world.command(&[word, "--yes"]);
        settings(&mut command, address);
        command.env("HTTP_PROXY", http_proxy).env_remove("http_proxy");
        command
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
    let (other, cache, mut found) = (proxy.other.clone(), proxy.world.project.root.join("cache"), Vec::new());
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
            let is_other = |it: &[u8]| it == other || it.windows(8).any(|it| it == b"image: y");
            found.extend(wrong(&format!("{ill:?} in {word}"), &ran, &[says], std::slice::from_ref(&cache), is_other));
            assert!(!proxy.product().exists());
            proxy.run(Ill::Nothing, word).ends_with(0);
            assert!(fs::read_to_string(proxy.product()).unwrap().contains("\"x\""));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n\n"));
    // A byte that changes in the cache of modules after Go has compared it.
    fs::remove_file(proxy.product()).unwrap();
    let unpacked = proxy.world.project.root.join(format!("cache/go/mod/{MODULE}@{VERSION}/releases/cnpg-1.30.0.yaml"));
    fs::write(&unpacked, OPERATOR.replace("image: x", "image: y")).unwrap();
    let ran = proxy.run(Ill::Nothing, "create");
    ran.ends_with(0).says("in the cache of Go modules is not what go.sum says: downloading it again");
    assert!(fs::read_to_string(proxy.product()).unwrap().contains("\"x\""));
}

#[test]
#[ignore = "long: `cargo xtask test --full` runs it"]
fn a_module_that_drips_or_hangs_is_named_with_its_server_and_the_next_run_takes_it() {
    let proxy = Proxy::new();
    let (cache, mut found) = (proxy.world.project.root.join("cache"), Vec::new());
    for (ill, says) in [(Ill::Drips, "gives "), (Ill::Hangs, "hangs, for 24")] {
        proxy.forget();
        let ran = proxy.run(ill, "create");
        let server = format!("the download from 127.0.0.1:{} ", proxy.port);
        found.extend(wrong(&format!("{ill:?}"), &ran, &[&server, says, MODULE], std::slice::from_ref(&cache), |_| false));
        assert!(!proxy.product().exists());
        proxy.run(Ill::Nothing, "create").ends_with(0);
    }
    assert!(found.is_empty(), "{}", found.join("\n\n"));
}

#[test]
fn a_download_that_drips_is_told_while_it_is_waited_for_and_ctrl_c_ends_it() {
    let proxy = Proxy::new();
    proxy.forget();
    *proxy.ill.lock().unwrap() = Ill::Drips;
    let mut command = proxy.command("create", &format!("http://127.0.0.1:{}", proxy.port), "");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let told = format!("the download from 127.0.0.1:{} gives ", proxy.port);
    let said = lines.by_ref().map_while(Result::ok).find(|it| it.contains(&told));
    assert!(said.as_ref().is_some_and(|it| it.contains("waiting for `go mod download ")), "{said:?}");
    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), Signal::INT).unwrap();
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest:?}");
    proxy.run(Ill::Nothing, "create").ends_with(0);
}

#[test]
fn a_certificate_that_go_refuses_is_named_first_with_the_reason_and_the_next_run_goes_on() {
    let (proxy, dir) = (Proxy::new(), certificates::made());
    let (cache, mut found) = (proxy.world.project.root.join("cache"), Vec::new());
    for (certificate, authority, reason) in [
        ("other", "ca.pem", "cannot validate certificate for 127.0.0.1 because it doesn't contain any IP SANs"),
        ("past", "ca.pem", "is after 2020-02-01"),
        ("future", "ca.pem", "is before 2095-01-01"),
        ("right", "none.pem", "certificate signed by unknown authority"),
    ] {
        proxy.forget();
        let server = Server::start(dir.path(), certificate);
        let address = format!("https://127.0.0.1:{}", server.port);
        let mut command = proxy.command("create", &address, "");
        // Go takes this file in place of the system's.
        let ran = Ran::from(command.env("SSL_CERT_FILE", dir.path().join(authority)).env("NO_PROXY", "127.0.0.1").output().unwrap());
        let says = ["the server's certificate is not accepted: ", &address, reason];
        found.extend(wrong(&format!("the certificate {certificate} with {authority}"), &ran, &says, std::slice::from_ref(&cache), |_| {
            false
        }));
        assert!(!proxy.product().exists());
        proxy.run(Ill::Nothing, "create").ends_with(0);
    }
    assert!(found.is_empty(), "{}", found.join("\n\n"));
}
