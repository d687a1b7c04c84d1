//! What a machine has besides the engine's own inventory: a `create` and a `delete` leave it as it was.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use walkdir::WalkDir;

use crate::bench::Bench;

/// Settings of the kernel that count something, or are drawn by chance.
const UNSTEADY: [&str; 9] = [
    "fs/dentry-state",
    "fs/file-nr",
    "fs/inode-",
    "fs/quota",
    "fs/aio-nr",
    "kernel/random",
    "kernel/ns_last_pid",
    "kernel/pty/nr",
    "netfilter/nf_conntrack_count",
];

/// Everything, a line each: settings of the kernel, network interfaces, routes, rules of the packet filter, mounted file systems, ports that
/// something listens on, and files of the system and of the user.
pub(crate) fn inventory(bench: &Bench) -> BTreeSet<String> {
    let mut out = settings();
    let names = |folder: &str| fs::read_dir(folder).into_iter().flatten().flatten().map(|it| it.file_name().display().to_string());
    out.extend(names("/sys/class/net").map(|it| format!("interface {it}")));
    let home = std::env::var("HOME").unwrap_or_default();
    out.extend(names(&format!("{home}/.kube")).chain(names(&format!("{home}/.docker"))).map(|it| format!("home {it}")));
    let lines = |path: &str| fs::read_to_string(path).unwrap_or_default();
    out.extend(lines("/proc/net/route").lines().skip(1).map(|it| format!("route {it}")));
    out.extend(lines("/proc/self/mounts").lines().map(|it| format!("mount {it}")));
    for file in ["tcp", "tcp6", "udp", "udp6"] {
        let text = lines(&format!("/proc/net/{file}"));
        let listening =
            text.lines().skip(1).map(|it| it.split_whitespace().collect::<Vec<_>>()).filter(|it| it[3] == "0A" || it[3] == "07");
        out.extend(listening.map(|it| format!("port {file} {}", it[1])));
    }
    for program in ["iptables-save", "ip6tables-save"] {
        let said = bench.ran_quietly(&mut Command::new(program)).stdout;
        // Without the time and the counters.
        let rules = said.lines().filter(|it| it.starts_with('-') || it.starts_with(':') || it.starts_with('*'));
        out.extend(rules.map(|it| format!("{program} {}", it.split(" [").next().unwrap_or_default())));
    }
    out.extend(WalkDir::new("/etc").into_iter().flatten().filter_map(|it| {
        let metadata = it.metadata().ok()?;
        Some(format!("file {} {} {:?}", it.path().display(), metadata.len(), metadata.modified().ok()?))
    }));
    out
}

fn settings() -> BTreeSet<String> {
    let folders =
        ["kernel", "vm", "fs", "net/core", "net/ipv4", "net/ipv6/conf/all", "net/ipv6/conf/default", "net/netfilter", "net/bridge"];
    let of = |folder: &str| {
        let files = WalkDir::new(Path::new("/proc/sys").join(folder)).into_iter().flatten().filter(|it| it.file_type().is_file());
        files.filter_map(|it| {
            let name = it.path().strip_prefix("/proc/sys").ok()?.display().to_string();
            // Each interface has settings of its own, which go with it.
            let is_of_one = ["ipv4/conf/", "ipv4/neigh/"].iter().any(|it| name.contains(it));
            if is_of_one || UNSTEADY.iter().any(|it| name.contains(it)) {
                return None;
            }
            Some(format!("setting {name} {}", fs::read_to_string(it.path()).ok()?.trim()))
        })
    };
    folders.iter().flat_map(|it| of(it).collect::<Vec<_>>()).collect()
}

/// Fails if something is there that was not, or is gone; a port that is no longer open belonged to a program that has ended meanwhile.
#[track_caller]
pub(crate) fn is_as_before(before: &BTreeSet<String>, after: &BTreeSet<String>) {
    let new: Vec<&String> = after.difference(before).collect();
    let gone: Vec<&String> = before.difference(after).filter(|it| !it.starts_with("port ")).collect();
    eprintln!("   {} things of the machine", before.len());
    assert!(before.len() > 500, "{}", before.len());
    assert!(new.is_empty() && gone.is_empty(), "new: {new:#?}\ngone: {gone:#?}");
}
