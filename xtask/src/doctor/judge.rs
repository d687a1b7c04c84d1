//! Turns measurements into pass, warn or fail, with advice. Pure; `measure.rs` measures.

use crate::doctor::{Check, State};

/// The mounted cgroup version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cgroups {
    V1,
    V2,
    Absent,
}

/// What is known about a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Absent,
    /// It exists; its version is unknown.
    Present,
    Version(u32, u32),
}

/// What is known about the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EngineSeen {
    Answers {
        title: String,
        version: String,
        megabytes: u64,
    },
    /// None runs. The tool may start its own, or the reason why not.
    None(Result<(), String>),
    /// The configured engine does not answer.
    Error(String),
}

const GIGABYTE: u64 = 1000;

/// Free megabytes in a folder's file system. `filled`: an earlier run has stored its images and packages there.
pub(crate) fn disk(name: &'static str, place: &str, free: Option<u64>, filled: bool, writable: bool) -> Check {
    if !writable {
        return Check::fail(name, format!("{place} cannot be written"), "use a folder of your own on a file system that is not read-only");
    }
    let Some(free) = free else { return Check::warn(name, format!("free space at {place} is not known"), "df -h") };
    let found = format!("{:.1} GB free at {place}", free as f64 / GIGABYTE as f64);
    let wanted = if filled { 3 } else { 15 };
    if free < GIGABYTE {
        return Check::fail(name, found, format!("make room, or set POCDEPLOY_CACHE_DIR to a folder with {wanted} GB to spare"));
    }
    if free < wanted * GIGABYTE {
        return Check::warn(name, found, format!("make room for about {wanted} GB, or set POCDEPLOY_CACHE_DIR to another disk"));
    }
    Check::pass(name, found)
}

/// Total and available megabytes of the machine, or of the cgroup of this process.
pub(crate) fn memory(total: Option<u64>, available: Option<u64>) -> Check {
    let name = "memory";
    let (Some(total), Some(available)) = (total, available) else {
        return Check::warn(name, "memory is not known", "free -m");
    };
    let found = format!("{:.1} GB, {:.1} GB of it available", total as f64 / 1000.0, available as f64 / 1000.0);
    if total < 1500 {
        return Check::fail(name, found, "use a machine, or raise the limit of this container, to at least 4 GB");
    }
    if total < 3500 || available < 1500 {
        return Check::warn(name, found, "end other programs, or use a machine with at least 4 GB: pods may be killed");
    }
    Check::pass(name, found)
}

/// inotify watches and instances for one user. A node uses many: for the kubelet, containerd and other programs.
pub(crate) fn inotify(watches: Option<u64>, instances: Option<u64>) -> Check {
    let name = "inotify";
    let (Some(watches), Some(instances)) = (watches, instances) else {
        return Check::warn(name, "the limits are not known", "sysctl fs.inotify");
    };
    let found = format!("{watches} watches, {instances} instances");
    let remedy = "sudo sysctl fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512";
    if watches < 8192 || instances < 64 {
        return Check::fail(name, found, remedy);
    }
    if watches < 65_536 || instances < 128 {
        return Check::warn(name, found, remedy);
    }
    Check::pass(name, found)
}

pub(crate) fn cgroups(found: Cgroups) -> Check {
    let name = "cgroups";
    match found {
        Cgroups::V2 => Check::pass(name, "version 2"),
        Cgroups::V1 => Check::warn(
            name,
            "version 1, which Kubernetes no longer supports: the tool asks it to be lenient",
            "boot with systemd.unified_cgroup_hierarchy=1",
        ),
        Cgroups::Absent => Check::fail(name, "no control groups are mounted", "mount -t cgroup2 none /sys/fs/cgroup"),
    }
}

/// Capabilities that the host does not grant. They restrict only the tool's own engine, which this process starts.
pub(crate) fn capabilities(missing: &[&str], own_engine: bool) -> Check {
    let name = "capabilities";
    let list = missing.join(", ");
    if missing.is_empty() {
        return Check::pass(name, "all are granted");
    }
    if own_engine && missing.iter().any(|it| matches!(*it, "CAP_SYS_ADMIN" | "CAP_NET_ADMIN" | "CAP_MKNOD" | "CAP_SYS_CHROOT")) {
        return Check::fail(
            name,
            format!("no {list}: no engine can be started here"),
            "run with these capabilities, or set DOCKER_HOST to an engine elsewhere",
        );
    }
    Check::warn(name, format!("no {list}: the tool leaves out what would need them"), "nothing to do unless containers fail to start")
}

pub(crate) fn engine(seen: &EngineSeen) -> Check {
    let name = "engine";
    match seen {
        EngineSeen::Answers { title, version, megabytes } if *megabytes > 0 && *megabytes < 2000 => Check::warn(
            name,
            format!("{title} answers (version {version}) and has {megabytes} MB of memory"),
            "give the engine's machine at least 4 GB",
        ),
        EngineSeen::Answers { title, version, .. } => Check::pass(name, format!("{title} answers (version {version})")),
        EngineSeen::None(Ok(())) => Check::pass(name, "none runs; `create --yes` starts one of its own"),
        EngineSeen::None(Err(why)) => Check::fail(
            name,
            format!("none answers, and the tool cannot start its own: {why}"),
            "start Docker, or set DOCKER_HOST to an engine that you may use",
        ),
        EngineSeen::Error(what) => Check::fail(name, what.clone(), "start that engine, or unset DOCKER_HOST to use another"),
    }
}

/// A program that a task runs. `installable`: with consent the tool installs it.
pub(crate) fn program(name: &'static str, found: &Program, least: (u32, u32), needed: bool, installable: bool) -> Check {
    let (major, minor) = least;
    let missing = |what: String| match (needed, installable) {
        (true, true) => Check::warn(name, format!("{what}: `create --yes` installs it"), format!("apt-get install {name}")),
        (true, false) => Check::fail(name, what, format!("install {name} {major}.{minor} or newer")),
        (false, _) => Check::warn(
            name,
            format!("{what}: needed where images are built from packages"),
            format!("install {name} {major}.{minor} or newer"),
        ),
    };
    match found {
        Program::Absent => missing("not on PATH".to_owned()),
        Program::Version(a, b) if (*a, *b) < least => missing(format!("version {a}.{b}, older than {major}.{minor}")),
        Program::Version(a, b) => Check::pass(name, format!("version {a}.{b}")),
        Program::Present => Check::pass(name, "on PATH"),
    }
}

/// The application's port. `holder` is the program that listens on it, and whether it is this instance.
pub(crate) fn port(port: u16, set: bool, holder: Option<(&str, bool)>) -> Check {
    let name = "port";
    match holder {
        None => Check::pass(name, format!("{port} is free")),
        Some((_, true)) => Check::pass(name, format!("{port} is this instance's")),
        Some((who, false)) if set => {
            Check::fail(name, format!("{port} is taken by {who}"), "end that program, or set another `cluster.port` in Pocdeploy.toml")
        }
        // The tool will use the next free port, so there is nothing to fix.
        Some((who, false)) => Check::pass(name, format!("{port} is taken by {who}: the next free one will be used")),
    }
}

/// Whether a host accepted a connection. `instead`: what the tool does without the host, if it can.
pub(crate) fn reach(name: &'static str, place: &str, result: &Result<(), String>, instead: Option<&str>, remedy: &str) -> Check {
    match (result, instead) {
        (Ok(()), _) => Check::pass(name, format!("{place} takes connections")),
        (Err(why), Some(instead)) => Check::warn(name, format!("{place}: {why}: {instead}"), remedy),
        (Err(why), None) => Check::fail(name, format!("{place}: {why}"), remedy),
    }
}

/// The difference between this machine's clock and another's in seconds. Certificates and tokens fail if it is large.
pub(crate) fn clock(ahead: Option<i64>) -> Check {
    let name = "clock";
    let remedy = "set it, for example with: sudo timedatectl set-ntp true";
    match ahead {
        None => Check::pass(name, "nothing answered that it could be compared with"),
        Some(ahead) => {
            let found = match ahead {
                0 => "as others see it".to_owned(),
                it if it > 0 => format!("{it} s ahead of others"),
                it => format!("{} s behind others", -it),
            };
            match ahead.unsigned_abs() {
                0..=30 => Check::pass(name, found),
                31..=600 => Check::warn(name, found, remedy),
                _ => Check::fail(name, found, remedy),
            }
        }
    }
}

/// No answer arrived in time.
pub(crate) fn silent(name: &'static str) -> Check {
    Check {
        name,
        state: State::Warn,
        found: "no answer in time".to_owned(),
        remedy: Some("run it again when the machine is less busy".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn is(check: &Check, state: State) {
        assert_eq!(check.state, state, "{check:?}");
        assert_eq!(check.remedy.is_none(), state == State::Pass, "{check:?}");
    }

    #[test]
    fn disk_at_its_edges() {
        for (free, filled, state) in [
            (999, true, State::Fail),
            (1000, true, State::Warn),
            (2999, true, State::Warn),
            (3000, true, State::Pass),
            (14_999, false, State::Warn),
            (15_000, false, State::Pass),
        ] {
            is(&disk("disk", "/x", Some(free), filled, true), state);
        }
        is(&disk("disk", "/x", None, true, true), State::Warn);
        is(&disk("disk", "/x", Some(99_000), true, false), State::Fail);
    }

    #[test]
    fn memory_at_its_edges() {
        for (total, available, state) in [
            (1499, 1499, State::Fail),
            (1500, 1500, State::Warn),
            (3499, 3000, State::Warn),
            (3500, 1499, State::Warn),
            (3500, 1500, State::Pass),
        ] {
            is(&memory(Some(total), Some(available)), state);
        }
        is(&memory(None, Some(1)), State::Warn);
    }

    #[test]
    fn inotify_at_its_edges_with_the_command_that_raises_it() {
        for (watches, instances, state) in [
            (8191, 512, State::Fail),
            (8192, 64, State::Warn),
            (65_536, 63, State::Fail),
            (65_535, 128, State::Warn),
            (65_536, 127, State::Warn),
            (65_536, 128, State::Pass),
        ] {
            is(&inotify(Some(watches), Some(instances)), state);
        }
        assert!(inotify(Some(1), Some(1)).remedy.is_some_and(|it| it.contains("sysctl fs.inotify.max_user_watches=524288")));
    }

    #[test]
    fn control_groups_and_capabilities() {
        is(&cgroups(Cgroups::V2), State::Pass);
        is(&cgroups(Cgroups::V1), State::Warn);
        is(&cgroups(Cgroups::Absent), State::Fail);
        is(&capabilities(&[], true), State::Pass);
        is(&capabilities(&["CAP_SYS_RESOURCE"], true), State::Warn);
        is(&capabilities(&["CAP_SYS_ADMIN"], true), State::Fail);
        is(&capabilities(&["CAP_SYS_ADMIN"], false), State::Warn);
    }

    #[test]
    fn an_engine_is_one_that_answers_or_one_that_can_be_started() {
        let answers = |megabytes| EngineSeen::Answers { title: "x".to_owned(), version: "1".to_owned(), megabytes };
        is(&engine(&answers(1999)), State::Warn);
        is(&engine(&answers(2000)), State::Pass);
        is(&engine(&EngineSeen::None(Ok(()))), State::Pass);
        is(&engine(&EngineSeen::None(Err("only root".to_owned()))), State::Fail);
        is(&engine(&EngineSeen::Error("x".to_owned())), State::Fail);
    }

    #[test]
    fn programs_by_version_and_need() {
        is(&program("python3", &Program::Version(3, 10), (3, 10), true, false), State::Pass);
        is(&program("python3", &Program::Version(3, 9), (3, 10), true, false), State::Fail);
        is(&program("python3", &Program::Version(2, 30), (3, 10), true, false), State::Fail);
        is(&program("python3", &Program::Absent, (3, 10), true, true), State::Warn);
        is(&program("go", &Program::Absent, (1, 21), false, false), State::Warn);
        is(&program("git", &Program::Present, (2, 0), true, false), State::Pass);
    }

    #[test]
    fn a_port_that_was_set_must_be_free_or_ours() {
        is(&port(8080, true, None), State::Pass);
        is(&port(8080, true, Some(("nginx", false))), State::Fail);
        is(&port(8080, false, Some(("nginx", false))), State::Pass);
        is(&port(8080, true, Some(("node", true))), State::Pass);
    }

    #[test]
    fn a_host_that_is_away_fails_where_nothing_stands_in_for_it() {
        is(&reach("pip", "pypi.org:443", &Ok(()), None, "r"), State::Pass);
        is(&reach("pip", "pypi.org:443", &Err("refused".to_owned()), None, "r"), State::Fail);
        is(&reach("registry", "ghcr.io:443", &Err("refused".to_owned()), Some("from packages"), "r"), State::Warn);
    }

    #[test]
    fn the_clock_at_its_edges_in_both_directions() {
        for (ahead, state) in [
            (0, State::Pass),
            (30, State::Pass),
            (-30, State::Pass),
            (31, State::Warn),
            (-600, State::Warn),
            (601, State::Fail),
            (-601, State::Fail),
        ] {
            is(&clock(Some(ahead)), state);
        }
        assert_eq!(clock(Some(-601)).found, "601 s behind others");
        is(&clock(None), State::Pass);
    }
}
