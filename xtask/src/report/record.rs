//! The record of a run: its events and a log for each task, in a folder. Written as soon as a task works; a run with nothing to do writes
//! nothing.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    graph::TaskId,
    report::{Event, Told, Took, history, hub::Listener, run::Run, stream::Calm, wire},
};

/// The prefix of the tool's own lines in a log, which also has the output of commands.
pub const OWN_LINE: &str = "#: ";

/// The listener.
pub struct Record {
    folder: PathBuf,
    /// The link to the folder of the last run.
    link: PathBuf,
    begun: bool,
    /// File names and lines, buffered until a task works.
    early: Vec<(String, String)>,
    calm: Calm,
}

impl Record {
    pub fn new(folder: PathBuf, link: PathBuf) -> Record {
        Record { folder, link, begun: false, early: Vec::new(), calm: Calm::new(Duration::from_secs(5)) }
    }

    fn begin(&mut self) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        if let Some(runs) = self.folder.parent() {
            history::prune(runs)?;
        }
        lead(&self.link, &self.folder)?;
        self.begun = true;
        for (file, line) in std::mem::take(&mut self.early) {
            self.append(&file, &line)?;
        }
        Ok(())
    }

    fn append(&self, file: &str, line: &str) -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(self.folder.join(file))?;
        file.write_all(format!("{line}\n").as_bytes())
    }

    fn keep(&mut self, file: String, line: String) {
        if self.begun {
            // Errors are ignored, since the record only explains the run. If the disk is full, the run itself fails soon.
            self.append(&file, &line).ok();
        } else {
            self.early.push((file, line));
        }
    }
}

impl Listener for Record {
    fn told(&mut self, at: Duration, _run: &Run, told: &Told) {
        if !self.calm.lets(at, told) {
            return;
        }
        if let Told::Task(task, event) = told {
            if !self.begun && is_work(event) {
                self.begin().ok();
            }
            if let Some(words) = words(event) {
                self.keep(log_name(*task), format!("{OWN_LINE}{}: {words}", Took(at)));
            }
            // Details are in the logs only, since there may be thousands.
            if matches!(event, Event::Detail { .. }) {
                return;
            }
        }
        self.keep(history::EVENTS.to_owned(), wire::line(at, told));
    }
}

fn log_name(task: TaskId) -> String {
    format!("{}.log", task.file_name())
}

/// Whether the event starts the record. Probes and skipped tasks do not.
fn is_work(event: &Event) -> bool {
    matches!(event, Event::Started { .. } | Event::Restoring { .. } | Event::Failed { .. } | Event::Cancelled { .. })
}

/// The event as a line of a log.
fn words(event: &Event) -> Option<String> {
    Some(match event {
        // `tool.rs` writes the command to the log.
        Event::Detail { text } if text.starts_with("$ ") => return None,
        Event::Checking => return None,
        Event::Started { reason } => format!("runs: {reason}"),
        Event::Restoring { reason } => format!("restores: {reason}"),
        Event::StepBegan { name } => format!("{name} begins"),
        Event::StepEnded { name } => format!("{name} ended"),
        Event::Waiting(waiting) => waiting.to_string(),
        Event::Progress { text } | Event::Note { text } | Event::Detail { text } => text.clone(),
        Event::Done { text } => format!("done: {text}"),
        Event::Skipped { reason } => format!("skipped: {reason}"),
        Event::Failed { text } => format!("failed: {text}"),
        Event::Cancelled { text } => text.clone(),
        Event::NotRun { because } => format!("not run: {} failed", because.name()),
    })
}

/// Makes `link` point to `folder`, and replaces what `link` was before.
fn lead(link: &Path, folder: &Path) -> io::Result<()> {
    if link.is_dir() && !link.is_symlink() {
        fs::remove_dir_all(link)?;
    }
    let target = link.parent().and_then(|it| folder.strip_prefix(it).ok()).unwrap_or(folder);
    let fresh = link.with_extension("new");
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::os::unix::fs::symlink(target, &fresh)?;
    fs::rename(&fresh, link)
}
