//! What `init` and `create` ask on a terminal, and what they make of a Pocdeploy.toml that only answers.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

use crate::{
    init::{create, flask, folder, init, read},
    support::{Project, Ran, command, content, tool},
};

/// Runs a program on a pseudo-terminal of its own. Each answer is written when a question ends the output.
const TERMINAL: &str = r#"
import json, os, pty, select, signal, sys, time
answers, program = json.loads(sys.argv[1]), sys.argv[2:]
child, terminal = pty.fork()
if child == 0:
    # The shell that started the tests may ignore it, as shells do for commands in the background.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.execv(program[0], program)
out, seen, end = b"", 0, time.time() + 300
while time.time() < end:
    if not select.select([terminal], [], [], 0.2)[0]:
        continue
    try:
        data = os.read(terminal, 4096)
    except OSError:
        break
    if not data:
        break
    out += data
    if answers and out[seen:].endswith((b"? ", b"] ")):
        seen = len(out)
        os.write(terminal, answers.pop(0).encode())
else:
    os.kill(child, 9)
sys.stderr.buffer.write(out.replace(b"\r\n", b"\n"))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) % 256)
"#;

/// Ctrl-C, and the end of input.
const INTERRUPT: &str = "\u{3}";
const END: &str = "\u{4}";
/// The exit code of a program that SIGINT ended, as the terminal's script tells it.
const INTERRUPTED: i32 = 254;

/// The tool on a terminal. What it says is in `stderr`, with the answers where they are typed.
fn on_terminal(dir: &tempfile::TempDir, flags: &[&str], answers: &[&str]) -> Ran {
    let answers = serde_json::Value::from(answers.to_vec()).to_string();
    let arguments = [&["-c", TERMINAL, &answers, tool().to_str().unwrap()], flags].concat();
    let mut command = command(Path::new("python3"), dir.path(), &arguments);
    Ran::from(command.env("DOCKER_HOST", "unix:///nonexistent/docker.sock").output().unwrap())
}

const PACKAGE: (&str, &str) = ("package.json", "{\"dependencies\": {\"express\": \"5\"}}");
const PYTHON: [(&str, &str); 2] = [("requirements.txt", "aiohttp==3.13.0\n"), ("bot.py", "if __name__ == '__main__':\n    pass\n")];
const RUST: [(&str, &str); 3] =
    [("Cargo.toml", "[package]\nname = \"x\"\n"), ("src/bin/a.rs", "fn main() {}\n"), ("src/bin/b.rs", "fn main() {}\n")];

fn go(names: &[&str]) -> tempfile::TempDir {
    let files: Vec<(String, &str)> = names.iter().map(|it| (format!("cmd/{it}/main.go"), "package main\n\nfunc main() {}\n")).collect();
    let mut all = vec![("go.mod", "module example.com/x\n\ngo 1.25\n")];
    all.extend(files.iter().map(|it| (it.0.as_str(), it.1)));
    folder(&all)
}

/// The lines of Pocdeploy.toml in the hint of an error.
fn lines(ran: &Ran) -> String {
    let from = ran.stderr.find("      [").unwrap_or_else(|| panic!("no lines in\n{}", ran.stderr));
    ran.stderr[from..].lines().take_while(|it| it.starts_with("      ")).map(|it| format!("{}\n", it.trim_start())).collect()
}

/// The lines of the error are written as they are; then `init` or `create` adds the others. Returns the Pocdeploy.toml.
#[track_caller]
fn check(dir: &tempfile::TempDir, expected: &str) -> String {
    let ran = init(dir, &[]);
    let lines = lines(ran.ends_with(3).says("error[E0217]"));
    assert_eq!(lines, expected);
    fs::write(dir.path().join("Pocdeploy.toml"), &lines).unwrap();
    if expected.contains("dockerfile") {
        fs::write(dir.path().join("Dockerfile"), "FROM scratch\nEXPOSE 9000\nUSER 1000\nCMD [\"/app\"]\n").unwrap();
    }
    create(dir, &["--dry-run"]).ends_with(0).says("Would be written:\n  Pocdeploy.toml (lines added)\n");
    let ran = init(dir, &[]);
    assert!(ran.ends_with(0).stdout.contains("Written:\n  Pocdeploy.toml (lines added)\n"), "{}", ran.stdout);
    let text = read(dir, "Pocdeploy.toml");
    lines.lines().for_each(|it| assert!(text.lines().any(|line| line == it), "{it}\n{text}"));
    // Now the file is complete: `create` takes it as it is, and `init` has nothing to add.
    assert!(!create(dir, &["--yes", "--type", "gke"]).ends_with(3).says("error[E0201]").stderr.contains("Written"));
    let again = init(dir, &[]);
    again.ends_with(1).says("these files exist already, and nothing was written:\n  Pocdeploy.toml\n");
    again.says("deploys what Pocdeploy.toml says");
    text
}

#[test]
fn the_lines_of_each_error_make_a_deployment() {
    let dir = go(&["one", "two"]);
    let text = check(&dir, "[frontend]\ncommand = [\"/srv/app/bin/one\"]\n");
    assert!(text.contains("dockerfile = \"Dockerfile\"\nport = 8080\n"), "{text}");
    assert!(read(&dir, "Dockerfile").ends_with("\nCMD [\"/srv/app/bin/one\"]\n"), "{}", read(&dir, "Dockerfile"));
    check(&folder(&RUST), "[frontend]\ncommand = [\"/srv/app/bin/a\"]\n");
    let dir = folder(&[PACKAGE, ("lib/http.js", "require('express')().listen(3000)\n")]);
    check(&dir, "[frontend]\ncommand = [\"node\", \"lib/http.js\"]\n");
    assert!(read(&dir, "Dockerfile").ends_with("\nCMD [\"node\", \"lib/http.js\"]\n"));
    check(&folder(&[PACKAGE]), "[frontend]\ncommand = [\"node\", \"path/to/server.js\"]\n");
    let dir = folder(&PYTHON);
    check(&dir, "[frontend]\ncommand = [\"python3\", \"bot.py\"]\nport = 8000\n");
    assert!(read(&dir, "Dockerfile").ends_with("\nCMD [\"python3\", \"bot.py\"]\n"));
    // Several that are missing are one table.
    let code = "import os\ntoken = os.environ['TOKEN']\nregion = os.environ['REGION']\nif __name__ == '__main__':\n    pass\n";
    check(
        &folder(&[("requirements.txt", "aiohttp==3.13.0\n"), ("bot.py", code)]),
        "[frontend]\ncommand = [\"python3\", \"bot.py\"]\nport = 8000\n[frontend.env]\nTOKEN = \"…\"\nREGION = \"…\"\n",
    );
    let text = check(&folder(&[("README.md", "words")]), "[frontend]\ndockerfile = \"Dockerfile\"\n");
    assert!(text.contains("\nport = 9000\n"), "{text}");
}

#[test]
fn what_the_user_wrote_stays_line_by_line_and_wins() {
    let dir = flask();
    let mine = "# The shop.\nnamespace = \"mine\"   # so\n\n[frontend] # first\nport = 9000\npatch_dir = \"changes\"\ndockerfile = \"ci/Image\"\n\
        # not yet: page\n\n[frontend.env]\nDATABASE_URL = \"x\"\n\n[database]\nstorage = \"2Gi\"";
    let path = dir.path().join("Pocdeploy.toml");
    fs::write(&path, mine).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let before = content(dir.path());
    create(&dir, &[]).ends_with(4).says("error[E0105]: create would write Pocdeploy.toml, ci/Image, changes/0001-database.patch, ");
    assert_eq!(content(dir.path()), before);
    create(&dir, &["--yes", "--type", "gke"])
        .ends_with(3)
        .says("\nYou said:\n  it listens on port 9000\n")
        .says("Written:\n  Pocdeploy.toml (lines added)\n  ci/Image\n  changes/0001-database.patch\n")
        .says("error[E0201]");
    let text = fs::read_to_string(&path).unwrap();
    let mut rest = text.lines();
    mine.lines().for_each(|line| assert!(rest.any(|it| it == line), "{line:?} is not in its order in\n{text}"));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    let config = pocdeploy::config::Config::parse(&text).unwrap();
    assert_eq!((config.namespace.as_str(), config.frontend.port, config.database.storage.as_str()), ("mine", Some(9000), "2Gi"));
    assert_eq!((config.frontend.env["DATABASE_URL"].as_str(), config.frontend.health.as_deref()), ("x", Some("/healthz")));
    assert!(read(&dir, "ci/Image").contains("0.0.0.0:9000"));
}

#[test]
fn settings_that_the_file_names_stay_and_get_the_lines_themselves() {
    let settings = "ROOT_URLCONF = 'site.urls'\nDEBUG = True\nALLOWED_HOSTS = []";
    let dir = folder(&[
        ("manage.py", "import os, django\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'site.dev')\n"),
        ("site/dev.py", "ROOT_URLCONF = 'site.urls'\n"),
        ("site/live.py", settings),
        ("requirements.txt", "django\npsycopg\ngunicorn\nwhitenoise\n"),
    ]);
    let line = "DJANGO_SETTINGS_MODULE = \"site.live\"\n";
    fs::write(dir.path().join("Pocdeploy.toml"), format!("[frontend.env]\n{line}")).unwrap();
    let ran = init(&dir, &[]);
    assert!(ran.ends_with(0).stdout.contains("You said:\n  the settings are site.live\n"), "{}", ran.stdout);
    assert!(!ran.stdout.contains("which lie beside"), "{}", ran.stdout);
    assert!(read(&dir, "Pocdeploy.toml").contains(line));
    let project = Project::new();
    project.run(&["patch", "--project", dir.path().to_str().unwrap()]).ends_with(0);
    let text = read(&dir, "target/pocdeploy/app/site/live.py");
    assert!(text.starts_with(&format!("{settings}\n\n\n# The deployment's")) && text.contains("\nDEBUG = False\n"), "{text}");
    assert!(!dir.path().join("target/pocdeploy/app/site/pocdeploy_settings.py").exists());
}

#[test]
fn a_failure_leaves_every_file_as_it_was() {
    let check = |text: &str, code: i32, says: &str, spoil: &dyn Fn(&Path)| {
        let dir = flask();
        fs::write(dir.path().join("Pocdeploy.toml"), text).unwrap();
        spoil(dir.path());
        let before = content(dir.path());
        init(&dir, &[]).ends_with(code).says(says);
        create(&dir, &["--yes", "--type", "gke"]).says(says);
        assert_eq!(content(dir.path()), before, "{text}");
    };
    let port = "[frontend]\nport = 9000\n";
    check(port, 1, "build", &|root| fs::write(root.join("build"), "a file").unwrap());
    check(port, 1, "these files exist already, and nothing was written:\n  build/patches/0001-database.patch", &|root| {
        fs::create_dir_all(root.join("build/patches")).unwrap();
        fs::write(root.join("build/patches/0001-database.patch"), "mine").unwrap();
    });
    let inline = "frontend = { port = 9000 }\n";
    check(inline, 3, "lacks lines, and none can be added to its tables as they are written; nothing was changed", &|_| ());
    check(inline, 3, "      [frontend]\n      path = \".\"\n", &|_| ());
    check("[frontend\n", 3, "error[E0201]: Pocdeploy.toml:1:", &|_| ());
    check("[frontend]\nprot = 1\n", 3, "Pocdeploy.toml:2:1: unknown key `frontend.prot`; did you mean `frontend.port`?", &|_| ());
    let other = "[frontend]\ndockerfile = \"ci/Image\"\n";
    check(other, 3, "frontend.dockerfile is ci/Image, and the application's own Dockerfile is Dockerfile", &|root| {
        fs::write(root.join("Dockerfile"), "FROM scratch\nCMD [\"/x\"]\n").unwrap();
    });
    // A link is another folder's file, and stays one.
    let dir = flask();
    fs::write(dir.path().join("other"), port).unwrap();
    symlink("other", dir.path().join("Pocdeploy.toml")).unwrap();
    init(&dir, &[]).ends_with(1).says("these files exist already");
    assert!(dir.path().join("Pocdeploy.toml").is_symlink() && !dir.path().join("Dockerfile").exists());
}

#[test]
fn questions_are_asked_on_a_terminal_and_the_answers_are_written() {
    let dir = go(&["api", "worker"]);
    let ran = on_terminal(&dir, &["init"], &["5\n", "2\n", "\n"]);
    ran.ends_with(0);
    let text = ran.stderr.split("\nWritten:").next().unwrap();
    expect_test::expect![[r#"
        Several programs could be the server:
          1  ./cmd/api
          2  ./cmd/worker
        Which one? [1] 5
        `5` is neither a number from 1 to 2 nor one of the names.
        Which one? [1] 2

        No file says which port the server listens on.
        Which port? [8080] 

        Go: go.mod, cmd/worker/main.go; started by `/srv/app/bin/worker`; port 8080;
          probes by TCP; dependencies from the imports

        You said:
          ./cmd/worker is the server
          it listens on port 8080
    "#]]
    .assert_eq(text);
    // So that every later build compiles the same.
    assert!(read(&dir, "Pocdeploy.toml").contains("\ncommand = [\"/srv/app/bin/worker\"]\n"), "{}", read(&dir, "Pocdeploy.toml"));
    // The default needs no line.
    let dir = go(&["api", "worker"]);
    on_terminal(&dir, &["init"], &["\n", "9000\n"]).ends_with(0).says("./cmd/api is the server");
    let text = read(&dir, "Pocdeploy.toml");
    assert!(!text.contains("bin/api") && text.contains("\nport = 9000\n"), "{text}");
}

#[test]
fn a_begun_file_is_asked_about_what_it_does_not_say_and_create_asks_the_same() {
    let dir = folder(&PYTHON);
    fs::write(dir.path().join("Pocdeploy.toml"), "[frontend]\nport = 7000\n").unwrap();
    let ran = on_terminal(&dir, &["create", "--type", "gke"], &["python3 bot.py\n", "y\n"]);
    ran.ends_with(3).says("No file says which command starts the server.\nWhich command? ").says("error[E0201]");
    assert!(!ran.stderr.contains("Which port"), "{}", ran.stderr);
    let text = read(&dir, "Pocdeploy.toml");
    assert!(text.contains("\ncommand = [\"python3\", \"bot.py\"]\n") && text.contains("\nport = 7000\n"), "{text}");
}

#[test]
fn wrong_answers_ctrl_c_and_the_end_of_input_change_nothing() {
    for (flags, answers, code, says) in [
        (&["init"][..], &["x\n", "0\n", "./cmd\n"][..], 3, "3 answers were wrong; nothing was written"),
        (&["init"], &[INTERRUPT], INTERRUPTED, "Which one? [1] "),
        (&["init"], &["2\n", INTERRUPT], INTERRUPTED, "Which port? [8080] "),
        (&["init"], &[END], 3, "standard input ended before an answer; nothing was written"),
        (&["create", "--type", "gke"], &["2\n", "\n", END], 4, "Write these files, and deploy? [y/N] "),
        (&["create", "--type", "gke"], &["2\n", "\n", INTERRUPT], INTERRUPTED, "Write these files, and deploy? [y/N] "),
    ] {
        let dir = go(&["api", "worker"]);
        let before = content(dir.path());
        on_terminal(&dir, flags, answers).ends_with(code).says(says);
        assert_eq!(content(dir.path()), before, "{flags:?} {answers:?}");
    }
}

#[test]
fn nothing_is_asked_where_the_user_or_a_program_wants_no_question() {
    for (flags, code) in [
        (&["init", "--yes"][..], 0),
        (&["init", "--dry-run"], 0),
        (&["init", "--explain"], 0),
        (&["create", "--yes", "--type", "gke"], 3),
        (&["create", "--dry-run"], 0),
        (&["create", "--events"], 4),
        (&["create", "--output", "json"], 4),
    ] {
        let ran = on_terminal(&go(&["api", "worker"]), flags, &[]);
        ran.ends_with(code);
        assert!(!ran.stderr.contains("Which"), "{flags:?}: {}", ran.stderr);
    }
    // Without a terminal the default is an assumption, as before.
    let ran = init(&go(&["api", "worker"]), &[]);
    assert!(ran.ends_with(0).stdout.contains("\nAssumed:\n  ./cmd/api is the server among ./cmd/api, ./cmd/worker\n"), "{}", ran.stdout);
}
