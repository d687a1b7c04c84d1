//! Whole small applications, and what each rule makes of them; what is left out shows that a rule does nothing where it has no ground.

mod answers;
mod django;
mod others;
mod python;

use std::fs;

use super::*;

/// What is recognised of these files.
fn look(files: &[(&str, &str)]) -> Option<Recognised> {
    look_with(files, &Answers::default())
}

fn look_with(files: &[(&str, &str)], answers: &Answers) -> Option<Recognised> {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    recognise(dir.path(), answers).unwrap()
}

#[track_caller]
fn app(files: &[(&str, &str)]) -> Recognised {
    look(files).expect("something is recognised")
}

/// What a user would ask of it, in a few lines.
fn told(it: &Recognised) -> String {
    let mut out = format!("{} on {}", it.name(), it.port);
    let mut add = |name: &str, value: String| {
        if !value.is_empty() {
            out.push_str(&format!("\n{name}: {value}"));
        }
    };
    let command = |it: &Option<Command>| it.as_ref().map(ToString::to_string).unwrap_or_default();
    add("start", command(&it.start));
    add("migrate", command(&it.migrate));
    add("release", command(&it.release));
    add("replicas", it.replicas.map(|it| it.to_string()).unwrap_or_default());
    add("health", it.health.clone().unwrap_or_default());
    add("build", it.build.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "));
    add("env", it.env.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" "));
    add("extra", it.extra.iter().cloned().collect::<Vec<_>>().join(" "));
    let service = |it: &Service| match &it.kind {
        ServiceKind::Process(command) => format!("{} `{command}`", it.name),
        ServiceKind::Cache(_) | ServiceKind::Mail => it.name.clone(),
    };
    add("services", it.services.iter().map(service).collect::<Vec<_>>().join(", "));
    add(
        "changes",
        it.changes.iter().map(|it| format!("{it:?}").split([' ', '(']).next().unwrap().to_owned()).collect::<Vec<_>>().join(" "),
    );
    add("assumed", it.assumed.join("; "));
    add("missing", it.missing.iter().map(|it| it.what.clone()).collect::<Vec<_>>().join("; "));
    out
}

#[test]
fn a_folder_without_an_application_is_nothing() {
    assert_eq!(look(&[]), None);
    assert_eq!(look(&[("README.md", "# words"), ("notes.txt", "x")]), None);
    // Libraries start nothing.
    assert_eq!(look(&[("pyproject.toml", "[project]\nname = \"x\"\n"), ("x/__init__.py", "def f():\n    return 1\n")]), None);
    assert_eq!(look(&[("go.mod", "module example.com/x\n\ngo 1.25\n"), ("x.go", "package x\n")]), None);
    assert_eq!(look(&[("Cargo.toml", "[package]\nname = \"x\"\n"), ("src/lib.rs", "")]), None);
    assert_eq!(look(&[("package.json", "{\"name\": \"x\"}")]), None);
}

#[test]
fn files_that_cannot_be_read_end_nothing() {
    for text in ["{", "\u{0}", "[project\n", "%"] {
        look(&[
            ("package.json", text),
            ("pyproject.toml", text),
            ("go.mod", text),
            ("Cargo.toml", text),
            ("docker-compose.yml", text),
            ("Procfile", text),
        ]);
    }
    let found = app(&[
        ("app.py", "from flask import Flask\napp = Flask(__name__)\n"),
        ("broken.py", "import os\nx = os.environ[\n"),
        ("flask", ""),
    ]);
    assert!(
        found.signals.iter().any(|it| it.file == "broken.py" && it.says.starts_with("cannot be read (SyntaxError")),
        "{:?}",
        found.signals
    );
}

#[test]
fn a_program_that_makes_its_tables_when_it_starts_runs_alone() {
    let server = ("server.js", "app.listen(process.env.PORT || 80);\n");
    let pods = |dependency: &str, files: &[(&str, &str)]| {
        let package = format!("{{\"dependencies\": {{\"express\": \"5\", {dependency}}}}}");
        app(&[&[("package.json", package.as_str()), server], files].concat()).replicas
    };
    assert_eq!(pods("\"pg\": \"8\"", &[]), Some(1));
    assert_eq!(pods("\"x\": \"1\"", &[("lib/migrations/1.js", "")]), Some(1));
    assert_eq!(pods("\"x\": \"1\"", &[("tests/migrations/1.js", "")]), None);
    assert_eq!(pods("\"knex\": \"1\"", &[("knexfile.js", "")]), None);
    assert_eq!(app(&[("index.html", "")]).replicas, None);
}

#[test]
fn a_line_of_a_shell_stays_one() {
    assert_eq!(Command::line("gunicorn a:app"), Command::words(&["gunicorn", "a:app"]));
    assert_eq!(Command::line("gunicorn -b :$PORT a:app"), Command::Shell("gunicorn -b :$PORT a:app".to_owned()));
    assert_eq!(Command::line("A=1 run"), Command::Shell("A=1 run".to_owned()));
}
