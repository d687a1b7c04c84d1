//! A bounded wait as data: what is waited for, what the last look found, for how long, and the limit.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// The state of one wait at one moment. Seconds are whole: a wait reports several times a second.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// What is waited for: `the API server`, `Job polls-migration in polls`.
    pub what: String,
    /// What the last look found.
    pub seen: String,
    /// Seconds since the wait began. The wait began at the event's `at` less `waited`.
    pub waited: u64,
    /// The wait fails after this many seconds.
    pub limit: u64,
}

impl Waiting {
    pub fn new(what: impl Into<String>, seen: impl Into<String>, waited: Duration, limit: Duration) -> Waiting {
        Waiting { what: what.into(), seen: seen.into(), waited: waited.as_secs(), limit: limit.as_secs() }
    }

    /// The message of the error when the limit is reached.
    pub fn timed_out(&self) -> String {
        format!("timed out after {} s waiting for {}; last seen: {}", self.limit, self.what, self.seen)
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "waiting for {} ({} of at most {} s): {}", self.what, self.waited, self.limit, self.seen)
    }
}

/// One wait of a task from its first event to its last. Times count from the run's beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waited {
    pub last: Waiting,
    pub began: Duration,
    pub heard: Duration,
}

impl Waited {
    /// Takes an event of a wait into the list: it continues the wait of that name, or is the first of another.
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
