//! Facts of Python files, as `facts.py` reads them with Python's own grammar.

use std::{collections::BTreeMap, fs, time::Duration};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::{
    recognise::tree::{Tree, is_aside},
    tool,
};

/// Run by `python3 -I -S`: nothing of the user's Python or of the application is imported.
const SCRIPT: &str = include_str!("facts.py");
/// Files that are parsed at most.
const MOST: usize = 600;
const LIMIT: Duration = Duration::from_secs(60);

/// Words that a file must hold for its facts to matter. They only save time; what counts is what the parser says.
const WORDS: [&str; 22] = [
    "Flask",
    "FastAPI",
    "Starlette",
    "Celery",
    "BaseSettings",
    "BaseConfig",
    "INSTALLED_APPS",
    "DATABASES",
    "DATABASE_U",
    "SQLALCHEMY",
    "ROOT_URLCONF",
    "environ",
    "getenv",
    "config(",
    "create_engine",
    "create_async_engine",
    "psycopg",
    "sqlite3",
    "asyncpg",
    "__main__",
    "importlib.metadata",
    "pkg_resources",
];

/// Where a constant stands: line, column in bytes, last line, column behind its end.
pub type Span = (usize, usize, usize, usize);

/// A value as it is written.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(super) struct Value {
    pub(super) lit: Option<serde_json::Value>,
    pub(super) list: Option<Vec<Value>>,
    pub(super) dict: Option<BTreeMap<String, Value>>,
    pub(super) env: Option<String>,
    pub(super) default: Option<Box<Value>>,
    #[serde(rename = "as")]
    pub(super) kind: Option<String>,
    pub(super) call: Option<String>,
    pub(super) args: Vec<Value>,
    pub(super) kw: BTreeMap<String, Value>,
    pub(super) split: Option<String>,
    pub(super) of: Option<Box<Value>>,
    pub(super) mix: Vec<Value>,
    pub(super) name: Option<String>,
    pub(super) span: Option<Span>,
    pub(super) line: usize,
}

impl Value {
    pub(super) fn text(&self) -> Option<&str> {
        self.lit.as_ref()?.as_str()
    }

    pub(super) fn is_true(&self) -> bool {
        self.lit == Some(serde_json::Value::Bool(true))
    }

    /// Every variable that the value reads.
    pub(super) fn variables(&self) -> Vec<&str> {
        let mut out = Vec::new();
        self.collect(&mut out);
        out
    }

    fn collect<'a>(&'a self, out: &mut Vec<&'a str>) {
        out.extend(self.env.as_deref());
        let inner = self.list.iter().flatten().chain(self.dict.iter().flat_map(|it| it.values())).chain(&self.args).chain(self.kw.values());
        for it in inner.chain(&self.mix).chain(self.of.as_deref()).chain(self.default.as_deref()) {
            it.collect(out);
        }
    }
}

/// A call: what it is assigned to, what is called, where.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(super) struct Call(
    pub(super) Option<String>,
    pub(super) String,
    pub(super) usize,
    pub(super) Vec<Value>,
    pub(super) BTreeMap<String, Value>,
    pub(super) bool,
);

impl Call {
    /// The last part of what is called: `Flask` of `flask.Flask`.
    pub(super) fn last(&self) -> &str {
        self.1.rsplit('.').next().unwrap_or(&self.1)
    }
}

/// A function: name, line, what its result is made by, how many arguments it must be given.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(super) struct Function(pub(super) String, pub(super) usize, pub(super) Option<String>, pub(super) usize);

/// A class: name, line, bases, fields, prefix of its variables.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(super) struct Class(
    pub(super) String,
    pub(super) usize,
    pub(super) Vec<String>,
    pub(super) BTreeMap<String, (Option<Value>, usize)>,
    pub(super) String,
);

/// One file's facts.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(super) struct Facts {
    pub(super) error: Option<String>,
    pub(super) line: Option<usize>,
    pub(super) imports: Vec<(String, usize)>,
    pub(super) stars: Vec<(String, usize, usize)>,
    pub(super) names: BTreeMap<String, (Value, usize)>,
    pub(super) calls: Vec<Call>,
    pub(super) functions: Vec<Function>,
    pub(super) classes: Vec<Class>,
    pub(super) routes: Vec<(String, usize)>,
    /// Variables that are set: name, value, whether only as a default, line.
    pub(super) sets: Vec<(Option<String>, Value, bool, usize)>,
    pub(super) env: Vec<(Option<String>, usize, bool)>,
    pub(super) main: Option<usize>,
    /// An import may stand after this line.
    pub(super) doc: usize,
}

impl Facts {
    pub(super) fn imports(&self, module: &str) -> bool {
        self.imports.iter().any(|(it, _)| it == module || it.strip_prefix(module).is_some_and(|it| it.starts_with('.')))
    }
}

/// All files' facts, by path.
pub(super) type All = BTreeMap<String, Facts>;

/// Reads the files that can matter. Nothing where the machine has no `python3`.
pub(super) fn read(tree: &Tree) -> Result<Option<All>> {
    let may_matter = |path: &&str| {
        let name = path.rsplit('/').next().unwrap_or(path);
        let is_known =
            ["manage.py", "wsgi.py", "asgi.py", "settings.py", "env.py", "app.py", "main.py", "urls.py", "setup.py"].contains(&name);
        is_known || path.contains("settings/") || tree.text(path).is_some_and(|it| WORDS.iter().any(|word| it.contains(word)))
    };
    let chosen: Vec<&str> = tree.code(".py").filter(|it| !is_aside(it) && !it.contains('\n')).filter(may_matter).take(MOST).collect();
    if chosen.is_empty() {
        return Ok(Some(All::new()));
    }
    let dir = tempfile::tempdir().context("make a folder for the reading of Python files")?;
    let (list, out) = (dir.path().join("list"), dir.path().join("facts"));
    fs::write(&list, chosen.join("\n")).context("list the Python files")?;
    let (Some(root), Some(list), Some(answer)) = (tree.root().to_str(), list.to_str(), out.to_str()) else { return Ok(None) };
    if tool::ask("python3", &["-I", "-S", "-c", SCRIPT, root, list, answer], LIMIT).is_none() {
        return Ok(None);
    }
    let text = fs::read(&out).context("read the facts of Python files")?;
    serde_json::from_slice(&text).map(Some).context("read the facts of Python files")
}
