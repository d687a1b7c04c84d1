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

/// How long a group may take to end after SIGTERM, and again after SIGKILL: the kernel ends a process with much memory, or one that waits for a
/// disk, later.
const LIMIT: Duration = Duration::from_secs(5);

/// Sends SIGTERM to the process group, and SIGKILL to what is left of it after five seconds. A program that is asked gets its time before.
/// Returns when nothing of the group runs, so that nothing of it works beside the next command; at the latest five seconds after SIGKILL, which
/// the kernel keeps for a process that waits for a disk.
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
    if has_ended(child, group) {
        return;
    }
    rustix::process::kill_process_group(group, Signal::KILL).ok();
    has_ended(child, group);
}

/// Waits for the end of the whole group, since the command may end before its children.
fn has_ended(child: &mut Child, group: Pid) -> bool {
    let began = Instant::now();
    loop {
        let ended = !matches!(child.try_wait(), Ok(None));
        if ended && !runs(group) {
            return true;
        }
        if began.elapsed() > LIMIT {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a process of the group runs. One that has ended counts as a member until its parent asks for it, and not every first process of a
/// container does.
fn runs(group: Pid) -> bool {
    if rustix::process::test_kill_process_group(group).is_err() {
        return false;
    }
    let Ok(all) = procfs::process::all_processes() else { return true };
    let members: Vec<char> =
        all.flatten().filter_map(|it| it.stat().ok()).filter(|it| it.pgrp == group.as_raw_pid()).map(|it| it.state).collect();
    // A member that /proc does not show, such as another user's, may run.
    members.is_empty() || members.iter().any(|it| !matches!(it, 'Z' | 'X'))
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

#[cfg(test)]
mod tests {
    use std::{os::unix::process::CommandExt as _, process::Command};

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "members of a group that the test chooses")]
    fn member(program: &str, group: i32) -> Child {
        Command::new(program).arg("60").process_group(group).spawn().unwrap()
    }

    fn until_it_has_ended(child: &Child) {
        let state = || procfs::process::Process::new(Pid::from_child(child).as_raw_pid()).unwrap().stat().unwrap().state;
        while state() != 'Z' {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn what_has_ended_does_not_run_even_if_nobody_asks_for_it() {
        let mut first = member("sleep", 0);
        let group = Pid::from_child(&first);
        let mut second = member("true", group.as_raw_pid());
        until_it_has_ended(&second);
        assert!(runs(group));
        first.kill().unwrap();
        until_it_has_ended(&first);
        assert!(rustix::process::test_kill_process_group(group).is_ok() && !runs(group));
        first.wait().unwrap();
        second.wait().unwrap();
    }
}
