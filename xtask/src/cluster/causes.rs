//! Probable causes: a table of rules over symptoms, most specific first, each with a command that helps.

use crate::{
    cluster::{diagnosis::Symptom, log_lines, obstacle},
    errors::Code,
};

/// A probable cause, and the command that helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    pub code: Code,
    pub text: String,
    pub command: String,
}

struct Rule {
    code: Code,
    /// The cause as a sentence, if the rule matches.
    fits: fn(&Symptom) -> Option<String>,
    command: fn(&Symptom) -> String,
}

/// The order of the rules decides, over all symptoms: "connection refused" in one container is not the cause if another container says why.
const RULES: [Rule; 15] = [
    Rule { code: Code::PodRefused, fits: refused, command: events },
    Rule {
        code: Code::ImageAbsent,
        fits: image_absent,
        command: |_| {
            "load the application's image again: cargo xtask create; any other image must be in a registry that the node can reach"
                .to_owned()
        },
    },
    Rule { code: Code::SettingAbsent, fits: setting_absent, command: |it| format!("{KUBECTL} get secrets,configmaps -n {}", it.namespace) },
    Rule { code: Code::NodePressure, fits: pressure, command: |_| "see what this machine lacks: cargo xtask doctor".to_owned() },
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
    Rule { code: Code::NotStarted, fits: not_started, command: |it| format!("{KUBECTL} describe pod {} -n {}", it.pod, it.namespace) },
    Rule {
        code: Code::DatabaseSetting,
        fits: database_setting,
        command: |_| {
            "correct `postgresql` in deploy/database/cluster.yaml, or in the Cluster if another program set it; then replace the pod: cargo xtask create"
                .to_owned()
        },
    },
    Rule { code: Code::Crash, fits: database_ends, command: logs },
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
            // Jobs of a database belong to the operator.
            let is_migration = has_owner(it, "Job ") && !has_owner(it, "Cluster ");
            is_migration.then(|| first_error(it)).flatten().map(|it| format!("the migration ended with `{it}`"))
        },
        command: logs,
    },
    Rule { code: Code::Crash, fits: crash, command: logs },
    Rule { code: Code::ProbeFails, fits: probe_fails, command: logs },
];

const KUBECTL: &str = "cargo xtask kubectl";

/// The first rule that matches any symptom.
pub(crate) fn of(symptoms: &[Symptom]) -> Option<Cause> {
    RULES.iter().find_map(|rule| {
        symptoms.iter().find_map(|it| Some(Cause { code: rule.code, text: (rule.fits)(it)?, command: (rule.command)(it) }))
    })
}

fn has_owner(it: &Symptom, kind: &str) -> bool {
    it.chain.iter().any(|it| it.starts_with(kind))
}

fn logs(it: &Symptom) -> String {
    // A Job replaces a failed pod instead of restarting its container, so there is no previous log.
    let previous = if it.exit_code.is_some() && !has_owner(it, "Job ") { " --previous" } else { "" };
    format!("{KUBECTL} logs {} -c {}{previous} -n {}", it.pod, it.container, it.namespace)
}

fn events(it: &Symptom) -> String {
    format!("{KUBECTL} get events -n {}", it.namespace)
}

fn has(it: &Symptom, reasons: &[&str]) -> bool {
    it.reasons.iter().any(|reason| reasons.contains(&reason.as_str()))
}

/// The first line that contains one of the words.
fn line(text: &str, words: &[&str]) -> Option<String> {
    let found = text.lines().find(|line| words.iter().any(|word| line.to_lowercase().contains(word)));
    found.map(|it| it.trim().to_owned())
}

/// The log line with one of the words: the last such line of a running container, since it describes the present; the first of an ended
/// container, since the others follow from it.
fn logged(it: &Symptom, words: &[&str]) -> Option<String> {
    let fits = |line: &&str| words.iter().any(|word| line.to_lowercase().contains(word));
    let found = if it.exit_code.is_none() { it.log.lines().rev().find(fits) } else { it.log.lines().find(fits) };
    found.map(|it| it.trim().to_owned())
}

/// Whether the container waits for its first start, by the kubelet's status. Events stay for an hour and may be outdated.
fn waits_for_start(it: &Symptom) -> bool {
    has(it, &["ContainerCreating", "PodInitializing", "CreateContainerConfigError", "CreateContainerError"])
}

fn refused(it: &Symptom) -> Option<String> {
    has(it, &["FailedCreate"]).then(|| format!("the API server rejects the pod: {}", it.message))
}

fn image_absent(it: &Symptom) -> Option<String> {
    if has(it, &["InvalidImageName"]) {
        return Some(format!("{} is not a valid image name", it.image));
    }
    let absent = has(it, &["ErrImageNeverPull", "ErrImagePull", "ImagePullBackOff", "ErrImageInspect"]);
    // The reason is at the end of the message: `… failed to do request: Head "https://…": dial tcp: lookup r: no such host`.
    let why = it.message.lines().next().unwrap_or_default();
    let why = why.rsplit_once("failed to do request: ").or_else(|| why.rsplit_once("failed to resolve reference ")).map(|it| it.1);
    let why = why.map(|it| format!(": {it}")).unwrap_or_default();
    absent.then(|| format!("the node does not have image {}, and cannot pull it{why}", it.image))
}

fn setting_absent(it: &Symptom) -> Option<String> {
    if !waits_for_start(it) {
        return None;
    }
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
    absent.then(|| format!("a Secret or ConfigMap, or a key in one, does not exist: {said}"))
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
    (has(it, &["Unschedulable", "ContainerCreating", "PodInitializing"])).then(|| format!("a volume is not available: {said}"))
}

fn no_room(it: &Symptom) -> Option<String> {
    // The kubelet calls what it turns away `OutOfcpu`, `OutOfmemory`, `OutOfpods` …
    let is_turned_away = it.reasons.iter().any(|it| it.starts_with("OutOf"));
    let said = || it.message.lines().next().unwrap_or_default();
    (is_turned_away || has(it, &["Unschedulable"])).then(|| format!("no node has room for the pod: {}", said()))
}

fn out_of_memory(it: &Symptom) -> Option<String> {
    has(it, &["OOMKilled"]).then(|| format!("container {} used more memory than its limit allows, and was killed", it.container))
}

/// The message of kubelet, containerd or runc about a container that never ran.
fn not_started(it: &Symptom) -> Option<String> {
    if !has(it, &["RunContainerError", "StartError", "CreateContainerConfigError", "CreateContainerError"]) {
        return None;
    }
    let words = ["unable to start container process", "error", "failed", "policy", "non-root", "not found", "denied", "cannot", "invalid"];
    let said = line(&it.message, &words)?;
    let (said, container) = (obstacle::short(&said), &it.container);
    let is = |words: &[&str]| words.iter().any(|it| said.to_lowercase().contains(it));
    Some(if is(&["executable file not found", "no such file or directory"]) && said.starts_with("exec: ") {
        format!("the command of container {container} is not in its image: {said}")
    } else if is(&["exec format error"]) {
        format!("the command of container {container} is for another architecture, or a script without its first line: {said}")
    } else if is(&["permission denied"]) && said.starts_with("exec: ") {
        format!("the command of container {container} is not executable: {said}")
    } else {
        format!("container {container} cannot be started: {said}")
    })
}

/// PostgreSQL's message about a rejected setting. The line that names the setting comes before the one that reports the end (`guc-file.l`,
/// `hba.c`).
fn database_setting(it: &Symptom) -> Option<String> {
    refused_settings(&it.log)
}

pub(super) fn refused_settings(log: &str) -> Option<String> {
    let refuses = ["contains errors", "could not load ", "contains invalid ", "invalid value for parameter"];
    let fatal = log.lines().position(|it| it.contains("FATAL:") && refuses.iter().any(|word| it.contains(word)))?;
    let lines: Vec<&str> = log.lines().take(fatal + 1).collect();
    let names = [
        "invalid value for parameter",
        "unrecognized configuration parameter",
        "syntax error in file",
        "pg_hba.conf\" line",
        "is outside the valid range",
        "requires a ",
    ];
    let said = lines.iter().rev().find(|it| names.iter().any(|word| it.contains(word))).unwrap_or(&lines[fatal]);
    Some(format!("PostgreSQL does not start with these settings: {}", without_time(said)))
}

/// `LOG:  invalid value …` without the preceding time and process id.
fn without_time(line: &str) -> &str {
    let at = ["LOG:  ", "FATAL:  ", "ERROR:  "].iter().filter_map(|it| Some(line.find(it)? + it.len())).min();
    line[at.unwrap_or(0)..].trim()
}

/// For an instance of the database that exits: its own last message is the cause, not that others cannot connect to it.
fn database_ends(it: &Symptom) -> Option<String> {
    if !has_owner(it, "Cluster ") || !(it.exit_code.is_some() || has(it, &["CrashLoopBackOff"])) {
        return None;
    }
    let said =
        it.log.lines().find(|it| ["FATAL:  ", "PANIC:  "].iter().any(|word| it.contains(word)) || it.starts_with("initdb: error: "))?;
    Some(format!("container {} ended with `{}`", it.container, without_time(said)))
}

fn database_refused(it: &Symptom) -> Option<String> {
    let said = logged(it, &["password authentication failed", "no pg_hba.conf entry", "pg_hba.conf rejects", "role \"", "database \""])?;
    let text = |words: &[&str]| words.iter().any(|word| said.contains(word));
    // A query may also mention a role or database that does not exist, so only errors of a connection count.
    let of_connection = text(&["FATAL", "connection"]) || ["28P01", "28000", "3D000"].iter().any(|code| it.log.contains(code));
    let refused = text(&["authentication failed", "no pg_hba.conf", "pg_hba.conf rejects"]) || (text(&["does not exist"]) && of_connection);
    let more = if said.contains("no encryption") || said.contains("SSL off") { "; the database accepts TLS connections only" } else { "" };
    refused.then(|| format!("the database rejects the application's login: {said}{more}"))
}

fn database_away(it: &Symptom) -> Option<String> {
    let words = [
        "could not translate host name",
        "failed to resolve host",
        "connection refused",
        "econnrefused",
        "enotfound",
        "eai_again",
        "no such host",
        "unknownhostexception",
        "connection timed out",
        "could not connect to server",
        "connection timeout expired",
        "the database system is",
    ];
    // Other services refuse connections, too, so the line must be about the database.
    let of_database = |line: &str| ["database", "5432", "-rw", "postgres", "psycopg"].iter().any(|it| line.to_lowercase().contains(it));
    let fits = |line: &&str| words.iter().any(|word| line.to_lowercase().contains(word)) && of_database(line);
    let said = if it.exit_code.is_none() { it.log.lines().rev().find(fits) } else { it.log.lines().find(fits) }?;
    Some(format!("the database cannot be reached: {}", said.trim()))
}

fn first_error(it: &Symptom) -> Option<String> {
    log_lines::first_error(&it.log).map(|it| it.words)
}

fn crash(it: &Symptom) -> Option<String> {
    let code = it.exit_code?;
    let container = &it.container;
    let said = first_error(it);
    if let Some(said) = &said {
        let library = said.contains("error while loading shared libraries") || said.contains("Error loading shared library");
        let versions = said.contains("version `GLIBC");
        return Some(match code {
            127 | 1 if library => format!("a shared library that container {container} needs is not in its image: `{said}`"),
            _ if versions => format!("the program of container {container} needs newer libraries than its image has: `{said}`"),
            126 | 127 if said.contains("not found") || said.contains("No such file") => {
                format!("a command that container {container} runs is not in its image: `{said}`")
            }
            126 => format!("a command of container {container} cannot be executed: `{said}`"),
            _ => format!("container {container} ended with `{said}`"),
        });
    }
    let of_probe = line(&it.message, &["probe failed", "probe errored"]);
    if matches!(code, 137 | 143)
        && let Some(said) = of_probe
    {
        // Only a failed liveness or startup probe kills a container. If there is one, the signal is not the cause.
        let said = said.trim_start_matches("Unhealthy: ").to_owned();
        let ends = ["liveness probe failed", "failed liveness probe", "startup probe failed", "failed startup probe"];
        return Some(match line(&it.message, &ends) {
            Some(_) => format!("container {container} was killed because its probe failed: {said}"),
            None => format!("container {container} failed its probe before a signal ended it: {said}"),
        });
    }
    let is_silent = it.log.trim().is_empty();
    Some(match code {
        0 => format!("the command of container {container} exits by itself with success; a server must keep running"),
        126 => format!("the command of container {container} cannot be executed: wrong permissions or another architecture"),
        127 if is_silent => format!("a command that container {container} runs is not in its image (exit code 127, no output)"),
        134 | 139 => format!("the program of container {container} crashed (exit code {code})"),
        137 => format!("container {container} was killed (exit code 137) for an unknown reason"),
        143 => format!("container {container} was stopped and never became ready"),
        _ if is_silent => format!("container {container} ended with exit code {code}, and wrote nothing"),
        _ => format!("container {container} ended with exit code {code}: its last lines say why"),
    })
}

fn probe_fails(it: &Symptom) -> Option<String> {
    // An old event does not explain a container that waits or has exited.
    if !it.reasons.is_empty() {
        return None;
    }
    let said = it.message.lines().rev().find(|it| ["probe failed", "probe errored"].iter().any(|word| it.to_lowercase().contains(word)))?;
    Some(format!("container {} runs but fails its probe: {}", it.container, said.trim().trim_start_matches("Unhealthy: ")))
}
