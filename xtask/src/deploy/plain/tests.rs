//! What is rendered for services of several kinds.

use super::*;

fn objects(text: &str, service: Option<&str>) -> Vec<Value> {
    let config = Config::parse(text).unwrap();
    let service = service.and_then(ServiceName::new);
    Plain { config: &config, service, database: DATABASE, secret: "frontend-app" }.objects()
}

fn kinds(objects: &[Value]) -> Vec<&str> {
    objects.iter().map(|it| it["kind"].as_str().unwrap()).collect()
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    objects.iter().find(|it| it["kind"] == kind).unwrap()
}

#[test]
fn the_first_service_has_all_that_leads_to_it_and_a_worker_nothing() {
    let text = "[frontend]\nmigrate = [\"./migrate\"]\nhealth = \"/up\"\n[services.worker]\nuses = \"frontend\"\ncommand = [\"./work\"]\n";
    let first = objects(text, None);
    let expected =
        "Namespace NetworkPolicy ServiceAccount ServiceAccount ConfigMap NetworkPolicy Job Deployment Service Ingress PodDisruptionBudget";
    assert_eq!(kinds(&first).join(" "), expected);
    let container = &of_kind(&first, "Deployment")["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["readinessProbe"]["httpGet"]["path"], "/up");
    assert_eq!(container["image"], "polls:set-by-pocdeploy");
    assert_eq!(container["command"], Value::Null);
    let worker = objects(text, Some("worker"));
    assert_eq!(kinds(&worker).join(" "), "ServiceAccount ConfigMap NetworkPolicy Deployment");
    let container = &of_kind(&worker, "Deployment")["spec"]["template"]["spec"]["containers"][0];
    assert_eq!((&container["command"], &container["image"]), (&json!(["./work"]), &json!("polls:set-by-pocdeploy")));
    assert_eq!(container["readinessProbe"], Value::Null);
}

#[test]
fn a_schedule_makes_a_cron_job_and_a_volume_a_claim_that_one_pod_holds() {
    let text = "[frontend.volumes.media]\npath = \"/srv/media\"\nsize = \"2Gi\"\n[services.nightly]\nuses = \"frontend\"\nschedule = \"0 3 * * *\"\n";
    assert_eq!(kinds(&objects(text, Some("nightly"))).join(" "), "ServiceAccount ConfigMap NetworkPolicy CronJob");
    let first = objects(text, None);
    assert_eq!(of_kind(&first, "PersistentVolumeClaim")["metadata"]["name"], "frontend-media");
    assert_eq!(of_kind(&first, "Deployment")["spec"]["strategy"]["type"], "Recreate");
}

#[test]
fn a_migration_waits_for_a_lock_only_as_long_as_requests_may() {
    let options = |text: &str| -> Vec<Value> {
        let all = of_kind(&objects(text, None), "Job")["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap().clone();
        all.into_iter().filter(|it| it["name"] == "PGOPTIONS").map(|it| it["value"].clone()).collect()
    };
    assert_eq!(options("[frontend]\nmigrate = [\"./migrate\"]\n"), ["-c lock_timeout=3s"]);
    assert_eq!(options("[frontend]\nmigrate = [\"./migrate\"]\nenv = { PGOPTIONS = \"\" }\n"), [""]);
}

#[test]
fn own_variables_come_after_the_contracts_and_take_their_place() {
    let text = "[frontend.env]\nDB = \"x://$(PGUSER)@$(PGHOST)\"\nHOME = \"/home\"\n[services.api]\nport = 9000\n";
    let first = objects(text, None);
    let all = of_kind(&first, "Deployment")["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap().clone();
    let at = |name: &str| all.iter().position(|it| it["name"] == name).unwrap();
    assert!(at("DB") > at("PGHOST") && at("DB") > at("DATABASE_URL"));
    assert_eq!(all.iter().filter(|it| it["name"] == "HOME").count(), 1);
    assert_eq!(all[at("HOME")]["value"], "/home");
    assert_eq!(all[at("API_URL")]["value"], "http://api");
}

#[test]
fn the_database_has_no_name_of_the_example() {
    let objects = database(&Config::parse("namespace = \"shop\"\n").unwrap());
    assert_eq!(kinds(&objects).join(" "), "Cluster NetworkPolicy Service");
    // Database and owner are set from the configuration.
    let text = json!(objects).to_string();
    assert!(!text.contains("polls"), "{text}");
}

#[test]
fn a_service_that_runs_anothers_image_is_told_the_same_and_what_it_says_itself_goes_first() {
    let text = "[frontend]\nwritable = [\"/srv/run\"]\n[frontend.env]\nMODE = \"web\"\nDB = \"$(PGHOST)\"\n\
        [services.worker]\nuses = \"frontend\"\ncommand = [\"x\"]\n[services.worker.env]\nMODE = \"work\"\n[services.cache]\nkind = \"valkey\"\n";
    let worker = objects(text, Some("worker"));
    let container = &of_kind(&worker, "Deployment")["spec"]["template"]["spec"]["containers"][0];
    let all = container["env"].as_array().unwrap();
    let value = |name: &str| all.iter().filter(|it| it["name"] == name).map(|it| it["value"].as_str().unwrap()).collect::<Vec<_>>();
    assert_eq!((value("MODE"), value("DB"), value("REDIS_URL")), (vec!["work"], vec!["$(PGHOST)"], vec!["redis://cache:6379/0"]));
    assert!(container["volumeMounts"].as_array().unwrap().iter().any(|it| it["mountPath"] == "/srv/run"));
}

#[test]
fn a_route_is_an_ingress_and_the_controller_reads_the_namespace_alone() {
    let text = "[ingress]\ncontroller = \"traefik\"\ntls = \"local\"\n[services.api]\nuses = \"frontend\"\ncommand = [\"./api\"]\nport = 8000\n\
        route = \"api.shop.localhost/v1\"\npage = \"/v1/up\"\n";
    let api = objects(text, Some("api"));
    assert_eq!(of_kind(&api, "Ingress")["spec"]["rules"][0]["host"], "api.shop.localhost");
    assert_eq!(of_kind(&api, "Ingress")["spec"]["rules"][0]["http"]["paths"][0]["path"], "/v1");
    let door = objects(text, Some("ingress"));
    let expected = "ServiceAccount IngressClass ConfigMap Role RoleBinding ClusterRole ClusterRoleBinding NetworkPolicy Deployment Service";
    assert_eq!(kinds(&door).join(" "), expected);
    let everywhere = json!(of_kind(&door, "ClusterRole")["rules"]).to_string();
    assert!(!everywhere.contains("secrets") && !everywhere.contains("services"), "{everywhere}");
    let pod = &of_kind(&door, "Deployment")["spec"]["template"]["spec"];
    assert_eq!((&pod["automountServiceAccountToken"], &pod["securityContext"]["runAsNonRoot"]), (&json!(true), &json!(true)));
    let arguments = pod["containers"][0]["args"].to_string();
    for part in ["namespaces=polls", "checknewversion=false", "sendanonymoususage=false", "middlewares=forgetful@file"] {
        assert!(arguments.contains(part), "{arguments}");
    }
    let service = &of_kind(&door, "Service")["spec"];
    assert_eq!((&service["ports"][0]["nodePort"], service["ports"].as_array().unwrap().len()), (&json!(30080), 1));
    let plain = objects(&text.replace("tls = \"local\"", ""), Some("ingress"));
    assert!(!kinds(&plain).contains(&"ConfigMap") && !json!(plain).to_string().contains("@file"), "{plain:?}");
}

#[test]
fn an_ingress_that_is_given_to_the_controller_keeps_its_rules() {
    let config = Config::parse("[ingress]\ncontroller = \"traefik\"\ntls = \"local\"\n").unwrap();
    let mut ingress = json!({
        "metadata": { "annotations": { "kubernetes.io/ingress.class": "nginx", "x": "y" } },
        "spec": { "rules": [{ "host": "a.localhost" }, { "http": {} }], "tls": [{ "secretName": "other" }] },
    });
    controller::take(&mut ingress, &config);
    assert_eq!(ingress["spec"]["ingressClassName"], "traefik");
    assert_eq!(ingress["spec"]["tls"], json!([{ "hosts": ["a.localhost"], "secretName": "pocdeploy-ingress-tls" }]));
    assert_eq!(ingress["metadata"]["annotations"], json!({ "x": "y", "traefik.ingress.kubernetes.io/router.tls": "true" }));
}
