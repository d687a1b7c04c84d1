//! Interprets a container's log: readable lines, the first error, and an excerpt.
//!
//! Pure. The patterns are messages of runtimes (CPython, V8/Node.js, Go, the JVM, Ruby, Rust, .NET, PHP, POSIX shells, the dynamic linker,
//! PostgreSQL), then words that programs use for errors.

use serde_json::Value;

/// The number of lines in an excerpt.
const SHOWN: usize = 12;
/// The number of lines before the error in it.
const BEFORE: usize = 7;

/// Message and error of a structured log line, including PostgreSQL's lines in CloudNativePG's log. Other lines stay unchanged.
pub(super) fn readable(line: &str) -> String {
    if !line.starts_with('{') {
        return line.to_owned();
    }
    let Ok(value) = serde_json::from_str::<Value>(line) else { return line.to_owned() };
    let text = |at: &str| value.pointer(at).and_then(Value::as_str).unwrap_or_default();
    if !text("/record/message").is_empty() {
        let more = [text("/record/detail"), text("/record/hint")].map(|it| if it.is_empty() { String::new() } else { format!(" ({it})") });
        return format!("{}:  {}{}", text("/record/error_severity"), text("/record/message"), more.concat());
    }
    let message = ["/msg", "/message", "/event"].iter().map(|at| text(at)).find(|it| !it.is_empty()).unwrap_or_default();
    if message.is_empty() {
        return line.to_owned();
    }
    // PostgreSQL's programs, through the instance manager: the time precedes the message.
    if !text("/pipe").is_empty() {
        return message.to_owned();
    }
    let level = match &value["level"] {
        // pino and bunyan use numbers: 50 is error, 60 is fatal.
        Value::Number(it) if it.as_i64() >= Some(50) => "error",
        Value::String(it) => it,
        _ => ["/severity", "/log.level"].iter().map(|at| text(at)).find(|it| !it.is_empty()).unwrap_or_default(),
    };
    let error = ["/error", "/err/message", "/err", "/exception"].iter().map(|at| text(at)).find(|it| !it.is_empty()).unwrap_or_default();
    let error = if error.is_empty() { String::new() } else { format!(": {error}") };
    match level.to_ascii_lowercase().as_str() {
        "error" | "fatal" | "panic" | "critical" | "emergency" | "alert" => format!("ERROR {message}{error}"),
        _ => format!("{message}{error}"),
    }
}

/// The line of an error: its index and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) at: usize,
    pub(super) words: String,
}

/// The first error in a log. In a traceback or chain of causes it is the line with the root cause.
pub(super) fn first_error(log: &str) -> Option<Told> {
    let lines: Vec<&str> = log.lines().collect();
    let strong = (0..lines.len()).find_map(|at| strong(&lines, at));
    strong.or_else(|| (0..lines.len()).find(|at| is_weak(lines[*at])).map(|at| told(&lines, at)))
}

fn told(lines: &[&str], at: usize) -> Told {
    Told { at, words: lines[at].trim().to_owned() }
}

/// The messages of runtimes for an uncaught error.
fn strong(lines: &[&str], at: usize) -> Option<Told> {
    let line = lines[at].trim_end();
    if line.trim_start().starts_with("Traceback (most recent call last)") {
        return traceback(lines, at);
    }
    // `thread 'main' panicked at src/main.rs:2:5:`, with the message on the next line.
    if line.starts_with("thread '") && line.contains(" panicked at ") {
        let next = lines.get(at + 1).map(|it| it.trim()).filter(|it| line.ends_with(':') && !it.is_empty());
        return Some(Told { at: at + usize::from(next.is_some()), words: next.unwrap_or(line).to_owned() });
    }
    if line.starts_with("Exception in thread ") || line.starts_with("Caused by: ") {
        // The last cause in the trace is the root cause.
        let trace = |it: &&str| it.starts_with(['\t', ' ']) || it.starts_with("Caused by: ");
        let length = lines[at + 1..].iter().take_while(|it| trace(it)).count();
        let last = (at..=at + length).rev().find(|it| lines[*it].starts_with("Caused by: "));
        return Some(told(lines, last.unwrap_or(at)));
    }
    let begins = [
        "panic: ",
        "fatal error: ",
        "Unhandled exception. ",
        "Uncaught exception",
        "PHP Fatal error: ",
        "Fatal error: ",
        "FATAL: ",
        "PANIC: ",
        "npm error ",
        "npm ERR! ",
        "initdb: error: ",
        "standard_init_linux.go",
    ];
    let holds = [
        ": error while loading shared libraries: ",
        ": cannot execute binary file",
        ": Exec format error",
        ": version `GLIBC",
        ": version `GLIBCXX",
        "Error loading shared library ",
        "] FATAL: ",
        "] PANIC: ",
    ];
    if begins.iter().any(|it| line.starts_with(it)) || holds.iter().any(|it| line.contains(it)) || is_exception(line) || is_of_shell(line) {
        // PostgreSQL names the wrong line of its file before it reports that the file has errors.
        if line.contains("contains errors") && at > 0 && lines[at - 1].contains("LOG:") {
            return Some(told(lines, at - 1));
        }
        return Some(told(lines, at));
    }
    None
}

/// `TypeError: x`, `Error [ERR_MODULE_NOT_FOUND]: x`, `psycopg.errors.DuplicateColumn: x`, Node.js's `error: x`, Ruby's `…: x (KeyError)`.
fn is_exception(line: &str) -> bool {
    if line.starts_with([' ', '\t']) {
        return false;
    }
    let name = line.split([':', ' ']).next().unwrap_or_default();
    let last = name.rsplit(['.', '/']).next().unwrap_or_default();
    let ends = ["Error", "Exception", "ConfigurationError", "ImproperlyConfigured", "SystemExit"].iter().any(|it| last.ends_with(it));
    if ends && last.starts_with(|c: char| c.is_ascii_uppercase()) && line[name.len()..].starts_with([':', ' ']) {
        return true;
    }
    if line.starts_with("error: ") {
        return true;
    }
    // `/app/a.rb:3:in 'fetch': key not found: "X" (KeyError)`.
    line.contains(".rb:") && line.contains(":in ") && line.trim_end().ends_with("Error)")
}

/// `sh: 1: x: not found`, `/bin/bash: line 1: x: command not found`, `exec: x: not found`.
fn is_of_shell(line: &str) -> bool {
    let ends = [": not found", ": command not found", ": No such file or directory", ": Permission denied", ": bad interpreter"];
    let shells = ["sh: ", "bash: ", "/sh: ", "env: ", "exec: "];
    ends.iter().any(|it| line.ends_with(it) || line.contains(&format!("{it}: "))) && shells.iter().any(|it| line.contains(it))
}

/// The exception of a traceback, and of those chained to it.
fn traceback(lines: &[&str], at: usize) -> Option<Told> {
    let mut found = None;
    let mut next = at;
    loop {
        let indent = lines[next].len() - lines[next].trim_start().len();
        // Frames are indented deeper than the first line; the exception's line is not.
        let end = (next + 1..lines.len()).find(|it| {
            let line = lines[*it];
            !line.trim().is_empty() && line.len() - line.trim_start().len() <= indent && !line.trim_start().starts_with('|')
        })?;
        found = Some(told(lines, end)).or(found);
        let chained = (end + 1..lines.len().min(end + 12)).find(|it| {
            lines[*it].contains("above exception was the direct cause")
                || lines[*it].contains("above exception, another exception occurred")
        });
        let head =
            chained.and_then(|it| (it + 1..lines.len().min(it + 4)).find(|it| lines[*it].contains("Traceback (most recent call last)")));
        match head {
            Some(head) => next = head,
            None => return found,
        }
    }
}

/// A word for an error at the start of the line or as its level.
fn is_weak(line: &str) -> bool {
    let head: String = line.chars().take(120).collect::<String>().to_lowercase();
    if ["0 errors", "no error", " info ", "[info]", " debug ", "[debug]", " 200 "].iter().any(|it| head.contains(it)) {
        return false;
    }
    let words: Vec<&str> = head.split(|c: char| !c.is_alphanumeric()).collect();
    ["error", "fatal", "panic", "critical", "exception", "failed", "cannot", "abort"].iter().any(|it| words.contains(it))
}

/// The excerpt: around the first error, or else the last lines.
pub(super) fn excerpt(log: &str) -> Vec<String> {
    let lines: Vec<String> = log.lines().map(str::to_owned).collect();
    if lines.len() <= SHOWN {
        return lines;
    }
    let from = match first_error(log) {
        Some(told) => told.at.saturating_sub(BEFORE).min(lines.len() - SHOWN),
        None => lines.len() - SHOWN,
    };
    let mut out = lines[from..from + SHOWN].to_vec();
    let left = lines.len() - from - SHOWN;
    if left > 0 {
        out.push(format!("… {left} more lines"));
    }
    out
}

/// The lines from the time `from` on, without their timestamps. The kubelet's timestamps are RFC 3339 in UTC, so they compare as strings.
pub(super) fn since(log: &str, from: &str) -> String {
    let mut out = Vec::new();
    for line in log.lines() {
        let (time, text) = line.split_once(' ').unwrap_or((line, ""));
        if time >= from {
            out.push(readable(text));
        }
    }
    out.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(log: &str, words: &str) {
        assert_eq!(first_error(log).map(|it| it.words).as_deref(), Some(words));
    }

    #[test]
    fn the_first_error_of_every_runtime_is_found() {
        check(
            "boot\nTraceback (most recent call last):\n  File \"a\", line 1\n    import x\nModuleNotFoundError: No module named 'x'\ndone\n",
            "ModuleNotFoundError: No module named 'x'",
        );
        check(
            "panic: runtime error: index out of range [3] with length 3\n\ngoroutine 1 [running]:\nmain.main()\n",
            "panic: runtime error: index out of range [3] with length 3",
        );
        check(
            "2026/01/01 00:00:00 starting\n2026/01/01 00:00:00 listen tcp :80: bind: permission denied\nexit: failed to serve\n",
            "exit: failed to serve",
        );
        check(
            "/srv/app/server.js:3\nthrow new Error('no')\n^\n\nError: no\n    at Object.<anonymous> (/srv/app/server.js:3:7)\n",
            "Error: no",
        );
        check(
            "node:internal/modules/esm/resolve:873\n  throw new ERR_MODULE_NOT_FOUND(packageName);\n        ^\n\nError [ERR_MODULE_NOT_FOUND]: Cannot find package 'pg' imported from /srv/app/a.mjs\n    at x\n",
            "Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'pg' imported from /srv/app/a.mjs",
        );
        check(
            "error: pg_hba.conf rejects connection for host \"10.0.0.1\", user \"polls\", database \"polls\", no encryption\n    at Parser.parseErrorMessage\n  length: 159,\n  severity: 'FATAL',\n  code: '28000',\n",
            "error: pg_hba.conf rejects connection for host \"10.0.0.1\", user \"polls\", database \"polls\", no encryption",
        );
        check(
            "Exception in thread \"main\" java.lang.IllegalStateException: no\n\tat a.B.c(B.java:1)\nCaused by: java.net.UnknownHostException: polls-db-rw\n\t... 1 more\n",
            "Caused by: java.net.UnknownHostException: polls-db-rw",
        );
        check(
            "config/application.rb:3:in 'fetch': key not found: \"SECRET\" (KeyError)\n\tfrom a.rb:1\n",
            "config/application.rb:3:in 'fetch': key not found: \"SECRET\" (KeyError)",
        );
        check("thread 'main' panicked at src/main.rs:2:5:\nno settings\nnote: run with `RUST_BACKTRACE=1`\n", "no settings");
        check(
            "/srv/node: error while loading shared libraries: libstdc++.so.6: cannot open shared object file: No such file or directory\n",
            "/srv/node: error while loading shared libraries: libstdc++.so.6: cannot open shared object file: No such file or directory",
        );
        check("sh: 1: nosuchtool: not found\n", "sh: 1: nosuchtool: not found");
        check("ERROR could not bind: address in use\n", "ERROR could not bind: address in use");
        assert_eq!(first_error("ready\n[01/Jan/2026] \"GET /error HTTP/1.1\" 200 4 bytes\nchecked: 0 errors\n"), None);
    }

    #[test]
    fn of_chained_exceptions_the_last_is_told_and_of_later_tracebacks_none() {
        let chain = "Traceback (most recent call last):\n  File \"a\"\npsycopg.errors.DuplicateColumn: column exists\n\nThe above exception was the direct cause of the following exception:\n\nTraceback (most recent call last):\n  File \"b\"\ndjango.db.utils.ProgrammingError: column \"x\" already exists\nLINE 1: ALTER\nretry\nTraceback (most recent call last):\n  File \"c\"\nValueError: later\n";
        check(chain, "django.db.utils.ProgrammingError: column \"x\" already exists");
    }

    #[test]
    fn structured_lines_are_read_and_postgresqls_are_passed_on() {
        assert_eq!(
            readable(r#"{"level":"error","ts":"1","msg":"cannot listen","error":"bind: in use"}"#),
            "ERROR cannot listen: bind: in use"
        );
        assert_eq!(readable(r#"{"level":50,"msg":"no","err":{"message":"gone"}}"#), "ERROR no: gone");
        assert_eq!(
            readable(r#"{"level":"info","msg":"record","record":{"error_severity":"FATAL","message":"no space","hint":"free some"}}"#),
            "FATAL:  no space (free some)"
        );
        assert_eq!(readable(r#"{"not":"a log"}"#), r#"{"not":"a log"}"#);
        assert_eq!(readable("plain"), "plain");
    }

    #[test]
    fn what_is_shown_begins_before_the_error_and_says_what_was_left_out() {
        let log: String = (0..30).map(|it| if it == 10 { "fatal error: no\n".to_owned() } else { format!("line {it}\n") }).collect();
        let shown = excerpt(&log);
        assert_eq!((shown[0].as_str(), shown[7].as_str(), shown[12].as_str()), ("line 3", "fatal error: no", "… 15 more lines"));
        let quiet: String = (0..30).map(|it| format!("line {it}\n")).collect();
        assert_eq!(excerpt(&quiet)[0], "line 18");
        assert_eq!(excerpt("one\ntwo\n"), ["one", "two"]);
    }

    #[test]
    fn lines_of_an_earlier_outage_are_left_out() {
        let log = "2026-01-01T00:00:01.5Z old\n2026-01-01T00:10:00.1Z {\"level\":\"error\",\"msg\":\"new\"}\n";
        assert_eq!(since(log, "2026-01-01T00:09:00Z"), "ERROR new");
        assert_eq!(since(log, ""), "old\nERROR new");
    }
}
