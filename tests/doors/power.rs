//! A disk that loses its power in the middle of a run: what was not flushed is gone. Every record on it is whole or absent, and the next run
//! ends well.
//!
//! Work folder and cache are on a file system of their own, in a file; wheels, the tool's own programs and a product of Go's are made again in it
//! while the power is lost. A copy of that file, made while the run goes on, is what the disk would have
//! after a loss of power, if nothing was written while it was copied. Mounting needs root and a loop device.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::{
    downloads,
    support::{Ran, tool},
    wheels::Index,
    world::INSTANCE,
};

const MB: usize = 1024 * 1024;

/// Mounts the image `$1` over the work folder of the project `$2`, and a folder of it over the cache, runs the rest, writes its exit code into the
/// file `$3`, and keeps the disk until the input ends.
const RUN: &str =
    "mount -o loop \"$1\" \"$2/target\" || exit 99; mkdir -p \"$2/target/cache\"; mount --bind \"$2/target/cache\" \"$2/cache\" || exit 99
cd \"$2\"; ended=$3; shift 3; \"$@\" < /dev/null; echo $? > $ended.new; mv $ended.new $ended; cat > /dev/null";

/// Lists the records that are torn, and what is torn in the cache: other than in the folder `sys.argv[1]`, which has all of it.
const TORN: &str = "\
import filecmp, json, pathlib, sys
for path in pathlib.Path('target/pocdeploy').rglob('*.json'):
    try:
        json.loads(path.read_text())
    except ValueError as error:
        print(path, error)
cache, right = pathlib.Path('cache'), pathlib.Path(sys.argv[1])
def files(root):
    return {it.relative_to(root) for it in root.rglob('*') if it.is_file() and it.suffix != '.pyc'}
def whole(folder):
    if missing := files(right / folder) - files(cache / folder):
        print(folder, 'lacks', missing)
for name in (it.name for it in right.iterdir()):
    if name.startswith('python-') and (cache / name / '.finished').exists():
        whole(name)
for wheels in (it for it in (right / 'wheels').iterdir() if (cache / 'wheels' / it.name).exists()):
    whole(pathlib.Path('wheels') / wheels.name)
for path in files(right):
    top = path.parts[0]
    counts = not top.startswith('python-') or (cache / top / '.finished').exists()
    if counts and (cache / path).exists() and not filecmp.cmp(cache / path, right / path, shallow=False):
        print(path, 'is torn')
";

/// What the next run makes again.
const AGAIN: &str = "rm -rf cache/wheels cache/scripts-* cache/images/operator-objects-* cache/go target/pocdeploy/record/wheels.json";

struct Bench {
    index: Index,
    /// The port of the server of Go modules.
    go: u16,
    /// Of the disk that is used, and of those that lost their power.
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Bench {
        let index = Index::new();
        let (_, _, go) = downloads::serve(&index.world);
        let bench = Bench { index, go, folder: tempfile::tempdir().unwrap() };
        // The image's name is that of its wheels, too.
        let mut command = bench.index.world.command(&["requirements"]);
        bench.settings(&mut command);
        Ran::from(command.output().unwrap()).ends_with(0);
        bench.index.world.build();
        // All that the cache may have.
        plain("sh", &["-c", &format!("cd '{}' && {AGAIN}", bench.index.world.project.root.display())]);
        let mut command = bench.index.world.command(&["create", "--yes"]);
        bench.settings(&mut command);
        Ran::from(command.output().unwrap()).ends_with(0);
        let copy = "mkdir \"$2\" && cd \"$1\" && cp -a --parents wheels scripts-* python-* images/operator-objects-* \"$2\"";
        let cache = bench.index.world.project.root.join("cache").display().to_string();
        plain("sh", &["-c", copy, "sh", &cache, &bench.image("right").display().to_string()]);
        bench
    }

    fn settings(&self, command: &mut Command) {
        self.index.well(command);
        downloads::settings(command, &format!("http://127.0.0.1:{}", self.go));
    }

    fn image(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// An empty disk and cluster, and all that takes minutes to build.
    fn begin(&self) {
        let world = &self.index.world;
        world.clear_cluster();
        world.engine.node(INSTANCE, world.cluster.port);
        world.run(&["patch"]).ends_with(0);
        world.build();
        let image = self.image("disk");
        fs::File::create(&image).unwrap().set_len(4096 * MB as u64).unwrap();
        // A cache needs 3 GB of room. What is never written takes none.
        let small = ["-N", "30000", "-m", "0", "-J", "size=8", "-E", "lazy_itable_init=0,lazy_journal_init=0"];
        plain("mkfs.ext4", &[&["-q", "-F"], &small[..], &[&image.display().to_string()]].concat());
        let (root, before) = (&world.project.root, self.image("before"));
        plain("cp", &["-a", &root.join("target").display().to_string(), &before.display().to_string()]);
        plain("cp", &["-a", &root.join("cache").display().to_string(), &before.join("cache").display().to_string()]);
        let filled = finish(self.on(&image, &["cp", "-a", &format!("{}/.", before.display()), "target/"]).spawn());
        assert!(filled.code == 0 && self.code() == "0", "this test needs root and a loop device: {}", filled.stderr);
        fs::remove_dir_all(before).unwrap();
    }

    /// The exit code of the last command.
    fn code(&self) -> String {
        fs::read_to_string(self.image("ended")).unwrap_or_default().trim().to_owned()
    }

    /// What runs a command in the project, with this disk as its work folder.
    fn on(&self, image: &Path, words: &[&str]) -> Disk<'_> {
        Disk { bench: self, image: image.to_owned(), words: words.iter().map(|it| (*it).to_owned()).collect() }
    }

    fn tool_on(&self, image: &Path, words: &[&str]) -> Ran {
        let tool = tool().display().to_string();
        finish(self.on(image, &[&[tool.as_str()], words].concat()).spawn())
    }
}

struct Disk<'a> {
    bench: &'a Bench,
    image: PathBuf,
    words: Vec<String>,
}

impl Disk<'_> {
    fn spawn(&self) -> Child {
        let root = &self.bench.index.world.project.root;
        let mut command =
            self.bench.index.world.command_of(Path::new("unshare"), &["--mount", "--propagation", "private", "sh", "-c", RUN, "sh"]);
        self.bench.settings(&mut command);
        fs::remove_file(self.bench.image("ended")).ok();
        command.arg(&self.image).arg(root).arg(self.bench.image("ended")).args(&self.words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

fn plain(program: &str, arguments: &[&str]) {
    #[expect(clippy::disallowed_methods, reason = "prepares the disk")]
    let made = Command::new(program).args(arguments).output().unwrap();
    assert!(made.status.success(), "{made:?}");
}

/// Waits for a command, whose disk is then written to its end.
fn finish(mut child: Child) -> Ran {
    drop(child.stdin.take());
    Ran::from(child.wait_with_output().unwrap())
}

/// What was written to the loop device of an image so far, and what is on its way.
fn written(image: &Path) -> Option<String> {
    let devices = fs::read_dir("/sys/block").unwrap().flatten().map(|it| it.path());
    let is_its = |it: &PathBuf| fs::read_to_string(it.join("loop/backing_file")).is_ok_and(|it| Path::new(it.trim()) == image);
    let found = devices.into_iter().find(is_its)?;
    let numbers = fs::read_to_string(found.join("stat")).ok()?;
    let numbers: Vec<&str> = numbers.split_whitespace().collect();
    // Requests and sectors written, and requests on their way.
    (numbers[8] == "0").then(|| format!("{} {}", numbers[4], numbers[6]))
}

/// Copies a disk that is in use, if nothing is written meanwhile.
fn lose_power(image: &Path, to: &Path) -> bool {
    let Some(before) = written(image) else { return false };
    // Without what was never written.
    plain("cp", &["--sparse=always", &image.display().to_string(), &to.display().to_string()]);
    written(image) == Some(before)
}

/// Runs the command, and returns the disks that lost their power meanwhile, and one that lost it when the command had ended.
fn cut(bench: &Bench, words: &[&str], count: usize, pause: Duration) -> Vec<PathBuf> {
    let disk = bench.image("disk");
    let tool = tool().display().to_string();
    let child = bench.on(&disk, &[&[tool.as_str()], words].concat()).spawn();
    let mut out = Vec::new();
    while !bench.image("ended").exists() {
        let to = bench.image(&format!("cut-{}", out.len()));
        if out.len() < count && lose_power(&disk, &to) {
            out.push(to);
        }
        std::thread::sleep(pause);
    }
    let last = bench.image("cut-last");
    while !lose_power(&disk, &last) {}
    out.push(last);
    let ran = finish(child);
    assert_eq!(bench.code(), "0", "{}", ran.stderr);
    out
}

#[test]
#[ignore = "long, needs root and a loop device: `cargo xtask test --full` runs it"]
fn a_disk_that_loses_power_has_whole_records_and_the_next_run_ends_well() {
    let bench = Bench::new();
    let world = &bench.index.world;
    let (mut cuts, mut wrong) = (0, Vec::new());
    for round in 0..2 {
        for word in ["create", "update"] {
            let text = format!("import django\nDEBUG = True\nlast = 1\nx = '{round}{word}'\n");
            world.project.write("third_party/django-polls/manage.py", &text);
            if word == "create" {
                bench.begin();
            } else {
                world.run(&["patch"]).ends_with(0);
                world.build();
            }
            // The tool's own Python programs take longest.
            let (programs, pause) = if round == 0 && word == "create" { ("; rm -rf cache/python-*", 2000) } else { ("", 200) };
            finish(bench.on(&bench.image("disk"), &["sh", "-c", &format!("{AGAIN}{programs}; sync")]).spawn());
            for disk in cut(&bench, &[word, "--yes"], 8, Duration::from_millis(pause)) {
                cuts += 1;
                let at = format!("round {round}, {word}, {}", disk.file_name().unwrap().display());
                let right = bench.image("right").display().to_string();
                let torn = |when: &str| {
                    let torn = finish(bench.on(&disk, &["python3", "-c", TORN, &right]).spawn());
                    (bench.code() != "0" || !torn.stdout.trim().is_empty())
                        .then(|| format!("{at}: torn {when}: {}{}", torn.stdout, torn.stderr))
                };
                wrong.extend(torn("at once"));
                for words in [&["status"][..], &["create", "--yes"], &["plan", "--detailed-exitcode"]] {
                    let ran = bench.tool_on(&disk, words);
                    let code = bench.code();
                    if code != "0" && words != ["status"] || ran.stderr.contains("panicked") {
                        wrong.push(format!("{at}: {words:?}: {code}{}{}", ran.stdout, ran.stderr));
                    }
                }
                wrong.extend(torn("after the next run"));
                fs::remove_file(disk).unwrap();
            }
            eprintln!("round {round}, {word}: {cuts} cuts so far, wrong: {wrong:?}");
        }
    }
    std::io::stderr().write_all(format!("{cuts} cuts\n").as_bytes()).unwrap();
    assert!(cuts >= 30, "{cuts}");
    assert!(wrong.is_empty(), "{} of {cuts}:\n{}", wrong.len(), wrong.join("\n\n"));
}
