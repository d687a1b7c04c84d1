//! The history of a deployment whose manifests contain Secrets: where the values are stored, and what rollback does.

use serde_json::{Value, json};

use crate::{kubernetes::Failure, world::World};

/// `canary-1` in base64.
const ONE: &str = "Y2FuYXJ5LTE=";
const TWO: &str = "Y2FuYXJ5LTI=";

/// A Secret with `data` and `stringData`, and the annotation of `kubectl apply`.
fn secrets(one: &str, plain: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: mail\n  annotations: {{example.com/copy: '{plain}'}}\ndata: {{password: {one}}}\n---\n\
         apiVersion: v1\nkind: Secret\nmetadata: {{name: other}}\nstringData: {{token: {plain}}}\n"
    )
}

fn data(world: &World, kind: &str, name: &str) -> Value {
    world.cluster.get(kind, "polls", name).map(|it| it["data"].clone()).unwrap_or_default()
}

#[track_caller]
fn holds_no_value(world: &World) {
    let history = data(world, "ConfigMap", "pocdeploy-history").to_string();
    assert!(history.contains("revision-1"), "{history}");
    for value in ["canary", ONE, TWO] {
        assert!(!history.contains(value), "{value} in {history}");
    }
}

#[test]
fn rollback_brings_back_a_secret_of_the_user_and_its_values_are_in_no_config_map() {
    let world = World::new();
    world.project.write("deploy/frontend/zz-secrets.yaml", &secrets(ONE, "canary-1"));
    world.create();
    holds_no_value(&world);
    world.project.write("deploy/frontend/zz-secrets.yaml", &secrets(TWO, "canary-2"));
    world.run(&["update"]).ends_with(0);
    holds_no_value(&world);
    assert_eq!(data(&world, "Secret", "mail"), json!({ "password": TWO }));
    let kept = world.cluster.get("Secret", "polls", "pocdeploy-history").unwrap();
    assert_eq!(kept["metadata"]["labels"]["dev.pocdeploy/instance"], "doors");
    assert_eq!(kept["data"].as_object().unwrap().len(), 4, "two Secrets with two contents each");
    let ran = world.run(&["rollback"]);
    ran.ends_with(0);
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains("canary"));
    assert_eq!(data(&world, "Secret", "mail"), json!({ "password": ONE }));
    assert_eq!(world.cluster.get("Secret", "polls", "other").unwrap()["stringData"], json!({ "token": "canary-1" }));
    holds_no_value(&world);
    let ran = world.run(&["history", "--output", "json"]);
    assert!(ran.stdout.contains("\"serving\"") && !ran.stdout.contains("canary") && !ran.stdout.contains(ONE), "{}", ran.stdout);
}

#[test]
fn an_image_that_runs_and_is_of_no_revision_becomes_one() {
    let world = World::new();
    world.create();
    // As after `dev`, which rolls out images without a revision.
    world.cluster.edit("ConfigMap", "polls", "pocdeploy-history", |it| {
        let text = it["data"]["revision-1"].as_str().unwrap();
        let (head, rest) = text.split_once("\"image\":\"polls:").unwrap();
        it["data"]["revision-1"] = format!("{head}\"image\":\"polls:old-{rest}").into();
    });
    world.run(&["create", "--yes"]).ends_with(0).says("revision 1 is one of polls:old-").says("revision 2 serves");
    world.run(&["create", "--yes"]).ends_with(0).says("0 ran");
}

#[test]
fn a_failed_change_puts_back_the_secret_that_it_changed() {
    let world = World::new();
    world.project.write("deploy/frontend/zz-secrets.yaml", &secrets(ONE, "canary-1"));
    world.create();
    let worker = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: worker}\nspec: {selector: {matchLabels: {app: w}}}\n";
    world.project.write("deploy/frontend/zz-secrets.yaml", &format!("{}---\n{worker}", secrets(TWO, "canary-2")));
    world.cluster.fail("PATCH /apis/apps/v1/namespaces/polls/deployments/worker", 1, Failure::Webhook);
    world.run(&["update"]).ends_with(1).says("is restored and serves as before");
    assert_eq!(data(&world, "Secret", "mail"), json!({ "password": ONE }));
    holds_no_value(&world);
}

#[test]
fn values_that_an_earlier_version_wrote_into_the_history_go_with_the_next_write() {
    let world = World::new();
    world.project.write("deploy/frontend/zz-secrets.yaml", &secrets(ONE, "canary-1"));
    world.create();
    world.cluster.edit("ConfigMap", "polls", "pocdeploy-history", |it| {
        let revision: Value = serde_json::from_str(it["data"]["revision-1"].as_str().unwrap()).unwrap();
        let mut old = revision.clone();
        for object in old["objects"].as_array_mut().unwrap().iter_mut().filter(|it| it["kind"] == "Secret") {
            object.as_object_mut().unwrap().remove("kept-as");
            object["data"] = json!({ "password": ONE });
        }
        it["data"]["revision-1"] = json!(old.to_string());
    });
    world.cluster.remove("Secret", "polls", "pocdeploy-history");
    world.project.write("deploy/frontend/zz-secrets.yaml", &secrets(TWO, "canary-2"));
    world.run(&["update"]).ends_with(0);
    holds_no_value(&world);
    world.run(&["rollback"]).ends_with(0);
    assert_eq!(data(&world, "Secret", "mail"), json!({ "password": ONE }));
}

#[test]
fn a_secret_whose_content_is_gone_stays_as_it_is_and_is_named() {
    let world = World::new();
    world.project.write("deploy/frontend/zz-secrets.yaml", &secrets(ONE, "canary-1"));
    world.create();
    world.project.write("deploy/frontend/zz-secrets.yaml", &secrets(TWO, "canary-2"));
    world.run(&["update"]).ends_with(0);
    world.cluster.remove("Secret", "polls", "pocdeploy-history");
    world.cluster.remove("Secret", "polls", "other");
    let ran = world.run(&["rollback", "1"]);
    ran.ends_with(0)
        .says("what revision 1 had in Secret mail in polls is not kept any more: it stays as it is now")
        .says("what revision 1 had in Secret other in polls is not kept any more: and it is not in the cluster");
    assert_eq!(data(&world, "Secret", "mail"), json!({ "password": TWO }));
}

#[test]
fn a_deployment_without_secrets_of_its_own_has_no_secret_for_its_history() {
    let world = World::new();
    world.create();
    assert!(world.cluster.get("Secret", "polls", "pocdeploy-history").is_none());
    assert!(!world.cluster.requests().iter().any(|it| it == "get secrets/pocdeploy-history"));
}
