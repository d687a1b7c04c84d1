//! The timeline: all tasks in the order of their start, and the critical path.

use std::time::Duration;

use crate::{
    graph::TaskId,
    report::{
        Took,
        run::{Outcome, Run, TaskState},
        style::{Paint, Style},
    },
};

/// The critical path, first to last: starts at the task that ended last, and goes to the need that ended last, again and again.
pub fn critical_path(run: &Run) -> Vec<TaskId> {
    let started = |it: &&TaskState| it.ended.is_some() && it.outcome() != Some(Outcome::NotRun);
    let mut at = run.tasks.iter().filter(started).max_by_key(|it| it.ended);
    let mut out = Vec::new();
    while let Some(task) = at {
        out.push(task.id);
        at = task.needs.iter().filter_map(|need| run.task(*need)).filter(started).max_by_key(|it| it.ended);
    }
    out.reverse();
    out
}

/// The columns of mark, name, outcome and time.
const COLUMNS: usize = 2 + 13 + 10 + 12;
/// The maximum length of a bar.
const WIDEST: usize = 60;
/// The minimum duration of a step with its own row.
const SHORT: Duration = Duration::from_millis(500);

/// The timeline as lines; empty if at most one task worked.
pub fn text(style: Style, run: &Run) -> String {
    let tasks = run.in_order();
    if !run.worked() || tasks.len() < 2 {
        return String::new();
    }
    let total = run.took();
    let path = critical_path(run);
    let room = style.width.saturating_sub(COLUMNS + 1).min(WIDEST);
    let mut out = format!("\ntimeline of {}, * critical path\n", Took(total));
    for task in tasks {
        let Some(outcome) = task.outcome() else { continue };
        let is_critical = path.contains(&task.id);
        let mark = if is_critical { "*" } else { " " };
        let took = if outcome == Outcome::NotRun { String::new() } else { Took(task.took()).to_string() };
        let head = format!("{mark} {:<12} {:<10}{took:>11} ", task.id.name(), outcome.name());
        let paint = match outcome {
            Outcome::Failed => Paint::Bad,
            _ if is_critical => Paint::Busy,
            _ => Paint::Faint,
        };
        let bar = if outcome == Outcome::NotRun { String::new() } else { bar(style, room, total, task.began, task.ended.unwrap_or(total)) };
        row(&mut out, &head, &style.paint(paint, &bar));
        if outcome == Outcome::Failed {
            row(&mut out, &format!("    {}", style.clip(&task.reason, style.width.saturating_sub(5))), "");
        }
        for step in &task.steps {
            let ended = step.ended.or(task.ended).unwrap_or(total);
            let took = ended.saturating_sub(step.began);
            if took < SHORT {
                continue;
            }
            let head = format!("    {:<21}{:>11} ", style.clip(&step.name, 20), Took(took).to_string());
            row(&mut out, &head, &style.paint(Paint::Faint, &self::bar(style, room, total, step.began, ended)));
        }
    }
    out.push('\n');
    out
}

fn row(out: &mut String, head: &str, bar: &str) {
    out.push_str(format!("{head}{bar}").trim_end());
    out.push('\n');
}

/// The bar from `began` to `ended`, at least one column wide.
fn bar(style: Style, room: usize, total: Duration, began: Duration, ended: Duration) -> String {
    if room < 8 || total.is_zero() {
        return String::new();
    }
    let column = |at: Duration| (at.as_secs_f64() / total.as_secs_f64() * room as f64).round() as usize;
    let from = column(began).min(room - 1);
    let to = column(ended).clamp(from + 1, room);
    format!("{}{}", " ".repeat(from), style.block().repeat(to - from))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Event, RunEvent, Told, story::planned};

    #[test]
    fn what_never_began_is_on_no_path_and_has_no_time() {
        let mut run = Run::default();
        let mut tell = |second, told: Told| run.take(Duration::from_secs(second), &told);
        tell(0, Told::Run(planned(&[TaskId::Patch, TaskId::Requirements])));
        tell(0, Told::Task(TaskId::Patch, Event::Started { reason: "new".to_owned() }));
        tell(8, Told::Task(TaskId::Patch, Event::Cancelled { text: "stopped: interrupted".to_owned() }));
        tell(8, Told::Task(TaskId::Requirements, Event::Cancelled { text: "not started: interrupted".to_owned() }));
        tell(8, Told::Run(RunEvent::Settled));
        assert_eq!(critical_path(&run), [TaskId::Patch]);
        let style = Style { colour: false, unicode: false, width: 50 };
        let expected = "\ntimeline of 8.0 s, * critical path\n\
                        * patch        cancelled       8.0 s ############\n\
                        \x20 requirements not run\n\n";
        assert_eq!(text(style, &run), expected);
    }
}
