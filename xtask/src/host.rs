//! What is special about this host: settings that only some hosts need are applied only there, each with its reason.

use std::{fs, path::Path};

use rustix::fs::inotify;

use crate::engine::capabilities;

/// A setting of the cluster that this host needs, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adaptation {
    pub setting: Setting,
    pub reason: String,
}

/// The settings that exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// The kubelet passes over kernel settings that it may not change.
    KubeletInUserNamespace,
    /// The kubelet accepts version 1 of control groups.
    AcceptCgroupV1,
    /// containerd does not lower a process's score for the out-of-memory killer below its own.
    RestrictOomScoreAdj,
}

/// What this host needs.
pub fn adaptations() -> Vec<Adaptation> {
    let unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    // Without version 1 mounted there is nothing to adapt to.
    let cgroup_v1 = !unified && fs::metadata("/sys/fs/cgroup").is_ok();
    adaptations_for(&capabilities::missing(), cgroup_v1)
}

fn adaptations_for(missing: &[&str], cgroup_v1: bool) -> Vec<Adaptation> {
    let mut out = Vec::new();
    if missing.contains(&"CAP_SYS_RESOURCE") {
        let reason = "this host grants no CAP_SYS_RESOURCE";
        out.push(Adaptation {
            setting: Setting::KubeletInUserNamespace,
            reason: format!("{reason}: the kubelet may not raise kernel limits"),
        });
        out.push(Adaptation {
            setting: Setting::RestrictOomScoreAdj,
            reason: format!("{reason}: nobody may lower a process's out-of-memory score"),
        });
    }
    if cgroup_v1 {
        out.push(Adaptation {
            setting: Setting::AcceptCgroupV1,
            reason: "this host has version 1 of control groups, which the kubelet refuses by default".to_owned(),
        });
    }
    out
}

/// What the programs of one node hold of the kernel's file watchers, with an operator and a database: 28 were counted.
const WATCHERS: usize = 30;

/// Why another node would not come up beside those that run: all share the watchers of the engine's user.
/// Says nothing to other users than root, for whom the engine's share cannot be seen.
pub fn too_few_watchers() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let held: Vec<_> = (0..WATCHERS).map_while(|_| inotify::init(inotify::CreateFlags::CLOEXEC).ok()).collect();
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_user_instances").unwrap_or_default();
    too_few(held.len(), limit.trim())
}

fn too_few(free: usize, limit: &str) -> Option<String> {
    (free < WATCHERS)
        .then(|| format!("only {free} of the {limit} file watchers that a user may have are free, and a cluster needs {WATCHERS}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_host_needs_nothing() {
        assert_eq!(adaptations_for(&[], false), []);
    }

    #[test]
    fn each_setting_comes_with_its_own_reason() {
        let all = adaptations_for(&["CAP_SYS_RESOURCE"], true);
        let settings: Vec<Setting> = all.iter().map(|it| it.setting).collect();
        assert_eq!(settings, [Setting::KubeletInUserNamespace, Setting::RestrictOomScoreAdj, Setting::AcceptCgroupV1]);
        assert!(all.iter().all(|it| it.reason.contains("this host")));
        assert_eq!(adaptations_for(&["CAP_SYS_BOOT"], false), []);
    }

    #[test]
    fn a_node_that_would_starve_is_foreseen() {
        assert_eq!(too_few(WATCHERS, "128"), None);
        let expected = "only 16 of the 128 file watchers that a user may have are free, and a cluster needs 30";
        assert_eq!(too_few(16, "128").as_deref(), Some(expected));
    }
}
