//! A node that the user froze with `docker pause`: nothing in it answers, and the engine calls it running.

use crate::world::{INSTANCE, World};

const NODE: &str = "doors-control-plane";

#[test]
fn a_frozen_node_is_named_as_that_and_goes_on() {
    let world = World::new();
    world.create().ends_with(0);

    world.engine.frozen(NODE);
    world.run(&["url"]).ends_with(5).says("the cluster's node is frozen, as by `docker pause`").says("resume` starts a stopped instance");
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
