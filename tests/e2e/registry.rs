//! A real registry on this machine, over HTTPS with its own CA, with upstream's images.
//!
//! The images are built by the recipes and have upstream's names; those of operator and database are imported from the node image.

use std::{
    fs,
    net::{TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use pocdeploy::{
    engine::Engine,
    env::Env,
    graph::TaskId,
    images::{Role, packages},
};

use crate::bench::Bench;

pub(crate) struct Registry {
    child: Child,
    folder: tempfile::TempDir,
    /// `address:port`.
    place: String,
    node_tag: String,
    node_digest: String,
    engine: Engine,
    /// The names that this test added to images of the engine.
    names: Vec<String>,
}

impl Registry {
    /// Starts it, and pushes four images.
    pub(crate) fn start(bench: &Bench) -> Registry {
        let mut registry = Registry::empty(bench);
        registry.fill(bench);
        registry
    }

    /// Starts it without an image.
    pub(crate) fn empty(bench: &Bench) -> Registry {
        let folder = tempfile::tempdir().unwrap();
        let address = own_address();
        let port = TcpListener::bind((address.as_str(), 0)).unwrap().local_addr().unwrap().port();
        let place = format!("{address}:{port}");
        certify(folder.path(), &address);
        // The folder where an engine looks for a registry's CA.
        let trusted = Path::new("/etc/docker/certs.d").join(&place);
        fs::create_dir_all(&trusted).unwrap();
        fs::copy(folder.path().join("ca.crt"), trusted.join("ca.crt")).unwrap();
        let child = serve(folder.path(), &place);
        Registry { child, folder, place, node_tag: String::new(), node_digest: String::new(), engine: bench.engine(), names: Vec::new() }
    }

    /// Mirrors as in companies: one on a host, one with a path.
    pub(crate) fn settings(&self) -> String {
        format!(
            "[images]\nsource = \"auto\"\nnode = \"docker.io/kindest/node:{}@{}\"\n[images.mirrors]\n\"docker.io\" = \"https://{place}\"\n\"ghcr.io\" = \"https://{place}/github\"\n",
            self.node_tag,
            self.node_digest,
            place = self.place,
        )
    }

    /// The registry's `address:port`.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// Lets a node pull under another name, as in companies whose registry has internal and external names.
    pub(crate) fn introduce(&self, node: &str, name: &str) {
        let folder = format!("/etc/containerd/certs.d/{name}");
        let authority = fs::read_to_string(self.folder.path().join("ca.crt")).unwrap();
        let place = &self.place;
        let hosts = format!("server = \"https://{place}\"\n[host.\"https://{place}\"]\n  ca = \"{folder}/ca.crt\"\n");
        let script =
            format!("mkdir -p '{folder}'; printf '%s' '{authority}' > '{folder}/ca.crt'; printf '%s' '{hosts}' > '{folder}/hosts.toml'");
        self.engine.exec(node, &["sh", "-c", &script]).unwrap().ok("introduce the registry").unwrap();
    }

    /// The host's CAs and the registry's.
    pub(crate) fn trusted(&self) -> PathBuf {
        self.folder.path().join("all.crt")
    }

    fn fill(&mut self, bench: &Bench) {
        let env = bench.env();
        env.set_engine(self.engine.clone());
        for role in [Role::Python, Role::Node] {
            packages::ensure(&env, TaskId::NodeImage, role).unwrap();
        }
        let versions = packages::versions(&env).unwrap();
        let node = packages::reference(&env, Role::Node).unwrap();
        let python = packages::reference(&env, Role::Python).unwrap();
        self.push(&python, "library/python", &format!("{}-slim-trixie", versions.python));
        self.node_tag = format!("v{}", versions.kubernetes);
        self.push(&node, "kindest/node", &self.node_tag.clone());
        self.cut(&env, Role::Operator, "github/cloudnative-pg/cloudnative-pg", &versions.cloudnative_pg);
        self.cut(&env, Role::Postgresql, "github/cloudnative-pg/postgresql", &format!("{}-standard-trixie", versions.postgresql));
        let reference = format!("{}/kindest/node:{}", self.place, self.node_tag);
        self.node_digest = self.engine.registry_digest(&reference, Duration::from_secs(20)).unwrap();
        // The test's images must be pulled from the registry.
        for name in &self.names {
            self.engine.remove_image(name).unwrap();
        }
    }

    /// Pushes an image for a node.
    pub(crate) fn publish(&self, image: &str, path: &str, tag: &str) {
        let name = format!("{}/{path}", self.place);
        self.engine.tag(image, &name, tag).unwrap();
        self.engine.push(&name, tag, |_| {}).unwrap();
        self.engine.remove_image(&format!("{name}:{tag}")).unwrap();
    }

    fn push(&mut self, image: &str, path: &str, tag: &str) {
        let name = format!("{}/{path}", self.place);
        self.engine.tag(image, &name, tag).unwrap();
        self.names.push(format!("{name}:{tag}"));
        self.engine.push(&name, tag, |_| {}).unwrap();
    }

    /// An image that is unpacked in the node image.
    fn cut(&mut self, env: &Env, role: Role, path: &str, tag: &str) {
        let name = format!("{}/{path}", self.place);
        packages::inside_as_image(env, role, &format!("{name}:{tag}")).unwrap();
        self.names.push(format!("{name}:{tag}"));
        self.engine.push(&name, tag, |_| {}).unwrap();
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        fs::remove_dir_all(Path::new("/etc/docker/certs.d").join(&self.place)).ok();
        for name in &self.names {
            self.engine.remove_image(name).ok();
        }
        let pulled = [format!("{}/kindest/node@{}", self.place, self.node_digest)];
        for name in &pulled {
            self.engine.remove_image(name).ok();
        }
    }
}

/// This machine's address for itself and for its containers. Sends no packet.
pub(crate) fn own_address() -> String {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("192.0.2.1:9").expect("this machine has no address of its own");
    socket.local_addr().unwrap().ip().to_string()
}

/// A CA, and a server certificate for the address.
fn certify(folder: &Path, address: &str) {
    let openssl = |arguments: &[&str]| run("openssl", folder, arguments);
    let name = format!("subjectAltName=IP:{address}");
    openssl(&[
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=test authority",
        "-keyout",
        "ca.key",
        "-out",
        "ca.crt",
    ]);
    openssl(&[
        "req",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=registry",
        "-addext",
        &name,
        "-keyout",
        "registry.key",
        "-out",
        "registry.csr",
    ]);
    fs::write(folder.join("names"), &name).unwrap();
    openssl(&[
        "x509",
        "-req",
        "-days",
        "2",
        "-in",
        "registry.csr",
        "-CA",
        "ca.crt",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-extfile",
        "names",
        "-out",
        "registry.crt",
    ]);
    let mut all = pocdeploy::images::registry::host_authorities().map(|it| fs::read(it).unwrap()).unwrap_or_default();
    all.extend(fs::read(folder.join("ca.crt")).unwrap());
    fs::write(folder.join("all.crt"), all).unwrap();
}

fn serve(folder: &Path, place: &str) -> Child {
    let config = format!(
        "version: 0.1\nlog: {{level: warn}}\nstorage: {{filesystem: {{rootdirectory: {root}/data}}}}\nhttp: {{addr: '{place}', tls: {{certificate: {root}/registry.crt, key: {root}/registry.key}}}}\n",
        root = folder.display(),
    );
    fs::write(folder.join("config.yml"), config).unwrap();
    let log = fs::File::create(folder.join("log")).unwrap();
    let child =
        Command::new("docker-registry").arg("serve").arg(folder.join("config.yml")).stdout(Stdio::null()).stderr(log).spawn().unwrap();
    let began = Instant::now();
    while std::net::TcpStream::connect(place).is_err() {
        assert!(began.elapsed() < Duration::from_secs(30), "{}", fs::read_to_string(folder.join("log")).unwrap_or_default());
        std::thread::sleep(Duration::from_millis(100));
    }
    child
}

fn run(program: &str, folder: &Path, arguments: &[&str]) {
    let output = Command::new(program).current_dir(folder).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}
