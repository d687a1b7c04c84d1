//! Further services against a cluster in memory: what of their manifests is set, and what is refused.

use serde_json::{Value, json};

use crate::world::World;

const WORKER: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: worker}
spec:
  selector: {matchLabels: {app: worker}}
  template:
    metadata: {labels: {app: worker}}
    spec:
      containers:
        - {name: proxy, image: 'envoy:1', ports: [{containerPort: 9901}]}
        - {name: worker, image: 'polls:set-by-pocdeploy', command: [python3, work.py]}
";

fn with_worker(configuration: &str, manifest: &str) -> World {
    let world = World::new();
    let before = std::fs::read_to_string(world.project.root.join("Pocdeploy.toml")).unwrap();
    world.project.write("Pocdeploy.toml", &format!("{before}{configuration}"));
    if !manifest.is_empty() {
        world.project.write("deploy/worker/all.yaml", manifest);
    }
    world
}

#[test]
fn a_service_runs_the_image_of_another_with_its_own_number_of_pods() {
    let world = with_worker("[services.worker]\nuses = \"frontend\"\nreplicas = 3\n", WORKER);
    world.create();
    let deployment = |name: &str| world.cluster.get("Deployment", "polls", name).unwrap();
    let (worker, first) = (deployment("worker"), deployment("polls-frontend"));
    let containers = worker["spec"]["template"]["spec"]["containers"].as_array().unwrap();
    assert_eq!(worker["spec"]["replicas"], 3);
    assert_eq!(first["spec"]["replicas"], 2);
    assert_eq!(containers[0]["image"], "envoy:1");
    assert_eq!(containers[1]["image"], first["spec"]["template"]["spec"]["containers"][0]["image"]);
    assert_eq!(worker["metadata"]["labels"]["dev.pocdeploy/instance"], first["metadata"]["labels"]["dev.pocdeploy/instance"]);
    // It has neither a page nor a Secret of its own.
    assert!(!worker.to_string().contains("dev.pocdeploy/application") && !worker.to_string().contains("dev.pocdeploy/page"));
    assert!(world.cluster.get("Secret", "polls", "worker-app").is_none());
    world.run(&["graph"]).ends_with(0).stdout.lines().for_each(|it| assert!(!it.contains("worker"), "{it}"));
    assert!(world.run(&["status"]).stdout.contains("worker: "));
}

#[test]
fn pods_that_do_not_wait_for_the_database_start_after_the_migration_also_at_first() {
    let world = with_worker("[services.worker]\nuses = \"frontend\"\ncommand = [\"python3\", \"work.py\"]\n", "");
    world.create();
    let writes = world.cluster.writes();
    let place = |what: &str| writes.iter().position(|it| it.starts_with(what)).unwrap_or_else(|| panic!("no {what:?} in {writes:#?}"));
    assert!(place("apply Job polls-migration") < place("apply Deployment worker"), "{writes:#?}");
}

#[test]
fn what_a_service_lacks_or_has_twice_is_refused_before_anything_is_made() {
    let worker = "[services.worker]\nuses = \"frontend\"\n";
    let world = with_worker(worker, "");
    world.run(&["create", "--yes"]).ends_with(3).says("services.worker has neither a command nor a workload in deploy/worker");
    let twin = WORKER.replace("name: worker}\nspec", "name: polls-frontend}\nspec");
    let world = with_worker(worker, &twin);
    world.run(&["create", "--yes"]).ends_with(3).says("a duplicate object").says("deploy/worker/all.yaml");
    assert_eq!(world.cluster.writes(), Vec::<String>::new());
    let world = with_worker(worker, WORKER);
    world.run(&["create", "--yes", "--from", "image/api"]).ends_with(2).says("there is no task image/api; there is image");
    world.run(&["logs", "api"]).ends_with(2).says("no service api has pods that run; there is app, worker");
}

#[test]
fn an_application_without_manifests_gets_the_tools_own_and_an_object_of_the_users_beside_them() {
    let world = World::new();
    std::fs::remove_dir_all(world.project.root.join("deploy/frontend")).unwrap();
    let before = world.project.read("Pocdeploy.toml");
    let worker = "[services.worker]\nuses = \"frontend\"\ncommand = [\"./work\"]\n";
    world.project.write("Pocdeploy.toml", &format!("{before}[frontend]\nport = 9000\n[frontend.env]\nDB = \"$(PGHOST)\"\n{worker}"));
    let own = "{apiVersion: v1, kind: ConfigMap, metadata: {name: own}, data: {a: b}}\n---\n\
               {apiVersion: v1, kind: Service, metadata: {name: frontend, annotations: {mine: 'yes'}}, spec: {selector: {app.kubernetes.io/name: frontend}, \
               ports: [{port: 80, targetPort: http}]}}\n";
    world.project.write("deploy/frontend/own.yaml", own);
    world.create();
    let writes = world.cluster.writes();
    for what in [
        "Cluster polls-db",
        "Deployment frontend",
        "Deployment worker",
        "ConfigMap own",
        "Service frontend",
        "Ingress frontend",
        "Secret frontend-app",
    ] {
        assert!(writes.iter().any(|it| it == &format!("apply {what}")), "no {what} in {writes:#?}");
    }
    let deployment = world.cluster.get("Deployment", "polls", "frontend").unwrap();
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["ports"][0]["containerPort"], 9000);
    let settings = world.cluster.get("ConfigMap", "polls", "frontend").unwrap();
    assert_eq!(settings["data"]["APP_URL"], format!("http://localhost:{}", world.cluster.port));
    let service = world.cluster.get("Service", "polls", "frontend").unwrap();
    assert_eq!((&service["metadata"]["annotations"]["mine"], &service["spec"]["type"]), (&"yes".into(), &"NodePort".into()));
    // A key that a workload of the user's would not follow is an error.
    world.project.write("deploy/worker/own.yaml", WORKER);
    world.run(&["create", "--yes"]).ends_with(3).says("services.worker.command has no effect: deploy/worker has its own manifest for that");
}

/// An application without manifests, with files of the user's in `deploy/frontend`.
fn plain(configuration: &str, files: &[(&str, &str)]) -> World {
    let world = World::new();
    std::fs::remove_dir_all(world.project.root.join("deploy/frontend")).unwrap();
    let before = world.project.read("Pocdeploy.toml");
    world.project.write("Pocdeploy.toml", &format!("{before}[frontend]\n{configuration}"));
    files.iter().for_each(|(name, text)| world.project.write(&format!("deploy/frontend/{name}"), text));
    world
}

const MARK: &str = "annotations: {dev.pocdeploy/merge: 'true'}";

#[test]
fn a_file_amends_the_object_that_the_tool_writes() {
    let more = format!(
        "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: frontend, {MARK}}}, spec: {{template: {{spec: {{containers: [\
         {{name: frontend, env: [{{name: MORE, value: $(PORT)}}], resources: {{limits: {{cpu: null}}}}}}]}}}}}}}}\n"
    );
    let database = format!(
        "{{apiVersion: postgresql.cnpg.io/v1, kind: Cluster, metadata: {{name: polls-db, {MARK}}}, spec: {{postgresql: {{parameters: \
         {{work_mem: 8MB}}}}}}}}\n"
    );
    let world = plain("port = 9000\n", &[("more.yaml", &more)]);
    world.project.write("deploy/database/more.yaml", &database);
    world.create();
    let deployment = world.cluster.get("Deployment", "polls", "frontend").unwrap();
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let env = container["env"].as_array().unwrap();
    assert_eq!((&env[0]["name"], &env.last().unwrap()["name"]), (&"PORT".into(), &"MORE".into()));
    assert_eq!(container["resources"]["limits"].get("cpu"), None);
    assert_eq!(deployment["metadata"]["annotations"].get("dev.pocdeploy/merge"), None);
    let cluster = world.cluster.get("Cluster", "polls", "polls-db").unwrap();
    assert_eq!(cluster["spec"]["postgresql"]["parameters"]["work_mem"], "8MB");
}

#[test]
fn an_object_without_a_namespace_amends_one_that_names_the_namespace_it_was_written_for() {
    let world = World::new();
    let config = world.project.read("Pocdeploy.toml");
    world.project.write("Pocdeploy.toml", &format!("namespace = \"elsewhere\"\n{config}"));
    let file =
        format!("{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: polls-frontend, {MARK}}}, spec: {{minReadySeconds: 7}}}}\n");
    world.project.write("deploy/frontend/zz.yaml", &file);
    assert!(world.project.read("deploy/frontend/deployment.yaml").contains("namespace: polls"));
    world.run(&["plan"]).ends_with(0);
}

#[test]
fn what_amends_nothing_or_cannot_be_merged_is_refused_with_its_place() {
    let of =
        |name: &str, spec: &str| format!("{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: {name}, {MARK}}}, spec: {spec}}}\n");
    for (file, expected) in [
        (of("fronted", "{}"), "deploy/frontend/more.yaml:1: Deployment fronted amends no object: there is frontend"),
        (of("frontend", "{$retainKeys: [a]}"), "deploy/frontend/more.yaml:1: spec.$retainKeys is not supported"),
        (of("frontend", "{}") + "---\n" + &of("frontend", "{}"), "a duplicate object"),
    ] {
        let world = plain("", &[("more.yaml", &file)]);
        world.run(&["create", "--yes"]).ends_with(3).says(expected);
        assert_eq!(world.cluster.writes(), Vec::<String>::new());
    }
}

#[test]
fn a_workload_beside_the_application_is_added_and_a_deployment_of_its_name_replaces_it() {
    let pods = |name: &str, image: &str| {
        format!(
            "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: {name}}}, spec: {{selector: {{matchLabels: {{app: {name}}}}}, template: \
             {{metadata: {{labels: {{app: {name}, app.kubernetes.io/name: {name}, app.kubernetes.io/component: {name}}}}}, spec: {{containers: \
             [{{name: c, image: '{image}', ports: [{{name: http, containerPort: 8000}}]}}]}}}}}}}}\n"
        )
    };
    let world = plain("port = 9000\n", &[("redis.yaml", &pods("redis", "redis:7"))]);
    world.create();
    for name in ["frontend", "redis"] {
        assert!(world.cluster.get("Deployment", "polls", name).is_some(), "{name}");
    }
    let world = plain("port = 9000\n", &[("own.yaml", &pods("frontend", "polls:set-by-pocdeploy"))]);
    world.create();
    assert_eq!(world.cluster.get("Deployment", "polls", "frontend").unwrap()["spec"]["template"]["spec"]["containers"][0]["name"], "c");
    assert!(world.cluster.get("Ingress", "polls", "frontend").is_some());
    let world = plain("health = \"/up\"\n", &[("own.yaml", &pods("frontend", "polls:set-by-pocdeploy"))]);
    world.run(&["create", "--yes"]).ends_with(3).says("frontend.health has no effect: deploy/frontend has its own manifest for that");
}

#[test]
fn eject_writes_what_the_tool_would_apply_and_says_which_keys_it_replaces() {
    let world = plain("port = 9000\nmigrate = [\"./migrate\"]\n[frontend.env]\nA = \"012\"\nB = \"no\"\n", &[]);
    world.create();
    let before = world.cluster.get("Deployment", "polls", "frontend").unwrap();
    let said = world.run(&["eject", "deploy/frontend/service.yaml"]);
    assert!(said.ends_with(0).stdout.trim_end().ends_with("deploy/frontend/service.yaml"), "{}", said.stdout);
    let said = world.run(&["eject", "--dry-run", "deploy/frontend"]);
    said.ends_with(0);
    assert!(!world.project.root.join("deploy/frontend/deployment.yaml").exists());
    world
        .run(&["eject", "deploy/frontend"])
        .ends_with(0)
        .says("remove from [frontend]: port, migrate, env; deploy/frontend has them from now on");
    let file = world
        .project
        .read("Pocdeploy.toml")
        .replace("port = 9000\nmigrate = [\"./migrate\"]\n[frontend.env]\nA = \"012\"\nB = \"no\"\n", "");
    world.project.write("Pocdeploy.toml", &file);
    world.run(&["create", "--yes"]).ends_with(0).says("nothing to do");
    assert_eq!(world.cluster.get("Deployment", "polls", "frontend").unwrap()["spec"], before["spec"]);
    world.run(&["eject", "deploy/frontend"]).ends_with(2).says("there is nothing to write");
}

#[test]
fn twenty_services_need_no_more_requests_than_one() {
    let counts = |number: usize| -> Vec<(&str, usize)> {
        let services: String =
            (0..number).map(|it| format!("[services.worker{it}]\nuses = \"frontend\"\ncommand = [\"./work\", \"{it}\"]\n")).collect();
        let world = with_worker(&services, "");
        world.create();
        let mut out = Vec::new();
        for command in ["create", "plan", "status", "validate"] {
            world.cluster.forget();
            let ran = world.run(&[command]);
            // The double has no pods, so `validate` finds that much is missing.
            assert!(ran.code == 0 || command == "validate", "{command}: {}", ran.stderr);
            out.push((command, world.cluster.requests().len()));
        }
        out
    };
    let one = counts(1);
    assert!(one.iter().all(|(_, count)| *count > 10), "{one:?}");
    assert_eq!(counts(20), one);
}

/// What the containers of a world's database, application and migration ask for, in this order.
fn asked_for(world: &World) -> [String; 3] {
    let job = world.cluster.writes().iter().find_map(|it| it.strip_prefix("apply Job polls-migration").map(str::to_owned)).unwrap();
    let job = format!("polls-migration{job}");
    let container = "/spec/template/spec/containers/0/resources/requests/cpu";
    let of = |(kind, name, at): (&str, &str, &str)| {
        let object = world.cluster.get(kind, "polls", name).unwrap();
        object.pointer(at).and_then(Value::as_str).unwrap_or_else(|| panic!("{kind} {name}: {object}")).to_owned()
    };
    let database = ("Cluster", "polls-db", "/spec/resources/requests/cpu");
    [database, ("Deployment", "polls-frontend", container), ("Job", &job, container)].map(of)
}

#[test]
fn containers_ask_for_a_tenth_of_the_processors_on_a_machine_of_their_own_alone() {
    let written = ["300m", "100m", "100m"];
    let world = World::new();
    world.create();
    // A Job that has run would run again for another request.
    assert_eq!(asked_for(&world), ["30m", "10m", "100m"]);
    let operator = world.cluster.get("Deployment", "cnpg-system", "cnpg-controller-manager").unwrap();
    // The operator's manifest here names no request, so that a tenth of the limit is asked for.
    assert_eq!(operator.pointer("/spec/template/spec/containers/0/resources/requests/cpu").unwrap(), "200m");
    // What a bound or an autoscaler reads stays as it is written, and so does all on a cluster without shortcuts.
    let bound = "{apiVersion: v1, kind: LimitRange, metadata: {name: bound}, spec: {limits: [{type: Container, min: {cpu: 50m}}]}}\n";
    let scaler = "{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: polls}, spec: {maxReplicas: 3, \
                  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: polls-frontend}}}\n";
    let scaled = ["30m", "100m", "100m"];
    for (configuration, manifest, expected) in [("", bound, written), ("", scaler, scaled), ("[cluster]\nshortcuts = false\n", "", written)]
    {
        let world = with_worker(configuration, "");
        if !manifest.is_empty() {
            world.project.write("deploy/frontend/own.yaml", manifest);
        }
        world.create();
        assert_eq!(asked_for(&world), expected, "{configuration}{manifest}");
    }
}

#[test]
fn a_pod_that_no_node_has_room_for_is_named_while_it_is_waited_for() {
    let world = World::new();
    world.create();
    world.cluster.stall("Deployment");
    // The controller sees what is applied, and its new pod waits.
    world.cluster.edit("Deployment", "polls", "polls-frontend", |it| it["status"] = json!({ "observedGeneration": 99, "replicas": 1 }));
    let mut labels = world.cluster.get("Deployment", "polls", "polls-frontend").unwrap()["spec"]["selector"]["matchLabels"].clone();
    labels["pod-template-hash"] = json!("new");
    let set = json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": { "name": "full", "namespace": "polls", "labels": labels, "annotations": { "deployment.kubernetes.io/revision": "99" } },
    });
    let said = "0/1 nodes are available: 1 Insufficient memory. preemption: 0/1 nodes are available: 1 No preemption victims found.";
    let condition = json!({ "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": said });
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "full-1", "namespace": "polls", "labels": labels },
        "status": { "phase": "Pending", "conditions": [condition] },
    });
    world.cluster.put(set);
    world.cluster.put(pod);
    let before = world.project.read("Pocdeploy.toml");
    world.project.write("Pocdeploy.toml", &format!("{before}[frontend]\nreplicas = 3\n"));
    // A busy machine begins to wait later.
    let mut runs = (12..=42).step_by(10).map(|limit| world.run(&["create", "--yes", "--timeout", &format!("{limit}s")]));
    let named = "no node has room for pod full-1: 0/1 nodes are available: 1 Insufficient memory; waiting for ";
    let ran = runs.find(|it| it.code != 6 || it.stderr.contains(named)).unwrap();
    ran.ends_with(6).says(named);
}
