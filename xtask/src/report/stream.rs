//! `--events`: each event as one line of JSON.

use std::{collections::BTreeMap, io::Write, time::Duration};

use crate::{
    graph::TaskId,
    report::{Event, Told, hub::Listener, run::Run, wire},
};

/// Drops an event of progress or of a wait if another one was passed on less than `pause` ago, since a wait reports four times a second.
pub(super) struct Calm {
    pause: Duration,
    /// The time of the last event that was passed on, by task and wait.
    last: BTreeMap<(TaskId, Option<String>), Duration>,
}

impl Calm {
    pub(super) fn new(pause: Duration) -> Calm {
        Calm { pause, last: BTreeMap::new() }
    }

    /// Whether to pass the event on. Only progress and waits are ever dropped.
    pub(super) fn lets(&mut self, at: Duration, told: &Told) -> bool {
        let key = match told {
            Told::Task(task, Event::Progress { .. }) => (*task, None),
            Told::Task(task, Event::Waiting(waiting)) => (*task, Some(waiting.what.clone())),
            _ => return true,
        };
        let due = self.last.get(&key).is_none_or(|it| at.saturating_sub(*it) >= self.pause);
        if due {
            self.last.insert(key, at);
        }
        due
    }
}

/// The listener.
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
            // The reader may have ended; the work continues.
            self.out.write_all(line.as_bytes()).and_then(|()| self.out.flush()).ok();
        }
    }
}
