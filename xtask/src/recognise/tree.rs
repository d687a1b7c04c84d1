//! The application's files: which there are, and their text. Bounded in number, depth and bytes; no link leads out of the folder.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use walkdir::WalkDir;

use crate::{
    dockerfile::{self, Dockerfile},
    recognise::answers::{self, Answers, Choice, Open, Question},
    regular,
};

/// Folders that hold what others wrote, or what a program made.
const PASSED_OVER: [&str; 20] = [
    ".git",
    ".hg",
    ".svn",
    ".venv",
    "venv",
    "env",
    "virtualenv",
    "site-packages",
    "node_modules",
    "bower_components",
    "__pycache__",
    "target",
    ".tox",
    ".nox",
    ".next",
    ".mypy_cache",
    ".pytest_cache",
    "vendor",
    "snapshots",
    ".terraform",
];
/// Folders whose code is no part of the deployment.
const ASIDE: [&str; 12] =
    ["test", "tests", "testing", "testdata", "docs", "doc", "examples", "example", "benchmarks", "fixtures", "e2e", "__tests__"];
const MOST_FILES: usize = 20_000;
const DEEPEST: usize = 12;
/// Of one file: more is no source.
const MOST_BYTES: u64 = 1_000_000;
/// Of all files together.
const MOST_READ: u64 = 64_000_000;

/// A folder's regular files.
pub(super) struct Tree {
    root: PathBuf,
    /// Relative, with `/`, in an order that does not depend on the file system; the shallow ones first.
    files: Vec<String>,
    names: BTreeSet<String>,
    is_cut: Cell<bool>,
    bytes: Cell<u64>,
    texts: RefCell<BTreeMap<String, Option<String>>>,
    answers: Answers,
    open: RefCell<Vec<Open>>,
}

impl Tree {
    /// Lists the folder. A link counts where it leads to a regular file inside.
    pub(super) fn read(root: &Path, answers: &Answers) -> Result<Tree> {
        let root = root.canonicalize().with_context(|| format!("read {}", root.display()))?;
        fs::read_dir(&root).with_context(|| format!("read {}", root.display()))?;
        let mut files = Vec::new();
        let mut is_cut = false;
        let walk = WalkDir::new(&root).max_depth(DEEPEST).sort_by_file_name().into_iter();
        let is_wanted = |it: &walkdir::DirEntry| {
            let name = it.file_name().to_str().unwrap_or_default();
            it.depth() == 0 || !it.file_type().is_dir() || !PASSED_OVER.contains(&name) && !it.path().join("pyvenv.cfg").is_file()
        };
        // What cannot be read is passed over: the build will tell.
        for entry in walk.filter_entry(is_wanted).flatten() {
            let kind = entry.file_type();
            let inside = || entry.path().canonicalize().is_ok_and(|it| it.starts_with(&root) && it.is_file());
            let is_listed = kind.is_file() || kind.is_symlink() && inside();
            if !is_listed {
                continue;
            }
            if files.len() == MOST_FILES {
                is_cut = true;
                break;
            }
            if let Some(name) = entry.path().strip_prefix(&root).ok().and_then(Path::to_str) {
                files.push(name.to_owned());
            }
        }
        files.sort_by_key(|it| (it.matches('/').count(), it.clone()));
        let names = files.iter().cloned().collect();
        let (is_cut, bytes, texts, open) = (Cell::new(is_cut), Cell::new(0), RefCell::default(), RefCell::default());
        Ok(Tree { root, files, names, is_cut, bytes, texts, answers: answers.clone(), open })
    }

    pub(super) fn answers(&self) -> &Answers {
        &self.answers
    }

    /// Chooses among candidates: what was answered on a terminal, else the default, which leaves the question open where there are several.
    pub(super) fn pick(&self, question: Question, candidates: &[String], default: Option<usize>, assumed: Vec<String>) -> Option<Choice> {
        let (choice, open) = answers::choose(self.answers.asked(question), question, candidates, default, assumed);
        self.open.borrow_mut().extend(open);
        choice
    }

    /// Leaves a question open whose answer is any text.
    pub(super) fn leave_open(&self, question: Question, default: Option<String>, assumed: Vec<String>) {
        let mut open = self.open.borrow_mut();
        open.retain(|it| it.question != question);
        open.push(Open { question, candidates: Vec::new(), default, assumed });
    }

    /// The questions that were left open since the last call.
    pub(super) fn take_open(&self) -> Vec<Open> {
        self.open.take()
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn files(&self) -> &[String] {
        &self.files
    }

    pub(super) fn is_cut(&self) -> bool {
        self.is_cut.get()
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.names.contains(path)
    }

    /// The first of the paths that is there.
    pub(super) fn first<'a>(&self, paths: &[&'a str]) -> Option<&'a str> {
        paths.iter().copied().find(|it| self.has(it))
    }

    /// The files with that ending whose code belongs to the deployment.
    pub(super) fn code<'a>(&'a self, ending: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.files.iter().map(String::as_str).filter(move |it| it.ends_with(ending) && !is_aside(it))
    }

    /// The text of a file; nothing if it is missing, too large, or not text.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        if let Some(known) = self.texts.borrow().get(path) {
            return known.clone();
        }
        let text = self.has(path).then(|| self.load(path)).flatten();
        self.texts.borrow_mut().insert(path.to_owned(), text.clone());
        text
    }

    fn load(&self, path: &str) -> Option<String> {
        if self.bytes.get() >= MOST_READ {
            self.is_cut.set(true);
            return None;
        }
        let mut bytes = Vec::new();
        regular::open(&self.root.join(path)).ok()?.take(MOST_BYTES + 1).read_to_end(&mut bytes).ok()?;
        self.bytes.set(self.bytes.get() + bytes.len() as u64);
        (bytes.len() as u64 <= MOST_BYTES).then(|| String::from_utf8(bytes).ok()).flatten()
    }

    /// A TOML file as a table; nothing where it cannot be read.
    pub(super) fn toml(&self, path: &str) -> Option<toml::Table> {
        self.text(path)?.parse().ok()
    }

    pub(super) fn json(&self, path: &str) -> Option<serde_json::Value> {
        serde_json::from_str(self.text(path)?.trim_start_matches('\u{feff}')).ok()
    }

    pub(super) fn dockerfile(&self, path: &str) -> Option<Dockerfile> {
        self.text(path).map(|it| dockerfile::parse(&it))
    }

    /// The number of the first line that contains the words; 0 where none does.
    pub(super) fn line_of(&self, path: &str, words: &str) -> usize {
        self.text(path).and_then(|it| it.lines().position(|it| it.contains(words))).map_or(0, |it| it + 1)
    }
}

/// Whether the path is below a folder of tests, documents or examples.
pub(super) fn is_aside(path: &str) -> bool {
    let folders = path.rsplit_once('/').map_or("", |it| it.0);
    let name = path.rsplit('/').next().unwrap_or(path);
    folders.split('/').any(|it| ASIDE.contains(&it))
        || name.starts_with("test_")
        || name.starts_with("conftest")
        || name.contains("_test.")
        || name.contains(".test.")
        || name.contains(".spec.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_inside_the_folder_are_listed_and_no_read_waits() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join("app").join(name);
        fs::create_dir_all(at("node_modules/x")).unwrap();
        fs::create_dir_all(at("a/b")).unwrap();
        for name in ["manage.py", "node_modules/x/index.js", "a/b/deep.py"] {
            fs::write(at(name), "text").unwrap();
        }
        fs::write(dir.path().join("secret"), "outside").unwrap();
        std::os::unix::fs::symlink(dir.path().join("secret"), at("out.py")).unwrap();
        std::os::unix::fs::symlink("manage.py", at("in.py")).unwrap();
        std::os::unix::fs::symlink(".", at("loop")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe.py"), rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o600), 0).unwrap();
        let tree = Tree::read(&dir.path().join("app"), &Answers::default()).unwrap();
        assert_eq!(tree.files(), ["in.py", "manage.py", "a/b/deep.py"]);
        assert_eq!(tree.text("out.py"), None);
        assert_eq!(tree.text("pipe.py"), None);
        assert_eq!(tree.text("in.py").as_deref(), Some("text"));
    }

    #[test]
    fn a_file_that_is_too_large_or_no_text_has_no_text() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("large.json"), vec![b' '; 1_000_001]).unwrap();
        fs::write(dir.path().join("binary.json"), [0xff, 0xfe]).unwrap();
        let tree = Tree::read(dir.path(), &Answers::default()).unwrap();
        assert_eq!((tree.text("large.json"), tree.text("binary.json")), (None, None));
        assert!(tree.json("large.json").is_none());
    }

    #[test]
    fn code_of_tests_and_examples_is_aside() {
        for path in ["tests/app.py", "a/examples/main.go", "test_app.py", "src/app.test.js", "server_test.go", "docs/conf.py"] {
            assert!(is_aside(path), "{path}");
        }
        for path in ["app.py", "contest/app.py", "src/latest.py"] {
            assert!(!is_aside(path), "{path}");
        }
    }
}
