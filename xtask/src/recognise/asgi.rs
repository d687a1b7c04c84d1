//! FastAPI, Starlette and other applications that answer ASGI; Alembic's migrations.

use crate::recognise::{
    Change, Command, Database, Framework, Recognised, Stack,
    facts::{Class, Facts},
    flask::{self, Target, find, fixed, settled},
    python::{PORT, Python},
    variables,
};

pub(super) fn recognise(python: &Python<'_>) -> Option<Recognised> {
    let by = |class: &str, module: &'static str| find(python, class, move |it: &Facts| it.imports(module));
    let fastapi = by("FastAPI", "fastapi").map(|it| (Framework::FastApi, "fastapi", it));
    let found = fastapi.or_else(|| by("Starlette", "starlette").map(|it| (Framework::Starlette, "starlette", it)));
    let (framework, package, target) = found.or_else(|| Some((Framework::Asgi, "", plain(python)?)))?;
    let mut out = Recognised::new(Stack::Python, framework, PORT);
    out.version = python.version(package);
    serve(python, &target, &mut out);
    let is_async = python.each().iter().any(|(_, it)| it.calls.iter().any(|it| it.last() == "create_async_engine"));
    database(python, &mut out, is_async);
    alembic(python, &mut out, is_async);
    flask::sqlite(python, &mut out);
    let mut routes: Vec<(&str, (String, usize))> = python
        .each()
        .into_iter()
        .flat_map(|(path, it)| it.routes.iter().map(move |(route, line)| (route.as_str(), (path.to_owned(), *line))))
        .collect();
    // Starlette's routes are calls in a list.
    for (path, facts) in python.each() {
        for (value, line) in facts.names.values() {
            let list = value.list.iter().flatten().filter(|it| it.call.as_deref().is_some_and(|it| it.ends_with("Route")));
            routes.extend(list.filter_map(|it| Some((it.args.first()?.text()?, (path.to_owned(), *line)))));
        }
    }
    flask::health(routes, &mut out);
    Some(out)
}

/// A callable that takes `scope`, `receive` and `send`, in a file called for it.
fn plain(python: &Python<'_>) -> Option<Target> {
    let (file, function) = python.each().into_iter().find_map(|(path, facts)| {
        let is_entry = ["asgi.py", "app.py", "main.py"].contains(&path.rsplit('/').next().unwrap_or_default());
        let function = facts.functions.iter().find(|it| ["app", "application"].contains(&it.0.as_str()) && it.3 == 3)?;
        is_entry.then(|| (path.to_owned(), function.clone()))
    })?;
    let (module, chdir) = python.module_of(&file);
    Some(Target { name: format!("{module}:{}", function.0), chdir, file, line: function.1, by: None })
}

fn serve(python: &Python<'_>, target: &Target, out: &mut Recognised) {
    target.tell(out);
    out.signal(&target.file, target.line, format!("{}: {}", out.framework, target.name), "uvicorn serves it");
    if !python.wants("uvicorn") && !python.wants("fastapi-cli") && !python.wants("uvicorn-standard") {
        out.extra.insert("uvicorn".to_owned());
    }
    let mut words = vec!["python3", "-m", "uvicorn", "--host", "0.0.0.0", "--port", "8000"];
    words.extend(target.chdir.map_or(Vec::new(), |it| vec!["--app-dir", it]));
    let name = target.name.trim_end_matches("()");
    if name != target.name {
        words.push("--factory");
    }
    words.push(name);
    out.start = Some(Command::words(&words));
}

/// Where the address comes from: fields of a settings class, variables, or a constant.
fn database(python: &Python<'_>, out: &mut Recognised, is_async: bool) {
    let is_settings = |it: &&Class| it.2.iter().any(|base| base.rsplit('.').next() == Some("BaseSettings"));
    for (path, facts) in python.each() {
        for class in facts.classes.iter().filter(is_settings) {
            // pydantic's settings are read from variables of the field's name, whatever its case, behind the prefix.
            let names: Vec<(String, usize)> =
                class.3.iter().map(|(field, (_, line))| (format!("{}{field}", class.4).to_uppercase(), *line)).collect();
            let list: Vec<&str> = names.iter().map(|it| it.0.as_str()).collect();
            let found = variables::database(&list);
            if found != Database::None && out.database == Database::None {
                let line = names.iter().find(|it| variables::part_of(&it.0).is_some()).map_or(class.1, |it| it.1);
                out.signal(path, line, format!("{} is read from the environment", class.0), "it says the database");
                out.database = found;
            }
            for (name, line) in &names {
                if variables::is_secret(name) && out.secret_key.is_none() {
                    out.signal(path, *line, format!("the secret key is the variable {name}"), "one is generated and given");
                    out.secret_key = Some(name.clone());
                }
            }
            for (field, (value, line)) in &class.3 {
                let name = format!("{}{field}", class.4).to_uppercase();
                let is_known = variables::part_of(&name).is_some()
                    || variables::is_secret(&name)
                    || variables::is_cache(&name)
                    || field == "model_config";
                if value.is_none() && !is_known && !python.tree.answers().gives(&name) {
                    out.lacks(
                        format!("{path}:{line} needs the variable {name}, and nothing says its value"),
                        format!("[frontend.env]\n{name} = \"…\""),
                    );
                }
            }
        }
    }
    if out.database == Database::None {
        let names = ["SQLALCHEMY_DATABASE_URL", "SQLALCHEMY_DATABASE_URI", "DATABASE_URL", "DATABASE_URI", "DB_URL"];
        match settled(python, &names) {
            Some((file, value, line)) if !value.variables().is_empty() => {
                let read = value.variables();
                out.signal(&file, line, format!("the database is read from {}", read.join(", ")), "the environment says it");
                out.database = match variables::database(&read) {
                    Database::None => Database::Url(read[0].to_owned()),
                    found => found,
                };
            }
            Some((file, value, line)) if value.text().is_some_and(|it| it.contains("://")) => {
                fixed(python, out, &file, &value, line, "DATABASE_URL")
            }
            _ => {
                let all = python.variables();
                out.database = variables::database(&all.into_iter().collect::<Vec<_>>());
            }
        }
    }
    flask::url(python, out, is_async);
}

/// Alembic: `alembic upgrade head`, with its address from the environment.
pub(super) fn alembic(python: &Python<'_>, out: &mut Recognised, is_async: bool) {
    let tree = python.tree;
    let Some(ini) = tree.files().iter().find(|it| it.rsplit('/').next() == Some("alembic.ini") && it.matches('/').count() < 3).cloned()
    else {
        return;
    };
    let text = tree.text(&ini).unwrap_or_default();
    let option = |name: &str| {
        text.lines().enumerate().find_map(|(at, line)| {
            let (key, value) = line.split_once('=')?;
            (key.trim() == name).then(|| (value.trim().to_owned(), at + 1))
        })
    };
    let folder = ini.rsplit_once('/').map_or(String::new(), |it| format!("{}/", it.0));
    let script = option("script_location").map(|it| it.0.replace("%(here)s/", "")).unwrap_or_else(|| "alembic".to_owned());
    let env = format!("{folder}{}/env.py", script.trim_end_matches('/'));
    out.signal(&ini, 0, "is Alembic's configuration", "`alembic upgrade head` runs before a rollout");
    let mut words = vec!["python3", "-m", "alembic"];
    if !folder.is_empty() {
        words.extend(["-c", &ini]);
    }
    words.extend(["upgrade", "head"]);
    out.migrate = Some(Command::words(&words));
    if !python.wants("alembic") && !python.wants("flask-migrate") && !python.wanted.is_empty() {
        out.extra.insert("alembic".to_owned());
    }
    let Some((url, line)) = option("sqlalchemy.url") else { return };
    let Some(facts) = python.facts.get(&env) else { return };
    let sets = facts.calls.iter().any(|it| it.last() == "set_main_option")
        || facts.env.iter().any(|it| it.0.as_deref().is_some_and(|it| variables::part_of(it).is_some()));
    let is_own = facts.imports.iter().any(|(it, _)| {
        python.file_of("", it.split('.').next().unwrap_or(it)).is_some() && it.contains("config") || it.contains("settings")
    });
    if sets || is_own || url.is_empty() {
        return;
    }
    let made = facts.names.get("config").map(|it| it.1);
    let Some(after) = made else {
        out.lacks(
            format!("{ini}:{line}: migrations use {url}"),
            "# build/patches/0001-alembic.patch: let env.py read os.environ[\"DATABASE_URL\"]",
        );
        return;
    };
    let variable = match &out.database {
        Database::Url(name) => name.clone(),
        _ => "DATABASE_URL".to_owned(),
    };
    if out.database == Database::None {
        out.database = Database::Url(variable.clone());
    }
    out.signal(&ini, line, "migrations have an address of their own", format!("a patch lets {env} read {variable}"));
    let (is_imported, import_after) = (facts.imports.iter().any(|it| it.0 == "os"), facts.doc);
    out.changes.push(Change::Alembic { file: env, after, variable: variable.clone(), is_imported, import_after });
    if !out.env.contains_key(&variable) {
        flask::url(python, out, is_async);
    }
}
