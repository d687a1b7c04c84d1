//! Mutations of valid files: each is read, or refused as a configuration with a place. No text ends the tool otherwise.

use crate::{
    config::{Config, FILE, schema},
    errors::{Exit, exit_code, render},
    mutation::{LONG, SHORT, each},
};

const VALID: [&str; 3] = [
    include_str!("../../../Pocdeploy.toml"),
    "name = \"shop\"\nnamespace = \"shop\"\n[frontend]\npath = \"app\"\nimage = \"shop\"\nversion = \"1.0.0\"\nreplicas = 3\nport = 8000\npage = \"/\"\n\
     migrate = [\"./manage.py\", \"migrate\"]\nhost = \"shop.localhost\"\n[frontend.env]\nDB_HOST = \"$(PGHOST)\"\nMODE = 'x'\n[frontend.secrets]\n\
     KEY = { env = \"KEY\" }\nJWT = { generate = 48 }\nMAIL = { sops = \"a.yaml\", key = \"b.c\" }\n[frontend.volumes.media]\npath = \"/media\"\n\
     size = \"1Gi\"\n[services.worker]\nuses = \"frontend\"\ncommand = [\"celery\", \"worker\"]\n[services.cache]\nkind = \"valkey\"\n",
    "[cluster]\ntype = \"existing\"\ncontext = \"dev\"\nregistry = \"r.example.com/a\"\nexpose = \"ingress\"\n[ingress]\n\
     controller = \"none\"\n[database]\nname = \"shop\"\nuser = 'shop'\npassword = \"\"\"four-words-of-a-password\"\"\"\ninstances = 3\n\
     profile = \"durable\"\nstorage = \"1Gi\"\n[images]\nsource = \"registry\"\npython = \"python:3.14\"\n[images.mirrors]\n\
     \"docker.io\" = \"http://mirror.example.com:5000\"\n",
];

/// Keys, values and pieces of syntax.
const WORDS: [&str; 34] = [
    "name",
    "namespace",
    "frontend",
    "services",
    "cluster",
    "database",
    "images",
    "secrets",
    "env",
    "volumes",
    "uses",
    "kind",
    "port",
    "replicas",
    "route",
    "\n[frontend]\n",
    "\n[services.x]\n",
    "\n[[services]]\n",
    "\n[frontend.secrets]\n",
    "\n[app]\n",
    " = ",
    "true",
    "2026-01-01",
    "1979-05-27T07:32:00Z",
    "[1, \"x\"]",
    "{ env = \"X\" }",
    "{}",
    "[]",
    "\"valkey\"",
    "\"kind\"",
    "\"../x\"",
    "\"traefik\"",
    "0.5",
    "\"\\u0000\"",
];

fn check(text: &str) {
    let Err(error) = Config::parse(text) else { return };
    assert_eq!(exit_code(&error), Exit::Config);
    let report = render(&error);
    let lines = text.matches('\n').count() + 1;
    for message in error.to_string().lines().filter(|it| !it.starts_with(' ')) {
        // What contradicts a default has no line in the file: its key is the place.
        let Some(place) = message.strip_prefix(&format!("{FILE}:")) else {
            let key = message.split(": ").next().unwrap_or_default();
            assert!(is_key(key), "no place in {message:?} of {report}");
            continue;
        };
        let mut numbers = place.split(':').map_while(|it| it.parse::<usize>().ok());
        let (line, column) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
        assert!((1..=lines).contains(&line) && column >= 1, "{message:?} of {lines} lines");
    }
}

fn is_key(text: &str) -> bool {
    let schema = schema::text();
    let first = text.split('.').next().unwrap_or_default();
    !first.is_empty() && schema.contains(&format!("\"{first}\""))
}

#[test]
fn a_mutated_file_is_read_or_refused_with_a_place() {
    VALID.iter().for_each(|it| drop(Config::parse(it).unwrap()));
    each(&VALID, &WORDS, SHORT, check);
}

#[test]
#[ignore = "long: `cargo xtask test --full` reads a million texts"]
fn a_million_mutated_files_are_read_or_refused_with_a_place() {
    each(&VALID, &WORDS, LONG, check);
}
