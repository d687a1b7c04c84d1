//! Interprets a container's log: readable lines, the first error, and an excerpt.
//!
//! Pure. The patterns are messages of runtimes (CPython, V8/Node.js, Go, the JVM, Ruby, Rust, .NET, PHP, POSIX shells, the dynamic linker,
//! PostgreSQL), then words that programs use for errors.

use serde_json::Value;

/// The number of lines in an excerpt.
const SHOWN: usize = 12;
/// The number of lines before the error in it.
const BEFORE: usize = 7;
/// So many lines of one message are put together at most.
const JOINED: usize = 4;

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
    if line.trim_start().starts_with("+ Exception Group Traceback (most recent call last)") {
        return group(lines, at);
    }
    // `thread 'main' (7) panicked at src/main.rs:2:5:`, and the words in the next lines.
    if line.starts_with("thread '") && line.contains(" panicked at ") {
        let ends = |it: &str| it.is_empty() || it == "stack backtrace:" || it.starts_with("note: ") || it.starts_with("thread '");
        let next = lines[at + 1..].iter().map(|it| it.trim()).take_while(|it| !ends(it)).take(JOINED).collect::<Vec<_>>();
        let follows = line.ends_with(':') && !next.is_empty();
        return Some(Told { at: at + usize::from(follows), words: if follows { next.join(" ") } else { line.to_owned() } });
    }
    if line.starts_with("panic: ") {
        let more = lines[at + 1..].iter().take_while(|it| it.starts_with('\t')).take(JOINED).map(|it| it.trim());
        return Some(Told { at, words: [line].into_iter().chain(more).collect::<Vec<_>>().join(" ") });
    }
    if line.starts_with("Exception in thread ") || line.starts_with("Caused by: ") {
        return Some(told(lines, cause(lines, at)));
    }
    // What the JVM (`JavaMain` in java.c) and Node.js say around the cause.
    if line == "Error: Could not create the Java Virtual Machine." || line.starts_with("(Use `node --trace-uncaught ") {
        return Some(told(lines, at.saturating_sub(1)));
    }
    let leads_in =
        line == "Error occurred during initialization of VM" || line.starts_with("Error: LinkageError occurred while loading main class");
    if leads_in && at + 1 < lines.len() {
        return Some(told(lines, at + 1));
    }
    if is_of_ruby(line) {
        // The causes of an exception follow it, each with its own frames.
        let trace = lines[at + 1..].iter().take_while(|it| it.starts_with("\tfrom ") || it.starts_with("\t ...") || is_of_ruby(it)).count();
        return (at..=at + trace).rev().find(|it| is_of_ruby(lines[*it])).map(|it| told(lines, it));
    }
    let begins = [
        "fatal error: ",
        "Unhandled exception. ",
        "Uncaught exception",
        "PHP Fatal error: ",
        "Fatal error: ",
        "PHP Parse error: ",
        "FATAL: ",
        "FATAL ERROR: ",
        "PANIC: ",
        "npm error ",
        "npm ERR! ",
        "initdb: error: ",
        "standard_init_linux.go",
    ];
    let holds = [
        ": error while loading shared libraries: ",
        ": symbol lookup error: ",
        ": cannot execute binary file",
        ": Exec format error",
        ": version `GLIBC",
        ": version `GLIBCXX",
        "Error loading shared library ",
        // `strerror` of EADDRINUSE, in the cases of C and of Go and Node.js.
        "ddress already in use",
        "] FATAL: ",
        "] PANIC: ",
    ];
    if begins.iter().any(|it| line.starts_with(it)) || holds.iter().any(|it| line.contains(it)) || is_exception(line) || is_of_shell(line) {
        // PostgreSQL names the wrong line of its file before it reports that the file has errors.
        if line.contains("contains errors") && at > 0 && lines[at - 1].contains("LOG:") {
            return Some(told(lines, at - 1));
        }
        return Some(told(lines, if is_exception(line) { cause(lines, at) } else { at }));
    }
    None
}

/// Of an exception with its frames, as the JVM and Node.js print them, the line of the cause that the others follow from.
fn cause(lines: &[&str], at: usize) -> usize {
    // A message may have several lines.
    let Some(frames) = (at + 1..lines.len().min(at + 1 + JOINED)).find(|it| lines[*it].trim_start().starts_with("at ")) else { return at };
    let is_cause = |it: usize| lines[it].starts_with("Caused by: ") || lines[it].trim_start().starts_with("[cause]: ");
    let belongs = |it: &usize| lines[*it].starts_with(['\t', ' ']) || is_cause(*it);
    (frames..lines.len()).take_while(belongs).filter(|it| is_cause(*it)).last().unwrap_or(at)
}

/// `/app/a.rb:3:in 'fetch': key not found: "X" (KeyError)`, with a backtick before Ruby 3.4.
fn is_of_ruby(line: &str) -> bool {
    let class = line.trim_end().strip_suffix(')').and_then(|it| it.rsplit_once(" (")).map_or("", |it| it.1);
    let is_class =
        class.starts_with(|c: char| c.is_ascii_uppercase()) && class.chars().all(|c| c.is_alphanumeric() || c == '_' || c == ':');
    is_class && !line.starts_with('\t') && (line.contains(":in '") || line.contains(":in `"))
}

/// `TypeError: x`, `Error [ERR_MODULE_NOT_FOUND]: x`, `psycopg.errors.DuplicateColumn: x`, Node.js's `error: x`.
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
    line.starts_with("error: ")
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

/// The first exception inside a group of them, which CPython draws in boxes of `|`, `+` and `-`.
fn group(lines: &[&str], at: usize) -> Option<Told> {
    let inside = |it: &str| it.trim_start_matches([' ', '|']).to_owned();
    let boxed = (at + 1..lines.len()).take_while(|it| lines[*it].trim_start().starts_with(['|', '+']));
    boxed.map(|it| Told { at: it, words: inside(lines[it]) }).find(|it| is_exception(&it.words))
}

/// Words for an error at the beginning or as a level.
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

    /// What programs of several runtimes wrote when they failed, cut where many lines are alike, with a folder of its own. After each output
    /// `--> ` and the words that tell the error.
    const RUNTIMES: &str = include_str!("log_lines/runtimes.txt");

    #[test]
    fn the_error_of_real_programs_is_found() {
        let (mut count, mut wrong) = (0, Vec::new());
        for section in RUNTIMES.split("\n=== ").skip(1) {
            let (name, rest) = section.split_once('\n').unwrap();
            let (log, words) = rest.split_once("\n--> ").unwrap();
            let found = first_error(&format!("starting\n{log}\n")).map(|it| it.words);
            if found.as_deref() != Some(words.trim_end()) {
                wrong.push((name, words, found));
            }
            count += 1;
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert!(count > 40, "only {count}");
    }

    #[test]
    fn the_first_error_of_every_runtime_is_found() {
        check(
            "boot\nTraceback (most recent call last):\n  File \"a\", line 1\n    import x\nModuleNotFoundError: No module named 'x'\ndone\n",
            "ModuleNotFoundError: No module named 'x'",
        );
        check(
            "error: pg_hba.conf rejects connection for host \"10.0.0.1\", user \"polls\", database \"polls\", no encryption\n    at Parser.parseErrorMessage\n  length: 159,\n  severity: 'FATAL',\n  code: '28000',\n",
            "error: pg_hba.conf rejects connection for host \"10.0.0.1\", user \"polls\", database \"polls\", no encryption",
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
