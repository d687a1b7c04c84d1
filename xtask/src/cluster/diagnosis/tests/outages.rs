//! Separating the current outage from earlier ones and from other services.

use super::*;

#[test]
fn an_old_event_is_no_cause_of_a_container_that_started_since() {
    let said = "MountVolume.SetUp failed for volume \"app-secret\" : secret \"polls-app\" not found";
    let old =
        [event("Pod", "web-7-a", "FailedMount", said), event("Pod", "web-7-a", "Unhealthy", "Readiness probe failed: connection refused")];
    check(&read(web(crashed(1, "Error")), &old, "ValueError: no\n"), Code::Crash, "ended with `ValueError: no`", "logs");
}

#[test]
fn a_setting_that_postgresql_refuses_goes_before_the_application_that_cannot_reach_it() {
    let database = r#"{"level":"info","msg":"2026-11-27 12:11:14.989 GMT [22] LOG:  unrecognized configuration parameter \"no_such_thing\" in file \"/var/lib/postgresql/data/pgdata/custom.conf\" line 20","pipe":"stderr"}
{"level":"info","msg":"2026-11-27 12:11:14.989 GMT [22] FATAL:  configuration file \"/var/lib/postgresql/data/pgdata/custom.conf\" contains errors","pipe":"stderr"}
{"level":"error","msg":"PostgreSQL process exited with errors"}
{"level":"info","msg":"All workers finished"}
"#;
    // The instance manager exits with 0 if PostgreSQL does not start (CloudNativePG 1.30.0).
    let down = pod("db-1", ("Cluster", "db"), crashed(0, "Completed"));
    let away = "OperationalError: connection to server at \"10.96.1.2\", port 5432 failed: Connection refused\n";
    let evidence = Evidence {
        namespace: "polls".to_owned(),
        pods: vec![web(container(json!({ "running": {} }))), down],
        owners: serde_json::from_str(OWNERS).unwrap(),
        logs: BTreeMap::from([
            (("web-7-a".to_owned(), "main".to_owned()), away.to_owned()),
            (("db-1".to_owned(), "main".to_owned()), database.lines().map(|it| log_lines::readable(it) + "\n").collect()),
        ]),
        ..Evidence::default()
    };
    let found = diagnose(&evidence);
    check(
        &found,
        Code::DatabaseSetting,
        "settings: unrecognized configuration parameter \"no_such_thing\" in file",
        "deploy/database/cluster.yaml",
    );
}

#[test]
fn of_two_outages_in_one_life_of_a_pod_the_present_one_counts() {
    let status = json!({
        "conditions": [{ "type": "Ready", "status": "False", "lastTransitionTime": "2026-11-27T12:16:48Z" }],
        "containerStatuses": [{ "name": "main", "ready": false, "restartCount": 0, "state": { "running": {} } }],
    });
    let mut present = web(status);
    present["spec"] =
        json!({ "containers": [{ "name": "main", "readinessProbe": { "periodSeconds": 1, "failureThreshold": 3, "timeoutSeconds": 3 } }] });
    let found = read(present, &[], "");
    assert_eq!(found.symptoms[0].since, "2026-11-27T12:16:37Z");
    let log = "connection to server at \"polls-db-rw\", port 5432 failed: Connection refused\nthe database system is shutting down\n";
    check(&read(web(container(json!({ "running": {} }))), &[], log), Code::DatabaseAway, "the database system is shutting down", "");
}

#[test]
fn the_first_try_of_a_migration_tells_its_cause() {
    let failed = |name: &str, at: &str| {
        let mut it = pod(name, ("Job", "migration-1"), container(json!({ "terminated": { "exitCode": 1, "reason": "Error" } })));
        it["metadata"]["creationTimestamp"] = json!(at);
        it
    };
    let log = |pod: &str, text: &str| ((pod.to_owned(), "main".to_owned()), text.to_owned());
    let evidence = Evidence {
        namespace: "polls".to_owned(),
        pods: vec![failed("second", "2026-01-01T00:00:20Z"), failed("first", "2026-01-01T00:00:00Z")],
        owners: serde_json::from_str(OWNERS).unwrap(),
        logs: BTreeMap::from([log("first", "IntegrityError: no\n"), log("second", "ProgrammingError: already exists\n")]),
        ..Evidence::default()
    };
    check(&diagnose(&evidence), Code::MigrationFailed, "`IntegrityError: no`", "logs first");
}

#[test]
fn another_services_refusal_is_not_the_databases_even_beside_its_driver() {
    let log = "loading psycopg 3.3\nError: connect ECONNREFUSED 10.96.1.9:6379\n    at TCPConnectWrap\n";
    check(&read(web(crashed(1, "Error")), &[], log), Code::Crash, "ended with `Error: connect ECONNREFUSED 10.96.1.9:6379`", "logs");
    let log = "Error: connect ECONNREFUSED 10.96.1.2:5432\n    at TCPConnectWrap\n";
    check(&read(web(crashed(1, "Error")), &[], log), Code::DatabaseAway, "ECONNREFUSED 10.96.1.2:5432", "");
    let grant = "django.db.utils.ProgrammingError: role \"ghost\" does not exist\n";
    check(&read(web(crashed(1, "Error")), &[], grant), Code::Crash, "role \"ghost\" does not exist", "logs");
    let tls = "error: pg_hba.conf rejects connection for host \"10.0.0.1\", user \"polls\", database \"polls\", no encryption\n  code: '28000',\n";
    check(&read(web(crashed(1, "Error")), &[], tls), Code::DatabaseRefused, "the database accepts TLS connections only", "");
}
