//! Ends processes: a command with all its children, or one process by its id.

use std::{
    os::unix::process::ExitStatusExt as _,
    process::{Child, ExitStatus},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal};

use crate::tool::Tools;

/// How a command is stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Ending {
    /// With all its children.
    #[default]
    Group,
    /// It gets SIGINT alone, and this time to end by itself.
    Asked(Duration),
}

impl Tools {
    /// A copy for a program that saves its state after SIGINT, within `grace`. Only the program gets the signal, not its children.
    pub fn with_grace(&self, grace: Duration) -> Tools {
        Tools { ending: Ending::Asked(grace), ..self.clone() }
    }
}

/// Sends SIGTERM to the process group, and SIGKILL to what is left of it after five seconds. A program that is asked gets its time before.
pub(super) fn stop(child: &mut Child, ending: Ending) {
    let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else { return };
    if let Ending::Asked(grace) = ending {
        rustix::process::kill_process(group, Signal::INT).ok();
        let began = Instant::now();
        while began.elapsed() < grace && matches!(child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
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

/// How a command has ended, for messages.
pub(super) fn ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended in an unknown way".to_owned(),
    }
}
