//! What the user is told while tasks run: typed events, and the reporter that writes them to stderr.
//!
//! Nothing else in the tool prints. Data for machines goes to stdout, by the command that owns it.

use std::{
    collections::BTreeMap,
    fmt,
    io::{IsTerminal as _, Write as _},
    sync::Mutex,
    time::{Duration, Instant},
};

use crate::graph::TaskId;

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The task runs, and why it had to.
    Started { reason: String },
    /// What a running task does at this moment. Shown now and then, not each time.
    Progress { text: String },
    /// A decision or finding that the reader should see once.
    Note { text: String },
    /// A detail, shown under `-v`.
    Detail { text: String },
    /// The task did its work and its product was seen.
    Done { text: String },
    /// Nothing to do, and why.
    Skipped { reason: String },
    /// The task failed; the error itself is shown at the end.
    Failed { text: String },
    /// The task was not started because `because` failed.
    NotRun { because: TaskId },
}

/// Receives events from any thread.
pub trait Report: Send + Sync {
    fn event(&self, task: TaskId, event: Event);
}

/// How much the terminal shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    Quiet,
    Normal,
    Verbose,
}

/// Lines on stderr: one when a task starts, one when it ends, and a heartbeat in between.
pub struct Lines {
    verbosity: Verbosity,
    colour: bool,
    /// Columns; where nobody looks at a terminal, lines are as long as they are.
    width: usize,
    heartbeat: Duration,
    began: Instant,
    tasks: Mutex<BTreeMap<TaskId, Running>>,
}

struct Running {
    began: Instant,
    spoke: Instant,
}

impl Lines {
    /// Colour only on a terminal and without `NO_COLOR`; the heartbeat is calmer where lines are kept in a log.
    pub fn stderr(verbosity: Verbosity) -> Lines {
        let terminal = std::io::stderr().is_terminal();
        let columns = terminal.then(|| terminal_size::terminal_size_of(std::io::stderr())).flatten().map(|(width, _)| usize::from(width.0));
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|it| !it.is_empty());
        Lines {
            verbosity,
            colour: terminal && !no_colour,
            width: columns.unwrap_or(usize::MAX),
            heartbeat: if terminal { Duration::from_secs(5) } else { Duration::from_secs(20) },
            began: Instant::now(),
            tasks: Mutex::new(BTreeMap::new()),
        }
    }

    fn line(&self, mark: &str, paint: &str, task: TaskId, text: &str) {
        let seconds = self.began.elapsed().as_secs();
        let clock = format!("{:>2}:{:02}", seconds / 60, seconds % 60);
        let (on, off) = if self.colour { (paint, "\x1b[0m") } else { ("", "") };
        let mut out = String::new();
        for (index, line) in fold(text, self.width.saturating_sub(INDENT)).iter().enumerate() {
            if index == 0 {
                out.push_str(&format!("{clock} {on}{mark}{off} {:<12} {line}\n", task.name()));
            } else {
                out.push_str(&format!("{:INDENT$}{line}\n", ""));
            }
        }
        // A reader that went away is no reason to stop the work.
        std::io::stderr().write_all(out.as_bytes()).ok();
    }

    /// One line only: what a task does at this moment is not worth two.
    fn passing(&self, task: TaskId, text: &str) {
        let room = self.width.saturating_sub(INDENT).max(20);
        let first = text.lines().next().unwrap_or_default();
        let shown: String =
            if first.chars().count() > room { first.chars().take(room - 1).chain(['…']).collect() } else { first.to_owned() };
        self.line("·", "\x1b[2m", task, &shown);
    }
}

/// The width of clock, mark and task's name.
const INDENT: usize = 21;

/// Breaks lines between words where they are longer than the room; a word that is longer stays whole.
fn fold(text: &str, room: usize) -> Vec<String> {
    let room = room.max(20);
    let mut out = Vec::new();
    for line in text.lines() {
        let words = line.trim_start_matches(' ');
        let mut folded = " ".repeat(line.len() - words.len());
        let mut is_new = true;
        for word in words.split(' ') {
            if !is_new && folded.chars().count() + 1 + word.chars().count() > room {
                out.push(std::mem::take(&mut folded));
                is_new = true;
            }
            if !is_new {
                folded.push(' ');
            }
            folded.push_str(word);
            is_new = false;
        }
        out.push(folded);
    }
    out
}

impl Report for Lines {
    fn event(&self, task: TaskId, event: Event) {
        let Ok(mut tasks) = self.tasks.lock() else { return };
        let now = Instant::now();
        let quiet = self.verbosity == Verbosity::Quiet;
        match event {
            Event::Started { reason } => {
                tasks.insert(task, Running { began: now, spoke: now });
                if !quiet {
                    self.line("·", "\x1b[36m", task, &reason);
                }
            }
            Event::Progress { text } => {
                let Some(running) = tasks.get_mut(&task) else { return };
                if !quiet && (self.verbosity == Verbosity::Verbose || now - running.spoke >= self.heartbeat) {
                    running.spoke = now;
                    self.passing(task, &text);
                }
            }
            Event::Note { text } => {
                if !quiet {
                    self.line("·", "\x1b[36m", task, &text);
                }
            }
            Event::Detail { text } => {
                if self.verbosity == Verbosity::Verbose {
                    self.line(" ", "\x1b[2m", task, &text);
                }
            }
            Event::Done { text } => {
                let took = tasks.remove(&task).map(|it| now - it.began).unwrap_or_default();
                if !quiet {
                    self.line("✓", "\x1b[32m", task, &format!("{text} ({})", Took(took)));
                }
            }
            Event::Skipped { reason } => {
                if !quiet {
                    self.line("=", "\x1b[2m", task, &format!("skipped: {reason}"));
                }
            }
            Event::Failed { text } => {
                let took = tasks.remove(&task).map(|it| now - it.began).unwrap_or_default();
                self.line("✗", "\x1b[31m", task, &format!("{text} ({})", Took(took)));
            }
            Event::NotRun { because } => {
                self.line("-", "\x1b[2m", task, &format!("not run: it needs {}", because.name()));
            }
        }
    }
}

/// A duration as people say it: `0.4 s`, `12.3 s`, `4 min 05 s`.
pub struct Took(pub Duration);

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        if seconds < 60.0 { write!(f, "{seconds:.1} s") } else { write!(f, "{} min {:02} s", self.0.as_secs() / 60, self.0.as_secs() % 60) }
    }
}

/// Keeps events for tests.
#[derive(Default)]
pub struct Recorder(pub Mutex<Vec<(TaskId, Event)>>);

impl Report for Recorder {
    fn event(&self, task: TaskId, event: Event) {
        if let Ok(mut events) = self.0.lock() {
            events.push((task, event));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_folded_between_words() {
        assert_eq!(fold("upstream's images are built from packages", 24), ["upstream's images are", "built from packages"]);
        assert_eq!(fold("a-word-that-is-longer-than-the-room x", 20), ["a-word-that-is-longer-than-the-room", "x"]);
        assert_eq!(fold("one\n  two", usize::MAX), ["one", "  two"]);
    }

    #[test]
    fn durations_are_said_as_people_say_them() {
        assert_eq!(Took(Duration::from_millis(1240)).to_string(), "1.2 s");
        assert_eq!(Took(Duration::from_secs(125)).to_string(), "2 min 05 s");
    }
}
