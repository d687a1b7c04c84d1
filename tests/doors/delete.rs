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
fn a_node_that_the_engine_still_makes_for_a_killed_run_is_waited_for() {
    let world = World::without_node();
    world.engine.node_in_the_making(INSTANCE, 1);
    world.run(&["delete", "--yes"]).ends_with(0).says("audit: no container");
    assert!(world.engine.changes().contains(&"DELETE /containers/doors-control-plane".to_owned()), "{:#?}", world.engine.changes());
    assert_eq!((world.engine.containers(), world.engine.networks()), (Vec::new(), Vec::new()));

    world.engine.node_in_the_making(INSTANCE, 1);
    world.run(&["cluster", "--yes"]).says("removing the cluster whose creation was interrupted");

    // The network of a run that was killed before it asked for a node: the name is free, and nothing of the question stays.
    let world = World::without_node();
    world.engine.node_in_the_making("other", 1);
    world.engine.network("pocdeploy-doors", &serde_json::json!({ "dev.pocdeploy.instance": INSTANCE }));
    world.run(&["delete", "--yes"]).ends_with(0).says("audit: no container");
    assert!(world.engine.changes().contains(&"DELETE /containers/new".to_owned()), "{:#?}", world.engine.changes());
    assert_eq!((world.engine.containers(), world.engine.networks()), (Vec::new(), vec!["pocdeploy-other".to_owned()]));
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

/// What others have on the machine, with names and labels that look like the instance's own.
fn seed(world: &World) {
    let engine = &world.engine;
    let copied = serde_json::json!({ "dev.pocdeploy.instance": INSTANCE, "dev.pocdeploy.project": world.project.root });
    engine.node_of("doors-2", "/another/project", 8090);
    engine.node_of("my-doors", "/another/project", 8091);
    for (container, network) in [
        ("doors", "bridge"),
        ("doors-control-plane-backup", "kind"),
        ("my-doors-control-plane2", "pocdeploy-my-doors"),
        ("doors-worker", "kind"),
        ("doors-postgres", "pocdeploy-doors-2"),
        ("xdoors-control-plane", "bridge"),
    ] {
        engine.container(container, network, 1);
    }
    for network in ["doors", "pocdeploy-doors-old", "pocdeploy-door", "xpocdeploy-doors", "pocdeploy"] {
        engine.network(network, &serde_json::json!({}));
    }
    engine.network("copied-labels", &copied);
    let bench = world.project.root.join("target/pocdeploy/bench/project");
    engine.network("copied-from-a-bench", &serde_json::json!({ "dev.pocdeploy.project": bench }));
    engine.container("on-copied-labels", "copied-labels", 1);
    engine.container("on-copied-from-a-bench", "copied-from-a-bench", 1);
    for volume in ["doors", "pocdeploy-doors", "doors-control-plane", "0123456789abcdef"] {
        engine.volume(volume, &serde_json::json!({}));
    }
    engine.volume("copied-labels", &copied);
    let labelled = [(INPUTS_LABEL, "0123"), ("dev.pocdeploy.instance", INSTANCE)];
    for (image, labels) in [
        ("polls:mine", &[][..]),
        ("polls-extra:1.0.0-0123456789ab", &labelled),
        ("mypolls:1.0.0-0123456789ab", &labelled),
        ("registry.example.com/polls:1.0.0-0123456789ab", &labelled),
        ("others:1", &labelled),
        ("postgres:17", &[]),
    ] {
        engine.image(image, labels);
    }
    for file in [
        "home/.kube/config",
        "home/.docker/config.json",
        "home/.cache/pocdeploy/other",
        "home/snapshots/doors-20260101T000000Z.dump",
        "cache/of-another-program",
        "cache/images/rootfs-node-ffffffffffff",
        "cache/wheels/ffff/requirements.txt",
        "cache/authority-of-another/ca.pem",
        "snapshots/doors-20260101T000000Z.dump",
        "target/debug/xtask",
        "target/pocdeploy2/kubeconfig",
        "target/pocdeploy-old/app/manage.py",
        "target/pocdeploy/instances/doors-2/kubeconfig",
        "target/pocdeploy/instances/doors-2/record/address.json",
        "kubeconfig.mine",
        "Pocdeploy.toml.orig",
        "deploy/frontend/notes.txt",
    ] {
        world.project.write(file, "another's");
    }
}

#[test]
fn delete_leaves_all_that_others_have_bit_by_bit_whatever_its_name_and_labels() {
    let world = World::without_node();
    seed(&world);
    // Upstream's images stay for the next instance; what the tool itself writes below its folder may go or change.
    let files = || {
        let own = world.project.root.join("target/pocdeploy");
        let mut all = content(&world.project.root);
        all.retain(|(path, _)| !path.starts_with(own.to_str().unwrap()) || path.contains("/instances/doors-2/"));
        all
    };
    let before = (world.engine.inventory(), files());
    assert!(before.0.len() >= 30, "{}", before.0.len());
    world.engine.node_of(INSTANCE, world.project.root.to_str().unwrap(), world.cluster.port);
    world.create();
    assert_ne!(world.engine.inventory(), before.0);
    let ran = world.command(&["delete", "--yes"]).env("HOME", world.project.root.join("home")).output().unwrap();
    Ran::from(ran).ends_with(0);
    let (after, kept) = (world.engine.inventory(), files());
    let ours = |it: &(String, Value)| it.0.starts_with("image polls:1.0.0");
    let gone: Vec<_> = before.0.iter().filter(|it| !ours(it) && !after.contains(it)).map(|it| &it.0).collect();
    let added: Vec<_> = after.iter().filter(|it| !before.0.contains(it)).map(|it| &it.0).collect();
    assert!(gone.is_empty() && added.is_empty(), "gone or changed: {gone:?}; added: {added:?}");
    let changed: Vec<_> = before.1.iter().filter(|it| !kept.contains(it)).map(|it| &it.0).collect();
    assert!(changed.is_empty(), "{changed:?}");
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
