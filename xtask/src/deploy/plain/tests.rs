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
    let expected = "Namespace NetworkPolicy ServiceAccount ConfigMap NetworkPolicy Job Deployment Service Ingress PodDisruptionBudget";
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
