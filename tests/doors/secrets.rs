//! `[….secrets]` against a cluster in memory, with stand-ins for `sops` and `age`: tests/applications has the real programs.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use serde_json::{Value, json};

use crate::{
    support::{Ran, command},
    world::World,
};

const ALL: &str = "
[frontend.secrets]
STRIPE_KEY = { env = 'STRIPE_KEY' }
JWT_SECRET = { generate = 48 }
TLS_KEY = { file = 'third_party/django-polls/tls.key' }
MAIL_PASSWORD = { sops = 'secrets.enc.yaml', key = 'mail.password' }
LICENSE = { age = 'license.age', identity = 'key.txt' }
'*' = { sops = 'all.enc.env' }
[frontend.env]
MAIL_URL = 'smtp://x:$(MAIL_PASSWORD)@mail'
[services.worker]
uses = 'frontend'
command = ['./work']
[services.worker.secrets]
STRIPE_KEY = { env = 'WORKER_KEY' }
[services.nightly]
uses = 'frontend'
schedule = '@daily'
command = ['./work']
";

/// An application without manifests. The stand-ins write what lies beside a file as `FILE.plain`.
fn world(configuration: &str) -> World {
    let world = World::new();
    fs::remove_dir_all(world.project.root.join("deploy/frontend")).unwrap();
    configure(&world, configuration);
    program(&world, "sops", "#!/bin/sh\nfor it; do :; done\ncat \"$it.plain\" || { echo 'no key fits' >&2; exit 128; }\n");
    program(&world, "age", "#!/bin/sh\nfor it; do :; done\ncat \"$it.plain\"\n");
    for (name, text) in [
        ("secrets.enc.yaml", "encrypted"),
        ("secrets.enc.yaml.plain", "{\"mail\":{\"password\":\"canary-mail\"}}"),
        ("license.age", "encrypted"),
        ("license.age.plain", "canary-license\n"),
        ("key.txt", "canary-identity"),
        ("all.enc.env", "encrypted"),
        ("all.enc.env.plain", "{\"FIRST\":\"canary-first\",\"STRIPE_KEY\":\"canary-other\"}"),
    ] {
        world.project.write(name, text);
    }
    close(&world, "key.txt");
    world
}

/// Only the owner reads the file.
fn close(world: &World, name: &str) {
    fs::set_permissions(world.project.root.join(name), fs::Permissions::from_mode(0o600)).unwrap();
}

fn configure(world: &World, configuration: &str) {
    let head = "name = \"doors\"\n[images]\nsource = \"packages\"\n";
    world.project.write("Pocdeploy.toml", &format!("{head}{configuration}"));
}

fn program(world: &World, name: &str, text: &str) {
    world.project.write(&format!("fakes/{name}"), text);
    fs::set_permissions(world.project.root.join("fakes").join(name), fs::Permissions::from_mode(0o755)).unwrap();
}

#[track_caller]
fn run(world: &World, arguments: &[&str], stripe: &str) -> Ran {
    let mut command = world.command(arguments);
    let ran = Ran::from(command.env("STRIPE_KEY", stripe).env("WORKER_KEY", "canary-worker").output().unwrap());
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains("canary"), "{}{}", ran.stdout, ran.stderr);
    ran
}

/// The decoded values of a Secret.
fn values(world: &World, name: &str) -> Value {
    let secret = world.cluster.get("Secret", "polls", name).unwrap_or_default();
    let decode = |it: &Value| {
        use base64::Engine as _;
        let bytes = base64::engine::general_purpose::STANDARD.decode(it.as_str().unwrap()).unwrap();
        json!(String::from_utf8(bytes).unwrap())
    };
    secret["data"].as_object().into_iter().flatten().map(|(name, it)| (name.clone(), decode(it))).collect()
}

/// Where each variable of a container comes from: `NAME=SECRET`, or `NAME=text`.
fn variables(container: &Value) -> Vec<String> {
    let all = container["env"].as_array().unwrap();
    let told = |it: &Value| {
        let secret = it.pointer("/valueFrom/secretKeyRef/name").and_then(Value::as_str);
        Some(format!("{}={}", it["name"].as_str()?, secret.or(it["value"].as_str())?))
    };
    all.iter().filter_map(told).collect()
}

#[track_caller]
fn no_file_holds_a_value(folder: &Path) {
    for entry in walkdir::WalkDir::new(folder).into_iter().filter_map(Result::ok).filter(|it| it.file_type().is_file()) {
        let text = fs::read(entry.path()).unwrap();
        for value in ["canary", "Y2FuYXJ5"] {
            assert!(!text.windows(value.len()).any(|it| it == value.as_bytes()), "{value} in {}", entry.path().display());
        }
    }
}

#[test]
fn values_of_every_source_are_in_one_secret_that_the_pods_get_and_nowhere_else() {
    let world = world(ALL);
    // In the application's folder, and yet in no image.
    world.project.write("third_party/django-polls/tls.key", "canary-tls\nsecond line\n");
    close(&world, "third_party/django-polls/tls.key");
    let kind = world.project.read("fakes/kind").replacen('\n', "\nenv >> \"$(dirname \"$0\")/../target/environment\"\n", 1);
    program(&world, "kind", &kind);
    run(&world, &["create", "--yes"], "canary-1").ends_with(0);
    let first = values(&world, "frontend-secrets");
    let generated = first["JWT_SECRET"].as_str().unwrap().to_owned();
    assert_eq!(generated.len(), 48);
    let expected = json!({ "STRIPE_KEY": "canary-1", "JWT_SECRET": generated, "TLS_KEY": "canary-tls\nsecond line", "MAIL_PASSWORD": "canary-mail",
                           "LICENSE": "canary-license", "FIRST": "canary-first" });
    assert_eq!(first, expected);
    assert_eq!(values(&world, "worker-secrets"), json!({ "STRIPE_KEY": "canary-worker" }));
    let container = |kind: &str, name: &str, path: &str| {
        let object = world.cluster.get(kind, "polls", name).unwrap();
        object.pointer(&format!("{path}/template/spec/containers/0")).unwrap().clone()
    };
    for (kind, name, path, stripe, whole) in [
        ("Deployment", "frontend", "/spec", "STRIPE_KEY=frontend-secrets", json!([{ "secretRef": { "name": "frontend-secrets" } }])),
        ("Deployment", "worker", "/spec", "STRIPE_KEY=worker-secrets", json!([{ "secretRef": { "name": "frontend-secrets" } }])),
        (
            "CronJob",
            "nightly",
            "/spec/jobTemplate/spec",
            "STRIPE_KEY=frontend-secrets",
            json!([{ "secretRef": { "name": "frontend-secrets" } }]),
        ),
    ] {
        let container = container(kind, name, path);
        let all = variables(&container);
        let at = |it: &str| all.iter().position(|one| one == it).unwrap_or_else(|| panic!("no {it} in {all:?}"));
        assert!(at("MAIL_PASSWORD=frontend-secrets") < at("MAIL_URL=smtp://x:$(MAIL_PASSWORD)@mail"));
        assert!(at(stripe) > 0 && at("TLS_KEY=frontend-secrets") > 0 && at("JWT_SECRET=frontend-secrets") > 0);
        assert_eq!(container["envFrom"], whole, "{name}");
    }
    no_file_holds_a_value(&world.project.root.join("target"));
    assert!(world.project.read("target/environment").contains("PATH="));
    let history = world.cluster.get("ConfigMap", "polls", "pocdeploy-history").unwrap().to_string();
    assert!(
        history.contains("frontend-secrets")
            && !history.contains("canary")
            && !history.contains("Y2FuYXJ5")
            && !history.contains(&generated)
    );
    // Nothing changed, so nothing is done.
    run(&world, &["create", "--yes"], "canary-1").ends_with(0).says(" 0 ran");
    run(&world, &["config", "show"], "canary-1").ends_with(0);
    let ejected = run(&world, &["eject", "deploy"], "canary-1");
    ejected.ends_with(0);
    no_file_holds_a_value(&world.project.root.join("deploy"));
}

#[test]
fn a_changed_value_replaces_the_pods_and_a_rollback_brings_the_former_back() {
    let world = world("[frontend.secrets]\nSTRIPE_KEY = { env = 'STRIPE_KEY' }\nJWT_SECRET = { generate = 48 }\n");
    run(&world, &["create", "--yes"], "canary-1").ends_with(0);
    let pods = || world.cluster.get("Deployment", "polls", "frontend").unwrap()["spec"]["template"].clone();
    let (before, first) = (values(&world, "frontend-secrets"), pods());
    let plan = run(&world, &["plan"], "canary-2");
    plan.ends_with(0);
    assert!(plan.stdout.contains("Secret frontend-secrets in polls: data.STRIPE_KEY: [redacted] -> [redacted]"), "{}", plan.stdout);
    assert!(!plan.stdout.contains("JWT_SECRET"), "{}", plan.stdout);
    run(&world, &["update"], "canary-2").ends_with(0);
    let second = values(&world, "frontend-secrets");
    assert_eq!((&second["STRIPE_KEY"], &second["JWT_SECRET"]), (&json!("canary-2"), &before["JWT_SECRET"]));
    assert_ne!(pods(), first);
    run(&world, &["rollback"], "").ends_with(0);
    assert_eq!((values(&world, "frontend-secrets"), pods()), (before.clone(), first));
    // A command that only looks needs no source.
    let ran = world.run(&["status"]);
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains("E0218"), "{}{}", ran.stdout, ran.stderr);
    // Another length is another value, and the former one comes back with it.
    let set = |length: u16| configure(&world, &format!("[frontend.secrets]\nJWT_SECRET = {{ generate = {length} }}\n"));
    set(20);
    run(&world, &["update"], "").ends_with(0);
    assert_eq!(values(&world, "frontend-secrets")["JWT_SECRET"].as_str().unwrap().len(), 20);
    set(48);
    run(&world, &["update"], "").ends_with(0);
    assert_eq!(values(&world, "frontend-secrets"), json!({ "JWT_SECRET": before["JWT_SECRET"] }));
    // A deleted Secret comes back with the same generated value.
    world.cluster.remove("Secret", "polls", "frontend-secrets");
    run(&world, &["update"], "").ends_with(0);
    assert_eq!(values(&world, "frontend-secrets"), json!({ "JWT_SECRET": before["JWT_SECRET"] }));
    // Without the table, the Secret goes.
    configure(&world, "");
    run(&world, &["update"], "").ends_with(0);
    assert_eq!(values(&world, "frontend-secrets"), json!({}));
}

#[test]
fn what_cannot_be_read_is_told_with_the_way_out_before_anything_is_made() {
    let world = world("");
    world.project.write("tracked", "canary");
    close(&world, "tracked");
    let git = |words: &[&str]| assert!(command(Path::new("git"), &world.project.root, words).output().unwrap().status.success());
    git(&["init", "-q"]);
    git(&["add", "tracked"]);
    world.project.write("lost.enc.yaml", "encrypted");
    world.project.write("no.enc.json", "encrypted");
    world.project.write("no.enc.json.plain", "canary");
    for (line, expected) in [
        ("A = { env = 'NOT_SET' }", "frontend.secrets.A: the variable NOT_SET is not set; set it: export NOT_SET="),
        ("A = { file = 'none' }", "frontend.secrets.A: there is no file none"),
        ("A = { file = 'tracked' }", "frontend.secrets.A: git tracks tracked"),
        ("A = { age = 'license.age', identity = 'tracked' }", "git tracks tracked"),
        (
            "A = { sops = 'secrets.enc.yaml', key = 'mail.passwort' }",
            "secrets.enc.yaml has no key `mail.passwort`; did you mean `mail.password`?",
        ),
        ("A = { sops = 'lost.enc.yaml' }", "lost.enc.yaml cannot be decrypted: "),
        ("A = { sops = 'lost.enc.yaml' }", "no key fits"),
        ("A = { sops = 'no.enc.json' }", "wrote no JSON"),
        ("'*' = { sops = 'secrets.enc.yaml' }", "secrets.enc.yaml has more than one value below the key `mail`; name its keys one by one"),
        ("A = { age = 'none.age', identity = 'key.txt' }", "there is no file none.age"),
    ] {
        configure(&world, &format!("[frontend.secrets]\n{line}\n"));
        run(&world, &["create", "--yes"], "").ends_with(3).says("error[E0218]").says(expected);
    }
    fs::set_permissions(&world.project.root, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(world.project.root.join("key.txt"), fs::Permissions::from_mode(0o644)).unwrap();
    configure(&world, "[frontend.secrets]\nA = { file = 'key.txt' }\nB = { env = 'NOT_SET' }\n");
    run(&world, &["create", "--yes"], "")
        .ends_with(3)
        .says("frontend.secrets.A: every user of this machine can read key.txt; take that away: chmod go-rwx key.txt")
        .says("frontend.secrets.B: the variable NOT_SET is not set");
    // A machine without the programs.
    let links = world.project.root.join("links");
    fs::create_dir(&links).unwrap();
    for program in ["git", "python3"] {
        let found = std::env::split_paths(&std::env::var_os("PATH").unwrap()).map(|it| it.join(program)).find(|it| it.exists()).unwrap();
        std::os::unix::fs::symlink(found, links.join(program)).unwrap();
    }
    for (line, program) in [("A = { sops = 'secrets.enc.yaml' }", "sops"), ("A = { age = 'license.age', identity = 'key.txt' }", "age")] {
        configure(&world, &format!("[frontend.secrets]\n{line}\n"));
        let ran = Ran::from(world.command(&["create", "--yes"]).env("PATH", &links).output().unwrap());
        ran.ends_with(4).says(&format!("frontend.secrets.A needs `{program}`, which is not on this machine's PATH"));
    }
    assert_eq!(world.cluster.writes(), Vec::<String>::new());
}

#[test]
fn own_manifests_name_the_secret_themselves() {
    let world = World::new();
    configure(&world, "[frontend.secrets]\nA_SECRET = { env = 'STRIPE_KEY' }\n");
    run(&world, &["create", "--yes"], "canary-1")
        .ends_with(3)
        .says("frontend.secrets has no effect: deploy/frontend has its own manifest for that")
        .says("name the Secret `frontend-secrets` in its pods");
    let nightly = "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: nightly}\nspec:\n  schedule: '@daily'\n  jobTemplate:\n    spec:\n      template:\n        \
                   spec: {restartPolicy: Never, containers: [{name: a, image: 'polls:x', envFrom: [{secretRef: {name: frontend-secrets}}]}]}\n";
    world.project.write("deploy/frontend/nightly.yaml", nightly);
    run(&world, &["create", "--yes"], "canary-1").ends_with(0);
    assert_eq!(values(&world, "frontend-secrets"), json!({ "A_SECRET": "canary-1" }));
    world.project.write("deploy/frontend/twin.yaml", "{apiVersion: v1, kind: Secret, metadata: {name: frontend-secrets}}\n");
    run(&world, &["update"], "canary-1").says("has the name of the Secret that the tool writes for [frontend.secrets]");
}
