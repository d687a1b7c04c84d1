//! Ownership of a node, the audit of `delete`, and its report if something is left.

use pocdeploy::{provider::kind, tasks::image::INPUTS_LABEL};
use serde_json::Value;

use crate::{
    support::{Ran, content},
    world::{INSTANCE, World},
};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn a_node_of_the_same_name_that_is_not_ours_is_left_alone() {
    let world = World::without_node();
    world.engine.container("doors-control-plane", "kind", 1);
    world.run(&["cluster", "--yes"]).ends_with(1).says("there is a container doors-control-plane that this tool did not create");
    world.run(&["delete", "--yes"]).ends_with(0).says("is not this tool's: left alone");
    assert_eq!(world.engine.containers(), ["doors-control-plane"]);
    assert_eq!(world.cluster.writes(), Vec::<String>::new());
}

#[test]
fn a_lost_kubeconfig_is_asked_of_kind_again() {
    let world = World::new();
    world.run(&["cluster", "--yes"]).ends_with(0).says("the instance's kubeconfig is missing");
    assert_eq!(world.project.read("target/pocdeploy/kubeconfig").trim(), world.cluster.kubeconfig());
}

#[test]
fn delete_removes_what_is_ours_and_audits() {
    let world = World::new();
    world.create();
    world.engine.container("bystander", "bridge", 1);
    let planned = world.run(&["delete", "--dry-run", "--output", "json"]);
    planned.ends_with(0);
    assert_eq!(world.engine.changes(), Vec::<String>::new());
    let ran = world.run(&["delete", "--yes", "--output", "json"]);
    ran.ends_with(0).says("audit: no container, network, volume or file of this instance is left");
    assert_eq!(world.engine.containers(), ["bystander"]);
    assert_eq!(world.engine.networks(), Vec::<String>::new());
    assert!(!world.project.root.join("target/pocdeploy/kubeconfig").exists());
    assert_eq!(json(&ran.stdout)["removed"], json(&planned.stdout)["would_remove"]);
    assert_eq!(json(&ran.stdout)["left"], Value::Array(Vec::new()));
    world.run(&["delete", "--yes"]).ends_with(0);
}

#[test]
fn the_images_of_earlier_sources_go_with_the_last_instance() {
    let world = World::new();
    world.create();
    let label = [(INPUTS_LABEL, "0123")];
    for (image, labels) in [("polls:1.0.0-0123456789ab", &label[..]), ("polls:0.9", &label), ("polls:mine", &[]), ("others:1", &label)] {
        world.engine.image(image, labels);
    }
    let planned = world.run(&["delete", "--dry-run"]).stdout;
    for line in ["image polls:1.0.0-0123456789ab\n", "image polls:0.9\n"] {
        assert!(planned.contains(line), "no {line:?} in\n{planned}");
    }
    world.run(&["delete", "--yes"]).ends_with(0);
    assert_eq!(world.engine.images_below("polls:"), ["polls:mine"]);
    assert_eq!(world.engine.images_below("others:"), ["others:1"]);
}

#[test]
fn all_that_a_bench_left_is_listed_and_removed_with_its_images() {
    let world = World::new();
    world.create();
    let copy = world.project.root.canonicalize().unwrap().join("target/pocdeploy/bench/project");
    let bench = kind::bench_instance(&copy);
    world.engine.node_of(&bench, copy.to_str().unwrap(), 8090);
    world.engine.container("worker-of-the-script", &format!("pocdeploy-{bench}"), 0);
    for image in [kind::images_of_bench(&bench), kind::images_of_bench("bench-another")] {
        world.engine.image(&format!("{image}polls:1"), &[]);
    }
    let listed = json(&world.run(&["ls", "--output", "json"]).stdout);
    let found = listed["instances"].as_array().unwrap().iter().find(|it| it["instance"] == bench.as_str());
    assert_eq!(found.map(|it| &it["state"]), Some(&Value::from("running")), "{listed}");
    let planned = world.run(&["delete", "--dry-run"]).stdout;
    for part in ["container worker-of-the-script", &format!("network pocdeploy-{bench}"), &format!("image localhost/{bench}/polls:1")] {
        assert!(planned.contains(&format!("{part} of a bench\n")), "no {part} in\n{planned}");
    }
    world.run(&["delete", "--yes"]).ends_with(0).says("audit: no container, network, volume or file of this instance is left");
    assert_eq!(world.engine.containers(), Vec::<String>::new());
    assert_eq!(world.engine.networks(), Vec::<String>::new());
    assert_eq!(world.engine.images_below("localhost/bench-"), ["localhost/bench-another/polls:1"]);
}

#[test]
fn a_node_that_the_engine_is_removing_already_is_waited_for() {
    let world = World::new();
    world.create();
    world.engine.leaving(&format!("{INSTANCE}-control-plane"));
    world.run(&["delete", "--yes"]).ends_with(0).says("audit: no container, network, volume or file of this instance is left");
    assert_eq!(world.engine.containers(), Vec::<String>::new());
}

#[test]
fn what_could_not_be_removed_is_named_and_the_next_delete_goes_on() {
    let world = World::new();
    world.create();
    world.engine.fail("DELETE /networks/", 1, "network has active endpoints");
    let ran = world.run(&["delete", "--yes", "--output", "json"]);
    ran.ends_with(1).says("network has active endpoints").says(&format!("left: network pocdeploy-{INSTANCE}"));
    assert_eq!(json(&ran.stdout)["left"], serde_json::json!([format!("network pocdeploy-{INSTANCE}")]));
    // The kubeconfig stays until the end, so that `delete` can be repeated.
    assert!(world.project.root.join("target/pocdeploy/kubeconfig").exists());
    world.run(&["delete", "--yes"]).ends_with(0);
    assert_eq!(world.engine.networks(), Vec::<String>::new());
}

#[test]
fn all_instances_are_listed_and_none_is_an_empty_list() {
    let world = World::without_node();
    let none = world.run(&["ls", "--output", "json"]);
    none.ends_with(0);
    assert_eq!(json(&none.stdout), serde_json::json!({ "schema": 1, "instances": [] }));
    world.engine.node("one", 8081);
    world.engine.node("two", 8082);
    let two = json(&world.run(&["ls", "--output", "json"]).stdout);
    assert_eq!(two["instances"][1]["instance"], "two");
    assert_eq!(two["instances"][1]["url"], "http://localhost:8082/");
    // Also from a folder outside a project, and with an invalid project file.
    let outside = tempfile::tempdir().unwrap();
    let mut command = world.command(&["ls", "--output", "json"]);
    let ran = Ran::from(command.current_dir(outside.path()).output().unwrap());
    ran.ends_with(0);
    assert_eq!(json(&ran.stdout), two);
    assert_eq!(content(outside.path()), Vec::new());
    world.project.write("Pocdeploy.toml", "naem = 1\n");
    let ran = world.run(&["ls", "--output", "json"]);
    ran.ends_with(0);
    assert_eq!(json(&ran.stdout), two);
}
