//! Real applications, taken as packages by version and hash, and what is recognised of them. The table in `docs/recognition.md` says more.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use pocdeploy::recognise::{self, Recognised, ServiceKind};

use crate::{command, ran};

/// What the registry gave when the row was written: SHA-256 of a wheel, of a source archive or of npm's archive, or Go's own sum of a module.
pub(crate) struct Package {
    pub(crate) registry: &'static str,
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) hash: &'static str,
    /// Framework, start, port, health path, migration, database.
    pub(crate) seen: &'static str,
}

const PACKAGES: [Package; 12] = include!("packages.in");

#[test]
fn real_applications_of_six_frameworks_are_recognised() {
    let dir = tempfile::tempdir().unwrap();
    let mut wrong = String::new();
    for package in &PACKAGES {
        let folder = fetch(package, dir.path());
        let seen =
            recognise::recognise(&folder, &recognise::Answers::default()).unwrap().map_or_else(|| "nothing".to_owned(), |it| told(&it));
        if seen != package.seen {
            writeln!(wrong, "{} {}:\n  {seen}\nand not\n  {}", package.name, package.version, package.seen).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

fn told(it: &Recognised) -> String {
    let command = |it: &Option<recognise::Command>| it.as_ref().map_or("-".to_owned(), ToString::to_string);
    let start = command(&it.start);
    let start = start.rsplit_once("--access-logfile=- ").or_else(|| start.rsplit_once("--port 8000 ")).map_or(start.as_str(), |it| it.1);
    let database = format!("{:?}", it.database).split([' ', '(']).next().unwrap_or_default().to_owned();
    let beside: Vec<&str> =
        it.services.iter().map(|it| if matches!(it.kind, ServiceKind::Cache(_)) { "cache" } else { it.name.as_str() }).collect();
    let parts = [
        it.framework.to_string(),
        start.to_owned(),
        it.port.to_string(),
        it.health.clone().unwrap_or_else(|| "-".to_owned()),
        command(&it.migrate).replace("python3 -m ", ""),
        database,
        beside.join(" "),
    ];
    parts.join(" | ").trim_end_matches(" | ").to_owned()
}

/// The package's files in a folder of its own. Another content than the one known is no package of ours.
pub(crate) fn fetch(package: &Package, dir: &Path) -> PathBuf {
    let Package { registry, name, version, hash, .. } = package;
    let folder = dir.join(name.replace(['/', '@'], "-"));
    fs::create_dir(&folder).unwrap();
    match *registry {
        "pypi" => {
            let asked = folder.join("asked.txt");
            fs::write(&asked, format!("{name}=={version} --hash=sha256:{hash}\n")).unwrap();
            let words = [
                "-m",
                "pip",
                "download",
                "--quiet",
                "--no-deps",
                "--only-binary",
                ":all:",
                "--python-version",
                "3.13",
                "--require-hashes",
                "--dest",
            ];
            ran(&mut command("python3", &[&words[..], &[folder.to_str().unwrap(), "--requirement", asked.to_str().unwrap()]].concat()));
            fs::remove_file(asked).unwrap();
            let wheel = fs::read_dir(&folder).unwrap().flatten().next().unwrap().path();
            ran(&mut command("python3", &["-m", "zipfile", "-e", wheel.to_str().unwrap(), folder.to_str().unwrap()]));
            fs::remove_file(wheel).unwrap();
            folder
        }
        "sdist" => {
            let asked = folder.join("asked.txt");
            fs::write(&asked, format!("{name}=={version} --hash=sha256:{hash}\n")).unwrap();
            let words = ["-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", "--require-hashes", "--dest"];
            ran(&mut command("python3", &[&words[..], &[folder.to_str().unwrap(), "--requirement", asked.to_str().unwrap()]].concat()));
            fs::remove_file(asked).unwrap();
            let archive = fs::read_dir(&folder).unwrap().flatten().next().unwrap().path();
            ran(&mut command("tar", &["xzf", archive.to_str().unwrap(), "--strip-components=1", "-C", folder.to_str().unwrap()]));
            fs::remove_file(archive).unwrap();
            folder
        }
        // The package's own program writes the project: `NAME start PROJECT FOLDER`.
        "start" => {
            let (asked, venv) = (folder.join("asked.txt"), folder.join("venv"));
            fs::write(&asked, format!("{name}=={version} --hash=sha256:{hash}\n")).unwrap();
            let words = ["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes", "--dest"];
            ran(&mut command("python3", &[&words[..], &[folder.to_str().unwrap(), "--requirement", asked.to_str().unwrap()]].concat()));
            fs::remove_file(asked).unwrap();
            let wheel = fs::read_dir(&folder).unwrap().flatten().next().unwrap().path();
            ran(&mut command("python3", &["-m", "venv", venv.to_str().unwrap()]));
            ran(&mut command(venv.join("bin/pip").to_str().unwrap(), &["install", "--quiet", wheel.to_str().unwrap()]));
            let project = folder.join("project");
            fs::create_dir(&project).unwrap();
            ran(&mut command(venv.join("bin").join(name).to_str().unwrap(), &["start", "mysite", project.to_str().unwrap()]));
            project
        }
        "npm" => {
            ran(command("npm", &["pack", "--silent", &format!("{name}@{version}")]).current_dir(&folder));
            let archive = fs::read_dir(&folder).unwrap().flatten().next().unwrap().path();
            let sum = ran(&mut command("sha256sum", &[archive.to_str().unwrap()]));
            assert_eq!(sum.split(' ').next(), Some(*hash), "{name}");
            ran(&mut command("tar", &["xzf", archive.to_str().unwrap(), "-C", folder.to_str().unwrap()]));
            folder.join("package")
        }
        _ => {
            let text = ran(command("go", &["mod", "download", "-json", &format!("{name}@{version}")]).current_dir(&folder));
            let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(answer["Sum"], *hash, "{name}");
            PathBuf::from(answer["Dir"].as_str().unwrap())
        }
    }
}
