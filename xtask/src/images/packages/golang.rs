//! Programs built from Go modules: one `go build` for all programs of a module, so that shared packages compile once.
//!
//! Module cache and build cache are the tool's own, in the user's cache folder, so an interrupted build continues.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result};
use serde::Deserialize;
use xshell::{Cmd, cmd};

use crate::{
    env::Env,
    errors::{Code, Problem},
    graph::TaskId,
    images::packages::{
        changed::Changed,
        keys::Keys,
        products::product,
        recipe::Recipes,
        steps::Steps,
        verified::{self, FORMAT, Module},
    },
    tool::{self, BUILD_LIMIT, Tools},
};

/// The folders of the built programs.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    pub(super) cluster: PathBuf,
    pub(super) containerd: PathBuf,
    pub(super) policies: PathBuf,
}

impl Programs {
    /// The path of a program, from any of the modules.
    pub(super) fn find(&self, name: &str) -> Result<PathBuf> {
        let found = [&self.cluster, &self.containerd, &self.policies].into_iter().map(|it| it.join(name)).find(|it| it.is_file());
        found.ok_or_else(|| Problem::config(format!("no recipe builds a program `{name}`")).code(Code::Recipe).into())
    }
}

/// One `go build`.
struct Build<'a> {
    /// The module's folder in the recipes, which is also the product's name.
    module: &'a str,
    name: &'a str,
    title: &'a str,
    packages: &'a [&'a str],
    tags: &'a str,
    /// Link-time values: arguments of `-X`.
    values: Vec<String>,
    /// Names of symbolic links to a program.
    names: &'a [(&'a str, &'a [&'a str])],
}

const CLUSTER: &[&str] = &[
    "github.com/cloudnative-pg/cloudnative-pg/cmd/manager",
    "go.etcd.io/etcd/server/v3",
    "./await",
    "./bootstrap",
    "./coredns",
    "./kubernetes",
    "./network",
    "./provisioner",
];

/// The programs that `./kubernetes` is, by the name under which it is called.
const KUBERNETES: [&str; 7] =
    ["kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubeadm", "kubectl", "kubelet"];

const CONTAINERD: &[&str] = &[
    "github.com/containerd/containerd/v2/cmd/containerd",
    "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
    "github.com/containerd/containerd/v2/cmd/ctr",
    "./preload",
];

/// What enforces NetworkPolicies; Go names the program after its folder.
const POLICIES: &[&str] = &["sigs.k8s.io/kube-network-policies/cmd/kube-network-policies/standard"];

const TRAEFIK: &str = "github.com/traefik/traefik/v3";

/// Kind, Kubernetes, the operator, containerd and what enforces NetworkPolicies, in sequence, since each build uses all cores.
pub(super) fn everything(env: &Env, task: TaskId, recipes: &Recipes, keys: &Keys, steps: &Steps<'_>) -> Result<Programs> {
    kind(env, task, recipes, keys, steps)?;
    let versions = &recipes.versions;
    let containerd = Build {
        module: "containerd",
        name: "containerd",
        title: "containerd",
        packages: CONTAINERD,
        // File systems that a node in a container never uses.
        tags: "no_aufs,no_zfs,no_btrfs,no_devmapper",
        values: vec![format!("github.com/containerd/containerd/v2/version.Version=v{}", versions.containerd)],
        names: &[],
    };
    let containerd = build(env, task, recipes, &keys.containerd, &containerd, steps)?;
    let kubernetes = &versions.kubernetes;
    let mut parts = kubernetes.split('.');
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let cluster = Build {
        module: "go",
        name: "cluster-programs",
        title: "Kubernetes, CloudNativePG, etcd and CoreDNS",
        packages: CLUSTER,
        tags: "",
        values: vec![
            format!("k8s.io/component-base/version.gitVersion=v{kubernetes}"),
            format!("k8s.io/component-base/version.gitMajor={major}"),
            format!("k8s.io/component-base/version.gitMinor={minor}"),
            format!("github.com/cloudnative-pg/cloudnative-pg/pkg/versions.buildVersion={}", versions.cloudnative_pg),
        ],
        names: &[("kubernetes", &KUBERNETES)],
    };
    let cluster = build(env, task, recipes, &keys.programs, &cluster, steps)?;
    let policies = Build {
        module: "policies",
        name: "policies",
        title: "kube-network-policies",
        packages: POLICIES,
        tags: "",
        values: Vec::new(),
        names: &[],
    };
    let policies = build(env, task, recipes, &keys.policies, &policies, steps)?;
    Ok(Programs { cluster, containerd, policies })
}

/// kind itself, for the host.
pub(super) fn kind(env: &Env, task: TaskId, recipes: &Recipes, keys: &Keys, steps: &Steps<'_>) -> Result<PathBuf> {
    let packages = &["sigs.k8s.io/kind"];
    let kind = Build { module: "go", name: "kind", title: "kind", packages, tags: "", values: Vec::new(), names: &[] };
    Ok(build(env, task, recipes, &keys.kind, &kind, steps)?.join("kind"))
}

/// The Ingress controller.
pub(super) fn traefik(env: &Env, task: TaskId, recipes: &Recipes, keys: &Keys, steps: &Steps<'_>) -> Result<PathBuf> {
    let traefik = Build {
        module: "traefik",
        name: "traefik",
        title: "Traefik",
        packages: &[&format!("{TRAEFIK}/cmd/traefik")],
        tags: "",
        values: vec![format!("{TRAEFIK}/pkg/version.Version={}", recipes.versions.traefik)],
        names: &[],
    };
    Ok(build(env, task, recipes, &keys.traefik_image, &traefik, steps)?.join("traefik"))
}

/// Runs the tests of the recipes' own Go programs on the user's terminal.
pub(super) fn test(env: &Env, folder: &Path, limit: Duration) -> Result<()> {
    let sh = env.tools.shell(&folder.join("go"))?;
    // The same flags as the build, so that shared packages compile once.
    env.tools.run_attached(go(env, cmd!(sh, "go test -trimpath ./..."))?, limit)
}

/// The folder of a module's source; downloads it if it is missing. `folder` is the one of the recipes whose go.mod pins it.
pub(super) fn module_folder(env: &Env, task: TaskId, recipes: &Recipes, folder: &str, module: &str) -> Result<PathBuf> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Downloaded {
        version: String,
        dir: PathBuf,
    }
    let tools = env.tools.with_log("image-go").fetching();
    let sh = tools.shell(&recipes.folder.join(folder))?;
    // With -json, Go writes the reason of a failure only into the JSON.
    let download = tools.run(task, go(env, cmd!(sh, "go mod download {module}"))?);
    verified::keeping_nothing(download, &env.cache("go/mod")).with_context(|| format!("download {module}"))?;
    let text = tools.read(task, go(env, cmd!(sh, "go mod download -json {module}"))?).with_context(|| format!("download {module}"))?;
    let downloaded: Downloaded = serde_json::from_str(&text).with_context(|| format!("download {module}"))?;
    let found = Module { path: module.to_owned(), version: downloaded.version, folder: downloaded.dir.clone() };
    verify(env, &tools, task, &recipes.folder.join(folder), &[found])?;
    Ok(downloaded.dir)
}

fn build(env: &Env, task: TaskId, recipes: &Recipes, key: &str, build: &Build<'_>, steps: &Steps<'_>) -> Result<PathBuf> {
    let path = product(env, task, build.name, key, |part| env.step(task, build.title, || compile(env, task, recipes, build, part, steps)));
    let path = path.with_context(|| format!("build {} from Go modules", build.title))?;
    steps.done();
    Ok(path)
}

/// Compiles one package of a module into the file `part`, with the module's own pins; `says` gets the progress.
pub(super) fn compile_in(
    env: &Env,
    task: TaskId,
    module: &Path,
    package: &str,
    flags: &str,
    part: &Path,
    says: impl Fn(&str) + Sync,
) -> Result<()> {
    let tools = env.tools.with_log("image-mailpit").fetching();
    let sh = tools.shell(module)?;
    says("downloading Go modules");
    let total = listed(env, &tools, task, module, cmd!(sh, "go list -f {FORMAT} -deps {package}"))?;
    let command = cmd!(sh, "go build -v -trimpath -ldflags {flags} -o {part} {package}");
    let seen = AtomicUsize::new(0);
    tools.run_watched(task, go(env, command)?, BUILD_LIMIT, |line| {
        if is_package(line) {
            says(&format!("compiled {} of at most {total} packages", seen.fetch_add(1, Ordering::Relaxed) + 1));
        }
    })
}

fn compile(env: &Env, task: TaskId, recipes: &Recipes, build: &Build<'_>, part: &Path, steps: &Steps<'_>) -> Result<()> {
    fs::create_dir_all(part).with_context(|| format!("create {}", part.display()))?;
    let tools = env.tools.with_log(&format!("image-{}", build.name)).fetching();
    let module = recipes.folder.join(build.module);
    let sh = tools.shell(&module)?;
    let (packages, tags) = (build.packages, build.tags);
    steps.says(&format!("{}: downloading Go modules", build.title));
    let changed = Changed::of(env, task, recipes, build.module)?;
    let pins: &Vec<String> = &changed.iter().map(Changed::flag).collect();
    let total = listed(env, &tools, task, &module, cmd!(sh, "go list -f {FORMAT} {pins...} -deps -tags {tags} {packages...}"))?;
    let values: Vec<String> = build.values.iter().map(|it| format!("-X {it}")).collect();
    let flags = format!("-s -w {}", values.join(" "));
    let command = cmd!(sh, "go build {pins...} -v -trimpath -tags {tags} -ldflags {flags} -o {part}/ {packages...}");
    let seen = AtomicUsize::new(0);
    tools.run_watched(task, go(env, command)?, BUILD_LIMIT, |line| {
        if is_package(line) {
            let seen = seen.fetch_add(1, Ordering::Relaxed) + 1;
            steps.says(&format!("{}: compiled {seen} of at most {total} packages", build.title));
        }
    })?;
    for (program, names) in build.names {
        for name in *names {
            symlink(program, part.join(name)).with_context(|| format!("name the program {name}"))?;
        }
    }
    Ok(())
}

/// The number of packages that `list` names, after their modules are compared with the go.sum of `module`.
fn listed(env: &Env, tools: &Tools, task: TaskId, module: &Path, list: Cmd<'_>) -> Result<usize> {
    let text = verified::keeping_nothing(tools.read(task, go(env, list)?), &env.cache("go/mod"))?;
    verify(env, tools, task, module, &verified::modules(&text))?;
    Ok(text.lines().count())
}

/// Compares modules in the cache with the go.sum of `module`, and downloads a changed one again.
fn verify(env: &Env, tools: &Tools, task: TaskId, module: &Path, found: &[Module]) -> Result<()> {
    let sh = tools.shell(module)?;
    verified::ensure(found, &verified::pins(&module.join("go.sum"))?, &env.cache("go/mod"), |it| {
        let name = it.name();
        env.note(task, format!("{name} in the cache of Go modules is not what go.sum says: downloading it again"));
        let again = tools.run_watched(task, go(env, cmd!(sh, "go mod download {name}"))?, BUILD_LIMIT, |_| ());
        verified::keeping_nothing(again, &env.cache("go/mod"))
    })
}

/// Whether `line` is a package name, which `go build -v` prints for each package that it compiles; other lines are messages.
fn is_package(line: &str) -> bool {
    !line.is_empty() && !line.contains([' ', ':', '#'])
}

/// A Go command with the tool's own caches. Proxy settings for modules stay as in the user's `go env`.
fn go<'a>(env: &Env, command: Cmd<'a>) -> Result<Cmd<'a>> {
    if tool::find("go").is_none() {
        let what = "building images needs Go, which is not on this machine's PATH";
        return Err(Problem::requirement(what).hint("install Go 1.26 or newer: https://go.dev/doc/install").into());
    }
    let caches = [env.cache("go/build"), env.cache("go/mod")];
    for folder in &caches {
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    let [build, modules] = caches;
    Ok(command
        .env("GOCACHE", build)
        .env("GOMODCACHE", modules)
        // The last flag makes modules writable, so that `rm -r` can remove them.
        .env("GOFLAGS", "-mod=readonly -buildvcs=false -modcacherw")
        .env("GOWORK", "off")
        .env("CGO_ENABLED", "0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_told_from_remarks() {
        assert!(is_package("k8s.io/kubernetes/pkg/proxy"));
        assert!(is_package("fmt"));
        assert!(!is_package("go: downloading k8s.io/api v0.36.3"));
        assert!(!is_package("# pocdeploy.local/images/provisioner"));
        assert!(!is_package(""));
    }
}
