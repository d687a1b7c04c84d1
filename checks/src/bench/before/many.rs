//! What needs neither an engine nor a cluster: a project with 20,000 files.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use pocdeploy::{config::FILE, env::Env};

use super::{Programs, Table, say, used};
use crate::bench::fixture::copy;

const FILES: usize = 20_000;

/// The first look at the files, a look when they are known, and staging with nothing to do. Each program has a copy of its own.
pub(super) fn rows(env: &Env, programs: &Programs, pairs: u16, quiet: bool, table: &mut Table) -> Result<()> {
    let place = tempfile::tempdir().context("make a temporary folder")?;
    let folder = |program: &Path| place.path().join(if program == programs.now { "now" } else { "before" });
    for program in [&programs.before, &programs.now] {
        let root = folder(program);
        say(quiet, &format!("a project of {FILES} files in {}", root.display()));
        write(env, &root)?;
        used(env, program, &root, &["patch"])?;
        // Its last files must be older than the clock's step to be remembered.
        env.interrupt.sleep(std::time::Duration::from_millis(100))?;
    }
    for pair in 0..pairs {
        programs.in_turns(pair, table, |program, side| {
            let root = folder(program);
            say(quiet, &format!("pair {} of {pairs}, {FILES} files: {}", pair + 1, program.display()));
            let hashes = root.join("target/pocdeploy/hashes");
            if hashes.exists() {
                fs::remove_file(&hashes).with_context(|| format!("remove {}", hashes.display()))?;
            }
            side.add("plan, 20,000 files that no run has read", used(env, program, &root, &["plan"])?);
            for _ in 0..3 {
                side.add("plan, 20,000 files, nothing to do", used(env, program, &root, &["plan"])?);
                side.add("patch, 20,000 files, nothing to do", used(env, program, &root, &["patch"])?);
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// The example, and beside it modules, templates and scripts of 400 to 4,400 bytes.
fn write(env: &Env, root: &Path) -> Result<()> {
    for name in ["build", "deploy", "third_party"] {
        copy(&env.path(name), &root.join(name))?;
    }
    fs::write(root.join(FILE), "").with_context(|| format!("write {FILE}"))?;
    let polls = root.join("third_party/django-polls/polls");
    for number in 0..FILES {
        let folder = polls.join(format!("part{}/section{}", number / 2000, number / 100 % 20));
        if number % 100 == 0 {
            fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        }
        let lines = 10 + number * 7 % 100;
        let (ending, text) = match number % 10 {
            0..7 => {
                let function = |line: usize| format!("def answer_{number}_{line}(value):\n    return value + {line}\n");
                let functions: String = (0..lines / 2).map(function).collect();
                ("py", format!("import os\nfrom django.utils import timezone\n\n{functions}"))
            }
            7..9 => ("html", (0..lines).map(|line| format!("<p>line {line} of file {number}, some text</p>\n")).collect()),
            _ => ("js", (0..lines).map(|line| format!("console.log(\"line {line} of file {number}\");\n")).collect()),
        };
        let path = folder.join(format!("module_{number}.{ending}"));
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}
