//! Secrets with the real SOPS and age, which Go builds: every format, and a key that does not fit.

use std::{fs, path::Path, process::Command};

use base64::Engine as _;

use crate::{command, ran, support::Ran, world::World, write};

const PROGRAMS: [(&str, &str); 3] = [
    ("age", "filippo.io/age/cmd/age@v1.2.1"),
    ("age-keygen", "filippo.io/age/cmd/age-keygen@v1.2.1"),
    ("sops", "github.com/getsops/sops/v3/cmd/sops@v3.10.2"),
];

const CONFIGURATION: &str = "
name = 'doors'
[images]
source = 'packages'
[frontend.secrets]
A_YAML = { sops = 'a.yaml', key = 'mail.password' }
B_JSON = { sops = 'b.json', key = 'list.1' }
C_ENV = { sops = 'c.env' }
D_INI = { sops = 'd.ini', key = 'mail.password' }
E_WHOLE = { sops = 'e.pem' }
F_AGE = { age = 'f.age', identity = 'key.txt' }
G_NUMBER = { sops = 'a.yaml', key = 'mail.port' }
\"*\" = { sops = 'c.env' }
";

fn program(folder: &Path, name: &str, words: &[&str]) -> Command {
    let mut command = command(folder.join("fakes").join(name).to_str().unwrap(), words);
    command.current_dir(folder);
    command
}

#[test]
fn sops_and_age_give_what_they_encrypted_and_a_wrong_key_is_told() {
    let world = World::new();
    let folder = world.project.root.as_path();
    fs::remove_dir_all(folder.join("deploy/frontend")).unwrap();
    for (name, module) in PROGRAMS {
        match std::env::split_paths(&std::env::var_os("PATH").unwrap()).map(|it| it.join(name)).find(|it| it.exists()) {
            Some(built) => std::os::unix::fs::symlink(built, folder.join("fakes").join(name)).unwrap(),
            None => drop(ran(command("go", &["install", module]).env("GOBIN", folder.join("fakes")))),
        }
    }
    let long = format!("-----BEGIN X-----\n{}\n-----END X-----", "canary/+=\n".repeat(200).trim_end());
    let files = [
        ("a.yaml", "mail:\n  password: 'canary: #1'\n  port: 587\n"),
        ("b.json", "{\"list\": [\"x\", \"canary \\u00fc\"]}"),
        ("c.env", "C_ENV=canary=2\nEXTRA=canary-extra\n"),
        ("d.ini", "[mail]\npassword = canary-3\n"),
        ("e.pem", &format!("{long}\n")),
        ("f.txt", "canary-age\n"),
    ];
    write(folder, &files);
    for key in ["key.txt", "other.txt"] {
        ran(&mut program(folder, "age-keygen", &["-o", key]));
    }
    let recipient = ran(&mut program(folder, "age-keygen", &["-y", "key.txt"]));
    for (file, _) in &files[..5] {
        ran(&mut program(folder, "sops", &["encrypt", "--in-place", "--age", recipient.trim(), file]));
        assert!(!fs::read_to_string(folder.join(file)).unwrap().contains("canary"), "{file}");
    }
    ran(&mut program(folder, "age", &["--encrypt", "--recipient", recipient.trim(), "--output", "f.age", "f.txt"]));
    fs::remove_file(folder.join("f.txt")).unwrap();
    write(folder, &[("Pocdeploy.toml", CONFIGURATION)]);
    let create =
        |identity: &str| Ran::from(world.command(&["create", "--yes"]).env("SOPS_AGE_KEY_FILE", folder.join(identity)).output().unwrap());
    let refused = create("other.txt");
    refused.ends_with(3);
    for (key, file) in [("A_YAML", "a.yaml"), ("*", "c.env"), ("E_WHOLE", "e.pem")] {
        refused.says(&format!("frontend.secrets.{key}: {file} cannot be decrypted"));
    }
    assert!(!refused.stderr.contains("canary") && !refused.stderr.contains("F_AGE"), "{}", refused.stderr);
    assert_eq!(world.cluster.writes(), Vec::<String>::new());
    create("key.txt").ends_with(0);
    let secret = world.cluster.get("Secret", "polls", "frontend-secrets").unwrap();
    let seen: Vec<(&str, String)> =
        secret["data"].as_object().unwrap().iter().map(|(name, it)| (name.as_str(), decoded(it.as_str().unwrap()))).collect();
    let expected = [
        ("A_YAML", "canary: #1"),
        ("B_JSON", "canary ü"),
        ("C_ENV", "canary=2"),
        ("D_INI", "canary-3"),
        ("EXTRA", "canary-extra"),
        ("E_WHOLE", &long),
        ("F_AGE", "canary-age"),
        ("G_NUMBER", "587"),
    ];
    assert_eq!(seen, expected.map(|(name, it)| (name, it.to_owned())));
    create("key.txt").ends_with(0).says(" 0 ran");
}

fn decoded(text: &str) -> String {
    String::from_utf8(base64::engine::general_purpose::STANDARD.decode(text).unwrap()).unwrap()
}
