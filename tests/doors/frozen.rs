//! A node that was frozen, by `pause --keep-memory` or the user: nothing in it answers, and the engine calls it running.

use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::world::{INSTANCE, World};

const NODE: &str = "doors-control-plane";

#[test]
fn a_frozen_node_is_named_as_that_and_goes_on() {
    let world = World::new();
    world.create().ends_with(0);

    world.engine.frozen(NODE);
    world
        .run(&["url"])
        .ends_with(5)
        .says("the cluster's node is frozen (`pause --keep-memory` or `docker pause`)")
        .says("resume` starts a stopped instance");
    let listed = world.run(&["ls"]);
    assert!(listed.ends_with(0).stdout.contains(&format!("{INSTANCE}  frozen")), "{}", listed.stdout);
    let plan = world.run(&["plan"]);
    assert!(plan.ends_with(0).stdout.contains("the cluster's node is frozen"), "{}", plan.stdout);
    world.create().ends_with(0).says("the cluster's node is frozen");
    let plan = world.run(&["plan", "--detailed-exitcode"]);
    assert_eq!(plan.code, 0, "{}", plan.stdout);

    world.engine.frozen(NODE);
    world.run(&["resume"]).ends_with(0).says("the page answers");

    world.engine.frozen(NODE);
    world.run(&["pause"]).ends_with(0).says("stopped, with all its data");
    world.run(&["delete", "--yes"]).ends_with(0);
    assert_eq!(world.engine.containers(), Vec::<String>::new());
}

#[test]
fn pause_freezes_a_node_that_is_to_go_on_at_once_and_stops_a_frozen_one() {
    let world = World::new();
    world.create().ends_with(0);
    let preview = world.run(&["pause", "--keep-memory", "--dry-run"]);
    assert!(preview.ends_with(0).stdout.contains("would freeze the nodes"), "{}", preview.stdout);
    world.run(&["pause", "--keep-memory"]).ends_with(0).says("frozen, in memory");
    assert!(world.run(&["ls"]).ends_with(0).stdout.contains(&format!("{INSTANCE}  frozen")));
    world.run(&["pause", "--keep-memory"]).ends_with(0).says("it is frozen or stopped already");
    world.run(&["resume"]).ends_with(0).says("the page answers");

    world.run(&["pause", "--keep-memory"]).ends_with(0).says("frozen, in memory");
    world.run(&["pause"]).ends_with(0).says("stopped, with all its data");
    world.run(&["pause", "--keep-memory"]).ends_with(0).says("it is frozen or stopped already");
}

#[test]
fn a_node_that_was_given_up_while_it_was_frozen_has_its_kubelet_started_again_once_its_lease_is_renewed() {
    let world = World::new();
    world.create().ends_with(0);
    let ready = |status: &str| {
        world.cluster.edit("Node", "", NODE, |it| it["status"]["conditions"] = json!([{ "type": "Ready", "status": status }]));
    };
    let lease = |time: &str| {
        world.cluster.put(json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": { "name": NODE, "namespace": "kube-node-lease" },
            "spec": { "renewTime": time },
        }));
    };
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = asked.clone();
    let (cluster, renewed) = (world.cluster.clone(), Arc::new(Mutex::new(0)));
    world.engine.answer_exec(move |_, command| {
        seen.lock().unwrap().push(command.to_owned());
        match command {
            it if it.starts_with("date ") => {
                // The kubelet renews the Lease after the third look.
                let mut looks = renewed.lock().unwrap();
                *looks += 1;
                ((if *looks > 3 { "2026-11-30T10:00:30Z\n" } else { "2026-11-30T10:00:50Z\n" }).to_owned(), 0)
            }
            it if it.contains("systemctl restart kubelet") => {
                cluster.edit("Node", "", NODE, |it| it["status"]["conditions"] = json!([{ "type": "Ready", "status": "True" }]));
                (String::new(), 0)
            }
            _ => (String::new(), 0),
        }
    });
    let restarts = || asked.lock().unwrap().iter().filter(|it| it.contains("restart kubelet")).count();

    lease("2026-11-30T10:00:00Z");
    ready("Unknown");
    world.engine.frozen(NODE);
    world.run(&["resume"]).ends_with(0).says("the page answers");
    assert_eq!(restarts(), 1);
    assert_eq!(asked.lock().unwrap().iter().filter(|it| it.starts_with("date ")).count(), 4, "it waits for the Lease");

    // A node that the cluster has not given up keeps its kubelet.
    world.engine.frozen(NODE);
    world.run(&["resume"]).ends_with(0).says("the page answers");
    assert_eq!(restarts(), 1);
}
