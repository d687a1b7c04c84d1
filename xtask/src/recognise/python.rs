//! Python applications: their requirements, and which framework's rules they follow.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    recognise::{
        Database, Framework, Packages, Question, Recognised, Service, ServiceKind, Stack, asgi,
        distributions::{metadata, stated, wanted},
        django, facts,
        facts::{All, Facts, Value},
        flask,
        tree::{Tree, is_aside},
        variables,
    },
    requirements::source::Source,
};

/// A Python application, as far as it is read.
pub(super) struct Python<'a> {
    pub(super) tree: &'a Tree,
    pub(super) facts: All,
    /// Distributions that it asks for, by normal name, with the version where a lock or a pin says it.
    pub(super) wanted: BTreeMap<String, Option<String>>,
    pub(super) source: Source,
}

/// Ports that Python's servers have by habit.
pub(super) const PORT: u16 = 8000;

/// Names of paths that answer for probes.
const HEALTH: [&str; 15] = [
    "health",
    "healthz",
    "healthcheck",
    "health-check",
    "health_check",
    "livez",
    "readyz",
    "ready",
    "ping",
    "up",
    "_health",
    "heartbeat",
    "alive",
    "__heartbeat__",
    "__lbheartbeat__",
];

/// Nothing where the folder holds no Python application.
pub(super) fn recognise(tree: &Tree) -> Option<Recognised> {
    let files = ["requirements.txt", "pyproject.toml", "Pipfile", "Pipfile.lock", "setup.py", "setup.cfg", "manage.py", "pylock.toml"];
    let has_code = tree.code(".py").any(|it| it.matches('/').count() < 3);
    if tree.first(&files).is_none() && !has_code {
        return None;
    }
    let facts = facts::read(tree).ok().flatten();
    let source = Source::of(tree.root(), tree.has("requirements.txt"), &[]);
    // A setup.py states what no file that pip reads does.
    let stated = facts.as_ref().and_then(|it| stated(tree, it)).filter(|_| source == Source::Imports);
    let wanted = wanted(tree, stated.as_ref().map_or(&[], |it| it.2.as_slice()));
    let mut python = Python { tree, wanted, source, facts: facts.clone().unwrap_or_default() };
    if facts.is_none() {
        // Without a parser nothing is guessed from Python's text.
        let mut out = Recognised::new(Stack::Python, Framework::Wsgi, PORT);
        out.lacks("Python files cannot be read: there is no `python3` on PATH that runs", "# apt-get install python3");
        return Some(out);
    }
    let (mut out, unread) = match django::recognise(&python) {
        Some(found) => found,
        None => {
            tree.take_open();
            (asgi::recognise(&python).or_else(|| flask::recognise(&python)).or_else(|| plain(&python))?, Vec::new())
        }
    };
    // What the deployment does not read needs no variables.
    python.facts.retain(|path, _| !unread.contains(path));
    python.finish(&mut out, stated);
    Some(out)
}

/// Code without an application object that is known: a program, if it has a file that is run, or if the user says a command.
fn plain(python: &Python<'_>) -> Option<Recognised> {
    let is_near = |it: &str| it.matches('/').count() < 2 && !it.starts_with("scripts/") && it != "setup.py";
    let guarded = || python.each().into_iter().find(|(path, facts)| facts.main.is_some() && is_near(path)).map(|it| it.0);
    let names = ["main.py", "app.py", "server.py", "run.py", "__main__.py"];
    let called = || python.tree.code(".py").find(|it| is_near(it) && names.contains(&it.rsplit('/').next().unwrap_or(it)));
    // Whatever a said command starts is code of this folder.
    let any = || python.tree.answers().start().and_then(|_| python.tree.code(".py").next());
    let file = called().or_else(guarded).or_else(any)?;
    let words = match file.strip_suffix("/__main__.py") {
        Some(package) => format!("\"-m\", \"{}\"", package.replace('/', ".")),
        None => format!("\"{file}\""),
    };
    let mut out = Recognised::new(Stack::Python, Framework::Python, PORT);
    out.signal(file, 0, "is Python without a framework that is known", "only a command can say how it is started");
    out.lacks_answer(
        Question::Start,
        "no Python file makes an application that is known: Django, Flask, FastAPI, Starlette, or a callable of WSGI or ASGI",
        format!("[frontend]\ncommand = [\"python3\", {words}]\nport = {PORT}"),
    );
    python.tree.leave_open(Question::Start, None, Vec::new());
    out.leave_port(python.tree, "no file names one");
    Some(out)
}

impl Python<'_> {
    pub(super) fn wants(&self, name: &str) -> bool {
        self.wanted.contains_key(name)
    }

    /// The version that a lock or a pin says.
    pub(super) fn version(&self, name: &str) -> Option<String> {
        self.wanted.get(name).cloned().flatten()
    }

    /// The file of a module, if it is the application's. `base` is the folder that modules are found in, empty or with a `/` at its end.
    pub(super) fn file_of(&self, base: &str, module: &str) -> Option<String> {
        let path = module.replace('.', "/");
        [format!("{base}{path}.py"), format!("{base}{path}/__init__.py"), format!("{base}src/{path}.py")]
            .into_iter()
            .find(|it| self.tree.has(it))
    }

    /// Facts of files whose code belongs to the deployment, the shallow ones first.
    pub(super) fn each(&self) -> Vec<(&str, &Facts)> {
        let mut out: Vec<(&str, &Facts)> =
            self.facts.iter().map(|(path, it)| (path.as_str(), it)).filter(|(it, _)| !is_aside(it)).collect();
        out.sort_by_key(|(path, _)| (path.matches('/').count(), *path));
        out
    }

    /// The module's name for a file, and the folder that must be on the path: below `src/` that is `src`.
    pub(super) fn module_of(&self, file: &str) -> (String, Option<&'static str>) {
        let (rest, base) = match file.strip_prefix("src/") {
            Some(rest) if !self.tree.has("src/__init__.py") => (rest, Some("src")),
            _ => (file, None),
        };
        let module = rest.trim_end_matches(".py").trim_end_matches("/__init__");
        (module.replace('/', "."), base)
    }

    /// What holds for every framework: versions, files that could not be read, processes beside, health, variables.
    fn finish(&self, out: &mut Recognised, stated: Option<(&str, usize, Vec<String>)>) {
        out.language = self.language(out);
        let manager = match self.source {
            Source::UvLock => "uv",
            Source::PoetryLock => "poetry",
            Source::PipfileLock => "pipenv",
            _ => "pip",
        };
        let mut lock = if self.source == Source::Imports { None } else { Some(self.source.to_string()) };
        if let Some((file, line, list)) = stated {
            out.signal(file, line, "names the dependencies", "they are pinned from a requirements.txt with the same ones");
            lock = Some(file.to_owned());
            out.stated = list;
        } else if let Some(lock) = &lock {
            out.signal(lock, 0, "names the dependencies", format!("they are pinned from it, as {manager} reads it"));
        } else {
            out.assume("no file names the dependencies: they are found from the imports");
        }
        out.packages = Some(Packages { manager: manager.to_owned(), lock });
        for (path, facts) in self.each() {
            if let Some(error) = &facts.error {
                out.signal(path, facts.line.unwrap_or(0), format!("cannot be read ({error})"), "nothing follows from it");
            }
        }
        self.celery(out);
        self.read_variables(out);
        self.driver(out);
        metadata(self.tree, &self.facts, out);
    }

    /// A driver that the code imports and that only an extra of its own names.
    fn driver(&self, out: &mut Recognised) {
        const DRIVERS: [(&str, &str); 3] = [("psycopg", "psycopg[binary]"), ("psycopg2", "psycopg2-binary"), ("asyncpg", "asyncpg")];
        let names = ["psycopg", "psycopg-binary", "psycopg-c", "psycopg2", "psycopg2-binary", "asyncpg", "pg8000"];
        let is_there = names.iter().any(|it| self.wants(it)) || out.extra.iter().any(|it| DRIVERS.iter().any(|known| known.1 == it));
        if self.wanted.is_empty() || is_there || out.database == Database::None {
            return;
        }
        let found = DRIVERS.iter().find_map(|(module, name)| {
            let (path, facts) = self.each().into_iter().find(|(_, it)| it.imports(module))?;
            let line = facts.imports.iter().find(|it| it.0.split('.').next() == Some(*module))?.1;
            Some((path.to_owned(), line, *module, *name))
        });
        if let Some((path, line, module, name)) = found {
            out.signal(&path, line, format!("imports {module}, which no requirement brings"), format!("{name} is added"));
            out.extra.insert(name.to_owned());
        }
    }

    fn language(&self, out: &mut Recognised) -> Option<String> {
        let tree = self.tree;
        let project = tree.toml("pyproject.toml").unwrap_or_default();
        let asked = project.get("project").and_then(|it| it.get("requires-python")).and_then(|it| it.as_str());
        let poetry = project.get("tool").and_then(|it| it.get("poetry")?.get("dependencies")?.get("python")).and_then(|it| it.as_str());
        let pipfile = tree.toml("Pipfile");
        let pipenv = pipfile.as_ref().and_then(|it| it.get("requires")?.get("python_version")?.as_str());
        for file in [".python-version", "runtime.txt"] {
            if let Some(version) = tree
                .text(file)
                .and_then(|it| it.lines().find(|it| !it.trim().is_empty()).map(|it| it.trim().trim_start_matches("python-").to_owned()))
            {
                out.signal(file, 1, version.clone(), "the Python that the application is developed with; the image has the tool's own");
                return Some(version);
            }
        }
        for (file, version) in [("pyproject.toml", asked), ("pyproject.toml", poetry), ("Pipfile", pipenv)] {
            if let Some(version) = version {
                let line =
                    ["requires-python", "python_version", "python"].iter().map(|it| tree.line_of(file, it)).find(|it| *it > 0).unwrap_or(0);
                out.signal(
                    file,
                    line,
                    format!("asks for Python {version}"),
                    "the image's Python is held to it when the requirements are pinned",
                );
                return Some(version.to_owned());
            }
        }
        None
    }

    /// Celery's worker, and its clock where there is a schedule.
    fn celery(&self, out: &mut Recognised) {
        let found = self.each().into_iter().find_map(|(path, facts)| {
            let call = facts.calls.iter().find(|it| it.last() == "Celery" && it.5)?;
            facts.imports("celery").then(|| (path.to_owned(), call.clone()))
        });
        let Some((path, call)) = found.filter(|_| self.wants("celery") || self.wanted.is_empty()) else { return };
        let (module, _) = self.module_of(&path);
        // Celery finds `mysite.celery` from `mysite`, and `app` or `celery` in any module.
        let target = module.strip_suffix(".celery").unwrap_or(&module).to_owned();
        let app = match call.0.as_deref() {
            None | Some("app" | "celery") => target,
            Some(name) => format!("{module}:{name}"),
        };
        let run = |more: &[&str]| {
            let words = ["python3", "-m", "celery", "-A", &app];
            ServiceKind::Process(crate::recognise::Command::words(&[&words[..], more].concat()))
        };
        out.signal(&path, call.2, "makes an application of Celery", "a process `worker` runs it, and its queue is a cache");
        out.services.push(Service { name: "worker".to_owned(), kind: run(&["worker", "--loglevel", "INFO"]) });
        let schedule = self.each().into_iter().find_map(|(path, facts)| {
            let named = facts.names.iter().find(|(name, _)| {
                name.ends_with("beat_schedule") || name.as_str() == "CELERY_BEAT_SCHEDULE" || name.as_str() == "CELERYBEAT_SCHEDULE"
            });
            named.map(|(name, (_, line))| (path.to_owned(), *line, name.clone()))
        });
        if let Some((path, line, name)) = schedule {
            out.signal(&path, line, format!("{name} is set"), "a process `beat` starts the tasks in time");
            // Its record must be written somewhere: the root file system is read-only.
            let file = ["beat", "--loglevel", "INFO", "--schedule", "/tmp/celerybeat-schedule"];
            out.services.push(Service { name: "beat".to_owned(), kind: run(&file) });
        }
        let names: BTreeSet<String> = self.variables().into_iter().filter(|it| variables::is_cache(it)).map(str::to_owned).collect();
        out.services.push(Service { name: "cache".to_owned(), kind: ServiceKind::Cache(names) });
    }

    /// Every variable that the application reads.
    pub(super) fn variables(&self) -> BTreeSet<&str> {
        let mut out = BTreeSet::new();
        for (_, facts) in self.each() {
            out.extend(facts.env.iter().filter_map(|(name, _, _)| name.as_deref()));
        }
        out
    }

    /// What the framework's own rules did not settle: secret key, cache, a database that plain code asks for.
    fn read_variables(&self, out: &mut Recognised) {
        let mut names = self.variables();
        names.extend(out.env.keys().filter(|it| variables::part_of(it).is_some()).map(|_| "").filter(|it| !it.is_empty()));
        if out.database == Database::None && out.framework != Framework::Django {
            let list: Vec<&str> = names.iter().copied().collect();
            out.database = variables::database(&list);
        }
        if out.secret_key.is_none() && out.framework != Framework::Django {
            out.secret_key = names.iter().find(|it| variables::is_secret(it)).map(|it| (*it).to_owned());
        }
        let caches: BTreeSet<String> = names.iter().filter(|it| variables::is_cache(it)).map(|it| (*it).to_owned()).collect();
        let has_cache = out.services.iter().any(|it| matches!(it.kind, ServiceKind::Cache(_)));
        if !caches.is_empty()
            && !has_cache
            && (self.wants("redis") || self.wants("django-redis") || self.wants("valkey") || self.wants("rq"))
        {
            out.signal("", 0, format!("reads {}", caches.iter().cloned().collect::<Vec<_>>().join(", ")), "a cache is given");
            out.services.push(Service { name: "cache".to_owned(), kind: ServiceKind::Cache(caches) });
        }
        // Files in `scripts/` are for the project's own work: the deployment does not run them.
        for (path, facts) in self.each().into_iter().filter(|it| !it.0.starts_with("scripts/")) {
            for (name, line, is_required) in &facts.env {
                let Some(name) = name else { continue };
                let is_known = variables::CONTRACT.contains(&name.as_str())
                    || variables::part_of(name).is_some()
                    || variables::is_secret(name)
                    || variables::is_cache(name);
                let is_given = out.secret_key.as_ref() == Some(name)
                    || out.env.contains_key(name)
                    || matches!(&out.hosts, crate::recognise::Hosts::Variable { name: it, .. } if it == name);
                let is_given = is_given || self.tree.answers().gives(name);
                if *is_required && !is_known && !is_given && name != "DJANGO_SETTINGS_MODULE" {
                    let lines = format!("[frontend.env]\n{name} = \"…\"");
                    if !out.missing.iter().any(|it| it.lines == lines) {
                        out.lacks(format!("{path}:{line} needs the variable {name}, and nothing says its value"), lines);
                    }
                }
            }
        }
    }

    /// The driver's part of SQLAlchemy's URL, and what must be installed for it.
    pub(super) fn sqlalchemy_url(&self, out: &mut Recognised, is_async: bool) -> String {
        let target = "$(PGUSER):$(PGPASSWORD)@$(PGHOST):$(PGPORT)/$(PGDATABASE)";
        if self.wants("asyncpg") && (is_async || !self.wants("psycopg") && !self.wants("psycopg2") && !self.wants("psycopg2-binary")) {
            // asyncpg has a parameter of its own and does not know `sslmode`.
            return format!("postgresql+asyncpg://{target}?ssl=require");
        }
        if !is_async && (self.wants("psycopg2") || self.wants("psycopg2-binary")) {
            return format!("postgresql+psycopg2://{target}");
        }
        if !self.has_psycopg() {
            out.extra.insert("psycopg[binary]".to_owned());
        }
        format!("postgresql+psycopg://{target}")
    }

    fn has_psycopg(&self) -> bool {
        ["psycopg", "psycopg-binary", "psycopg-c"].iter().any(|it| self.wants(it))
    }

    /// Something of PostgreSQL's is installed for Django, or is added.
    pub(super) fn ensure_driver(&self, out: &mut Recognised) {
        if !self.has_psycopg() && !self.wants("psycopg2") && !self.wants("psycopg2-binary") {
            out.extra.insert("psycopg[binary]".to_owned());
        }
    }

    /// The first of the paths that sounds like one for probes.
    pub(super) fn health_of<'b>(paths: impl Iterator<Item = (&'b str, usize)>) -> Option<(String, usize)> {
        paths
            .map(|(path, line)| (path.trim_start_matches('^').trim_end_matches('$'), line))
            .find(|(path, _)| HEALTH.contains(&path.trim_matches('/')))
            .map(|(path, line)| (format!("/{}", path.trim_start_matches('/')), line))
    }
}

/// A text in a value or one of its parts, such as the folder of `BASE_DIR / "media"`.
pub(super) fn last_text(value: &Value) -> Option<&str> {
    let inner = value.mix.iter().rev().chain(value.args.iter().rev());
    value.text().or_else(|| inner.filter_map(last_text).next())
}
