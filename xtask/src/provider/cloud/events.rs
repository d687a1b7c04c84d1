//! What OpenTofu and Terraform print with `-json`: one object a line (opentofu.org/docs/internals/machine-readable-ui).

use std::collections::BTreeMap;

use anyhow::Error;
use serde_json::Value;

use crate::{
    errors::{Code, Problem},
    provider::cloud::tofu::Change,
};

/// A line; `None` if it is no event. Unknown keys and types are passed over, as the format asks.
pub(super) fn read(line: &str) -> Option<Value> {
    serde_json::from_str(line).ok().filter(|it: &Value| it["type"].is_string())
}

/// What an event means for the reader.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// A resource of this type is there, and no other of the type is still to come.
    Made(String),
    Other,
    Nothing,
}

/// What was heard so far.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) changes: Vec<Change>,
    /// What is being done, by address: the word, and the seconds so far.
    running: BTreeMap<String, (&'static str, u64)>,
    /// How many resources of each type are still to come.
    open: BTreeMap<String, usize>,
    done: usize,
    errors: Vec<String>,
}

impl Heard {
    /// For a saved plan, whose application does not list its changes again.
    pub(super) fn expecting(changes: &[Change]) -> Heard {
        let mut out = Heard::default();
        for change in changes.iter().filter(|it| it.action == "create") {
            *out.open.entry(change.kind.clone()).or_default() += 1;
        }
        out
    }

    pub(super) fn take(&mut self, event: Value) -> Seen {
        let resource = if event["hook"].is_object() { &event["hook"]["resource"] } else { &event["change"]["resource"] };
        let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
        let (address, kind) = (text(&resource["addr"]), text(&resource["resource_type"]));
        match event["type"].as_str().unwrap_or_default() {
            "planned_change" => {
                let action = text(&event["change"]["action"]);
                self.changes.push(Change { address, kind, action });
                Seen::Nothing
            }
            "apply_start" => {
                let word = match event["hook"]["action"].as_str() {
                    Some("delete") => "deleting",
                    Some("update") => "changing",
                    Some("read") => "reading",
                    _ => "creating",
                };
                self.running.insert(address, (word, 0));
                Seen::Other
            }
            "apply_progress" => {
                let seconds = event["hook"]["elapsed_seconds"].as_f64().unwrap_or_default();
                if let Some(running) = self.running.get_mut(&address) {
                    running.1 = seconds as u64;
                }
                Seen::Other
            }
            "apply_complete" => {
                self.running.remove(&address);
                self.done += 1;
                let is_made = event["hook"]["action"] != "delete";
                // Without a list of planned changes every one counts.
                let left = self.open.get_mut(&kind).map_or(0, |it| {
                    *it = it.saturating_sub(1);
                    *it
                });
                if is_made && left == 0 { Seen::Made(kind) } else { Seen::Other }
            }
            "apply_errored" => {
                self.running.remove(&address);
                Seen::Other
            }
            "diagnostic" if event["diagnostic"]["severity"] == "error" => {
                let of = |name: &str| text(&event["diagnostic"][name]);
                let (summary, detail, address) = (of("summary"), of("detail"), of("address"));
                let about = if address.is_empty() { String::new() } else { format!("{address}: ") };
                let more = if detail.trim().is_empty() { String::new() } else { format!(": {}", detail.trim()) };
                self.errors.push(format!("{about}{summary}{more}"));
                Seen::Nothing
            }
            _ => Seen::Nothing,
        }
    }

    /// `12 done; creating aws_eks_cluster.this for 120 s`.
    pub(super) fn words(&self) -> String {
        let mut running: Vec<(&String, &(&'static str, u64))> = self.running.iter().collect();
        // What takes longest is what is waited for.
        running.sort_by_key(|(_, (_, seconds))| std::cmp::Reverse(*seconds));
        let first = running.first().map(|(address, (word, seconds))| format!("; {word} {address} for {seconds} s")).unwrap_or_default();
        let more = running.len().saturating_sub(1);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{} done{first}{more}", self.done)
    }

    /// The error of a run that failed: what the program said, or that it ended.
    pub(super) fn failure(&self, title: &str, name: &str, ended: Error) -> Error {
        if self.errors.is_empty() {
            return ended;
        }
        Problem::new(format!("{title} could not {name}:\n  {}", self.errors.join("\n  ").replace("\n\n", "\n")))
            .code(Code::CloudFailed)
            .hint("correct the cause and run the same command again: it goes on from here, and what exists stays in the state")
            .into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::mutation::{LONG, SHORT, each};

    fn hook(kind: &str, action: &str, address: &str, seconds: u64) -> Value {
        let resource = json!({ "addr": address, "resource_type": address.split('.').next() });
        json!({ "type": kind, "hook": { "resource": resource, "action": action, "elapsed_seconds": seconds } })
    }

    #[test]
    fn events_become_a_line_and_say_when_all_of_a_type_are_there() {
        let mut heard = Heard::default();
        for address in ["aws_ecr_repository.this[\"a\"]", "aws_ecr_repository.this[\"b\"]"] {
            let resource = json!({ "addr": address, "resource_type": "aws_ecr_repository" });
            heard.take(json!({ "type": "planned_change", "change": { "resource": resource, "action": "create" } }));
        }
        assert_eq!(heard.changes.len(), 2);
        let mut heard = Heard::expecting(&heard.changes);
        heard.take(hook("apply_start", "create", "aws_eks_cluster.this", 0));
        heard.take(hook("apply_start", "create", "aws_ecr_repository.this[\"a\"]", 0));
        assert_eq!(heard.take(hook("apply_complete", "create", "aws_ecr_repository.this[\"a\"]", 1)), Seen::Other);
        let made = heard.take(hook("apply_complete", "create", "aws_ecr_repository.this[\"b\"]", 1));
        assert_eq!(made, Seen::Made("aws_ecr_repository".to_owned()));
        heard.take(hook("apply_progress", "create", "aws_eks_cluster.this", 120));
        assert_eq!(heard.words(), "2 done; creating aws_eks_cluster.this for 120 s");
        heard.take(hook("apply_start", "create", "aws_vpc.this", 0));
        assert_eq!(heard.words(), "2 done; creating aws_eks_cluster.this for 120 s and 1 more");
    }

    #[test]
    fn an_error_is_what_the_provider_said() {
        let mut heard = Heard::default();
        let diagnostic = json!({ "severity": "error", "summary": "creating EKS Cluster", "detail": "ThrottlingException", "address": "aws_eks_cluster.this" });
        heard.take(json!({ "type": "diagnostic", "diagnostic": diagnostic }));
        heard.take(json!({ "type": "diagnostic", "diagnostic": { "severity": "warning", "summary": "old" } }));
        let error = heard.failure("OpenTofu", "apply", anyhow::anyhow!("exit code 1")).to_string();
        assert_eq!(error, "OpenTofu could not apply:\n  aws_eks_cluster.this: creating EKS Cluster: ThrottlingException");
        assert_eq!(Heard::default().failure("OpenTofu", "apply", anyhow::anyhow!("exit code 1")).to_string(), "exit code 1");
        assert!(read("no JSON").is_none() && read("{\"type\":\"version\"}").is_some());
    }

    const LINES: &str = r#"{"@level":"info","type":"version","tofu":"1.12.6","ui":"1.2"}
{"type":"planned_change","change":{"resource":{"addr":"aws_vpc.this","resource_type":"aws_vpc"},"action":"create"}}
{"type":"apply_start","hook":{"resource":{"addr":"aws_vpc.this","resource_type":"aws_vpc"},"action":"create"}}
{"type":"apply_progress","hook":{"resource":{"addr":"aws_vpc.this"},"action":"create","elapsed_seconds":20}}
{"type":"apply_complete","hook":{"resource":{"addr":"aws_vpc.this","resource_type":"aws_vpc"},"action":"create","elapsed_seconds":21}}
{"type":"apply_errored","hook":{"resource":{"addr":"aws_vpc.this"}}}
{"type":"diagnostic","diagnostic":{"severity":"error","summary":"x","detail":"y","address":"aws_vpc.this"}}
"#;
    const WORDS: [&str; 12] = [
        "\"type\":",
        "\"hook\":{",
        "\"change\":",
        "\"resource\":",
        "\"elapsed_seconds\":",
        "\"apply_complete\"",
        "\"diagnostic\"",
        "null",
        "[]",
        "{}",
        "\"addr\":5",
        "-1e308",
    ];

    /// Every line is passed over or becomes a line of the display and of an error.
    fn mutated(text: &str) {
        let mut heard = Heard::default();
        text.lines().filter_map(read).for_each(|it| drop(heard.take(it)));
        assert!(heard.words().contains(" done"));
        assert!(!heard.failure("OpenTofu", "apply", anyhow::anyhow!("exit code 1")).to_string().is_empty());
        drop(Heard::expecting(&heard.changes));
    }

    #[test]
    fn mutated_events_are_taken_or_passed_over() {
        each(&[LINES], &WORDS, SHORT, mutated);
    }

    #[test]
    #[ignore = "long: `cargo xtask test --full` reads a million texts"]
    fn a_million_mutated_events_are_taken_or_passed_over() {
        each(&[LINES], &WORDS, LONG, mutated);
    }
}
