//! Shared code of the integration tests: projects in temporary folders, and runs of the real binary.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// A separate project with a small application and one patch.
pub(crate) struct Project {
    _dir: tempfile::TempDir,
    pub(crate) root: PathBuf,
}

impl Project {
    pub(crate) fn new() -> Project {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let project = Project { _dir: dir, root };
        project.write("Pocdeploy.toml", "");
        project.write("third_party/django-polls/manage.py", "import django\nDEBUG = True\nlast = 1\n");
        project.write("build/patches/0001-debug.patch", PATCH);
        project
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Runs the tool in the project, with an empty cache and an engine that does not exist.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::from(self.command(arguments).output().unwrap())
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.command_of(tool(), arguments)
    }

    /// Runs a program of this tool, for example an installed one, in the project, without the user's home folder.
    pub(crate) fn command_of(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = command(program, &self.root, arguments);
        command
            .env("POCDEPLOY_CACHE_DIR", self.root.join("cache"))
            .env("DOCKER_HOST", "unix:///nonexistent/docker.sock")
            .env("HOME", self.root.join("home"))
            .env_remove("CARGO_HOME")
            .env_remove("XDG_DATA_HOME")
            .env_remove("XDG_CONFIG_HOME");
        command
    }
}

pub(crate) const PATCH: &str = "\
From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001
From: Author <author@example.invalid>
Subject: [PATCH] Switch debugging off

---
diff --git a/manage.py b/manage.py
--- a/manage.py
+++ b/manage.py
@@ -1,3 +1,3 @@
 import django
-DEBUG = True
+DEBUG = False
 last = 1
";

/// The tool that cargo built.
pub(crate) fn tool() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_xtask"))
}

/// A program of this tool in the folder `root`, without cargo's environment variables.
pub(crate) fn command(program: &Path, root: &Path, arguments: &[&str]) -> Command {
    #[expect(clippy::disallowed_methods, reason = "the tool itself is what is tested")]
    let mut command = Command::new(program);
    command
        .current_dir(root)
        .args(arguments)
        .env_remove("CARGO_MANIFEST_DIR")
        .env_remove("GITHUB_ACTIONS")
        .env_remove("GITHUB_STEP_SUMMARY")
        .env_remove("POCDEPLOY_SECRET_KEY")
        .env_remove("POCDEPLOY_DATABASE_PASSWORD");
    command
}

/// The output and exit code of a run.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ran {
    #[track_caller]
    pub(crate) fn ends_with(&self, code: i32) -> &Ran {
        assert_eq!(self.code, code, "\nstdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub(crate) fn says(&self, text: &str) -> &Ran {
        assert!(self.stderr.contains(text), "no {text:?} in\n{}", self.stderr);
        self
    }
}

/// Every file below a folder with its content, to check that nothing changed.
pub(crate) fn content(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut out = Vec::new();
    for entry in walkdir::WalkDir::new(dir).sort_by_file_name().into_iter().flatten() {
        if entry.file_type().is_file() {
            out.push((entry.path().display().to_string(), fs::read(entry.path()).unwrap()));
        }
    }
    out
}
