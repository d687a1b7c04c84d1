//! Files of a package index of the test's own, of which a byte is another: what the tool does with them, with the machine's own pip.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
};

use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::{
    config::Config,
    env::{Env, Options},
    errors::{self, Code, Exit},
    fingerprint::hex,
    graph::TaskId,
    http::{self, Answer},
    report::Recorder,
    requirements::{environment::made, settings::Settings, target::Target, wheels},
};

const WHEEL: &str = "import sys, zipfile
name, at = sys.argv[1:]
out = zipfile.ZipFile(at, 'w')
out.writestr(name + '.py', 'x = 1\\n' * 200)
out.writestr(name + '-1.0.dist-info/METADATA', f'Metadata-Version: 2.1\\nName: {name}\\nVersion: 1.0\\n')
out.writestr(name + '-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
out.writestr(name + '-1.0.dist-info/RECORD', '')
out.close()
";

/// An index with wheels. Caches may keep every file for a year, as PyPI allows it.
struct Index {
    dir: tempfile::TempDir,
    files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    port: u16,
    env: Env,
}

impl Index {
    fn new() -> Index {
        let dir = tempfile::tempdir().unwrap();
        let files: Arc<Mutex<BTreeMap<String, Vec<u8>>>> = Arc::default();
        let served = files.clone();
        let port = http::serve_tcp(&http::Health::default(), move |request| {
            let name = request.path.trim_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
            if !name.ends_with(".whl") {
                return Answer::Whole {
                    status: 200,
                    kind: "text/html",
                    body: format!("<a href=\"/f/{name}-1.0-py3-none-any.whl\">{name}</a>").into_bytes(),
                };
            }
            let body = served.lock().unwrap().get(&name).cloned().unwrap_or_default();
            Answer::Takeover(Box::new(move |out| {
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nDate: Fri, 01 Jan 2100 00:00:00 GMT\r\nCache-Control: max-age=31536000, immutable\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                out.write_all(&[head.as_bytes(), &body].concat()).unwrap();
            }))
        });
        let root = dir.path().canonicalize().unwrap();
        let env = Env::new(root.clone(), Config::default(), Options::default(), Arc::new(Recorder::default())).unwrap();
        Index { env: env.with_cache(root.join("cache")), dir, files, port }
    }

    /// Puts a wheel there; returns its pin.
    fn add(&self, name: &str) -> String {
        let at = self.dir.path().join("new.whl");
        #[expect(clippy::disallowed_methods, reason = "makes a file of the test")]
        let made = Command::new("python3").args(["-c", WHEEL, name]).arg(&at).status().unwrap();
        assert!(made.success());
        let bytes = fs::read(&at).unwrap();
        // pip prints a line for each digest that would fit, and packages have a file for each machine and version of Python.
        let others: String = (0..40).map(|it| format!(" --hash=sha256:{it:064x}")).collect();
        let pin = format!("{name}==1.0{others} --hash=sha256:{}", hex(&Sha256::digest(&bytes)));
        self.files.lock().unwrap().insert(format!("{name}-1.0-py3-none-any.whl"), bytes);
        pin
    }

    /// Changes a byte of a wheel, or changes it back.
    fn tamper(&self, name: &str) {
        let mut files = self.files.lock().unwrap();
        let bytes = files.get_mut(&format!("{name}-1.0-py3-none-any.whl")).unwrap();
        bytes[100] ^= 1;
    }

    /// pip's options: this index, and a cache of its own, which pip uses for a host that it trusts.
    fn options(&self) -> String {
        let cache = self.dir.path().join("pip");
        json!({ "index-url": format!("http://127.0.0.1:{}/simple", self.port), "cache-dir": cache.to_str().unwrap(), "trusted-host": "127.0.0.1" }).to_string()
    }
}

#[track_caller]
fn refused<T>(result: anyhow::Result<T>, file: &str) {
    let Err(error) = result else { panic!("{file} was taken") };
    let text = format!("{error:#}");
    let first = text.lines().next().unwrap();
    assert!(first.contains(file) && first.contains("is not what its pinned digest says"), "{text}");
    assert_eq!((errors::code(&error), errors::exit_code(&error)), (Code::Download, Exit::Failed));
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut out: Vec<PathBuf> = fs::read_dir(folder).map(|it| it.flatten().map(|it| it.path()).collect()).unwrap_or_default();
    out.sort();
    out
}

#[test]
fn a_changed_wheel_is_refused_by_name_stays_in_no_cache_and_the_right_one_is_taken() {
    let index = Index::new();
    let (tool, pin, pip) = (index.add("tool"), index.add("tiny"), index.add("pip"));
    let scope = index.env.scope(TaskId::Requirements);
    // The tool's own programs.
    index.tamper("tool");
    refused(made(&scope, "python", &tool, &index.options()).map(drop), "/f/tool-1.0-py3-none-any.whl");
    index.tamper("tool");
    let ours = made(&scope, "python", &format!("{tool}\n"), &index.options()).unwrap();
    let installed = |of: &Path| files(&of.join("lib")).iter().any(|it| it.join("site-packages/tool.py").is_file());
    assert!(installed(ours.python().parent().unwrap().parent().unwrap()));
    // The application's wheels, and pip's, with which the image installs them.
    let environment = ours.with_pip(&pip);
    let settings = Settings::read(&scope, &environment, &index.options()).unwrap();
    let target = Target::of("FROM python:3.13", "python:3.13", "3.13");
    let provide = || {
        wheels::provide(&scope, (&pin, environment.pip()), "key", "", |fresh| {
            wheels::download(&scope, &environment, &settings, &pin, &target, fresh)
        })
    };
    for name in ["tiny", "pip"] {
        index.tamper(name);
        refused(provide(), &format!("/f/{name}-1.0-py3-none-any.whl"));
        assert_eq!(files(&index.env.cache("wheels")), Vec::<PathBuf>::new());
        index.tamper(name);
        provide().unwrap();
        for kept in [index.env.cache("wheels"), index.dir.path().join("pip")] {
            fs::remove_dir_all(kept).unwrap();
        }
    }
    provide().unwrap();
    // A byte that changes in the cache.
    let cached = index.env.cache("wheels/key/tiny-1.0-py3-none-any.whl");
    let right = fs::read(&cached).unwrap();
    fs::write(&cached, &right[1..]).unwrap();
    provide().unwrap();
    assert_eq!(fs::read(&cached).unwrap(), right);
    assert_eq!(fs::read(scope.wheels().join("tiny-1.0-py3-none-any.whl")).unwrap(), right);
}
