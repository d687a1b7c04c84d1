//! A node that was frozen, by `pause --keep-memory` or the user: nothing in it answers, and the engine calls it running.

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
