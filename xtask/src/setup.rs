//! Programs that this machine needs, and the user's consent to install them.

use std::{
    fs,
    io::{BufRead as _, IsTerminal as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::{Mutex, mpsc},
    time::Duration,
};

use anyhow::{Context as _, Result};
use xshell::cmd;

use crate::{
    env::Env,
    errors::{Code, Problem},
    graph::TaskId,
    interrupt::Interrupt,
    tool::{self, BUILD_LIMIT},
};

/// A program, and the Debian package that contains it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    pub program: &'static str,
    pub package: &'static str,
}

/// Only one question or installation at a time, from all tasks.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The needs whose program is not on `PATH`.
pub fn missing(needs: &[Need]) -> Vec<Need> {
    needs.iter().copied().filter(|need| tool::find(need.program).is_none()).collect()
}

/// Installs missing programs with the system's package manager, after consent.
pub fn ensure(env: &Env, task: TaskId, needs: &[Need], why: &str) -> Result<()> {
    let _turn = ONE_AT_A_TIME.lock();
    let missing = missing(needs);
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|it| it.package).collect();
    let programs: Vec<&str> = missing.iter().map(|it| it.program).collect();
    let line = format!("apt-get install --no-install-recommends {}", packages.join(" "));
    if tool::find("apt-get").is_none() || !rustix::process::geteuid().is_root() {
        let what = format!("{why} needs {}, which is not on this machine", programs.join(", "));
        return Err(Problem::requirement(what).hint(format!("install it, on Debian with: sudo {line}")).into());
    }
    consent(env, task, &format!("{why} needs {}: {line}", programs.join(", ")))?;
    install(env, task, &packages)
}

/// Asks on a terminal; proceeds with `--yes`; otherwise fails at once. Always prints what will be done.
pub fn consent(env: &Env, task: TaskId, what: &str) -> Result<()> {
    env.note(task, what);
    if env.options.yes {
        return Ok(());
    }
    let refused =
        || Problem::requirement("not done without consent").code(Code::NoConsent).hint("answer yes, or run the same command with --yes");
    if env.options.never_ask || !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(refused().into());
    }
    env.report.hold(true);
    let answer = ask(env, "Go ahead? [y/N] ");
    env.report.hold(false);
    if matches!(answer?.trim(), "y" | "Y" | "yes") { Ok(()) } else { Err(refused().into()) }
}

/// Whether the user wants content of a database restored: `--yes` does. Where no one can be asked, the answer is no.
pub fn restores(env: &Env, task: TaskId, what: &str) -> Result<bool> {
    env.note(task, what);
    if env.options.yes || env.options.never_ask || !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Ok(env.options.yes);
    }
    env.report.hold(true);
    let answer = ask(env, "Restore it? [Y/n] ");
    env.report.hold(false);
    Ok(matches!(answer?.trim(), "" | "y" | "Y" | "yes"))
}

fn ask(env: &Env, question: &str) -> Result<String> {
    std::io::stderr().write_all(question.as_bytes())?;
    read_line(&env.interrupt)
}

/// A line of standard input, read in another thread, so that Ctrl-C ends the wait.
fn read_line(interrupt: &Interrupt) -> Result<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = std::io::stdin().lock().read_line(&mut line);
        // After Ctrl-C the receiver has gone.
        sender.send(read.map(|_| line)).ok();
    });
    loop {
        match receiver.recv_timeout(Duration::from_millis(50)) {
            Ok(line) => return line.context("read the answer"),
            Err(mpsc::RecvTimeoutError::Timeout) => interrupt.check().context("waiting for an answer")?,
            Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(String::new()),
        }
    }
}

fn install(env: &Env, task: TaskId, packages: &[&str]) -> Result<()> {
    let sh = env.tools.shell(&env.project)?;
    let _guard = NoServices::hold()?;
    let progress = |line: &str| {
        if line.starts_with("Get:") || line.starts_with("Unpacking") || line.starts_with("Setting up") {
            env.progress(task, line);
        }
    };
    // A new machine may have no package lists, or outdated ones.
    let options = ["-o", "DPkg::Lock::Timeout=300", "-q"];
    let update = cmd!(sh, "apt-get {options...} update").env("DEBIAN_FRONTEND", "noninteractive");
    env.progress(task, "apt-get update");
    let tools = env.tools.fetching_by_itself();
    tools.run_watched(task, update, BUILD_LIMIT, progress).context("update the package lists")?;
    let install =
        cmd!(sh, "apt-get {options...} install -y --no-install-recommends {packages...}").env("DEBIAN_FRONTEND", "noninteractive");
    tools.run_watched(task, install, BUILD_LIMIT, progress).with_context(|| format!("install {}", packages.join(", ")))
}

/// While it exists, packages do not start their services: Debian's `policy-rc.d` forbids it. An existing file is kept.
struct NoServices {
    ours: bool,
}

const POLICY: &str = "/usr/sbin/policy-rc.d";

impl NoServices {
    fn hold() -> Result<NoServices> {
        if Path::new(POLICY).exists() {
            return Ok(NoServices { ours: false });
        }
        fs::write(POLICY, "#!/bin/sh\nexit 101\n").with_context(|| format!("write {POLICY}"))?;
        fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755))?;
        Ok(NoServices { ours: true })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours {
            fs::remove_file(POLICY).ok();
        }
    }
}
