//! The examples, as a user deploys them: each is copied out of the checkout, and an installed program does the rest.
//!
//! All go to one cluster, which is another project's, each into a namespace of its own. The cluster is said by variables, so that an
//! example's own files are all that it needs.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::{
    bench::{Bench, Ran, command, content, copy, tool},
    dev::Dev,
    load as web, queue,
    registry::Registry,
};

/// The registry's name for the nodes.
const INNER: &str = "registry.internal:5000";

/// An example's folder, the file that a change is made in: it has the heading that the page shows, and what `dev` says of such a change. For
/// the compose file and Django, whose changes under `dev` another test makes, nothing.
const EXAMPLES: [(&str, &str, &str); 8] = [
    (FLASK, "templates/index.html", "gunicorn loads changed code in place"),
    ("fastapi", "main.py", "changed code is copied, and its command started again"),
    ("express", "server.js", "changed code is copied, and its command started again"),
    ("nextjs", "app/page.js", "each change builds an image, since a step of its image's build reads the source"),
    ("go", "main.go", "changed code is compiled here, swapped and started again"),
    ("own-dockerfile", "app.py", "changed code is copied, and its command started again"),
    (COMPOSE, "Pocdeploy.toml", ""),
    (DJANGO, "words/templates/index.html", ""),
];

/// It gets secrets of the user's.
const FLASK: &str = "flask";

/// Its guest book is empty at first, and a second process sends a mail for each entry.
const COMPOSE: &str = "compose";

/// A worker counts the words of an uploaded text.
const DJANGO: &str = "django";

/// Longer than a second process waits between two looks.
const REPORTED: Duration = Duration::from_secs(60);

/// The row that every example makes, and the heading that an update changes.
const ROW: &str = "Hello from PostgreSQL";
const HEADING: &str = "Guest book";

/// A copy of an example. Dropping it deletes what it deployed, also after a failure.
struct Example<'a> {
    folder: tempfile::TempDir,
    name: &'a str,
    program: PathBuf,
    cluster: &'a [(&'static str, String)],
}

impl Example<'_> {
    /// The namespace has the folder's name.
    fn root(&self) -> PathBuf {
        self.folder.path().join(format!("example-{}", self.name))
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut out = command(&self.program, &self.root(), arguments);
        out.envs(self.cluster.iter().map(|(name, value)| (*name, value)));
        out
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let ran = Ran::from(self.command(arguments).output().unwrap());
        for line in ran.stderr.lines().filter(|it| !it.is_empty()) {
            eprintln!("   | {line}");
        }
        ran
    }

    /// What every page of it shows, and what an update changes.
    fn texts(&self) -> (&'static str, &'static str) {
        if self.name == DJANGO { ("<td>7</td><td>worker-", "Word counter") } else { (ROW, HEADING) }
    }
}

impl Drop for Example<'_> {
    fn drop(&mut self) {
        self.command(&["delete", "--yes"]).output().ok();
    }
}

pub(crate) fn come_up_from_their_files_alone(owner: &Bench) {
    let home = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let root = home.path().to_str().unwrap();
    let project = source.to_str().unwrap();
    let mut install = command(tool(), source, &["install", "--root", root, "--project", project]);
    for name in ["XDG_DATA_HOME", "XDG_CONFIG_HOME"] {
        install.env(name, home.path());
    }
    Ran::from(install.output().unwrap()).ends_with(0);
    // One pod of each, since all share a small node, and a rollout needs room for one more.
    owner.configure("[frontend]\nreplicas = 1\n");
    let registry = owner.step("a cluster with an operator, and a registry that its node knows", || {
        owner.run(&["create", "--yes"]).ends_with(0);
        // Only its operator is needed. A node of two processors has no room for its pods beside those of a rollout.
        owner.kubectl("-n polls scale deployment/polls-frontend --replicas=0");
        owner.kubectl("-n polls annotate cluster/polls-db cnpg.io/hibernation=on");
        let registry = Registry::empty(owner);
        registry.introduce(&owner.node(), INNER);
        registry
    });
    let cluster = [
        ("POCDEPLOY_CLUSTER_TYPE", "existing".to_owned()),
        ("POCDEPLOY_CLUSTER_KUBECONFIG", owner.path("target/pocdeploy/kubeconfig").display().to_string()),
        ("POCDEPLOY_CLUSTER_CONTEXT", format!("kind-{}", owner.instance)),
        ("POCDEPLOY_CLUSTER_REGISTRY", format!("{}/team", registry.place())),
        ("POCDEPLOY_CLUSTER_PULL_REGISTRY", format!("{INNER}/team")),
        ("POCDEPLOY_CLUSTER_EXPOSE", "node-port".to_owned()),
        ("POCDEPLOY_FRONTEND_REPLICAS", "1".to_owned()),
    ];
    let before = owner.world();
    // Some alone while they are written: EXAMPLES=go,compose.
    let only = std::env::var("EXAMPLES").ok();
    let is_chosen = |name: &str| only.as_deref().is_none_or(|it| it.split(',').any(|it| it == name));
    assert!(EXAMPLES.iter().any(|it| is_chosen(it.0)), "no example is called {only:?}");
    for (name, file, manner) in EXAMPLES.into_iter().filter(|it| is_chosen(it.0)) {
        eprintln!("-- {name}: create, dev, update, validate, delete");
        let began = Instant::now();
        let program = home.path().join("bin/pocdeploy");
        let example = Example { folder: tempfile::tempdir().unwrap(), name, program, cluster: &cluster };
        copy(&source.join("examples").join(name), &example.root());
        let lines = fs::read_to_string(example.root().join("Pocdeploy.toml")).unwrap_or_default().lines().count();
        assert!(lines <= 10, "{name} has {lines} lines of configuration");
        if name == FLASK {
            give_secrets(&example);
        }
        let created = example.run(&["create", "--yes"]);
        let url = created.ends_with(0).stdout.trim_end().to_owned();
        match name {
            FLASK => read_secrets(&example),
            COMPOSE => sign(&example, &url),
            DJANGO => queue::upload(&url, "one two three four five six seven"),
            _ => {}
        }
        let (row, heading) = example.texts();
        web::wait_for(&url, row, Instant::now(), REPORTED);
        web::wait_for(&url, heading, Instant::now(), REPORTED);
        let revision = if manner.is_empty() { 2 } else { develop(&example, file, manner, &url) };
        one(&example, file, &url, revision);
        crate::similar(&before, &owner.world());
        eprintln!("   ok ({:.1} s)", began.elapsed().as_secs_f64());
    }
    owner.kubectl("-n polls annotate --overwrite cluster/polls-db cnpg.io/hibernation=off");
    owner.run(&["create", "--yes"]).ends_with(0);
    owner.run(&["validate"]).ends_with(0);
    owner.run(&["delete", "--yes"]).ends_with(0);
}

fn give_secrets(example: &Example) {
    let file = example.root().join("token.txt");
    fs::write(&file, "from-a-file\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let lines = "[frontend.secrets]\nTOKEN = { file = \"token.txt\" }\nSESSION = { generate = 40 }\n";
    fs::write(example.root().join("Pocdeploy.toml"), lines).unwrap();
}

/// The pod has them as variables, and no file of the tool does.
fn read_secrets(example: &Example) {
    let read = |name: &str| {
        let said = example.run(&["shell", "app", "--", "printenv", name]);
        said.ends_with(0).stdout.trim_end().to_owned()
    };
    assert_eq!(read("TOKEN"), "from-a-file");
    let session = read("SESSION");
    assert_eq!(session.len(), 40, "{session}");
    for (name, bytes) in content(&example.root().join("target")) {
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("from-a-file") && !text.contains(&session), "{name}");
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
    let dev = Dev::start(example.command(&["dev"]), example.folder.path().join("dev.log"));
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
    let (row, heading) = example.texts();
    assert!(text.contains(heading), "{text}");
    fs::write(&path, text.replace(heading, "Visitors")).unwrap();
    example.run(&["update"]).ends_with(0).says(&format!("revision {revision} serves"));
    // The Service may still lead to a pod that is about to end.
    web::wait_for(url, "Visitors", Instant::now(), Duration::from_secs(30));
    web::wait_for(url, row, Instant::now(), Duration::from_secs(30));
    example.run(&["validate"]).ends_with(0);
    example.run(&["create", "--yes"]).ends_with(0).says("0 ran");
    example.run(&["delete", "--yes"]).ends_with(0).says("audit: nothing in the cluster carries this instance's label");
}
