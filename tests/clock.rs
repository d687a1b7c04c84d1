//! Waits and limits count with a clock that nobody sets: the machine's own clock jumps when it is corrected, or when a laptop wakes up.

use crate::sources;

/// What reads the machine's clock. An `elapsed` with a possible error is that of a file's time.
const READ: [&str; 8] = [
    "SystemTime::now",
    "Timestamp::now",
    "Zoned::now",
    "UNIX_EPOCH.elapsed",
    ".elapsed().ok",
    ".elapsed().is_ok",
    ".elapsed().unwrap",
    ".elapsed()?",
];

/// Who reads it, how often, and what becomes of a jump.
const ALLOWED: [(&str, usize, &str); 16] = [
    ("authority.rs", 1, "the days of a certificate"),
    ("cluster/age.rs", 1, "an age for people; of the future it is `?`"),
    ("cluster/certificate.rs", 1, "the days of a certificate"),
    ("cluster/logs.rs", 2, "which lines of a log a person wants"),
    ("commands.rs", 1, "the time of a record"),
    ("commands/pause.rs", 1, "compared with the cluster's times of pods; the wait has a limit of its own"),
    ("commands/support_bundle/archive.rs", 1, "the times of files in an archive"),
    ("deploy/webhooks.rs", 1, "the days of a certificate"),
    ("doctor/network.rs", 1, "the clock itself is checked"),
    ("engine/superseded.rs", 1, "images of the last day stay for a rollback"),
    ("env.rs", 1, "the name of a run's folder"),
    ("images/packages/products.rs", 2, "products that were used lately stay in the cache"),
    ("lock.rs", 1, "for how long another command runs, for people"),
    ("provider/cloud/known.rs", 1, "the time of a record"),
    ("snapshot.rs", 1, "the name of a snapshot"),
    ("tasks/deploy/history.rs", 1, "the time of a revision"),
];

#[test]
fn no_wait_and_no_limit_reads_the_machines_clock() {
    let (mut wrong, mut waits) = (Vec::new(), 0);
    for (name, text) in sources().iter().filter(|(name, _)| !name.ends_with("tests.rs")) {
        // Tests come last in a file.
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let found: usize = READ.iter().map(|it| code.matches(it).count()).sum();
        let allowed = ALLOWED.iter().find(|it| it.0 == name).map_or(0, |it| it.1);
        if found != allowed {
            wrong.push(format!("{name} reads the machine's clock {found} times, and {allowed} are known: a wait needs `Instant`"));
        }
        waits += code.matches("Instant::now").count();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(waits >= 20, "{waits}");
}
