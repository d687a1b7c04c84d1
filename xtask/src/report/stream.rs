//! `--events`: every event as one line of JSON, as it happens.

use std::{collections::BTreeMap, io::Write, time::Duration};

use crate::{
    graph::TaskId,
    report::{Event, Told, hub::Listener, run::Run, wire},
};

/// Lets through what a task says of its progress once in a while: a wait says so four times a second.
pub(super) struct Calm {
    pause: Duration,
    last: BTreeMap<TaskId, Duration>,
}

impl Calm {
    pub(super) fn new(pause: Duration) -> Calm {
        Calm { pause, last: BTreeMap::new() }
    }

    /// Whether this event is due; all but progress always are.
    pub(super) fn lets(&mut self, at: Duration, told: &Told) -> bool {
        let Told::Task(task, Event::Progress { .. }) = told else { return true };
        let due = self.last.get(task).is_none_or(|it| at.saturating_sub(*it) >= self.pause);
        if due {
            self.last.insert(*task, at);
        }
        due
    }
}

/// See the file's head.
pub struct Stream {
    out: Box<dyn Write + Send>,
    calm: Calm,
}

impl Stream {
    pub fn new(out: Box<dyn Write + Send>) -> Stream {
        Stream { out, calm: Calm::new(Duration::from_secs(1)) }
    }
}

impl Listener for Stream {
    fn told(&mut self, at: Duration, _run: &Run, told: &Told) {
        if self.calm.lets(at, told) {
            let line = wire::line(at, told) + "\n";
            // A reader that went away is no reason to stop the work.
            self.out.write_all(line.as_bytes()).and_then(|()| self.out.flush()).ok();
        }
    }
}
