//! Exported files, applied by the programs that people have: kubectl, kustomize, Helm, Docker Compose.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use pocdeploy::{deploy::manifests, images::packages};
use serde_json::Value;

use crate::{
    bench::{Bench, Ran},
    browser,
    linters::{self, Schemas, Set},
    load as web, programs,
    registry::Registry,
};

/// Exports while the instance is deployed; a later deployment from the files has the same address.
pub(crate) struct Exported<'a> {
    guest: &'a Bench,
    /// The port on this machine that leads to the application: a browser sends secure cookies over plain HTTP to this machine only.
    port: u16,
    /// The programs on the path: kubectl, helm.
    path: String,
    kubeconfig: PathBuf,
    schemas: Schemas,
    /// The database's pods, which no file has.
    instances: Vec<Value>,
}

impl Exported<'_> {
    pub(crate) fn write<'a>(owner: &Bench, guest: &'a Bench) -> Exported<'a> {
        for format in ["kustomize", "helm"] {
            guest.run(&["export", "--format", format]).ends_with(0);
        }
        guest.run(&["export", "--format", "kustomize"]).ends_with(0);
        let kubectl = packages::kubectl(&guest.env()).unwrap();
        let folders = [kubectl, programs::helm()].map(|it| it.parent().unwrap().display().to_string());
        let path = format!("{}:{}", folders.join(":"), std::env::var("PATH").unwrap());
        let (schemas, instances) = (Schemas::of(owner), linters::instances(owner, "guest"));
        Exported { guest, port: free_port(), path, kubeconfig: owner.path("target/pocdeploy/kubeconfig"), schemas, instances }
    }

    /// After a change of the source, few files differ, and what a person changed stays.
    pub(crate) fn follow_a_change(&self) {
        let overlay = self.guest.path("export/kustomize/overlays/load-balancer/foundation/database.yaml");
        let mine = fs::read_to_string(&overlay).unwrap().replace("1Gi", "5Gi");
        fs::write(&overlay, &mine).unwrap();
        let ran = self.guest.run(&["export", "--format", "kustomize"]);
        ran.ends_with(0);
        let told: Vec<&str> = ran.stdout.lines().map(|it| it.trim_start_matches("changed  export/kustomize/")).collect();
        let expected = [
            "README.md",
            "apply.sh",
            "base/app/kustomization.yaml",
            "base/jobs/job-polls-migration.yaml",
            "base/jobs/kustomization.yaml",
            "kept     export/kustomize/overlays/load-balancer/foundation/database.yaml, which has your changes",
        ];
        assert_eq!(told, expected);
        assert_eq!(fs::read_to_string(&overlay).unwrap(), mine);
        self.guest.run(&["export", "--format", "helm"]).ends_with(0);
    }

    fn run(&self, folder: &Path, words: &[&str]) -> Ran {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).current_dir(folder).env("PATH", &self.path).env("KUBECONFIG", &self.kubeconfig);
        self.guest.ran(&mut command)
    }

    /// The page, and a vote that is counted.
    fn vote(&self) {
        let ports = format!("{}:80", self.port);
        let mut forward = Command::new("kubectl");
        forward.args(["--namespace", "guest", "port-forward", "service/polls-frontend", &ports]).stdout(Stdio::null());
        let mut forward = forward.env("PATH", &self.path).env("KUBECONFIG", &self.kubeconfig).spawn().unwrap();
        let url = format!("http://localhost:{}", self.port);
        let voted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            web::wait_for(&url, "Polls", Instant::now(), Duration::from_secs(60));
            let votes = browser::vote(&url, &self.guest.pictures());
            assert_eq!(votes.all_after, votes.all_before + 1);
        }));
        forward.kill().unwrap();
        forward.wait().unwrap();
        if let Err(error) = voted {
            std::panic::resume_unwind(error);
        }
    }

    /// Writes this machine's address into the settings of an overlay, as a user does who reaches the application in another way.
    fn set_address(&self, overlay: &str) {
        for part in ["app", "jobs"] {
            let path = self.guest.path(&format!("export/kustomize/overlays/{overlay}/{part}/kustomization.yaml"));
            let line = |line: &str| match line.split_once('=') {
                Some((key, _)) if key.ends_with("_HOSTS") => format!("{key}=localhost"),
                Some((key, _)) if key.ends_with("_ORIGINS") => format!("{key}=http://localhost:{}", self.port),
                _ => line.to_owned(),
            };
            let text = fs::read_to_string(&path).unwrap();
            let changed: Vec<String> = text.lines().map(line).collect();
            assert_ne!(changed.join("\n"), text.trim_end());
            fs::write(&path, changed.join("\n")).unwrap();
        }
    }

    fn clear(&self) {
        self.run(&self.guest.path("."), &["kubectl", "delete", "namespace", "guest", "--timeout=120s"]).ends_with(0);
    }

    /// What a program made of the files.
    fn lint(&self, name: &'static str, text: &str) {
        let objects = manifests::parse(text).unwrap();
        assert!(objects.len() > 10, "{text}");
        linters::find_nothing(&self.schemas, &[Set { name, objects: [objects, self.instances.clone()].concat() }], false);
    }

    pub(crate) fn come_up_by_kustomize(&self) {
        let folder = self.guest.path("export/kustomize");
        for overlay in ["node-port", "load-balancer", "ingress"] {
            let built = self.run(&folder, &[programs::kustomize().to_str().unwrap(), "build", &format!("overlays/{overlay}")]);
            built.ends_with(0);
            assert!(!built.stdout.contains("kind: Secret\n"), "{}", built.stdout);
            self.lint("kustomize", &built.stdout);
        }
        self.set_address("node-port");
        self.run(&folder, &["./apply.sh", "node-port"]).ends_with(0);
        self.vote();
        // Once more: no pod is replaced, and the Secret stays.
        let pods = || self.run(&folder, &["kubectl", "-n", "guest", "get", "pods", "-o", "name"]).stdout;
        let before = pods();
        let again = self.run(&folder, &["./apply.sh", "node-port"]);
        again.ends_with(0);
        assert!(!again.stdout.contains(" created"), "{}", again.stdout);
        assert_eq!(before, pods());
        self.clear();
    }

    pub(crate) fn come_up_by_helm(&self) {
        let folder = self.guest.path("export/helm");
        let wrong = self.run(&folder, &["helm", "template", "guest", "chart", "--set", "replicas.polls-frontend=many"]);
        assert!(wrong.code != 0 && wrong.stderr.contains("replicas"), "the schema lets a wrong value pass: {}", wrong.stderr);
        self.run(&folder, &["helm", "lint", "chart"]).ends_with(0);
        self.lint("helm", &self.run(&folder, &["helm", "template", "guest", "chart", "--namespace", "guest"]).ends_with(0).stdout);
        self.run(&folder, &["kubectl", "apply", "--filename", "namespace.yaml"]).ends_with(0);
        self.run(&folder, &["./secrets.sh"]).ends_with(0);
        let install = ["helm", "upgrade", "--install", "guest", "chart", "--namespace", "guest", "--values", "values-node-port.yaml"];
        let address = format!("address=http://localhost:{}", self.port);
        let wait = ["--wait", "--wait-for-jobs", "--timeout", "5m", "--set", &address];
        self.run(&folder, &[&install[..], &wait].concat()).ends_with(0);
        self.vote();
        // An upgrade runs the migration first, and replaces the pods.
        let level = ["--set", "settings.polls-frontend.POLLS_LOG_LEVEL=warning"];
        self.run(&folder, &[&install[..], &wait, &level].concat()).ends_with(0);
        self.vote();
        let jobs = self.run(&folder, &["kubectl", "-n", "guest", "get", "jobs", "-o", "name"]);
        assert!(jobs.stdout.contains("job.batch/polls-migration-2"), "{}", jobs.stdout);
        self.run(&folder, &["helm", "--namespace", "guest", "uninstall", "guest"]).ends_with(0);
        self.run(&folder, &["kubectl", "-n", "guest", "get", "cluster", "polls-db"]).ends_with(0);
        self.clear();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// On this machine's engine, with the images that the registry got.
pub(crate) fn come_up_by_compose(registry: &Registry) {
    let bench = Bench::new("composed");
    let port = free_port();
    let namespace = bench.instance.clone();
    bench.configure(&format!("namespace = \"{namespace}\"\n[frontend]\ntext = \"Polls\"\n[cluster]\nport = {port}\n"));
    bench.run(&["export", "--format", "compose"]).ends_with(2).says("--registry");
    bench.run(&["export", "--format", "compose", "--registry", &format!("{}/team", registry.place())]).ends_with(0);
    let folder = bench.path("export/compose");
    let socket = bench.engine().host;
    let compose = |words: &[&str]| {
        let mut command = Command::new(programs::compose());
        bench.ran(command.args(words).current_dir(&folder).env("DOCKER_HOST", &socket))
    };
    bench.ran(Command::new("./secrets.sh").current_dir(&folder)).ends_with(0);
    let values = fs::read_to_string(folder.join("compose.yaml")).unwrap();
    assert!(!values.contains(fs::read_to_string(folder.join("secrets/polls-db-app/password")).unwrap().trim()));
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        compose(&["up", "--detach"]).ends_with(0);
        let url = format!("http://localhost:{port}");
        web::wait_for(&url, "Polls", Instant::now(), Duration::from_secs(60));
        let votes = browser::vote(&url, &bench.pictures());
        // Stopped and started, it has its data and its secrets.
        compose(&["down"]).ends_with(0);
        bench.ran(Command::new("./secrets.sh").current_dir(&folder)).ends_with(0);
        compose(&["up", "--detach"]).ends_with(0);
        web::wait_for(&url, "Polls", Instant::now(), Duration::from_secs(60));
        assert_eq!(browser::count(&url), votes.all_after);
    }));
    compose(&["down", "--volumes", "--rmi", "all"]).ends_with(0);
    if let Err(error) = result {
        std::panic::resume_unwind(error);
    }
    bench.run(&["delete", "--yes"]).ends_with(0);
}

/// The CRDs of the controllers that read exported objects, from the controllers' Go modules.
const DEFINITIONS: [(&str, &str, &str); 3] = [
    ("github.com/fluxcd/source-controller", "v1.9.1", "config/crd/bases/source.toolkit.fluxcd.io_gitrepositories.yaml"),
    ("github.com/fluxcd/kustomize-controller", "v1.9.1", "config/crd/bases/kustomize.toolkit.fluxcd.io_kustomizations.yaml"),
    ("github.com/argoproj/argo-cd/v3", "v3.5.3", "manifests/crds/application-crd.yaml"),
];

impl Exported<'_> {
    /// The objects of Flux and Argo CD, and the files for continuous integration, against the schemas of their readers.
    pub(crate) fn are_what_others_read(&self) {
        let guest = self.guest;
        let top = guest.path(".");
        let url = "https://name:secret@git.example.com/team/app.git";
        self.run(&top, &["git", "init", "--quiet", "--initial-branch=trunk"]).ends_with(0);
        self.run(&top, &["git", "remote", "add", "origin", url]).ends_with(0);
        fs::remove_file(top.join(".gitlab-ci.yml")).unwrap();
        for (format, ci) in [("flux", "gitlab"), ("argocd", "github")] {
            guest.run(&["export", "--format", format, "--ci", ci]).ends_with(0);
            let files = guest.path(&format!("export/{format}/{format}"));
            let text: String = fs::read_dir(files).unwrap().map(|it| fs::read_to_string(it.unwrap().path()).unwrap()).collect();
            assert!(text.contains("https://git.example.com/team/app.git") && !text.contains("secret@"), "{text}");
            let overlay = guest.path(&format!("export/{format}/overlays/node-port"));
            self.run(&top, &[programs::kustomize().to_str().unwrap(), "build", overlay.to_str().unwrap()]).ends_with(0);
        }
        for (module, version, path) in DEFINITIONS {
            let file = programs::module(module, version).join(path);
            self.run(&top, &["kubectl", "apply", "--server-side", "--filename", file.to_str().unwrap()]).ends_with(0);
        }
        // A definition has no status at first, which kubectl's wait does not take.
        let established = || self.run(&top, &["kubectl", "wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"]).code;
        let began = Instant::now();
        while established() != 0 {
            assert!(began.elapsed() < Duration::from_secs(60), "the definitions are not established");
            std::thread::sleep(Duration::from_secs(1));
        }
        for namespace in ["flux-system", "argocd"] {
            self.run(&top, &["kubectl", "create", "namespace", namespace]).ends_with(0);
        }
        for folder in ["export/flux/flux", "export/argocd/argocd"] {
            let apply = ["kubectl", "apply", "--dry-run=server", "--validate=strict", "--filename", folder];
            self.run(&top, &apply).ends_with(0);
        }
        for (module, version, path) in DEFINITIONS {
            let file = programs::module(module, version).join(path);
            self.run(&top, &["kubectl", "delete", "--filename", file.to_str().unwrap()]).ends_with(0);
        }
        let checker = programs::python("check-jsonschema", "0.39.0");
        let check = |schema: &str, file: &str| {
            let words = [checker.to_str().unwrap(), "--builtin-schema", schema, "--data-transform", "gitlab-ci", file];
            self.run(&top, &words)
        };
        for format in ["kustomize", "helm", "argocd"] {
            for (ci, schema, file) in [
                ("github", "vendor.github-workflows", ".github/workflows/deploy-guest.yaml"),
                ("gitlab", "vendor.gitlab-ci", ".gitlab-ci.yml"),
            ] {
                guest.run(&["export", "--format", format, "--ci", ci]).ends_with(0);
                check(schema, file).ends_with(0);
                // The check can fail.
                fs::write(guest.path("wrong.yml"), "jobs: 1\nstages: {}\n").unwrap();
                assert_ne!(check(schema, "wrong.yml").code, 0);
            }
        }
    }
}
