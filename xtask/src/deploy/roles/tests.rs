//! The application's objects in many folders.

use super::*;
use crate::deploy::manifests;

fn roles(text: &str) -> Result<Roles, String> {
    Roles::of(&manifests::read(text, "a.yaml").unwrap(), "shop/web", None).map_err(|it| it.to_string())
}

/// A Deployment in one line.
fn deployment(name: &str, more: &str, containers: &str) -> String {
    format!(
        "---\n{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: {name}{more}}}, spec: {{template: {{metadata: {{labels: {{app: {name}}}}}, \
         spec: {{containers: [{containers}]}}}}}}}}\n"
    )
}

fn service(name: &str, spec: &str) -> String {
    format!("---\n{{apiVersion: v1, kind: Service, metadata: {{name: {name}}}, spec: {{{spec}}}}}\n")
}

const OURS: &str = "{name: c, image: 'shop/web:1', ports: [{name: http, containerPort: 8000}, {name: admin, containerPort: 9000}]}";
const REDIS: &str = "{name: redis, image: 'redis:7', ports: [{containerPort: 6379}]}";
const PUBLIC: &str = "type: NodePort, selector: {app: web}, ports: [{port: 80, targetPort: http}]";

#[test]
fn the_application_is_found_whatever_the_order_of_the_files() {
    let front = ", labels: {app.kubernetes.io/component: frontend}";
    for (one, other) in [
        (deployment("redis", "", REDIS), deployment("web", "", OURS)),
        (deployment("worker", "", OURS), deployment("web", "", OURS)),
        (deployment("worker", "", OURS), deployment("web", front, REDIS)),
        (deployment("worker", front, OURS), deployment("web", ", annotations: {dev.pocdeploy/application: 'true'}", OURS)),
        (deployment("worker", ", annotations: {dev.pocdeploy/application: 'false'}", OURS), deployment("web", "", REDIS)),
    ] {
        let public = service("web", PUBLIC);
        assert_eq!(roles(&format!("{one}{other}{public}")).unwrap().application, Some(1), "{one}{other}");
        assert_eq!(roles(&format!("{public}{other}{one}")).unwrap().application, Some(1), "{other}{one}");
    }
    let found = roles(&(deployment("a", "", OURS) + &deployment("b", "", OURS))).unwrap_err();
    assert_eq!(found, "more than one Deployment may be the application's\n  a.yaml:2: Deployment a\n  a.yaml:4: Deployment b");
}

#[test]
fn a_sidecar_before_the_application_is_not_taken_for_it() {
    let found = roles(&(deployment("web", "", &format!("{REDIS}, {OURS}")) + &service("web", PUBLIC))).unwrap();
    assert_eq!((found.container, found.port), (1, Some(8000)));
    let admin = PUBLIC.replace("http", "admin");
    let found = roles(&(deployment("web", "", OURS) + &service("web", &admin))).unwrap();
    assert_eq!(found.port, Some(9000), "the page is where the Service leads");
    let named = ", annotations: {kubectl.kubernetes.io/default-container: redis}}, spec";
    let text = deployment("web", "", &format!("{OURS}, {REDIS}")).replacen("}, spec: {containers", &format!("{named}: {{containers"), 1);
    assert_eq!(roles(&(text + &service("web", PUBLIC))).unwrap().container, 1);
}

#[test]
fn one_job_is_the_migration_and_of_several_the_one_that_says_so() {
    let job = |name: &str, more: &str| format!("---\n{{apiVersion: batch/v1, kind: Job, metadata: {{name: {name}{more}}}}}\n");
    let found = |text: String| {
        Roles::of(&manifests::read(&text, "a.yaml").unwrap(), "web", None).map(|it| it.migration).map_err(|it| it.to_string())
    };
    assert_eq!(found(job("seed", "")), Ok(Some(0)));
    assert_eq!(found(job("seed", "") + &job("db-migrate", "")), Ok(Some(1)));
    assert_eq!(found(job("seed", "") + &job("x", ", labels: {app.kubernetes.io/component: migration}")), Ok(Some(1)));
    assert_eq!(found(job("seed", ", annotations: {dev.pocdeploy/migration: 'false'}")), Ok(None));
    let said = found(job("seed", "") + &job("report", "")).unwrap_err();
    assert!(said.ends_with("\n  a.yaml:2: Job seed\n  a.yaml:4: Job report"), "{said}");
}

#[test]
fn the_published_service_is_the_one_that_the_manifests_mean() {
    let app = deployment("web", "", OURS);
    let inside = service("inside", "selector: {app: web}, clusterIP: None, ports: [{port: 80}]");
    let check = |services: &str, expected: (usize, usize)| {
        let found = roles(&format!("{app}{services}")).unwrap().published.unwrap();
        assert_eq!((found.service, found.port), expected, "{services}");
    };
    check(&format!("{inside}{}", service("web", PUBLIC)), (2, 0));
    check(&format!("{}{inside}", service("web", "selector: {app: web}, ports: [{port: 80}]")), (1, 0));
    let redis = service("redis", "selector: {app: redis}, ports: [{port: 6379}]");
    check(
        &format!("{redis}{inside}{}", service("web", "selector: {app: web}, ports: [{name: metrics, port: 1}, {name: http, port: 80}]")),
        (3, 1),
    );
    let proxy = service("proxy", "type: NodePort, selector: {app: nginx}, ports: [{port: 1, protocol: UDP}, {port: 80, nodePort: 30080}]");
    check(&format!("{proxy}{}", service("web", "selector: {app: web}, ports: [{port: 80}]")), (1, 1));
    check(&service("lb", "type: LoadBalancer, selector: {app: nginx}, ports: [{port: 1, protocol: UDP}, {port: 80}]"), (1, 1));
    let closed = service("closed", "type: ClusterIP, selector: {app: web}, ports: [{port: 80}]");
    check(&format!("{closed}{}", service("web", PUBLIC)), (2, 0));
    check(&format!("{inside}{closed}"), (2, 0));
    let both = service("a", "selector: {app: web}, ports: [{port: 80}]") + &service("b", "selector: {app: web}, ports: [{port: 80}]");
    assert!(roles(&format!("{app}{both}")).unwrap_err().contains("more than one Service may publish"));
    assert!(roles(&format!("{app}{inside}{redis}")).unwrap_err().contains("no Service publishes the application"));
}

#[test]
fn the_application_cannot_be_apart_from_its_namespace() {
    let namespaces =
        "---\n{apiVersion: v1, kind: Namespace, metadata: {name: a}}\n---\n{apiVersion: v1, kind: Namespace, metadata: {name: b}}\n";
    let rest = |namespace: &str| deployment("web", namespace, OURS) + &service("web", PUBLIC);
    assert_eq!(roles(&format!("{namespaces}{}", rest(", namespace: b"))).unwrap().home, "b");
    assert!(roles(&format!("{namespaces}{}", rest(""))).unwrap_err().contains("more than one Namespace"));
    let one = namespaces.split_inclusive('\n').take(2).collect::<String>();
    let said = roles(&format!("{one}{}", rest(", namespace: c"))).unwrap_err();
    assert_eq!(said, "a.yaml:4: Deployment web is in namespace c, and the application's namespace is a");
}

#[test]
fn the_name_of_an_image_is_what_stands_before_tag_and_digest() {
    for (image, name) in
        [("polls", "polls"), ("polls:1", "polls"), ("r:5000/a/polls", "r:5000/a/polls"), ("r:5000/polls:1@sha256:ab", "r:5000/polls")]
    {
        assert_eq!(name_of(image), name);
    }
}
