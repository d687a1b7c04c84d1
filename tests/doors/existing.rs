//! An existing cluster: which objects are created, how the application is reached, and that nothing else changes.

use serde_json::{Value, json};

use crate::{
    support::Ran,
    world::{World, until},
};

/// A cluster that others own, with a kubeconfig and a registry. The application's Service has the port at which the fake API server also
/// serves the page.
fn world(more: &str) -> World {
    let world = World::without_node();
    world.engine.registry();
    world.project.write("home/.kube/config", &world.cluster.kubeconfig());
    let settings = format!(
        "name = \"doors\"\n[images]\nsource = \"packages\"\n[cluster]\ntype = \"existing\"\ncontext = \"c\"\nkubeconfig = \"home/.kube/config\"\n\
         registry = \"push.example.com/team\"\npull_registry = \"pull.example.com:5000/team\"\n{more}"
    );
    world.project.write("Pocdeploy.toml", &settings);
    let service = world.project.read("deploy/frontend/service.yaml").replace("port: 80\n", &format!("port: {}\n", world.cluster.port));
    world.project.write("deploy/frontend/service.yaml", &service);
    for image in world.upstream() {
        world.engine.image(&image, &[]);
    }
    world.cluster.put(json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "others", "labels": { "dev.pocdeploy/instance": "another" } } }));
    world.cluster.put(
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "precious", "namespace": "others" }, "data": { "A": "1" } }),
    );
    world
}

/// Runs `create` while the cluster assigns the address after the Service was applied; returns the writes before that.
fn create(world: &World) -> (Ran, Vec<String>) {
    std::thread::scope(|scope| {
        let created = scope.spawn(|| world.run(&["create", "--yes"]));
        // A run that has looked for the address again and again waits for it.
        let looks = || {
            let since = world.cluster.requests().into_iter().skip_while(|it| it != "apply Service polls-frontend");
            since.filter(|it| it == "list services").count()
        };
        until("the wait for the address", || created.is_finished() || looks() > 3);
        let writes = world.cluster.writes();
        if !created.is_finished() {
            world.cluster.edit("Service", "polls", "polls-frontend", |it| {
                it["status"] = json!({ "loadBalancer": { "ingress": [{ "hostname": "localhost" }] } })
            });
        }
        (created.join().unwrap(), writes)
    })
}

/// A Secret of the user's own: the history holds its value in a Secret.
const SECRET: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: mail}\nstringData: {password: x}\n";

/// Whether the history's Secret and ConfigMap are there.
fn history(world: &World) -> [bool; 2] {
    ["Secret", "ConfigMap"].map(|it| world.cluster.get(it, "polls", "pocdeploy-history").is_some())
}

fn image_of(object: &Value) -> &str {
    object.pointer("/spec/template/spec/containers/0/image").and_then(Value::as_str).unwrap_or_default()
}

#[test]
fn an_address_that_comes_late_is_waited_for_and_reaches_the_settings_before_the_pods_start() {
    let world = world("");
    let (ran, before) = create(&world);
    ran.ends_with(0);
    assert_eq!(ran.stdout, format!("http://localhost:{}/\n", world.cluster.port));
    assert!(before.contains(&"apply ConfigMap polls-frontend".to_owned()), "{before:#?}");
    assert!(!before.contains(&"apply Deployment polls-frontend".to_owned()), "{before:#?}");
    let settings = world.cluster.get("ConfigMap", "polls", "polls-frontend").unwrap();
    assert_eq!(settings["data"]["POLLS_ALLOWED_HOSTS"], "polls.localhost,localhost");
    let service = world.cluster.get("Service", "polls", "polls-frontend").unwrap();
    assert_eq!(service["spec"]["type"], "LoadBalancer");
    assert!(service.pointer("/spec/ports/0/nodePort").is_none());
    // The revision has the address.
    let history = world.cluster.get("ConfigMap", "polls", "pocdeploy-history").unwrap();
    assert!(history["data"]["revision-1"].as_str().unwrap().contains("polls.localhost,localhost"), "{history}");
}

#[test]
fn a_plan_says_what_is_known_after_apply() {
    let world = world("");
    create(&world).0.ends_with(0);
    world.cluster.remove("Service", "polls", "polls-frontend");
    let plan = world.run(&["plan"]);
    plan.ends_with(0);
    assert!(plan.stdout.contains("? the application's address: known after apply: the cluster assigns it\n"), "{}", plan.stdout);
    assert!(plan.stdout.contains("data.POLLS_ALLOWED_HOSTS: \"polls.localhost,localhost\" -> (known after apply)"), "{}", plan.stdout);
}

#[test]
fn an_image_that_another_command_removes_before_it_is_published_is_built_again() {
    let world = world("");
    world.engine.lose("/distribution/push.example.com/team/polls:", "polls:");
    let ran = create(&world).0;
    ran.ends_with(0).says("is gone again");
    assert_eq!(world.engine.builds().len(), 1);
    let pushed = world.engine.pushed();
    assert!(pushed.iter().any(|it| it.starts_with("push.example.com/team/polls:1.0.0-")), "{pushed:?}");
}

#[test]
fn pods_name_images_as_the_registry_does_with_their_digest() {
    let world = world("");
    create(&world).0.ends_with(0);
    let pushed = world.engine.pushed();
    assert!(pushed.len() == 3 && pushed.iter().all(|it| it.starts_with("push.example.com/team/")), "{pushed:?}");
    let deployment = world.cluster.get("Deployment", "polls", "polls-frontend").unwrap();
    assert!(image_of(&deployment).starts_with("pull.example.com:5000/team/polls:1.0.0-"), "{}", image_of(&deployment));
    assert!(image_of(&deployment).contains("@sha256:"), "{}", image_of(&deployment));
    let operator = world.cluster.get("Deployment", "cnpg-system", "cnpg-controller-manager").unwrap();
    assert!(image_of(&operator).starts_with("pull.example.com:5000/team/pocdeploy/"), "{}", image_of(&operator));
    let database = world.cluster.get("Cluster", "polls", "polls-db").unwrap();
    assert!(database["spec"]["imageName"].as_str().unwrap().contains("@sha256:"), "{database}");
    // Features of a disposable cluster only.
    assert!(operator.pointer("/spec/template/spec/tolerations").is_none());
}

#[test]
fn a_second_create_pushes_and_writes_nothing() {
    let world = world("");
    create(&world).0.ends_with(0);
    world.cluster.forget();
    let pushed = world.engine.pushed();
    world.run(&["create", "--yes"]).ends_with(0).says("nothing to do");
    assert_eq!(world.cluster.writes(), Vec::<String>::new());
    assert_eq!(world.engine.pushed(), pushed);
    let plan = world.run(&["plan"]);
    assert!(plan.stdout.contains("\nnothing to do\n"), "{}", plan.stdout);
    assert!(!plan.stdout.contains("disposable"), "{}", plan.stdout);
    world.run(&["url"]).ends_with(0);
}

#[test]
fn delete_takes_its_own_and_leaves_everything_else() {
    let world = world("");
    world.project.write("deploy/frontend/zz-secret.yaml", SECRET);
    create(&world).0.ends_with(0);
    assert_eq!(history(&world), [true, true]);
    let dry = world.run(&["delete", "--dry-run"]);
    assert!(dry.stdout.contains("Namespace polls\n") && dry.stdout.contains("Namespace cnpg-system\n"), "{}", dry.stdout);
    world.run(&["delete", "--yes"]).ends_with(0).says("audit: nothing in the cluster carries this instance's label");
    for (kind, name) in [("Namespace", "polls"), ("Namespace", "cnpg-system"), ("CustomResourceDefinition", "clusters.postgresql.cnpg.io")]
    {
        assert!(world.cluster.get(kind, "", name).is_none(), "{kind} {name}");
    }
    assert_eq!(history(&world), [false, false]);
    assert!(world.cluster.get("ConfigMap", "others", "precious").is_some());
    assert!(world.cluster.get("Namespace", "", "others").is_some());
    world.run(&["delete", "--yes"]).ends_with(0);
}

#[test]
fn delete_removes_the_history_and_its_secret_from_a_namespace_that_lost_the_label() {
    let world = world("");
    world.project.write("deploy/frontend/zz-secret.yaml", SECRET);
    create(&world).0.ends_with(0);
    assert_eq!(history(&world), [true, true]);
    world.cluster.edit("Namespace", "", "polls", |it| it["metadata"]["labels"] = json!({}));
    let dry = world.run(&["delete", "--dry-run"]);
    assert!(dry.stdout.contains("Secret pocdeploy-history in polls"), "{}", dry.stdout);
    world.run(&["delete", "--yes"]).ends_with(0);
    assert_eq!(history(&world), [false, false]);
    assert!(world.cluster.get("Namespace", "", "polls").is_some());
}

#[test]
fn an_operator_that_databases_of_others_need_stays() {
    let world = world("");
    create(&world).0.ends_with(0);
    world.cluster.put(json!({ "apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster", "metadata": { "name": "theirs", "namespace": "others" }, "spec": { "instances": 1 } }));
    world.run(&["delete", "--yes"]).ends_with(0).says("CloudNativePG stays, since databases of others need it: Cluster theirs in others");
    assert!(world.cluster.get("Namespace", "", "polls").is_none());
    assert!(world.cluster.get("Deployment", "cnpg-system", "cnpg-controller-manager").is_some());
}

#[test]
fn an_operator_of_others_is_used_where_it_fits_and_refused_where_it_does_not() {
    let operator = |version: &str| {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "name": "theirs", "namespace": "others", "labels": { "app.kubernetes.io/name": "cloudnative-pg" } },
            "spec": { "replicas": 1, "template": { "spec": { "containers": [{ "name": "manager", "image": format!("r/operator:{version}") }] } } },
        })
    };
    let world = world("");
    world.cluster.put(operator("1.20.0"));
    world.run(&["create", "--yes"]).ends_with(1).says("CloudNativePG 1.20.0 (Deployment theirs in others)").says("it is older than 1.25");
    assert_eq!(world.cluster.writes(), Vec::<String>::new());
    world.cluster.put(operator("1.28.0"));
    world.cluster.put(json!({ "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": { "name": "clusters.postgresql.cnpg.io" } }));
    create(&world).0.ends_with(0).says("uses CloudNativePG 1.28.0");
    assert!(world.cluster.get("Namespace", "", "cnpg-system").is_none());
    world.run(&["delete", "--yes"]).ends_with(0);
    assert!(world.cluster.get("Deployment", "others", "theirs").is_some());
}

#[test]
fn nothing_is_made_without_consent_or_in_a_namespace_of_others() {
    let world = world("");
    let ran = world.run(&["create"]);
    ran.ends_with(4).says("deploys to context c (http://127.0.0.1:").says("creates namespace polls").says("not done without consent");
    assert_eq!(world.cluster.writes(), Vec::<String>::new());
    world.cluster.put(json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "polls" } }));
    world.run(&["create", "--yes"]).ends_with(1).says("has a namespace polls that is not of instance doors");
    assert_eq!(world.cluster.writes(), Vec::<String>::new());
    world.run(&["delete", "--yes"]).ends_with(0);
    assert!(world.cluster.get("Namespace", "", "polls").is_some());
}

#[test]
fn delete_does_not_claim_what_it_could_not_ask() {
    let world = world("");
    create(&world).0.ends_with(0);
    let away = world.cluster.kubeconfig().replace(&world.cluster.port.to_string(), "9");
    world.project.write("home/.kube/config", &away);
    let ran = world.run(&["delete", "--yes"]);
    ran.ends_with(1).says("could not check what instance");
    assert!(!ran.stderr.contains("audit"), "{}", ran.stderr);
    assert!(world.project.root.join("target/pocdeploy/record").is_dir(), "the next delete needs it");
}

#[test]
fn what_only_looks_needs_no_engine() {
    let world = world("");
    create(&world).0.ends_with(0);
    for arguments in [["url"].as_slice(), &["status"], &["ls"], &["history"], &["delete", "--yes"]] {
        let ran = Ran::from(world.command(arguments).env("DOCKER_HOST", "unix:///nonexistent/docker.sock").output().unwrap());
        ran.ends_with(0);
    }
    assert!(world.cluster.get("Namespace", "", "polls").is_none());
}

#[test]
fn an_image_that_is_called_by_its_place_in_the_registry_stays_in_the_engine() {
    let world = world("[frontend]\nimage = \"push.example.com/team/polls\"\n");
    let settings = world.project.read("Pocdeploy.toml");
    world.project.write("Pocdeploy.toml", &settings.replace("registry = \"push.example.com/team\"", "registry = \"push.example.com\""));
    world.build();
    create(&world).0.ends_with(0);
    assert!(world.engine.pushed().iter().any(|it| it.starts_with("push.example.com/team/polls:")), "{:?}", world.engine.pushed());
    let removed: Vec<String> =
        world.engine.changes().into_iter().filter(|it| it.starts_with("DELETE /images/push.example.com/team/polls:")).collect();
    assert_eq!(removed, Vec::<String>::new());
}

#[test]
fn a_rollback_names_images_as_they_were_published_and_needs_no_engine() {
    let world = world("");
    create(&world).0.ends_with(0);
    let first = image_of(&world.cluster.get("Deployment", "polls", "polls-frontend").unwrap()).to_owned();
    world.project.write("third_party/django-polls/views.py", "two");
    world.run(&["patch"]).ends_with(0);
    world.build();
    world.run(&["update"]).ends_with(0);
    let second = image_of(&world.cluster.get("Deployment", "polls", "polls-frontend").unwrap()).to_owned();
    assert_ne!(first, second);
    let back = Ran::from(world.command(&["rollback"]).env("DOCKER_HOST", "unix:///nonexistent/docker.sock").output().unwrap());
    back.ends_with(0);
    assert_eq!(image_of(&world.cluster.get("Deployment", "polls", "polls-frontend").unwrap()), first);
}

#[test]
fn a_context_that_leads_elsewhere_since_is_refused() {
    let world = world("");
    create(&world).0.ends_with(0);
    world.cluster.forget();
    let elsewhere = world.cluster.kubeconfig().replace("127.0.0.1", "localhost");
    world.project.write("home/.kube/config", &elsewhere);
    world
        .run(&["create", "--yes"])
        .ends_with(1)
        .says("context c names API server http://localhost:")
        .says("was created on http://127.0.0.1:");
    assert_eq!(world.cluster.writes(), Vec::<String>::new());
}

#[test]
fn keys_that_are_missing_or_mean_nothing_are_told_before_anything_happens() {
    let world = World::without_node();
    world.project.write("Pocdeploy.toml", "[cluster]\ntype = \"existing\"\nport = 8080\n");
    let ran = world.run(&["create", "--yes"]);
    ran.ends_with(3).says("cluster.context: a cluster of type `existing` needs it").says("cluster.registry").says("cluster.port");
    world.project.write("Pocdeploy.toml", "[cluster]\ncontext = \"c\"\n");
    world.run(&["create", "--yes"]).ends_with(3).says("cluster.context: is for clusters of type `existing`");
    world
        .project
        .write("Pocdeploy.toml", "[cluster]\ntype = \"existing\"\ncontext = \"prod\"\nregistry = \"r.example.com\"\nkubeconfig = \"k\"\n");
    world.project.write("k", &world.cluster.kubeconfig());
    world.run(&["create", "--yes"]).ends_with(3).says("there is no context `prod`; there are: c");
}
