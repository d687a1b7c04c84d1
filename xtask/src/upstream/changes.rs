//! What a new version of the source changes for a deployment: dependencies, migrations, settings, and files about containers. Read from the
//! files of both versions; nothing is run.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::Path,
    sync::LazyLock,
};

use regex::Regex;
use serde::Serialize;
use walkdir::WalkDir;

/// Files larger than this are data.
const MOST: u64 = 1 << 20;
/// The number of lines of each kind in a text.
const SHOWN: usize = 30;

/// The changes, in words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    pub dependencies: Vec<String>,
    pub migrations: Vec<String>,
    pub settings: Vec<String>,
    /// Dockerfiles, compose files, charts, manifests.
    pub containers: Vec<String>,
    /// The numbers of new, changed and removed files.
    pub files: [usize; 3],
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [new, changed, gone] = self.files;
        writeln!(f, "files: {new} new, {changed} changed, {gone} gone")?;
        for (name, all) in [
            ("dependencies", &self.dependencies),
            ("migrations", &self.migrations),
            ("settings", &self.settings),
            ("containers", &self.containers),
        ] {
            if !all.is_empty() {
                writeln!(f, "{name}:")?;
            }
            for it in all.iter().take(SHOWN) {
                writeln!(f, "  {it}")?;
            }
            if all.len() > SHOWN {
                writeln!(f, "  and {} more", all.len() - SHOWN)?;
            }
        }
        Ok(())
    }
}

/// The path and the content of each text file.
type Tree = BTreeMap<String, String>;

/// Compares the files below two folders.
pub fn between(old: &Path, new: &Path) -> Changes {
    let (old, new) = (tree(old), tree(new));
    let changed: Vec<&String> = new.keys().filter(|it| old.get(*it).is_some_and(|text| *text != new[*it])).collect();
    let added: Vec<&String> = new.keys().filter(|it| !old.contains_key(*it)).collect();
    let gone: Vec<&String> = old.keys().filter(|it| !new.contains_key(*it)).collect();
    let mut out = Changes { files: [added.len(), changed.len(), gone.len()], ..Changes::default() };
    let (before, after) = (dependencies(&old), dependencies(&new));
    for (name, spec) in &after {
        match before.get(name) {
            None => out.dependencies.push(format!("new: {name} {spec}").trim().to_owned()),
            Some(was) if was != spec => {
                out.dependencies.push(format!("changed: {name} {} -> {}", or_any(was), or_any(spec)));
            }
            Some(_) => {}
        }
    }
    out.dependencies.extend(before.keys().filter(|it| !after.contains_key(*it)).map(|it| format!("gone: {it}")));
    for (word, names) in [("new", &added), ("changed", &changed), ("gone", &gone)] {
        out.migrations.extend(names.iter().filter(|it| is_migration(it)).map(|it| format!("{word}: {it}")));
        out.containers.extend(names.iter().filter(|it| is_container(it)).map(|it| format!("{word}: {it}")));
    }
    let (before, after) = (settings(&old), settings(&new));
    out.settings.extend(after.iter().filter(|it| !before.contains_key(it.0)).map(|(name, file)| format!("new: {name} ({file})")));
    out.settings.extend(before.iter().filter(|it| !after.contains_key(it.0)).map(|(name, file)| format!("gone: {name} ({file})")));
    out
}

fn or_any(spec: &str) -> &str {
    if spec.is_empty() { "any" } else { spec }
}

fn tree(root: &Path) -> Tree {
    let mut out = Tree::new();
    for entry in WalkDir::new(root).sort_by_file_name().into_iter().flatten() {
        let is_small = entry.metadata().is_ok_and(|it| it.len() <= MOST);
        let Ok(name) = entry.path().strip_prefix(root) else { continue };
        if !entry.file_type().is_file() || name.iter().any(|it| it == ".git" || it == "node_modules") {
            continue;
        }
        let bytes = if is_small { fs::read(entry.path()).unwrap_or_default() } else { Vec::new() };
        out.insert(name.display().to_string(), String::from_utf8_lossy(&bytes).into_owned());
    }
    out
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Whether the file is at the top, or one folder below: deeper ones belong to examples and tests.
fn is_near(path: &str) -> bool {
    let is_aside = |it: &str| ["doc", "docs", "test", "tests", "example", "examples"].contains(&it);
    path.split_once('/').is_none_or(|(folder, rest)| !is_aside(folder) && !rest.contains('/'))
}

/// Whether a part of a package's dependencies (an extra) is for its developers.
fn is_for_developers(extra: &str) -> bool {
    ["dev", "test", "doc", "lint", "style", "typ", "ci", "build"].iter().any(|it| extra.trim().to_ascii_lowercase().starts_with(it))
}

/// All dependencies by name, with what each requires of the version.
fn dependencies(tree: &Tree) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    // A package's own list of what it requires counts before the files that it was made from.
    let order = |it: &&String| match file_name(it) {
        "PKG-INFO" | "METADATA" => 0,
        "requires.txt" => 1,
        _ => 2,
    };
    let mut names: Vec<&String> = tree.keys().filter(|it| is_near(it)).collect();
    names.sort_by_key(order);
    for path in names {
        for (name, spec) in of_file(file_name(path), &tree[path]) {
            out.entry(name).or_insert(spec);
        }
    }
    out
}

fn of_file(name: &str, text: &str) -> Vec<(String, String)> {
    let lower = name.to_ascii_lowercase();
    let python = |it: &str| requirement(it);
    match lower.as_str() {
        "pkg-info" | "metadata" => {
            let head = text.split("\n\n").next().unwrap_or_default();
            let extra = |it: &str| it.split("extra ==").nth(1).map(|it| it.trim_matches([' ', '"', '\'', ')']).to_owned());
            let lines = head.lines().filter_map(|it| it.strip_prefix("Requires-Dist:"));
            lines.filter(|it| extra(it).is_none_or(|it| !is_for_developers(&it))).filter_map(python).collect()
        }
        "requires.txt" => {
            let (mut out, mut counts) = (Vec::new(), true);
            for line in text.lines() {
                // An extra's section begins with its name in brackets; a marker may follow the name.
                if let Some(extra) = line.strip_prefix('[') {
                    counts = !is_for_developers(extra.trim_end_matches(']').split(':').next().unwrap_or_default());
                } else if counts {
                    out.extend(python(line));
                }
            }
            out
        }
        "pyproject.toml" => {
            let Ok(table) = text.parse::<toml::Table>() else { return Vec::new() };
            let listed = table.get("project").and_then(|it| it.get("dependencies")).and_then(toml::Value::as_array);
            let poetry =
                table.get("tool").and_then(|it| it.get("poetry")).and_then(|it| it.get("dependencies")).and_then(toml::Value::as_table);
            let listed = listed.into_iter().flatten().filter_map(|it| python(it.as_str()?));
            listed
                .chain(poetry.into_iter().flatten().filter(|it| it.0 != "python").map(|(name, it)| (canonical(name), version(it))))
                .collect()
        }
        "cargo.toml" => {
            let Ok(table) = text.parse::<toml::Table>() else { return Vec::new() };
            let found = table.get("dependencies").and_then(toml::Value::as_table);
            found.into_iter().flatten().map(|(name, it)| (name.clone(), version(it))).collect()
        }
        "package.json" => {
            let Ok(value) = serde_json::from_str::<serde_json::Value>(text) else { return Vec::new() };
            let found = value["dependencies"].as_object().cloned().unwrap_or_default();
            found.into_iter().map(|(name, it)| (name, it.as_str().unwrap_or_default().to_owned())).collect()
        }
        "go.mod" => {
            let lines = text.lines().map(|it| it.trim().trim_start_matches("require ")).filter(|it| !it.contains("// indirect"));
            let pairs = lines.filter_map(|it| it.split_once(' ')).filter(|(name, version)| name.contains('.') && version.starts_with('v'));
            pairs.map(|(name, it)| (name.to_owned(), it.to_owned())).collect()
        }
        _ if lower.starts_with("requirements")
            && (lower.ends_with(".txt") || lower.ends_with(".in"))
            && !lower.contains("dev")
            && !lower.contains("test") =>
        {
            text.lines().filter_map(python).collect()
        }
        _ => Vec::new(),
    }
}

fn version(of: &toml::Value) -> String {
    let text = of.as_str().or_else(|| of.get("version").and_then(toml::Value::as_str));
    text.unwrap_or_default().to_owned()
}

fn canonical(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '.'], "-")
}

/// Name and version of a line of requirements (PEP 508); `None` for options, comments and paths.
fn requirement(line: &str) -> Option<(String, String)> {
    let line = line.split(" #").next().unwrap_or_default().split(';').next().unwrap_or_default().trim().trim_end_matches('\\').trim();
    let end = line.find(|it: char| !(it.is_ascii_alphanumeric() || "-_.".contains(it))).unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    if !name.starts_with(|it: char| it.is_ascii_alphanumeric()) || rest.starts_with([':', '/', '+']) {
        return None;
    }
    let rest = rest.trim_start();
    let rest = if rest.starts_with('[') { rest.split_once(']').map_or("", |it| it.1) } else { rest };
    let mut parts: Vec<&str> = rest.trim().trim_matches(['(', ')']).split(',').map(str::trim).filter(|it| !it.is_empty()).collect();
    parts.sort_unstable();
    Some((canonical(name), parts.join(",").replace(' ', "")))
}

fn is_migration(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    let (name, folders) = parts.split_last().map_or(("", &[][..]), |(name, folders)| (*name, folders));
    let is_code = [".py", ".sql", ".js", ".ts", ".rb", ".go", ".rs", ".php"].iter().any(|it| name.ends_with(it));
    let holds = |it: &str| matches!(it.to_ascii_lowercase().as_str(), "migrations" | "migration" | "migrate");
    let is_alembic = || folders.contains(&"versions") && folders.iter().any(|it| it.contains("alembic") || it.contains("migrat"));
    is_code && name != "__init__.py" && (folders.iter().any(|it| holds(it)) || is_alembic())
}

fn is_container(path: &str) -> bool {
    let name = file_name(path).to_ascii_lowercase();
    let is_yaml = name.ends_with(".yaml") || name.ends_with(".yml");
    let folder = path.to_ascii_lowercase();
    name.starts_with("dockerfile")
        || name == "procfile"
        || name == "containerfile"
        || (is_yaml && (name.contains("compose") || name == "chart.yaml"))
        || (is_yaml && ["k8s/", "kubernetes/", "deploy/", "manifests/", "helm/", "charts/"].iter().any(|it| folder.contains(it)))
}

/// The variables of the environment that a program reads, in common languages.
static VARIABLE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r#"(?:environ(?:\.get\(|\[|\.setdefault\(|\.pop\()|getenv\(|Getenv\(|LookupEnv\(|env::var(?:_os)?\(|\benv(?:\.\w+)?\(|\bconfig\()\s*["']([A-Z][A-Z0-9_]{2,})["']|process\.env\.([A-Z][A-Z0-9_]{2,})"#,
    )
    .ok()
});
/// A setting at the top of a Python module.
static SETTING: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?m)^([A-Z][A-Z0-9_]{2,})\s*(?::[^=\n]+)?=[^=]").ok());

/// The settings by name, each with the first file that has it.
fn settings(tree: &Tree) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    let aside: BTreeSet<&str> = ["tests", "test", "docs", "examples", "example", "node_modules"].into();
    for (path, text) in tree {
        if path.split('/').any(|it| aside.contains(it)) || file_name(path).starts_with("test_") {
            continue;
        }
        let name = file_name(path);
        let is_code = [".py", ".js", ".ts", ".mjs", ".go", ".rs"].iter().any(|it| name.ends_with(it));
        let is_settings = name.ends_with(".py") && (name.contains("settings") || name.contains("config") || path.contains("settings/"));
        let mut found = |expression: &Option<Regex>| {
            for captures in expression.iter().flat_map(|it| it.captures_iter(text)) {
                let names = captures.iter().skip(1).flatten();
                for it in names {
                    out.entry(it.as_str().to_owned()).or_insert_with(|| path.clone());
                }
            }
        };
        if is_code {
            found(&VARIABLE);
        }
        if is_settings {
            found(&SETTING);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    #[test]
    fn dependencies_are_read_in_every_form() {
        let of = |name: &str, text: &str| of_file(name, text).into_iter().map(|(name, it)| format!("{name} {it}")).collect::<Vec<_>>();
        assert_eq!(
            of(
                "PKG-INFO",
                "Name: x\nRequires-Dist: Django (>=4.2,<5)\nRequires-Dist: tox; extra == 'dev'\nRequires-Dist: pg; extra == \"server\"\n\nRequires-Dist: y\n"
            ),
            ["django <5,>=4.2", "pg "]
        );
        assert_eq!(of("requires.txt", "a_b>=1\n\n[dev]\nc\n[server:python_version > '3']\nd\n"), ["a-b >=1", "d "]);
        assert_eq!(
            of("requirements.txt", "-r base.txt\n# x\nfoo[bar] == 1.0 ; python_version > '3'\n./local\ngit+https://x/y\n"),
            ["foo ==1.0"]
        );
        assert_eq!(
            of(
                "pyproject.toml",
                "[project]\ndependencies = ['a>1']\n[tool.poetry.dependencies]\npython = '^3'\nb = '^2'\nc = {version = '1'}\n"
            ),
            ["a >1", "b ^2", "c 1"]
        );
        assert_eq!(of("package.json", r#"{"dependencies": {"pg": "^8"}, "devDependencies": {"x": "1"}}"#), ["pg ^8"]);
        assert_eq!(
            of("go.mod", "module x\ngo 1.22\nrequire (\n\tgithub.com/a/b v1.2.3\n\tc.d/e v0.1.0 // indirect\n)\nrequire f.g/h v2.0.0\n"),
            ["github.com/a/b v1.2.3", "f.g/h v2.0.0"]
        );
        assert_eq!(of("Cargo.toml", "[dependencies]\nserde = '1'\ntokio = { version = '2' }\n"), ["serde 1", "tokio 2"]);
        assert_eq!(of("requirements-dev.txt", "x\n"), Vec::<String>::new());
    }

    #[test]
    fn a_new_version_is_described() {
        let old = folder(&[
            ("requirements.txt", "django==4.2\nold\n"),
            ("polls/migrations/0001_initial.py", "1"),
            ("mysite/settings.py", "DEBUG = True\nOLD_NAME = 1\nif X == 1: pass\n"),
            ("Dockerfile", "FROM a"),
            ("data.bin", "1"),
        ]);
        let new = folder(&[
            ("requirements.txt", "django==5.2\nredis\n"),
            ("polls/migrations/0001_initial.py", "1"),
            ("polls/migrations/0002_more.py", "2"),
            ("polls/migrations/__init__.py", ""),
            ("mysite/settings.py", "DEBUG = True\nCACHES: dict = {}\nKEY = os.environ['SITE_KEY']\n"),
            ("tests/test_x.py", "os.environ['ONLY_TEST']"),
            ("server.js", "process.env.PORT_NUMBER"),
            ("Dockerfile", "FROM b"),
        ]);
        let found = between(old.path(), new.path());
        assert_eq!(found.dependencies, ["changed: django ==4.2 -> ==5.2", "new: redis", "gone: old"]);
        assert_eq!(found.migrations, ["new: polls/migrations/0002_more.py"]);
        assert_eq!(
            found.settings,
            [
                "new: CACHES (mysite/settings.py)",
                "new: KEY (mysite/settings.py)",
                "new: PORT_NUMBER (server.js)",
                "new: SITE_KEY (mysite/settings.py)",
                "gone: OLD_NAME (mysite/settings.py)"
            ]
        );
        assert_eq!(found.containers, ["changed: Dockerfile"]);
        assert_eq!(found.files, [4, 3, 1]);
    }

    #[test]
    fn migrations_of_other_tools_are_known() {
        for name in [
            "a/migrations/0001.py",
            "prisma/migrations/1_init/migration.sql",
            "db/migrate/20_x.rb",
            "src/alembic/versions/a.py",
            "ihatemoney/migrations/versions/x.py",
        ] {
            assert!(is_migration(name), "{name}");
        }
        for name in ["a/migrations/__init__.py", "versions/a.py", "docs/migrations.md", "migrate.py"] {
            assert!(!is_migration(name), "{name}");
        }
    }
}
