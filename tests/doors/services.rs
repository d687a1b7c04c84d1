//! Further services against a cluster in memory: what of their manifests is set, and what is refused.

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
        "Secret polls-app",
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
    world.run(&["create", "--yes"]).ends_with(3).says("services.worker.command means nothing: deploy/worker has a workload of its own");
}
