//! The secrets that a run has read, which must be in no message and no file.

use std::sync::{Mutex, PoisonError};

use crate::env::Env;

/// Values of secrets, besides those in the configuration.
#[derive(Default)]
pub(super) struct Withheld(Mutex<Vec<String>>);

impl Env {
    /// Adds values to those that `secrets` returns.
    pub fn withhold(&self, values: impl Iterator<Item = String>) {
        let mut known = self.withheld.0.lock().unwrap_or_else(PoisonError::into_inner);
        for value in values.filter(|it| !it.is_empty()) {
            if !known.contains(&value) {
                known.push(value);
            }
        }
    }

    /// Every secret that is known so far: for texts that leave the machine.
    pub fn secrets(&self) -> Vec<String> {
        let known = self.withheld.0.lock().unwrap_or_else(PoisonError::into_inner);
        self.config.secrets().into_iter().chain(known.iter().cloned()).collect()
    }
}
