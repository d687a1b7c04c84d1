//! Inspection of a real cluster: every object is changed and deleted, reported, and restored; logs, ports and commands in pods.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::bench::{Bench, Ran};

/// A healthy instance is inspected, changed, and left healthy.
pub(crate) fn look_inside(bench: &Bench, url: &str) {
    let objects = bench.step("validate finds a new instance healthy, in all its forms", || healthy(bench));
    bench.step("each changed object is named by validate with those before it, and create puts all right", || {
        let mut altered = Vec::new();
        for object in &objects {
            bench.kubectl(&format!("annotate {} example.com/theirs=stays --overwrite", object.kubectl()));
            bench.kubectl(&format!("label {} dev.pocdeploy/instance=other --overwrite", object.kubectl()));
            altered.push((object.shown.clone(), "object".to_owned()));
            assert_eq!(failed(&validate(bench, 5)), altered);
        }
        bench.run(&["create", "--yes"]).ends_with(0);
        validate(bench, 0);
        for object in &objects {
            let annotations = bench.kubectl(&format!("get {} -o jsonpath={{.metadata.annotations}}", object.kubectl()));
            assert!(annotations.contains("example.com/theirs"), "{}: {annotations}", object.shown);
        }
    });
    bench.step("what others add is no drift, and stays", || sidecar(bench, url));
    bench.step("what weakens a policy or excludes a field of ours is named, and create puts it right", || weakened(bench));
    bench.step("a lost history is named, and its numbers go on", || without_history(bench));
    bench.step("a deleted object is the one that validate names, and create brings it back", || {
        for object in objects.iter().filter(|it| !it.holds_others()) {
            bench.kubectl(&format!("delete {} --wait=true", object.kubectl()));
            let checks = validate(bench, 5);
            let gone: Vec<_> = failed(&checks).into_iter().filter(|(_, area)| area == "object").collect();
            assert_eq!(gone, [(object.shown.clone(), "object".to_owned())], "{checks}");
            assert!(checks["cause"].as_str().unwrap().starts_with(&object.shown), "{checks}");
            bench.run(&["create", "--yes"]).ends_with(0);
        }
        bench.wait_for_page(url);
        until_healthy(bench);
    });
    bench.step("status, url, psql, manage, shell and kubectl reach the instance", || reach(bench, url));
    bench.step("a setting that PostgreSQL refuses and a database that is held are named", || unwell_database(bench));
    bench.step("logs go on with the pods that replace others", || logs(bench, url));
    bench.step("a forwarded port leads to the pods that replace others", || forward(bench));
}

/// A stopped node is reported with the command that helps.
pub(crate) fn stopped(bench: &Bench) {
    for command in ["validate", "url", "psql", "logs"] {
        bench.run(&[command]).ends_with(5).says("the cluster's node is stopped").says("resume` starts a stopped instance");
    }
    assert!(bench.run(&["status"]).ends_with(0).stdout.contains("the cluster's node is stopped"));
}

/// Also an instance that does not exist.
pub(crate) fn absent(bench: &Bench) {
    for command in ["validate", "url", "manage check"] {
        let arguments: Vec<&str> = command.split(' ').collect();
        bench.run(&arguments).ends_with(5).says("there is no cluster").says("create` makes one");
    }
}

/// The operator reports no problem in each of these states.
fn unwell_database(bench: &Bench) {
    let cluster = "clusters.postgresql.cnpg.io polls-db -n polls";
    let parameter = |value: &str| {
        let patch = format!("{{\"spec\":{{\"postgresql\":{{\"parameters\":{{\"work_mem\":{value}}}}}}}}}");
        bench.kubectl(&format!("patch {cluster} --type merge -p {patch}"));
    };
    parameter("\"banana\"");
    until(bench, |ran| ran.code == 5 && ran.stdout.contains("work_mem = banana is not in effect"));
    bench.run(&["create", "--yes"]).ends_with(1).says("work_mem = banana is not in effect");
    parameter("null");
    until_healthy(bench);
    bench.kubectl(&format!("annotate {cluster} cnpg.io/fencedInstances=[\"polls-db-1\"]"));
    bench.run(&["validate"]).ends_with(5).says("is fenced: polls-db-1").says("cnpg.io/fencedInstances-");
    bench.run(&["create", "--yes"]).ends_with(1).says("is fenced: polls-db-1").says("cnpg.io/fencedInstances-");
    bench.kubectl(&format!("annotate {cluster} cnpg.io/fencedInstances-"));
    until_healthy(bench);
}

fn until(bench: &Bench, is_so: impl Fn(&Ran) -> bool) {
    let began = Instant::now();
    loop {
        let ran = bench.ran_quietly(&mut bench.command(&["validate"]));
        if is_so(&ran) {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{}{}", ran.stdout, ran.stderr);
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// An object by its name in the output of `validate`.
struct Object {
    shown: String,
    kind: String,
    name: String,
    namespace: Option<String>,
}

impl Object {
    fn of(shown: &str) -> Object {
        let words: Vec<&str> = shown.split(' ').collect();
        Object {
            shown: shown.to_owned(),
            kind: words[0].to_owned(),
            name: words[1].to_owned(),
            namespace: words.get(3).map(|it| (*it).to_owned()),
        }
    }

    fn kubectl(&self) -> String {
        let namespace = self.namespace.as_ref().map(|it| format!(" -n {it}")).unwrap_or_default();
        format!("{} {}{namespace}", self.kind, self.name)
    }

    /// Whether deleting it deletes other objects or data.
    fn holds_others(&self) -> bool {
        self.kind == "Namespace" || self.kind == "Cluster" || self.name == "clusters.postgresql.cnpg.io"
    }
}

#[track_caller]
fn validate(bench: &Bench, code: i32) -> Value {
    let ran = bench.ran_quietly(&mut bench.command(&["validate", "--output", "json"]));
    ran.ends_with(code);
    serde_json::from_str(&ran.stdout).unwrap()
}

/// Name and area of each failed check.
fn failed(checks: &Value) -> Vec<(String, String)> {
    let text = |it: &Value, name: &str| it[name].as_str().unwrap().to_owned();
    checks["checks"].as_array().unwrap().iter().filter(|it| it["well"] == false).map(|it| (text(it, "name"), text(it, "area"))).collect()
}

fn until_healthy(bench: &Bench) {
    let began = Instant::now();
    loop {
        let ran = bench.ran_quietly(&mut bench.command(&["validate"]));
        if ran.code == 0 {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(120), "{}{}", ran.stdout, ran.stderr);
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn healthy(bench: &Bench) -> Vec<Object> {
    until_healthy(bench);
    let checks = validate(bench, 0);
    eprintln!("   validate: {} checks in {} s", checks["checks"].as_array().unwrap().len(), checks["seconds"]);
    let of = |area: &str| checks["checks"].as_array().unwrap().iter().filter(|it| it["area"] == area).count();
    for (area, least) in [("cluster", 1), ("object", 35), ("operator", 2), ("database", 3), ("pod", 5), ("app", 2), ("certificate", 10)] {
        assert!(of(area) >= least, "{} checks of {area}", of(area));
    }
    let junit = bench.path("junit.xml");
    bench.run(&["validate", "--junit", junit.to_str().unwrap()]).ends_with(0);
    let xml = std::fs::read_to_string(&junit).unwrap();
    std::fs::remove_file(&junit).unwrap();
    assert!(xml.contains("failures=\"0\"") && xml.contains("<testcase classname=\"object\" name=\"Deployment polls-frontend in polls\"/>"));
    let names = checks["checks"].as_array().unwrap().iter().filter(|it| it["area"] == "object").map(|it| it["name"].as_str().unwrap());
    // The Secret's value is generated and stored in the cluster only; its labels do not matter.
    names.filter(|it| !it.starts_with("Secret ")).map(Object::of).collect()
}

/// A container that another client adds to ours.
fn sidecar(bench: &Bench, url: &str) {
    let image = bench.kubectl("-n polls get deployment polls-frontend -o jsonpath={.spec.template.spec.containers[0].image}");
    let security = r#""securityContext":{"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]}}"#;
    let container = format!(r#"{{"name":"theirs","image":"{image}","command":["sleep","86400"],{security}}}"#);
    let patch = format!(r#"{{"spec":{{"template":{{"spec":{{"containers":[{container}]}}}}}}}}"#);
    bench.kubectl(&format!("-n polls patch deployment polls-frontend -p {patch}"));
    bench.kubectl("-n polls rollout status deployment polls-frontend --timeout=120s");
    until_healthy(bench);
    bench.run(&["create", "--yes"]).ends_with(0).says("nothing to do");
    let names = bench.kubectl("-n polls get deployment polls-frontend -o jsonpath={.spec.template.spec.containers[*].name}");
    assert!(names.contains("theirs") && names.contains("frontend"), "{names}");
    let at = names.split(' ').position(|it| it == "theirs").unwrap();
    let remove = format!(r#"[{{"op":"remove","path":"/spec/template/spec/containers/{at}"}}]"#);
    bench.kubectl(&format!("-n polls patch deployment polls-frontend --type=json -p {remove}"));
    bench.kubectl("-n polls rollout status deployment polls-frontend --timeout=120s");
    bench.wait_for_page(url);
    until_healthy(bench);
}

fn weakened(bench: &Bench) {
    let everything = r#"[{"op":"add","path":"/spec/ingress","value":[{}]},{"op":"add","path":"/spec/egress","value":[{}]}]"#;
    let nobody = r#"[{"op":"replace","path":"/spec/podSelector","value":{"matchLabels":{"no":"pod"}}}]"#;
    let from = r#"[{"op":"add","path":"/spec/ingress/0/from","value":[{"podSelector":{}}]}]"#;
    let more = r#"[{"op":"add","path":"/spec/selector/no","value":"pod"}]"#;
    let other = r#"[{"op":"remove","path":"/spec/maxUnavailable"},{"op":"add","path":"/spec/minAvailable","value":1}]"#;
    for (object, shown, patch) in [
        ("networkpolicy default-deny", "NetworkPolicy default-deny in polls", nobody),
        ("networkpolicy default-deny", "NetworkPolicy default-deny in polls", everything),
        ("networkpolicy polls-frontend", "NetworkPolicy polls-frontend in polls", from),
        ("service polls-frontend", "Service polls-frontend in polls", more),
        ("pdb polls-frontend", "PodDisruptionBudget polls-frontend in polls", other),
    ] {
        // The server's defaults, such as a port's protocol, are in both.
        let spec = || bench.kubectl(&format!("-n polls get {object} -o jsonpath={{.spec}}"));
        let before = spec();
        bench.kubectl(&format!("-n polls patch {object} --type=json -p {patch}"));
        assert_ne!(spec(), before);
        let checks = validate(bench, 5);
        assert!(failed(&checks).contains(&(shown.to_owned(), "object".to_owned())), "{checks}");
        bench.run(&["create", "--yes"]).ends_with(0);
        assert_eq!(spec(), before);
        validate(bench, 0);
    }
}

fn without_history(bench: &Bench) {
    let newest = || -> Value {
        let history: Value = serde_json::from_str(&bench.run(&["history", "--output", "json"]).ends_with(0).stdout).unwrap();
        history["revisions"].as_array().unwrap().last().unwrap().clone()
    };
    let last = newest()["number"].as_u64().unwrap();
    bench.kubectl("-n polls delete configmap pocdeploy-history");
    bench.run(&["history"]).ends_with(5).says("the history is gone");
    assert_eq!(failed(&validate(bench, 5)), [("history".to_owned(), "object".to_owned())]);
    bench.run(&["create", "--yes"]).ends_with(0).says(&format!("the history up to revision {last} is gone"));
    assert_eq!(newest()["number"], last + 1);
    validate(bench, 0);
    bench.run(&["create", "--yes"]).ends_with(0).says("nothing to do");
}

fn reach(bench: &Bench, url: &str) {
    let status: Value = serde_json::from_str(&bench.run(&["status", "--output", "json"]).ends_with(0).stdout).unwrap();
    assert_eq!((&status["well"], &status["url"]["status"], &status["app"]["ready"]), (&true.into(), &200.into(), &2.into()), "{status}");
    assert!(bench.run(&["status"]).ends_with(0).stdout.contains("none in "));
    assert_eq!(bench.run(&["url"]).ends_with(0).stdout.trim_end(), url);
    assert_eq!(bench.run(&["psql", "-tAc", "SELECT 40 + 2"]).ends_with(0).stdout.trim(), "42");
    assert_eq!(bench.run(&["shell", "app", "--", "sh", "-c", "exit 37"]).code, 37);
    bench.run(&["manage", "check"]).ends_with(0);
    assert_eq!(bench.run(&["manage", "no-such-command"]).code, 1);
    assert!(bench.run(&["kubectl", "get", "nodes", "-o", "name"]).ends_with(0).stdout.starts_with("node/"));
    assert_eq!(bench.run(&["kubectl", "get", "no-such-kind"]).code, 1);
    // Standard input is passed on to its end.
    let mut command = bench.command(&["psql", "-tA"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"SELECT 6 * 7;\n").unwrap();
    assert_eq!(String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap().trim(), "42");
}

/// Sends SIGINT, and checks that the command exits with success.
fn interrupt(mut child: Child) {
    let id = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// Reads the output until a line matches; at most a minute.
fn line_with(lines: &std::sync::mpsc::Receiver<String>, wanted: &str) -> String {
    let began = Instant::now();
    let mut seen = Vec::new();
    while began.elapsed() < Duration::from_secs(60) {
        if let Ok(line) = lines.recv_timeout(Duration::from_secs(1)) {
            if line.contains(wanted) {
                return line;
            }
            seen.push(line);
        }
    }
    panic!("no {wanted:?} in {seen:#?}");
}

fn start(bench: &Bench, arguments: &[&str]) -> (Child, std::sync::mpsc::Receiver<String>) {
    let mut child = bench.command(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    let out = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)).ok());
    (child, receiver)
}

fn replace_pods(bench: &Bench) {
    bench.kubectl("-n polls delete pods -l app.kubernetes.io/component=frontend --wait=true --timeout=120s");
}

fn logs(bench: &Bench, url: &str) {
    let (child, lines) = start(bench, &["logs", "app", "--follow", "--json", "--since", "1s", "--grep", "GET /"]);
    let asked = |mark: &str| {
        // The page may be requested before the reader listens, so it is requested repeatedly.
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(60) {
            ureq::get(format!("{url}?{mark}")).call().ok();
            if let Ok(line) = lines.recv_timeout(Duration::from_secs(1))
                && line.contains(mark)
            {
                return serde_json::from_str::<Value>(&line).unwrap();
            }
        }
        panic!("no line of the log holds {mark}");
    };
    let before = asked("before");
    replace_pods(bench);
    bench.wait_for_page(url);
    let after = asked("after");
    assert_ne!(before["pod"], after["pod"]);
    interrupt(child);
    let all = bench.run(&["logs"]);
    all.ends_with(0);
    for part in ["app ", "migration ", "database ", "operator "] {
        assert!(all.stdout.lines().any(|it| it.starts_with(part)), "no line of {part}");
    }
    assert!(bench.run(&["logs", "--grep", "no-such-word-anywhere"]).ends_with(0).stdout.is_empty());
    bench.run(&["logs", "--grep", "("]).ends_with(2).says("--grep");
}

fn forward(bench: &Bench) {
    let (child, lines) = start(bench, &["forward", "app"]);
    let address = line_with(&lines, "http://localhost:");
    bench.wait_for_page(&address);
    replace_pods(bench);
    bench.wait_for_page(&address);
    interrupt(child);
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    bench.run(&["forward", "app", "--port", &port]).ends_with(4).says("cannot be used");
}
