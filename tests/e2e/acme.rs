//! Let's Encrypt's protocol on this machine: Pebble, its own test server, and cert-manager with the controllers that speak to it.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use pocdeploy::engine::{BuildRequest, Root};

use crate::{bench::Bench, programs, registry::Registry};

/// The releases of github.com/letsencrypt/pebble.
const PEBBLE: &str = "v2.10.3";

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// An authority that issues a certificate for each name whose web server answers its challenge on port 80.
pub(crate) struct Pebble {
    /// Where clients begin.
    pub(crate) directory: String,
    /// Where a DNS server knows each name as the given address.
    dns: String,
    /// Where its root is.
    management: String,
    folder: tempfile::TempDir,
    _processes: [Running; 2],
}

impl Pebble {
    /// Starts it with a DNS server that leads each name to the address.
    pub(crate) fn start(logs: &Path, address: &str) -> Pebble {
        let folder = tempfile::tempdir().unwrap();
        let [listen, management, dns, other] = places();
        let mut certificate = Command::new("openssl");
        certificate.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=pebble"]);
        certificate.args(["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"]);
        let made = certificate.current_dir(folder.path()).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let config = serde_json::json!({ "pebble": {
            "listenAddress": listen,
            "managementListenAddress": management,
            "certificate": folder.path().join("cert.pem"),
            "privateKey": folder.path().join("key.pem"),
            "httpPort": 80,
            "tlsPort": 443,
            "keyAlgorithm": "ecdsa",
            "retryAfter": { "authz": 1, "order": 1 },
            "profiles": { "default": { "description": "90 days", "validityPeriod": 7_776_000 } },
        }});
        fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
        let package = "github.com/letsencrypt/pebble/v2/cmd/pebble";
        let mut names = Command::new(programs::installed("challtestsrv", &format!("{package}-challtestsrv"), PEBBLE));
        names.args(["-dnsserver", &dns, "-management", &other, "-defaultIPv4", address, "-defaultIPv6", ""]);
        names.args(["-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", ""]);
        let mut pebble = Command::new(programs::installed("pebble", package, PEBBLE));
        pebble.arg("-config").arg(folder.path().join("config.json")).args(["-dnsserver", &dns]).env("PEBBLE_VA_NOSLEEP", "1");
        let processes = [started(&mut names, &logs.join("dns.log")), started(&mut pebble, &logs.join("pebble.log"))];
        let out = Pebble { directory: format!("https://{listen}/dir"), dns, management, folder, _processes: processes };
        let began = Instant::now();
        while out.root().is_empty() {
            assert!(began.elapsed() < Duration::from_secs(30), "Pebble does not answer: {}", logs.join("pebble.log").display());
            std::thread::sleep(Duration::from_millis(100));
        }
        out
    }

    /// The certificate of the server itself, base64 of PEM as objects have it.
    pub(crate) fn bundle(&self) -> String {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        STANDARD.encode(fs::read(self.folder.path().join("cert.pem")).unwrap())
    }

    /// The root of what it issues, as PEM; made at each start.
    pub(crate) fn root(&self) -> String {
        let mut command = Command::new("curl");
        command.args(["--silent", "--cacert"]).arg(self.folder.path().join("cert.pem")).arg(format!("https://{}/roots/0", self.management));
        let out = command.output().unwrap();
        String::from_utf8(out.stdout).unwrap()
    }
}

/// cert-manager's controllers, on this machine as administrators of the cluster.
pub(crate) struct Manager(#[expect(dead_code, reason = "it ends the process")] Running);

impl Manager {
    /// Starts it; `solver` is the image that answers challenges.
    pub(crate) fn start(owner: &Bench, solver: &str, pebble: &Pebble) -> Manager {
        let mut command = Command::new(built(".", "cert-manager"));
        command.arg("--kubeconfig").arg(owner.path("target/pocdeploy/kubeconfig")).args(["--namespace", "infra"]);
        command.args(["--solver", solver, "--dns", &pebble.dns]);
        Manager(started(&mut command, &owner.pictures().join("cert-manager.log")))
    }
}

/// Pushes the image that answers challenges, which cert-manager's project publishes to a registry.
pub(crate) fn publish_solver(owner: &Bench, registry: &Registry, path: &str) {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(built("./solver", "acmesolver"), folder.path().join("solver")).unwrap();
    fs::write(folder.path().join("Dockerfile"), "FROM scratch\nCOPY solver /\nUSER 65532\nENTRYPOINT [\"/solver\"]\n").unwrap();
    let tag = format!("pocdeploy-test/{path}:1");
    let request = BuildRequest {
        context: vec![Root::whole(folder.path().to_owned(), "")],
        dockerfile: "Dockerfile".to_owned(),
        tag: tag.clone(),
        ..BuildRequest::default()
    };
    owner.engine().build(request, |_| {}).unwrap();
    registry.publish(&tag, path, "1");
    owner.engine().remove_image(&tag).unwrap();
}

fn built(package: &str, name: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("tests/e2e/cert-manager");
    programs::own(&source, package, name)
}

/// Four free places on the loopback device.
fn places() -> [String; 4] {
    let held: [TcpListener; 4] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|it| it.local_addr().unwrap().to_string())
}

fn started(command: &mut Command, log: &Path) -> Running {
    let log = fs::File::create(log).unwrap();
    let child = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
    Running(child)
}
