//! Judges how a command ended.

use std::{fs, os::unix::process::ExitStatusExt as _, process::ExitStatus};

use anyhow::Result;

use crate::{
    errors::{Code, Problem},
    graph::TaskId,
    report::record::OWN_LINE,
    tool::{Tools, download, stop::ended},
};

impl Tools {
    /// A copy for commands that download: the first line of a failure names the fault of the download, if it is one. A download that hangs or drips
    /// is stopped.
    pub fn fetching(&self) -> Tools {
        Tools { fetches: true, patience: Some(self.patience.unwrap_or_default()), ..self.clone() }
    }

    /// The same for a program that bounds its downloads by itself, or that may wait for something else while it is connected.
    pub fn fetching_by_itself(&self) -> Tools {
        Tools { fetches: true, patience: None, ..self.clone() }
    }

    /// A copy that stops downloads sooner.
    #[cfg(test)]
    pub(crate) fn with_patience(self, within: std::time::Duration, bytes: u64) -> Tools {
        Tools { patience: Some(crate::tool::flow::Patience { within, bytes }), ..self }
    }

    /// An error with the last lines of the log if the command failed.
    pub(super) fn verdict(&self, task: TaskId, shown: &str, status: ExitStatus) -> Result<()> {
        if status.success() {
            return Ok(());
        }
        let log = self.log(task);
        let text = fs::read_to_string(&log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().filter(|it| !it.starts_with(OWN_LINE)).collect();
        let begin = lines.iter().rposition(|it| it.starts_with("$ ")).map_or(0, |it| it + 1);
        let mut what = format!("`{shown}` {}", ended(status));
        for line in &lines[begin.max(lines.len().saturating_sub(20))..] {
            what.push_str("\n  ");
            what.push_str(line);
        }
        if self.fetches
            && let Some(problem) = download::problem(&lines[begin..].join("\n"), &what)
        {
            return Err(problem.into());
        }
        // Nobody else sends it to a program in the middle of its work.
        let out_of_memory = "run the same command again; when memory runs out, the kernel kills programs: see `free -h` and `dmesg`\n";
        let hint = if status.signal() == Some(9) { out_of_memory } else { "" };
        Err(Problem::new(what).code(Code::CommandFailed).hint(format!("{hint}the whole output is in {}", log.display())).into())
    }
}
