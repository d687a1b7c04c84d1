//! The examples, as a user deploys them: each is copied out of the checkout, and an installed program does the rest.
//!
//! Each gets a cluster of its own, which starts while its image is built.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::bench::{Ran, command, copy, tool};

/// An example's folder, and the file that an update changes: it has the heading that the page shows. For the compose file, `create` writes
/// that file.
const EXAMPLES: [(&str, &str); 7] = [
    ("flask", "templates/index.html"),
    ("fastapi", "main.py"),
    ("express", "server.js"),
    ("nextjs", "app/page.js"),
    ("go", "main.go"),
    ("own-dockerfile", "app.py"),
    (COMPOSE, "Pocdeploy.toml"),
];

/// Its guest book is empty at first, and a second process sends a mail for each entry.
const COMPOSE: &str = "compose";

/// Longer than the second process waits between two looks.
const REPORTED: Duration = Duration::from_secs(60);

/// The row that every example makes, and the heading that an update changes.
const ROW: &str = "Hello from PostgreSQL";
const HEADING: &str = "Guest book";

/// A copy of an example. Dropping it deletes its cluster, also after a failure.
struct Example {
    folder: tempfile::TempDir,
    program: PathBuf,
}

impl Example {
    fn root(&self) -> PathBuf {
        self.folder.path().join("guestbook")
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let ran = Ran::from(command(&self.program, &self.root(), arguments).output().unwrap());
        for line in ran.stderr.lines().filter(|it| !it.is_empty()) {
            eprintln!("   | {line}");
        }
        ran
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        command(&self.program, &self.root(), &["delete", "--yes"]).output().ok();
    }
}

pub(crate) fn come_up_from_their_files_alone() {
    let home = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let root = home.path().to_str().unwrap();
    let project = source.to_str().unwrap();
    let mut install = command(tool(), source, &["install", "--root", root, "--project", project]);
    for name in ["XDG_DATA_HOME", "XDG_CONFIG_HOME"] {
        install.env(name, home.path());
    }
    Ran::from(install.output().unwrap()).ends_with(0);
    for (name, file) in EXAMPLES {
        eprintln!("-- {name}: create, update, validate, delete");
        let began = Instant::now();
        let example = Example { folder: tempfile::tempdir().unwrap(), program: home.path().join("bin/pocdeploy") };
        copy(&source.join("examples").join(name), &example.root());
        let lines = fs::read_to_string(example.root().join("Pocdeploy.toml")).unwrap_or_default().lines().count();
        assert!(lines <= 10, "{name} has {lines} lines of configuration");
        let created = example.run(&["create", "--yes"]);
        let url = created.ends_with(0).stdout.trim_end().to_owned();
        if name == COMPOSE {
            sign(&example, &url);
        }
        one(&example, file, &url);
        eprintln!("   ok ({:.1} s)", began.elapsed().as_secs_f64());
    }
}

/// Makes the row, and waits until the second process has sent its mail.
fn sign(example: &Example, url: &str) {
    ureq::post(url).send_form([("entry", ROW)]).unwrap();
    let began = Instant::now();
    while example.run(&["psql", "--", "-tAc", "select text from entry where reported"]).ends_with(0).stdout.trim() != ROW {
        assert!(began.elapsed() < REPORTED, "{}", example.run(&["logs", "reporter"]).stdout);
        std::thread::sleep(Duration::from_secs(1));
    }
    let ask = "import urllib.request as web; print(web.urlopen('http://mailpit:8025/api/v1/messages').read().decode())";
    let mails = example.run(&["shell", "app", "--", "python3", "-c", ask]);
    assert!(mails.ends_with(0).stdout.contains("\"total\":1"), "{}", mails.stdout);
}

fn one(example: &Example, file: &str, url: &str) {
    let page = ureq::get(url).call().unwrap().body_mut().read_to_string().unwrap();
    assert!(page.contains(ROW) && page.contains(HEADING), "{page}");

    let path = example.root().join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(HEADING), "{text}");
    fs::write(&path, text.replace(HEADING, "Visitors")).unwrap();
    example.run(&["update"]).ends_with(0).says("revision 2 serves");
    // The Service may still lead to a pod that is about to end.
    let began = Instant::now();
    loop {
        let page = ureq::get(url).call().unwrap().body_mut().read_to_string().unwrap();
        if page.contains("Visitors") {
            assert!(page.contains(ROW), "{page}");
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{page}");
        std::thread::sleep(Duration::from_millis(250));
    }
    example.run(&["validate"]).ends_with(0);
    example.run(&["create", "--yes"]).ends_with(0).says("0 ran");
    example.run(&["delete", "--yes"]).ends_with(0).says("audit: no container, network, volume or file of this instance is left");
}
