//! An application whose package comes from an index of the test's own, in `create` and in `update`, and the tool's own Python programs from the
//! same index: the first line names what is wrong with index or file, nothing of it is kept, and the next run takes the right bytes. pip and uv
//! are the real ones.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
};

use crate::{
    http::{self, Answer},
    served::{Ill, NOBODY, has_context, hex, holding, wrong},
    support::Ran,
    world::World,
};

const TINY: &str = "tiny-1.0-py3-none-any.whl";

const WHEEL: &str = "import sys, zipfile
out = zipfile.ZipFile(sys.argv[1], 'w')
out.writestr('tiny.py', 'x = 1\\n' * 200)
out.writestr('tiny-1.0.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: tiny\\nVersion: 1.0\\n')
out.writestr('tiny-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
out.writestr('tiny-1.0.dist-info/RECORD', '')
out.close()
";

/// Where the fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// The list of the files of each package.
    Index,
    /// The server of files, for those whose name begins so.
    Files(&'static str),
}

pub(crate) struct Index {
    pub(crate) world: World,
    state: Arc<Mutex<(At, Ill)>>,
    files: BTreeMap<String, Vec<u8>>,
    port: u16,
}

/// The file with another byte.
fn other(right: &[u8]) -> Vec<u8> {
    let mut out = right.to_vec();
    out[100] ^= 1;
    out
}

impl Index {
    pub(crate) fn new() -> Index {
        let world = World::new();
        let root = world.project.root.clone();
        // The tool's own programs, as the machine's pip gets them.
        let (at, lock) = (root.join("files"), Path::new(env!("CARGO_MANIFEST_DIR")).join("src/requirements/python/tools.txt"));
        let run = |command: &mut Command| assert!(command.status().unwrap().success());
        #[expect(clippy::disallowed_methods, reason = "makes files of the test")]
        let python = || Command::new("python3");
        let flags = ["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes"];
        run(python().args(flags).arg("--dest").arg(&at).arg("--requirement").arg(&lock));
        run(python().args(["-c", WHEEL]).arg(at.join(TINY)));
        let read = |it: fs::DirEntry| (it.file_name().into_string().unwrap(), fs::read(it.path()).unwrap());
        let files: BTreeMap<String, Vec<u8>> = fs::read_dir(&at).unwrap().flatten().map(read).collect();
        world.project.write("build/requirements.txt", &format!("# by hand\ntiny==1.0 --hash=sha256:{}\n", hex(&files[TINY])));
        let dockerfile = "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nCOPY wheels wheels/\nCOPY manage.py /srv/\nCMD [\"/srv/manage.py\"]\n";
        world.project.write("build/Dockerfile.frontend", dockerfile);
        let state = Arc::new(Mutex::new((At::Index, Ill::Nothing)));
        let (now, served) = (state.clone(), files.clone());
        let port = http::serve_tcp(&http::Health::default(), move |request| {
            let (at, ill) = *now.lock().unwrap();
            let name = request.path.trim_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
            let is_ill = |file: &str| matches!(at, At::Files(begin) if file.starts_with(begin));
            if let Some(right) = served.get(&name) {
                return if is_ill(&name) { ill } else { Ill::Nothing }.file(right, &other(right));
            }
            if let Some(page) = ill.page().filter(|_| at == At::Index) {
                return page;
            }
            let begin = format!("{}-", name.replace('-', "_"));
            let links = served.iter().filter(|it| it.0.starts_with(&begin)).map(|(file, right)| {
                let digest = if is_ill(file) && ill == Ill::TamperedWithDigest { hex(&other(right)) } else { hex(right) };
                let host = if is_ill(file) { ill.address(0).0.replace("127.0.0.1:0", request.header("host")) } else { String::new() };
                format!("<a href=\"{host}/f/{file}#sha256={digest}\">{file}</a>")
            });
            Answer::Whole { status: 200, kind: "text/html", body: links.collect::<String>().into_bytes() }
        });
        Index { world, state, files, port }
    }

    fn run(&self, at: At, ill: Ill, words: &[&str]) -> Ran {
        *self.state.lock().unwrap() = (at, ill);
        let (address, proxy) = if at == At::Index { ill } else { Ill::Nothing }.address(self.port);
        // The file server has no proxy of its own: with the index behind it, too, the index would be the one that is not reached.
        let mut command = self.world.command(words);
        self.settings(&mut command, &address);
        if !proxy.is_empty() {
            command.env("http_proxy", proxy);
        }
        Ran::from(command.output().unwrap())
    }

    /// pip and uv ask the index at this address alone, and keep nothing elsewhere.
    fn settings(&self, command: &mut Command, address: &str) {
        let root = &self.world.project.root;
        for (name, _) in std::env::vars().filter(|it| it.0.starts_with("PIP_") || it.0.to_lowercase().ends_with("_proxy")) {
            command.env_remove(name);
        }
        command
            .env("PIP_CONFIG_FILE", "/dev/null")
            .env("PIP_INDEX_URL", format!("{address}/simple"))
            // pip keeps what such a host sends.
            .env("PIP_TRUSTED_HOST", "127.0.0.1")
            .env("PIP_RETRIES", "1")
            .env("PIP_CACHE_DIR", root.join("pip"))
            .env("UV_CACHE_DIR", root.join("uv"));
    }

    /// The same with nothing wrong.
    pub(crate) fn well(&self, command: &mut Command) {
        self.settings(command, &Ill::Nothing.address(self.port).0);
    }

    /// All that was downloaded, with the tool's own programs or without them.
    fn forget(&self, programs: bool) {
        let root = &self.world.project.root;
        for folder in ["cache/wheels", "pip", "uv"] {
            fs::remove_dir_all(root.join(folder)).ok();
        }
        fs::remove_file(root.join("target/pocdeploy/record/wheels.json")).unwrap();
        if programs {
            let folders = fs::read_dir(root.join("cache")).unwrap().flatten();
            let ours = folders.filter(|it| it.file_name().to_string_lossy().starts_with("python-"));
            assert_eq!(ours.map(|it| fs::remove_dir_all(it.path()).unwrap()).count(), 1);
        }
    }

    /// The folders of the tool's.
    fn kept(&self) -> [PathBuf; 2] {
        ["cache", "target"].map(|it| self.world.project.root.join(it))
    }
}

/// What is wrong with the runs of these commands that meet these faults, one after the other: where, which, and what the first line says.
fn suffer(index: &Index, commands: &[&str], faults: &[(At, Ill, String)]) -> Vec<String> {
    let (all, mut found) = (index.files.values().map(|it| other(it)).collect::<Vec<_>>(), Vec::new());
    for word in commands {
        for (at, ill, says) in faults {
            let is_ours = *at == OURS;
            // `update` downloads as `create` does, and has the tool's own programs already: two kinds show that it does.
            if *word == "update" && (is_ours || ![Ill::Tampered, Ill::NoProxy].contains(ill)) {
                continue;
            }
            index.forget(is_ours);
            let ran = index.run(*at, *ill, &[word, "--yes"]);
            let is_other = |it: &[u8]| all.iter().any(|other| it == other);
            found.extend(wrong(&format!("{ill:?} of {at:?} in {word}"), &ran, &[says], &index.kept(), is_other));
            // The engine in memory has no node to load the image into.
            index.run(At::Index, Ill::Nothing, &["image"]).ends_with(0);
            let right = |folder: &str| holding(&[index.world.project.root.join(folder)], |it| it == index.files[TINY]).len();
            assert_eq!((right("cache"), right("target")), (1, 1));
        }
    }
    let build = index.world.engine.builds().pop().unwrap();
    assert!(has_context(&build.context, &Path::new("wheels").join(TINY), &index.files[TINY]));
    found
}

/// The application's package, and one of the tool's own.
const APPS: At = At::Files("tiny-");
const OURS: At = At::Files("stdlib_list-");

/// The faults of the index, and what the first line says.
fn of_index(index: &Index) -> Vec<(At, Ill, String)> {
    let the_index = |rest: &str| format!("the package index http://127.0.0.1:{}/simple {rest}", index.port);
    let other_place = |place: &str, rest: &str| format!("the package index http://{place}/simple does not answer{rest}");
    vec![
        (At::Index, Ill::Page, the_index("answers with a web page that lists no file of a package, such as a login page")),
        (At::Index, Ill::Unavailable, the_index("answers with an error: 503")),
        (At::Index, Ill::Closed, other_place(NOBODY, ": Connection refused")),
        (At::Index, Ill::NoName, other_place("index.invalid", ": its name does not resolve")),
        (At::Index, Ill::NoProxy, other_place("index.invalid", &format!(" through the proxy {NOBODY}"))),
    ]
}

/// The faults of the files of one of the two packages.
fn of_files(index: &Index, at: At) -> Vec<(At, Ill, String)> {
    let begin = if at == OURS { "stdlib_list-" } else { "tiny-" };
    let name = index.files.keys().find(|it| it.starts_with(begin)).unwrap();
    let changed = format!("http://127.0.0.1:{}/f/{name} is not what its pinned digest says", index.port);
    let mut out = vec![
        (at, Ill::Tampered, changed.clone()),
        // The pip that Python brings reads no length, so it has a digest to compare.
        (at, Ill::Cut, if at == OURS { changed.clone() } else { "a file is no package, as if it were cut".to_owned() }),
        (at, Ill::Unavailable, "the server answers with an error: ".to_owned()),
    ];
    if at == APPS {
        out.extend([
            (at, Ill::TamperedWithDigest, changed),
            (at, Ill::Page, "a file is no package, as if it were cut or a web page: `tiny` (v1.0): ".to_owned()),
            (at, Ill::Closed, format!("the server refuses the connection: http://{NOBODY}/f/{name}: ")),
            (at, Ill::NoName, format!("the server's name does not resolve: http://index.invalid/f/{name}: ")),
        ]);
    }
    out
}

#[test]
fn a_login_page_for_an_index_and_a_wheel_with_other_bytes_are_named_first_and_the_next_run_takes_the_right_ones() {
    let index = Index::new();
    index.run(At::Index, Ill::Nothing, &["image"]).ends_with(0);
    let is_one = |it: &(At, Ill, String)| [(At::Index, Ill::Page), (APPS, Ill::Tampered)].contains(&(it.0, it.1));
    let some: Vec<_> = of_index(&index).into_iter().chain(of_files(&index, APPS)).filter(is_one).collect();
    assert_eq!(some.len(), 2);
    let found = suffer(&index, &["create"], &some);
    assert!(found.is_empty(), "{}", found.join("\n\n"));
}

#[test]
#[ignore = "long: `cargo xtask test --full` runs it"]
fn a_fault_of_the_package_index_or_of_its_files_is_named_first_and_the_next_run_takes_the_right_ones() {
    let found = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for number in 0..3 {
            let found = &found;
            scope.spawn(move || {
                let index = Index::new();
                index.run(At::Index, Ill::Nothing, &["image"]).ends_with(0);
                let faults = match number {
                    0 => of_index(&index),
                    1 => of_files(&index, OURS),
                    _ => of_files(&index, APPS),
                };
                found.lock().unwrap().extend(suffer(&index, &["create", "update"], &faults));
            });
        }
    });
    let found = found.into_inner().unwrap();
    assert!(found.is_empty(), "{}", found.join("\n\n"));
}
