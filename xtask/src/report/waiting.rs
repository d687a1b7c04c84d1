//! A bounded wait as data: what it waits for, the last state, the time so far, and the limit.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// The state of a wait at one moment, in whole seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// The subject: `the API server`, `Job polls-migration in polls`.
    pub what: String,
    /// The last state.
    pub seen: String,
    /// Seconds since the wait started. It started at the event's `at` minus `waited`.
    pub waited: u64,
    /// The wait fails after this many seconds.
    pub limit: u64,
}

impl Waiting {
    pub fn new(what: impl Into<String>, seen: impl Into<String>, waited: Duration, limit: Duration) -> Waiting {
        Waiting { what: what.into(), seen: seen.into(), waited: waited.as_secs(), limit: limit.as_secs() }
    }

    /// The error message at the limit.
    pub fn timed_out(&self) -> String {
        format!("timed out after {} s waiting for {}; last seen: {}", self.limit, self.what, self.seen)
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "waiting for {} ({} of at most {} s): {}", self.what, self.waited, self.limit, self.seen)
    }
}

/// A wait of a task, from its first event to its last. Times count from the start of the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waited {
    pub last: Waiting,
    pub began: Duration,
    pub heard: Duration,
}

impl Waited {
    /// Adds an event to the list: it continues the wait with the same subject, or starts a new one.
    pub(super) fn take(waits: &mut Vec<Waited>, at: Duration, waiting: &Waiting) {
        let waited = Duration::from_secs(waiting.waited);
        let open = waits.iter_mut().rfind(|it| it.last.what == waiting.what && it.last.waited <= waiting.waited);
        match open {
            Some(wait) => (wait.last, wait.heard) = (waiting.clone(), at),
            None => waits.push(Waited { last: waiting.clone(), began: at.saturating_sub(waited), heard: at }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(what: &str, seconds: u64) -> Waiting {
        Waiting::new(what, "connection refused", Duration::from_secs(seconds), Duration::from_secs(240))
    }

    #[test]
    fn a_wait_and_its_time_out_read_as_one_sentence_each() {
        let it = waiting("the API server", 7);
        assert_eq!(it.to_string(), "waiting for the API server (7 of at most 240 s): connection refused");
        assert_eq!(it.timed_out(), "timed out after 240 s waiting for the API server; last seen: connection refused");
    }

    #[test]
    fn events_of_two_waits_side_by_side_stay_two_waits_and_a_later_one_is_a_third() {
        let mut waits = Vec::new();
        for (at, what, seconds) in [(10, "a", 0), (10, "b", 0), (12, "a", 2), (13, "b", 3), (60, "a", 0), (61, "a", 1)] {
            Waited::take(&mut waits, Duration::from_secs(at), &waiting(what, seconds));
        }
        let told: Vec<(&str, u64, u64)> = waits.iter().map(|it| (it.last.what.as_str(), it.began.as_secs(), it.last.waited)).collect();
        assert_eq!(told, [("a", 10, 2), ("b", 10, 3), ("a", 60, 1)]);
    }
}
