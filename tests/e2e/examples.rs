//! The examples, as a user deploys them: each is copied out of the checkout, and an installed program does the rest.
//!
//! Each gets a cluster of its own, which starts while its image is built.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::{
    bench::{Ran, command, copy, tool},
    dev::Dev,
    load as web,
};

/// An example's folder, the file that a change is made in: it has the heading that the page shows, and what `dev` says of such a change. For
/// the compose file, `create` writes that file, which `dev` does not read again.
const EXAMPLES: [(&str, &str, &str); 7] = [
    ("flask", "templates/index.html", "gunicorn loads changed code in place"),
    ("fastapi", "main.py", "changed code is copied, and its command started again"),
    ("express", "server.js", "changed code is copied, and its command started again"),
    ("nextjs", "app/page.js", "each change builds an image, since a step of its image's build reads the source"),
    ("go", "main.go", "changed code is compiled here, swapped and started again"),
    ("own-dockerfile", "app.py", "changed code is copied, and its command started again"),
    (COMPOSE, "Pocdeploy.toml", ""),
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
    for (name, file, manner) in EXAMPLES {
        eprintln!("-- {name}: create, dev, update, validate, delete");
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
        let page = ureq::get(&url).call().unwrap().body_mut().read_to_string().unwrap();
        assert!(page.contains(ROW) && page.contains(HEADING), "{page}");
        let revision = if manner.is_empty() { 2 } else { develop(&example, file, manner, &url) };
        one(&example, file, &url, revision);
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

/// Changes the file under `dev`, whose end deploys the change. Returns the revision of the next update.
fn develop(example: &Example, file: &str, manner: &str, url: &str) -> usize {
    let path = example.root().join(file);
    let text = fs::read_to_string(&path).unwrap();
    let dev = Dev::start(command(&example.program, &example.root(), &["dev"]), example.folder.path().join("dev.log"));
    assert!(dev.said().contains(&format!("frontend: {manner}")), "{}", dev.said());
    let began = Instant::now();
    fs::write(&path, text.replace(HEADING, "Guests")).unwrap();
    let took = web::wait_for(url, "Guests", began, Duration::from_secs(180));
    eprintln!("   saved file to new answer in development: {:.2} s", took.as_secs_f64());
    let ended = dev.interrupt();
    ended.ends_with(0).says("revision 2 serves");
    let page = ureq::get(url).call().unwrap().body_mut().read_to_string().unwrap();
    assert!(page.contains("Guests"), "the image has not what the pod had: {page}");
    fs::write(&path, text).unwrap();
    3
}

fn one(example: &Example, file: &str, url: &str, revision: usize) {
    let path = example.root().join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(HEADING), "{text}");
    fs::write(&path, text.replace(HEADING, "Visitors")).unwrap();
    example.run(&["update"]).ends_with(0).says(&format!("revision {revision} serves"));
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
