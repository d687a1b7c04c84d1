//! Programs that users of exported files have, built from their Go modules once, into the tool's cache.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use pocdeploy::{env::cache_dir, fingerprint::Fingerprint};

/// helm.sh, a release of 2026.
pub(crate) fn helm() -> PathBuf {
    installed("helm", "helm.sh/helm/v4/cmd/helm", "v4.3.2")
}

/// sigs.k8s.io/kustomize: the newest version whose modules all are on the module proxy.
pub(crate) fn kustomize() -> PathBuf {
    installed("kustomize", "sigs.k8s.io/kustomize/kustomize/v5", "v5.8.1")
}

/// github.com/yannh/kubeconform: validates objects under given schemas.
pub(crate) fn kubeconform() -> PathBuf {
    installed("kubeconform", "github.com/yannh/kubeconform/cmd/kubeconform", "v0.8.0")
}

/// github.com/zegl/kube-score: judges objects.
pub(crate) fn kube_score() -> PathBuf {
    installed("kube-score", "github.com/zegl/kube-score/cmd/kube-score", "v1.20.0")
}

/// Docker Compose 2: version 5 needs an engine of 2024 or newer.
pub(crate) fn compose() -> PathBuf {
    let (module, version) = ("github.com/docker/compose/v2", "v2.40.3");
    let place = folder().join(format!("docker-compose-{version}"));
    if place.is_file() {
        return place;
    }
    // Its go.mod has directives that `go install` refuses, so it is built as the main module.
    let copy = copied(module, version);
    build(copy.path(), "./cmd", &place);
    place
}

/// Terraform, but for the backends (s3, gcs and others) that are modules of their own inside of its repository: the module proxy has not them.
pub(crate) fn terraform() -> PathBuf {
    let (module, version) = ("github.com/hashicorp/terraform", "v1.13.3");
    let place = folder().join(format!("terraform-{version}"));
    if place.is_file() {
        return place;
    }
    let copy = copied(module, version);
    let said = output(go(&["mod", "edit", "-json"]).current_dir(copy.path()));
    let known: serde_json::Value = serde_json::from_slice(&said).unwrap();
    let list = copy.path().join("internal/backend/init/init.go");
    let mut lines: Vec<String> = fs::read_to_string(&list).unwrap().lines().map(str::to_owned).collect();
    for absent in known["Replace"].as_array().unwrap().iter().filter_map(|it| it["Old"]["Path"].as_str()) {
        output(go(&["mod", "edit", &format!("-droprequire={absent}"), &format!("-dropreplace={absent}")]).current_dir(copy.path()));
        // Its import, and the lines that use the import's name.
        let import = lines.iter().find_map(|it| it.trim().strip_suffix(&format!(" \"{absent}\"")).map(str::to_owned));
        if let Some(name) = import {
            lines.retain(|it| !it.contains(&format!("{name} ")) && !it.contains(&format!("{name}.")));
        }
    }
    fs::write(&list, lines.join("\n")).unwrap();
    // As a release calls itself.
    build_with(copy.path(), ".", &place, &["-ldflags", &format!("-X {module}/version.dev=no")]);
    place
}

/// The files of a Go module, to be changed.
pub(crate) fn copied(name: &str, version: &str) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    let source = module(name, version);
    output(Command::new("cp").args(["-r", "--no-preserve=mode", &format!("{}/.", source.display())]).arg(copy.path()));
    copy
}

/// Builds a package in a folder with a go.mod, unless the program is there.
pub(crate) fn build(source: &Path, package: &str, place: &Path) {
    build_with(source, package, place, &[]);
}

fn build_with(source: &Path, package: &str, place: &Path, flags: &[&str]) {
    if place.is_file() {
        return;
    }
    let partial = place.with_extension("new");
    output(go(&[&["build", "-trimpath", "-o", partial.to_str().unwrap()], flags, &[package]].concat()).current_dir(source));
    fs::rename(partial, place).unwrap();
}

/// A program of a Go module of these tests, built once for each content of the module's files.
pub(crate) fn own(source: &Path, package: &str, name: &str) -> PathBuf {
    let mut key = Fingerprint::new();
    key.add_tree("", source).unwrap();
    let program = folder().join(format!("{name}-{}", key.short()));
    build(source, package, &program);
    program
}

/// Where the programs are.
pub(crate) fn folder() -> PathBuf {
    let folder = cache_dir().unwrap().join("test-programs");
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// A program of a Go module that has a version.
pub(crate) fn installed(name: &str, package: &str, version: &str) -> PathBuf {
    let folder = folder().join(format!("{name}-{version}"));
    let program = folder.join(Path::new(package).file_name().unwrap().to_str().unwrap());
    let program = if name == "kustomize" { folder.join("kustomize") } else { program };
    if !program.is_file() {
        output(go(&["install", &format!("{package}@{version}")]).env("GOBIN", &folder));
    }
    program
}

fn go(arguments: &[&str]) -> Command {
    let cache = cache_dir().unwrap();
    let mut command = Command::new("go");
    command.args(arguments).env("GOCACHE", cache.join("go/build")).env("GOMODCACHE", cache.join("go/mod"));
    command.env("GOFLAGS", "-modcacherw -buildvcs=false").env("CGO_ENABLED", "0").current_dir(cache);
    command
}

fn output(mut command: impl std::borrow::BorrowMut<Command>) -> Vec<u8> {
    let command = command.borrow_mut();
    let ran = command.output().unwrap();
    assert!(ran.status.success(), "{command:?}: {}", String::from_utf8_lossy(&ran.stderr));
    ran.stdout
}

/// The folder of a Go module, without the modules that it needs.
pub(crate) fn module(name: &str, version: &str) -> PathBuf {
    let said = output(go(&["mod", "download", "-json", &format!("{name}@{version}")]));
    let known: serde_json::Value = serde_json::from_slice(&said).unwrap();
    known["Dir"].as_str().unwrap().into()
}

/// The program of a Python package that has the package's name.
pub(crate) fn python(package: &str, version: &str) -> PathBuf {
    python_program(package, version, package)
}

/// A program of a Python package.
pub(crate) fn python_program(package: &str, version: &str, program: &str) -> PathBuf {
    let folder = folder().join(format!("{package}-{version}"));
    let program = folder.join("bin").join(program);
    if !program.is_file() {
        output(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder));
        output(Command::new(folder.join("bin/pip")).args(["install", "--quiet", &format!("{package}=={version}")]));
    }
    program
}
