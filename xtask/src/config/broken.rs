//! Files with mistakes: each must be pointed at, all of them at once, with the name that was meant where one is near.

use crate::{
    config::Config,
    errors::{Exit, exit_code, render},
};

/// A file, and what the report must say, in this order.
const FILES: [(&str, &[&str]); 40] = [
    ("naem = \"x\"", &["1:1: unknown key `naem`; did you mean `name`?"]),
    ("[frontend]\npathh = \"x\"", &["2:1: unknown key `frontend.pathh`; did you mean `frontend.path`?"]),
    ("[fronted]\npath = \"x\"", &["2:1: unknown key `fronted.path`; did you mean `frontend.path`?"]),
    ("[other]\nkey = 1", &["2:1: unknown key `other.key`\n"]),
    ("[other]", &["1:2: unknown key `other`"]),
    ("port = 1", &["1:1: unknown key `port`"]),
    ("[cluster]\nports = 8080", &["2:1: unknown key `cluster.ports`; did you mean `cluster.port`?"]),
    ("[app.extra]\nx = 1", &["2:1: unknown key `app.extra.x`"]),
    ("name = 5", &["1:8: name: invalid type: integer `5`, expected a string"]),
    ("name = [\"x\"]", &["1:8: name: invalid type: sequence, expected a string"]),
    ("[frontend]\nbuild_network = \"yes\"", &["2:17: frontend.build_network: invalid type: string \"yes\", expected a boolean"]),
    ("[cluster]\nport = \"8080\"", &["2:8: cluster.port: invalid type: string \"8080\", expected u16"]),
    ("[cluster]\nport = 70000", &["2:8: cluster.port: invalid value: integer `70000`, expected u16"]),
    ("[cluster]\nport = -1", &["2:8: cluster.port: invalid value: integer `-1`, expected u16"]),
    ("[cluster]\nport = 0", &["2:1: cluster.port: must be between 1 and 65535"]),
    ("[cluster]\nport = 80.5", &["2:8: cluster.port: invalid type: floating point `80.5`, expected u16"]),
    ("[cluster]\ntype = \"kid\"", &["2:8: cluster.type: unknown variant `kid`", "did you mean `kind`?"]),
    ("[cluster]\ntype = \"openstack\"", &["2:8: cluster.type: unknown variant `openstack`, expected one of `kind`, `eks`, `aks`, `gke`"]),
    ("[images]\nsource = \"registy\"", &["2:10: images.source: unknown variant `registy`", "did you mean `registry`?"]),
    ("[images]\nmirrors = \"x\"", &["2:11: images.mirrors: invalid type: string \"x\", expected a map"]),
    ("[images.mirrors]\n\"docker.io\" = \"mirror.example.com\"", &["images.mirrors: `mirror.example.com` must read `http://host:port`"]),
    ("[images.mirrors]\n\"docker.io\" = 5", &["2:15: images.mirrors.docker.io: invalid type: integer `5`, expected a string"]),
    ("cluster = 5", &["1:11: cluster: invalid type: integer `5`, expected a table"]),
    ("[database]\ninstances = 0", &["2:1: database.instances: must be between 1 and 9"]),
    ("[database]\ninstances = 10\nstorage = \"lots\"", &["2:1: database.instances: must be", "3:1: database.storage: `lots`"]),
    ("[database]\nuser = \"postgres\"", &["2:1: database.user: `postgres` is PostgreSQL's superuser"]),
    ("[database]\nname = \"a;drop\"", &["2:1: database.name: `a;drop` must be lower-case letters"]),
    ("[database]\npassword = \"\"", &["2:1: database.password: must not be empty"]),
    ("[database]\npassword = 471147114711", &["2:12: database.password: must be a string"]),
    ("[app]\nsecret_key = \"canary\"", &["2:1: app.secret_key: must have at least 50 characters"]),
    ("[app]\nsecret_key = [\"canary\"]", &["2:14: app.secret_key: must be a string"]),
    ("[app]\nreplicas = \"two\"", &["2:12: app.replicas: invalid type: string \"two\", expected u16"]),
    ("[app]\nnamespace = \"kube-system\"", &["2:1: app.namespace: `kube-system` belongs to others"]),
    ("[app]\nhost = \"Polls.Localhost\"\npath = \"polls\"", &["2:1: app.host: `Polls.Localhost`", "3:1: app.path: must begin with `/`"]),
    ("[frontend]\npath = \"../elsewhere\"\nimage = \"polls:1\"", &["2:1: frontend.path: ", "3:1: frontend.image: "]),
    // Several kinds of mistakes in one file.
    (
        "naem = 1\nname = 5\n[cluster]\nport = \"x\"\ntype = \"gk\"\n[app]\nreplicas = 0\n",
        &[
            "1:1: unknown key `naem`",
            "2:8: name: invalid type",
            "4:8: cluster.port: invalid type",
            "5:8: cluster.type: unknown variant `gk`",
            "7:1: app.replicas: must be between 1 and 50",
        ],
    ),
    ("frontend = { path = 5, image = 6 }", &["1:21: frontend.path: invalid type", "1:32: frontend.image: invalid type"]),
    // No TOML at all: one place, the first.
    ("[frontend\npath = \"x\"", &["1:10: "]),
    ("name = \"x\"\nname = \"y\"", &["2:1: duplicate key"]),
    ("name = polls", &["1:8: "]),
];

#[test]
fn every_mistake_of_a_file_is_pointed_at_in_one_report() {
    for (text, expected) in FILES {
        let Err(error) = Config::parse(text) else { panic!("taken for right: {text}") };
        assert_eq!(exit_code(&error), Exit::Config);
        let report = render(&error);
        let mut rest = report.as_str();
        for part in expected {
            let at = rest.find(part).unwrap_or_else(|| panic!("{text}\nno {part:?}, or not in its turn, in\n{report}"));
            rest = &rest[at + part.len()..];
        }
        assert!(!report.contains("canary") && !report.contains("4711"), "{report}");
        if expected[0].starts_with(|it: char| it.is_ascii_digit()) {
            assert!(report.contains("Pocdeploy.toml:") && report.contains('^'), "{report}");
        }
        assert_eq!(
            report.matches("Pocdeploy.toml:").count().max(1),
            expected.iter().filter(|it| it.contains(": ")).count().max(1),
            "{report}"
        );
    }
}
