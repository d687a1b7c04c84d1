//! CloudNativePG's objects inside a database: `Database`, `Publication`, `Subscription` (status in `api/v1`, 1.30.0).
//!
//! The status has `applied` and a message. After a failure, `observedGeneration` is that of the last success.

use serde_json::Value;

use crate::cluster::verdict::{Verdict, is_behind, list, text};

/// The kinds that this file judges.
pub(super) const KINDS: [&str; 3] = ["Database", "Publication", "Subscription"];

/// The message of a `Database` whose errors are in the lists of its status.
const IN_LISTS: &str = "database object reconciliation failed";

/// PostgreSQL's errors that persist until the object, another object or the image changes. CloudNativePG retries every 30 s.
const HOPELESS: [&str; 9] = [
    "is not available",
    "already managed by",
    "SQLSTATE 0A000",
    "SQLSTATE 22023",
    "SQLSTATE 42501",
    "SQLSTATE 42601",
    "SQLSTATE 42710",
    "SQLSTATE 42883",
    "SQLSTATE 58P01",
];

/// Applied for the current generation.
pub(super) fn managed(object: &Value) -> Verdict {
    let applied = object.pointer("/status/applied").and_then(Value::as_bool);
    let message = text(object, "/status/message");
    match applied {
        Some(true) if is_behind(object) => Verdict::NotYet("its last change is not applied yet".to_owned()),
        Some(true) => Verdict::Yes,
        Some(false) => {
            let mut reasons = if message == IN_LISTS { failed_parts(object) } else { Vec::new() };
            if reasons.is_empty() {
                reasons.push(message.to_owned());
            }
            let why = reasons.join("; ");
            if HOPELESS.iter().any(|it| why.contains(it)) { Verdict::Never(why) } else { Verdict::NotYet(why) }
        }
        // A replica cluster, which waits for its promotion.
        None if !message.is_empty() => Verdict::NotYet(message.to_owned()),
        // The instances of the named `Cluster` write the status. If that `Cluster` does not exist, the status stays empty.
        None => {
            let cluster = text(object, "/spec/cluster/name");
            Verdict::NotYet(format!("the primary of Cluster {cluster} has not processed it: does this Cluster exist?"))
        }
    }
}

/// `extension postgis: ERROR: …` for each part that failed.
fn failed_parts(object: &Value) -> Vec<String> {
    let lists = [("schemas", "schema"), ("extensions", "extension"), ("fdws", "foreign data wrapper"), ("servers", "server")];
    let mut out = Vec::new();
    for (name, word) in lists {
        for part in list(object, &format!("/status/{name}")).iter().filter(|it| it["applied"] != true) {
            // Some versions call the field `reason`.
            let said = ["/message", "/reason"].map(|at| text(part, at)).into_iter().find(|it| !it.is_empty()).unwrap_or("not applied");
            out.push(format!("{word} {}: {said}", text(part, "/name")));
        }
    }
    out
}
