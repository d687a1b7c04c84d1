//! Probable causes: a table of rules over a symptom, most specific first, each with the command that helps.

use crate::{cluster::diagnosis::Symptom, errors::Code};

/// What probably happened, and what helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    pub code: Code,
    pub text: String,
    pub command: String,
}

struct Rule {
    code: Code,
    /// The cause in words, where the rule fits.
    fits: fn(&Symptom) -> Option<String>,
    command: fn(&Symptom) -> String,
}

/// A container that is told "connection refused" is no cause if another says why: the table's order decides over all symptoms.
const RULES: [Rule; 12] = [
    Rule { code: Code::PodRefused, fits: refused, command: events },
    Rule {
        code: Code::ImageAbsent,
        fits: image_absent,
        command: |_| "cargo xtask create: it brings the image to the node again".to_owned(),
    },
    Rule { code: Code::SettingAbsent, fits: setting_absent, command: |it| format!("{KUBECTL} get secrets,configmaps -n {}", it.namespace) },
    Rule {
        code: Code::NodePressure,
        fits: pressure,
        command: |_| "cargo xtask doctor; it names what is scarce on this machine".to_owned(),
    },
    Rule {
        code: Code::NoVolume,
        fits: no_volume,
        command: |it| format!("{KUBECTL} get persistentvolumeclaims,storageclasses -n {}", it.namespace),
    },
    Rule { code: Code::NoRoom, fits: no_room, command: |_| format!("{KUBECTL} describe nodes") },
    Rule {
        code: Code::OutOfMemory,
        fits: out_of_memory,
        command: |it| format!("raise resources.limits.memory of {} in deploy/", it.container),
    },
    Rule {
        code: Code::DatabaseRefused,
        fits: database_refused,
        command: |it| format!("{KUBECTL} get clusters.postgresql.cnpg.io,secrets -n {}", it.namespace),
    },
    Rule {
        code: Code::DatabaseAway,
        fits: database_away,
        command: |it| format!("{KUBECTL} get clusters.postgresql.cnpg.io,pods -n {}", it.namespace),
    },
    Rule {
        code: Code::MigrationFailed,
        fits: |it| {
            // A database's own Jobs are its operator's.
            let is_migration = has_owner(it, "Job ") && !has_owner(it, "Cluster ");
            is_migration.then(|| exception(it)).flatten().map(|it| format!("the migration ended with `{it}`"))
        },
        command: logs,
    },
    Rule { code: Code::Crash, fits: crash, command: logs },
    Rule { code: Code::ProbeFails, fits: probe_fails, command: logs },
];

const KUBECTL: &str = "cargo xtask kubectl";

/// The first rule that fits any symptom.
pub(crate) fn of(symptoms: &[Symptom]) -> Option<Cause> {
    RULES.iter().find_map(|rule| {
        symptoms.iter().find_map(|it| Some(Cause { code: rule.code, text: (rule.fits)(it)?, command: (rule.command)(it) }))
    })
}

fn has_owner(it: &Symptom, kind: &str) -> bool {
    it.chain.iter().any(|it| it.starts_with(kind))
}

fn logs(it: &Symptom) -> String {
    // A Job's container is not started again: another pod is.
    let previous = if it.exit_code.is_some() && !has_owner(it, "Job ") { " --previous" } else { "" };
    format!("{KUBECTL} logs {} -c {}{previous} -n {}", it.pod, it.container, it.namespace)
}

fn events(it: &Symptom) -> String {
    format!("{KUBECTL} get events -n {}", it.namespace)
}

fn has(it: &Symptom, reasons: &[&str]) -> bool {
    it.reasons.iter().any(|reason| reasons.contains(&reason.as_str()))
}

/// The first line of what was said that holds one of the words.
fn line(text: &str, words: &[&str]) -> Option<String> {
    let found = text.lines().find(|line| words.iter().any(|word| line.to_lowercase().contains(word)));
    found.map(|it| it.trim().to_owned())
}

fn refused(it: &Symptom) -> Option<String> {
    has(it, &["FailedCreate"]).then(|| format!("the API server accepts no such pod: {}", it.message))
}

fn image_absent(it: &Symptom) -> Option<String> {
    let absent = has(it, &["ErrImageNeverPull", "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageInspect"]);
    absent.then(|| format!("the node does not have image {}, and cannot pull it", it.image))
}

fn setting_absent(it: &Symptom) -> Option<String> {
    let said = line(
        &it.message,
        &[
            "secret \"",
            "configmap \"",
            "couldn't find key",
            "references non-existent",
            "non-existent config key",
            "non-existent secret key",
        ],
    )?;
    let absent = ["not found", "couldn't find key", "non-existent"].iter().any(|word| said.contains(word));
    absent.then(|| format!("a Secret or ConfigMap, or a key in one, is not there: {said}"))
}

fn pressure(it: &Symptom) -> Option<String> {
    let said = line(&it.message, &["disk-pressure", "memory-pressure", "pid-pressure", "low on resource"]);
    match (has(it, &["Evicted"]), said) {
        (true, said) => Some(format!("the node is short of a resource and evicts pods: {}", said.unwrap_or_else(|| it.state.clone()))),
        (false, Some(said)) if has(it, &["Unschedulable"]) => Some(format!("the node is short of a resource and takes no pods: {said}")),
        _ => None,
    }
}

fn no_volume(it: &Symptom) -> Option<String> {
    let said = line(&it.message, &["persistentvolumeclaim", "volume node affinity", "provisioningfailed", "unable to attach or mount"])?;
    (has(it, &["Unschedulable", "ContainerCreating", "PodInitializing"])).then(|| format!("a volume cannot be had: {said}"))
}

fn no_room(it: &Symptom) -> Option<String> {
    has(it, &["Unschedulable"]).then(|| format!("no node has room for the pod: {}", it.message.lines().next().unwrap_or_default()))
}

fn out_of_memory(it: &Symptom) -> Option<String> {
    has(it, &["OOMKilled"]).then(|| format!("container {} used more memory than its limit allows, and was killed", it.container))
}

fn database_refused(it: &Symptom) -> Option<String> {
    let said = line(&it.log, &["password authentication failed", "no pg_hba.conf entry", "role \"", "database \""])?;
    let refused = ["authentication failed", "no pg_hba.conf", "does not exist"].iter().any(|word| said.contains(word));
    refused.then(|| format!("the database does not let the application in: {said}"))
}

fn database_away(it: &Symptom) -> Option<String> {
    let said = line(
        &it.log,
        &[
            "could not translate host name",
            "failed to resolve host",
            "connection refused",
            "could not connect to server",
            "connection timeout expired",
            "the database system is",
        ],
    )?;
    let of_database = said.contains("database") || said.contains("5432") || said.contains("-rw") || it.log.contains("psycopg");
    of_database.then(|| format!("the database cannot be reached: {said}"))
}

/// The last line of a Python traceback: the exception and its words.
fn exception(it: &Symptom) -> Option<String> {
    let from = it.log.rfind("Traceback (most recent call last)").unwrap_or(0);
    let name = |line: &str| {
        let name = line.split([':', ' ']).next().unwrap_or_default();
        let last = name.rsplit('.').next().unwrap_or_default();
        last.starts_with(|c: char| c.is_ascii_uppercase())
            && ["Error", "Exception", "Exit", "Configured", "Exists", "Warning"].iter().any(|it| last.ends_with(it))
    };
    it.log[from..].lines().rev().map(str::trim).find(|line| name(line)).map(str::to_owned)
}

/// What PostgreSQL's programs said last, which the operator's passes on in an event of its own.
fn passed_on(it: &Symptom) -> Option<String> {
    let events = it.log.lines().rev().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let said = events.into_iter().find(|it| it["pipe"] == "stderr")?;
    said["msg"].as_str()?.lines().next().map(str::to_owned)
}

fn crash(it: &Symptom) -> Option<String> {
    let code = it.exit_code?;
    let container = &it.container;
    if let Some(said) = passed_on(it).or_else(|| exception(it)) {
        return Some(format!("container {container} ended with `{said}`"));
    }
    Some(match code {
        126 => format!("the command of container {container} cannot be executed: wrong permissions or another architecture"),
        127 => format!("the command of container {container} is not in its image"),
        134 | 139 => format!("the program of container {container} crashed (exit code {code})"),
        137 => format!("container {container} was killed: it did not end when asked, or its liveness probe failed"),
        143 => format!("container {container} was asked to end and never became ready"),
        _ => format!("container {container} ended with exit code {code}: its last lines say why"),
    })
}

fn probe_fails(it: &Symptom) -> Option<String> {
    let said = line(&it.message, &["probe failed", "probe errored"])?;
    Some(format!("container {} runs and does not answer its probe: {}", it.container, said.trim_start_matches("Unhealthy: ")))
}
