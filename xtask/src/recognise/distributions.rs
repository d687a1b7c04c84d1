//! The distributions that an application's files ask for, and those that a deployment needs besides.

use std::collections::BTreeMap;

use crate::{
    recognise::{Change, Recognised, Stack, tree::Tree},
    requirements::source::{Source, lines},
};

/// The change that brings what a deployment needs and the application does not name.
///
/// Lines behind its requirements.txt; where another file names the dependencies, a requirements.txt with the direct ones, held to the
/// lock's versions; where the imports do, a file that imports them.
pub(super) fn requirements(tree: &Tree, out: &mut Recognised) {
    if out.extra.is_empty() || !matches!(out.stack, Stack::Python | Stack::Site | Stack::Node) {
        return;
    }
    let extra: Vec<&str> = out.extra.iter().map(String::as_str).collect();
    let names = extra.join(", ");
    let source = Source::of(tree.root(), tree.has("requirements.txt"), &[]);
    let is_python = out.stack == Stack::Python;
    let (file, text, how) = match source {
        Source::Imports if is_python => {
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
            let known = if is_python { wanted(tree) } else { BTreeMap::new() };
            let mut lines: Vec<String> = if is_python { direct(tree) } else { Vec::new() };
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
    out.assumed.push(format!("the deployment needs {names}, which nothing names: {how}"));
    out.changes.push(Change::Requirements { file: file.to_owned(), text });
}

/// The direct dependencies of pyproject.toml or a Pipfile, in pip's words.
fn direct(tree: &Tree) -> Vec<String> {
    let project = tree.toml("pyproject.toml").unwrap_or_default();
    let list = project.get("project").and_then(|it| it.get("dependencies")).and_then(|it| it.as_array());
    let mut out: Vec<String> = list.into_iter().flatten().filter_map(|it| it.as_str()).map(str::to_owned).collect();
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
pub(super) fn wanted(tree: &Tree) -> BTreeMap<String, Option<String>> {
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
    let poetry = project.get("tool").and_then(|it| it.get("poetry")?.get("dependencies")).and_then(|it| it.as_table());
    poetry.into_iter().flatten().filter(|(name, _)| *name != "python").for_each(|(name, _)| add(name));
    if let Some(pipfile) = tree.toml("Pipfile") {
        pipfile.get("packages").and_then(|it| it.as_table()).into_iter().flatten().for_each(|(name, _)| add(name));
    }
    if let Some(text) = tree.text("setup.cfg") {
        let inside = text
            .lines()
            .skip_while(|it| !it.trim_start().starts_with("install_requires"))
            .skip(1)
            .take_while(|it| it.starts_with([' ', '\t']));
        inside.for_each(|it| add(it.trim()));
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
