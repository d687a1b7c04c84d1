//! The cluster module against an API server in memory: requests, and messages for the server's errors.

use std::{fs, time::Duration};

use pocdeploy::{
    cluster::{Cluster, ObjectId, Wait, difference::difference, verdict},
    errors::{Exit, exit_code},
    graph::TaskId,
};
use serde_json::{Value, json};

use crate::{
    Bench,
    kubernetes::{Failure, Kubernetes},
};

fn open(server: &Kubernetes) -> (Bench, Cluster) {
    let bench = Bench::new("");
    fs::create_dir_all(bench.env.work("")).unwrap();
    fs::write(bench.env.kubeconfig(), server.kubeconfig()).unwrap();
    let cluster = Cluster::open(&bench.env, &bench.env.kubeconfig()).unwrap();
    (bench, cluster)
}

fn deployment(replicas: u16) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web", "namespace": "default" },
        "spec": { "replicas": replicas, "template": { "metadata": { "labels": { "app": "web" } }, "spec": { "containers": [{ "name": "main", "image": "web:1" }] } } },
    })
}

fn id() -> ObjectId {
    ObjectId::new("apps/v1", "Deployment", "default", "web")
}

#[test]
fn an_object_applied_twice_is_the_same_object() {
    let server = Kubernetes::start();
    let (_bench, cluster) = open(&server);
    cluster.apply(&deployment(2)).unwrap();
    let first = cluster.get(&id()).unwrap().unwrap();
    cluster.apply(&deployment(2)).unwrap();
    assert_eq!(cluster.get(&id()).unwrap().unwrap(), first);
    assert_eq!(cluster.list("v1", "Pod", "default", "app=web").unwrap().len(), 2);
    assert_eq!(cluster.list("v1", "Pod", "default", "app=other").unwrap().len(), 0);
}

#[test]
fn a_preview_shows_a_change_and_makes_none() {
    let server = Kubernetes::start();
    let (_bench, cluster) = open(&server);
    cluster.apply(&deployment(2)).unwrap();
    let before = cluster.get(&id()).unwrap().unwrap();
    server.forget();
    let changes = difference(&before, &cluster.preview(&deployment(3)).unwrap());
    let changes: Vec<String> = changes.iter().map(|it| format!("{} {:?} {:?}", it.path, it.before, it.after)).collect();
    assert_eq!(changes, [r#"spec.replicas Some("2") Some("3")"#]);
    assert_eq!(cluster.get(&id()).unwrap().unwrap(), before);
    assert_eq!(server.requests(), ["dry-run Deployment web", "get deployments/web"]);
    assert_eq!(server.writes(), Vec::<String>::new());
}

#[test]
fn fields_of_others_stay_and_ours_come_back() {
    let server = Kubernetes::start();
    let (_bench, cluster) = open(&server);
    cluster.apply(&deployment(2)).unwrap();
    server.edit("Deployment", "default", "web", |it| {
        it["spec"]["replicas"] = json!(5);
        it["metadata"]["labels"]["theirs"] = json!("x");
    });
    cluster.apply(&deployment(2)).unwrap();
    let now = server.get("Deployment", "default", "web").unwrap();
    assert_eq!((&now["spec"]["replicas"], &now["metadata"]["labels"]["theirs"]), (&json!(2), &json!("x")));
    // Fields that are no longer wanted are removed.
    let mut less = deployment(2);
    less["spec"].as_object_mut().unwrap().remove("replicas");
    cluster.apply(&less).unwrap();
    assert_eq!(server.get("Deployment", "default", "web").unwrap()["spec"].get("replicas"), None);
}

#[test]
fn a_refusal_comes_back_in_the_servers_words() {
    for (failure, expected) in [
        (
            Failure::Conflict,
            "apply Deployment web in default: Operation cannot be fulfilled on deployments \"web\": the object has been modified",
        ),
        (Failure::Internal, "apply Deployment web in default: Internal error occurred: etcdserver: request timed out"),
        (Failure::Forbidden, "apply Deployment web in default: deployments \"web\" is forbidden: User \"u\" cannot patch it"),
        (Failure::Webhook, "apply Deployment web in default: admission webhook \"guard.example.com\" denied the request: not on a Friday"),
        (
            Failure::WebhookAway,
            "apply Deployment web in default: Internal error occurred: failed calling webhook \"guard.example.com\": connection refused",
        ),
        (Failure::Reset, "apply Deployment web in default: connection closed before message completed"),
    ] {
        let server = Kubernetes::start();
        let (_bench, cluster) = open(&server);
        server.fail("deployments/web", 1, failure);
        let error = cluster.apply(&deployment(2)).unwrap_err();
        assert_eq!(format!("{error:#}"), expected);
        // Only the first request fails.
        cluster.apply(&deployment(2)).unwrap();
    }
}

#[test]
fn a_late_answer_is_an_answer() {
    let server = Kubernetes::start();
    let (_bench, cluster) = open(&server);
    server.fail("deployments/web", 1, Failure::Slow(Duration::from_millis(300)));
    cluster.apply(&deployment(2)).unwrap();
    assert!(server.get("Deployment", "default", "web").is_some());
}

#[test]
fn what_is_not_there_is_nothing_and_no_error() {
    let server = Kubernetes::start();
    let (_bench, cluster) = open(&server);
    assert_eq!(cluster.get(&id()).unwrap(), None);
    cluster.delete(&id()).unwrap();
    let homeless = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "c", "namespace": "nowhere" } });
    assert_eq!(format!("{:#}", cluster.apply(&homeless).unwrap_err()), "apply ConfigMap c in nowhere: namespaces \"nowhere\" not found");
}

#[test]
fn a_command_in_a_pod_gives_its_words_or_its_failure() {
    let server = Kubernetes::start();
    let (_bench, cluster) = open(&server);
    server.answer_exec(|pod, command| match command {
        [first, ..] if first == "fail" => ("no such table".to_owned(), 3),
        _ => (format!("{pod} {}", command.join(" ")), 0),
    });
    assert_eq!(cluster.exec("default", "db-1", "postgres", &["psql", "-tAc", "SELECT 1"]).unwrap(), "db-1 psql -tAc SELECT 1");
    let error = cluster.exec("default", "db-1", "postgres", &["fail"]).unwrap_err();
    assert_eq!(error.to_string(), "`fail` in pod db-1 failed: no such table");
    server.log("db-1", "postgres", "one\ntwo\nthree\n");
    assert_eq!(cluster.last_lines("default", "db-1", "postgres", 2).unwrap(), "two\nthree");
}

#[test]
fn a_wait_that_reaches_its_limit_says_what_it_last_saw() {
    let server = Kubernetes::start();
    let (bench, cluster) = open(&server);
    let wait = || Wait { limit: Duration::from_millis(300), ..Wait::new(&bench.env, "the application", Duration::ZERO) };
    let wait_for_it = || cluster.wait_for_object(&bench.env, TaskId::Deploy, &wait(), &id(), verdict::deployment);
    cluster.apply(&deployment(2)).unwrap();
    wait_for_it().unwrap();
    server.stall("Deployment");
    server.remove("Deployment", "default", "web");
    cluster.apply(&deployment(2)).unwrap();
    let error = wait_for_it().unwrap_err();
    assert_eq!(exit_code(&error), Exit::TimedOut);
    assert_eq!(error.to_string(), "timed out after 0 s waiting for the application; last seen: the controller has not seen it");
}

#[test]
fn a_failed_pod_is_replaced_once_its_own_controller_has_all_its_pods() {
    let server = Kubernetes::start();
    let (_bench, cluster) = open(&server);
    let pod = |phase: &str, set: &str| {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "web-1", "namespace": "default",
                "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": set, "uid": "u", "controller": true }],
            },
            "status": { "phase": phase },
        })
    };
    for (name, ready) in [("full", 2), ("waiting", 1)] {
        server.put(json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": { "name": name, "namespace": "default", "generation": 1 },
            "spec": { "replicas": 2 },
            "status": { "replicas": 2, "readyReplicas": ready, "availableReplicas": ready, "observedGeneration": 1 },
        }));
    }
    let is_replaced = |phase, set| cluster.is_replaced(&pod(phase, set)).unwrap();
    assert_eq!([is_replaced("Failed", "full"), is_replaced("Failed", "waiting")], [true, false]);
    // What is gone wants no pods, and a pod that runs has not failed.
    assert_eq!([is_replaced("Failed", "gone"), is_replaced("Running", "full")], [true, false]);
    let alone =
        json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "a", "namespace": "default" }, "status": { "phase": "Failed" } });
    assert!(!cluster.is_replaced(&alone).unwrap());
}
