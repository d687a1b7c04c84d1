//! GitHub Actions: failures as annotations, the timeline as the step summary.

use std::{fs::OpenOptions, io::Write, path::PathBuf, time::Duration};

use crate::report::{
    Event, RunEvent, Told, Took,
    hub::Listener,
    run::{Outcome, Run},
    timeline,
};

/// The listener.
pub struct GitHub {
    out: Box<dyn Write + Send>,
    /// `GITHUB_STEP_SUMMARY`.
    summary: Option<PathBuf>,
}

impl GitHub {
    pub fn new(out: Box<dyn Write + Send>, summary: Option<PathBuf>) -> GitHub {
        GitHub { out, summary }
    }
}

impl Listener for GitHub {
    fn told(&mut self, _at: Duration, run: &Run, told: &Told) {
        match told {
            Told::Task(task, Event::Failed { text }) => {
                let line = format!("::error title=pocdeploy {} failed::{}\n", task.name(), escape(text));
                self.out.write_all(line.as_bytes()).ok();
            }
            Told::Run(RunEvent::Ended { .. }) => {
                let Some(path) = &self.summary else { return };
                let file = OpenOptions::new().create(true).append(true).open(path);
                // A failure to write the summary is ignored.
                file.and_then(|mut it| it.write_all(summary(run).as_bytes())).ok();
            }
            _ => {}
        }
    }
}

/// A table of the tasks in the order in which they started.
fn summary(run: &Run) -> String {
    let path = timeline::critical_path(run);
    let state = if run.error.is_some() { "failed" } else { "done" };
    let mut out = format!("### {}: {state} in {}\n\n", run.command, Took(run.took()));
    if !run.tasks.is_empty() {
        out.push_str("| task | outcome | time | critical | why |\n| --- | --- | ---: | --- | --- |\n");
    }
    for task in run.in_order() {
        let outcome = task.outcome().unwrap_or(Outcome::Cancelled).name();
        let critical = if path.contains(&task.id) { "yes" } else { "" };
        let why = task.reason.replace('|', "\\|");
        out.push_str(&format!("| {} | {outcome} | {} | {critical} | {why} |\n", task.id.name(), Took(task.took())));
    }
    out.push('\n');
    out
}

/// A workflow command is one line, so newlines are escaped.
fn escape(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{graph::TaskId, report::story::planned};

    #[test]
    fn the_summary_is_a_table_of_what_happened() {
        let mut run = Run::default();
        let tell = |run: &mut Run, second, told| run.take(Duration::from_secs(second), &told);
        tell(
            &mut run,
            0,
            Told::Run(RunEvent::Began { run: "1".to_owned(), command: "create".to_owned(), time: String::new(), logs: String::new() }),
        );
        tell(&mut run, 0, Told::Run(planned(&[TaskId::Patch, TaskId::Requirements])));
        tell(&mut run, 0, Told::Task(TaskId::Patch, Event::Skipped { reason: "a|b".to_owned() }));
        tell(&mut run, 1, Told::Task(TaskId::Requirements, Event::Started { reason: "new".to_owned() }));
        tell(&mut run, 3, Told::Task(TaskId::Requirements, Event::Failed { text: "no index".to_owned() }));
        tell(&mut run, 3, Told::Run(RunEvent::Ended { error: Some(json!({})) }));
        let expected = "### create: failed in 3.0 s\n\n\
            | task | outcome | time | critical | why |\n| --- | --- | ---: | --- | --- |\n\
            | patch | skipped | 0.0 s | yes | a\\|b |\n| requirements | failed | 2.0 s | yes | no index |\n\n";
        assert_eq!(summary(&run), expected);
        assert_eq!(escape("50%\nmore"), "50%25%0Amore");
    }
}
