//! A cluster in a cloud, as far as a machine without an account can have one.
//!
//! Real are: OpenTofu with its graph, state and encryption (or Terraform), the registry with its login, and everything behind the kubeconfig, which is a
//! kind cluster. Not real are the cloud and its provider (tests/clouds/server, which knows the whole schema and calls nobody), and the vendor's
//! program (tests/clouds/programs). A thread does what a cloud's controllers do: it gives load balancers an address, and removes them.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    bench::Bench,
    browser,
    emulator::Emulator,
    sky::{Reader, Sky},
};

/// `right-word`, as `htpasswd -B` writes it.
const RIGHT_WORD: &str = "$2b$05$piQGksGk.63xLdedQQuYWuEt2FKh9tiJssa2449P6IMKTO8wp7W9e";
/// The users' names beside a token, of ECR and of ACR.
const USERS: [&str; 2] = ["AWS", "00000000-0000-0000-0000-000000000000"];
const BALANCER: &str = "service.kubernetes.io/load-balancer-cleanup";

/// The cluster that every cloud here hands out.
pub(crate) struct Ground {
    owner: Bench,
    registry: Registry,
    aws: Option<Emulator>,
}

/// A user of MiniStack.
const USER: &str = "arn:aws:iam::000000000000:user/dev";

impl Ground {
    pub(crate) fn new() -> Ground {
        Ground::with(None)
    }

    /// The API server asks MiniStack whose token it is, as EKS's asks AWS; images go to MiniStack's ECR.
    pub(crate) fn of_aws() -> Ground {
        let mut aws = Emulator::strict();
        let question = aws.cluster(&Bench::name_for("eks"));
        Ground::with(Some((aws, question)))
    }

    fn with(aws: Option<(Emulator, String)>) -> Ground {
        let owner = Bench::new("ground");
        if let Some((aws, question)) = &aws {
            asks(&owner, &format!("http://{}:{}/{question}", crate::registry::own_address(), aws.port));
        }
        owner.step("a kind cluster for the clouds to hand out", || {
            owner.run(&["cluster", "--yes"]).ends_with(0);
        });
        let registry = Registry::start(&owner);
        if let Some((aws, _)) = &aws {
            let place = format!("http://{}:{}", crate::registry::own_address(), aws.port);
            let hosts = format!("server = \"{place}\"\n[host.\"{place}\"]\n  capabilities = [\"pull\", \"resolve\"]\n");
            let folder = format!("/etc/containerd/certs.d/127.0.0.1:{}", aws.port);
            let script = format!("mkdir -p '{folder}'; printf '%s' '{hosts}' > '{folder}/hosts.toml'");
            owner.engine().exec(&owner.node(), &["sh", "-c", &script]).unwrap().ok("introduce the registry").unwrap();
            owner.kubectl(&format!("create clusterrolebinding dev --clusterrole=cluster-admin --user={USER}"));
        }
        for line in [
            "create serviceaccount cloud -n kube-system",
            "create clusterrolebinding cloud --clusterrole=cluster-admin --serviceaccount=kube-system:cloud",
        ] {
            owner.kubectl(line);
        }
        Ground { owner, registry, aws: aws.map(|it| it.0) }
    }

    fn sky(&self, kind: &str, reader: Reader) -> Sky {
        let sky = Sky::read_by(reader, kind);
        let kubeconfig = fs::read_to_string(self.owner.path("target/pocdeploy/kubeconfig")).unwrap();
        let after = |name: &str| {
            let line = kubeconfig.lines().find(|it| it.contains(name)).unwrap_or_else(|| panic!("no {name}"));
            line.split_once(": ").unwrap().1.trim_matches([' ', '"', ',']).to_owned()
        };
        sky.cluster_is(&after("server"), &after("certificate-authority-data"));
        let token = self.owner.kubectl("create token cloud -n kube-system --duration=4h").trim().to_owned();
        // Google has one token for both.
        let registry = if kind == "gke" { self.registry.open.clone() } else { self.registry.place.clone() };
        let mut settings = json!({ "token": token, "word": "right-word", "registry": registry });
        if let Some(aws) = &self.aws {
            settings["real"] = json!([aws.aws, format!("http://127.0.0.1:{}", aws.port), aws.key.0, aws.key.1]);
        }
        sky.settings(&settings);
        sky
    }

    /// From nothing to a vote and back to nothing, in this cloud.
    pub(crate) fn comes_up_and_goes(&self, kind: &'static str) {
        self.comes_up_and_goes_by(Reader::OpenTofu, kind);
    }

    /// The same where only this reader is installed.
    pub(crate) fn comes_up_and_goes_by(&self, reader: Reader, kind: &'static str) {
        let (sky, guest) = (self.sky(kind, reader), Bench::new(kind));
        guest.configure("[frontend]\nreplicas = 1\n[cluster]\nallowed_cidrs = [\"192.0.2.7/32\"]\nregion = \"REGION\"\n[images]\nsource = \"packages\"\n".replace("REGION", if kind == "eks" { "eu-central-1" } else { "europe-west1-b" }).as_str());
        let service = guest.path("deploy/frontend/service.yaml");
        fs::write(&service, fs::read_to_string(&service).unwrap().replace("port: 80\n", &format!("port: {}\n", free_port()))).unwrap();
        let run = |arguments: &[&str]| guest.ran(sky.over(&mut guest.command(&[arguments, &["--type", kind]].concat())));
        guest.step(&format!("{kind}: doctor asks the cloud"), || {
            let said = run(&["doctor"]).stdout;
            assert!(said.contains("cloud login") && said.contains("quota of"), "{said}");
        });
        guest.step("nothing is made without consent", || {
            run(&["create"]).ends_with(4).says("about $").says("it is marked to expire on");
            assert_eq!(sky.inventory(), Vec::<String>::new());
        });
        guest.step("a plan names every property", || {
            let planned = run(&["plan", "--out", "plan.json"]);
            planned.ends_with(0);
            assert!(planned.stdout.contains("192.0.2.7/32") && planned.stdout.contains("known after apply"), "{}", planned.stdout);
        });
        let controllers = Controllers::start(&self.owner, &sky);
        let url = guest.step("the plan is applied, up to a page", || {
            let created = run(&["create", "--plan", "plan.json", "--yes"]);
            created.ends_with(0);
            created.stdout.trim_end().to_owned()
        });
        let votes = guest.step("a browser votes", || browser::vote(&url, &guest.pictures()));
        assert_eq!(votes.all_after, votes.all_before + 1);
        guest.step("pods run what was pushed, by digest", || {
            let images = self
                .owner
                .kubectl("-n polls get pods -l app.kubernetes.io/component=frontend -o jsonpath={.items[*].spec.containers[*].image}");
            assert!(images.contains("@sha256:") && images.starts_with("127.0.0.1:"), "{images}");
        });
        guest.step("nothing is to be done twice, and the state can be read by its owner only", || {
            run(&["create", "--yes"]).ends_with(0).says("0 ran");
            run(&["validate"]).ends_with(0);
            let listed = run(&["ls"]).stdout;
            assert!(listed.contains(&guest.instance) && listed.contains("so far, expires on"), "{listed}");
            private(&guest.path("target/pocdeploy/cloud"), reader);
        });
        guest.step("delete empties the cluster, then removes it, and asks the cloud", || {
            run(&["delete", "--yes"]).ends_with(0).says("audit: the cloud has nothing with this instance's tag or name");
            assert_eq!(sky.inventory(), Vec::<String>::new());
            assert_eq!(self.owner.kubectl("get persistentvolumes -o name"), "");
            assert!(self.owner.kubectl_fails("get namespace polls").contains("not found"));
            run(&["delete", "--yes"]).ends_with(0);
        });
        assert!(controllers.stop() > 0, "no load balancer was removed");
    }
}

/// Has the owner's API server ask at this address whose a token is.
fn asks(owner: &Bench, address: &str) {
    let file = owner.path("webhook.json");
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{ "name": "c", "cluster": { "server": address } }],
        "users": [{ "name": "c", "user": {} }],
        "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "c" } }],
    });
    fs::write(&file, config.to_string()).unwrap();
    let place = "/etc/kubernetes/pocdeploy-webhook.json";
    let flags = json!([
        { "name": "authentication-token-webhook-config-file", "value": place },
        { "name": "authentication-token-webhook-version", "value": "v1" },
    ]);
    let volumes = json!([{ "name": "webhook", "hostPath": place, "mountPath": place, "readOnly": true, "pathType": "File" }]);
    let patch = json!({ "kind": "ClusterConfiguration", "apiServer": { "extraArgs": flags, "extraVolumes": volumes } });
    let kind = owner.path("deploy/kind/cluster.yaml");
    let added = format!(
        "    extraMounts: [{{hostPath: '{}', containerPath: {place}, readOnly: true}}]\nkubeadmConfigPatches:\n  - '{patch}'\n",
        file.display()
    );
    fs::write(&kind, fs::read_to_string(&kind).unwrap() + &added).unwrap();
}

/// Modes of files, and that nothing is readable in OpenTofu's.
fn private(folder: &Path, reader: Reader) {
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(fs::metadata(folder).unwrap().permissions().mode() & 0o777, 0o700);
    for name in ["terraform.tfstate", "plan", "cluster.json"] {
        let mode = fs::metadata(folder.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{name}");
    }
    let state = fs::read_to_string(folder.join("terraform.tfstate")).unwrap();
    let is_encrypted = state.contains("encrypted_data") && !state.contains("10.42.");
    assert_eq!(is_encrypted, reader == Reader::OpenTofu, "{reader:?}");
}

/// What a cloud's controllers do with Services of type LoadBalancer: an address, a finalizer, and a hold on the network until they are gone.
struct Controllers {
    stop: Arc<AtomicBool>,
    works: JoinHandle<usize>,
}

impl Controllers {
    fn start(owner: &Bench, sky: &Sky) -> Controllers {
        let stop = Arc::new(AtomicBool::new(false));
        let (engine, node, over) = (owner.engine(), owner.node(), stop.clone());
        let blocker = sky.blocker("load-balancer");
        let kubectl = move |arguments: &[&str]| {
            let command = [&["kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf"], arguments].concat();
            engine.exec(&node, &command).map(|it| it.stdout).unwrap_or_default()
        };
        let address = kubectl(&["get", "nodes", "-o", "jsonpath={.items[0].status.addresses[0].address}"]);
        let works = std::thread::spawn(move || {
            let mut removed = 0;
            while !over.load(Ordering::SeqCst) {
                let said: Value = serde_json::from_str(&kubectl(&["get", "services", "-A", "-o", "json"])).unwrap_or_default();
                for it in said["items"].as_array().into_iter().flatten().filter(|it| it["spec"]["type"] == "LoadBalancer") {
                    let of = |pointer: &str| it.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
                    let (namespace, name) = (of("/metadata/namespace"), of("/metadata/name"));
                    let patch = |arguments: &[&str], patch: Value| {
                        let patch = patch.to_string();
                        kubectl(&[&["-n", &namespace, "patch", "service", &name, "--type=merge", "-p", &patch], arguments].concat())
                    };
                    if it["metadata"]["deletionTimestamp"].is_string() {
                        std::thread::sleep(Duration::from_secs(2));
                        fs::remove_file(&blocker).ok();
                        patch(&[], json!({ "metadata": { "finalizers": null } }));
                        removed += 1;
                    } else if it.pointer("/status/loadBalancer/ingress").is_none() {
                        fs::write(&blocker, "").unwrap();
                        patch(&[], json!({ "metadata": { "finalizers": [BALANCER] } }));
                        let port = |name: &str| it.pointer(&format!("/spec/ports/0/{name}")).and_then(Value::as_u64).unwrap_or_default();
                        forward(port("port"), format!("{address}:{}", port("nodePort")));
                        patch(
                            &["--subresource=status"],
                            json!({ "status": { "loadBalancer": { "ingress": [{ "hostname": "localhost" }] } } }),
                        );
                    }
                }
                std::thread::sleep(Duration::from_millis(500));
            }
            removed
        });
        Controllers { stop, works }
    }

    /// How many load balancers were removed.
    fn stop(self) -> usize {
        self.stop.store(true, Ordering::SeqCst);
        self.works.join().unwrap()
    }
}

/// The load balancer: a port of this machine, so that browsers send it secure cookies. It ends with the test.
fn forward(port: u64, to: String) {
    let listener = TcpListener::bind(("127.0.0.1", u16::try_from(port).unwrap())).unwrap();
    std::thread::spawn(move || {
        for from in listener.incoming().flatten() {
            let Ok(to) = TcpStream::connect(&to) else { continue };
            for (mut from, mut to) in [(from.try_clone().unwrap(), to.try_clone().unwrap()), (to, from)] {
                std::thread::spawn(move || {
                    std::io::copy(&mut from, &mut to).ok();
                    to.shutdown(std::net::Shutdown::Write).ok();
                });
            }
        }
    });
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Two registries with one store: one asks for a password, one does not. Nodes pull from both, as a cloud's nodes do with their identity.
struct Registry {
    children: Vec<Child>,
    place: String,
    open: String,
    _folder: tempfile::TempDir,
}

impl Registry {
    fn start(owner: &Bench) -> Registry {
        let folder = tempfile::tempdir().unwrap();
        let words: String = USERS.iter().map(|it| format!("{it}:{RIGHT_WORD}\n")).collect();
        fs::write(folder.path().join("htpasswd"), words).unwrap();
        let auth = format!("auth: {{htpasswd: {{realm: private, path: {}/htpasswd}}}}\n", folder.path().display());
        let mut children = Vec::new();
        let mut serve = |name: &str, more: &str| {
            let port = free_port();
            let root = folder.path().display();
            let config = format!(
                "version: 0.1\nlog: {{level: warn}}\nstorage: {{filesystem: {{rootdirectory: {root}/data}}}}\nhttp: {{addr: '0.0.0.0:{port}'}}\n{more}"
            );
            let file = folder.path().join(format!("{name}.yml"));
            fs::write(&file, config).unwrap();
            let log = fs::File::create(folder.path().join(format!("{name}.log"))).unwrap();
            children.push(Command::new("docker-registry").arg("serve").arg(&file).stdout(Stdio::null()).stderr(log).spawn().unwrap());
            let place = format!("127.0.0.1:{port}");
            let began = Instant::now();
            while TcpStream::connect(&place).is_err() {
                assert!(began.elapsed() < Duration::from_secs(30), "the registry does not start");
                std::thread::sleep(Duration::from_millis(100));
            }
            (place, port)
        };
        let ((place, guarded), (open, free)) = (serve("guarded", &auth), serve("open", ""));
        for port in [guarded, free] {
            let server = format!("http://{}:{port}", crate::registry::own_address());
            let hosts = format!(
                "server = \"{server}\"\n[host.\"{server}\"]\n  capabilities = [\"pull\", \"resolve\"]\n  [host.\"{server}\".header]\n    Authorization = \"Basic QVdTOnJpZ2h0LXdvcmQ=\"\n"
            );
            let folder = format!("/etc/containerd/certs.d/127.0.0.1:{port}");
            let script = format!("mkdir -p '{folder}'; printf '%s' '{hosts}' > '{folder}/hosts.toml'");
            owner.engine().exec(&owner.node(), &["sh", "-c", &script]).unwrap().ok("introduce the registry").unwrap();
        }
        Registry { children, place, open, _folder: folder }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        for child in &mut self.children {
            child.kill().and_then(|()| child.wait().map(drop)).ok();
        }
    }
}
