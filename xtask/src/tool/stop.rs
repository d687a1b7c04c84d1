//! Ends processes: a command with all its children, or one process by its id.

use std::{
    process::Child,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal};

/// Sends SIGTERM to the process group, and SIGKILL to what is left of it after five seconds.
pub(super) fn stop(child: &mut Child) {
    let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else { return };
    // An error means that the group has ended, as intended.
    rustix::process::kill_process_group(group, Signal::TERM).ok();
    let began = Instant::now();
    // The command may end before its children, so the whole group is checked.
    while began.elapsed() < Duration::from_secs(5) {
        let ended = !matches!(child.try_wait(), Ok(None));
        if ended && rustix::process::test_kill_process_group(group).is_err() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    rustix::process::kill_process_group(group, Signal::KILL).ok();
    child.wait().ok();
}

/// Sends SIGTERM to one process. An ended process counts as done.
pub fn terminate(id: i32) {
    if let Some(pid) = Pid::from_raw(id) {
        rustix::process::kill_process(pid, Signal::TERM).ok();
    }
}
