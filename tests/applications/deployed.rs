//! Real applications from an empty folder to a page with a row of PostgreSQL, each on a kind cluster of its own.
//!
//! Packages come from the registries at test time, by version and hash. A row of the table says what a user would write by hand.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use crate::{
    command, ran,
    real::{Package, fetch},
};

/// From a package to a row.
struct Deployed {
    package: Package,
    /// Done in the folder before `init`: words of a program.
    before: &'static [&'static [&'static str]],
    /// Lines of `[frontend]`, written by hand.
    frontend: &'static [&'static str],
    /// Lines of `[frontend.env]`, written by hand.
    env: &'static [&'static str],
    /// curl's words for the request that makes the row; the first is the path. Nothing where the application makes it itself.
    request: &'static [&'static str],
    /// curl's words for the page; the first is the path.
    page: &'static [&'static str],
    /// What the page says.
    text: &'static str,
    /// What shows the row, and the row.
    sql: &'static str,
    row: &'static str,
}

const DEPLOYED: &[Deployed] = &include!("deployed.in");

/// A project in a folder of its own. Dropping it removes the instance, also after a failure.
pub(crate) struct Instance<'a> {
    pub(crate) program: &'a Path,
    pub(crate) folder: PathBuf,
}

impl Instance<'_> {
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut out = command(self.program.to_str().unwrap(), words);
        out.current_dir(&self.folder).env_remove("CARGO_MANIFEST_DIR");
        let vendor = self.folder.join("vendor");
        if vendor.is_dir() {
            out.env("PIP_FIND_LINKS", vendor);
        }
        out
    }

    pub(crate) fn run(&self, words: &[&str]) -> String {
        ran(&mut self.command(words))
    }
}

impl Drop for Instance<'_> {
    fn drop(&mut self) {
        let out = self.command(&["delete", "--yes"]).output().unwrap();
        if !out.status.success() {
            eprintln!("{}", String::from_utf8_lossy(&out.stderr));
        }
    }
}

/// Writes the lines into the file that `init` wrote; how many there are.
fn add(file: &Path, it: &Deployed) -> usize {
    let mut text = fs::read_to_string(file).unwrap();
    let mut count = it.frontend.len() + it.env.len();
    // A line for a key that is there takes its place, as a user would edit it.
    let key = |line: &str| line.split_once(" = ").map(|it| it.0.to_owned());
    let new: Vec<String> = it.frontend.iter().chain(it.env).filter_map(|it| key(it)).collect();
    text = text.lines().filter(|it| key(it).is_none_or(|it| !new.contains(&it))).map(|it| format!("{it}\n")).collect();
    let mut put = |section: &str, lines: &[&str]| {
        let head = format!("[{section}]\n");
        if !lines.is_empty() && !text.contains(&head) {
            text.push_str(&format!("\n{head}"));
            count += 1;
        }
        text = text.replace(&head, &format!("{head}{}", lines.iter().map(|it| format!("{it}\n")).collect::<String>()));
    };
    put("frontend", it.frontend);
    put("frontend.env", it.env);
    fs::write(file, text).unwrap();
    count
}

pub(crate) fn asked(url: &str, words: &[&str]) -> String {
    let (path, more) = words.split_first().unwrap();
    let address = format!("{url}{path}");
    ran(&mut command("curl", &[&["--silent", "--show-error", "--fail", "--location", "--max-time", "30", &address][..], more].concat()))
}

/// The program as users have it: with its files in it, in a folder of its own.
pub(crate) fn installed(dir: &Path) -> PathBuf {
    let root = dir.join("program");
    let words = ["install", "--root", root.to_str().unwrap()];
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut install = command(env!("CARGO_BIN_EXE_xtask"), &words);
    ran(install.current_dir(project).env("HOME", dir).env("XDG_DATA_HOME", dir).env("XDG_CONFIG_HOME", dir));
    root.join("bin/pocdeploy")
}

#[test]
#[ignore = "long: `cargo xtask test --full` runs it"]
fn real_applications_serve_rows_of_postgresql_from_a_real_cluster() {
    let dir = tempfile::tempdir().unwrap();
    let program = installed(dir.path());
    // One alone while its row is written: DEPLOYED=name.
    let only = std::env::var("DEPLOYED").ok();
    let chosen: Vec<&Deployed> = DEPLOYED.iter().filter(|it| only.as_deref().is_none_or(|name| it.package.name == name)).collect();
    assert!(!chosen.is_empty(), "no application is called {only:?}");
    for it in chosen {
        let began = Instant::now();
        let folder = dir.path().join("app");
        // Modules of Go's cache cannot be written, and a package in a folder of its own has its name.
        let fetched = fetch(&it.package, dir.path());
        ran(&mut command("cp", &["-r", fetched.to_str().unwrap(), folder.to_str().unwrap()]));
        ran(&mut command("chmod", &["-R", "u+w", folder.to_str().unwrap()]));
        for words in it.before {
            ran(command(words[0], &words[1..]).current_dir(&folder));
        }
        let folder = folder.canonicalize().unwrap();
        let instance = Instance { program: &program, folder: folder.clone() };
        instance.run(&["init"]);
        let lines = add(&folder.join("Pocdeploy.toml"), it);
        assert!(lines <= 10, "{}: {lines} lines by hand", it.package.name);
        let created = Instant::now();
        let url = instance.run(&["create", "--yes"]);
        let seconds = created.elapsed().as_secs();
        // The page of the configuration may have a path.
        let url = url.trim().split('/').take(3).collect::<Vec<_>>().join("/");
        if !it.request.is_empty() {
            asked(&url, it.request);
        }
        let page = asked(&url, it.page);
        assert!(page.contains(it.text), "{}: {page}", it.package.name);
        let rows = instance.run(&["psql", "--", "--tuples-only", "--no-align", "--command", it.sql]);
        assert!(rows.lines().any(|line| line == it.row), "{}: {rows}", it.package.name);
        eprintln!(
            "{} {}: {lines} lines by hand, create {seconds} s, all {} s",
            it.package.name,
            it.package.version,
            began.elapsed().as_secs()
        );
        drop(instance);
        fs::remove_dir_all(&folder).unwrap();
    }
}
