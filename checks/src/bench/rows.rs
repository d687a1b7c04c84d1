//! The rows besides `create` and `delete`: operations on an existing cluster.

use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use pocdeploy::{
    engine::{BuildRequest, Root},
    env::Env,
    errors::Problem,
    provider::provider,
    tasks::image,
    tool::BUILD_LIMIT,
};
use serde_json::Value;
use xshell::cmd;

use crate::{
    bench::{
        TASK,
        figures::{Figures, Row},
        fixture::{Fixture, get},
        script::Script,
    },
    flags::{Bench as Flags, Peer},
};

/// The size of an image with one file of random bytes, so that no layer can be reused.
const BLOB_MEGABYTES: u64 = 250;

pub(super) fn on_a_cluster(env: &Env, fixture: &Fixture<'_>, script: &Script<'_>, flags: &Flags) -> Result<Vec<Row>> {
    let (created, _) = fixture.create()?;
    let url = created["url"].as_str().context("create named no URL")?.to_owned();
    let mut rows = vec![nothing_to_do(fixture)?, memory(&created)];
    if !flags.short {
        rows.push(update(env, fixture, &url, flags.runs())?);
    }
    rows.extend(loading(env, fixture, script, flags)?);
    if !flags.short {
        rows.push(sync(env, fixture, &url, flags.runs())?);
    }
    Ok(rows)
}

/// The durations of the tasks of our `create`, from its JSON object.
pub(super) fn tasks(created: &Value) -> Vec<Row> {
    let tasks = created["tasks"].as_array().map(Vec::as_slice).unwrap_or_default();
    let took = |it: &Value| it["ended"].as_f64().unwrap_or_default() - it["began"].as_f64().unwrap_or_default();
    let row = |it: &Value| {
        let mark = if it["critical"] == true { " *" } else { "" };
        let mut figures = Figures::default();
        figures.push(took(it));
        Row::of(&format!("create: {}{mark}", it["task"].as_str().unwrap_or_default()), "s").ours(figures)
    };
    tasks.iter().filter(|it| took(it) >= 0.1).map(row).collect()
}

fn nothing_to_do(fixture: &Fixture<'_>) -> Result<Row> {
    fixture.say("create with nothing to do");
    let mut figures = Figures::default();
    for _ in 0..5 {
        figures.add(fixture.tool(&["create"])?.1);
    }
    Ok(Row::of("create with nothing to do", "s").ours(figures))
}

fn memory(created: &Value) -> Row {
    let mut figures = Figures::default();
    if let Some(megabytes) = created["peak_memory_mb"].as_f64() {
        figures.push(megabytes);
    }
    Row::of("peak memory of create with nothing to do", "MB").ours(figures)
}

/// After this time the previous pods are gone: they have a grace period of five seconds, and saved files do not follow faster.
const REST: Duration = Duration::from_secs(8);

/// The time from saving a `.py` file to a response of the new version, with a rollout.
fn update(env: &Env, fixture: &Fixture<'_>, url: &str, runs: u16) -> Result<Row> {
    let mut figures = Figures::default();
    for run in 0..runs.max(3) {
        fixture.say(&format!("update {}", run + 1));
        env.interrupt.sleep(REST)?;
        let mark = format!("update-{run}");
        let began = Instant::now();
        fixture.mark(&mark)?;
        std::thread::scope(|scope| {
            let updated = scope.spawn(|| fixture.tool(&["update"]));
            let seen = until_marked(env, url, &mark);
            let updated = updated.join().unwrap_or_else(|_| Err(Problem::new("the thread that updates ended early").into()));
            updated.and(seen)
        })
        .map(|seen| figures.add(seen - began))?;
    }
    Ok(Row::of("update: saved .py to the new answer", "s").ours(figures))
}

/// The same with `dev`, in running pods.
fn sync(env: &Env, fixture: &Fixture<'_>, url: &str, runs: u16) -> Result<Row> {
    let mut figures = Figures::default();
    fixture.while_watching(|| {
        for run in 0..runs.max(5) {
            fixture.say(&format!("sync {}", run + 1));
            let mark = format!("sync-{run}");
            // The watcher polls every few hundredths of a second, so saves come at different moments.
            env.interrupt.sleep(Duration::from_millis(300 + 17 * u64::from(run)))?;
            let began = Instant::now();
            fixture.mark(&mark)?;
            figures.add(until_marked(env, url, &mark)? - began);
        }
        Ok(())
    })?;
    Ok(Row::of("dev: saved .py to the new answer", "s").ours(figures))
}

/// The time at which a response has the mark.
fn until_marked(env: &Env, url: &str, mark: &str) -> Result<Instant> {
    let began = Instant::now();
    loop {
        // During a rollout a request may fail; that is not measured here.
        if get(url).is_ok_and(|(_, seen)| seen == mark) {
            return Ok(Instant::now());
        }
        if began.elapsed() > Duration::from_secs(180) {
            return Err(Problem::timed_out(format!("{url} does not answer out of the changed source after 180 s")).into());
        }
        env.interrupt.sleep(Duration::from_millis(20))?;
    }
}

fn loading(env: &Env, fixture: &Fixture<'_>, script: &Script<'_>, flags: &Flags) -> Result<Vec<Row>> {
    let inside = fixture.surroundings()?;
    let provider = provider(&inside);
    let engine = env.engine()?;
    let timed = |reference: &str| -> Result<Duration> {
        let began = Instant::now();
        let published = provider.publish(&inside, reference)?;
        env.detail(TASK, format!("pods name it {published}"));
        Ok(began.elapsed())
    };
    fixture.say("loading images");
    let changed = |mark: &str| -> Result<String> {
        fixture.mark(mark)?;
        fixture.tool(&["image"])?;
        image::current(&inside, None)
    };
    let (mut layer, mut whole) = (Figures::default(), Figures::default());
    for run in 0..flags.runs().max(3) {
        layer.add(timed(&changed(&format!("layer-{run}"))?)?);
    }
    whole.add(script.load(&changed("whole")?)?);
    let (mut cold, mut save) = (Figures::default(), Figures::default());
    let rate = |took: Duration| BLOB_MEGABYTES as f64 / took.as_secs_f64();
    for run in 0..if flags.short { 1 } else { flags.runs() } {
        cold.push(rate(timed(&blob(env, &fixture.image(&format!("blob:ours-{run}")))?)?));
    }
    save.push(rate(script.load(&blob(env, &fixture.image("blob:whole"))?)?));
    let mut tag = Figures::default();
    // Otherwise the first one would also wait about four seconds for the script's unwritten data.
    rustix::fs::sync();
    for run in 0..3 {
        let name = format!("again-{run}");
        engine.tag(&fixture.image("blob:ours-0"), &fixture.image("blob"), &name)?;
        tag.add(timed(&fixture.image(&format!("blob:{name}")))?);
        engine.remove_image(&fixture.image(&format!("blob:{name}")))?;
    }
    for name in (0..flags.runs()).map(|it| format!("ours-{it}")).chain(["whole".to_owned()]) {
        engine.remove_image(&fixture.image(&format!("blob:{name}")))?;
    }
    Ok(vec![
        Row::of("image into the node: one changed layer", "s").ours(layer).other(whole),
        Row::of("image into the node: nothing known", "MB/s").ours(cold).other(save),
        Row::of("image into the node: the same under a new tag", "s").ours(tag),
    ])
}

fn blob(env: &Env, reference: &str) -> Result<String> {
    let folder = tempfile::tempdir().context("make a temporary folder")?;
    let file = folder.path().join("blob");
    let bytes = BLOB_MEGABYTES * 1_000_000;
    io::copy(&mut io::Read::take(File::open("/dev/urandom")?, bytes), &mut File::create(&file)?).context("write random bytes")?;
    fs::write(folder.path().join("Dockerfile"), "FROM scratch\nCOPY blob /blob\n").context("write a Dockerfile")?;
    let request = BuildRequest {
        context: vec![Root::whole(folder.path().to_owned(), "")],
        dockerfile: "Dockerfile".to_owned(),
        tag: reference.to_owned(),
        args: HashMap::new(),
        labels: HashMap::new(),
        network: false,
    };
    env.engine()?.build(request, |_| ())?;
    Ok(reference.to_owned())
}

/// Measures another tool's command, which must exit with 0.
pub(super) fn peer(env: &Env, fixture: &Fixture<'_>, peer: &Peer, runs: u16) -> Result<Row> {
    let Peer { name, command } = peer;
    let (program, arguments) = command.split_first().context("a peer's command is empty")?;
    let sh = env.tools.shell(&fixture.root)?;
    let mut figures = Figures::default();
    for run in 0..runs {
        fixture.say(&format!("{name}, run {}", run + 1));
        let began = Instant::now();
        env.tools.run_watched(TASK, cmd!(sh, "{program} {arguments...}").env("DOCKER_HOST", &env.engine()?.host), BUILD_LIMIT, |_| ())?;
        figures.add(began.elapsed());
    }
    Ok(Row::of(&format!("peer: {name}"), "s").other(figures))
}
