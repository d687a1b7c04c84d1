//! An OCI runtime wrapper for hosts that lack Linux capabilities.
//!
//! For a privileged container an engine requests every capability that it knows, and the kernel rejects those outside the host's bounding
//! set. This program runs instead of runc, removes the missing capabilities from the container's configuration, and then executes runc.
//! Only the tool's own engine uses it, and only if a capability is missing.

use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde_json::Value;

/// The name of this wrapper as an OCI runtime.
pub const RUNTIME: &str = "pocdeploy-runc";

/// Capabilities in the kernel's order (`include/uapi/linux/capability.h`).
const NAMES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// Capabilities that the kernel knows and the host's bounding set lacks; usually empty.
pub fn missing() -> Vec<&'static str> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let last = fs::read_to_string("/proc/sys/kernel/cap_last_cap").ok().and_then(|it| it.trim().parse().ok()).unwrap_or(NAMES.len() - 1);
    missing_from(&status, last)
}

fn missing_from(status: &str, last: usize) -> Vec<&'static str> {
    let bounding = status.lines().find_map(|it| it.strip_prefix("CapBnd:")).and_then(|it| u64::from_str_radix(it.trim(), 16).ok());
    let Some(bounding) = bounding else { return Vec::new() };
    NAMES.iter().enumerate().filter(|(bit, _)| *bit <= last && bounding & (1 << bit) == 0).map(|(_, name)| *name).collect()
}

/// The arguments of an OCI runtime, if this process was started as [`RUNTIME`].
///
/// A program that may start the tool's own engine asks this first, since the engine then uses a copy of that program as its runtime.
pub fn runtime_arguments() -> Option<Vec<String>> {
    let mut arguments = std::env::args();
    let name = arguments.next()?;
    Path::new(&name).file_name().is_some_and(|it| it == RUNTIME).then(|| arguments.collect())
}

/// Acts as the OCI runtime: edits the bundle or process file in the arguments, then becomes runc. Returns only if runc cannot be started.
pub fn act_as_runtime(arguments: &[String]) -> Result<()> {
    let missing = missing();
    if let Some((path, is_bundle)) = file_to_mend(arguments) {
        mend_file(&path, is_bundle, &missing).with_context(|| format!("remove missing capabilities from {}", path.display()))?;
    }
    #[expect(clippy::disallowed_methods, reason = "this program becomes runc; there is no process to wait for")]
    let error = std::process::Command::new("runc").args(arguments).exec();
    Err(error).context("start runc")
}

/// `create`, `run` and `restore` read a bundle's `config.json`; `exec` reads a process file.
fn file_to_mend(arguments: &[String]) -> Option<(PathBuf, bool)> {
    let command = arguments.iter().find(|it| matches!(it.as_str(), "create" | "run" | "restore" | "exec"))?;
    let (long, short) = if command == "exec" { ("--process", "-p") } else { ("--bundle", "-b") };
    let value = option(arguments, long, short);
    match (command.as_str(), value) {
        ("exec", value) => value.map(|it| (PathBuf::from(it), false)),
        (_, Some(bundle)) => Some((Path::new(&bundle).join("config.json"), true)),
        (_, None) => Some((PathBuf::from("config.json"), true)),
    }
}

fn option(arguments: &[String], long: &str, short: &str) -> Option<String> {
    for (index, argument) in arguments.iter().enumerate() {
        if argument == long || argument == short {
            return arguments.get(index + 1).cloned();
        }
        if let Some(value) = argument.strip_prefix(long).and_then(|it| it.strip_prefix('=')) {
            return Some(value.to_owned());
        }
    }
    None
}

fn mend_file(path: &Path, is_bundle: bool, missing: &[&str]) -> Result<()> {
    let mut document: Value = serde_json::from_slice(&fs::read(path)?)?;
    let process = if is_bundle { document.get_mut("process") } else { Some(&mut document) };
    if let Some(capabilities) = process.and_then(|it| it.get_mut("capabilities")) {
        remove(capabilities, missing);
        fs::write(path, serde_json::to_vec(&document)?)?;
    }
    Ok(())
}

fn remove(capabilities: &mut Value, missing: &[&str]) {
    let Some(sets) = capabilities.as_object_mut() else { return };
    for set in sets.values_mut() {
        if let Some(list) = set.as_array_mut() {
            list.retain(|it| it.as_str().is_none_or(|name| !missing.contains(&name)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_full_bounding_set_lacks_nothing_and_a_cleared_bit_is_named() {
        assert_eq!(missing_from("CapBnd:\t000001ffffffffff\n", 40), Vec::<&str>::new());
        assert_eq!(missing_from("CapBnd:\t000001fffeffffff\n", 40), ["CAP_SYS_RESOURCE"]);
        // An older kernel knows fewer capabilities. Those that it does not know are not missing.
        assert_eq!(missing_from("CapBnd:\t0000003fffffffff\n", 37), Vec::<&str>::new());
    }

    #[test]
    fn the_file_is_found_in_each_form_of_the_command_line() {
        let create = arguments("--root /r --log /l create --bundle /b --pid-file /p id");
        assert_eq!(file_to_mend(&create), Some((PathBuf::from("/b/config.json"), true)));
        let exec = arguments("--root /r exec --process=/tmp/spec --detach id");
        assert_eq!(file_to_mend(&exec), Some((PathBuf::from("/tmp/spec"), false)));
        assert_eq!(file_to_mend(&arguments("--root /r state id")), None);
    }

    #[test]
    fn every_set_loses_what_is_missing_and_keeps_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        fs::write(&path, r#"{"process":{"capabilities":{"bounding":["CAP_CHOWN","CAP_SYS_RESOURCE"],"effective":["CAP_SYS_RESOURCE"]}},"root":{"path":"x"}}"#).unwrap();
        mend_file(&path, true, &["CAP_SYS_RESOURCE"]).unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            r#"{"process":{"capabilities":{"bounding":["CAP_CHOWN"],"effective":[]}},"root":{"path":"x"}}"#
        );
    }
}
