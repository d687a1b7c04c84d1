//! A complete environment for the real binary: a project with the example's manifests, an engine and an API server in memory, and a fake
//! `kind`.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use pocdeploy::{
    config::Config,
    deploy::manifests,
    env::{Env, Options},
    images::{Role, packages},
    report::Recorder,
    tasks::{
        Task as _,
        image::{INPUTS_LABEL, Image, current},
        requirements::Requirements,
    },
};
use serde_json::json;

use crate::{
    engine::Engine,
    kubernetes::Kubernetes,
    support::{Project, Ran, command, tool},
};

/// The instance's name.
pub(crate) const INSTANCE: &str = "doors";

/// The parts of an operator's release that the tool uses.
pub(crate) const OPERATOR: &str = "\
apiVersion: v1
kind: Namespace
metadata: {name: cnpg-system}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: clusters.postgresql.cnpg.io}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: cnpg-manager, namespace: cnpg-system}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: cnpg-controller-manager, namespace: cnpg-system}
spec:
  replicas: 1
  selector: {matchLabels: {app: cnpg}}
  template: {metadata: {labels: {app: cnpg}}, spec: {containers: [{name: manager, image: x}]}}
";

pub(crate) struct World {
    pub(crate) project: Project,
    pub(crate) engine: Engine,
    pub(crate) cluster: Kubernetes,
    /// The output and exit code of the program in the node that runs initdb.
    pub(crate) files: Arc<Mutex<(String, i64)>>,
}

impl World {
    /// All images are built and the node runs; the cluster is empty.
    pub(crate) fn new() -> World {
        let world = World::without_node();
        world.engine.node(INSTANCE, world.cluster.port);
        world
    }

    pub(crate) fn without_node() -> World {
        let project = Project::new();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for folder in ["build/images", "deploy"] {
            copy(&source.join(folder), &project.root.join(folder));
        }
        fs::copy(source.join("build/Dockerfile.frontend"), project.root.join("build/Dockerfile.frontend")).unwrap();
        project.write("Pocdeploy.toml", &format!("name = \"{INSTANCE}\"\n[images]\nsource = \"packages\"\n"));
        project.write("third_party/django-polls/requirements.txt", "# nothing\n");
        project.write("build/requirements.txt", "# nothing, by hand\n");
        let (engine, cluster) = (Engine::start(&project.root), Kubernetes::start());
        let claim = json!({ "claim": {
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": { "name": "polls-db-1", "namespace": "polls", "labels": { "cnpg.io/cluster": "polls-db" } },
        } });
        let files = Arc::new(Mutex::new((claim.to_string(), 0)));
        let world = World { project, engine, cluster, files };
        world.clear_cluster();
        world.project.run(&["patch"]).ends_with(0);
        world.build();
        world
    }

    /// A cluster with its node and nothing of an instance.
    pub(crate) fn clear_cluster(&self) {
        self.cluster.clear();
        self.cluster.put(json!({
            "apiVersion": "v1", "kind": "Node", "metadata": { "name": format!("{INSTANCE}-control-plane") },
            "status": { "conditions": [{ "type": "Ready", "status": "True" }] },
        }));
    }

    /// The products that take minutes to build: images, wheels, the operator's manifest and `kind`.
    pub(crate) fn build(&self) {
        let root = &self.project.root;
        let config = Config::read(&root.join("Pocdeploy.toml"), root).unwrap().config;
        let env = Env::new(root.clone(), config, Options::default(), Arc::new(Recorder::default())).unwrap();
        let versions = packages::versions(&env).unwrap();
        for role in [Role::Python, Role::Node] {
            self.engine.image(&packages::reference(&env, role).unwrap(), &[]);
        }
        let requirements = Requirements::default().wheels_key(&env).unwrap();
        self.project.write("target/pocdeploy/record/wheels.json", &json!({ "key": requirements, "files": [] }).to_string());
        let inputs = Image::default().inputs(&env).unwrap();
        let image = current(&env, None).unwrap();
        self.engine.image(&image, &[(INPUTS_LABEL, &inputs.digest())]);
        self.engine.same_image(&image, "polls:1.0.0");
        let upstream = [Role::Operator, Role::Postgresql].map(|it| packages::reference(&env, it).unwrap());
        let files = self.files.clone();
        self.engine.answer_exec(move |_, command| match command {
            it if it.contains("/bootstrap ") => files.lock().unwrap().clone(),
            it if it.contains("images ls") => (format!("docker.io/library/{image}\n{}\n", upstream.join("\n")), 0),
            _ => (String::new(), 0),
        });
        let operator = serde_json::to_string(&manifests::parse(OPERATOR).unwrap()).unwrap();
        self.project.write(&format!("cache/images/operator-objects-{}", versions.cloudnative_pg), &operator);
        self.project.write("kubeconfig", &self.cluster.kubeconfig());
        let script = format!(
            "#!/bin/sh\ncase \"$1\" in\nversion) echo {} ;;\nget) cat {}/kubeconfig ;;\n*) exit 9 ;;\nesac\n",
            versions.kind,
            root.display()
        );
        self.project.write("fakes/kind", &script);
        fs::set_permissions(root.join("fakes/kind"), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// The names of the images of operator and database that are imported from the node image.
    pub(crate) fn upstream(&self) -> [String; 2] {
        let config = Config::read(&self.project.root.join("Pocdeploy.toml"), &self.project.root).unwrap().config;
        let env = Env::new(self.project.root.clone(), config, Options::default(), Arc::new(Recorder::default())).unwrap();
        [Role::Operator, Role::Postgresql].map(|it| packages::reference(&env, it).unwrap())
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::from(self.command(arguments).output().unwrap())
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.command_of(tool(), arguments)
    }

    /// Runs a program of this tool, for example another version.
    pub(crate) fn command_of(&self, program: &Path, arguments: &[&str]) -> Command {
        let root = &self.project.root;
        let mut path = vec![root.join("fakes")];
        path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
        let mut command = command(program, root, arguments);
        command
            .env("PATH", std::env::join_paths(path).unwrap())
            .env("POCDEPLOY_CACHE_DIR", root.join("cache"))
            .env("DOCKER_HOST", self.engine.host());
        command
    }

    /// Runs `create`, which must succeed.
    pub(crate) fn create(&self) -> Ran {
        let ran = self.run(&["create", "--yes"]);
        ran.ends_with(0);
        ran
    }
}

/// Waits for something that comes soon, or later on a busy machine.
#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(240), "{what} does not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in walkdir::WalkDir::new(from) {
        let entry = entry.unwrap();
        let target: PathBuf = to.join(entry.path().strip_prefix(from).unwrap());
        if entry.file_type().is_dir() {
            fs::create_dir_all(&target).unwrap();
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}
