//! Where a secret is: a random canary as the application's key and as the database's password in a real instance, and a search in every
//! channel that others could read. Only the two Secrets that are their homes have them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use serde_json::Value;

use crate::bench::{Bench, Ran, content, tool};

/// The Secrets of the cluster that have a canary, and their entries.
const HOMES: [&str; 3] = ["frontend-app/secret-key", "polls-db-app/password", "polls-db-app/uri"];

/// Commands besides `create`, each with the verbosity that shows most of it.
const COMMANDS: [&[&str]; 16] = [
    &["status", "-v"],
    &["status", "--output", "json"],
    &["validate", "-v"],
    &["validate", "--output", "json"],
    &["plan", "-v"],
    &["plan", "--output", "json"],
    &["history", "-v"],
    &["config", "show", "--origin"],
    &["config", "show", "--output", "json"],
    &["graph", "-v"],
    &["explain", "deploy", "-v"],
    &["doctor", "-v"],
    &["logs"],
    &["logs", "--json"],
    &["ls", "-v"],
    &["report"],
];

/// The canaries in all their forms, and what was searched.
struct Search {
    needles: Vec<Vec<u8>>,
    first: [bool; 256],
    /// The bytes of each channel.
    channels: BTreeMap<&'static str, usize>,
    found: Vec<String>,
}

impl Search {
    fn new(canaries: &[&str]) -> Search {
        let mut needles: Vec<Vec<u8>> = Vec::new();
        for canary in canaries {
            needles.push(canary.as_bytes().to_vec());
            for before in 0..3 {
                // What the characters of the canary alone decide, at each of the three positions in base64.
                let text = STANDARD_NO_PAD.encode([" ".repeat(before).as_bytes(), canary.as_bytes()].concat());
                needles.push(text.as_bytes()[[0, 2, 3][before]..text.len() - 1].to_vec());
            }
        }
        let mut first = [false; 256];
        needles.iter().for_each(|it| first[usize::from(it[0])] = true);
        Search { needles, first, channels: BTreeMap::new(), found: Vec::new() }
    }

    fn holds(&self, bytes: &[u8]) -> bool {
        (0..bytes.len()).any(|at| self.first[usize::from(bytes[at])] && self.needles.iter().any(|it| bytes[at..].starts_with(it)))
    }

    /// `what` names the piece of the channel.
    fn look(&mut self, channel: &'static str, what: &str, bytes: &[u8]) {
        *self.channels.entry(channel).or_default() += bytes.len();
        if self.holds(bytes) {
            self.found.push(format!("{channel}: {what}"));
        }
    }

    fn ran(&mut self, words: &[&str], ran: &Ran) {
        self.look("standard output", &words.join(" "), ran.stdout.as_bytes());
        self.look("standard error", &words.join(" "), ran.stderr.as_bytes());
        if words.contains(&"json") {
            self.look("output for machines", &words.join(" "), ran.stdout.as_bytes());
        }
    }
}

fn random(bytes: usize) -> String {
    let mut out = vec![0; bytes];
    fs::File::open("/dev/urandom").unwrap().read_exact(&mut out).unwrap();
    out.iter().map(|it| format!("{it:02x}")).collect()
}

pub(crate) fn are_in_their_homes_alone(bench: &Bench) {
    let (key, password) = (random(32), random(16));
    let mut search = Search::new(&[&key, &password]);
    // The search can fail.
    assert!(search.holds(format!("x{key}").as_bytes()) && search.holds(STANDARD_NO_PAD.encode(format!("ab:{password}:c")).as_bytes()));
    let command = |words: &[&str]| {
        let mut command = bench.command(words);
        command.env("POCDEPLOY_SECRET_KEY", &key).env("POCDEPLOY_DATABASE_PASSWORD", &password);
        command
    };
    let git = |words: &[&str]| {
        let identity = ["-c", "user.name=x", "-c", "user.email=x@example.com", "-C"];
        let root = bench.path("");
        let mut git = crate::bench::command(Path::new("git"), &root, &[&identity[..], &[root.to_str().unwrap()], words].concat());
        Ran::from(git.output().unwrap())
    };
    for words in [&["init", "--quiet"][..], &["add", "--all"], &["commit", "--quiet", "--message", "x"]] {
        git(words).ends_with(0);
    }

    let url = bench.step("create, with every process that it starts looked at", || {
        // So that an image is built.
        bench.edit_source(&format!("# {}\n", bench.instance));
        let (ran, processes) = watched(command(&["create", "--yes", "-v"]));
        ran.ends_with(0);
        search.ran(&["create", "-v"], &ran);
        for (arguments, environment) in &processes {
            let shown = String::from_utf8_lossy(arguments).replace('\0', " ");
            search.look("arguments of processes", &shown, arguments);
            search.look("environment of processes", &shown, environment);
        }
        let started: BTreeSet<String> = processes.iter().map(|(it, _)| name(it)).collect();
        eprintln!("   {} processes: {}", processes.len(), started.iter().cloned().collect::<Vec<_>>().join(", "));
        assert!(started.contains("kind") && processes.len() >= 5, "{started:?}");
        ran.stdout.trim_end().to_owned()
    });

    bench.step("what every command prints and writes", || {
        for words in [&["create", "--yes", "-q"][..], &["create", "--yes", "--output", "json"], &["create", "--yes", "--events"]] {
            let ran = bench.ran_quietly(&mut command(words));
            ran.ends_with(0);
            search.ran(words, &ran);
            if words.contains(&"--events") {
                search.look("events of a run", "--events", ran.stdout.as_bytes());
            }
        }
        for words in COMMANDS {
            let ran = bench.ran_quietly(&mut command(words));
            assert!([0, 4].contains(&ran.code), "{words:?}: {}{}", ran.stdout, ran.stderr);
            search.ran(words, &ran);
        }
        // The change of a secret is shown, and neither value.
        let mut planned = command(&["plan", "-v"]);
        let planned = bench.ran_quietly(planned.env("POCDEPLOY_SECRET_KEY", random(32)));
        assert!(planned.stdout.contains("data.secret-key: [redacted] -> [redacted]"), "{}{}", planned.stdout, planned.stderr);
        search.ran(&["plan", "with another key"], &planned);
        let plan = bench.ran_quietly(&mut command(&["plan", "--out", "plan.json"]));
        plan.ends_with(0);
        search.ran(&["plan", "--out"], &plan);
        search.look("kept plans", "plan.json", &fs::read(bench.path("plan.json")).unwrap());
        bench.ran_quietly(&mut command(&["support-bundle", "--out", "bundle.tar.gz"])).ends_with(0);
        let packed = fs::File::open(bench.path("bundle.tar.gz")).unwrap();
        let mut bundle = Vec::new();
        flate2::read::GzDecoder::new(packed).read_to_end(&mut bundle).unwrap();
        search.look("the support bundle", "bundle.tar.gz", &bundle);
    });

    bench.step("files of the project, and what git sees of them", || {
        for (name, bytes) in content(&bench.path("")) {
            search.look("files of the project", &name, &bytes);
            let channel = match &name {
                it if it.contains("/record/") => "records",
                it if it.contains("/runs/") || it.contains("/log/") => "logs",
                _ => continue,
            };
            search.look(channel, &name, &bytes);
        }
        for words in [&["status", "--porcelain", "--ignored"][..], &["diff"]] {
            search.look("git", words[0], git(words).ends_with(0).stdout.as_bytes());
        }
    });

    bench.step("the image with its configuration and history, the node, and the page", || {
        let image = bench.kubectl("-n polls get deployment polls-frontend -o jsonpath={.spec.template.spec.containers[0].image}");
        let reference = image.trim().trim_start_matches("docker.io/library/");
        let mut archive = Vec::new();
        bench.engine().export_to(reference, &mut archive).unwrap();
        look_into_image(&mut search, &archive);
        let docker = |words: &[&str]| {
            let mut docker = crate::bench::command(Path::new("docker"), &bench.path(""), words);
            Ran::from(docker.env("DOCKER_HOST", &bench.engine().host).output().unwrap())
        };
        search.look("history of the image", reference, docker(&["history", "--no-trunc", reference]).ends_with(0).stdout.as_bytes());
        search.look("inspection of the node", "docker inspect", docker(&["inspect", &bench.node()]).ends_with(0).stdout.as_bytes());
        search.look("log of the node", "docker logs", bench.engine().log(&bench.node(), 100_000).unwrap().as_bytes());
        let journal = bench.engine().exec(&bench.node(), &["journalctl", "--no-pager"]).unwrap();
        search.look("journal of the node", "journalctl", journal.stdout.as_bytes());
        for path in ["", "polls/", "no-such-page"] {
            let mut answer = ureq::get(&format!("{url}{path}")).config().http_status_as_error(false).build().call().unwrap();
            let heads = format!("{:?}", answer.headers());
            search.look("the page", path, format!("{heads}{}", answer.body_mut().read_to_string().unwrap_or_default()).as_bytes());
        }
    });

    bench.step("every object of the cluster, and the logs of its pods", || {
        let kinds = bench.kubectl("api-resources --verbs=list -o name");
        for kind in kinds.split_whitespace().filter(|it| *it != "secrets") {
            let said = bench.kubectl(&format!("get {kind} -A -o json --show-managed-fields"));
            let channel = match kind {
                "configmaps" => "ConfigMaps",
                "events" | "events.events.k8s.io" => "events of the cluster",
                "pods" => "pods",
                _ => "other objects",
            };
            search.look(channel, kind, said.as_bytes());
        }
        let pods: Value = serde_json::from_str(&bench.kubectl("get pods -A -o json")).unwrap();
        for pod in pods["items"].as_array().unwrap() {
            let of = |field: &str| pod["metadata"][field].as_str().unwrap();
            let (namespace, name) = (of("namespace"), of("name"));
            let said = bench.kubectl(&format!("-n {namespace} logs {name} --all-containers"));
            search.look("logs of pods", name, said.as_bytes());
        }
    });

    let homes = bench.step("the Secrets, whose heads have nothing either", || {
        let secrets: Value = serde_json::from_str(&bench.kubectl("get secrets -A -o json --show-managed-fields")).unwrap();
        let mut homes = Vec::new();
        for secret in secrets["items"].as_array().unwrap() {
            let name = secret["metadata"]["name"].as_str().unwrap();
            search.look("heads of Secrets", name, secret["metadata"].to_string().as_bytes());
            for (entry, value) in secret["data"].as_object().into_iter().flatten() {
                if search.holds(value.as_str().unwrap().as_bytes()) {
                    homes.push(format!("{name}/{entry}"));
                }
            }
        }
        homes
    });
    for (channel, bytes) in &search.channels {
        eprintln!("   {channel:26} {bytes:>11} bytes");
        assert!(*bytes > 0, "nothing was read of: {channel}");
    }
    assert_eq!(search.found, Vec::<String>::new());
    assert_eq!(homes, HOMES);
    assert!(search.channels.len() >= 25, "{} channels", search.channels.len());
    eprintln!("   no canary in {} channels", search.channels.len());
}

/// Every file of every layer, and the configuration.
fn look_into_image(search: &mut Search, archive: &[u8]) {
    for entry in tar::Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        if bytes.starts_with(&[0x1f, 0x8b]) {
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(bytes.as_slice()).read_to_end(&mut plain).unwrap();
            bytes = plain;
        }
        let channel = if bytes.starts_with(b"{") || bytes.starts_with(b"[") { "configuration of the image" } else { "layers of the image" };
        search.look(channel, &name, &bytes);
    }
}

/// The arguments and the environment of a process, as the kernel has them.
type Process = (Vec<u8>, Vec<u8>);

/// Runs a command, and returns arguments and environment of every process that it starts.
fn watched(mut command: Command) -> (Ran, BTreeSet<Process>) {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (root, ended) = (child.id(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let sampler = scope.spawn(|| {
            let mut seen = BTreeSet::new();
            while !ended.load(Ordering::Relaxed) {
                sample(root, &mut seen);
                std::thread::sleep(Duration::from_millis(2));
            }
            seen
        });
        let ran = Ran::from(child.wait_with_output().unwrap());
        ended.store(true, Ordering::Relaxed);
        (ran, sampler.join().unwrap())
    })
}

fn sample(root: u32, seen: &mut BTreeSet<Process>) {
    let parents: BTreeMap<u32, u32> = processes().filter_map(|it| Some((it, parent(it)?))).collect();
    for process in parents.keys() {
        let mut above = parents.get(process);
        while above.is_some_and(|it| *it != root) {
            above = above.and_then(|it| parents.get(it));
        }
        let folder = PathBuf::from(format!("/proc/{process}"));
        // Until a child becomes another program, it is a copy of the tool.
        let is_program = || fs::read_link(folder.join("exe")).is_ok_and(|it| it != tool());
        if above.is_none() || !is_program() {
            continue;
        }
        let (arguments, environment) = (fs::read(folder.join("cmdline")), fs::read(folder.join("environ")));
        if let (Ok(arguments), Ok(environment)) = (arguments, environment)
            && !arguments.is_empty()
        {
            seen.insert((arguments, environment));
        }
    }
}

fn processes() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc").unwrap().flatten().filter_map(|it| it.file_name().to_str()?.parse().ok())
}

fn parent(process: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split_whitespace().nth(1)?.parse().ok()
}

/// The program's name.
fn name(arguments: &[u8]) -> String {
    let first = arguments.split(|it| *it == 0).next().unwrap_or_default();
    String::from_utf8_lossy(first).rsplit('/').next().unwrap_or_default().to_owned()
}
