//! A failed cluster: its node's logs are stored, and the commands for inspection work on whatever answers.

use std::path::PathBuf;

use crate::world::{INSTANCE, World};

const NODE: &str = "doors-control-plane";

/// etcd 3.6 on a full disk.
const ETCD: &str =
    "2026-11-27T00:00:00Z stderr F {\"level\":\"panic\",\"msg\":\"failed to create WAL\",\"error\":\"no space left on device\"}\n";

/// A failed node of kind: journals, kubeadm's configuration and a container of the control plane. `kind` itself fails.
fn world(prepare: impl FnOnce(&World)) -> World {
    let world = World::without_node();
    prepare(&world);
    world.engine.file(NODE, "/kind/kubeadm.conf", "token: abcdef.0123456789abcdef\nclusterName: doors\n");
    world.engine.file(NODE, "/var/log/pods/kube-system_etcd-x_1/etcd/0.log", ETCD);
    world.engine.file(NODE, "/var/log/pods/polls_web-1_2/web/0.log", "the application's own\n");
    world.engine.answer_exec(|_, command| match command {
        it if it.contains("--unit kubelet") => ("kubelet says E1127 failed to run Kubelet\n".to_owned(), 0),
        it if it.starts_with("kubectl ") => ("pods by the node's kubectl\n".to_owned(), 0),
        "uname" => ("Linux\n".to_owned(), 9),
        _ => (String::new(), 0),
    });
    world
}

fn evidence(world: &World) -> Vec<PathBuf> {
    let mut out: Vec<PathBuf> =
        std::fs::read_dir(world.project.root.join("target/pocdeploy/evidence")).unwrap().map(|it| it.unwrap().path()).collect();
    out.sort();
    out
}

#[test]
fn a_half_made_node_leaves_its_logs_before_it_goes() {
    let world = world(|it| it.engine.half_made_node(INSTANCE, 1));
    let ran = world.run(&["cluster", "--yes"]);
    ran.ends_with(1).says("removing the cluster whose creation was interrupted; its logs are in").says("target/pocdeploy/evidence/");
    assert_eq!(world.engine.containers(), Vec::<String>::new());
    let folders = evidence(&world);
    let read = |name: &str| std::fs::read_to_string(folders[0].join(NODE).join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(read("kubelet.log").contains("failed to run Kubelet"));
    assert!(read("pods/kube-system_etcd-x_1/etcd/0.log").contains("no space left"));
    assert!(read("console.log").contains("starts") && read("state.txt").contains("running"));
    assert_eq!(read("kubeadm.conf"), "token: [redacted]\nclusterName: doors\n");
    assert!(!folders[0].join(NODE).join("pods/polls_web-1_2").exists(), "the application's own logs are not the node's");
    let bundle = world.run(&["support-bundle", "--out", "bundle.tar.gz"]);
    bundle.ends_with(0);
    let bytes = std::fs::read(world.project.root.join("bundle.tar.gz")).unwrap();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
    let names: Vec<String> = archive.entries().unwrap().map(|it| it.unwrap().path().unwrap().display().to_string()).collect();
    assert!(names.iter().any(|it| it.contains("support-bundle/evidence/") && it.ends_with("kubelet.log")), "{names:?}");
    world.run(&["delete", "--yes"]).ends_with(0);
    assert!(!world.project.root.join("target/pocdeploy/evidence").exists());
}

#[test]
fn a_cluster_that_does_not_come_up_names_the_folder_of_its_logs_and_the_way_in() {
    let world = world(|it| it.engine.node(INSTANCE, 1));
    let kind = world.project.read("fakes/kind");
    let answer = kind.lines().find(|it| it.starts_with("get)")).unwrap();
    world.project.write("fakes/kind", &kind.replace(answer, "get) echo cannot tell >&2; exit 1 ;;"));
    let ran = world.run(&["cluster", "--yes", "--name", INSTANCE]);
    ran.ends_with(1).says("probable cause: etcd exits again and again: failed to create WAL: no space left on device");
    ran.says("the node's logs are in target/pocdeploy/instances/doors/evidence/");
    ran.says("look inside the node with: cargo xtask --name doors shell node").says("more: cargo xtask explain E0");
    assert_eq!(world.engine.containers(), [NODE], "the node is kept");
}

#[test]
fn a_stopped_node_gives_its_log_and_files_and_the_rest_is_said_to_be_missing() {
    let world = world(|it| it.engine.half_made_node(INSTANCE, 1));
    world.engine.stopped(NODE);
    let logs = world.run(&["logs", "node", "--grep", "WAL"]);
    logs.ends_with(0).says("missing: doors-control-plane/kubelet.log: the node does not run");
    assert!(logs.stdout.contains("no space left"), "{}", logs.stdout);
    world.run(&["cluster", "--yes"]).ends_with(1);
    let folder = &evidence(&world)[0];
    assert!(folder.join(NODE).join("kubeadm.conf").exists());
    let missing = std::fs::read_to_string(folder.join("missing.txt")).unwrap();
    assert!(missing.contains("doors-control-plane/kubelet.log: the node does not run: exited (137)"), "{missing}");
}

#[test]
fn commands_that_look_inside_work_on_what_answers() {
    let world = world(|it| it.engine.half_made_node(INSTANCE, 1));
    let shell = world.run(&["shell", "node", "--", "uname"]);
    shell.ends_with(9);
    assert_eq!(shell.stdout, "Linux\n");
    let logs = world.run(&["logs", "node", "--grep", "kubelet|WAL"]);
    logs.ends_with(0);
    assert_eq!(logs.stdout.lines().count(), 2, "{}", logs.stdout);
    world
        .run(&["logs"])
        .ends_with(0)
        .says("cluster doors is not finished, and its API server does not answer: kubeadm did not come so far");
    let kubectl = world.run(&["kubectl", "get", "pods"]);
    kubectl.ends_with(0).says("cluster doors is not finished");
    assert_eq!(kubectl.stdout, "pods by the node's kubectl\n");
    let psql = world.run(&["psql"]);
    psql.ends_with(5).says("error[E0304]").says("open a shell in it: cargo xtask shell node");
    let status = world.run(&["status"]);
    status.ends_with(0);
    assert!(status.stdout.contains("is not finished") && status.stdout.contains("logs node"), "{}", status.stdout);
    assert_eq!(world.engine.containers(), [NODE], "looking removes nothing");
}
