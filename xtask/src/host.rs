//! What is special about this host: settings that only some hosts need are applied only there, each with its reason.

use std::{fs, path::Path};

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
}
