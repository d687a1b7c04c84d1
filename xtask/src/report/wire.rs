//! Events as JSON, one object on each line. `docs/events.md` documents them, and tests/project.rs compares both.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    graph::TaskId,
    report::{Event, RunEvent, Told},
};

/// Increases when a field changes its meaning or is removed; new events and fields do not increase it.
pub const SCHEMA: u32 = 1;

/// One event as one line, without the newline.
pub fn line(at: Duration, told: &Told) -> String {
    let (task, event) = match told {
        Told::Task(task, event) => (Some(task), serde_json::to_value(event)),
        Told::Run(event) => (None, serde_json::to_value(event)),
    };
    let mut out = serde_json::Map::new();
    out.insert("schema".to_owned(), json!(SCHEMA));
    out.insert("at".to_owned(), json!(seconds(at)));
    if let Some(task) = task {
        out.insert("task".to_owned(), json!(task.name()));
    }
    // These types always serialise to JSON.
    if let Ok(Value::Object(fields)) = event {
        out.extend(fields);
    }
    Value::Object(out).to_string()
}

/// Parses a line; `None` for another schema or a truncated line.
pub fn read(line: &str) -> Option<(Duration, Told)> {
    #[derive(Deserialize)]
    struct Head {
        schema: u32,
        at: f64,
        task: Option<TaskId>,
    }
    let value: Value = serde_json::from_str(line).ok()?;
    let head = Head::deserialize(&value).ok().filter(|it| it.schema == SCHEMA)?;
    let told = match head.task {
        Some(task) => Told::Task(task, Event::deserialize(&value).ok()?),
        None => Told::Run(RunEvent::deserialize(&value).ok()?),
    };
    Some((Duration::try_from_secs_f64(head.at).ok()?, told))
}

/// Rounded to milliseconds.
pub fn seconds(at: Duration) -> f64 {
    (at.as_secs_f64() * 1000.0).round() / 1000.0
}

/// The array `tasks` of `create --output json`, in the order in which the tasks started.
pub fn tasks(run: &crate::report::run::Run) -> Value {
    #[derive(Serialize)]
    struct Step<'a> {
        name: &'a str,
        began: f64,
        ended: f64,
    }
    let path = crate::report::timeline::critical_path(run);
    let ended = run.ended.unwrap_or_default();
    let task = |it: &&crate::report::run::TaskState| {
        let steps: Vec<Step<'_>> = it
            .steps
            .iter()
            .map(|step| Step { name: &step.name, began: seconds(step.began), ended: seconds(step.ended.unwrap_or(ended)) })
            .collect();
        let waits: Vec<Value> = it
            .waits
            .iter()
            .map(|it| json!({ "what": it.last.what, "seen": it.last.seen, "began": seconds(it.began), "ended": seconds(it.heard), "limit": it.last.limit }))
            .collect();
        json!({
            "task": it.id.name(),
            "outcome": it.outcome().map(|it| it.name().replace(' ', "-")),
            "reason": it.reason,
            "began": seconds(it.began),
            "ended": seconds(it.ended.unwrap_or(ended)),
            "critical": path.contains(&it.id),
            "steps": steps,
            "waits": waits,
        })
    };
    run.in_order().iter().map(task).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Waiting;

    #[test]
    fn a_line_is_read_back_as_what_it_was() {
        let at = Duration::from_millis(1500);
        for told in [
            Told::Task(TaskId::BaseImage, Event::Started { reason: "it is \"gone\"\nfrom the engine".to_owned() }),
            Told::Task(TaskId::Image, Event::NotRun { because: TaskId::BaseImage }),
            Told::Task(
                TaskId::Deploy,
                Event::Waiting(Waiting { what: "Deployment web".to_owned(), seen: "0 of 2".to_owned(), waited: 7, limit: 240 }),
            ),
            Told::Run(RunEvent::Settled),
            Told::Run(RunEvent::Ended { error: None }),
        ] {
            let line = line(at, &told);
            assert!(!line.contains('\n'), "{line}");
            assert_eq!(read(&line), Some((at, told)), "{line}");
        }
        assert_eq!(read("{\"schema\":1,\"at\":1"), None);
        assert_eq!(read("{\"schema\":2,\"at\":1,\"event\":\"run-settled\"}"), None);
    }

    #[test]
    fn the_fields_come_in_an_order_that_people_can_read() {
        let told = Told::Task(TaskId::NodeImage, Event::Progress { text: "x".to_owned() });
        assert_eq!(
            line(Duration::from_millis(1234), &told),
            r#"{"schema":1,"at":1.234,"task":"node-image","event":"progress","text":"x"}"#
        );
    }
}
