//! A Debian package and an index of a repository of the test's own, of which a byte is another, with the machine's own mmdebstrap and apt.

use std::{
    collections::BTreeMap,
    fs,
    process::Command,
    sync::{Arc, Mutex},
};

use sha2::{Digest as _, Sha256};

use super::*;
use crate::{
    errors::{self, Code},
    fingerprint::hex,
    http::{self, Answer},
    interrupt::Interrupt,
    report::Recorder,
};

const DEB: &str = "/pool/tiny_1.0_all.deb";
const INDEX: &str = "/dists/trial/main/binary-amd64/Packages";
const RELEASE: &str = "/dists/trial/Release";

/// The files of a repository with one package.
fn repository(folder: &Path) -> BTreeMap<&'static str, Vec<u8>> {
    fs::create_dir_all(folder.join("tiny/DEBIAN")).unwrap();
    let control = "Package: tiny\nVersion: 1.0\nArchitecture: all\nMaintainer: a <a@example.invalid>\nDescription: tiny\n";
    fs::write(folder.join("tiny/DEBIAN/control"), control).unwrap();
    fs::write(folder.join("tiny/right"), "right").unwrap();
    #[expect(clippy::disallowed_methods, reason = "makes a file of the test")]
    let made = Command::new("dpkg-deb").args(["--build", "tiny", "tiny.deb"]).current_dir(folder).output().unwrap();
    assert!(made.status.success());
    let deb = fs::read(folder.join("tiny.deb")).unwrap();
    let sum = |it: &[u8]| hex(&Sha256::digest(it));
    let index = format!("{control}Filename: {}\nSize: {}\nSHA256: {}\n\n", &DEB[1..], deb.len(), sum(&deb));
    let release = format!(
        "Origin: Debian\nSuite: trial\nCodename: trial\nDate: Thu, 01 Jan 2026 00:00:00 UTC\nArchitectures: amd64\nComponents: main\nSHA256:\n {} {} {}\n",
        sum(index.as_bytes()),
        index.len(),
        INDEX.strip_prefix("/dists/trial/").unwrap()
    );
    BTreeMap::from([(DEB, deb), (INDEX, index.into_bytes()), (RELEASE, release.into_bytes())])
}

#[test]
fn a_changed_package_or_index_of_debian_is_refused_by_name_and_the_next_run_takes_the_right_one() {
    let dir = tempfile::tempdir().unwrap();
    let right = repository(dir.path());
    let served = Arc::new(Mutex::new(right.clone()));
    let files = served.clone();
    let port = http::serve_tcp(&http::Health::default(), move |request| match files.lock().unwrap().get(request.path.as_str()) {
        Some(body) => Answer::Whole { status: 200, kind: "application/octet-stream", body: body.clone() },
        None => Answer::Whole { status: 404, kind: "text/plain", body: Vec::new() },
    });
    let tools = Tools::new(dir.path().join("log"), Interrupt::default(), Arc::new(Recorder::default())).fetching();
    // Packages are unpacked alone: a root file system needs all that is essential.
    let root = Root { variant: "extract".to_owned(), suite: "trial".to_owned(), packages: vec!["tiny".to_owned()], ..Root::default() };
    let part = dir.path().join("part");
    let make = || {
        fs::remove_file(&part).ok();
        // The index is not signed here: its digests are compared all the same.
        let sources = vec![format!("deb [trusted=yes arch=amd64] http://127.0.0.1:{port}/ trial main")];
        let settings = vec!["--architectures=amd64".to_owned(), "--aptopt=Acquire::http::Proxy::127.0.0.1 \"DIRECT\"".to_owned()];
        strap(&tools, TaskId::Image, dir.path(), &root, (sources, settings), &part, |_| ())
    };
    for name in [DEB, INDEX] {
        for is_cut in [false, true] {
            let bytes = &right[name];
            let mut other = bytes.clone();
            other[bytes.len() / 2] ^= 1;
            let other = if is_cut { bytes[..bytes.len() / 2].to_vec() } else { other };
            served.lock().unwrap().insert(name, other);
            let error = make().unwrap_err();
            let first = format!("{error:#}").lines().next().unwrap().to_owned();
            assert!(first.starts_with(&format!("http://127.0.0.1:{port}{name} is not what its pinned digest says")), "{error:#}");
            assert_eq!(errors::code(&error), Code::Download);
            // mmdebstrap leaves the file that it was to write, empty.
            assert!(fs::read(&part).unwrap_or_default().is_empty());
            served.lock().unwrap().insert(name, bytes.clone());
            make().unwrap();
            let made = fs::read(&part).unwrap();
            let mut archive = tar::Archive::new(made.as_slice());
            assert!(archive.entries().unwrap().any(|it| it.unwrap().path().unwrap().ends_with("right")));
        }
    }
}
