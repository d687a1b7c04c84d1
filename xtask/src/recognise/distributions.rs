//! The distributions that an application's files ask for, and those that a deployment needs besides.

use std::collections::BTreeMap;

use crate::{
    recognise::{
        Change, Recognised, Stack,
        facts::{All, Call, Facts, Value},
        tree::{Tree, is_aside},
    },
    requirements::source::{Source, lines},
};

/// The change that brings what a deployment needs and the application does not name.
///
/// Lines behind its requirements.txt; where another file names the dependencies, a requirements.txt with the direct ones, held to the
/// lock's versions; where setup.py does, a requirements.txt with its list; where the imports do, a file that imports them.
pub(super) fn requirements(tree: &Tree, out: &mut Recognised) {
    if out.extra.is_empty() && out.stated.is_empty() || !matches!(out.stack, Stack::Python | Stack::Site | Stack::Node) {
        let lock = out.packages.as_ref().and_then(|it| it.lock.as_deref());
        if out.stack == Stack::Python && matches!(lock, Some("pyproject.toml" | "uv.lock")) {
            for (name, _) in extras(tree) {
                out.signal("pyproject.toml", tree.line_of("pyproject.toml", &name), format!("has an extra {name}"), "it is installed");
                out.groups.push(name);
            }
        }
        return;
    }
    let extra: Vec<&str> = out.extra.iter().map(String::as_str).collect();
    let names = extra.join(", ");
    let source = Source::of(tree.root(), tree.has("requirements.txt"), &[]);
    let is_python = out.stack == Stack::Python;
    let (file, text, how) = match source {
        Source::Imports if is_python && out.stated.is_empty() => {
            let modules =
                extra.iter().map(|it| format!("import {}  # noqa: F401\n", it.split('[').next().unwrap_or(it))).collect::<String>();
            let text = format!(
                "\"\"\"Nothing imports this file: it names what the deployment runs, where imports name the requirements.\"\"\"\n\n{modules}"
            );
            ("pocdeploy_imports.py", text, "a patch adds a file that imports them")
        }
        Source::Requirements if is_python => {
            ("requirements.txt", format!("{}\n", extra.join("\n")), "a patch adds them to requirements.txt")
        }
        _ => {
            let known = if is_python { wanted(tree, &[]) } else { BTreeMap::new() };
            let mut lines: Vec<String> = if is_python { direct(tree) } else { Vec::new() };
            lines.extend(out.stated.iter().cloned());
            for line in &mut lines {
                let end =
                    line.find(|it: char| !it.is_alphanumeric() && !matches!(it, '-' | '_' | '.' | '[' | ']' | ',')).unwrap_or(line.len());
                let name = line[..end].split('[').next().unwrap_or_default().to_owned();
                // A marker stays; the lock's version takes the place of a range.
                let marker = line.find(';').map(|at| line[at..].to_owned()).unwrap_or_default();
                if let Some(Some(version)) = known.get(&normal(&name)) {
                    *line = format!("{}=={version} {marker}", &line[..end]).trim_end().to_owned();
                }
            }
            lines.extend(extra.iter().map(|it| (*it).to_owned()));
            (
                "requirements.txt",
                format!("{}\n", lines.join("\n")),
                "a patch writes a requirements.txt with the direct dependencies and these",
            )
        }
    };
    out.assumed.push(match names.as_str() {
        "" => "requirements are not pinned from setup.py or setup.cfg: a patch writes a requirements.txt with the same list".to_owned(),
        names => format!("the deployment needs {names}, which nothing names: {how}"),
    });
    out.changes.push(Change::Requirements { file: file.to_owned(), text });
}

/// The direct dependencies of pyproject.toml or a Pipfile, in pip's words.
fn direct(tree: &Tree) -> Vec<String> {
    let project = tree.toml("pyproject.toml").unwrap_or_default();
    let list = project.get("project").and_then(|it| it.get("dependencies")).and_then(|it| it.as_array());
    let mut out: Vec<String> = list.into_iter().flatten().filter_map(|it| it.as_str()).map(str::to_owned).collect();
    out.extend(extras(tree).into_iter().flat_map(|it| it.1));
    let poetry = project.get("tool").and_then(|it| it.get("poetry")?.get("dependencies")).and_then(|it| it.as_table()).cloned();
    let pipfile = tree.toml("Pipfile").and_then(|it| it.get("packages")?.as_table().cloned());
    for (name, value) in poetry.into_iter().chain(pipfile).flatten().filter(|it| it.0 != "python") {
        let extras = value
            .get("extras")
            .and_then(|it| it.as_array())
            .into_iter()
            .flatten()
            .filter_map(|it| it.as_str())
            .collect::<Vec<_>>()
            .join(",");
        out.push(if extras.is_empty() { name } else { format!("{name}[{extras}]") });
    }
    out
}

/// Requirements that setup.py's call or setup.cfg states, with the file and the line. setup.py is not run: a list that it computes is not
/// seen.
pub(super) fn stated(tree: &Tree, facts: &All) -> Option<(&'static str, usize, Vec<String>)> {
    let call =
        facts.get("setup.py").and_then(|it| it.calls.iter().find(|it| it.last() == "setup" && it.4.contains_key("install_requires")));
    let (file, line, list): (_, _, Vec<String>) = match call {
        Some(call) => {
            let extras = call.4.get("extras_require").and_then(|it| it.dict.as_ref());
            let needed = extras.into_iter().flatten().filter(|it| EXTRAS.contains(&normal(it.0).as_str())).map(|it| it.1);
            let lists = std::iter::once(&call.4["install_requires"]).chain(needed).flat_map(|it| it.list.iter().flatten());
            ("setup.py", call.2, lists.filter_map(Value::text).map(built).collect())
        }
        None => {
            let text = tree.text("setup.cfg")?;
            let inside = text.lines().skip_while(|it| !it.trim_start().starts_with("install_requires")).skip(1);
            let list = inside.take_while(|it| it.starts_with([' ', '\t'])).map(|it| it.trim().to_owned());
            let list = list.filter(|it| !it.is_empty() && !it.starts_with('#')).collect();
            ("setup.cfg", tree.line_of("setup.cfg", "install_requires"), list)
        }
    };
    (!list.is_empty()).then_some((file, line, list))
}

/// Names of extras that bring what a deployment needs: PostgreSQL, or the server of a package that is also a library or a command.
const EXTRAS: [&str; 7] = ["postgresql", "postgres", "pg", "psql", "psycopg", "psycopg2", "server"];

/// The extras of pyproject.toml that a deployment needs, with their requirements.
fn extras(tree: &Tree) -> Vec<(String, Vec<String>)> {
    let project = tree.toml("pyproject.toml").unwrap_or_default();
    let all = project.get("project").and_then(|it| it.get("optional-dependencies")).and_then(|it| it.as_table());
    let needed = all.into_iter().flatten().filter(|it| EXTRAS.contains(&normal(it.0).as_str()));
    let list = |it: &toml::Value| it.as_array().into_iter().flatten().filter_map(|it| it.as_str()).map(built).collect();
    needed.map(|(name, it)| (name.clone(), list(it))).collect()
}

/// psycopg2 comes as a wheel under another name alone, and the image has no compiler.
fn built(line: &str) -> String {
    let rest = line.strip_prefix("psycopg2").filter(|it| !it.starts_with(['-', '_', 'c']));
    rest.map_or_else(|| line.to_owned(), |rest| format!("psycopg2-binary{rest}"))
}

/// Metadata for an application that asks for its own version as an installed package, which it is not in the image.
pub(super) fn metadata(tree: &Tree, facts: &All, out: &mut Recognised) {
    let project = tree.toml("pyproject.toml").unwrap_or_default();
    let table = project.get("project").or_else(|| project.get("tool").and_then(|it| it.get("poetry")));
    let said = |key: &str| table.and_then(|it| it.get(key)?.as_str()).map(str::to_owned);
    let Some(name) = said("name") else { return };
    let asks = |it: &&Call| {
        let is_own = |it: &Value| it.text().is_some_and(|it| normal(it) == normal(&name)) || it.name.as_deref() == Some("__package__");
        ["version", "distribution", "metadata", "get_distribution"].contains(&it.last()) && it.3.first().is_some_and(is_own)
    };
    let is_reader = |it: &Facts| it.imports("importlib.metadata") || it.imports("pkg_resources");
    let files = facts.iter().filter(|(path, it)| !is_aside(path) && is_reader(it));
    let Some((path, line)) = files.filter_map(|(path, it)| Some((path, it.calls.iter().find(asks)?.2))).next() else { return };
    if tree.files().iter().any(|it| it.matches('/').count() == 1 && it.contains(".egg-info/")) {
        return;
    }
    // An unpacked source archive has the version that its build computed.
    let built = tree.text("PKG-INFO").and_then(|it| it.lines().find_map(|it| it.strip_prefix("Version: ").map(str::to_owned)));
    let version = said("version").or(built).unwrap_or_else(|| "0".to_owned());
    out.signal(path, line, "asks for its own version as an installed package", "a patch adds the metadata");
    let folder = format!("{}-{version}.dist-info", name.replace(['-', '.'], "_"));
    let text = format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n");
    out.changes.push(Change::Metadata { file: format!("{folder}/METADATA"), text });
    // A configuration such as `use = egg:shop` finds the application by them.
    let groups = table.and_then(|it| it.get("entry-points")?.as_table());
    let mut text = String::new();
    for (group, points) in groups.into_iter().flatten() {
        text.push_str(&format!("[{group}]\n"));
        let points = points.as_table().into_iter().flatten().filter_map(|(name, it)| Some((name, it.as_str()?)));
        points.for_each(|(name, it)| text.push_str(&format!("{name} = {it}\n")));
    }
    if !text.is_empty() {
        out.changes.push(Change::Metadata { file: format!("{folder}/entry_points.txt"), text });
    }
}

/// pip's rule for names: case, `_` and `.` do not matter.
fn normal(name: &str) -> String {
    let mut out = String::new();
    for sign in name.trim().chars() {
        let sign = if matches!(sign, '_' | '.') { '-' } else { sign.to_ascii_lowercase() };
        if !(sign == '-' && out.ends_with('-')) {
            out.push(sign);
        }
    }
    out
}

/// Distributions that the application's files ask for. A lock's versions go before those of loose requirements.
/// `stated`: those that code names.
pub(super) fn wanted(tree: &Tree, stated: &[String]) -> BTreeMap<String, Option<String>> {
    let mut out = BTreeMap::new();
    let mut add = |text: &str| {
        let end = text.find(|it: char| !it.is_alphanumeric() && !matches!(it, '-' | '_' | '.')).unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        let rest = rest.trim_start().trim_start_matches('[').split(']').next_back().unwrap_or_default();
        let pin = rest.trim().strip_prefix("==").map(|it| it.trim().split([' ', ';', ',', '\\']).next().unwrap_or_default().to_owned());
        let pin = pin.filter(|it| !it.is_empty() && !it.contains('*'));
        if !name.is_empty() {
            let known = out.entry(normal(name)).or_insert(None);
            *known = known.take().or(pin);
        }
    };
    stated.iter().for_each(|it| add(it));
    let mut files = vec!["requirements.txt".to_owned()];
    let mut next = 0;
    while next < files.len() && files.len() < 50 {
        let file = files[next].clone();
        next += 1;
        let folder = file.rsplit_once('/').map_or(String::new(), |it| format!("{}/", it.0));
        for line in lines(&tree.text(&file).unwrap_or_default()) {
            match line.strip_prefix("-r").or_else(|| line.strip_prefix("--requirement")) {
                Some(name) => {
                    let name = joined(&folder, name.trim_start_matches([' ', '=']));
                    if !files.contains(&name) {
                        files.push(name);
                    }
                }
                None if !line.starts_with('-') => add(&line),
                None => {}
            }
        }
    }
    let project = tree.toml("pyproject.toml").unwrap_or_default();
    let list = project.get("project").and_then(|it| it.get("dependencies")).and_then(|it| it.as_array());
    list.into_iter().flatten().filter_map(|it| it.as_str()).for_each(&mut add);
    extras(tree).into_iter().flat_map(|it| it.1).for_each(|it| add(&it));
    let poetry = project.get("tool").and_then(|it| it.get("poetry")?.get("dependencies")).and_then(|it| it.as_table());
    poetry.into_iter().flatten().filter(|(name, _)| *name != "python").for_each(|(name, _)| add(name));
    if let Some(pipfile) = tree.toml("Pipfile") {
        pipfile.get("packages").and_then(|it| it.as_table()).into_iter().flatten().for_each(|(name, _)| add(name));
    }
    for (file, list) in [("uv.lock", "package"), ("poetry.lock", "package"), ("pylock.toml", "packages")] {
        for package in tree.toml(file).and_then(|it| it.get(list)?.as_array().cloned()).unwrap_or_default() {
            if let (Some(name), Some(version)) =
                (package.get("name").and_then(|it| it.as_str()), package.get("version").and_then(|it| it.as_str()))
            {
                out.insert(normal(name), Some(version.to_owned()));
            }
        }
    }
    if let Some(lock) = tree.json("Pipfile.lock") {
        for (name, package) in lock["default"].as_object().into_iter().flatten() {
            out.insert(normal(name), package["version"].as_str().map(|it| it.trim_start_matches("==").to_owned()));
        }
    }
    out
}

/// A path beside another, without its `..`.
fn joined(folder: &str, name: &str) -> String {
    let mut out: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(name.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(out.pop()),
            part => out.push(part),
        }
    }
    out.join("/")
}
