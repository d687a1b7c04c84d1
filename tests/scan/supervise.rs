//! The supervisor of a pod in `dev`, with real processes.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

const SUPERVISE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/deploy/development/supervise.py");
/// For a line of a child, and for its end.
const LIMIT: Duration = Duration::from_secs(120);

/// A supervisor and the lines of its command. Dropping it kills the supervisor.
struct Supervisor {
    child: Child,
    lines: Receiver<String>,
}

impl Supervisor {
    /// The command runs in `folder`.
    fn start(folder: &Path, mode: &str, command: &[&str]) -> Supervisor {
        #[expect(clippy::disallowed_methods, reason = "the script is what is tested")]
        let mut supervisor = Command::new("python3");
        supervisor.args(["-c", &fs::read_to_string(SUPERVISE).unwrap(), mode]).args(command).current_dir(folder);
        let mut child = supervisor.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (sender, lines) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|it| sender.send(it)));
        Supervisor { child, lines }
    }

    fn says(&self, expected: &str) {
        assert_eq!(self.lines.recv_timeout(LIMIT).as_deref(), Ok(expected));
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Its exit code after SIGTERM.
    fn end(mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(began.elapsed() < LIMIT, "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A zombie counts as ended: here the supervisor is not the first process, and not every first process of a container asks for others' children.
fn is_alive(process: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_pid())).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|it| !it.is_empty() && !it.starts_with('Z'))
}

#[test]
fn a_change_starts_the_command_again_and_an_end_leaves_no_process() {
    let dir = tempfile::tempdir().unwrap();
    let write = |text: &str| fs::write(dir.path().join("code"), text).unwrap();
    write("one\n");
    // A shell that waits for another process, as start scripts do.
    let supervisor = Supervisor::start(dir.path(), "restart", &["sh", "-c", "cat code; sleep 100 & echo $! > child-$(cat code); wait"]);
    supervisor.says("one");
    write("two\n");
    supervisor.signal(Signal::HUP);
    supervisor.says("two");
    let began = Instant::now();
    let child = loop {
        let text = fs::read_to_string(dir.path().join("child-two")).unwrap_or_default();
        if let Some(id) = text.trim().parse().ok().and_then(Pid::from_raw) {
            break id;
        }
        assert!(began.elapsed() < LIMIT, "the shell started no process");
    };
    assert_eq!(supervisor.end(), Some(0));
    let began = Instant::now();
    while is_alive(child) {
        assert!(began.elapsed() < LIMIT, "process {child:?} is still there");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_command_that_has_ended_starts_again_with_the_next_change_in_every_mode() {
    for mode in ["restart", "signal", "itself"] {
        let dir = tempfile::tempdir().unwrap();
        // Its second run must find no process of the first one.
        let supervisor = Supervisor::start(dir.path(), mode, &["sh", "-c", "echo ran; exit 3"]);
        supervisor.says("ran");
        // The signal may come before the end is seen.
        let began = Instant::now();
        loop {
            supervisor.signal(Signal::HUP);
            if supervisor.lines.recv_timeout(Duration::from_millis(200)).is_ok() {
                break;
            }
            assert!(began.elapsed() < LIMIT, "{mode}: it does not start again");
        }
        assert_eq!(supervisor.end(), Some(0), "{mode}");
    }
}

#[test]
fn a_command_that_takes_the_signal_gets_it_and_one_that_watches_its_files_does_not() {
    let command = [
        "python3",
        "-uc",
        "import signal\nsignal.signal(signal.SIGHUP, lambda *_: print('again'))\nsignal.signal(signal.SIGUSR1, lambda *_: print('ping'))\nprint('up')\nwhile True: signal.pause()",
    ];
    let dir = tempfile::tempdir().unwrap();
    let signalled = Supervisor::start(dir.path(), "signal", &command);
    signalled.says("up");
    signalled.signal(Signal::HUP);
    signalled.says("again");
    assert_eq!(signalled.end(), Some(0));
    let watching = Supervisor::start(dir.path(), "itself", &command);
    watching.says("up");
    watching.signal(Signal::HUP);
    assert!(watching.lines.recv_timeout(Duration::from_millis(500)).is_err());
    assert_eq!(watching.end(), Some(0));
}
