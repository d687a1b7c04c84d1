//! The test environment: a copy of the project with its own instance, and functions to inspect it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::ByteString;
use pocdeploy::{
    config::Config,
    engine::{ContainerSpec, Engine},
    engines,
    env::{Env, Options},
    fingerprint::Fingerprint,
    report::Recorder,
};

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "shared with the tests that need no engine, which use more of it")]
mod support;

pub(crate) use support::{Ran, command, content, tool};

/// A separate project. Dropping the value removes everything of it, also after a failure.
pub(crate) struct Bench {
    root: PathBuf,
    pub(crate) instance: String,
    pictures: PathBuf,
}

impl Bench {
    /// The instance's name.
    pub(crate) fn name_for(purpose: &str) -> String {
        format!("e2e{purpose}-{}", std::process::id())
    }

    /// `purpose` distinguishes several environments of one process.
    pub(crate) fn new(purpose: &str) -> Bench {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let instance = Bench::name_for(purpose);
        let root = source.join("target/e2e").join(&instance);
        copy(source, &root);
        let config = fs::read_to_string(root.join("Pocdeploy.toml")).unwrap();
        fs::write(root.join("Pocdeploy.toml"), format!("name = \"{instance}\"\n{config}")).unwrap();
        fs::write(root.join("foreign-kubeconfig"), "not a kubeconfig: reading this fails").unwrap();
        let pictures = source.join("target/e2e/pictures");
        fs::create_dir_all(&pictures).unwrap();
        Bench { root: root.canonicalize().unwrap(), instance, pictures }
    }

    /// Prints the step's name, to find a failure in the output.
    pub(crate) fn step<T>(&self, what: &str, work: impl FnOnce() -> T) -> T {
        eprintln!("-- {what}");
        let began = Instant::now();
        let result = work();
        eprintln!("   ok ({:.1} s)", began.elapsed().as_secs_f64());
        result
    }

    /// Runs the tool in the copy, and prints its output.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.ran(&mut self.command(arguments))
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(tool(), &self.root, arguments);
        command.env("KUBECONFIG", self.foreign_kubeconfig());
        command
    }

    /// Starts the tool without waiting for it.
    pub(crate) fn start(&self, arguments: &[&str]) -> std::process::Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    pub(crate) fn ran(&self, command: &mut Command) -> Ran {
        let ran = Ran::from(command.output().unwrap());
        for line in ran.stderr.lines().filter(|it| !it.is_empty()) {
            eprintln!("   | {line}");
        }
        ran
    }

    /// Like `tool` without printing, for commands that run very often.
    pub(crate) fn ran_quietly(&self, command: &mut Command) -> Ran {
        Ran::from(command.output().unwrap())
    }

    fn foreign_kubeconfig(&self) -> PathBuf {
        self.root.join("foreign-kubeconfig")
    }

    /// The user's own kubeconfig, which the tool must neither read nor write.
    pub(crate) fn foreign_settings(&self) -> Vec<Option<Vec<u8>>> {
        let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
        [self.foreign_kubeconfig(), home.join(".kube/config")].iter().map(|it| fs::read(it).ok()).collect()
    }

    /// Replaces the copy's configuration, except the instance's name.
    pub(crate) fn configure(&self, settings: &str) {
        fs::write(self.root.join("Pocdeploy.toml"), format!("name = \"{}\"\n{settings}", self.instance)).unwrap();
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// Appends to a `.py` file of the application.
    pub(crate) fn edit_source(&self, text: &str) {
        let path = self.path("third_party/django-polls/polls/views.py");
        let old = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{old}{text}")).unwrap();
    }

    /// Processes whose command line contains the copy's folder or instance, so they belong to a run.
    pub(crate) fn processes(&self) -> Vec<String> {
        let mut out = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Ok(command) = fs::read_to_string(entry.path().join("cmdline")) else { continue };
            let command = command.replace('\0', " ");
            let inside = fs::read_to_string(entry.path().join("cgroup")).unwrap_or_default().contains("/docker/");
            if !inside && (command.contains(self.root.to_str().unwrap()) || command.contains(&format!("--name {}", self.instance))) {
                out.push(command);
            }
        }
        out
    }

    pub(crate) fn pictures(&self) -> PathBuf {
        self.pictures.clone()
    }

    pub(crate) fn node(&self) -> String {
        format!("{}-control-plane", self.instance)
    }

    pub(crate) fn env(&self) -> Env {
        let config = Config::read(&self.root.join("Pocdeploy.toml"), &self.root).unwrap().config;
        Env::new(self.root.clone(), config, Options::default(), Arc::new(Recorder::default())).unwrap()
    }

    /// The engine that the tool uses. On a fresh machine it answers only after the tool has started it.
    pub(crate) fn engine(&self) -> Engine {
        engines::find(&self.env()).unwrap().expect("no engine answers")
    }

    /// Runs kubectl in the node as cluster-admin.
    fn administrator(&self, arguments: &str) -> (i64, String) {
        let mut command = vec!["kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf"];
        command.extend(arguments.split_whitespace());
        let out = self.engine().exec(&self.node(), &command).unwrap();
        (out.code, format!("{}{}", out.stdout, out.stderr))
    }

    #[track_caller]
    pub(crate) fn kubectl(&self, arguments: &str) -> String {
        let (code, said) = self.administrator(arguments);
        assert_eq!(code, 0, "kubectl {arguments}: {said}");
        said
    }

    #[track_caller]
    pub(crate) fn kubectl_fails(&self, arguments: &str) -> String {
        let (code, said) = self.administrator(arguments);
        assert_ne!(code, 0, "kubectl {arguments}: {said}");
        said
    }

    /// The number of votes in the database.
    pub(crate) fn votes_by_sql(&self) -> i64 {
        let said = self.sql("SELECT sum(votes) FROM polls_choice");
        said.trim().parse().unwrap_or_else(|_| panic!("{said:?}"))
    }

    /// The output of a SQL statement in the database's pod.
    pub(crate) fn sql(&self, statement: &str) -> String {
        let primary = self.kubectl("-n polls get cluster polls-db -o jsonpath={.status.currentPrimary}");
        let exec = format!("-n polls exec {primary} -c postgres -- psql -d polls -tAc");
        let mut command = vec!["kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf"];
        command.extend(exec.split_whitespace());
        command.push(statement);
        let out = self.engine().exec(&self.node(), &command).unwrap();
        assert_eq!(out.code, 0, "{out:?}");
        out.stdout
    }

    /// Runs a SQL script as superuser up to its first error; returns the output.
    #[track_caller]
    pub(crate) fn script(&self, text: &str) -> String {
        self.in_primary("psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 -d polls --file=-", text)
    }

    /// The output of a program in the database's primary; its arguments contain no blanks.
    #[track_caller]
    pub(crate) fn in_primary(&self, program: &str, input: &str) -> String {
        let primary = self.kubectl("-n polls get cluster polls-db -o jsonpath={.status.currentPrimary}");
        let exec = format!("kubectl --kubeconfig /etc/kubernetes/admin.conf -n polls exec -i {primary} -c postgres -- {program}");
        let command: Vec<&str> = exec.split_whitespace().collect();
        let input = futures_util::stream::iter([Ok(bytes::Bytes::from(input.to_owned()))]);
        let out = self.engine().exec_with_input(&self.node(), &command, input).unwrap();
        assert_eq!(out.code, 0, "{out:?}");
        out.stdout
    }

    /// The secrets that must not appear outside the cluster.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let read = |name: &str, key: &str| {
            let encoded = self.kubectl(&format!("-n polls get secret {name} -o jsonpath={{.data.{key}}}"));
            let ByteString(bytes) = serde_json::from_value(encoded.into()).unwrap();
            String::from_utf8(bytes).unwrap()
        };
        let (key, password) = (read("frontend-app", "secret-key"), read("polls-db-app", "password"));
        assert!(key.len() >= 50 && password.len() >= 16, "the secrets could not be read");
        vec![key, password]
    }

    /// The content of all files below `target/pocdeploy`.
    pub(crate) fn logs(&self) -> String {
        let files = support::content(&self.root.join("target/pocdeploy"));
        files.iter().map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned()).collect()
    }

    /// The state that a run with nothing to do must not change: our fields of objects, images, containers, files.
    pub(crate) fn world(&self) -> Vec<String> {
        let kinds = "namespaces,deployments,services,ingresses,configmaps,serviceaccounts,jobs,secrets,clusters,networkpolicies,poddisruptionbudgets";
        let fields =
            "{.kind} {.metadata.name} {.metadata.uid} {.metadata.generation} {.metadata.managedFields[?(@.manager=='pocdeploy')].time}";
        let template = format!("{{range .items[*]}}{fields}{{'\\n'}}{{end}}").replace("{'\\n'}", "{\"\\n\"}");
        let mut command = vec!["kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf", "get", kinds, "-A", "--show-managed-fields", "-o"];
        let output = format!("jsonpath={template}");
        command.push(&output);
        let out = self.engine().exec(&self.node(), &command).unwrap();
        assert_eq!(out.code, 0, "{out:?}");
        let mut world: Vec<String> = out.stdout.lines().map(str::to_owned).collect();
        assert!(world.len() > 20 && out.stdout.contains("Deployment polls-frontend"), "{}", out.stdout);
        let container = self.engine().container(&self.node()).unwrap().unwrap();
        world.push(format!("container {}", container.id));
        for (name, bytes) in support::content(&self.root) {
            // A file that was read within a tick of its last change is known by the next run that reads it: the hashes may be written again.
            if !name.ends_with("/lock") && !name.ends_with("pocdeploy/hashes") && !name.contains("/log/") {
                let mut key = Fingerprint::new();
                key.add("content", bytes);
                world.push(format!("{name} {}", key.digest()));
            }
        }
        world
    }

    /// A container with the name of the tool's node, of the application's image, which is built where it is missing: `delete` took
    /// it away, and no other instance may be there that kept it.
    fn container_named_as_the_node(&self, command: &[&str]) -> anyhow::Result<()> {
        self.run(&["image", "--yes"]).ends_with(0);
        let command = command.iter().map(|it| (*it).to_owned()).collect();
        let spec = ContainerSpec { name: self.node(), image: "polls:1.0.0".to_owned(), command, ..ContainerSpec::default() };
        self.engine().start_new(spec)
    }

    pub(crate) fn start_foreign_node(&self) {
        self.container_named_as_the_node(&["python3", "-c", "import time; time.sleep(600)"]).unwrap();
    }

    pub(crate) fn try_a_node_that_does_not_start(&self) {
        let error = format!("{:#}", self.container_named_as_the_node(&["/no/such/program"]).unwrap_err());
        assert!(error.contains("/no/such/program"), "{error}");
    }

    pub(crate) fn node_exists(&self) -> bool {
        self.engine().container(&self.node()).unwrap().is_some()
    }

    pub(crate) fn remove_foreign_node(&self) {
        self.engine().remove_container(&self.node(), |_| ()).unwrap();
    }

    pub(crate) fn stop_node(&self) {
        self.engine().stop(&self.node(), 20).unwrap();
    }

    /// Waits at most three minutes, for two pods, a database, and possibly a starting node.
    pub(crate) fn wait_for_page(&self, url: &str) {
        let began = Instant::now();
        loop {
            let last = match ureq::get(url).call() {
                Ok(_) => return,
                Err(error) => error.to_string(),
            };
            assert!(began.elapsed() < Duration::from_secs(180), "{url} does not answer: {last}");
            std::thread::sleep(Duration::from_millis(250));
        }
    }

    /// Everything of the instance that is left on the machine.
    pub(crate) fn traces(&self) -> Vec<String> {
        let engine = self.engine();
        let mut out = Vec::new();
        if self.node_exists() {
            out.push(self.node());
        }
        out.extend(engine.networks_with_label(&format!("dev.pocdeploy.instance={}", self.instance)).unwrap());
        out.extend(engine.containers_with_label(&format!("io.x-k8s.kind.cluster={}", self.instance)).unwrap());
        for name in ["app", "kubeconfig", "record", "wheels"] {
            if self.root.join("target/pocdeploy").join(name).exists() {
                out.push(name.to_owned());
            }
        }
        out
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // A panic here, after another one, would end the process and with it all further tests.
        if let Ok(Some(engine)) = engines::find(&self.env()) {
            let node = self.node();
            if std::thread::panicking() && engine.container(&node).is_ok_and(|it| it.is_some()) {
                let command = ["kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf", "get", "pods,events", "-A"];
                let pods = engine.exec(&node, &command).map(|it| it.stdout).unwrap_or_default();
                eprintln!("{}", pods.lines().rev().take(60).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n"));
            }
            engine.remove_container(&node, |_| ()).ok();
            for worker in engine.containers_with_label(&format!("io.x-k8s.kind.cluster={}", self.instance)).unwrap_or_default() {
                engine.remove_container(&worker, |_| ()).ok();
            }
            engine.remove_network(&format!("pocdeploy-{}", self.instance)).ok();
        }
        fs::remove_dir_all(&self.root).ok();
    }
}

/// The files that git tracks: no products, no history.
pub(crate) fn copy(from: &Path, to: &Path) {
    for entry in walkdir::WalkDir::new(from)
        .into_iter()
        .filter_entry(|it| it.depth() != 1 || (it.file_name() != "target" && it.file_name() != ".git"))
    {
        let entry = entry.unwrap();
        let target = to.join(entry.path().strip_prefix(from).unwrap());
        if entry.file_type().is_dir() {
            fs::create_dir_all(&target).unwrap();
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}
