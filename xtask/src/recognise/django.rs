//! Django: the settings module that a deployment uses, and what it takes from the environment.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    config::FILE,
    recognise::{
        Command, Framework, Question, Recognised, Stack,
        facts::{Facts, Value},
        python::{PORT, Python},
        settings,
    },
};

/// Names of a settings module as the deployment sees them: each value with its file and line.
pub(super) struct Settings {
    pub(super) module: String,
    pub(super) file: String,
    /// Pocdeploy.toml names the module, and no other can be named there instead.
    pub(super) is_stated: bool,
    names: BTreeMap<String, (Value, String, usize)>,
    /// Files that the module takes in, itself among them.
    read: BTreeSet<String>,
}

/// The application, and the settings modules beside the chosen one, which the deployment does not read.
pub(super) fn recognise(python: &Python<'_>) -> Option<(Recognised, Vec<String>)> {
    let manage = python.each().into_iter().find(|(path, facts)| {
        path.rsplit('/').next() == Some("manage.py")
            && (facts.imports("django") || facts.sets.iter().any(|it| is_settings_variable(it.0.as_deref())))
    });
    let by_entry = || {
        let is_entry = |path: &str, it: &Facts| {
            (path.ends_with("wsgi.py") || path.ends_with("asgi.py")) && it.imports("django") && named(it).is_some()
        };
        python.each().into_iter().find(|(path, it)| is_entry(path, it))
    };
    // Without a manage.py a project may still have its settings.
    let by_settings =
        || python.each().into_iter().find(|(_, it)| it.names.contains_key("INSTALLED_APPS") && it.names.contains_key("ROOT_URLCONF"));
    let (path, facts) = manage.or_else(by_entry).or_else(by_settings)?;
    let has_manage = path.rsplit('/').next() == Some("manage.py");
    let base = if has_manage { path.strip_suffix("manage.py").unwrap_or_default().to_owned() } else { String::new() };
    let mut out = Recognised::new(Stack::Python, Framework::Django, PORT);
    out.version = python.version("django");
    if has_manage {
        out.signal(path, 0, "is Django's own program", "the application is Django's; its commands run through this file");
    }
    let settings = choose(python, &base, path, facts, has_manage, &mut out)?;
    start(python, &base, &settings, &mut out);
    if has_manage {
        out.migrate = Some(Command::words(&["python3", &format!("{base}manage.py"), "migrate", "--noinput"]));
    } else {
        out.migrate = Some(Command::words(&["python3", "-m", "django", "migrate", "--noinput"]));
    }
    settings::decide(python, &base, &settings, &mut out);
    let folder = settings.file.rsplit_once('/').map_or("", |it| it.0);
    let is_unread = |path: &str| path.rsplit_once('/').map_or("", |it| it.0) == folder && !settings.read.contains(path);
    let is_package = folder.rsplit('/').next().is_some_and(|it| it == "settings" || it == "conf" || it == "config");
    let unread: Vec<String> = python
        .each()
        .into_iter()
        .filter(|(it, facts)| is_package && is_unread(it) && is_settings(facts))
        .map(|it| it.0.to_owned())
        .collect();
    Some((out, unread))
}

/// A module that takes in another's names, or has names of Django's settings itself.
fn is_settings(facts: &Facts) -> bool {
    !facts.stars.is_empty() || ["INSTALLED_APPS", "DATABASES", "ROOT_URLCONF"].iter().any(|it| facts.names.contains_key(*it))
}

fn is_settings_variable(name: Option<&str>) -> bool {
    name == Some("DJANGO_SETTINGS_MODULE")
}

/// The module that a file names as DJANGO_SETTINGS_MODULE, its line, and whether the environment can say otherwise.
fn named(facts: &Facts) -> Option<(String, usize, bool)> {
    let (_, value, is_default, line) = facts.sets.iter().find(|it| is_settings_variable(it.0.as_deref()))?;
    let module = value.text().or_else(|| value.default.as_deref().and_then(Value::text))?;
    Some((module.to_owned(), *line, *is_default))
}

/// Which settings module a deployment uses: the one that the user says; that of wsgi.py or asgi.py, else that of manage.py; one for
/// production goes before one for development that lies beside it.
fn choose(python: &Python<'_>, base: &str, path: &str, facts: &Facts, has_manage: bool, out: &mut Recognised) -> Option<Settings> {
    let mut found: Option<(String, String, usize)> = None;
    let (mut candidates, mut assumed): (Vec<String>, Vec<String>) = Default::default();
    let mut entries: Vec<_> =
        python.each().into_iter().filter(|(it, _)| it.starts_with(base) && (it.ends_with("wsgi.py") || it.ends_with("asgi.py"))).collect();
    entries.sort_by_key(|(it, _)| it.ends_with("asgi.py"));
    for (file, facts) in entries.into_iter().chain(has_manage.then_some((path, facts))) {
        let Some((module, line, is_default)) = named(facts) else { continue };
        if python.file_of(base, &module).is_none() {
            continue;
        }
        if !is_default {
            out.signal(
                file,
                line,
                format!("sets DJANGO_SETTINGS_MODULE to {module} whatever the environment says"),
                "no other module can be chosen",
            );
        }
        match &found {
            None => {
                candidates.push(module.clone());
                found = Some((module, file.to_owned(), line));
            }
            Some((known, of, _)) if *known != module => {
                assumed.push(format!("settings are {known}, as {of} says; {file} says {module}"));
                if !candidates.contains(&module) {
                    candidates.push(module);
                }
            }
            Some(_) => {}
        }
    }
    let by_names = || {
        let (file, _) = python.each().into_iter().find(|(_, it)| it.names.contains_key("ROOT_URLCONF"))?;
        Some((python.module_of(file).0, file.to_owned(), 0))
    };
    let (mut module, of, line) = found.or_else(by_names)?;
    let (package, last) = module.rsplit_once('.').map_or(("", module.as_str()), |(a, b)| (a, b));
    if ["dev", "development", "local", "debug", "base", "common"].contains(&last) {
        let mut beside = ["production", "prod", "deploy", "deployment", "live"].iter().map(|it| format!("{package}.{it}"));
        if let Some(better) = beside.find(|it| python.file_of(base, it).is_some()) {
            assumed.push(format!("settings are {better}, which lie beside {module}"));
            if candidates.is_empty() {
                candidates.push(module.clone());
            }
            if !candidates.contains(&better) {
                candidates.push(better.clone());
            }
            module = better;
        }
    }
    let stated = python.tree.answers().stated_settings().filter(|it| python.file_of(base, it).is_some());
    let default = candidates.iter().position(|it| *it == module);
    let by = match stated {
        Some(stated) => {
            stated.clone_into(&mut module);
            Some(FILE)
        }
        None => {
            let choice = python.tree.pick(Question::Settings, &candidates, default, assumed);
            choice.and_then(|it| {
                module.clone_from(&candidates[it.at]);
                it.by
            })
        }
    };
    match by {
        Some(by) => out.signal(by, 0, format!("the settings are {module}"), "the deployment imports them"),
        None => out.signal(&of, line, format!("names the settings {module}"), "the deployment imports them"),
    }
    let file = python.file_of(base, &module)?;
    let (mut names, mut read) = (BTreeMap::new(), BTreeSet::new());
    merge(python, base, &file, &mut names, &mut read, 0);
    Some(Settings { module, file, is_stated: stated.is_some(), names, read })
}

/// A module's names over those of the modules that it imports with a star.
fn merge(
    python: &Python<'_>,
    base: &str,
    file: &str,
    names: &mut BTreeMap<String, (Value, String, usize)>,
    read: &mut BTreeSet<String>,
    depth: usize,
) {
    let Some(facts) = python.facts.get(file).filter(|_| depth < 6) else { return };
    read.insert(file.to_owned());
    for (module, level, _) in &facts.stars {
        let folder = file.rsplit_once('/').map_or("", |it| it.0);
        let inner = match level {
            0 => python.file_of(base, module),
            1 => python.file_of(&format!("{folder}/"), module),
            _ => folder.rsplit_once('/').and_then(|it| python.file_of(&format!("{}/", it.0), module)),
        };
        if let Some(inner) = inner {
            merge(python, base, &inner, names, read, depth + 1);
        }
    }
    for (name, (value, line)) in &facts.names {
        names.insert(name.clone(), (value.clone(), file.to_owned(), *line));
    }
}

impl Settings {
    pub(super) fn get(&self, name: &str) -> Option<(&Value, &str, usize)> {
        self.names.get(name).map(|(value, file, line)| (value, file.as_str(), *line))
    }

    /// Whether a list holds a text; `None` where it is not written as a list.
    pub(super) fn lists(&self, name: &str, is_it: impl Fn(&str) -> bool) -> Option<bool> {
        let mut texts = Vec::new();
        collect(&self.names.get(name)?.0, &mut texts);
        (!texts.is_empty()).then(|| texts.iter().any(|it| is_it(it)))
    }
}

fn collect<'a>(value: &'a Value, out: &mut Vec<&'a str>) {
    out.extend(value.text());
    value.list.iter().flatten().chain(&value.mix).for_each(|it| collect(it, out));
}

fn start(python: &Python<'_>, base: &str, settings: &Settings, out: &mut Recognised) {
    let entry = |name: &str| {
        let stated = settings.get(name).and_then(|(value, file, line)| Some((value.text()?.to_owned(), file.to_owned(), line)));
        let (module, file, line) = stated?;
        let (module, object) = module.rsplit_once('.')?;
        python.file_of(base, module).is_some().then(|| (format!("{module}:{object}"), file, line))
    };
    let beside = |name: &str| {
        let file = python.tree.code(".py").find(|it| it.starts_with(base) && it.rsplit('/').next() == Some(name))?;
        let module = file.strip_prefix(base).unwrap_or(file).trim_end_matches(".py").replace('/', ".");
        Some((format!("{module}:application"), file.to_owned(), 0))
    };
    let wsgi = entry("WSGI_APPLICATION").or_else(|| beside("wsgi.py"));
    let asgi = entry("ASGI_APPLICATION").or_else(|| beside("asgi.py"));
    let wants_asgi = settings.get("ASGI_APPLICATION").is_some()
        || settings.lists("INSTALLED_APPS", |it| it == "daphne" || it == "channels") == Some(true)
        || (python.wants("uvicorn") || python.wants("daphne")) && !python.wants("gunicorn");
    let chdir: Vec<&str> = if base.is_empty() { Vec::new() } else { vec!["--chdir", base.trim_end_matches('/')] };
    match (wsgi, asgi) {
        (_, Some((target, file, line))) if wants_asgi => {
            out.signal(&file, line, format!("ASGI: {target}"), "uvicorn serves it");
            if !python.wants("uvicorn") && !python.wants("uvicorn-standard") {
                out.extra.insert("uvicorn".to_owned());
            }
            let dir: Vec<&str> = if base.is_empty() { Vec::new() } else { vec!["--app-dir", base.trim_end_matches('/')] };
            let words = ["python3", "-m", "uvicorn", "--host", "0.0.0.0", "--port", "8000"];
            out.start = Some(Command::words(&[&words[..], &dir[..], &[&target]].concat()));
        }
        (Some((target, file, line)), _) => {
            out.signal(&file, line, format!("WSGI: {target}"), "gunicorn serves it");
            if !python.wants("gunicorn") {
                out.extra.insert("gunicorn".to_owned());
            }
            out.start = Some(Command::words(&[&GUNICORN[..], &chdir[..], &[&target]].concat()));
        }
        _ => {
            out.assume("no wsgi.py and no asgi.py: Django's own WSGI application is served");
            if !python.wants("gunicorn") {
                out.extra.insert("gunicorn".to_owned());
            }
            out.start = Some(Command::words(&[&GUNICORN[..], &chdir[..], &["django.core.wsgi:get_wsgi_application()"]].concat()));
        }
    }
}

/// gunicorn keeps its workers' heartbeats in files: the root file system is read-only, `/tmp` is not.
pub(super) const GUNICORN: [&str; 8] =
    ["python3", "-m", "gunicorn", "--bind", "0.0.0.0:8000", "--worker-tmp-dir", "/tmp", "--access-logfile=-"];
