//! Further services beside the first one, on an instance that runs: the example in `examples/services`, from its README's lines.

use std::{fs, path::Path};

use crate::bench::Bench;

/// Two cluster-wide objects, and a change of the application's Deployment that uses one of them.
const CLUSTER_WIDE: &str = "\
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: e2e-important}
value: 1000
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: e2e-reader}
rules: [{apiGroups: [''], resources: [nodes], verbs: [get, list]}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: polls-frontend, annotations: {dev.pocdeploy/merge: 'true'}}
spec: {template: {spec: {priorityClassName: e2e-important}}}
";

const ASK: &str = "import urllib.request as it; print(it.urlopen('http://api/health').read().decode())";

/// Adds the services, changes one of them, goes back, and takes them away.
pub(crate) fn come_and_go(bench: &Bench) {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("examples/services");
    let readme = fs::read_to_string(example.join("README.md")).unwrap();
    let lines = readme.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let images = |bench: &Bench| bench.kubectl("-n polls get deployments -o jsonpath={.items[*].spec.template.spec.containers[*].image}");

    bench.step("the example's two services come up beside the first one, by its README", || {
        for folder in ["deploy", "third_party", "build"] {
            copy(&example.join(folder), &bench.path(folder));
        }
        bench.configure(&format!("[frontend]\ntext = \"Polls\"\n{lines}"));
        bench.run(&["update"]).ends_with(0).says("image/api").says("load/api");
        bench.run(&["validate"]).ends_with(0);
        let images = images(bench);
        assert_eq!(images.matches("polls:1.0.0-").count(), 2, "{images}");
        assert_eq!(images.matches("api:1.0.0-").count(), 1, "{images}");
        let said = bench.run(&["shell", "api", "--", "python3", "-c", ASK]);
        said.ends_with(0);
        assert_eq!(said.stdout.trim(), "key of 64 characters");
        assert!(bench.run(&["logs", "worker"]).ends_with(0).stdout.contains("at work"));
        bench.run(&["status"]).ends_with(0).stdout.lines().find(|it| it.contains("worker: 1 of 1 pods ready")).unwrap();
    });

    bench.step("a change of one service replaces its pods alone, and a rollback brings back its image", || {
        let pods = |name: &str| bench.kubectl(&format!("-n polls get pods -l app.kubernetes.io/name={name} -o name"));
        let (worker, api) = (pods("worker"), pods("api"));
        let server = bench.path("third_party/api/server.py");
        let text = fs::read_to_string(&server).unwrap();
        fs::write(&server, text.replace("characters", "signs")).unwrap();
        bench.run(&["update"]).ends_with(0);
        assert_eq!(pods("worker"), worker);
        assert_ne!(pods("api"), api);
        assert_eq!(bench.run(&["shell", "api", "--", "python3", "-c", ASK]).stdout.trim(), "key of 64 signs");
        bench.run(&["rollback"]).ends_with(0);
        assert_eq!(bench.run(&["shell", "api", "--", "python3", "-c", ASK]).stdout.trim(), "key of 64 characters");
    });

    bench.step("a service that does not start is named, and the others serve as before", || {
        let before = images(bench);
        let server = bench.path("third_party/api/server.py");
        let text = fs::read_to_string(&server).unwrap();
        fs::write(&server, "raise SystemExit('broken on purpose')\n").unwrap();
        bench.run(&["update"]).ends_with(1).says("Deployment api").says("broken on purpose").says("is restored and serves as before");
        assert_eq!(images(bench), before);
        fs::write(&server, text).unwrap();
    });

    bench.step("cluster-wide objects come with an update, and an amended Deployment uses one", || {
        fs::write(bench.path("deploy/frontend/cluster-wide.yaml"), CLUSTER_WIDE).unwrap();
        bench.run(&["update"]).ends_with(0);
        let classes = "-n polls get pods -l app.kubernetes.io/component=frontend -o jsonpath={.items[*].spec.priority}";
        // Pods of the old ReplicaSet may still be ending.
        assert_eq!(bench.kubectl(classes).matches("1000").count(), 2);
        assert_eq!(bench.kubectl("get clusterrole e2e-reader -o jsonpath={.rules[0].resources[0]}"), "nodes");
        bench.run(&["plan", "--detailed-exitcode"]).ends_with(0);
    });

    bench.step("services and objects that were removed go with the next update", || {
        bench.configure("[frontend]\ntext = \"Polls\"\n");
        fs::remove_file(bench.path("deploy/frontend/cluster-wide.yaml")).unwrap();
        bench.run(&["update"]).ends_with(0);
        bench.kubectl_fails("get priorityclass e2e-important");
        bench.kubectl_fails("get clusterrole e2e-reader");
        assert_eq!(bench.kubectl("-n polls get deployments -o name").trim(), "deployment.apps/polls-frontend");
    });
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() { copy(&entry.path(), &target) } else { fs::copy(entry.path(), &target).map(drop).unwrap() }
    }
}
