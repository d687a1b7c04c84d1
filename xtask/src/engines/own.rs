//! The tool's own engine: a Docker daemon with private data, socket and containerd.
//!
//! All its files are in two folders: `engine/` in the user's cache (data, log), and one in `/run` (socket, pid file, runtime state), which
//! has a short path because socket paths are limited to 108 bytes.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use rustix::mount::UnmountFlags;
use serde_json::{Value, json};
use xshell::cmd;

use crate::{
    engine::{Engine, Found, capabilities},
    engines::connect,
    env::{Env, path_key},
    errors::{Code, Problem},
    graph::TaskId,
    regular,
    report::Waiting,
    setup::Need,
    tool,
};

/// A daemon with a large data folder needs some time to start.
const START_LIMIT: Duration = Duration::from_secs(90);
/// dockerd stops its containers first, each within ten seconds.
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// The size to which the engine cuts BuildKit's cache after a build. A build of a large Node.js application needs about 1 GB.
const BUILD_CACHE: &str = "5GB";
/// The configuration file of the machine's own Docker.
const MACHINE_SETTINGS: &str = "/etc/docker/daemon.json";

/// Debian's packages for the engine.
pub const PACKAGES: [Need; 2] = [Need { program: "dockerd", package: "docker.io" }, Need { program: "iptables", package: "iptables" }];

/// The paths of the tool's own engine. `new` does not touch them.
pub struct Managed {
    home: PathBuf,
    run: PathBuf,
}

impl Managed {
    pub fn new(env: &Env) -> Managed {
        let home = env.cache("engine");
        let run = PathBuf::from("/run").join(format!("pocdeploy-{}", path_key(&home)));
        Managed { home, run }
    }

    fn socket(&self) -> PathBuf {
        self.run.join("docker.sock")
    }

    pub fn found(&self) -> Found {
        Found { host: format!("unix://{}", self.socket().display()), title: "pocdeploy's own engine".to_owned() }
    }

    /// The engine, if it runs and answers.
    pub fn running(&self, env: &Env) -> Option<Engine> {
        if !self.socket().exists() {
            return None;
        }
        connect(env, &self.found()).ok()
    }

    /// Whether the tool can start its own engine here; otherwise the reason.
    pub fn possible() -> Result<(), String> {
        if !cfg!(target_os = "linux") {
            return Err("it runs on Linux only".to_owned());
        }
        if !rustix::process::geteuid().is_root() {
            return Err("only root can start one".to_owned());
        }
        Ok(())
    }

    /// Starts the daemon and waits until it answers. First removes the leftovers of a killed daemon.
    pub fn start(&self, env: &Env, task: TaskId) -> Result<Engine> {
        fs::create_dir_all(&self.home).with_context(|| format!("create {}", self.home.display()))?;
        fs::create_dir_all(&self.run).with_context(|| format!("create {}", self.run.display()))?;
        fs::set_permissions(&self.run, fs::Permissions::from_mode(0o700))?;
        let mut child = None;
        if self.daemon().is_none() {
            self.clear_leftovers()?;
            child = Some(self.spawn(env, task)?);
        }
        let began = Instant::now();
        loop {
            let last = match connect(env, &self.found()) {
                Ok(engine) => return Ok(engine),
                Err(error) => format!("{error:#}"),
            };
            let exited = child.as_mut().and_then(|it| it.try_wait().ok().flatten());
            let waiting = Waiting::new("dockerd to answer", last, began.elapsed(), START_LIMIT);
            if exited.is_some() || began.elapsed() > START_LIMIT {
                return Err(self.failure(exited.is_some(), &waiting));
            }
            env.waiting(task, waiting);
            env.interrupt.sleep(Duration::from_millis(100))?;
        }
    }

    /// Stops the daemon with all its containers. A stopped one counts as done.
    pub fn stop(&self, env: &Env, task: TaskId) -> Result<()> {
        let Some(pid) = self.daemon() else { return Ok(()) };
        env.progress(task, "stopping pocdeploy's own engine");
        tool::terminate(pid);
        let began = Instant::now();
        while self.daemon() == Some(pid) {
            let waiting = Waiting::new("dockerd to end", format!("process {pid} still runs"), began.elapsed(), STOP_LIMIT);
            if began.elapsed() > STOP_LIMIT {
                return Err(Problem::timed_out(waiting.timed_out()).code(Code::EngineFailed).into());
            }
            env.waiting(task, waiting);
            env.interrupt.sleep(Duration::from_millis(100))?;
        }
        self.clear_leftovers()
    }

    /// Removes all files of the stopped engine. Missing files count as done.
    pub fn remove(&self) -> Result<()> {
        for dir in [&self.home, &self.run] {
            unmount_below(dir)?;
            if dir.exists() {
                fs::remove_dir_all(dir).with_context(|| format!("remove {}", dir.display()))?;
            }
        }
        Ok(())
    }

    fn spawn(&self, env: &Env, task: TaskId) -> Result<std::process::Child> {
        let (home, run) = (&self.home, &self.run);
        let data = home.join("data");
        let exec = run.join("exec");
        let pid = run.join("dockerd.pid");
        let host = self.found().host;
        let sh = env.tools.shell(home)?;
        let settings = self.write_settings()?;
        // No default bridge: clusters have their own networks, and builds need none.
        let mut command = cmd!(
            sh,
            "dockerd --config-file {settings} --data-root {data} --exec-root {exec} --pidfile {pid} -H {host} --bridge none --log-level warn"
        );
        let missing = capabilities::missing();
        if !missing.is_empty() {
            env.detail(
                task,
                format!("this host grants no {}: privileged containers start through {}", missing.join(", "), capabilities::RUNTIME),
            );
            let runtime = self.install_runtime()?;
            let name = capabilities::RUNTIME;
            command = command.args([
                "--add-runtime".to_owned(),
                format!("{name}={}", runtime.display()),
                "--default-runtime".to_owned(),
                name.to_owned(),
            ]);
        }
        env.tools.start_daemon(task, command, &self.log())
    }

    /// Writes the daemon's configuration file, which it reads instead of the machine's.
    fn write_settings(&self) -> Result<PathBuf> {
        let machine = match fs::read_to_string(MACHINE_SETTINGS) {
            Ok(text) => serde_json::from_str(&text).unwrap_or_default(),
            Err(_) => Value::Null,
        };
        let path = self.home.join("daemon.json");
        fs::write(&path, settings(&machine).to_string()).with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }

    /// Copies this program: its build folder may be deleted while the daemon runs.
    fn install_runtime(&self) -> Result<PathBuf> {
        let path = self.home.join("bin").join(capabilities::RUNTIME);
        let fresh = self.home.join("bin").join(format!("{}.{}", capabilities::RUNTIME, std::process::id()));
        fs::create_dir_all(self.home.join("bin"))?;
        let own = std::env::current_exe().context("find this program's file")?;
        fs::copy(&own, &fresh).with_context(|| format!("copy {} to {}", own.display(), fresh.display()))?;
        regular::settle(&fresh)?;
        fs::rename(&fresh, &path).with_context(|| format!("install {}", path.display()))?;
        Ok(path)
    }

    fn log(&self) -> PathBuf {
        self.home.join("dockerd.log")
    }

    /// The daemon's process id from its pid file, if that process is a dockerd with our socket.
    fn daemon(&self) -> Option<i32> {
        let pid: i32 = fs::read_to_string(self.run.join("dockerd.pid")).ok()?.trim().parse().ok()?;
        let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let command = String::from_utf8_lossy(&command);
        (command.contains("dockerd") && command.contains(&self.found().host)).then_some(pid)
    }

    /// Removes pid files and the socket of a killed daemon before a start, since another process may have the same id by now.
    fn clear_leftovers(&self) -> Result<()> {
        remove_file(&self.run.join("dockerd.pid"))?;
        remove_file(&self.socket())?;
        let containerd = self.run.join("exec/containerd/containerd.pid");
        let pid = fs::read_to_string(&containerd).unwrap_or_default();
        // A zombie has an empty command line.
        let alive = fs::read_to_string(format!("/proc/{}/cmdline", pid.trim())).is_ok_and(|it| it.contains("containerd"));
        if !alive {
            remove_file(&containerd)?;
        }
        Ok(())
    }

    fn failure(&self, exited: bool, waiting: &Waiting) -> anyhow::Error {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(8)..].join("\n  ");
        let what = if exited { format!("dockerd ended after {} s without an answer", waiting.waited) } else { waiting.timed_out() };
        Problem::requirement(format!("{what}\n  {tail}"))
            .code(Code::EngineNotStarted)
            .hint(format!("read its log, {}; or start an engine yourself and set DOCKER_HOST", self.log().display()))
            .into()
    }
}

/// The daemon's configuration: the machine's way to registries, and a limit for BuildKit's cache, which has none without a configuration
/// (github.com/docker/docker v20.10.24, `builder/builder-next/worker/gc.go` and `cmd/dockerd/daemon.go`).
///
/// What else the machine's file says belongs to the machine's engine: a data folder or a socket of its own would stop this one.
fn settings(machine: &Value) -> Value {
    let mut out = json!({ "builder": { "gc": { "enabled": true, "defaultKeepStorage": BUILD_CACHE } } });
    for key in ["registry-mirrors", "insecure-registries", "proxies", "http-proxy", "https-proxy", "no-proxy", "default-address-pools"] {
        if let Some(value) = machine.get(key) {
            out[key] = value.clone();
        }
    }
    out
}

/// Unmounts what a killed daemon left mounted, last mount first.
fn unmount_below(dir: &Path) -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("read the mounts")?;
    for point in mount_points(&mounts).into_iter().rev().filter(|it| it.starts_with(dir)) {
        rustix::mount::unmount(&point, UnmountFlags::DETACH).with_context(|| format!("unmount {}", point.display()))?;
    }
    Ok(())
}

/// The mount points: the fifth field of each line, in which the kernel writes blanks as octal escapes (proc_pid_mountinfo(5)).
fn mount_points(mountinfo: &str) -> Vec<PathBuf> {
    let points = mountinfo.lines().filter_map(|it| it.split(' ').nth(4));
    points.map(|it| PathBuf::from(it.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\"))).collect()
}

fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("remove {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_machines_configuration_only_the_way_to_registries_is_kept() {
        let machine =
            json!({ "registry-mirrors": ["http://mirror.test"], "data-root": "/data", "hosts": ["fd://"], "log-driver": "journald" });
        let limited = json!({ "gc": { "enabled": true, "defaultKeepStorage": "5GB" } });
        assert_eq!(settings(&machine), json!({ "builder": limited, "registry-mirrors": ["http://mirror.test"] }));
        assert_eq!(settings(&Value::Null), json!({ "builder": limited }));
    }

    #[test]
    fn mount_points_are_read_with_their_blanks() {
        let text = "36 35 98:0 / /a\\040b/engine rw,noatime - ext4 /dev/vda rw\n37 36 0:5 / /run/x rw - nsfs nsfs rw\n";
        assert_eq!(mount_points(text), [PathBuf::from("/a b/engine"), PathBuf::from("/run/x")]);
    }
}
