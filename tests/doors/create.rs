//! `create` and `plan` against a cluster in memory: order, repetition, refusals, and what a plan says.

use serde_json::{Value, json};

use crate::{
    kubernetes::Failure,
    support::{Ran, content},
    world::{World, until},
};

/// The position of the first write that starts with `what`.
#[track_caller]
fn place(writes: &[String], what: &str) -> usize {
    writes.iter().position(|it| it.starts_with(what)).unwrap_or_else(|| panic!("no {what:?} in {writes:#?}"))
}

#[test]
fn create_applies_what_others_need_first_and_ends_with_the_url() {
    let world = World::new();
    let ran = world.create();
    assert_eq!(ran.stdout, format!("http://localhost:{}/\n", world.cluster.port));
    let writes = world.cluster.writes();
    // The objects of a step are applied in parallel, each after the objects that it needs.
    for (first, then) in [
        ("apply Namespace cnpg-system", "apply Deployment cnpg-controller-manager"),
        ("apply CustomResourceDefinition clusters.postgresql.cnpg.io", "apply Cluster polls-db"),
        ("apply Namespace polls", "apply PersistentVolumeClaim polls-db-1"),
        ("apply PersistentVolumeClaim polls-db-1", "apply Cluster polls-db"),
        ("apply Cluster polls-db", "apply Job polls-migration"),
        ("apply ConfigMap polls-frontend", "apply Job polls-migration"),
        ("apply Secret frontend-app", "apply Job polls-migration"),
        ("apply Secret frontend-app", "apply Deployment polls-frontend"),
    ] {
        assert!(place(&writes, first) < place(&writes, then), "{first}, then {then}: {writes:#?}");
    }
    let secret = world.cluster.get("Secret", "polls", "frontend-app").unwrap()["data"]["secret-key"].as_str().unwrap().to_owned();
    assert!(secret.len() > 60 && !format!("{}{}", ran.stdout, ran.stderr).contains(&secret));
}

#[test]
fn a_second_create_writes_nothing_anywhere() {
    let world = World::new();
    let first = world.create();
    world.cluster.forget();
    let (engine, files) = (world.engine.changes(), content(&world.project.root));
    let second = world.create();
    second.says("nothing to do");
    assert_eq!(second.stdout, first.stdout);
    assert_eq!(world.cluster.writes(), Vec::<String>::new());
    assert_eq!(world.engine.changes(), engine);
    let changed: Vec<_> = content(&world.project.root).into_iter().filter(|it| !files.contains(it)).map(|(name, _)| name).collect();
    assert!(changed.iter().all(|it| it.ends_with("/lock")), "{changed:?}");
}

#[test]
fn a_refusal_of_the_server_ends_create_in_the_servers_words() {
    let world = World::new();
    world.cluster.fail("PATCH /apis/apps/v1/namespaces/polls/deployments/", 99, Failure::Webhook);
    let ran = world.run(&["create", "--yes"]);
    ran.ends_with(1).says("admission webhook \"guard.example.com\" denied the request: not on a Friday").says("polls-frontend");
    assert_eq!(ran.stdout, "");
}

#[test]
fn one_connection_lost_while_the_database_is_applied_does_not_end_create() {
    let world = World::new();
    world.cluster.fail("PATCH /apis/postgresql.cnpg.io/v1/namespaces/polls/clusters/", 1, Failure::Reset);
    world.create();
}

#[test]
fn the_database_waits_for_a_class_for_its_volumes() {
    let world = World::new();
    let class = world.cluster.get("StorageClass", "", "standard").unwrap();
    world.cluster.remove("StorageClass", "", "standard");
    std::thread::scope(|scope| {
        let created = scope.spawn(|| world.create());
        let asked = || world.cluster.requests().iter().any(|it| it.contains("storageclasses"));
        until("the question for a class", || asked() || created.is_finished());
        assert!(!world.cluster.writes().iter().any(|it| it.starts_with("apply Cluster polls-db")));
        world.cluster.put(class);
        created.join().unwrap();
    });
}

#[test]
fn a_wait_is_an_event_with_what_is_waited_for_what_was_seen_for_how_long_and_the_limit() {
    let world = World::new();
    world.cluster.page(503);
    // The page never answers; the limit of the whole run ends the wait. A busy machine begins to wait later.
    let within = |words: &[&str], waits: &dyn Fn(&Ran) -> bool| {
        let limits = (12..=132).step_by(10).map(|it| format!("{it}s"));
        let mut runs = limits.map(|limit| world.run(&[&["create", "--yes", "--timeout", &limit], words].concat()));
        runs.find(|it| it.code != 6 || waits(it)).unwrap()
    };
    let read = |ran: &Ran| -> Vec<Value> { ran.stdout.lines().map(|it| serde_json::from_str(it).unwrap()).collect() };
    let is_of_page = |it: &Value| it["event"] == "waiting" && it["what"].as_str().unwrap().contains(" to answer ");
    let ran = within(&["--events"], &|it| read(it).iter().any(|it| is_of_page(it) && it["waited"].as_u64() >= Some(1)));
    ran.ends_with(6);
    let events = read(&ran);
    let of_page: Vec<&Value> = events.iter().filter(|it| is_of_page(it)).collect();
    let last = of_page.last().unwrap_or_else(|| panic!("{events:#?}"));
    assert_eq!((last["task"].as_str(), last["seen"].as_str()), (Some("deploy"), Some("status 503")), "{last}");
    assert!(last["waited"].as_u64() >= Some(1) && last["limit"] == 15, "{last}");
    // The file of events has fewer of them, and the task's log has them as sentences.
    let run = "target/pocdeploy/log";
    let kept = world.project.read(&format!("{run}/events.ndjson"));
    assert!(kept.lines().any(|it| it.contains("\"event\":\"waiting\"") && it.contains("status 503")), "{kept}");
    assert!(world.project.read(&format!("{run}/deploy.log")).contains("waiting for pod polls-frontend-"), "{kept}");
    // The error of an interrupted wait also names its subject and the last state.
    let error = events.iter().find(|it| it["event"] == "run-ended").unwrap()["error"].to_string();
    assert!(error.contains("waiting for pod polls-frontend-") && error.contains("last seen: status 503"), "{error}");
    let is_it = |it: &Value| it["seen"] == "status 503" && it["limit"] == 15;
    let waits = |page: &Value| page["tasks"].as_array().unwrap().iter().flat_map(|it| it["waits"].as_array().unwrap()).any(is_it);
    let page = |ran: &Ran| -> Value { serde_json::from_str(&ran.stdout).unwrap() };
    let ran = within(&["--output", "json"], &|it| waits(&page(it)));
    assert!(waits(&page(&ran)), "{}", ran.stdout);
}

#[test]
fn an_applications_own_kind_of_migration_runs_again_when_any_of_its_files_changes() {
    let world = World::new();
    let jobs = |world: &World| -> Vec<String> {
        world.cluster.writes().into_iter().filter(|it| it.starts_with("apply Job polls-migration")).collect()
    };
    world.project.write("third_party/django-polls/migrate.js", "one");
    world.project.write("third_party/django-polls/views.py", "one");
    world.run(&["patch"]).ends_with(0);
    world.build();
    world.create();
    // Unless Django is a requirement, every file may be an input of the migration.
    for path in ["migrate.js", "views.py", "README.md"] {
        world.cluster.forget();
        world.project.write(&format!("third_party/django-polls/{path}"), "two");
        world.run(&["patch"]).ends_with(0);
        world.build();
        world.run(&["update"]).ends_with(0);
        assert_eq!(jobs(&world).len(), 1, "{path}: {:#?}", world.cluster.writes());
    }
}

/// A CronJob, a PVC, a Secret and a ConfigMap, and last a Deployment that a webhook rejects.
pub(crate) const MORE: &str = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: more}
data: {A: \"1\"}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec: {schedule: \"0 3 * * *\"}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: media}
---
apiVersion: v1
kind: Secret
metadata: {name: mail}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: worker}
spec: {selector: {matchLabels: {app: worker}}, template: {metadata: {labels: {app: worker}}, spec: {containers: [{name: w, image: x}]}}}
";

#[test]
fn what_only_a_failed_change_added_goes_again_and_data_is_kept_and_named() {
    let world = World::new();
    world.create();
    let foreign =
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "mail", "namespace": "polls" }, "data": { "a": "Yg==" } });
    world.project.write("deploy/frontend/zz-more.yaml", MORE);
    let is_there = |kind: &str, name: &str| world.cluster.get(kind, "polls", name).is_some();
    for is_foreign in [false, true] {
        if is_foreign {
            world.cluster.put(foreign.clone());
        }
        world.cluster.fail("PATCH /apis/apps/v1/namespaces/polls/deployments/worker", 1, Failure::Webhook);
        let failed = world.run(&["update"]);
        failed
            .ends_with(1)
            .says("not on a Friday")
            .says("is restored and serves as before")
            .says("deleted again, since only the failed change added it:")
            .says("  CronJob nightly in polls\n")
            .says("PersistentVolumeClaim media in polls: cargo xtask kubectl delete -n polls persistentvolumeclaim media");
        assert!(!is_there("CronJob", "nightly") && !is_there("ConfigMap", "more") && is_there("PersistentVolumeClaim", "media"));
        // An object of another program with the same name is not deleted.
        assert_eq!(is_there("Secret", "mail"), is_foreign);
        assert!(is_there("Deployment", "polls-frontend") && is_there("ConfigMap", "polls-frontend"));
    }
    let status = world.run(&["status"]);
    assert!(
        status.stdout.contains("in the cluster, but not in the serving revision: PersistentVolumeClaim media in polls"),
        "{}",
        status.stdout
    );
    world.cluster.edit("PersistentVolumeClaim", "polls", "media", |it| it["status"] = json!({ "phase": "Bound" }));
    world.run(&["update"]).ends_with(0);
    for (kind, name) in [("CronJob", "nightly"), ("ConfigMap", "more"), ("Secret", "mail"), ("Deployment", "worker")] {
        assert!(is_there(kind, name), "{kind} {name}");
    }
    // Objects of a successful revision are not additions of a later one.
    world.project.write("deploy/frontend/zz-more.yaml", &MORE.replace("0 3", "0 4"));
    world.cluster.fail("PATCH /apis/apps/v1/namespaces/polls/deployments/worker", 1, Failure::Webhook);
    world.run(&["update"]).ends_with(1).says("is restored");
    assert_eq!(world.cluster.get("CronJob", "polls", "nightly").unwrap()["spec"]["schedule"], "0 3 * * *");
}

#[test]
fn a_port_that_is_lost_while_the_cluster_is_made_gives_way_to_the_next_one() {
    let world = World::without_node();
    let version = world.project.read("build/images/versions.toml");
    let version = version.lines().find_map(|it| it.strip_prefix("kind = \"")).unwrap().trim_end_matches('"');
    // The first two calls fail because of their ports; the third fails for another reason.
    let script = format!(
        "#!/bin/sh\ncd {root}\necho \"$1\" >> calls\ncase \"$1\" in\nversion) echo {version} ;;\ndelete) ;;\n\
         create) cp target/pocdeploy/kind.json kind-$(grep -c create calls).json\n\
         [ $(grep -c create calls) = 3 ] && {{ echo no room >&2; exit 1; }}\n\
         echo 'ERROR: failed to create cluster: command \"docker run --name x\" failed with error: exit status 125' >&2\n\
         echo 'Bind for 127.0.0.1:8080 failed: port is already allocated' >&2; exit 1 ;;\nesac\n",
        root = world.project.root.display()
    );
    world.project.write("fakes/kind", &script);
    let ran = world.run(&["cluster", "--yes"]);
    ran.ends_with(1).says("while the cluster was made: the next free one is tried").says("no room");
    let port = |number: u32| -> u64 {
        let text = world.project.read(&format!("kind-{number}.json"));
        let at = text.find("\"hostPort\":").unwrap_or_else(|| panic!("{text}"));
        text[at..].chars().skip_while(|it| !it.is_ascii_digit()).take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
    };
    assert!(port(1) < port(2) && port(2) < port(3));
    assert_eq!(world.project.read("calls").matches("delete").count(), 2);
    // If the user sets a port, no other is tried.
    std::fs::remove_file(world.project.root.join("calls")).unwrap();
    let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let ran = Ran::from(world.command(&["cluster", "--yes"]).env("POCDEPLOY_CLUSTER_PORT", free.to_string()).output().unwrap());
    ran.ends_with(4).says("error[E0106]").says(&format!("port {free} was taken by another program while the cluster was made"));
    assert_eq!(world.project.read("calls").matches("create").count(), 1);
}

#[test]
fn a_claim_that_is_there_before_the_database_is_not_made_again() {
    let world = World::new();
    world.cluster.put(json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "polls" } }));
    world.cluster.put(json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": { "name": "polls-db-3", "namespace": "polls", "labels": { "cnpg.io/cluster": "polls-db" } },
    }));
    world.create();
    assert!(!world.cluster.writes().iter().any(|it| it.starts_with("apply PersistentVolumeClaim")), "{:#?}", world.cluster.writes());
    assert!(!world.engine.requests().iter().any(|it| it.contains("/bootstrap ")), "{:#?}", world.engine.requests());
}

#[test]
fn files_that_cannot_be_made_before_the_database_are_left_to_its_operator() {
    for (said, code, told) in [
        (json!({ "reason": "the database is imported" }).to_string(), 0, None),
        ("no space left".to_owned(), 1, Some("the operator's Job runs initdb, since it failed ahead of time")),
    ] {
        let world = World::new();
        *world.files.lock().unwrap() = (said, code);
        let ran = world.create();
        told.map(|it| ran.says(it));
        assert!(!world.cluster.writes().iter().any(|it| it.starts_with("apply PersistentVolumeClaim")), "{:#?}", world.cluster.writes());
    }
}

#[test]
fn a_plan_shows_each_property_and_no_secret_and_writes_nothing() {
    let world = World::new();
    world.create();
    world.cluster.forget();
    world.run(&["plan", "--detailed-exitcode"]).ends_with(0);
    let secret = "canary".repeat(10);
    let mut command = world.command(&["plan", "--detailed-exitcode", "--out", "plan.json"]);
    let ran = Ran::from(command.env("POCDEPLOY_FRONTEND_REPLICAS", "3").env("POCDEPLOY_SECRET_KEY", &secret).output().unwrap());
    ran.ends_with(2);
    assert!(ran.stdout.contains("spec.replicas: 2 -> 3\n"), "{}", ran.stdout);
    // The pods read the key when they start.
    assert!(ran.stdout.contains("spec.template.metadata.annotations.dev.pocdeploy/settings: "), "{}", ran.stdout);
    assert!(ran.stdout.contains("~ Secret frontend-app in polls: data.secret-key: [redacted] -> [redacted]\n"), "{}", ran.stdout);
    assert!(!world.project.read("plan.json").contains(&secret) && !ran.stdout.contains(&secret));
    assert_eq!(world.cluster.writes(), Vec::<String>::new());
    world.cluster.page(503);
    let ran = world.run(&["plan"]);
    assert!(ran.stdout.contains("~ deploy       would run: the page does not answer: status 503\n"), "{}", ran.stdout);
}

#[test]
fn a_kept_plan_is_done_exactly_or_not_at_all() {
    let world = World::new();
    world.create();
    let with = |arguments: &[&str]| Ran::from(world.command(arguments).env("POCDEPLOY_FRONTEND_REPLICAS", "3").output().unwrap());
    with(&["plan", "--out", "plan.json"]).ends_with(0);
    // Another client changes the object in between.
    world.cluster.edit("Deployment", "polls", "polls-frontend", |it| it["spec"]["replicas"] = json!(7));
    world.cluster.forget();
    let refused = with(&["create", "--yes", "--plan", "plan.json"]);
    refused
        .ends_with(1)
        .says("is out of date; nothing was changed")
        .says("not in the plan: ~ Deployment polls-frontend in polls: spec.replicas: 7 -> 3");
    assert_eq!(world.cluster.writes(), Vec::<String>::new());
    world.cluster.edit("Deployment", "polls", "polls-frontend", |it| it["spec"]["replicas"] = json!(2));
    with(&["create", "--yes", "--plan", "plan.json"]).ends_with(0);
    assert_eq!(world.cluster.get("Deployment", "polls", "polls-frontend").unwrap()["spec"]["replicas"], 3);
}

#[test]
fn looking_asks_no_registry_and_keeps_no_decision() {
    let world = World::new();
    world.project.write("Pocdeploy.toml", "name = \"doors\"\n");
    // They may remember the hashes of files, which decide nothing.
    let files =
        || -> Vec<_> { content(&world.project.root).into_iter().filter(|(path, _)| !path.ends_with("target/pocdeploy/hashes")).collect() };
    let before = files();
    for arguments in [&["graph"][..], &["plan"], &["explain"], &["explain", "--output", "json"], &["ls", "--output", "json"]] {
        world.run(arguments).ends_with(0);
    }
    assert_eq!(files(), before);
    let asked: Vec<String> = world.engine.requests().into_iter().filter(|it| it.contains("/distribution/")).collect();
    assert_eq!((asked, world.engine.changes()), (Vec::new(), Vec::new()));
    // The first run that needs the decision asks once.
    world.run(&["cluster", "--yes"]).ends_with(0).says("the registry does not answer");
    assert_eq!(world.engine.requests().iter().filter(|it| it.contains("/distribution/")).count(), 1);
}

#[test]
fn a_tag_that_another_checkout_moves_is_set_once_and_never_fought_for() {
    let world = World::new();
    world.create();
    let of_another = || world.engine.image("polls:1.0.0", &[("of", "another checkout")]);
    of_another();
    // Nothing says yet that these inputs were the last ones here.
    world.run(&["create", "--yes"]).ends_with(0).says("polls:1.0.0 is another image");
    of_another();
    world.run(&["create", "--yes"]).ends_with(0).says("nothing to do").says("polls:1.0.0 is another checkout's");
}

#[test]
fn a_pod_of_an_earlier_job_of_the_same_name_does_not_end_the_wait_for_the_migration() {
    let world = World::new();
    world.create();
    let job = world.cluster.writes().iter().find_map(|it| it.strip_prefix("apply Job ").map(str::to_owned)).unwrap();
    world.cluster.remove("Job", "polls", &job);
    world.cluster.stall("Job");
    let pod = |name: &str, uid: &str| {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": name, "namespace": "polls",
                "labels": { "job-name": job, "batch.kubernetes.io/job-name": job, "batch.kubernetes.io/controller-uid": uid },
            },
            "status": { "phase": "Succeeded", "containerStatuses": [{ "name": "migration", "state": { "terminated": { "exitCode": 0 } } }] },
        })
    };
    world.cluster.put(pod("earlier", "of-an-earlier-job"));
    world.cluster.forget();
    std::thread::scope(|scope| {
        let created = scope.spawn(|| world.create());
        let asked = || world.cluster.requests().iter().filter(|it| **it == format!("get jobs/{job}")).count();
        until("the wait for the Job", || asked() > 5 || created.is_finished());
        assert!(!created.is_finished(), "{:#?}", world.cluster.requests());
        let new = world.cluster.get("Job", "polls", &job).unwrap()["metadata"]["uid"].as_str().unwrap().to_owned();
        world.cluster.put(pod("its-own", &new));
        created.join().unwrap();
    });
}
