//! Measures this machine from /proc, /sys and the file system. Changes nothing and uses no network.

use std::{fs, path::Path, time::Duration};

use crate::{
    doctor::{
        judge::{Cgroups, EngineSeen, Program},
        network,
    },
    engines::{self, Managed},
    env::Env,
    tool,
};

/// Megabytes that an ordinary user can still write in the folder's file system. The folder may not exist yet.
pub(crate) fn free(dir: &Path) -> Option<u64> {
    let present = dir.ancestors().find(|it| it.exists())?;
    let stat = rustix::fs::statvfs(present).ok()?;
    Some(stat.f_bavail * stat.f_frsize / 1_000_000)
}

/// Whether this process may write into a folder, or into the one in which it would be made.
pub(crate) fn is_writable(dir: &Path) -> bool {
    dir.ancestors().find(|it| it.exists()).is_some_and(|it| rustix::fs::access(it, rustix::fs::Access::WRITE_OK).is_ok())
}

/// Total and available megabytes; the limit of this process's cgroup counts as the total.
pub(crate) fn memory() -> (Option<u64>, Option<u64>) {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let field = |name: &str| meminfo(&text, name);
    let bytes = |path: &str| fs::read_to_string(path).ok().and_then(|it| it.trim().parse::<u64>().ok()).map(|it| it / 1_000_000);
    let limit = bytes("/sys/fs/cgroup/memory.max").or_else(|| bytes("/sys/fs/cgroup/memory/memory.limit_in_bytes"));
    let total = field("MemTotal").map(|it| limit.map_or(it, |limit| limit.min(it)));
    (total, field("MemAvailable").map(|it| total.map_or(it, |total| total.min(it))))
}

fn meminfo(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|it| it.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|it| it * 1024 / 1_000_000)
}

pub(crate) fn sysctl(path: &str) -> Option<u64> {
    fs::read_to_string(Path::new("/proc/sys").join(path)).ok()?.trim().parse().ok()
}

pub(crate) fn cgroups() -> Cgroups {
    if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        return Cgroups::V2;
    }
    let mounted = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    if mounted.lines().any(|it| it.split(' ').nth(2).is_some_and(|kind| kind == "cgroup")) { Cgroups::V1 } else { Cgroups::Absent }
}

/// Whether a program exists, without running it.
pub(crate) fn program(name: &str) -> Program {
    if tool::find(name).is_some() { Program::Present } else { Program::Absent }
}

/// A program's version: the first number with a dot in its output.
pub(crate) fn version(name: &str, arguments: &[&str], limit: Duration) -> Program {
    if tool::find(name).is_none() {
        return Program::Absent;
    }
    let said = tool::ask(name, arguments, limit).unwrap_or_default();
    first_version(&said).map_or(Program::Present, |(major, minor)| Program::Version(major, minor))
}

/// The version of the `go` on `PATH`, read from a file, since running go would write telemetry counters to the user's home folder.
pub(crate) fn go() -> Program {
    let Some(root) = network::go_root() else { return Program::Absent };
    let said = fs::read_to_string(root.join("VERSION")).unwrap_or_default();
    first_version(&said).map_or(Program::Present, |(major, minor)| Program::Version(major, minor))
}

fn first_version(text: &str) -> Option<(u32, u32)> {
    let words = text.split(|it: char| !it.is_ascii_digit() && it != '.');
    words.into_iter().find_map(|word| {
        let mut parts = word.split('.');
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    })
}

pub(crate) fn engine(env: &Env) -> EngineSeen {
    match engines::find(env) {
        Ok(Some(engine)) => match engine.info() {
            Ok(info) => {
                let megabytes = info.mem_total.and_then(|it| u64::try_from(it).ok()).unwrap_or_default() / 1_000_000;
                let seen = EngineSeen::Answers { title: engine.title.clone(), version: info.server_version.unwrap_or_default(), megabytes };
                env.set_engine(engine);
                seen
            }
            Err(error) => EngineSeen::Error(format!("{error:#}")),
        },
        Ok(None) => EngineSeen::None(Managed::possible()),
        Err(error) => EngineSeen::Error(format!("{error:#}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_say() {
        for (said, expected) in [
            ("git version 2.39.5", Some((2, 39))),
            ("go version go1.26.1 linux/amd64", Some((1, 26))),
            ("Python 3.13.0rc1", Some((3, 13))),
            ("no version", None),
        ] {
            assert_eq!(first_version(said), expected, "{said}");
        }
    }

    #[test]
    fn kilobytes_become_megabytes() {
        assert_eq!(meminfo("MemTotal:       8000000 kB\nMemAvailable:   100 kB\n", "MemTotal"), Some(8192));
        assert_eq!(meminfo("MemTotal:       8000000 kB\n", "MemAvailable"), None);
    }

    #[test]
    fn a_folder_that_is_not_there_yet_has_the_space_of_the_one_above() {
        let dir = tempfile::tempdir().unwrap();
        assert!(free(&dir.path().join("not/yet")).is_some());
    }
}
