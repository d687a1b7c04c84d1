#!/usr/bin/env bash
# A `cargo build` that a program of `cargo run` starts compiles ring again, and so does the next one from the shell.
#
# One would guess: cargo sets CARGO_PKG_NAME and its like for each build script that it runs, so that what a shell has in them is of no
# account; two builds of one folder with the same flags have nothing to do the second time, whoever starts them.
# What happens: cargo sets the same variables for the program of `cargo run` and for tests, which hand them on. ring's build script asks to
# run again when one of them changes, since it reads all variables by one function that says so. Cargo compares the variables that it has
# itself, not those that it gives to the build script. So each change between "from the shell" and "from a program" compiles ring, rustls and
# all above them. A project with an `xtask` that calls cargo, or with a test that builds, meets this in every run.
# Versions: ring 0.17.14, cargo 1.95.0. Seen on 2026-11-30.
# Source: ring build.rs (`env::var_os`); cargo, reference "Environment Variables" (those for `cargo run`) and "Build Scripts"
# (`rerun-if-env-changed`: the variable as cargo itself has it).
# What follows for us: no program that the tool starts gets CARGO_PKG_… and CARGO_MANIFEST_… (xtask/src/tool.rs); a run of all checks compiles
# ring, rustls, kube and the tool once, not three times.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir src
cat > Cargo.toml <<'TOML'
[package]
name = "trial"
version = "0.1.0"
edition = "2021"

[dependencies]
ring = "=0.17.14"
TOML
cat > src/main.rs <<'RUST'
/// Builds its own folder, as a program of a project's own does, or a test.
fn main() {
    let built = std::process::Command::new("cargo").args(["build", "--verbose"]).output().unwrap();
    assert!(built.status.success());
    print!("{}", String::from_utf8_lossy(&built.stderr));
}
RUST
unset CARGO_TARGET_DIR CARGO_BUILD_TARGET_DIR RUSTFLAGS
for variable in $(env | grep -o '^CARGO_\(PKG\|MANIFEST\)[A-Z_]*' || true); do unset "$variable"; done
# What cargo says of ring: `Fresh`, or `Dirty` with the reason.
of_ring() { grep -E '^ *(Fresh|Dirty) ring ' | sed -E 's/^ *//'; }
cargo build --quiet
first=$(cargo build --verbose 2>&1 | of_ring)
inside=$(cargo run --quiet | of_ring)
after=$(cargo build --verbose 2>&1 | of_ring)
echo "from the shell, again:        $first"
echo "from a program of cargo run:  $inside"
echo "from the shell after that:    $after"
# The same with a clean environment.
cat > src/main.rs <<'RUST'
fn main() {
    let mut cargo = std::process::Command::new("cargo");
    for (name, _) in std::env::vars() {
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(name);
        }
    }
    let built = cargo.args(["build", "--verbose"]).output().unwrap();
    assert!(built.status.success());
    print!("{}", String::from_utf8_lossy(&built.stderr));
}
RUST
clean=$(cargo run --quiet | of_ring)
echo "without those variables:      $clean"
case "$first|$inside|$after|$clean" in
"Fresh ring "*"|Dirty ring "*"env variable CARGO_"*"|Dirty ring "*"env variable CARGO_"*"|Fresh ring "*) echo "as described" ;;
*) echo "something has changed" >&2; exit 1 ;;
esac
