//! A package of a registry of the test's own, of which a byte is another, with the machine's own npm.

use std::sync::{Arc, Mutex};

use serde_json::json;

use super::*;
use crate::{
    errors,
    http::{self, Answer},
    interrupt::Interrupt,
    report::Recorder,
};

/// An archive as npm makes it.
fn archive(text: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default()));
    for (name, content) in [("package/package.json", "{\"name\": \"tiny\", \"version\": \"1.0.0\"}"), ("package/bin/tiny", text)] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        builder.append_data(&mut header, name, content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

#[test]
fn a_changed_package_is_refused_by_name_whatever_the_registry_says_of_it_and_the_right_one_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    // What is served, and what the registry says of it.
    let (right, other) = (archive("right"), archive("other"));
    let state = Arc::new(Mutex::new((other.clone(), right.clone())));
    let served = state.clone();
    let port = http::serve_tcp(&http::Health::default(), move |request| {
        let (file, said) = served.lock().unwrap().clone();
        if request.path.ends_with(".tgz") {
            return Answer::Whole { status: 200, kind: "application/octet-stream", body: file };
        }
        let dist = json!({
            "tarball": format!("http://{}/tiny/-/tiny-1.0.0.tgz", request.header("host")),
            "integrity": format!("sha512-{}", STANDARD.encode(Sha512::digest(said))),
        });
        let version = json!({ "name": "tiny", "version": "1.0.0", "dist": dist });
        Answer::json(200, &json!({ "name": "tiny", "dist-tags": { "latest": "1.0.0" }, "versions": { "1.0.0": version } }))
    });
    let npmrc = dir.path().join("npmrc");
    fs::write(
        &npmrc,
        format!("registry=http://127.0.0.1:{port}/\nfetch-retries=0\nnoproxy=127.0.0.1\ncache={}\n", dir.path().join("cache").display()),
    )
    .unwrap();
    let tools = Tools::new(dir.path().join("log"), Interrupt::default(), Arc::new(Recorder::default()));
    let pinned = STANDARD.encode(Sha512::digest(&right));
    let to = dir.path().join("to");
    let get = || fetch(&tools, TaskId::Image, &npmrc, "tiny@1.0.0", Some(&pinned), &to);
    let refused = || {
        let error = get().unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains("tiny-1.0.0.tgz") && text.lines().next().unwrap().contains("is not what its pinned digest says"), "{text}");
        assert_eq!(errors::code(&error), Code::Download, "{text}");
        assert!(!to.exists());
    };
    // The file alone is another; then the registry says so, too.
    refused();
    *state.lock().unwrap() = (other.clone(), other);
    refused();
    *state.lock().unwrap() = (right.clone(), right);
    get().unwrap();
    assert_eq!(fs::read_to_string(to.join("bin/tiny")).unwrap(), "right");
}
