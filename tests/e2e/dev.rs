//! `dev` in the background.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::bench::Ran;

/// A run of `dev`, with its output in a file. Dropping it kills it.
pub(crate) struct Dev {
    child: Option<Child>,
    said: PathBuf,
}

impl Dev {
    /// Runs the command until it watches; `said` gets what it says.
    pub(crate) fn start(command: Command, said: PathBuf) -> Dev {
        let mut dev = Dev::spawn(command, said);
        dev.wait_until_it_says("watching ");
        dev
    }

    /// Runs the command, and does not wait.
    pub(crate) fn spawn(mut command: Command, said: PathBuf) -> Dev {
        command.stdout(Stdio::piped()).stderr(fs::File::create(&said).unwrap());
        Dev { child: Some(command.spawn().unwrap()), said }
    }

    /// All that it has said so far.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap()
    }

    pub(crate) fn wait_until_it_says(&mut self, text: &str) {
        let began = Instant::now();
        while !self.said().contains(text) {
            assert!(began.elapsed() < Duration::from_secs(120), "dev did not say {text:?}: {}", self.said());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Sends SIGINT.
    pub(crate) fn interrupt(mut self) -> Ran {
        let child = self.child.take().unwrap();
        let id = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
        let mut ran = Ran::from(child.wait_with_output().unwrap());
        ran.stderr = fs::read_to_string(&self.said).unwrap();
        ran
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }
}
