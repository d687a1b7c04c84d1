//! Django's settings: what they take from the environment, and what a patch must set.

use std::collections::BTreeMap;

use crate::recognise::{
    Change, Command, Database, DjangoSettings, Hosts, Recognised,
    django::Settings,
    facts::Value,
    python::{Python, last_text},
    variables::Part,
};

/// Where the application lies in the image.
const HOME: &str = "/srv/app/";

pub(super) fn decide(python: &Python<'_>, base: &str, settings: &Settings, out: &mut Recognised) {
    let package = settings.module.rsplit_once('.').map(|it| it.0);
    let folder = settings.file.rsplit_once('/').map_or(String::new(), |it| format!("{}/", it.0));
    let mut change = DjangoSettings {
        base: settings.module.clone(),
        module: package.map_or("pocdeploy_settings".to_owned(), |it| format!("{it}.pocdeploy_settings")),
        file: format!("{folder}pocdeploy_settings.py"),
        ..DjangoSettings::default()
    };
    // A module that is a package is followed by one inside it.
    if settings.file.ends_with("/__init__.py") {
        change.module = format!("{}.pocdeploy_settings", settings.module);
    }
    // That value of Pocdeploy.toml stays, so the module itself gets the lines.
    if settings.is_stated {
        change.module.clone_from(&settings.module);
        change.file.clone_from(&settings.file);
    }
    change.database = database(python, settings, out);
    change.hosts = hosts(settings, out);
    change.secret_key = secret(settings, out);
    change.debug = debug(settings, out);
    files(python, base, settings, &mut change, out);
    if let Some((value, file, line)) = settings.get("AUTH_USER_MODEL")
        && let Some(model) = value.text()
    {
        let app = model.split('.').next().unwrap_or_default();
        let has = python.tree.files().iter().any(|it| it.contains(&format!("{app}/migrations/0")));
        out.signal(
            file,
            line,
            format!("users are {model}"),
            if has { "its migrations are there" } else { "its migrations come from a package" },
        );
        if !has && python.tree.files().iter().any(|it| it.ends_with(&format!("{app}/models.py"))) {
            out.lacks(format!("{app} has the users' model and no migrations"), format!("# python3 manage.py makemigrations {app}"));
        }
    }
    if let Some((path, _)) = health(python, settings) {
        out.signal(&settings.file, 0, format!("the URLs hold {path}"), "probes ask it");
        out.health = Some(path);
    }
    page(python, settings, out);
    let needed = change.database
        || change.hosts
        || change.secret_key
        || change.debug
        || change.whitenoise
        || change.static_root
        || change.media.is_some();
    let module = if needed { change.module.clone() } else { settings.module.clone() };
    if needed {
        out.changes.push(Change::DjangoSettings(change));
    }
    out.env.insert("DJANGO_SETTINGS_MODULE".to_owned(), module);
}

/// Whether the settings need another database.
fn database(python: &Python<'_>, settings: &Settings, out: &mut Recognised) -> bool {
    let found = settings
        .get("DATABASES[default]")
        .filter(|it| !it.0.variables().is_empty() || it.0.call.is_some())
        .or_else(|| settings.get("DATABASES"));
    python.ensure_driver(out);
    let Some((value, file, line)) = found else {
        out.database = Database::Fixed { file: settings.file.clone(), line: 0, what: "no DATABASES".to_owned() };
        return true;
    };
    let inner = value.dict.as_ref().and_then(|it| it.get("default")).unwrap_or(value);
    let style = style(inner);
    let says = match &style {
        Database::Url(name) => format!("the database's address is the variable {name}"),
        Database::Variables(parts) => format!("the database is read from {}", parts.keys().cloned().collect::<Vec<_>>().join(", ")),
        Database::Fixed { what, .. } => format!("the database is {what}"),
        _ => "no database is named".to_owned(),
    };
    let is_fixed = matches!(style, Database::Fixed { .. } | Database::None);
    out.signal(file, line, says, if is_fixed { "a patch reads it from the environment" } else { "the environment says it" });
    if let Database::Variables(parts) = &style {
        // What kind of database it is may be a variable too.
        let engine = inner.dict.as_ref().and_then(|it| it.get("ENGINE")).map(Value::variables).unwrap_or_default();
        for name in engine.into_iter().filter(|it| !parts.contains_key(*it)) {
            out.env.insert(name.to_owned(), "django.db.backends.postgresql".to_owned());
        }
    }
    out.database = match style {
        Database::Fixed { what, .. } => Database::Fixed { file: file.to_owned(), line, what },
        Database::None => Database::Fixed { file: file.to_owned(), line, what: "not from the environment".to_owned() },
        other => other,
    };
    is_fixed
}

fn style(value: &Value) -> Database {
    let fixed = |what: &str| Database::Fixed { file: String::new(), line: 0, what: what.to_owned() };
    if let Some(call) = &value.call {
        let named = value.kw.get("env").and_then(Value::text);
        let inside = value.variables();
        return match call.as_str() {
            "dj_database_url.config" | "env.db" | "env.db_url" | "env.dj_db_url" => {
                Database::Url(named.unwrap_or("DATABASE_URL").to_owned())
            }
            _ if !inside.is_empty() => Database::Url(inside[0].to_owned()),
            _ => fixed(&format!("made by {call}")),
        };
    }
    if let Some(name) = &value.env {
        return Database::Url(name.clone());
    }
    let Some(entries) = &value.dict else { return Database::None };
    let engine = entries.get("ENGINE");
    let backend = engine.and_then(last_text).or_else(|| engine.and_then(|it| last_text(it.default.as_deref()?))).unwrap_or_default();
    if engine.is_some_and(|it| it.variables().is_empty()) && !backend.contains("postg") {
        return fixed(backend.rsplit('.').next().unwrap_or(backend));
    }
    let mut parts = BTreeMap::new();
    for (key, part) in
        [("HOST", Part::Host), ("PORT", Part::Port), ("NAME", Part::Name), ("USER", Part::User), ("PASSWORD", Part::Password)]
    {
        if let Some(name) = entries.get(key).and_then(|it| it.variables().first().copied()) {
            parts.insert(name.to_owned(), part);
        }
    }
    let has = |part| parts.values().any(|it| *it == part);
    if [Part::Host, Part::Name, Part::User, Part::Password].into_iter().all(has) {
        Database::Variables(parts)
    } else {
        fixed("partly in the source")
    }
}

/// Whether the settings need other hosts.
fn hosts(settings: &Settings, out: &mut Recognised) -> bool {
    let Some((value, file, line)) = settings.get("ALLOWED_HOSTS") else { return true };
    if let Some(name) = value.variables().first() {
        let separator = value.split.clone().unwrap_or_else(|| ",".to_owned());
        out.signal(file, line, format!("hosts are the variable {name}"), "the environment says them");
        out.hosts = Hosts::Variable { name: (*name).to_owned(), separator };
        return false;
    }
    if value.list.as_ref().is_some_and(|it| it.iter().any(|it| it.text() == Some("*"))) {
        out.signal(file, line, "every host is answered", "nothing is set");
        return false;
    }
    out.signal(file, line, "the hosts are written in the source", "a patch reads them from the environment");
    out.hosts = Hosts::Fixed { file: file.to_owned(), line };
    true
}

fn secret(settings: &Settings, out: &mut Recognised) -> bool {
    let Some((value, file, line)) = settings.get("SECRET_KEY") else { return true };
    if let Some(name) = value.variables().first() {
        out.signal(file, line, format!("the secret key is the variable {name}"), "one is generated and given");
        out.secret_key = Some((*name).to_owned());
        return false;
    }
    out.signal(file, line, "the secret key is written in the source", "a patch reads it from the environment");
    true
}

fn debug(settings: &Settings, out: &mut Recognised) -> bool {
    let Some((value, file, line)) = settings.get("DEBUG") else { return false };
    if let Some(name) = value.variables().first() {
        // bool("False") is true, and int("False") an error.
        let off = match value.call.as_deref() {
            Some("int") => "0",
            Some("bool") => "",
            _ => "False",
        };
        out.env.insert((*name).to_owned(), off.to_owned());
        out.signal(file, line, format!("debug mode is the variable {name}"), format!("it is set to {off:?}"));
        return false;
    }
    if value.is_true() {
        out.signal(file, line, "debug mode is on", "a patch switches it off");
    }
    value.is_true()
}

fn files(python: &Python<'_>, base: &str, settings: &Settings, change: &mut DjangoSettings, out: &mut Recognised) {
    let in_apps = settings.lists("INSTALLED_APPS", |it| it == "django.contrib.staticfiles");
    if in_apps != Some(false) {
        let has = settings.lists("MIDDLEWARE", |it| it.starts_with("whitenoise.")) == Some(true);
        let (file, line) = settings.get("MIDDLEWARE").map_or((settings.file.as_str(), 0), |it| (it.1, it.2));
        if has {
            out.signal(file, line, "WhiteNoise is in MIDDLEWARE", "it serves the static files");
        } else {
            out.signal(file, line, "nothing serves static files without debug mode", "a patch puts WhiteNoise into MIDDLEWARE");
            change.whitenoise = true;
            if !python.wants("whitenoise") {
                out.extra.insert("whitenoise".to_owned());
            }
        }
        out.files.served_by = Some(if has { "WhiteNoise, which the application has" } else { "WhiteNoise, which a patch adds" }.to_owned());
        out.files.is_collected = true;
        let root = settings.get("STATIC_ROOT");
        change.static_root = root.is_none_or(|(value, _, _)| last_text(value).is_none_or(|it| it.starts_with('/')));
        let manage = if out.migrate.as_ref().is_some_and(|it| it.to_string().contains("manage.py")) {
            vec![format!("{base}manage.py")]
        } else {
            vec!["-m".to_owned(), "django".to_owned()]
        };
        let words: Vec<&str> = std::iter::once("python3")
            .chain(manage.iter().map(String::as_str))
            .chain(["collectstatic", "--noinput", "--verbosity", "0"])
            .collect();
        out.build.push(Command::words(&words));
    }
    if let Some((value, file, line)) = settings.get("MEDIA_ROOT") {
        let folder = last_text(value)
            .filter(|it| !it.trim_matches(['/', '.']).is_empty())
            .map(|it| if it.starts_with('/') { it.to_owned() } else { format!("{HOME}{base}{}", it.trim_end_matches('/')) });
        if folder.is_none() {
            change.media = Some("/srv/media".to_owned());
        }
        let folder = folder.unwrap_or_else(|| "/srv/media".to_owned());
        out.signal(file, line, "uploads are kept in MEDIA_ROOT", format!("a volume at {folder}"));
        out.assume(format!("uploads are kept in a volume at {folder}; Django itself does not serve them without debug mode"));
        out.files.media = Some(folder);
    }
}

/// Without debug mode a project whose URLs have no root answers 404 there.
fn page(python: &Python<'_>, settings: &Settings, out: &mut Recognised) {
    let Some((urls, file, line)) = urls(python, settings) else { return };
    let mut all = Vec::new();
    entries(urls, &mut all);
    let first = |it: &&Value| it.args.first().and_then(Value::text).map(|it| it.trim_start_matches('^').trim_end_matches('$').to_owned());
    // A call that is no path, such as i18n_patterns or a star, may bring a root.
    let has_root = all.iter().any(|it| first(it).is_none_or(|it| it.is_empty()));
    let admin = all
        .iter()
        .find(|it| it.args.get(1).and_then(|it| it.name.as_deref().or(it.call.as_deref())) == Some("admin.site.urls"))
        .and_then(first);
    if let Some(admin) = admin.filter(|_| !has_root && !all.is_empty()) {
        let page = format!("/{}login/", admin);
        out.signal(file, line, "the URLs have no root", format!("{page} is the page to look at"));
        out.page = Some(page);
    }
}

fn urls<'a>(python: &'a Python<'_>, settings: &Settings) -> Option<(&'a Value, &'a str, usize)> {
    let module = settings.get("ROOT_URLCONF")?.0.text()?.to_owned();
    let (file, facts) = python.facts.iter().find(|(path, _)| path.trim_end_matches(".py").replace('/', ".").ends_with(&module))?;
    let (urls, line) = facts.names.get("urlpatterns")?;
    Some((urls, file, *line))
}

fn entries<'a>(value: &'a Value, out: &mut Vec<&'a Value>) {
    if value.call.is_some() {
        out.push(value);
    }
    value.list.iter().flatten().chain(&value.mix).for_each(|it| entries(it, out));
}

fn health(python: &Python<'_>, settings: &Settings) -> Option<(String, usize)> {
    let (urls, _, line) = urls(python, settings)?;
    let mut all = Vec::new();
    paths(urls, &mut all);
    // A path with a view of its own: what is included has paths below it.
    Python::health_of(all.into_iter().map(|it| (it, line)))
}

fn paths<'a>(value: &'a Value, out: &mut Vec<&'a str>) {
    if value.call.as_deref().is_some_and(|it| matches!(it, "path" | "re_path" | "url"))
        && value.args.get(1).is_none_or(|it| it.call.as_deref() != Some("include"))
    {
        out.extend(value.args.first().and_then(Value::text));
    }
    value.list.iter().flatten().chain(&value.mix).for_each(|it| paths(it, out));
}
