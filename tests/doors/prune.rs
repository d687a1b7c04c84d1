//! Changes of manifests while the application runs: removed objects are deleted, data is kept, and an edited file is not drift.

use serde_json::json;

use crate::{create::MORE, world::World};

/// An instance with a CronJob, a PVC, a Secret, a ConfigMap and a second Deployment.
fn with_more() -> World {
    let world = World::new();
    world.cluster.put(json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "polls" } }));
    // The fake server has no controller that binds PVCs.
    world.cluster.put(json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "status": { "phase": "Bound" },
        "metadata": { "name": "media", "namespace": "polls" },
    }));
    world.project.write("deploy/frontend/zz-more.yaml", MORE);
    world.create();
    world
}

#[test]
fn what_leaves_the_manifests_goes_with_the_next_update_and_data_stays() {
    let world = with_more();
    // Another program's object is never ours, whatever its name is.
    world.cluster.edit("ConfigMap", "polls", "more", |it| it["metadata"]["labels"]["dev.pocdeploy/instance"] = json!("other"));
    let is_there = |kind: &str, name: &str| world.cluster.get(kind, "polls", name).is_some();
    world.project.write("deploy/frontend/zz-more.yaml", "# nothing any more\n");
    world.cluster.forget();
    let plan = world.run(&["plan"]);
    for line in
        ["~ deploy       would run: ", "  - CronJob nightly in polls: no longer in deploy/\n", "  - Deployment worker in polls: no longer"]
    {
        assert!(plan.stdout.contains(line), "{line:?} in {}", plan.stdout);
    }
    assert!(!plan.stdout.contains("- PersistentVolumeClaim") && !plan.stdout.contains("- ConfigMap more"), "{}", plan.stdout);
    assert_eq!(world.cluster.writes(), Vec::<String>::new());
    world
        .run(&["update"])
        .ends_with(0)
        .says("deleted, since revision 2 does not have it:")
        .says("  CronJob nightly in polls")
        .says("PersistentVolumeClaim media in polls: cargo xtask kubectl delete -n polls persistentvolumeclaim media");
    assert!(!is_there("CronJob", "nightly") && !is_there("Deployment", "worker") && !is_there("Secret", "mail"));
    assert!(is_there("PersistentVolumeClaim", "media") && is_there("ConfigMap", "more") && is_there("Secret", "frontend-app"));
    world.run(&["update"]).ends_with(0).says("nothing to do");
    // A rollback creates it again, and the next one deletes it.
    world.run(&["rollback"]).ends_with(0);
    assert!(is_there("CronJob", "nightly") && is_there("Secret", "mail") && is_there("Deployment", "worker"));
    world.run(&["rollback"]).ends_with(0).says("  CronJob nightly in polls");
    assert!(!is_there("CronJob", "nightly") && is_there("PersistentVolumeClaim", "media"));
}

#[test]
fn an_object_that_moves_to_the_databases_folder_is_no_object_that_left() {
    let world = World::new();
    let more = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: more}\ndata: {A: \"1\"}\n";
    world.project.write("deploy/frontend/zz-more.yaml", more);
    world.create();
    world.project.write("deploy/frontend/zz-more.yaml", "# moved\n");
    world.project.write("deploy/database/zz-more.yaml", more);
    world.run(&["update"]).ends_with(0);
    assert!(world.cluster.get("ConfigMap", "polls", "more").is_some());
}

#[test]
fn a_file_with_a_field_more_is_no_change_of_another_hand() {
    let world = with_more();
    let corrected = MORE.replace("{schedule: \"0 3 * * *\"}", "{schedule: \"0 3 * * *\", concurrencyPolicy: Forbid}");
    assert_ne!(corrected, MORE);
    world.project.write("deploy/frontend/zz-more.yaml", &corrected);
    let plan = world.run(&["plan"]);
    assert!(plan.stdout.contains("CronJob nightly in polls was applied from other inputs"), "{}", plan.stdout);
    world.cluster.edit("CronJob", "polls", "nightly", |it| it["spec"]["schedule"] = json!("0 9 * * *"));
    world.run(&["update"]).ends_with(0);
    let found = world.cluster.get("CronJob", "polls", "nightly").unwrap();
    assert_eq!((&found["spec"]["schedule"], &found["spec"]["concurrencyPolicy"]), (&json!("0 3 * * *"), &json!("Forbid")));
}
