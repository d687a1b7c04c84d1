//! What `sbom` writes, against the schema of CycloneDX and against what the running instance says of itself; and what the application's image
//! lacks on purpose.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Read as _,
    path::PathBuf,
    process::Command,
};

use pocdeploy::images::packages;
use serde_json::Value;

use crate::{bench::Bench, programs};

/// Programs that the application's image does not have.
const ABSENT: [&str; 16] =
    ["gcc", "cc", "c++", "g++", "tcc", "clang", "make", "ld", "as", "go", "rustc", "apt", "apt-get", "dpkg", "dpkg-deb", "pip"];

pub(crate) fn name_what_is_there(bench: &Bench) {
    let ran = bench.run(&["sbom"]);
    let files: Vec<PathBuf> = ran.ends_with(0).stdout.lines().map(PathBuf::from).collect();
    let names: Vec<&str> = files.iter().map(|it| it.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["frontend.cdx.json", "node.cdx.json"]);
    let python = programs::python_program("cyclonedx-python-lib[json-validation]", "11.12.0", "python");
    let validate = |all: &[PathBuf]| {
        Command::new(&python).arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/e2e/sbom.py")).args(all).output().unwrap()
    };
    let said = validate(&files);
    assert!(said.status.success(), "{said:?}");
    // The check can fail.
    let text = fs::read_to_string(&files[0]).unwrap();
    let wrong = files[0].with_file_name("wrong.json");
    fs::write(&wrong, text.replacen("\"library\"", "\"librari\"", 1)).unwrap();
    assert!(!validate(std::slice::from_ref(&wrong)).status.success());
    fs::remove_file(wrong).unwrap();

    let [app, node] = [0, 1].map(|it| serde_json::from_str::<Value>(&fs::read_to_string(&files[it]).unwrap()).unwrap());
    let image = bench.kubectl("-n polls get deployment polls-frontend -o jsonpath={.spec.template.spec.containers[0].image}");
    let reference = image.trim().trim_start_matches("docker.io/library/");
    let named = &app["metadata"]["component"];
    assert_eq!(format!("{}:{}", named["name"].as_str().unwrap(), named["version"].as_str().unwrap()), reference);
    let id = bench.engine().image(reference).unwrap().unwrap().id;
    assert_eq!(format!("sha256:{}", named["hashes"][0]["content"].as_str().unwrap()), id);

    let pod = |program: &str| -> BTreeSet<String> {
        let said = bench.kubectl(&format!("-n polls exec deployment/polls-frontend -- {program}"));
        said.lines().map(|it| it.trim().to_lowercase()).filter(|it| !it.is_empty()).collect()
    };
    // Without a blank, since kubectl's words are split there.
    let list = "[print(it.name+'@'+it.version)for(it)in(__import__('importlib.metadata').metadata.distributions())]";
    assert_eq!(versions(&app, "pkg:pypi/"), pod(&format!("python3 -c {list}")));
    let debian = listed(&bench.kubectl("-n polls exec deployment/polls-frontend -- cat /var/lib/dpkg/status"));
    assert!(debian.len() > 50, "{debian:?}");
    assert_eq!(versions(&app, "pkg:deb/debian/"), debian);
    let patches = app.pointer("/components/0/pedigree/patches").and_then(Value::as_array).unwrap();
    let texts: Vec<&str> = patches.iter().map(|it| it["diff"]["text"]["content"].as_str().unwrap()).collect();
    let mut own: Vec<PathBuf> = fs::read_dir(bench.path("build/patches")).unwrap().map(|it| it.unwrap().path()).collect();
    own.retain(|it| it.extension().is_some_and(|it| it == "patch"));
    own.sort();
    assert_eq!(texts, own.iter().map(|it| fs::read_to_string(it).unwrap()).collect::<Vec<_>>());

    let pinned = packages::versions(&bench.env()).unwrap();
    let modules = versions(&node, "pkg:golang/");
    for (module, version) in [
        ("k8s.io/kubernetes", &pinned.kubernetes),
        ("go.etcd.io/etcd/server/v3", &pinned.etcd),
        ("github.com/cloudnative-pg/cloudnative-pg", &pinned.cloudnative_pg),
    ] {
        assert!(modules.contains(&format!("{module}@v{version}")), "{module} {version}: {modules:#?}");
    }
    assert!(modules.len() >= 300, "{} modules of Go", modules.len());
    lacks_tools(bench, reference);
}

/// `NAME@VERSION` of the components whose purl starts so.
fn versions(document: &Value, start: &str) -> BTreeSet<String> {
    let all = document["components"].as_array().unwrap().iter();
    let all = all.filter(|it| it["purl"].as_str().is_some_and(|it| it.starts_with(start)));
    all.map(|it| format!("{}@{}", it["name"].as_str().unwrap(), it["version"].as_str().unwrap()).to_lowercase()).collect()
}

/// `NAME@VERSION` of the packages in dpkg's list.
fn listed(status: &str) -> BTreeSet<String> {
    let field =
        |paragraph: &str, name: &str| paragraph.lines().find_map(|it| it.strip_prefix(name)).unwrap_or_default().trim().to_lowercase();
    let all = status.split("\n\n").filter(|it| it.contains("\nStatus: install ok installed"));
    all.map(|it| format!("{}@{}", field(it, "Package:"), field(it, "Version:"))).collect()
}

fn lacks_tools(bench: &Bench, reference: &str) {
    let mut archive = Vec::new();
    bench.engine().export_to(reference, &mut archive).unwrap();
    let mut modes: BTreeMap<String, u32> = BTreeMap::new();
    for entry in tar::Archive::new(archive.as_slice()).entries().unwrap() {
        let mut layer = Vec::new();
        entry.unwrap().read_to_end(&mut layer).unwrap();
        // An entry that is no layer is no archive.
        for entry in tar::Archive::new(layer.as_slice()).entries().unwrap().map_while(Result::ok) {
            let name = String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").to_owned();
            let is_file = entry.header().entry_type().is_file();
            modes.insert(name, if is_file { entry.header().mode().unwrap() } else { 0 });
        }
    }
    // What is looked for would be found.
    assert!(modes.len() > 5_000 && modes.contains_key("usr/bin/dash") && modes.contains_key("usr/bin/python3"), "{} files", modes.len());
    let programs: Vec<&String> =
        modes.keys().filter(|it| it.contains("bin/") && ABSENT.iter().any(|name| it.ends_with(&format!("/{name}")))).collect();
    assert!(programs.is_empty(), "{programs:?}");
    let raised: Vec<&str> = modes.iter().filter(|it| it.1 & 0o6000 != 0).map(|it| it.0.as_str()).collect();
    assert!(raised.is_empty(), "{raised:?}");
}
