//! `init` from outside: what it writes for whole small applications, that its patches fit, and that it overwrites nothing.

use std::{fs, os::unix::fs::symlink, path::Path};

use crate::support::{Project, Ran, command, content, tool};

/// An application of one file with its address as a constant, and one whose last line has no end.
const FLASK: &str = "\"\"\"Notes.\"\"\"\nfrom flask import Flask\nfrom flask_sqlalchemy import SQLAlchemy\n\napp = Flask(__name__)\n\
    app.config[\"SQLALCHEMY_DATABASE_URI\"] = \"sqlite:///notes.db\"\ndb = SQLAlchemy(app)\n\n\n@app.route(\"/healthz\")\ndef health():\n    return \"ok\"\n";

/// A folder with these files and nothing else.
pub(crate) fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

pub(crate) fn init(dir: &tempfile::TempDir, flags: &[&str]) -> Ran {
    Ran::from(command(tool(), dir.path(), &[&["init"], flags].concat()).output().unwrap())
}

/// A written file. A configuration is one that `create` takes, and is compared without the name of the test's folder.
pub(crate) fn read(dir: &tempfile::TempDir, path: &str) -> String {
    let text = fs::read_to_string(dir.path().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    if path != "Pocdeploy.toml" {
        return text;
    }
    let config = pocdeploy::config::Config::parse(&text).unwrap_or_else(|error| panic!("{error:#}\n{text}"));
    text.replace(&config.namespace, "NAME")
}

pub(crate) fn flask() -> tempfile::TempDir {
    folder(&[("app.py", FLASK), ("requirements.txt", "flask==3.1.1\nflask-sqlalchemy==3.1.1")])
}

#[test]
fn what_is_recognised_assumed_and_written_is_told() {
    let dir = flask();
    let ran = init(&dir, &[]);
    ran.ends_with(0);
    expect_test::expect![[r#"
        Flask 3.1.1: app.py; gunicorn serves app:app; port 8000; probes ask /healthz;
          dependencies from requirements.txt

        Assumed:
          no command for migrations is known: one pod runs, since several that make their
            tables at their start would collide
          the deployment needs gunicorn, psycopg[binary], which nothing names: a patch
            adds them to requirements.txt

        Written:
          Pocdeploy.toml
          Dockerfile
          build/patches/0001-database.patch
          build/patches/0002-requirements.patch

        Next: cargo xtask create
    "#]]
    .assert_eq(&ran.stdout);
    expect_test::expect![[r##"
        # Flask 3.1.1.
        # Written by `pocdeploy init`, which says why with --explain; yours to change.

        namespace = "NAME"

        [frontend]
        path = "."
        image = "NAME"
        host = "NAME.localhost"
        dockerfile = "Dockerfile"
        health = "/healthz"
        replicas = 1

        [frontend.env]
        DATABASE_URL = "postgresql+psycopg://$(PGUSER):$(PGPASSWORD)@$(PGHOST):$(PGPORT)/$(PGDATABASE)"

        [database]
        name = "app"
        user = "app"
    "##]]
    .assert_eq(&read(&dir, "Pocdeploy.toml"));
    // The source is as it was.
    assert_eq!(read(&dir, "app.py"), FLASK);
}

#[test]
fn the_patches_fit_and_change_what_they_say() {
    let dir = flask();
    init(&dir, &[]).ends_with(0);
    // Only what every version of the configuration knows is needed to stage and patch.
    fs::write(dir.path().join("Pocdeploy.toml"), "[frontend]\npath = \".\"\ndockerfile = \"Dockerfile\"\n").unwrap();
    let project = Project::new();
    let root = dir.path().to_str().unwrap();
    project.run(&["patch", "--project", root]).ends_with(0);
    let app = read(&dir, "target/pocdeploy/app/app.py");
    assert!(app.starts_with("\"\"\"Notes.\"\"\"\n\nimport os\nfrom flask"), "{app}");
    let line = "app.config[\"SQLALCHEMY_DATABASE_URI\"] = os.environ.get(\"DATABASE_URL\", \"sqlite:///notes.db\")\n";
    assert!(app.contains(line), "{app}");
    assert_eq!(read(&dir, "target/pocdeploy/app/requirements.txt"), "flask==3.1.1\nflask-sqlalchemy==3.1.1\ngunicorn\npsycopg[binary]\n");
}

#[test]
fn nothing_is_overwritten_and_nothing_is_half_written() {
    let finished = "[frontend]\npath = \"src\"\n";
    for (name, text) in [("Pocdeploy.toml", finished), ("build/patches/0002-requirements.patch", "mine")] {
        let dir = flask();
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        let before = content(dir.path());
        init(&dir, &[]).ends_with(1).says(&format!("these files exist already, and nothing was written:\n  {name}\n"));
        assert_eq!(content(dir.path()), before, "{name}");
    }
    // A link that leads nowhere has the name too.
    let dir = flask();
    symlink("nowhere", dir.path().join("Dockerfile")).unwrap();
    init(&dir, &[]).ends_with(1).says("Dockerfile");
    // A file stands where a folder must be: the files that were placed before go again.
    let dir = flask();
    fs::write(dir.path().join("build"), "a file").unwrap();
    let before = content(dir.path());
    init(&dir, &[]).ends_with(1);
    assert_eq!(content(dir.path()), before);
}

#[test]
fn looking_writes_nothing() {
    let dir = flask();
    let before = content(dir.path());
    let ran = init(&dir, &["--dry-run"]);
    ran.ends_with(0);
    assert!(ran.stdout.contains("Would be written:\n  Pocdeploy.toml\n  Dockerfile\n"), "{}", ran.stdout);
    let ran = init(&dir, &["--explain"]);
    ran.ends_with(0);
    let lines = [
        "  app.py:5: Flask: app:app → gunicorn serves it\n",
        "  app.py:6: the database is sqlite:///notes.db → a patch reads DATABASE_URL in its place\n",
    ];
    lines.iter().for_each(|it| assert!(ran.stdout.contains(it), "{it}: {}", ran.stdout));
    assert_eq!(content(dir.path()), before);
}

#[test]
fn what_cannot_be_recognised_names_the_lines_that_would_say_it() {
    let dir = folder(&[("README.md", "words")]);
    let before = content(dir.path());
    let ran = init(&dir, &[]);
    assert_eq!(content(dir.path()), before);
    ran.ends_with(3).says("error[E0217]: nothing in ").says("[frontend]\n      dockerfile = \"Dockerfile\"");
    let go = [
        ("go.mod", "module example.com/x\n\ngo 1.25\n"),
        ("cmd/a/main.go", "package main\n\nfunc main() {}\n"),
        ("cmd/b/main.go", "package main\n\nfunc main() {}\n"),
    ];
    let dir = folder(&go);
    let before = content(dir.path());
    init(&dir, &[])
        .ends_with(3)
        .says("several programs, and none says that it is the server: ./cmd/a, ./cmd/b")
        .says("command = [\"/srv/app/bin/a\"]");
    assert_eq!(content(dir.path()), before);
}

#[test]
fn a_dockerfile_of_the_applications_own_is_taken_and_none_is_written() {
    let dir =
        folder(&[("Dockerfile", "FROM scratch\nEXPOSE 9000\nUSER 1000\nCMD [\"/app\"]\n"), (".env.example", "DB_HOST=x\nDB_NAME=x\n")]);
    init(&dir, &[]).ends_with(0);
    expect_test::expect![[r##"
        # Dockerfile.
        # Written by `pocdeploy init`, which says why with --explain; yours to change.

        namespace = "NAME"

        [frontend]
        path = "."
        image = "NAME"
        host = "NAME.localhost"
        dockerfile = "Dockerfile"
        port = 9000

        [frontend.env]
        DB_HOST = "$(PGHOST)"
        DB_NAME = "$(PGDATABASE)"

        [database]
        name = "app"
        user = "app"
    "##]]
    .assert_eq(&read(&dir, "Pocdeploy.toml"));
    assert!(!dir.path().join("build").exists());
}

#[test]
fn processes_caches_and_volumes_are_written_as_services() {
    let settings = "import os\nROOT_URLCONF = 'site.urls'\nSECRET_KEY = os.environ['SECRET_KEY']\nALLOWED_HOSTS = ['*']\nMEDIA_ROOT = 'media'\n\
        CELERY_BROKER_URL = os.environ['CELERY_BROKER_URL']\nDATABASES = {'default': env.db()}\n";
    let dir = folder(&[
        ("manage.py", "import os, django\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'site.settings')\n"),
        ("site/settings.py", settings),
        ("site/celery.py", "from celery import Celery\napp = Celery('site')\n"),
        ("requirements.txt", "django\ncelery\npsycopg\ngunicorn\nwhitenoise\n"),
        ("Procfile", "urgent: celery -A site worker -Q \"urgent\"\n"),
    ]);
    init(&dir, &[]).ends_with(0);
    let text = read(&dir, "Pocdeploy.toml");
    let part = "\n[frontend.volumes.media]\npath = \"/srv/app/media\"\nsize = \"1Gi\"\n\n[services.worker]\nuses = \"frontend\"\ncommand = [\"python3\", \
        \"-m\", \"celery\", \"-A\", \"site\", \"worker\", \"--loglevel\", \"INFO\"]\n\n[services.cache]\nkind = \"valkey\"\n\n[services.urgent]\n\
        uses = \"frontend\"\ncommand = [\"sh\", \"-c\", 'celery -A site worker -Q \"urgent\"']\n\n[database]\nname = \"app\"\nuser = \"app\"\n";
    assert!(text.ends_with(part), "{text}");
    // Every pod is given it.
    assert!(!text.contains("CELERY_BROKER_URL"), "{text}");
}

#[test]
fn a_published_package_of_node_is_installed_as_its_users_install_it() {
    let package = "{\"dependencies\": {\"express\": \"5\"}, \"devDependencies\": {\"husky\": \"9\"}, \
        \"scripts\": {\"build\": \"tsc\", \"prepare\": \"husky\", \"start\": \"node dist/server.js\"}}";
    let dockerfile = |files: &[(&str, &str)]| {
        let dir = folder(&[&[("package.json", package), ("dist/server.js", "app.listen(3000)\n")], files].concat());
        init(&dir, &[]).ends_with(0);
        read(&dir, "Dockerfile")
    };
    let published = dockerfile(&[]);
    let install = "COPY package.json .npmr[c] ./\nRUN npm pkg delete scripts.prepare && cp /opt/artifacts/package-lock.json ./ && \
        npm ci --offline --no-audit --no-fund --omit=dev\n";
    assert!(published.contains(install) && !published.contains("npm run build") && !published.contains("npm prune"), "{published}");
    // With its source it is built, which needs everything.
    let source = dockerfile(&[("src/server.ts", "app.listen(3000)\n")]);
    let build = "COPY . ./\nRUN cp /opt/artifacts/package-lock.json ./ && npm ci --offline --no-audit --no-fund\n";
    assert!(source.contains(build) && source.contains("RUN npm run build\n") && source.contains("npm prune"), "{source}");
}

pub(crate) fn create(dir: &tempfile::TempDir, flags: &[&str]) -> Ran {
    let mut command = command(tool(), dir.path(), &[&["create"], flags].concat());
    Ran::from(command.env("DOCKER_HOST", "unix:///nonexistent/docker.sock").output().unwrap())
}

#[test]
fn create_without_a_project_says_the_same_and_writes_the_same_after_consent() {
    let (with_init, with_create) = (flask(), flask());
    let said = init(&with_init, &[]);
    let said = said.stdout.split("\nNext: ").next().unwrap();
    // This kind of cluster is refused, so that the run ends after its first step.
    let ran = create(&with_create, &["--yes", "--type", "gke"]);
    ran.ends_with(3).says(said).says("error[E0201]");
    assert_eq!(ran.stdout, "");
    for name in ["Pocdeploy.toml", "Dockerfile", "build/patches/0001-database.patch", "build/patches/0002-requirements.patch"] {
        assert_eq!(read(&with_create, name), read(&with_init, name), "{name}");
    }
    // Now the folder is a project.
    let again = create(&with_create, &["--yes", "--type", "gke"]);
    assert!(!again.ends_with(3).stderr.contains("Written"), "{}", again.stderr);
}

#[test]
fn create_without_consent_or_without_an_application_changes_nothing() {
    let dir = flask();
    let before = content(dir.path());
    create(&dir, &[]).ends_with(4).says("gunicorn serves app:app").says("error[E0105]: create would write Pocdeploy.toml, Dockerfile, ");
    create(&dir, &["--dry-run"]).ends_with(0).says("Would be written:\n  Pocdeploy.toml\n");
    assert_eq!(content(dir.path()), before);
    let empty = folder(&[("README.md", "words")]);
    create(&empty, &["--yes"])
        .ends_with(3)
        .says("error[E0217]: there is no Pocdeploy.toml here or above, and nothing in ")
        .says("[frontend]\n      dockerfile = \"Dockerfile\"");
    assert_eq!(content(empty.path()).len(), 1);
    // Files of the same names are the user's.
    fs::create_dir_all(dir.path().join("build/patches")).unwrap();
    fs::write(dir.path().join("build/patches/0001-database.patch"), "mine").unwrap();
    let before = content(dir.path());
    create(&dir, &["--yes"]).ends_with(1).says("error[E0215]: these files exist already, and nothing was written:");
    assert_eq!(content(dir.path()), before);
}

/// A copy of an example without what was not written by hand.
fn example(name: &str) -> tempfile::TempDir {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("examples").join(name);
    let files = content(&from);
    let files: Vec<(&str, &str)> = files
        .iter()
        .filter_map(|(path, bytes)| Some((Path::new(path).strip_prefix(&from).ok()?.to_str()?, std::str::from_utf8(bytes).ok()?)))
        .collect();
    folder(&files)
}

#[test]
fn the_examples_of_services_get_the_lines_that_their_pages_show() {
    let dir = example("django");
    init(&dir, &[]).ends_with(0);
    let (text, page) = (read(&dir, "Pocdeploy.toml"), read(&dir, "README.md"));
    let shown = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    assert!(text.contains(shown), "{text}");

    let dir = example("compose");
    let ran = init(&dir, &[]);
    ran.ends_with(0);
    assert!(!ran.stdout.contains("Missing"), "{}", ran.stdout);
    expect_test::expect![[r#"
        # Flask.
        # Written by `pocdeploy init`, which says why with --explain; yours to change.

        namespace = "NAME"

        [frontend]
        path = "."
        image = "NAME"
        host = "NAME.localhost"
        dockerfile = "Dockerfile"
        health = "/healthz"

        [frontend.env]
        SMTP_HOST = "mailpit"
        SMTP_PORT = "1025"
        TITLE = "Guest book"
        VISITS_URL = "redis://redis:6379/0"

        [services.mailpit]
        kind = "mailpit"

        [services.redis]
        kind = "valkey"
        volumes.data.size = "1Gi"

        [services.reporter]
        uses = "frontend"
        command = ["python3", "reporter.py"]

        [database]
        name = "app"
        user = "app"
    "#]]
    .assert_eq(&read(&dir, "Pocdeploy.toml"));
}
