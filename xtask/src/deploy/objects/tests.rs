//! The fields that the tool sets in a folder's objects, and those that it does not change.

use super::*;
use crate::deploy::manifests::{self, Place};

fn kind() -> Exposure {
    Exposure::here(ServiceType::NodePort(Some(30080)))
}

fn home() -> Roles {
    Roles { home: "polls".to_owned(), ..Roles::default() }
}

fn with(object: Value) -> Value {
    with_roles(vec![object], &home(), &kind(), Some(&Address::new("http://localhost:8081"))).remove(0)
}

/// The objects of a folder on a cluster with this exposure, complete if the address is known.
fn with_roles(objects: Vec<Value>, roles: &Roles, exposure: &Exposure, address: Option<&Address>) -> Vec<Value> {
    with_config(&Config::default(), objects, roles, exposure, address)
}

fn with_config(config: &Config, objects: Vec<Value>, roles: &Roles, exposure: &Exposure, address: Option<&Address>) -> Vec<Value> {
    let (image, postgresql) = (PublishedImage::new("polls:1-ab"), PublishedImage::new("pg:17"));
    let values = Values {
        config,
        service: &config.frontend,
        image_name: &config.frontend.image,
        instance: "i",
        image: Some(&image),
        postgresql: &postgresql,
        exposure,
        address,
        has_pull_secret: false,
        own_credentials: true,
    };
    let place = Place { file: "a.yaml".to_owned(), line: 1 };
    complete_all(objects.into_iter().map(|object| Manifest { object, place: place.clone() }).collect(), roles, &values)
}

#[test]
fn settings_lack_an_address_that_is_not_known_yet_and_have_it_later() {
    let cloud = Exposure::of(ServiceType::LoadBalancer);
    let settings = json!({ "kind": "ConfigMap", "metadata": { "name": "c" }, "data": { "ALLOWED_HOSTS": "", "TRUSTED_ORIGINS": "", "PLAIN_HTTP_HOSTS": "" } });
    let data = |address: Option<&Address>| with_roles(vec![settings.clone()], &home(), &cloud, address).remove(0)["data"].clone();
    assert_eq!(
        data(None),
        json!({ "ALLOWED_HOSTS": "polls.localhost", "TRUSTED_ORIGINS": "https://polls.localhost", "PLAIN_HTTP_HOSTS": "" })
    );
    let later = data(Some(&Address::new("http://192.0.2.7")));
    assert_eq!(
        later,
        json!({
            "ALLOWED_HOSTS": "polls.localhost,192.0.2.7",
            "TRUSTED_ORIGINS": "https://polls.localhost,http://192.0.2.7",
            "PLAIN_HTTP_HOSTS": "192.0.2.7",
        })
    );
}

/// The objects of a folder's text, with the example's configuration.
fn folder(text: &str) -> Vec<Value> {
    let manifests = manifests::read(text, "a.yaml").unwrap();
    let roles = Roles::of(&manifests, "polls", None).unwrap();
    with_roles(manifests.into_iter().map(|it| it.object).collect(), &roles, &kind(), None)
}

#[test]
fn the_address_reaches_the_settings_that_are_there_and_no_others() {
    let out = with(json!({ "kind": "ConfigMap", "metadata": { "name": "c" }, "data": {
        "POLLS_ALLOWED_HOSTS": "", "POLLS_TRUSTED_ORIGINS": "", "POLLS_PLAIN_HTTP_HOSTS": "", "OTHER": "stays",
    } }));
    assert_eq!(
        out["data"],
        json!({
            "POLLS_ALLOWED_HOSTS": "polls.localhost,localhost,127.0.0.1",
            "POLLS_TRUSTED_ORIGINS": "https://polls.localhost,http://localhost:8081,http://127.0.0.1:8081",
            "POLLS_PLAIN_HTTP_HOSTS": "localhost,127.0.0.1",
            "OTHER": "stays",
        })
    );
}

#[test]
fn our_containers_of_every_kind_get_the_image_and_a_policy_that_works_without_a_registry_and_no_others_do() {
    let pod = json!({
        "containers": [{ "image": "polls:set-by-pocdeploy" }, { "image": "redis:7", "imagePullPolicy": "Always" }],
        "initContainers": [{ "image": "polls", "imagePullPolicy": "Always" }, { "image": "other/polls:1" }],
    });
    let template = json!({ "template": { "spec": pod } });
    let jobs = json!({ "jobTemplate": { "spec": template } });
    for (kind, spec, at) in [
        ("Deployment", &template, "/spec/template/spec"),
        ("StatefulSet", &template, "/spec/template/spec"),
        ("DaemonSet", &template, "/spec/template/spec"),
        ("Job", &template, "/spec/template/spec"),
        ("CronJob", &jobs, "/spec/jobTemplate/spec/template/spec"),
        ("Pod", &pod, "/spec"),
    ] {
        let out = with(json!({ "kind": kind, "metadata": { "name": "x" }, "spec": spec }));
        let pod = out.pointer(at).unwrap();
        let ours = json!({ "image": "polls:1-ab", "imagePullPolicy": "IfNotPresent" });
        assert_eq!(pod["containers"], json!([ours, { "image": "redis:7", "imagePullPolicy": "Always" }]), "{kind}");
        assert_eq!(pod["initContainers"], json!([ours, { "image": "other/polls:1" }]), "{kind}");
    }
}

#[test]
fn the_database_follows_the_configuration() {
    let out = with(json!({ "apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster", "metadata": { "name": "polls-db" }, "spec": {} }));
    assert_eq!(out["spec"]["bootstrap"]["initdb"], json!({ "database": "polls", "owner": "polls", "secret": { "name": "polls-db-app" } }));
    assert_eq!(out["spec"]["imageName"], "pg:17");
    // The rule of the manifest is the one that the setting removes.
    let manifest = manifests::read(include_str!("../../../../deploy/database/cluster.yaml"), "cluster.yaml").unwrap();
    let rules = |it: &Value| it["spec"]["postgresql"]["pg_hba"].clone();
    let mut cluster = manifest.into_iter().map(|it| it.object).find(|it| it["kind"] == "Cluster").unwrap();
    assert_eq!(rules(&with(cluster.clone())), json!([TLS_ONLY]));
    cluster["spec"]["postgresql"]["pg_hba"].as_array_mut().unwrap().push(json!("host all all all md5"));
    let mut config = Config::default();
    config.database.require_tls = false;
    let open = with_config(&config, vec![cluster.clone()], &home(), &kind(), None);
    assert_eq!(rules(&open[0]), json!(["host all all all md5"]));
    assert_eq!((&open[0]["spec"]["instances"], &open[0]["spec"]["postgresql"]["synchronous"]), (&json!(1), &Value::Null));
    // Instances, and the replicas that must have a transaction before it is acknowledged.
    for (given, all, told) in [(1, 3, 1), (2, 3, 1), (4, 4, 2), (5, 5, 2)] {
        config.database = crate::config::Database { profile: Profile::Durable, instances: given, ..crate::config::Database::default() };
        let durable = with_config(&config, vec![cluster.clone()], &home(), &kind(), None);
        assert_eq!(durable[0]["spec"]["instances"], all);
        let synchronous = &durable[0]["spec"]["postgresql"]["synchronous"];
        assert_eq!((&synchronous["dataDurability"], &synchronous["number"]), (&json!("required"), &json!(told)));
    }
    cluster["spec"]["postgresql"]["synchronous"] = json!({ "number": 3, "method": "first" });
    let own = with_config(&config, vec![cluster], &home(), &kind(), None);
    let expected = json!({ "number": 3, "method": "first", "dataDurability": "required", "failoverQuorum": true });
    assert_eq!(own[0]["spec"]["postgresql"]["synchronous"], expected);
}

#[test]
fn a_job_is_another_one_when_its_manifest_or_what_decides_differs_and_not_for_its_image() {
    let job = |command: &str, image: &str, decides: &str| {
        let pod = json!({ "containers": [{ "name": "m", "image": image, "command": [command] }] });
        let mut key = Fingerprint::new();
        key.add("migrations", decides);
        let job = with(json!({ "kind": "Job", "metadata": { "name": "m" }, "spec": { "template": { "spec": pod } } }));
        name_by_content(job, image, &key)
    };
    let name = |job: Value| (job["metadata"]["name"].clone(), inputs_of(&job).map(str::to_owned));
    assert_eq!(name(job("a", "polls:1", "x")), name(job("a", "polls:2", "x")));
    assert_ne!(name(job("a", "polls:1", "x")), name(job("a", "polls:1", "y")));
    assert_ne!(name(job("a", "polls:1", "x")), name(job("b", "polls:1", "x")));
}

const APP: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 7
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: proxy, image: 'nginx:1', ports: [{containerPort: 80}]}
      - {name: web, image: polls, ports: [{name: http, containerPort: 8000}, {name: metrics, containerPort: 9000}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{name: metrics, port: 9000}, {name: http, port: 80, targetPort: http}]
---
";

#[test]
fn replicas_service_page_and_host_concern_only_the_application() {
    let redis = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: a-redis}
spec: {replicas: 1, template: {metadata: {labels: {app: redis}}, spec: {containers: [{name: r, image: 'redis:7'}]}}}
---
{apiVersion: v1, kind: Service, metadata: {name: redis}, spec: {selector: {app: redis}, ports: [{port: 6379}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: headless}, spec: {clusterIP: None, selector: {app: web}, ports: [{port: 80}]}}
---
{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: default}, spec: {defaultBackend: {service: {name: web, port: {number: 80}}}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: both}
spec:
  tls: [{hosts: [a.example, b.example]}]
  rules:
  - {host: a.example, http: {paths: [{path: /, backend: {service: {name: redis}}}]}}
  - {http: {paths: [{path: /, backend: {service: {name: web}}}]}}
  - {host: b.example, http: {paths: [{path: /, backend: {service: {name: web}}}]}}
---
";
    for text in [format!("{redis}{APP}"), format!("{APP}{redis}")] {
        let found = folder(&text);
        let get = |kind: &str, name: &str| found.iter().find(|it| it["kind"] == kind && it["metadata"]["name"] == name).unwrap();
        assert_eq!(
            (&get("Deployment", "web")["spec"]["replicas"], &get("Deployment", "a-redis")["spec"]["replicas"]),
            (&json!(2), &json!(1))
        );
        assert_eq!(roles::page_of(get("Deployment", "web")), Some(("web", Some(8000))));
        assert_eq!(roles::page_of(get("Deployment", "a-redis")), None);
        assert_eq!(get("Deployment", "a-redis")["spec"]["template"]["spec"]["containers"][0], json!({ "name": "r", "image": "redis:7" }));
        let web = &get("Service", "web")["spec"];
        assert_eq!(web["type"], "NodePort");
        assert_eq!(
            web["ports"],
            json!([{ "name": "metrics", "port": 9000 }, { "name": "http", "port": 80, "targetPort": "http", "nodePort": 30080 }])
        );
        for (name, spec) in [
            ("redis", json!({ "selector": { "app": "redis" }, "ports": [{ "port": 6379 }] })),
            ("headless", json!({ "clusterIP": "None", "selector": { "app": "web" }, "ports": [{ "port": 80 }] })),
        ] {
            assert_eq!(get("Service", name)["spec"], spec);
        }
        let default = json!({ "defaultBackend": { "service": { "name": "web", "port": { "number": 80 } } } });
        assert_eq!(get("Ingress", "default")["spec"], default);
        let both = &get("Ingress", "both")["spec"];
        let hosts: Vec<&Value> = both["rules"].as_array().unwrap().iter().map(|it| &it["host"]).collect();
        assert_eq!(hosts, [&json!("a.example"), &Value::Null, &json!("polls.localhost")]);
        assert_eq!(both["tls"][0]["hosts"], json!(["a.example", "polls.localhost"]));
    }
}

#[test]
fn an_autoscaler_decides_about_the_number_of_pods() {
    let scaler = "{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: web}, spec: {scaleTargetRef: {kind: Deployment, name: web}}}";
    assert_eq!(folder(&format!("{APP}{scaler}"))[0]["spec"]["replicas"], 7);
}

#[test]
fn kinds_of_the_cluster_have_no_namespace_and_every_object_has_our_label() {
    let found = folder(&format!(
        "{APP}
{{apiVersion: v1, kind: Namespace, metadata: {{name: shop}}}}
---
{{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {{name: p, namespace: shop}}, value: 1}}
---
{{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {{name: b}}, subjects: [{{kind: ServiceAccount, name: a, namespace: shop}}, {{kind: ServiceAccount, name: a, namespace: other}}]}}
---
{{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, metadata: {{name: g}}}}
---
{{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {{name: ws.e.com}}, spec: {{group: e.com, scope: Cluster, names: {{kind: Widget}}}}}}
---
{{apiVersion: e.com/v1, kind: Widget, metadata: {{name: w}}}}
---
{{apiVersion: other.com/v1, kind: Widget, metadata: {{name: w}}}}
---
{{apiVersion: v1, kind: ConfigMap, metadata: {{name: c, namespace: shop}}}}
---
{{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {{name: r, namespace: kube-system}}}}
"
    ));
    let places: Vec<_> = found.iter().map(|it| it["metadata"]["namespace"].as_str().unwrap_or("-")).collect();
    assert_eq!(places, ["polls", "polls", "-", "-", "-", "-", "-", "-", "polls", "polls", "kube-system"]);
    assert!(found.iter().all(|it| it["metadata"]["labels"][INSTANCE] == "i"));
    assert_eq!(found[2]["metadata"]["name"], "polls");
    assert_eq!(found[4]["subjects"][0]["namespace"], "polls");
    assert_eq!(found[4]["subjects"][1]["namespace"], "other");
}

#[test]
fn changed_settings_replace_the_pods_that_use_them_and_no_others() {
    let owner = |kind: &str, pod: Value| {
        with(
            json!({ "apiVersion": "apps/v1", "kind": kind, "metadata": { "name": "d" }, "spec": { "template": { "metadata": {}, "spec": pod } } }),
        )
    };
    let setting =
        |kind: &str, value: &str| json!({ "kind": kind, "metadata": { "name": "s", "namespace": "polls" }, "data": { "A": value } });
    let template = |kind: &str, pod: &Value, settings: &[&Value]| {
        let mut out = owner(kind, pod.clone());
        follow_settings(&mut out, settings);
        (out["spec"]["template"].clone(), inputs_of(&out).map(str::to_owned))
    };
    for (kind, pod) in [
        ("ConfigMap", json!({ "containers": [{ "envFrom": [{ "configMapRef": { "name": "s" } }] }] })),
        ("ConfigMap", json!({ "volumes": [{ "name": "v", "configMap": { "name": "s" } }] })),
        ("Secret", json!({ "containers": [{ "envFrom": [{ "secretRef": { "name": "s" } }] }] })),
        ("Secret", json!({ "initContainers": [{ "env": [{ "valueFrom": { "secretKeyRef": { "name": "s", "key": "A" } } }] }] })),
        ("Secret", json!({ "volumes": [{ "name": "v", "secret": { "secretName": "s" } }] })),
        ("Secret", json!({ "volumes": [{ "name": "v", "projected": { "sources": [{ "secret": { "name": "s" } }] } }] })),
    ] {
        let (one, other) = (setting(kind, "1"), setting(kind, "2"));
        for owner in ["Deployment", "StatefulSet", "DaemonSet"] {
            assert_eq!(template(owner, &pod, &[&one]), template(owner, &pod, &[&one]));
            assert_ne!(template(owner, &pod, &[&one]), template(owner, &pod, &[&other]), "{owner} {pod}");
        }
        assert_eq!(template("CronJob", &pod, &[&one]), template("CronJob", &pod, &[&other]));
        let elsewhere = setting(if kind == "Secret" { "ConfigMap" } else { "Secret" }, "3");
        assert_eq!(template("Deployment", &pod, &[&elsewhere]).0["metadata"], json!({}), "{pod}");
    }
}

#[test]
fn another_job_is_another_one_when_its_manifest_differs_and_not_for_the_image() {
    let job = |image: &str, command: &str| {
        let containers = json!([{ "name": "m", "image": image, "command": [command] }]);
        let mut out =
            json!({ "kind": "Job", "metadata": { "name": "j" }, "spec": { "template": { "spec": { "containers": containers } } } });
        sign_job(&mut out, image);
        inputs_of(&out).map(str::to_owned)
    };
    assert_eq!(job("polls:1", "a"), job("polls:2", "a"));
    assert_ne!(job("polls:1", "a"), job("polls:1", "b"));
    assert!(job("polls:1", "a").is_some());
}

#[test]
fn a_cloud_service_has_no_node_port_for_the_page() {
    let cloud = Exposure::of(ServiceType::LoadBalancer);
    let roles = Roles { published: Some(roles::Published { service: 0, port: 0 }), ..Roles::default() };
    let service = json!({ "kind": "Service", "metadata": { "name": "s" }, "spec": { "ports": [{ "port": 80, "nodePort": 30080 }] } });
    assert_eq!(with_roles(vec![service], &roles, &cloud, None)[0]["spec"], json!({ "type": "LoadBalancer", "ports": [{ "port": 80 }] }));
}
