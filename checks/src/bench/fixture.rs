//! The measured project: a copy with its own instance, and runs of the tool in it.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use pocdeploy::{
    config::{Config, FILE},
    env::{Env, Options},
    errors::Problem,
    provider::kind,
    tool,
};
use serde_json::Value;
use walkdir::WalkDir;
use xshell::cmd;

use crate::bench::TASK;

/// For two image builds and a rollout.
const WATCH_LIMIT: Duration = Duration::from_secs(240);

/// The source of the requested page.
const VIEWS: &str = "third_party/django-polls/polls/views.py";

/// A project below `target/pocdeploy/bench` whose source may be changed.
pub(super) struct Fixture<'a> {
    env: &'a Env,
    /// The measured tool.
    program: PathBuf,
    quiet: bool,
    pub(super) root: PathBuf,
    pub(super) instance: String,
}

impl<'a> Fixture<'a> {
    pub(super) fn new(env: &'a Env, program: PathBuf, quiet: bool) -> Result<Fixture<'a>> {
        let root = env.work(kind::BENCH);
        let instance = kind::bench_instance(&root);
        let fixture = Fixture { env, program, quiet, root, instance };
        // The leftover of an interrupted run.
        if fixture.root.join(FILE).is_file() {
            fixture.delete()?;
        }
        for name in ["build", "deploy", "third_party"] {
            copy(&env.path(name), &fixture.root.join(name))?;
        }
        let file = fs::read_to_string(env.path(FILE)).unwrap_or_default();
        let file: String = file.lines().filter(|it| !it.starts_with("name")).map(|it| format!("{it}\n")).collect();
        fs::write(fixture.root.join(FILE), format!("name = \"{}\"\n{file}", fixture.instance))
            .context("write the bench's configuration")?;
        Ok(fixture)
    }

    /// Prints to standard error what is measured, unless `--quiet`.
    pub(super) fn say(&self, text: &str) {
        if !self.quiet {
            // The reader may have ended; the work continues.
            std::io::stderr().write_all(format!("bench: {text}\n").as_bytes()).ok();
        }
    }

    /// Runs the tool in the copy; returns its standard output and duration.
    pub(super) fn tool(&self, arguments: &[&str]) -> Result<(String, Duration)> {
        self.tool_in(&self.root, arguments)
    }

    /// Runs the tool in another project.
    pub(super) fn tool_in(&self, root: &Path, arguments: &[&str]) -> Result<(String, Duration)> {
        self.say(&format!("this tool: {}", arguments.join(" ")));
        let sh = self.env.tools.shell(root)?;
        let began = Instant::now();
        let program = &self.program;
        let command = cmd!(sh, "{program} --project {root} --yes {arguments...}").env_remove("CARGO_MANIFEST_DIR");
        let out = self.env.tools.read(TASK, command)?;
        Ok((out, began.elapsed()))
    }

    /// Runs `dev` during the work, and then stops it with SIGHUP.
    pub(super) fn while_watching<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let sh = self.env.tools.shell(&self.root)?;
        let (program, root, log) = (&self.program, &self.root, self.env.work("bench/dev.log"));
        let command = cmd!(sh, "{program} --project {root} --yes dev").env_remove("CARGO_MANIFEST_DIR");
        let mut child = self.env.tools.start_daemon(TASK, command, &log)?;
        let began = Instant::now();
        let said = || fs::read_to_string(&log).unwrap_or_default();
        let mut ready = Ok(());
        while !said().contains("watching ") && ready.is_ok() {
            let ended = child.try_wait().context("look after `dev`")?.is_some();
            if ended || began.elapsed() > WATCH_LIMIT {
                ready = Err(Problem::timed_out(format!("`dev` does not watch after {} s:\n{}", began.elapsed().as_secs(), said())).into());
            } else {
                ready = self.env.interrupt.sleep(Duration::from_millis(100));
            }
        }
        let result = ready.and_then(|()| work());
        tool::terminate(child.id().cast_signed());
        child.wait().context("wait for `dev` to end")?;
        result
    }

    /// Runs `create` until the page shows a row of the database; returns its JSON object and duration.
    pub(super) fn create(&self) -> Result<(Value, Duration)> {
        let (out, took) = self.tool(&["create", "--output", "json"])?;
        let created: Value = serde_json::from_str(&out).context("read what create said")?;
        check_page(created["url"].as_str().context("create named no URL")?)?;
        Ok((created, took))
    }

    pub(super) fn delete(&self) -> Result<Duration> {
        Ok(self.tool(&["delete"])?.1)
    }

    /// The environment of the copy's instance.
    pub(super) fn surroundings(&self) -> Result<Env> {
        let config = Config::read(&self.root.join(FILE), &self.root)?.config;
        let env = Env::new(self.root.clone(), config, Options { yes: true, ..Options::default() }, self.env.report.clone())?;
        env.set_engine(self.env.engine()?.clone());
        Ok(env)
    }

    /// Changes a `.py` file of the copy, so that responses have this value in a header.
    pub(super) fn mark(&self, mark: &str) -> Result<()> {
        let original = self.env.path(VIEWS);
        let text = fs::read_to_string(&original).with_context(|| format!("read {}", original.display()))?;
        let marked = format!(
            "{text}\n\nunmarked = index\n\n\ndef index(request):\n    response = unmarked(request)\n    response[\"X-Bench\"] = \"{mark}\"\n    return response\n"
        );
        let path = self.root.join(VIEWS);
        fs::write(&path, marked).with_context(|| format!("write {}", path.display()))
    }

    /// An image that the bench makes: `delete` finds it by its name.
    pub(super) fn image(&self, name: &str) -> String {
        format!("{}{name}", kind::images_of_bench(&self.instance))
    }

    /// The instance, its images and the copy.
    pub(super) fn remove(&self) -> Result<()> {
        self.delete()?;
        let engine = self.env.engine()?;
        for image in engine.images_below(&self.image(""))? {
            engine.remove_image(&image)?;
        }
        fs::remove_dir_all(&self.root).with_context(|| format!("remove {}", self.root.display()))
    }
}

/// Checks that the page shows the first poll, which is a row of the database.
pub(super) fn check_page(url: &str) -> Result<()> {
    let text = get(url)?.0;
    if text.contains("/polls/") || text.contains("href=\"/1/") || text.contains("question") {
        return Ok(());
    }
    Err(Problem::new(format!("{url} answers without a row of the database")).into())
}

/// The body, and the value of the header that a changed source adds.
pub(super) fn get(url: &str) -> Result<(String, String)> {
    let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(5))).proxy(None).build().into();
    let mut response = agent.get(url).call().with_context(|| format!("ask {url}"))?;
    let mark = response.headers().get("x-bench").and_then(|it| it.to_str().ok()).unwrap_or_default().to_owned();
    Ok((response.body_mut().read_to_string().with_context(|| format!("read {url}"))?, mark))
}

pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        fs::remove_dir_all(to).with_context(|| format!("remove {}", to.display()))?;
    }
    for entry in WalkDir::new(from) {
        let entry = entry.with_context(|| format!("read {}", from.display()))?;
        let target = to.join(entry.path().strip_prefix(from).unwrap_or(entry.path()));
        if entry.file_type().is_dir() {
            fs::create_dir_all(&target).with_context(|| format!("create {}", target.display()))?;
        } else {
            fs::copy(entry.path(), &target).with_context(|| format!("write {}", target.display()))?;
        }
    }
    Ok(())
}
