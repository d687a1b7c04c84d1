//! What is left open, and what each answer makes of it: one of a terminal, or a line of Pocdeploy.toml.

use super::*;

const GO: [(&str, &str); 4] = [
    ("go.mod", "module example.com/x\n\ngo 1.25\n"),
    ("cmd/one/main.go", "package main\n\nfunc main() {}\n"),
    ("cmd/two/main.go", "package main\n\nfunc main() {}\n"),
    ("internal/two/two.go", "package two\n"),
];
const API: (&str, &str) = ("cmd/api/main.go", "package main\n\nfunc main() {}\n");
const DJANGO: [(&str, &str); 6] = [
    ("manage.py", "import os, django\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'site.settings.dev')\n"),
    ("site/wsgi.py", "import os, django\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'site.settings.base')\n"),
    ("site/settings/base.py", "ROOT_URLCONF = 'site.urls'\nDEBUG = True\n"),
    ("site/settings/dev.py", "from .base import *\n"),
    ("site/settings/production.py", "from .base import *\n"),
    ("requirements.txt", "django\n"),
];

/// Each open question: what is asked, the candidates, the default.
fn open(found: &Recognised) -> String {
    let line = |it: &Open| format!("{:?} [{}] {}", it.question, it.candidates.join(" "), it.default.as_deref().unwrap_or("-"));
    found.open.iter().map(line).collect::<Vec<_>>().join("; ")
}

/// What is recognised after these answers on a terminal, each to the first question that is open then.
#[track_caller]
fn asked(files: &[(&str, &str)], texts: &[&str]) -> Recognised {
    let mut answers = Answers::default();
    for text in texts {
        let found = look_with(files, &answers).unwrap();
        let first = found.open.first().expect("a question is open");
        answers.say(first, text).unwrap();
    }
    look_with(files, &answers).unwrap()
}

#[track_caller]
fn stated(files: &[(&str, &str)], stated: Stated) -> Recognised {
    look_with(files, &Answers::stated(stated)).unwrap()
}

fn command(words: &[&str]) -> Stated {
    Stated { command: Some(words.iter().map(|it| (*it).to_owned()).collect()), ..Stated::default() }
}

fn start(found: &Recognised) -> String {
    let start = found.start.as_ref().map(ToString::to_string).unwrap_or_default();
    format!("{} {} {start}", found.target.as_deref().unwrap_or_default(), found.program.as_deref().unwrap_or_default())
}

#[test]
fn several_programs_of_go_are_asked_for_and_the_answer_is_compiled() {
    assert_eq!(open(&app(&GO)), "Program [./cmd/one ./cmd/two] -; Port [] 8080");
    let found = asked(&GO, &["2", ""]);
    assert_eq!((start(&found).as_str(), found.is_start_said), ("./cmd/two two /srv/app/bin/two", true));
    assert_eq!(found.said().collect::<Vec<_>>(), ["./cmd/two is the server", "it listens on port 8080"]);
    assert_eq!((open(&found).as_str(), found.assumed.len(), found.missing.len()), ("", 0, 0), "{found:?}");
    // A default stays what a later build chooses: nothing has to be written.
    let three = [&GO[..], &[API]].concat();
    let found = asked(&three, &[""]);
    assert_eq!((start(&found).as_str(), found.is_start_said), ("./cmd/api api /srv/app/bin/api", false));
    assert!(app(&three).assumed[0].starts_with("./cmd/api is the server among"), "{:?}", app(&three).assumed);
    assert!(!found.assumed.iter().any(|it| it.contains("among")), "{:?}", found.assumed);
}

#[test]
fn the_program_of_a_configuration_is_compiled_whatever_form_its_command_has() {
    for words in [&["/srv/app/bin/two", "-v"][..], &["sh", "-c", "exec /srv/app/bin/two -v"], &["two", "-v"]] {
        let found = stated(&GO, command(words));
        assert_eq!(start(&found), format!("./cmd/two two {}", words.join(" ")));
        assert_eq!(open(&found), "Port [] 8080");
    }
    // A command that names none of them decides nothing.
    assert_eq!(open(&stated(&GO, command(&["sh", "-c", "true"]))), "Program [./cmd/one ./cmd/two] -; Port [] 8080");
    // Programs of one name are two files in the image.
    let same = [GO[0], ("a/web/main.go", GO[1].1), ("b/web/main.go", GO[1].1)];
    let found = asked(&same, &["./b/web"]);
    assert_eq!(start(&found), "./b/web b-web /srv/app/bin/b-web");
    assert_eq!(start(&stated(&same, command(&["/srv/app/bin/b-web"]))), "./b/web b-web /srv/app/bin/b-web");
    let same = [("go.mod", "module example.com/web\n"), ("main.go", GO[1].1), ("cmd/web/main.go", GO[1].1)];
    assert_eq!(start(&app(&same)), ". web /srv/app/bin/web");
    assert_eq!(start(&asked(&same, &["./cmd/web"])), "./cmd/web cmd-web /srv/app/bin/cmd-web");
    // The only program is called as the command calls it.
    assert_eq!(start(&stated(&GO[..2], command(&["/srv/app/bin/shop"]))), "./cmd/one shop /srv/app/bin/shop");
}

#[test]
fn several_programs_of_rust_are_asked_for_and_the_answer_is_compiled() {
    let files = [("Cargo.toml", "[package]\nname = \"x\"\n"), ("src/bin/a.rs", "fn main() {}\n"), ("src/bin/b.rs", "fn main() {}\n")];
    assert_eq!(open(&app(&files)), "Program [a b] -; Port [] 8080");
    assert_eq!(start(&asked(&files, &["b"])), "x/b b /srv/app/bin/b");
    let found = stated(&files, command(&["/srv/app/bin/b"]));
    assert_eq!((start(&found).as_str(), found.missing.len()), ("x/b b /srv/app/bin/b", 0));
    let files = [
        ("Cargo.toml", "[workspace]\n"),
        ("a/Cargo.toml", "[package]\nname = \"a\"\n[[bin]]\nname = \"web\"\n"),
        ("b/Cargo.toml", "[package]\nname = \"b\"\n[[bin]]\nname = \"web\"\n"),
    ];
    assert_eq!(start(&asked(&files, &["b/web"])), "b/web b-web /srv/app/bin/b-web");
    assert_eq!(start(&stated(&files, command(&["/srv/app/bin/b-web"]))), "b/web b-web /srv/app/bin/b-web");
}

#[test]
fn settings_modules_that_disagree_are_asked_for() {
    let found = app(&DJANGO);
    assert_eq!(open(&found), "Settings [site.settings.base site.settings.dev site.settings.production] site.settings.production");
    let base = |found: &Recognised| match &found.changes[0] {
        Change::DjangoSettings(it) => (it.base.clone(), it.module.clone(), it.is_in_place()),
        other => panic!("{other:?}"),
    };
    let module = |name: &str| (format!("site.settings.{name}"), "site.settings.pocdeploy_settings".to_owned(), false);
    assert_eq!(base(&found), module("production"));
    let found = asked(&DJANGO, &["2"]);
    assert_eq!(base(&found), module("dev"));
    assert!(!found.assumed.iter().any(|it| it.contains("settings are")), "{:?}", found.assumed);
    assert_eq!(found.said().collect::<Vec<_>>(), ["the settings are site.settings.dev"]);
    // What Pocdeploy.toml names stays the module, and gets the lines itself.
    let env = |name: &str| BTreeMap::from([("DJANGO_SETTINGS_MODULE".to_owned(), name.to_owned())]);
    let found = stated(&DJANGO, Stated { env: env("site.settings.base"), ..Stated::default() });
    assert_eq!(base(&found), ("site.settings.base".to_owned(), "site.settings.base".to_owned(), true));
    assert_eq!(
        (found.env, open(&stated(&DJANGO, Stated { env: env("none"), ..Stated::default() })).is_empty()),
        (env("site.settings.base"), false)
    );
}

#[test]
fn application_objects_of_equal_rank_are_asked_for() {
    let of = |text: &str| [("one.py", text.to_owned()), ("two.py", text.to_owned())];
    for (text, server) in
        [("from flask import Flask\napp = Flask(__name__)\n", "gunicorn"), ("from fastapi import FastAPI\napp = FastAPI()\n", "uvicorn")]
    {
        let files = of(text);
        let files: Vec<(&str, &str)> = files.iter().map(|it| (it.0, it.1.as_str())).collect();
        assert_eq!(open(&app(&files)), "Object [one:app two:app] one:app");
        assert!(app(&files).assumed.contains(&"one:app is the application among one:app, two:app".to_owned()));
        let found = asked(&files, &["two:app"]);
        let text = start(&found);
        assert!(text.ends_with("two:app") && text.contains(server), "{text}");
        // A file that says it, or a command, leaves nothing open.
        let said = [&files[..], &[("Procfile", "web: gunicorn two:app\n")]].concat();
        assert_eq!(open(&app(&said)), "");
        assert_eq!(open(&stated(&files, command(&["python3", "one.py"]))), "");
    }
    // One of lower rank is no candidate.
    let files = of("from flask import Flask\napp = Flask(__name__)\n");
    assert_eq!(open(&app(&[("one.py", &files[0].1), ("cli/two.py", &files[1].1)])), "");
}

#[test]
fn a_guessed_command_and_port_of_node_are_asked_for() {
    let package = ("package.json", "{\"dependencies\": {\"express\": \"5\"}}");
    let files = [package, ("server.js", "app.listen(process.env.P)\n")];
    assert_eq!(open(&app(&files)), "Start [] node server.js; Port [] 3000");
    let found = asked(&files, &["node server.js --all", "4000"]);
    assert_eq!((start(&found).trim(), found.port, found.is_start_said), ("node server.js --all", 4000, true));
    assert!(!found.assumed.iter().any(|it| it.contains("node") || it.contains("port")), "{:?}", found.assumed);
    assert!(!asked(&files, &[""]).is_start_said);
    // Without a guess the lines name a file that listens.
    let files = [package, ("lib/http.js", "app.listen(3000)\n")];
    let found = app(&files);
    assert_eq!((open(&found).as_str(), found.start.as_ref()), ("Start [] -", None));
    assert_eq!(found.missing[0].lines, "[frontend]\ncommand = [\"node\", \"lib/http.js\"]");
    assert_eq!(stated(&files, command(&["node", "lib/http.js"])).missing, []);
    // A script or a Procfile says it.
    assert_eq!(open(&app(&[package, ("Procfile", "web: node x.js\n"), ("x.js", "app.listen(80)\n")])), "");
}

#[test]
fn python_without_a_known_framework_is_started_by_the_command_that_is_said() {
    let files = [("requirements.txt", "aiohttp\n"), ("bot.py", "import os\nif __name__ == '__main__':\n    os.environ['TOKEN']\n")];
    let found = app(&files);
    assert_eq!((found.framework, open(&found).as_str()), (Framework::Python, "Start [] -; Port [] 8000"));
    assert_eq!(found.missing[0].lines, "[frontend]\ncommand = [\"python3\", \"bot.py\"]\nport = 8000");
    let env = BTreeMap::from([("TOKEN".to_owned(), "x".to_owned())]);
    let found = stated(&files, Stated { port: Some(8000), env, ..command(&["python3", "bot.py"]) });
    assert_eq!((start(&found).trim(), open(&found).as_str(), found.missing.len()), ("python3 bot.py", "", 0));
    // A library has nothing to start, unless the user says what; other languages and pages go first.
    let library = [("pyproject.toml", "[project]\nname = \"x\"\n"), ("x/__init__.py", "")];
    assert_eq!(look(&library), None);
    assert_eq!(stated(&library, command(&["python3", "-m", "x"])).framework, Framework::Python);
    assert_eq!(app(&[files[1], ("index.html", "")]).stack, Stack::Site);
    assert_eq!(app(&[files[1], GO[0], GO[1]]).stack, Stack::Go);
}

#[test]
fn a_port_of_the_configuration_reaches_the_servers_of_python_and_of_an_own_dockerfile() {
    let port = |files: &[(&str, &str)]| stated(files, Stated { port: Some(9000), ..Stated::default() });
    let flask = port(&[("app.py", "from flask import Flask\napp = Flask(__name__)\n")]);
    assert!(start(&flask).contains("--bind 0.0.0.0:9000 "), "{}", start(&flask));
    let fastapi = port(&[("app.py", "from fastapi import FastAPI\napp = FastAPI()\n")]);
    assert!(start(&fastapi).contains("--port 9000 "), "{}", start(&fastapi));
    let files = [("Dockerfile", "FROM scratch\nUSER 1\nCMD [\"/x\"]\n"), GO[0], GO[1], GO[2]];
    // The image says which program it starts; only the port is open.
    assert_eq!((open(&app(&files)).as_str(), app(&files).missing), ("Port [] 8080", Vec::new()));
    assert_eq!((port(&files).port, open(&port(&files)).as_str()), (9000, ""));
    // The named Dockerfile is the application's own.
    let named = Stated { dockerfile: Some("ci/Image".to_owned()), ..Stated::default() };
    let found = stated(&[files[0], ("ci/Image", "FROM scratch\nEXPOSE 7000\n")], named);
    assert_eq!((found.target.as_deref(), found.port), (Some("ci/Image"), 7000));
}

#[test]
fn a_migration_of_the_configuration_leaves_the_number_of_pods() {
    let files = [("package.json", "{\"dependencies\": {\"express\": \"5\", \"pg\": \"8\"}}"), ("server.js", "app.listen(80)\n")];
    assert_eq!(app(&files).replicas, Some(1));
    let found = stated(&files, Stated { migrate: Some(vec!["node".to_owned(), "m.js".to_owned()]), ..Stated::default() });
    assert_eq!((found.replicas, found.migrate.unwrap().to_string().as_str()), (None, "node m.js"));
}

#[test]
fn wrong_answers_are_refused() {
    let question = |question, candidates: &[&str], default: Option<&str>| Open {
        question,
        candidates: candidates.iter().map(|it| (*it).to_owned()).collect(),
        default: default.map(str::to_owned),
        assumed: Vec::new(),
    };
    let refuse = |open: &Open, texts: &[&str]| {
        for text in texts {
            let mut answers = Answers::default();
            assert!(answers.say(open, text).is_err(), "{text:?}");
            assert_eq!(answers, Answers::default(), "{text:?}");
        }
    };
    refuse(&question(Question::Program, &["./a", "./b"], None), &["", " ", "0", "3", "-1", "c", "1 2", "./"]);
    refuse(&question(Question::Port, &[], Some("80")), &["0", "65536", "x", "80 81", "-1", "\u{1b}[A"]);
    refuse(&question(Question::Start, &[], None), &["", "a\u{7}b"]);
    let mut answers = Answers::default();
    assert_eq!(answers.say(&question(Question::Port, &[], Some("80")), "\n"), Ok(()));
    assert_eq!(answers.port(), Some((80, YOU)));
}
