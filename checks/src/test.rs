//! `test`: every check of the project, including a real cluster. Runs all checks and fails at the end.
//!
//! Tests that take minutes and whose subject changes rarely have `#[ignore]`: only `--full` runs them.

use std::{cell::RefCell, io::Write as _, time::Duration};

use anyhow::Result;
use pocdeploy::{
    env::Env,
    errors::{Code, Problem},
    graph::TaskId,
    images::packages,
    setup::{self, Need},
    tool::{GOES_ON, Stream},
};
use xshell::{Cmd, cmd};

use crate::{failures::Failures, flags::Test};

/// The limit of all checks in CI.
const LIMIT: Duration = Duration::from_secs(85 * 60);

/// The limit of one program with `--full`.
const FULL_LIMIT: Duration = Duration::from_secs(3 * 60 * 60);

/// Test programs that need an engine, or Go.
const WITH_PROGRAMS: [(&str, &str); 3] =
    [("end to end on a real cluster", "e2e"), ("images of applications", "applications"), ("the clouds, without an account", "clouds")];

/// The browser, its driver and its store of certificates; a registry for images; the client that fetches packages of Node.js.
const NEEDS: [Need; 5] = [
    Need { program: "chromium", package: "chromium" },
    Need { program: "chromedriver", package: "chromium-driver" },
    Need { program: "certutil", package: "libnss3-tools" },
    Need { program: "docker-registry", package: "docker-registry" },
    Need { program: "npm", package: "npm" },
];

pub(crate) fn run(env: &Env, Test { full }: Test) -> Result<()> {
    let sh = env.tools.shell(&env.project)?;
    let mut failed = Vec::new();
    let mut check = |name: &str, result: Result<()>| {
        if let Err(error) = result {
            failed.push(format!("{name}: {error:#}"));
        }
    };
    let limit = if full { FULL_LIMIT } else { LIMIT };
    let attached = |command| env.tools.run_attached(command, limit);
    let failures = RefCell::new(Failures::default());
    let tested = |command| watched(env, command, limit, &failures);
    headline("format");
    check("format", attached(cmd!(sh, "cargo fmt --all --check")));
    headline("lints");
    // `--all-targets` passes over those that `cargo test` does not run.
    let further = WITH_PROGRAMS.iter().flat_map(|(_, target)| ["--test", target]);
    check("lints", attached(cmd!(sh, "cargo clippy --quiet --workspace --all-targets {further...} -- --deny warnings")));
    headline("tests without an engine");
    let long = full.then_some("--include-ignored");
    check("tests", tested(cmd!(sh, "cargo test --workspace --no-fail-fast -- {long...}")));
    let ready = setup::ensure(env, TaskId::Engine, &NEEDS, "the tests on a cluster");
    let installed = ready.is_ok();
    check("programs of the tests", ready);
    for (name, target) in WITH_PROGRAMS.into_iter().filter(|_| installed) {
        headline(name);
        // Clusters and engines are one at a time; OpenTofu has a folder for each test.
        let alone = (target != "clouds").then_some("--test-threads=1");
        check(name, tested(cmd!(sh, "cargo test --package xtask --test {target} -- --nocapture {alone...} {long...}")));
    }
    // After the clusters, since these download and compile Go's modules.
    headline("the node's own programs");
    check("the node's own programs", packages::test_programs(env, LIMIT));
    headline("bench, short form: figures to compare with earlier ones, never a verdict");
    check("bench", attached(cmd!(sh, "cargo xtask bench --runs 1 --short --yes")));
    if failed.is_empty() {
        headline(if full { "all checks passed" } else { "all checks passed; --full runs the long ones too" });
        return Ok(());
    }
    // Ctrl-C is no failure of a check.
    env.interrupt.check()?;
    let told = failures.borrow().told();
    if !told.is_empty() {
        headline("what the failed tests said");
        print(&told);
    }
    Err(Problem::new(format!("{} of the checks failed\n{}", failed.len(), failed.join("\n"))).code(Code::ChecksFailed).into())
}

/// Runs tests with their output on standard error, and keeps what the failed ones said.
fn watched(env: &Env, command: Cmd<'_>, limit: Duration, failures: &RefCell<Failures>) -> Result<()> {
    // The begun line of a test that runs; its result ends it, or a line of the other stream.
    let mut is_open = false;
    env.tools.run_read(command, limit, |stream, line| {
        let gap = if is_open && stream == Stream::Err { "\n" } else { "" };
        is_open = line.ends_with(GOES_ON);
        write(&format!("{gap}{line}{}", if is_open { "" } else { "\n" }));
        failures.borrow_mut().take(stream, line);
    })
}

fn headline(text: &str) {
    print(&format!("\n== {text}"));
}

fn print(line: &str) {
    write(&format!("{line}\n"));
}

fn write(text: &str) {
    // The reader may have ended; the work continues.
    std::io::stderr().write_all(text.as_bytes()).ok();
}
