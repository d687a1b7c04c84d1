//! For tests: a run as a list of events, a clock that the test moves, and a simulated screen.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::json;

use crate::{
    config::ClusterType,
    graph::{TaskId, graph},
    report::{Event, RunEvent, Told, Waiting, hub::Listener, run::Run},
};

/// Seconds and events.
pub(super) type Story = Vec<(f64, Told)>;

/// The plan of a run on kind with these tasks.
pub(super) fn planned(tasks: &[TaskId]) -> RunEvent {
    RunEvent::Planned { tasks: tasks.to_vec(), needs: graph(ClusterType::Kind, &[None], &[]).needs_of(tasks) }
}

fn task(at: f64, id: TaskId, event: Event) -> (f64, Told) {
    (at, Told::Task(id, event))
}

/// One task is skipped, one runs with a step, one is restored, one fails, one is not run because of it.
pub(super) fn failing() -> Story {
    let text = str::to_owned;
    vec![
        (
            0.0,
            Told::Run(RunEvent::Began {
                run: text("20260102T030405.006Z"),
                command: text("create"),
                time: text("2026-01-02T03:04:05Z"),
                logs: text("target/pocdeploy/runs/20260102T030405.006Z"),
            }),
        ),
        (0.0, Told::Run(planned(&[TaskId::Engine, TaskId::Patch, TaskId::BaseImage, TaskId::Image, TaskId::Cluster, TaskId::Load]))),
        task(0.0, TaskId::Engine, Event::Checking),
        task(0.0, TaskId::Patch, Event::Checking),
        task(0.1, TaskId::Engine, Event::Skipped { reason: text("the engine at /run/docker.sock answers (version 20.10)") }),
        task(0.1, TaskId::Patch, Event::Started { reason: text("patch 0002 changed") }),
        task(0.1, TaskId::Cluster, Event::Checking),
        task(0.2, TaskId::Cluster, Event::Restoring { reason: text("the cluster's node is stopped") }),
        task(0.4, TaskId::Patch, Event::Done { text: text("the patched application is unchanged (31 files)") }),
        task(0.4, TaskId::BaseImage, Event::Checking),
        task(0.5, TaskId::BaseImage, Event::Started { reason: text("not done yet") }),
        task(0.5, TaskId::BaseImage, Event::StepBegan { name: text("Debian packages for python") }),
        task(
            1.0,
            TaskId::Cluster,
            Event::Waiting(Waiting { what: text("the API server"), seen: text("connection refused"), waited: 0, limit: 240 }),
        ),
        task(1.0, TaskId::BaseImage, Event::Progress { text: text("\x1b[1munpacking\x1b[0m\tlibc6") }),
        task(4.5, TaskId::BaseImage, Event::StepEnded { name: text("Debian packages for python") }),
        task(5.0, TaskId::BaseImage, Event::Done { text: text("python:3.12.3 is in the engine (120 MB)") }),
        task(5.0, TaskId::Image, Event::Checking),
        task(5.1, TaskId::Image, Event::Started { reason: text("base image changed") }),
        task(
            6.0,
            TaskId::Image,
            Event::Note { text: text("a note that is worth more than a single line of a terminal of eighty columns, surely") },
        ),
        task(
            9.0,
            TaskId::Cluster,
            Event::Waiting(Waiting { what: text("the API server"), seen: text("connection refused"), waited: 8, limit: 240 }),
        ),
        task(38.0, TaskId::Image, Event::Failed { text: text("`pip install` ended with exit code 1") }),
        task(38.0, TaskId::Load, Event::NotRun { because: TaskId::Image }),
        task(60.0, TaskId::Cluster, Event::Done { text: text("cluster polls answers") }),
        (60.0, Told::Run(RunEvent::Settled)),
        (60.0, Told::Run(RunEvent::Ended { error: Some(json!({ "message": "image failed" })) })),
    ]
}

/// Sends the events and ten ticks a second to a listener; calls `look` with the time after each.
pub(super) fn play(story: &Story, listener: &mut dyn Listener, mut look: impl FnMut(f64)) -> Run {
    let mut run = Run::default();
    let mut tick: u32 = 0;
    for (second, told) in story {
        while f64::from(tick) / 10.0 < *second {
            tick += 1;
            listener.tick(Duration::from_millis(u64::from(tick) * 100), &run);
            look(f64::from(tick) / 10.0);
        }
        let at = Duration::from_secs_f64(*second);
        run.take(at, told);
        listener.told(at, &run, told);
        look(*second);
    }
    run
}

/// Adds an unindented first line, since expect_test removes common indentation.
pub(super) fn framed(text: &str) -> String {
    format!("screen:\n{text}")
}

/// Stores what was written.
#[derive(Clone, Default)]
pub(super) struct Paper(Arc<Mutex<Vec<u8>>>);

impl Paper {
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// The screen's content, including lines that have scrolled away.
    pub(super) fn screen(&self, width: usize) -> String {
        let mut rows: Vec<String> = vec![String::new()];
        let mut row = 0;
        let text = self.text();
        let mut chars = text.chars();
        while let Some(char) = chars.next() {
            match char {
                '\n' => {
                    row += 1;
                    if row == rows.len() {
                        rows.push(String::new());
                    }
                }
                '\r' => {}
                '\x1b' => {
                    let sequence = sequence(&mut chars);
                    match sequence.split_at(sequence.len() - 1) {
                        (count, "A") => row -= count.parse::<usize>().unwrap(),
                        ("", "J") => {
                            rows.truncate(row);
                            rows.push(String::new());
                        }
                        (_, "m") => {}
                        other => panic!("unknown sequence {other:?}"),
                    }
                }
                other => {
                    if rows[row].chars().count() == width {
                        row += 1;
                        rows.insert(row, String::new());
                    }
                    rows[row].push(other);
                }
            }
        }
        rows.iter().map(|it| it.trim_end().to_owned() + "\n").collect()
    }
}

/// The rest of an escape sequence, up to its final letter.
fn sequence(chars: &mut impl Iterator<Item = char>) -> String {
    let mut out = String::new();
    for char in chars.skip(1) {
        out.push(char);
        if char.is_ascii_alphabetic() {
            break;
        }
    }
    out
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
