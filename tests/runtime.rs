//! A program that can start the tool's own engine also acts as the engine's OCI runtime.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

use pocdeploy::engine::capabilities::RUNTIME;

#[test]
fn a_copy_of_the_checks_passes_the_engines_arguments_to_runc() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join(RUNTIME);
    fs::copy(env!("CARGO_BIN_EXE_checks"), &copy).unwrap();
    let runc = folder.path().join("runc");
    fs::write(&runc, "#!/bin/sh\necho runc \"$@\"\n").unwrap();
    fs::set_permissions(&runc, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    #[expect(clippy::disallowed_methods, reason = "the test is about this process")]
    let out = Command::new(&copy).args(["--root", "/run/x", "state", "abc"]).env("PATH", path).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stdout), "runc --root /run/x state abc\n", "{}", String::from_utf8_lossy(&out.stderr));
}
