//! Diagnoses of fixtures: objects, events and logs of real clusters.

mod outages;

use serde_json::{Value, json};

use super::*;
use crate::errors::{Code, Exit};

const OWNERS: &str = r#"[
    { "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": { "name": "web-7", "ownerReferences": [{ "kind": "Deployment", "name": "web", "controller": true }] } },
    { "kind": "Job", "metadata": { "name": "migration-1" } },
    { "kind": "Job", "metadata": { "name": "db-1-initdb", "ownerReferences": [{ "kind": "Cluster", "name": "db", "controller": true }] } }
]"#;

fn pod(name: &str, owner: (&str, &str), status: Value) -> Value {
    json!({
        "metadata": { "name": name, "ownerReferences": [{ "kind": owner.0, "name": owner.1, "controller": true }] },
        "status": status,
    })
}

fn web(status: Value) -> Value {
    pod("web-7-a", ("ReplicaSet", "web-7"), status)
}

fn container(state: Value) -> Value {
    json!({ "containerStatuses": [{ "name": "main", "image": "polls:1", "ready": false, "restartCount": 3, "state": state }] })
}

fn crashed(code: i64, reason: &str) -> Value {
    let mut out = container(json!({ "waiting": { "reason": "CrashLoopBackOff", "message": "back-off 40s restarting" } }));
    out["containerStatuses"][0]["lastState"] = json!({ "terminated": { "exitCode": code, "reason": reason } });
    out
}

fn event(kind: &str, name: &str, reason: &str, message: &str) -> Value {
    json!({ "type": "Warning", "reason": reason, "message": message, "involvedObject": { "kind": kind, "name": name }, "lastTimestamp": "2026-01-01T00:00:00Z" })
}

fn read(pod: Value, events: &[Value], log: &str) -> Diagnosis {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    diagnose(&Evidence {
        namespace: "polls".to_owned(),
        pods: vec![pod],
        owners: serde_json::from_str(OWNERS).unwrap(),
        events: events.to_vec(),
        logs: BTreeMap::from([((name, "main".to_owned()), log.lines().map(|it| log_lines::readable(it) + "\n").collect())]),
        ..Evidence::default()
    })
}

#[track_caller]
fn check(diagnosis: &Diagnosis, code: Code, cause: &str, command: &str) {
    let found = diagnosis.cause.clone().unwrap_or_else(|| panic!("no cause in {diagnosis:?}"));
    assert_eq!(found.code, code, "{found:?}");
    assert!(found.text.contains(cause), "{found:?}");
    assert!(found.command.contains(command), "{found:?}");
}

#[test]
fn the_whole_chain_from_the_deployment_to_the_container_is_named() {
    let found = read(web(crashed(1, "Error")), &[event("Pod", "web-7-a", "BackOff", "Back-off restarting failed container")], "one\ntwo\n");
    assert_eq!(
        found.to_string(),
        "Deployment web -> ReplicaSet web-7 -> Pod web-7-a -> container main: CrashLoopBackOff, ended with exit code 1 (Error), 3 restarts\n\
         \x20 | one\n  | two\n\
         event: Pod web-7-a: BackOff: Back-off restarting failed container"
    );
    check(&found, Code::Crash, "container main ended with exit code 1", "logs web-7-a -c main --previous -n polls");
}

#[test]
fn an_image_that_the_node_lacks_is_named() {
    for reason in ["ErrImageNeverPull", "ImagePullBackOff", "ErrImagePull"] {
        let state =
            json!({ "waiting": { "reason": reason, "message": "Container image \"polls:1\" is not present with pull policy of Never" } });
        check(&read(web(container(state)), &[], ""), Code::ImageAbsent, "does not have image polls:1", "cargo xtask create");
    }
}

#[test]
fn exit_codes_are_put_into_words() {
    for (code, words) in [
        (126, "cannot be executed"),
        (0, "exits by itself"),
        (127, "is not in its image (exit code 127, no output)"),
        (137, "was killed (exit code 137) for an unknown reason"),
        (139, "crashed"),
        (143, "was stopped"),
        (3, "exit code 3, and wrote nothing"),
    ] {
        check(&read(web(crashed(code, "Error")), &[], ""), Code::Crash, words, "logs");
    }
}

#[test]
fn an_end_by_signal_is_no_cause_beside_a_page_that_answers_an_error() {
    let unhealthy =
        |probe: &str| event("Pod", "web-7-a", "Unhealthy", &format!("{probe} probe failed: HTTP probe failed with statuscode: 500"));
    for code in [137, 143] {
        let found = read(web(crashed(code, "Error")), &[unhealthy("Readiness")], "");
        check(&found, Code::Crash, "Readiness probe failed: HTTP probe failed with statuscode: 500", "logs");
        assert!(!found.cause.unwrap().text.contains("killed"));
        let found = read(web(crashed(code, "Error")), &[unhealthy("Liveness")], "");
        check(&found, Code::Crash, "was killed because its probe failed: Liveness probe failed: HTTP probe failed", "logs");
    }
}

#[test]
fn a_kill_for_want_of_memory_is_no_ordinary_crash() {
    check(
        &read(web(crashed(137, "OOMKilled")), &[], "Traceback…"),
        Code::OutOfMemory,
        "more memory than its limit",
        "resources.limits.memory of main",
    );
}

#[test]
fn what_initdb_said_is_the_cause_of_a_database_that_is_not_made() {
    let log = "{\"level\":\"info\",\"msg\":\"initdb: error: invalid locale name\\ninitdb: hint: x\",\"pipe\":\"stderr\"}\n{\"level\":\"error\",\"msg\":\"Error while bootstrapping\"}\nError: exit status 1\n";
    let ended = container(json!({ "terminated": { "exitCode": 1, "reason": "Error" } }));
    let found = read(pod("db-1-initdb-x", ("Job", "db-1-initdb"), ended), &[], log);
    check(&found, Code::Crash, "ended with `initdb: error: invalid locale name`", "logs db-1-initdb-x -c main -n");
}

#[test]
fn the_exception_is_the_cause_of_a_crash_and_of_a_failed_migration() {
    let log =
        "Traceback (most recent call last):\n  File \"/app/manage.py\", line 1\n    import x\nModuleNotFoundError: No module named 'x'\n";
    check(&read(web(crashed(1, "Error")), &[], log), Code::Crash, "`ModuleNotFoundError: No module named 'x'`", "logs");
    let ended = container(json!({ "terminated": { "exitCode": 1, "reason": "Error" } }));
    let log = "Applying polls.0002...\nTraceback (most recent call last):\n  File \"a\"\npsycopg.errors.DuplicateColumn: column exists\n\nThe above exception was the direct cause\n\nTraceback (most recent call last):\n  File \"b\"\ndjango.db.utils.ProgrammingError: column \"x\" of relation \"polls\" already exists\nLINE 1: ALTER\n";
    let found = read(pod("migration-1-x", ("Job", "migration-1"), ended), &[], log);
    check(
        &found,
        Code::MigrationFailed,
        "`django.db.utils.ProgrammingError: column \"x\" of relation \"polls\" already exists`",
        "logs migration-1-x",
    );
    assert!(
        found.to_string().starts_with("Job migration-1 -> Pod migration-1-x -> container main: ended with exit code 1 (Error)"),
        "{found}"
    );
}

#[test]
fn a_database_that_is_away_or_refuses_goes_before_the_exception_that_it_causes() {
    for line in [
        "could not translate host name \"polls-db-rw\" to address: Name or service not known",
        "connection to server at \"10.96.1.2\", port 5432 failed: Connection refused",
        "FATAL:  the database system is starting up",
    ] {
        let log = format!("Traceback (most recent call last):\n  File \"a\"\ndjango.db.utils.OperationalError: {line}\n");
        check(&read(web(crashed(1, "Error")), &[], &log), Code::DatabaseAway, line, "get clusters.postgresql.cnpg.io,pods -n polls");
    }
    for line in ["FATAL:  password authentication failed for user \"polls\"", "FATAL:  database \"pools\" does not exist"] {
        let log = format!("django.db.utils.OperationalError: connection to server at \"10.0.0.1\", port 5432 failed: {line}\n");
        check(&read(web(crashed(1, "Error")), &[], &log), Code::DatabaseRefused, line, "secrets -n polls");
    }
}

#[test]
fn a_refused_connection_to_something_else_is_not_blamed_on_the_database() {
    let found =
        read(web(crashed(1, "Error")), &[], "redis.exceptions.ConnectionError: Error 111 connecting to redis:6379. Connection refused.\n");
    check(&found, Code::Crash, "redis.exceptions.ConnectionError", "logs");
}

#[test]
fn a_missing_secret_is_found_in_the_state_and_in_the_events() {
    let state = json!({ "waiting": { "reason": "CreateContainerConfigError", "message": "couldn't find key secret-key in Secret polls/polls-app" } });
    check(&read(web(container(state)), &[], ""), Code::SettingAbsent, "couldn't find key secret-key", "get secrets,configmaps -n polls");
    let state = json!({ "waiting": { "reason": "ContainerCreating" } });
    let said = "MountVolume.SetUp failed for volume \"app-secret\" : secret \"polls-app\" not found";
    check(
        &read(web(container(state)), &[event("Pod", "web-7-a", "FailedMount", said)], ""),
        Code::SettingAbsent,
        said,
        "secrets,configmaps",
    );
}

#[test]
fn what_the_scheduler_says_tells_room_volume_and_pressure_apart() {
    let waits = |message: &str| {
        web(
            json!({ "phase": "Pending", "conditions": [{ "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message }] }),
        )
    };
    for (message, code) in [
        ("0/1 nodes are available: 1 Insufficient memory.", Code::NoRoom),
        ("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.", Code::NoVolume),
        ("0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/disk-pressure: }.", Code::NodePressure),
    ] {
        let found = read(waits(message), &[], "");
        check(&found, code, message, "");
        assert!(found.to_string().starts_with("Deployment web -> ReplicaSet web-7 -> Pod web-7-a: waits for a node: "), "{found}");
    }
}

#[test]
fn an_evicted_pod_names_what_the_node_lacks() {
    let status = json!({ "phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: ephemeral-storage." });
    check(&read(web(status), &[], ""), Code::NodePressure, "low on resource: ephemeral-storage", "cargo xtask doctor");
}

#[test]
fn a_pod_that_a_full_node_turned_away_says_so_until_it_is_replaced() {
    let said = "Pod was rejected: Node didn't have enough resource: cpu, requested: 50, used: 1970, capacity: 2000";
    let status = json!({ "phase": "Failed", "reason": "OutOfcpu", "message": said });
    check(&read(web(status.clone()), &[], ""), Code::NoRoom, said, "");
    let mut owners: Vec<Value> = serde_json::from_str(OWNERS).unwrap();
    let set = owners.iter_mut().find(|it| it["metadata"]["name"] == "web-7").unwrap();
    set["spec"]["replicas"] = json!(1);
    set["status"] = json!({ "observedGeneration": 1, "replicas": 1, "availableReplicas": 1 });
    let found = diagnose(&Evidence { pods: vec![web(status)], owners, ..Evidence::default() });
    assert_eq!((found.cause, found.symptoms), (None, Vec::new()));
}

#[test]
fn a_failing_probe_is_told_by_its_event() {
    let event = event("Pod", "web-7-a", "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503");
    let found = read(web(container(json!({ "running": {} }))), &[event], "");
    check(&found, Code::ProbeFails, "container main runs but fails its probe: Readiness probe failed", "logs web-7-a -c main -n polls");
}

#[test]
fn pods_that_are_refused_are_told_by_their_owner() {
    let said = "pods \"web-7-\" is forbidden: violates PodSecurity \"restricted:v1.36\": allowPrivilegeEscalation != false";
    let found = diagnose(&Evidence {
        namespace: "polls".to_owned(),
        owners: serde_json::from_str(OWNERS).unwrap(),
        events: vec![event("ReplicaSet", "web-7", "FailedCreate", said), event("ReplicaSet", "web-7", "FailedCreate", said)],
        ..Evidence::default()
    });
    check(&found, Code::PodRefused, said, "get events -n polls");
    assert_eq!(found.symptoms.len(), 1);
    assert_eq!(found.symptoms[0].chain, ["Deployment web", "ReplicaSet web-7"]);
    let gone = json!({ "kind": "ReplicaSet", "metadata": { "name": "web-7" }, "spec": { "replicas": 0 } });
    let earlier = Evidence { owners: vec![gone], events: vec![event("ReplicaSet", "web-7", "FailedCreate", said)], ..Evidence::default() };
    assert!(diagnose(&earlier).symptoms.is_empty());
}

#[test]
fn the_same_failure_in_several_pods_is_told_once_and_well_pods_are_not_told() {
    let fine = json!({ "containerStatuses": [{ "name": "main", "ready": true, "restartCount": 0, "state": { "running": {} } }] });
    let done = json!({
        "initContainerStatuses": [{ "name": "init", "ready": true, "restartCount": 0, "state": { "terminated": { "exitCode": 0 } } }],
        "containerStatuses": [{ "name": "main", "ready": false, "restartCount": 0, "state": { "terminated": { "exitCode": 0, "reason": "Completed" } } }],
    });
    let pods = ["a", "b", "c"].map(|it| pod(it, ("ReplicaSet", "web-7"), crashed(1, "Error")));
    let well = [pod("d", ("ReplicaSet", "web-7"), fine), pod("e", ("Job", "migration-1"), done)];
    let evidence = Evidence { pods: pods.into_iter().chain(well).collect(), ..Evidence::default() };
    let found = diagnose(&evidence);
    assert_eq!(found.symptoms.len(), 1);
    assert!(found.to_string().contains("ReplicaSet web-7 -> Pod a -> container main (and 2 more like it): "), "{found}");
}

#[test]
fn nothing_to_see_is_no_cause() {
    let found = diagnose(&Evidence::default());
    assert!(found.cause.is_none() && found.to_string().is_empty());
    let problem = found.explain(Problem::timed_out("the database is not ready after 10 s").hint("look"));
    assert_eq!((problem.what.as_str(), problem.code), ("the database is not ready after 10 s", Code::NotReady));
}

#[test]
fn the_cause_comes_first_and_the_exit_code_stays() {
    let found = read(web(crashed(137, "OOMKilled")), &[], "");
    let problem = found.explain(Problem::timed_out("Deployment web is not ready after 10 s").hint("look inside"));
    let lines: Vec<&str> = problem.what.lines().collect();
    assert_eq!(lines[0], "probable cause: container main used more memory than its limit allows, and was killed");
    assert_eq!(lines[lines.len() - 1], "Deployment web is not ready after 10 s");
    assert_eq!((problem.code, problem.exit), (Code::OutOfMemory, Exit::TimedOut));
    assert_eq!(problem.hint.as_deref(), Some("raise resources.limits.memory of main in deploy/\nlook inside"));
}

#[test]
fn a_missing_shared_library_is_not_taken_for_a_missing_command() {
    let library =
        "/srv/node: error while loading shared libraries: libstdc++.so.6: cannot open shared object file: No such file or directory";
    check(
        &read(web(crashed(127, "Error")), &[], library),
        Code::Crash,
        "a shared library that container main needs is not in its image: `/srv/node",
        "",
    );
    check(
        &read(web(crashed(127, "Error")), &[], "sh: 1: nosuchtool: not found\n"),
        Code::Crash,
        "a command that container main runs is not in its image: `sh: 1: nosuchtool: not found`",
        "",
    );
    check(
        &read(web(crashed(126, "Error")), &[], "sh: 1: /srv/run: Permission denied\n"),
        Code::Crash,
        "cannot be executed: `sh: 1: /srv/run",
        "",
    );
    check(
        &read(web(crashed(1, "Error")), &[], "node: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.39' not found (required by node)\n"),
        Code::Crash,
        "needs newer libraries",
        "",
    );
}

#[test]
fn what_runc_said_is_the_cause_of_a_container_that_never_ran() {
    let runc = |tail: &str| {
        format!(
            "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: {tail}"
        )
    };
    for (tail, cause) in [
        (
            "exec: \"nosuchprogram\": executable file not found in $PATH",
            "the command of container main is not in its image: exec: \"nosuchprogram\"",
        ),
        ("exec: \"/srv/x\": stat /srv/x: no such file or directory", "the command of container main is not in its image: exec: \"/srv/x\""),
        ("exec: \"/etc/passwd\": permission denied", "the command of container main is not executable: exec: \"/etc/passwd\""),
        ("exec /srv/run: exec format error", "is for another architecture"),
    ] {
        let message = runc(tail);
        let waiting = container(json!({ "waiting": { "reason": "RunContainerError", "message": message } }));
        check(&read(web(waiting), &[], ""), Code::NotStarted, cause, "describe pod web-7-a");
        let mut between = crashed(128, "StartError");
        between["containerStatuses"][0]["lastState"]["terminated"]["message"] = json!(message);
        check(&read(web(between), &[], ""), Code::NotStarted, cause, "describe pod web-7-a");
    }
    let root = json!({ "waiting": { "reason": "CreateContainerConfigError", "message": "container's runAsUser breaks non-root policy (pod: \"web-7-a\", container: main)" } });
    check(
        &read(web(container(root)), &[], ""),
        Code::NotStarted,
        "cannot be started: container's runAsUser breaks non-root policy",
        "describe",
    );
}
