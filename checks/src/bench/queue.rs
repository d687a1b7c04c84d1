//! A long queue of patches, beside `git am` of the same queue.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use pocdeploy::env::Env;
use xshell::cmd;

use crate::bench::{
    TASK,
    figures::{Figures, Row},
    fixture::Fixture,
};

const PATCHES: usize = 500;
const FILES: usize = 100;
const LINES: usize = 200;
const WHO: [&str; 4] = ["-c", "user.name=Bench", "-c", "user.email=bench@example.invalid"];

/// Staging, opening as commits, and a changed last patch, each with `git am` in turns.
pub(super) fn rows(env: &Env, fixture: &Fixture<'_>, runs: u16) -> Result<Vec<Row>> {
    let place = tempfile::tempdir().context("make a temporary folder")?;
    let (history, project) = (place.path().join("history"), place.path().join("project"));
    let (source, patches) = (project.join("third_party/django-polls"), project.join("build/patches"));
    fixture.say(&format!("a queue of {PATCHES} patches"));
    write(env, &history, &source, &patches)?;
    fs::write(project.join("Pocdeploy.toml"), "").context("write Pocdeploy.toml")?;
    let mut names: Vec<_> = fs::read_dir(&patches)?.flatten().map(|it| it.path()).collect();
    names.sort();
    let last = names.last().context("git wrote no patches")?;
    let (changed, line) = (fs::read_to_string(last).context("read the last patch")?, format!("+line changed by {PATCHES}"));
    let (mut staged, mut opened, mut again, mut git) = (Figures::default(), Figures::default(), Figures::default(), Figures::default());
    for run in 0..runs.max(3) {
        git.add(am(env, &history, &names)?);
        if project.join("target").exists() {
            fs::remove_dir_all(project.join("target"))?;
        }
        staged.add(fixture.tool_in(&project, &["patch"])?.1);
        fs::write(last, changed.replace(&line, &format!("{line} in run {run}"))).context("change the last patch")?;
        again.add(fixture.tool_in(&project, &["patch"])?.1);
        opened.add(fixture.tool_in(&project, &["patch", "edit"])?.1);
    }
    let row = |name: &str, ours: Figures| Row::of(&format!("{PATCHES} patches: {name}"), "s").ours(ours).other(git.clone());
    Ok(vec![row("staged; git am", staged), row("the last one changed; git am", again), row("opened as commits; git am", opened)])
}

/// Writes a history in one stream, its first commit as the source and the others as patches.
fn write(env: &Env, history: &Path, source: &Path, patches: &Path) -> Result<()> {
    for folder in [history, source, patches] {
        fs::create_dir_all(folder)?;
    }
    let mut files: Vec<Vec<String>> = (0..FILES).map(|file| (0..LINES).map(|line| format!("line {line} of {file}")).collect()).collect();
    let mut stream = String::new();
    for number in 0..=PATCHES {
        let title = format!("Change {number}");
        stream.push_str(&format!(
            "commit refs/heads/bench\ncommitter Bench <bench@example.invalid> {number} +0000\ndata {}\n{title}\n",
            title.len()
        ));
        // Every file in the first commit; then one line of one file, spread over both.
        let chosen = if number == 0 { 0..FILES } else { number * 37 % FILES..number * 37 % FILES + 1 };
        for file in chosen {
            if number > 0 {
                files[file][number * 61 % LINES] = format!("line changed by {number}");
            }
            let text = files[file].join("\n") + "\n";
            stream.push_str(&format!("M 100644 inline module{file}.py\ndata {}\n{text}\n", text.len()));
        }
    }
    let sh = env.tools.shell(history)?;
    env.tools.run(TASK, cmd!(sh, "git init --quiet"))?;
    env.tools.run_with_input(TASK, cmd!(sh, "git fast-import --quiet"), |input| Ok(input.write_all(stream.as_bytes())?))?;
    env.tools.run(TASK, cmd!(sh, "git checkout --quiet bench"))?;
    let first = format!("bench~{PATCHES}");
    env.tools.run(TASK, cmd!(sh, "git format-patch --quiet --output-directory {patches} {first}..bench"))?;
    env.tools.run(TASK, cmd!(sh, "git checkout --quiet {first}"))?;
    for file in 0..FILES {
        let name = format!("module{file}.py");
        fs::copy(history.join(&name), source.join(&name)).with_context(|| format!("copy {name}"))?;
    }
    Ok(())
}

fn am(env: &Env, history: &Path, names: &[std::path::PathBuf]) -> Result<Duration> {
    let sh = env.tools.shell(history)?;
    let first = format!("bench~{PATCHES}");
    env.tools.run(TASK, cmd!(sh, "git checkout --quiet {first}"))?;
    let began = Instant::now();
    env.tools.run(TASK, cmd!(sh, "git {WHO...} am --quiet {names...}"))?;
    Ok(began.elapsed())
}
