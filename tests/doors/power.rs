//! A disk that loses its power in the middle of a run: what was not flushed is gone. Every record on it is whole or absent, and the next run
//! ends well.
//!
//! The work folder is on a file system of its own, in a file. A copy of that file, made while the run goes on, is what the disk would have
//! after a loss of power, if nothing was written while it was copied. Mounting needs root and a loop device.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::{
    support::{Ran, tool},
    world::{INSTANCE, World},
};

const MB: usize = 1024 * 1024;

/// Mounts the image `$1` over the work folder of the project `$2`, runs the rest, writes its exit code into the file `$3`, and keeps the disk
/// until the input ends.
const RUN: &str = "mount -o loop \"$1\" \"$2/target\" || exit 99; cd \"$2\"; ended=$3; shift 3; \"$@\" < /dev/null; echo $? > $ended.new; mv $ended.new $ended; cat > /dev/null";

/// Lists the records that are torn.
const TORN: &str = "\
import json, pathlib
for path in pathlib.Path('target').rglob('*.json'):
    try:
        json.loads(path.read_text())
    except ValueError as error:
        print(path, error)
";

struct Bench {
    world: World,
    /// Of the disk that is used, and of those that lost their power.
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Bench {
        Bench { world: World::without_node(), folder: tempfile::tempdir().unwrap() }
    }

    fn image(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// An empty disk and cluster, and all that takes minutes to build.
    fn begin(&self) {
        self.world.clear_cluster();
        self.world.engine.node(INSTANCE, self.world.cluster.port);
        self.world.run(&["patch"]).ends_with(0);
        self.world.build();
        let image = self.image("disk");
        fs::File::create(&image).unwrap().set_len(48 * MB as u64).unwrap();
        plain("mkfs.ext4", &["-q", "-F", &image.display().to_string()]);
        let (target, before) = (self.world.project.root.join("target"), self.image("before"));
        plain("cp", &["-a", &target.display().to_string(), &before.display().to_string()]);
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
        let root = &self.bench.world.project.root;
        let mut command =
            self.bench.world.command_of(Path::new("unshare"), &["--mount", "--propagation", "private", "sh", "-c", RUN, "sh"]);
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
    fs::copy(image, to).unwrap();
    written(image) == Some(before)
}

/// Runs the command, and returns the disks that lost their power meanwhile, and one that lost it when the command had ended.
fn cut(bench: &Bench, words: &[&str], count: usize) -> Vec<PathBuf> {
    let disk = bench.image("disk");
    let tool = tool().display().to_string();
    let child = bench.on(&disk, &[&[tool.as_str()], words].concat()).spawn();
    let mut out = Vec::new();
    while !bench.image("ended").exists() {
        let to = bench.image(&format!("cut-{}", out.len()));
        if out.len() < count && lose_power(&disk, &to) {
            out.push(to);
        }
        std::thread::sleep(Duration::from_millis(20));
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
    let (mut cuts, mut wrong) = (0, Vec::new());
    for round in 0..4 {
        for word in ["create", "update"] {
            bench
                .world
                .project
                .write("third_party/django-polls/manage.py", &format!("import django\nDEBUG = True\nlast = 1\nx = '{round}{word}'\n"));
            if word == "create" {
                bench.begin();
            } else {
                bench.world.run(&["patch"]).ends_with(0);
                bench.world.build();
            }
            for disk in cut(&bench, &[word, "--yes"], 6) {
                cuts += 1;
                let at = format!("round {round}, {word}, {}", disk.file_name().unwrap().display());
                let torn = finish(bench.on(&disk, &["python3", "-c", TORN]).spawn());
                if !torn.stdout.trim().is_empty() || !torn.stderr.is_empty() {
                    wrong.push(format!("{at}: torn: {}{}", torn.stdout, torn.stderr));
                }
                for words in [&["status"][..], &["create", "--yes"], &["plan", "--detailed-exitcode"]] {
                    let ran = bench.tool_on(&disk, words);
                    let code = bench.code();
                    if code != "0" && words != ["status"] || ran.stderr.contains("panicked") {
                        wrong.push(format!("{at}: {words:?}: {code}{}{}", ran.stdout, ran.stderr));
                    }
                }
                fs::remove_file(disk).unwrap();
            }
        }
    }
    std::io::stderr().write_all(format!("{cuts} cuts\n").as_bytes()).unwrap();
    assert!(cuts >= 30, "{cuts}");
    assert!(wrong.is_empty(), "{} of {cuts}:\n{}", wrong.len(), wrong.join("\n\n"));
}
