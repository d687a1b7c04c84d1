//! What becomes of texts that settings take: everything that is applied, exported or ejected, with the texts and with plain words in their
//! places. Once the words are replaced, both are the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use pocdeploy::deploy::yaml;
use serde_json::{Value, json};

use super::texts::{Setting, TEXTS, quoted};
use crate::{support::Ran, world::World};

/// The words that stand for texts: `word07x` for the eighth.
fn word(index: usize) -> String {
    format!("word{index:02}x")
}

/// Names that YAML 1.1 takes for something else where they are not quoted, and the words for them.
const NAMES: [(&str, &str); 9] = [
    ("namespacex", "yes"),
    ("tqx", "true"),
    ("versionx", "1e3"),
    ("hostx", "0x1f"),
    ("databasex", "off"),
    ("userx", "null"),
    ("volumex", "y"),
    ("oqx", "on"),
    ("NAMEX", "NO"),
];

const REGISTRY: &str = "registry.example.com/team";

/// Everything at once: what may be only one text.
fn all_in_one() -> String {
    TEXTS.iter().filter(|it| !it.contains(char::is_control)).copied().collect()
}

/// Whether the settings hold the texts and the names of YAML, or plain words for them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum With {
    Texts,
    Words,
}

struct Written {
    with: With,
    /// How many texts are in how many settings.
    count: usize,
}

impl Written {
    fn of(&self, index: usize, text: &str) -> String {
        if self.with == With::Texts { text.to_owned() } else { word(index) }
    }

    fn name(&self, name: &'static str) -> &'static str {
        if self.with == With::Words { name } else { NAMES.iter().find(|it| it.0 == name).unwrap().1 }
    }

    /// The texts that the setting takes, with their numbers; its prefix goes before them.
    fn taken(&mut self, key: &str, toml: &str) -> Vec<(usize, String)> {
        let all = Setting::taken(key, toml);
        self.count += all.len();
        all.into_iter().map(|it| (it, self.of(it, TEXTS[it]))).collect()
    }

    /// As strings of TOML.
    fn list(&mut self, prefix: &str, key: &str, toml: &str) -> String {
        self.taken(key, toml).iter().map(|it| quoted(&format!("{prefix}{}", it.1))).collect::<Vec<_>>().join(", ")
    }

    /// All of them as one, for a setting that a service has only once.
    fn joined(&mut self, prefix: &str, key: &str, toml: &str) -> String {
        quoted(&(prefix.to_owned() + &self.taken(key, toml).into_iter().map(|it| it.1).collect::<String>()))
    }

    fn configuration(&mut self) -> String {
        let name = |it| self.name(it);
        let (namespace, image, version, host) = (name("namespacex"), name("tqx"), name("versionx"), name("hostx"));
        let (database, user, volume, service, variable) = (name("databasex"), name("userx"), name("volumex"), name("oqx"), name("NAMEX"));
        let one = quoted(&self.of(99, &all_in_one()));
        let mut out = format!(
            "name = \"doors\"\nnamespace = {namespace:?}\n[images]\nsource = \"packages\"\n[database]\nname = {database:?}\nuser = {user:?}\n\
             password = {one}\n[frontend]\nimage = {image:?}\nversion = {version:?}\nhost = {host:?}\nreplicas = 1\ntext = {one}\n"
        );
        let (command, migrate) = (self.list("", "frontend.command", "command"), self.list("", "frontend.migrate", "migrate"));
        let writable = self.list("/", "frontend.writable", "writable");
        let key = self.joined(&"0123456789".repeat(5), "frontend.secret_key", "secret_key");
        let health = self.joined("/", "frontend.health", "health");
        out.push_str(&format!("command = [\"run\", {command}]\nmigrate = [\"run\", {migrate}]\nwritable = [{writable}]\nhealth = {health}\nsecret_key = {key}\n"));
        let path = self.joined("/", "frontend.volumes", "[frontend.volumes.a]\npath = §");
        out.push_str(&format!("[frontend.volumes.{volume}]\npath = {path}\n[frontend.env]\n{variable} = \"a\"\n"));
        for (index, text) in self.taken("frontend.env", "A = §") {
            out.push_str(&format!("TEXT_{index:02} = {}\nMIXED_{index:02} = {}\n", quoted(&text), quoted(&format!("$(PGPASSWORD){text}"))));
        }
        let schedule = self.joined("@", "services.a.schedule", "schedule");
        out.push_str(&format!("[services.{service}]\nuses = \"frontend\"\nschedule = {schedule}\ncommand = [{schedule}]\n"));
        out
    }
}

/// A piece of an outcome by its name: an object, or a file.
type Outcome = BTreeMap<String, Value>;

/// Hashes of contents differ, and so do the names of the objects that have one in their name.
fn without_hashes(text: &str) -> String {
    let mut out = String::new();
    let mut run = String::new();
    for it in text.chars().chain(['\n']) {
        if it.is_ascii_alphanumeric() {
            run.push(it);
            continue;
        }
        let is_hash = run.len() >= 8 && run.chars().all(|it| it.is_ascii_digit() || ('a'..='f').contains(&it));
        out.push_str(if is_hash { "HASH" } else { &run });
        run.clear();
        out.push(it);
    }
    out.pop();
    out
}

/// Every string of a value, keys too, after a change.
fn each(value: Value, change: &dyn Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(change(&text)),
        Value::Array(all) => all.into_iter().map(|it| each(it, change)).collect(),
        Value::Object(all) => all.into_iter().map(|(key, it)| (change(&key), each(it, change))).collect(),
        other => other,
    }
}

/// The value with the texts in place of the words.
fn with_texts(value: Value, text_of: &dyn Fn(&str) -> String) -> Value {
    each(value, &|it| {
        let mut out = it.to_owned();
        for (word, name) in NAMES {
            out = out.replace(word, name);
        }
        for (index, text) in TEXTS.iter().enumerate() {
            out = out.replace(&word(index), &text_of(text));
        }
        out.replace(&word(99), &all_in_one())
    })
}

/// The same value with hashes masked, and folders of pods in an order that does not depend on their names.
fn comparable(value: Value) -> Value {
    let mut out = each(value, &without_hashes);
    sort_folders(&mut out);
    out
}

fn sort_folders(value: &mut Value) {
    match value {
        Value::Array(all) => all.iter_mut().for_each(sort_folders),
        Value::Object(all) => {
            for (key, inner) in all.iter_mut() {
                if ["volumeMounts", "tmpfs"].contains(&key.as_str())
                    && let Some(list) = inner.as_array_mut()
                {
                    list.iter_mut()
                        .filter(|it| it["name"].as_str().is_some_and(|it| it.starts_with("writable-")))
                        .for_each(|it| it["name"] = json!(""));
                    list.sort_by_key(|it| it.to_string());
                }
                sort_folders(inner);
            }
        }
        _ => {}
    }
}

/// What the kubelet makes of the text of a variable or of a command, and Compose files have.
fn as_the_kubelet_reads(text: &str) -> String {
    text.replace("$$", "$")
}

/// The outcome with words as it must be with texts.
fn expected(with_words: Outcome) -> Outcome {
    let literal = |it: &str| it.to_owned();
    let of = |(name, mut value): (String, Value)| {
        let name = with_texts(json!(name), &literal).as_str().unwrap().to_owned();
        if name == "compose: compose.yaml" {
            for service in value[0]["services"].as_object_mut().unwrap().values_mut() {
                for field in ["environment", "entrypoint"] {
                    if !service[field].is_null() {
                        service[field] = with_texts(service[field].take(), &as_the_kubelet_reads);
                    }
                }
            }
        }
        let is_environment = name.starts_with("compose: secrets/");
        let value = if is_environment { with_texts(value, &as_the_kubelet_reads) } else { with_texts(value, &literal) };
        (name, comparable(value))
    };
    with_words.into_iter().map(of).collect()
}

/// The decoded values of a Secret; a URL's password too.
fn decoded(mut object: Value) -> Value {
    if object["kind"] == "Secret" {
        for (key, value) in object["data"].as_object_mut().into_iter().flatten() {
            let text = String::from_utf8(STANDARD.decode(value.as_str().unwrap()).unwrap()).unwrap();
            *value = json!(if key.ends_with("uri") { unescaped(&text) } else { text });
        }
    }
    object
}

fn unescaped(url: &str) -> String {
    let (mut out, bytes, mut at) = (Vec::new(), url.as_bytes(), 0);
    while at < bytes.len() {
        match bytes[at] {
            b'%' => {
                out.push(u8::from_str_radix(&url[at + 1..at + 3], 16).unwrap());
                at += 2;
            }
            it => out.push(it),
        }
        at += 1;
    }
    String::from_utf8(out).unwrap()
}

/// What Helm writes: what stands between braces is an expression, unless it is a pair of braces itself, and a line that begins with one is none.
fn rendered(template: &str) -> String {
    let mut out = String::new();
    for line in template.split_inclusive('\n').filter(|it| !it.trim_start().starts_with("{{-")) {
        let mut rest = line;
        while let Some((before, after)) = rest.split_once("{{") {
            out.push_str(before);
            let (expression, after) = after.split_once("}}").unwrap_or_else(|| panic!("no end in {line:?}"));
            if expression == " \"{{\" " {
                out.push_str("{{");
            } else {
                let is_number = [".Values.replicas", ".Values.database.instances"].iter().any(|it| expression.contains(it))
                    || line.contains("nodePort:");
                assert!(is_number || expression.contains("quote") || expression.contains("toJson"), "no quotes in {line:?}");
                out.push_str("EXPRESSION");
            }
            rest = after;
        }
        out.push_str(rest);
    }
    out
}

/// What Compose reads: two `$` are one, and one alone would be a variable.
fn interpolated(text: &str) -> String {
    let alone = text.replace("$$", "");
    assert!(!alone.contains('$'), "Compose would replace a variable in {text:?}");
    text.replace("$$", "$")
}

/// What an object or a file of an exported format says.
fn read(format: &str, path: &str, text: &str) -> Value {
    let text = if format == "helm" && path.contains("templates/") && path.ends_with(".yaml") { rendered(text) } else { text.to_owned() };
    if !path.ends_with(".yaml") {
        return json!(text);
    }
    let all = yaml::documents(&text).unwrap_or_else(|it| panic!("{path}: {it:?}\n{text}"));
    let all: Value = all.into_iter().map(|it| it.value).collect();
    if path == "compose.yaml" { each(all, &interpolated) } else { all }
}

fn files(folder: &Path, format: &str, out: &mut Outcome) {
    for entry in walkdir::WalkDir::new(folder).into_iter().flatten().filter(|it| it.file_type().is_file()) {
        let path = entry.path().strip_prefix(folder).unwrap().display().to_string();
        // The script is run instead.
        if path != "secrets.sh" || format != "compose" {
            let text = fs::read_to_string(entry.path()).unwrap();
            out.insert(without_hashes(&format!("{format}: {path}")), read(format, &path, &text));
        }
    }
}

/// The variables in the environment file of a service that the script of the Compose files writes.
fn environment(text: &str) -> Value {
    let mut out = json!({});
    for line in text.lines() {
        let (name, value) = line.split_once('=').unwrap();
        let inside = value.strip_prefix('"').and_then(|it| it.strip_suffix('"')).unwrap_or_else(|| panic!("{line:?}"));
        let (mut text, mut signs) = (String::new(), inside.chars());
        while let Some(it) = signs.next() {
            match it {
                '\\' => match signs.next().unwrap() {
                    'n' => text.push('\n'),
                    other => text.push(other),
                },
                '"' | '$' => panic!("{line:?} goes on after its end, or has a variable"),
                it => text.push(it),
            }
        }
        out[name] = json!(if name.starts_with("DATABASE_UR") { unescaped(&text) } else { text });
    }
    out
}

fn program(world: &World, name: &str, text: &str) {
    world.project.write(&format!("fakes/{name}"), text);
    fs::set_permissions(world.project.root.join("fakes").join(name), fs::Permissions::from_mode(0o755)).unwrap();
}

/// Everything that comes of the configuration.
fn outcome(written: &mut Written) -> (Outcome, BTreeSet<String>) {
    let world = World::new();
    let root = &world.project.root;
    for folder in ["frontend", "database"] {
        fs::remove_dir_all(root.join("deploy").join(folder)).unwrap();
    }
    world.project.write("Pocdeploy.toml", &written.configuration());
    let claim = world.files.lock().unwrap().0.replace("\"polls\"", &format!("{:?}", written.name("namespacex"))).replace("polls-db", "db");
    world.files.lock().unwrap().0 = claim;
    world.build();
    for image in world.upstream() {
        world.engine.in_registry(&image.replacen("localhost", REGISTRY, 1));
    }
    world.create();
    let mut out = Outcome::new();
    for object in world.cluster.applied() {
        let called = format!("{} {}", object["kind"], object["metadata"]["name"]);
        // The history has times, and the operator's objects have certificates.
        if !called.contains("pocdeploy-history") && object["metadata"]["namespace"] != "cnpg-system" {
            out.insert(without_hashes(&called), decoded(object));
        }
    }
    world.run(&["create", "--yes"]).ends_with(0).says("nothing to do");
    for format in ["kustomize", "helm", "compose"] {
        let ran = world.run(&["export", "--format", format, "--registry", REGISTRY]);
        ran.ends_with(0);
        files(&root.join("export").join(format), format, &mut out);
    }
    program(&world, "openssl", "#!/bin/sh\nfor it; do case $last in -keyout|-out) : > \"$it\" ;; esac; last=$it; done\n");
    let mut script = world.command_of(Path::new("sh"), &["export/compose/secrets.sh"]);
    let secret = written.of(99, &all_in_one());
    Ran::from(script.envs([("DATABASE_PASSWORD", &secret), ("FRONTEND_APP_SECRET_KEY", &secret)]).output().unwrap()).ends_with(0);
    for entry in fs::read_dir(root.join("export/compose/secrets")).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if name.ends_with(".env") {
            out.insert(format!("compose: secrets/{name}"), environment(&fs::read_to_string(entry.path()).unwrap()));
        }
    }
    world.run(&["eject", "deploy"]).ends_with(0);
    files(&root.join("deploy"), "eject", &mut out);
    let all = walkdir::WalkDir::new(root).into_iter().flatten();
    let names = all.filter(|it| it.file_name() == "INJECTED").map(|it| it.path().display().to_string()).collect();
    let port = world.cluster.port.to_string();
    (out.into_iter().map(|(name, it)| (name, each(it, &|it| it.replace(&port, "PORT")))).collect(), names)
}

#[test]
fn a_text_goes_unchanged_into_objects_and_exported_files_and_nothing_else_changes() {
    let run = |with| {
        let mut written = Written { with, count: 0 };
        let (outcome, injected) = outcome(&mut written);
        assert_eq!(injected, BTreeSet::new(), "a text was run as a command");
        (outcome, written.count)
    };
    let ((with_words, _), (found, count)) = std::thread::scope(|scope| {
        let words = scope.spawn(|| run(With::Words));
        let found = run(With::Texts);
        (words.join().unwrap(), found)
    });
    let (expected, found) = (expected(with_words), found.into_iter().map(|(name, it)| (name, comparable(it))).collect::<Outcome>());
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    let wrong: Vec<String> = found
        .iter()
        .filter(|(name, it)| expected[*name] != **it)
        .map(|(name, it)| format!("{name}:\n{}", difference(&expected[name], it, "").join("\n")))
        .collect();
    eprintln!("{count} times a text in a setting that takes it; {} objects and files", found.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count >= 300 && found.len() >= 100);
}

/// The places at which two values differ.
fn difference(expected: &Value, found: &Value, place: &str) -> Vec<String> {
    match (expected, found) {
        (Value::Object(one), Value::Object(two)) => {
            let keys: BTreeSet<&String> = one.keys().chain(two.keys()).collect();
            keys.into_iter().flat_map(|it| difference(&expected[it], &found[it], &format!("{place}.{it}"))).collect()
        }
        (Value::Array(one), Value::Array(two)) if one.len() == two.len() => {
            one.iter().zip(two).enumerate().flat_map(|(at, (one, two))| difference(one, two, &format!("{place}.{at}"))).collect()
        }
        _ if expected == found => Vec::new(),
        _ => vec![format!("{place}: {expected} expected, {found} found")],
    }
}
