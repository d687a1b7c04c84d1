//! Earlier runs of the instance: reads and deletes their records, and estimates durations.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    graph::TaskId,
    report::{
        run::{Outcome, Run},
        wire,
    },
};

/// The file of a run's events.
pub const EVENTS: &str = "events.ndjson";
/// The number of runs to keep; older ones are deleted when a new run starts.
const KEPT: usize = 10;

/// The usual duration of a task when it runs, and when it is restored (`true`).
pub type Estimates = BTreeMap<(TaskId, bool), Duration>;

/// The folders of the runs below `runs`, oldest first. Their names sort by time.
pub fn folders(runs: &Path) -> Vec<PathBuf> {
    let mut out: Vec<PathBuf> = fs::read_dir(runs).into_iter().flatten().flatten().map(|it| it.path()).filter(|it| it.is_dir()).collect();
    out.sort();
    out
}

/// The state of a recorded run; `None` without events.
pub fn read(folder: &Path) -> Option<Run> {
    let text = fs::read_to_string(folder.join(EVENTS)).ok()?;
    let mut run = Run::default();
    for (at, told) in text.lines().filter_map(wire::read) {
        run.take(at, &told);
    }
    Some(run)
}

/// Deletes all but the last runs.
pub fn prune(runs: &Path) -> io::Result<()> {
    let folders = folders(runs);
    for folder in &folders[..folders.len().saturating_sub(KEPT)] {
        fs::remove_dir_all(folder)?;
    }
    Ok(())
}

/// The median duration of each task in the recorded runs.
pub fn estimates(runs: &Path) -> Estimates {
    let mut all: BTreeMap<(TaskId, bool), Vec<Duration>> = BTreeMap::new();
    for task in folders(runs).iter().filter_map(|it| read(it)).flat_map(|it| it.tasks) {
        if matches!(task.outcome(), Some(Outcome::Ran | Outcome::Restored)) {
            all.entry((task.id, task.restores)).or_default().push(task.took());
        }
    }
    let middle = |mut took: Vec<Duration>| {
        took.sort();
        took[took.len() / 2]
    };
    all.into_iter().map(|(key, took)| (key, middle(took))).collect()
}
