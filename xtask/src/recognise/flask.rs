//! Flask, and every other application that answers WSGI.

use crate::recognise::{
    Change, Command, Database, Framework, Question, Recognised, Stack,
    django::GUNICORN,
    facts::{Call, Facts, Value},
    python::{PORT, Python},
    tree::is_aside,
    variables,
};

/// A WSGI application: its object as gunicorn names it, the file, the line, what said it.
pub(super) struct Target {
    pub(super) name: String,
    pub(super) chdir: Option<&'static str>,
    pub(super) file: String,
    pub(super) line: usize,
    /// The user chose it among several.
    pub(super) by: Option<&'static str>,
}

impl Target {
    /// Says that the user chose it.
    pub(super) fn tell(&self, out: &mut Recognised) {
        if let Some(by) = self.by {
            out.signal(by, 0, format!("{} is the application", self.name), "it is served");
        }
    }
}

pub(super) fn recognise(python: &Python<'_>) -> Option<Recognised> {
    let is_flask = |facts: &Facts| facts.imports("flask");
    if let Some(target) = find(python, "Flask", is_flask) {
        let mut out = Recognised::new(Stack::Python, Framework::Flask, PORT);
        out.version = python.version("flask");
        let target = match stated(python, &mut out) {
            Some(stated) => {
                // A file decides what was left open.
                python.tree.take_open();
                stated
            }
            None => target,
        };
        serve(python, &target, &mut out);
        database(python, &mut out);
        migrations(python, &target, &mut out);
        let routes = python
            .each()
            .into_iter()
            .flat_map(|(path, it)| it.routes.iter().map(move |(route, line)| (route.as_str(), (path.to_owned(), *line))));
        health(routes.collect(), &mut out);
        return Some(out);
    }
    // Any other callable of that interface: by its name, in a file that has one.
    let (file, facts) = python.each().into_iter().find(|(path, facts)| {
        let is_entry = ["wsgi.py", "app.py", "main.py", "server.py"].contains(&path.rsplit('/').next().unwrap_or_default());
        is_entry && (facts.names.contains_key("application") || facts.functions.iter().any(|it| it.0 == "application" && it.3 == 2))
    })?;
    let line = facts
        .names
        .get("application")
        .map(|it| it.1)
        .or_else(|| facts.functions.iter().find(|it| it.0 == "application").map(|it| it.1))
        .unwrap_or(0);
    let (module, chdir) = python.module_of(file);
    let mut out = Recognised::new(Stack::Python, Framework::Wsgi, PORT);
    serve(python, &Target { name: format!("{module}:application"), chdir, file: file.to_owned(), line, by: None }, &mut out);
    Some(out)
}

/// The application object, or the factory that makes it: an object at the top of a module goes before a factory, a factory that needs
/// no argument before none.
pub(super) fn find(python: &Python<'_>, class: &str, is_it: impl Fn(&Facts) -> bool) -> Option<Target> {
    let files: Vec<(&str, &Facts)> = python.each().into_iter().filter(|(_, it)| is_it(it)).collect();
    let made = |call: &&Call| call.last() == class && call.5 && call.0.as_deref().is_some_and(|it| !it.contains('.'));
    let objects = files.iter().filter_map(|(path, facts)| {
        let call = facts.calls.iter().find(made)?;
        Some((*path, call.0.clone()?, call.2))
    });
    let target = |path: &str, object: String, line: usize| {
        let (module, chdir) = python.module_of(path);
        Target { name: format!("{module}:{object}"), chdir, file: path.to_owned(), line, by: None }
    };
    let factories: Vec<(&str, String, usize)> = files
        .iter()
        .flat_map(|(path, facts)| {
            let fits = |it: &&crate::recognise::facts::Function| {
                it.2.as_deref().is_some_and(|it| it.rsplit('.').next() == Some(class)) && it.3 == 0
            };
            facts.functions.iter().filter(fits).map(|it| (*path, it.0.clone(), it.1))
        })
        .collect();
    let names: Vec<&str> = factories.iter().map(|it| it.1.as_str()).collect();
    // A module that calls the factory at its top has the object itself.
    let called = python.each().into_iter().find_map(|(path, facts)| {
        let is_it =
            |it: &&Call| it.5 && names.contains(&it.last()) && it.0.as_deref().is_some_and(|it| ["app", "application"].contains(&it));
        let call = facts.calls.iter().find(is_it)?;
        Some((path, call.0.clone()?, call.2))
    });
    // Each kind by its own rank; within a rank the shallow files come first.
    let mut all: Vec<(u8, &str, String, usize)> = Vec::new();
    all.extend(objects.map(|(path, object, line)| (if is_aside_of_server(path) { 4 } else { 0 }, path, object, line)));
    all.extend(called.map(|(path, object, line)| (1, path, object, line)));
    all.extend(factories.iter().map(|(path, name, line)| {
        let is_usual = ["create_app", "make_app", "get_app", "build_app", "create_application"].contains(&name.as_str());
        let rank = if is_aside_of_server(path) { 5 } else { 3 - u8::from(is_usual) };
        (rank, *path, format!("{name}()"), *line)
    }));
    let best = all.iter().map(|it| it.0).min()?;
    let targets: Vec<Target> =
        all.into_iter().filter(|it| it.0 == best).map(|(_, path, object, line)| target(path, object, line)).collect();
    let names: Vec<String> = targets.iter().map(|it| it.name.clone()).collect();
    let assumed = (names.len() > 1).then(|| format!("{} is the application among {}", names[0], names.join(", ")));
    let choice = python.tree.pick(Question::Object, &names, Some(0), assumed.into_iter().collect())?;
    targets.into_iter().nth(choice.at).map(|it| Target { by: choice.by, ..it })
}

/// Whether a file is for something beside the server: a private module, or a command's own small server.
fn is_aside_of_server(path: &str) -> bool {
    let mut parts = path.trim_end_matches(".py").split('/');
    let name = parts.next_back().unwrap_or_default();
    let is_private = |it: &str| it.starts_with('_') && !it.starts_with("__") && it != "_app";
    is_private(name) || parts.any(|it| is_private(it) || ["cli", "commands", "scripts", "testing", "utilities", "utils"].contains(&it))
}

/// What `.flaskenv` says as FLASK_APP.
fn stated(python: &Python<'_>, out: &mut Recognised) -> Option<Target> {
    for file in [".flaskenv", ".env.example", ".env.sample", ".env.dist"] {
        let text = python.tree.text(file)?;
        let Some((at, line)) =
            text.lines().enumerate().find(|(_, it)| it.trim_start().trim_start_matches("export ").starts_with("FLASK_APP="))
        else {
            continue;
        };
        let value = line.split_once('=').map_or("", |it| it.1).trim().trim_matches(['"', '\'']);
        let (module, object) = value.split_once(':').unwrap_or((value, ""));
        let module = module.trim_end_matches(".py").replace('/', ".");
        let path = python.file_of("", &module)?;
        let facts = python.facts.get(&path);
        let object = match object {
            "" => {
                let has = |name: &str| facts.is_some_and(|it| it.names.contains_key(name));
                let factory = |name: &str| facts.is_some_and(|it| it.functions.iter().any(|it| it.0 == name));
                let known = ["app", "application"].into_iter().find(|it| has(it)).map(str::to_owned);
                known.or_else(|| ["create_app", "make_app"].into_iter().find(|it| factory(it)).map(|it| format!("{it}()")))?
            }
            object => object.to_owned(),
        };
        out.signal(file, at + 1, format!("FLASK_APP={value}"), "that module is served");
        return Some(Target { name: format!("{module}:{object}"), chdir: None, file: path, line: 0, by: None });
    }
    None
}

fn serve(python: &Python<'_>, target: &Target, out: &mut Recognised) {
    target.tell(out);
    out.signal(&target.file, target.line, format!("{}: {}", out.framework, target.name), "gunicorn serves it");
    if !python.wants("gunicorn") {
        out.extra.insert("gunicorn".to_owned());
    }
    let chdir: Vec<&str> = target.chdir.map_or(Vec::new(), |it| vec!["--chdir", it]);
    out.start = Some(Command::words(&[&GUNICORN[..], &chdir[..], &[&target.name]].concat()));
}

/// How the database's address gets into the application, by SQLAlchemy's habits.
fn database(python: &Python<'_>, out: &mut Recognised) {
    let prefixed = python.each().into_iter().find_map(|(path, it)| {
        let call = it.calls.iter().find(|it| it.last() == "from_prefixed_env")?;
        Some((path.to_owned(), call.2, call.3.first().and_then(Value::text).unwrap_or("FLASK").to_owned()))
    });
    let uri = settled(python, &["SQLALCHEMY_DATABASE_URI"]);
    match uri {
        Some((file, value, line)) if !value.variables().is_empty() => {
            let names = value.variables();
            let parts = variables::database(&names);
            out.signal(
                &file,
                line,
                format!("SQLALCHEMY_DATABASE_URI is read from {}", names.join(", ")),
                "the environment says the database",
            );
            out.database = match parts {
                Database::None => Database::Url(names[0].to_owned()),
                parts => parts,
            };
        }
        _ if prefixed.is_some() && uses_sqlalchemy(python) => {
            let (file, line, prefix) = prefixed.clone().unwrap_or_default();
            out.signal(
                &file,
                line,
                format!("settings are read from variables {prefix}_…"),
                format!("{prefix}_SQLALCHEMY_DATABASE_URI is set"),
            );
            out.database = Database::Url(format!("{prefix}_SQLALCHEMY_DATABASE_URI"));
        }
        Some((file, value, line)) => fixed(python, out, &file, &value, line, "DATABASE_URL"),
        None => {}
    }
    if let Some((file, line, prefix)) = prefixed.filter(|_| out.secret_key.is_none()) {
        out.signal(&file, line, format!("settings are read from variables {prefix}_…"), format!("{prefix}_SECRET_KEY is set"));
        out.secret_key = Some(format!("{prefix}_SECRET_KEY"));
    }
    if let Some((file, value, line)) = settled(python, &["SECRET_KEY"])
        && let Some(name) = value.variables().first()
    {
        out.signal(&file, line, format!("the secret key is the variable {name}"), "one is generated and given");
        out.secret_key = Some((*name).to_owned());
    }
    url(python, out, false);
    sqlite(python, out);
}

/// A value that is given for a setting of that name, wherever: an assignment, `app.config[…]`, a keyword, a field of a class.
pub(super) fn settled(python: &Python<'_>, names: &[&str]) -> Option<(String, Value, usize)> {
    let mut found: Option<(String, Value, usize)> = None;
    let mut take = |path: &str, value: &Value, line: usize| {
        let better = found.as_ref().is_none_or(|(_, known, _)| known.variables().is_empty() && !value.variables().is_empty());
        if better && (value.lit.is_some() || !value.variables().is_empty() || !value.mix.is_empty() || value.call.is_some()) {
            found = Some((path.to_owned(), value.clone(), line));
        }
    };
    for (path, facts) in python.each() {
        for name in names {
            for (key, (value, line)) in &facts.names {
                if key == name || key.ends_with(&format!("[{name}]")) {
                    take(path, value, *line);
                }
            }
            for class in &facts.classes {
                if let Some((Some(value), line)) = class.3.get(*name) {
                    take(path, value, *line);
                }
            }
            for call in facts.calls.iter().filter(|it| it.1.contains("config")) {
                if let Some(value) = call.4.get(*name) {
                    take(path, value, call.2);
                }
                if let Some(value) = call.3.first().and_then(|it| it.dict.as_ref()?.get(*name)) {
                    take(path, value, call.2);
                }
            }
        }
    }
    found
}

/// A constant address becomes a variable's, by a patch, where it stands alone; elsewhere the user is told.
pub(super) fn fixed(python: &Python<'_>, out: &mut Recognised, file: &str, value: &Value, line: usize, variable: &str) {
    let what = value.text().map_or("not read from the environment".to_owned(), |it| it.split(['@', '?']).next().unwrap_or(it).to_owned());
    out.database = Database::Fixed { file: file.to_owned(), line, what: what.clone() };
    let (Some(span), Some(facts)) = (value.span, python.facts.get(file)) else {
        let lines = "# build/patches/0001-database.patch: let it read os.environ[\"DATABASE_URL\"]";
        out.lacks(format!("{file}:{line}: the database is {what}, and only a change of this line can make it the deployment's"), lines);
        return;
    };
    out.signal(file, line, format!("the database is {what}"), format!("a patch reads {variable} in its place"));
    let (is_imported, import_after) = (facts.imports.iter().any(|it| it.0 == "os"), facts.doc);
    out.changes.push(Change::FromVariable { file: file.to_owned(), span, variable: variable.to_owned(), is_imported, import_after });
}

pub(super) fn uses_sqlalchemy(python: &Python<'_>) -> bool {
    python.wants("sqlalchemy")
        || python.wants("flask-sqlalchemy")
        || python.wants("sqlmodel")
        || python.each().iter().any(|(_, it)| it.imports("sqlalchemy") || it.imports("flask_sqlalchemy"))
}

/// SQLAlchemy's URL names its driver, which a plain one lacks.
pub(super) fn url(python: &Python<'_>, out: &mut Recognised, is_async: bool) {
    if !uses_sqlalchemy(python) {
        return;
    }
    let name = match &out.database {
        Database::Url(name) => name.clone(),
        Database::Fixed { .. } => "DATABASE_URL".to_owned(),
        Database::Variables(_) | Database::Libpq | Database::None => {
            if out.database != Database::None {
                python.sqlalchemy_url(out, is_async);
            }
            return;
        }
    };
    let url = python.sqlalchemy_url(out, is_async);
    out.env.insert(name, url);
}

/// SQLite that code opens by itself: no setting leads elsewhere.
pub(super) fn sqlite(python: &Python<'_>, out: &mut Recognised) {
    if out.database != Database::None || !python.variables().iter().all(|it| variables::part_of(it).is_none()) {
        return;
    }
    let drivers = ["psycopg", "psycopg2", "asyncpg", "pg8000"];
    if python.each().iter().any(|(_, it)| drivers.iter().any(|name| it.imports(name))) || drivers.iter().any(|it| python.wants(it)) {
        return;
    }
    let opened =
        python.each().into_iter().find_map(|(path, it)| Some((path.to_owned(), it.imports.iter().find(|it| it.0 == "sqlite3")?.1)));
    if let Some((file, line)) = opened {
        out.database = Database::Fixed { file: file.clone(), line, what: "SQLite, opened by the code itself".to_owned() };
        let lines = "# build/patches/0001-database.patch: connect to os.environ[\"DATABASE_URL\"], with psycopg in the requirements";
        out.lacks(format!("{file}:{line} opens SQLite by itself: nothing can lead it to PostgreSQL but a change of the source"), lines);
    }
}

fn migrations(python: &Python<'_>, target: &Target, out: &mut Recognised) {
    if python.wants("flask-migrate") || python.each().iter().any(|(_, it)| it.imports("flask_migrate")) {
        let app = target.name.clone();
        let mut words = vec!["python3", "-m", "flask", "--app", &app, "db", "upgrade"];
        // Without a word of the folder Flask-Migrate takes `migrations` where the command runs.
        let is_it = |it: &&String| it.ends_with("migrations/env.py") && !is_aside(it);
        let folder = python.tree.files().iter().filter(is_it).min_by_key(|it| it.matches('/').count());
        let folder = folder.and_then(|it| it.strip_suffix("/env.py"));
        let is_stated =
            python.each().iter().any(|(_, it)| it.calls.iter().any(|it| it.last() == "Migrate" && it.4.contains_key("directory")));
        match folder {
            Some(folder) => {
                out.signal(
                    &format!("{folder}/env.py"),
                    0,
                    "Flask-Migrate keeps its migrations here",
                    "`flask db upgrade` runs before a rollout",
                );
                if folder != "migrations" && !is_stated {
                    words.extend(["--directory", folder]);
                }
            }
            None => out.assume("Flask-Migrate is used, and its migrations are not here: `flask db upgrade` finds them by itself"),
        }
        out.migrate = Some(Command::words(&words));
    } else {
        crate::recognise::asgi::alembic(python, out, false);
    }
}

/// The first route that sounds like one for probes.
pub(super) fn health(routes: Vec<(&str, (String, usize))>, out: &mut Recognised) {
    let found = Python::health_of(routes.iter().enumerate().map(|(at, (path, _))| (*path, at)));
    if let Some((path, at)) = found {
        let (file, line) = &routes[at].1;
        out.signal(file, *line, format!("there is a route {path}"), "probes ask it");
        out.health = Some(path);
    }
}
