//! Short questions to other programs, for example their version: without task and log, with a limit.

use std::{
    io::Read as _,
    os::unix::process::CommandExt as _,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal};
use xshell::Shell;

/// The program's standard output; `None` if it is missing, fails, or takes longer than `limit`.
pub fn ask(program: &str, arguments: &[&str], limit: Duration) -> Option<String> {
    let sh = Shell::new().ok()?;
    let mut command: Command = sh.cmd(program).args(arguments).into();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
    let mut child = command.spawn().ok()?;
    let began = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if began.elapsed() < limit => std::thread::sleep(Duration::from_millis(5)),
            Ok(None) | Err(_) => {
                if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                    rustix::process::kill_process_group(group, Signal::KILL).ok();
                }
                child.wait().ok();
                return None;
            }
        }
    };
    let mut out = String::new();
    child.stdout.take()?.read_to_string(&mut out).ok()?;
    status.success().then(|| out.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_comes_in_time_or_not_at_all() {
        assert_eq!(ask("sh", &["-c", "echo 1.2"], Duration::from_secs(20)).as_deref(), Some("1.2"));
        assert_eq!(ask("sh", &["-c", "echo 1.2; exit 3"], Duration::from_secs(20)), None);
        assert_eq!(ask("no-such-program-here", &[], Duration::from_secs(20)), None);
        let began = Instant::now();
        assert_eq!(ask("sh", &["-c", "sleep 60 & wait"], Duration::from_millis(100)), None);
        assert!(began.elapsed() < Duration::from_secs(20));
    }
}
