//! `bench --before DIR`: this tool beside the one of an earlier commit, in alternating runs of one go.
//!
//! `DIR` is a checkout of that commit, built into its own folder `target`. Each pair of runs takes both programs, and they take turns in
//! going first. A ratio is that of one pair, so the machine's load, which both had, counts less.

mod many;
mod table;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use pocdeploy::{env::Env, errors::Problem, flags::Output, graph::TaskId, record, runner, tasks, tool::BUILD_LIMIT};
use xshell::cmd;

use crate::{
    bench::{
        TASK,
        before::table::{Side, Table},
        fixture::{Fixture, check_page},
    },
    flags::Bench as Flags,
};

/// Pairs of runs, if `--runs` is not given.
const PAIRS: u16 = 5;

/// The two programs.
struct Programs {
    before: PathBuf,
    now: PathBuf,
}

impl Programs {
    /// Does the same with both programs; every second pair begins with the other one.
    fn in_turns(&self, pair: u16, table: &mut Table, mut work: impl FnMut(&Path, &mut Side) -> Result<()>) -> Result<()> {
        let (mut before, mut now) = (Side::default(), Side::default());
        if pair.is_multiple_of(2) {
            work(&self.before, &mut before)?;
            work(&self.now, &mut now)?;
        } else {
            work(&self.now, &mut now)?;
            work(&self.before, &mut before)?;
        }
        table.add(&before, &now);
        Ok(())
    }
}

/// What a run of a program took.
#[derive(Clone, Copy, Debug)]
struct Used {
    seconds: f64,
    /// Processor time of the program, and of all that it started and waited for.
    processor: f64,
}

/// Starts a program and writes the time and the processor time that it took, in thousandths of a second: `/proc` has only hundredths.
const MEASURE: &str = "\
import json, os, subprocess, sys, time
began = time.monotonic()
program = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
_, status, used = os.wait4(program.pid, 0)
print(json.dumps([time.monotonic() - began, used.ru_utime + used.ru_stime]))
sys.exit(os.waitstatus_to_exitcode(status))
";

pub(super) fn measure(env: &Env, before: &Path, flags: &Flags, quiet: bool) -> Result<String> {
    let programs = Programs { before: built(env, before, quiet)?, now: flags.program()? };
    let pairs = flags.runs.unwrap_or(PAIRS);
    let fixture = if flags.short { None } else { Some(with_images(env, &programs, quiet)?) };
    let mut table = Table::default();
    let measured = many::rows(env, &programs, pairs, quiet, &mut table).and_then(|()| match &fixture {
        Some(fixture) => on_clusters(env, fixture, &programs, pairs, &mut table),
        None => Ok(()),
    });
    let removed = fixture.as_ref().map_or(Ok(()), Fixture::remove);
    measured.and(removed)?;
    Ok(match flags.output {
        Output::Json => format!("{}\n", table.json(pairs)),
        Output::Text => table.text(pairs),
    })
}

/// The program of a checkout, built in the checkout.
fn built(env: &Env, checkout: &Path, quiet: bool) -> Result<PathBuf> {
    let named = || format!("--before {}", checkout.display());
    let refused = |why: &str| {
        let hint = "make a checkout of the commit to compare with: git worktree add DIR COMMIT";
        Err(Problem::usage(format!("{} {why}", named())).hint(hint).into())
    };
    if !checkout.join("xtask/Cargo.toml").is_file() {
        return refused("is no checkout of this project: it has no xtask/Cargo.toml");
    }
    let checkout = checkout.canonicalize().with_context(named)?;
    if env.project.canonicalize().is_ok_and(|it| it == checkout) {
        return refused("is the checkout that runs");
    }
    say(quiet, &format!("building the tool of {}", checkout.display()));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let (sh, target) = (env.tools.shell(&checkout)?, checkout.join("target"));
    let command = cmd!(sh, "{cargo} build --quiet --locked --package xtask --bin xtask --target-dir {target}");
    env.tools.run_watched(TASK, command.env_remove("CARGO_MANIFEST_DIR"), BUILD_LIMIT, |_| ()).with_context(named)?;
    Ok(target.join("debug/xtask"))
}

fn say(quiet: bool, text: &str) {
    if !quiet {
        // The reader may have ended; the work continues.
        std::io::Write::write_all(&mut std::io::stderr(), format!("bench: {text}\n").as_bytes()).ok();
    }
}

/// The copy of the project in which clusters are made, with all images that they need in the engine.
fn with_images<'a>(env: &'a Env, programs: &Programs, quiet: bool) -> Result<Fixture<'a>> {
    runner::run(env, &tasks::task, &[TaskId::Image, TaskId::NodeImage])?;
    Fixture::new(env, programs.now.clone(), quiet)
}

/// Runs a program in a project, which must succeed.
fn used(env: &Env, program: &Path, root: &Path, arguments: &[&str]) -> Result<Used> {
    let (sh, measure) = (env.tools.shell(root)?, env.work("bench/measure.py"));
    record::write_file(&measure, MEASURE.as_bytes())?;
    let command = cmd!(sh, "python3 -I {measure} {program} --project {root} --yes {arguments...}");
    let said = env.tools.read(TASK, command.env_remove("CARGO_MANIFEST_DIR"))?;
    let (seconds, processor) = serde_json::from_str(&said).context("read what a run took")?;
    Ok(Used { seconds, processor })
}

/// From no cluster to the page and back, and commands between them. Both programs use the same copy of the project one after the other.
fn on_clusters(env: &Env, fixture: &Fixture<'_>, programs: &Programs, pairs: u16, table: &mut Table) -> Result<()> {
    let root = &fixture.root;
    for pair in 0..pairs {
        programs.in_turns(pair, table, |program, side| {
            fixture.say(&format!("pair {} of {pairs}, on a cluster: {}", pair + 1, program.display()));
            side.add("create: images there, no cluster, to the page", used(env, program, root, &["create"])?);
            let sh = env.tools.shell(root)?;
            let url = env.tools.read(TASK, cmd!(sh, "{program} --project {root} url").env_remove("CARGO_MANIFEST_DIR"))?;
            check_page(url.trim())?;
            // The other program may have remembered files in another form.
            used(env, program, root, &["create"])?;
            for _ in 0..3 {
                side.add("create with nothing to do", used(env, program, root, &["create"])?);
            }
            for command in ["plan", "status", "validate"] {
                side.add(command, used(env, program, root, &[command])?);
            }
            side.add("delete", used(env, program, root, &["delete"])?);
            Ok(())
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::Arc};

    use pocdeploy::{
        config::Config,
        env::Options,
        errors::{Exit, exit_code},
        report::Recorder,
    };

    use super::*;

    #[test]
    fn a_folder_that_is_no_other_checkout_is_refused_before_anything_is_built() {
        let dir = tempfile::tempdir().unwrap();
        let (here, empty) = (dir.path().join("here"), dir.path().join("empty"));
        fs::create_dir_all(here.join("xtask")).unwrap();
        fs::write(here.join("xtask/Cargo.toml"), "").unwrap();
        fs::create_dir(&empty).unwrap();
        let env = Env::new(here.clone(), Config::parse("").unwrap(), Options::default(), Arc::new(Recorder::default())).unwrap();
        for (folder, why) in [
            (empty, "it has no xtask/Cargo.toml"),
            (dir.path().join("absent"), "it has no xtask/Cargo.toml"),
            (here.join("../here"), "is the checkout that runs"),
        ] {
            let error = built(&env, &folder, true).unwrap_err();
            assert!(format!("{error:#}").contains(why), "{error:#}");
            assert_eq!(exit_code(&error), Exit::Usage);
        }
        assert!(!here.join("target").exists());
    }

    #[test]
    fn each_program_begins_every_second_pair_and_what_fails_ends_the_comparison() {
        let programs = Programs { before: "before".into(), now: "now".into() };
        let (mut order, mut table) = (Vec::new(), Table::default());
        for pair in 0..3 {
            let work = |program: &Path, _: &mut Side| {
                order.push(program.display().to_string());
                Ok(())
            };
            programs.in_turns(pair, &mut table, work).unwrap();
        }
        assert_eq!(order, ["before", "now", "now", "before", "before", "now"]);
        assert!(programs.in_turns(0, &mut table, |_, _| anyhow::bail!("it failed")).is_err());
    }

    #[test]
    fn what_a_run_took_is_measured_and_a_failure_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_owned();
        let env = Env::new(root.clone(), Config::parse("").unwrap(), Options::default(), Arc::new(Recorder::default())).unwrap();
        let took = used(&env, Path::new("true"), &root, &["plan"]).unwrap();
        assert!(took.seconds > 0.0 && took.processor > 0.0, "{took:?}");
        assert!(used(&env, Path::new("false"), &root, &["plan"]).is_err());
    }
}
