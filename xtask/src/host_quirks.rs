//! Settings that only some hosts need, each with its reason. They are applied on these hosts only.

use std::{fs, path::Path};

use rustix::fs::inotify;

use crate::engine::capabilities;

/// A setting of the cluster that this host needs, and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adaptation {
    pub setting: Setting,
    pub reason: String,
}

/// The settings that exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// The kubelet ignores errors when it sets kernel parameters.
    KubeletInUserNamespace,
    /// The kubelet accepts cgroup v1.
    AcceptCgroupV1,
    /// containerd does not lower a process's OOM score below its own.
    RestrictOomScoreAdj,
}

/// The settings that this host needs.
pub fn adaptations() -> Vec<Adaptation> {
    let unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    // If cgroup v1 is not mounted, no setting is needed.
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

/// The inotify instances of one node with operator and database: 28 were counted.
const WATCHERS: usize = 30;

/// Why another node would not start: all nodes share the inotify instances of the engine's user. `None` for users other than root, who
/// cannot see how many are in use.
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
