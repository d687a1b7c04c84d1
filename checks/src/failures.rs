//! What the tests that failed said, collected while their output goes by, so that the end of a long run tells it again.

use pocdeploy::tool::Stream;

/// A message has at most this many lines at the end of a run; the first and the last ones are kept.
const LINES: usize = 40;

/// At most this many panics of a test are told: a thread of the test's own may have the reason.
const PANICS: usize = 4;

/// What Rust calls a thread without a name.
const UNNAMED: &str = "<unnamed>";

/// A line has at most this many characters there.
const WIDTH: usize = 300;

/// Reads the output of `cargo test`, as libtest prints it.
#[derive(Default)]
pub(crate) struct Failures {
    panics: Vec<Panic>,
    /// For each stream, since their lines come in no fixed order: what is being read from it.
    out: Reading,
    err: Reading,
    /// The test that runs, where one runs at a time.
    running: Option<String>,
    names: Vec<String>,
    /// What cargo says of a test program that ended in another way, like a signal.
    ended: Vec<String>,
}

#[derive(Default)]
struct Reading {
    /// The panic whose message goes on.
    panic: Option<usize>,
    /// The test whose captured output this is.
    test: Option<String>,
    /// Names come, after `failures:`.
    listed: bool,
}

struct Panic {
    /// Empty for a thread without a name, until its test has ended.
    test: String,
    message: Vec<String>,
}

impl Failures {
    pub(crate) fn take(&mut self, stream: Stream, line: &str) {
        let reading = match stream {
            Stream::Out => &mut self.out,
            Stream::Err => &mut self.err,
        };
        if let Some(name) = panicked(line) {
            let test = if name == UNNAMED { reading.test.clone().unwrap_or_default() } else { name.to_owned() };
            reading.panic = Some(self.panics.len());
            self.panics.push(Panic { test, message: vec![line.to_owned()] });
            return;
        }
        let is_other = ["note: run with `RUST_BACKTRACE", "test ", "---- ", "     Running ", "   Doc-tests ", "error: test failed"];
        if line == "stack backtrace:" || line == "failures:" || is_other.iter().any(|it| line.starts_with(it)) {
            reading.panic = None;
        }
        if let Some(panic) = reading.panic.and_then(|it| self.panics.get_mut(it)) {
            panic.message.push(line.to_owned());
        }
        if let Some(test) = line.strip_prefix("---- ").and_then(|it| it.strip_suffix(" stdout ----")) {
            reading.test = Some(test.to_owned());
        }
        if line == "failures:" {
            (reading.listed, reading.test) = (true, None);
        } else if reading.listed
            && let Some(name) = line.strip_prefix("    ").filter(|it| !it.contains(' '))
        {
            if !self.names.iter().any(|it| it == name) {
                self.names.push(name.to_owned());
            }
        } else if !line.is_empty() {
            reading.listed = false;
        }
        if let Some((name, result)) = line.strip_prefix("test ").and_then(|it| it.split_once(" ... ")) {
            match result {
                "" => self.running = Some(name.to_owned()),
                _ if result.ends_with("FAILED") => self.fail(name),
                _ => {}
            }
        } else if line == "FAILED"
            && let Some(name) = self.running.take()
        {
            self.fail(&name);
        }
        if line.contains("process didn't exit successfully") || line.starts_with("error: could not compile") {
            self.ended.push(line.trim().to_owned());
        }
    }

    /// The test has failed: panics of threads without a name were its own, or those of tests before it. The streams come in no fixed order,
    /// so a panic too many is told rather than the reason lost.
    fn fail(&mut self, name: &str) {
        self.panics.iter_mut().filter(|it| it.test.is_empty()).for_each(|it| it.test = name.to_owned());
    }

    /// Each test that failed with its first panics, and each program that ended by a signal. Empty if there is none.
    pub(crate) fn told(&self) -> String {
        let mut out = Vec::new();
        for name in &self.names {
            out.push(format!("failed: {name}"));
            let mut told = self.panics.iter().filter(|it| it.test == *name).take(PANICS).peekable();
            if told.peek().is_none() {
                out.push("  it ended without a panic of its own thread: see above".to_owned());
            }
            told.for_each(|it| out.extend(shortened(&it.message)));
        }
        out.extend(self.ended.iter().cloned());
        out.join("\n")
    }
}

/// The name of the test whose thread panicked: `thread 'NAME' (ID) panicked at FILE:LINE:COLUMN:`.
fn panicked(line: &str) -> Option<&str> {
    let (name, rest) = line.strip_prefix("thread '")?.split_once('\'')?;
    rest.contains(" panicked at ").then_some(name)
}

fn shortened(message: &[String]) -> Vec<String> {
    let (first, last) = (LINES / 4, LINES - LINES / 4);
    let cut = |line: &String| format!("  {}", line.chars().take(WIDTH).collect::<String>());
    if message.len() <= LINES {
        return message.iter().map(cut).collect();
    }
    let left_out = message.len() - first - last;
    let mut out: Vec<String> = message.iter().take(first).map(cut).collect();
    out.push(format!("  … {left_out} lines left out …"));
    out.extend(message.iter().skip(message.len() - last).map(cut));
    out
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use pocdeploy::{graph::TaskId, interrupt::Interrupt, report::Recorder, tool::Tools};
    use xshell::cmd;

    use super::*;

    fn told(output: &str) -> String {
        let mut failures = Failures::default();
        output.lines().for_each(|line| failures.take(Stream::Out, line));
        failures.told()
    }

    #[test]
    fn a_captured_failure_is_told_with_its_message_and_nothing_of_those_that_passed() {
        let said = told(
            "\nrunning 2 tests\ntest good ... ok\ntest some::bad ... FAILED\n\nfailures:\n\n---- some::bad stdout ----\nbefore\n\n\
             thread 'some::bad' (12) panicked at a.rs:3:5:\nassertion failed: one\nsecond line\nstack backtrace:\n   0: begin\nnote: Some \
             details are omitted\n\n\nfailures:\n    some::bad\n\ntest result: FAILED. 1 passed; 1 failed\n",
        );
        assert_eq!(said, "failed: some::bad\n  thread 'some::bad' (12) panicked at a.rs:3:5:\n  assertion failed: one\n  second line");
    }

    /// Compiled by the machine's own rustc, so that what libtest writes is what it writes.
    const TESTS: &str = "#[test] fn good() { std::thread::spawn(|| panic!(\"not this\")).join().unwrap_err(); }\n\
                         #[test] fn its_thread() { std::thread::spawn(|| panic!(\"the reason\")).join().unwrap(); }\n\
                         #[test] fn wrong() { assert_eq!(1, 2, \"these differ\"); }\n";

    #[test]
    fn what_libtest_writes_is_understood_captured_and_live() {
        let dir = tempfile::tempdir().unwrap();
        let tools = Tools::new(dir.path().to_owned(), Interrupt::default(), Arc::new(Recorder::default()));
        let sh = tools.shell(dir.path()).unwrap();
        std::fs::write(dir.path().join("tests.rs"), TESTS).unwrap();
        tools.run(TaskId::Patch, cmd!(sh, "rustc --test --edition 2024 tests.rs -o tests")).unwrap();
        for flags in [&[][..], &["--nocapture", "--test-threads=1"]] {
            let (mut failures, mut lines) = (Failures::default(), Vec::new());
            let ended = tools.run_read(cmd!(sh, "./tests {flags...}"), Duration::from_secs(60), |stream, line| {
                lines.push(line.to_owned());
                failures.take(stream, line);
            });
            assert!(ended.is_err());
            let said = failures.told();
            for wanted in ["failed: its_thread\n", "the reason", "failed: wrong\n", "these differ"] {
                assert!(said.contains(wanted), "no {wanted:?} in {said}\n{lines:#?}");
            }
            assert!(!said.contains("failed: good"), "{said}\n{lines:#?}");
            assert!(!flags.is_empty() || !said.contains("not this"), "{said}\n{lines:#?}");
        }
    }

    #[test]
    fn a_panic_that_a_test_expects_is_not_told() {
        let said = told("test good ... thread 'good' (1) panicked at\nthread 'good' (1) panicked at a.rs:1:1:\nexpected\nok\n");
        assert_eq!(said, "");
    }

    #[test]
    fn a_long_message_keeps_both_ends() {
        let lines: Vec<String> = (0..100).map(|it| format!("line {it}")).collect();
        let said = told(&format!(
            "test bad ... \nthread 'bad' (1) panicked at a.rs:1:1:\n{}\nnote: run with `RUST_BACKTRACE=1`\n\nthread 'bad' (1) panicked at b.rs:1:1:\nin drop\n\
             FAILED\n\nfailures:\n\nfailures:\n    bad\n",
            lines.join("\n")
        ));
        assert!(said.contains("a.rs:1:1") && said.contains("line 0") && said.contains("line 99"), "{said}");
        assert!(said.contains("in drop") && !said.contains("line 50") && said.contains("61 lines left out"), "{said}");
    }

    #[test]
    fn a_panic_of_a_thread_without_a_name_is_that_of_its_test() {
        let captured = "failures:\n\n---- bad stdout ----\nthread '<unnamed>' (2) panicked at a.rs:1:1:\nthe reason\n\
                        thread 'bad' (1) panicked at b.rs:1:1:\nAny { .. }\n\nfailures:\n    bad\n";
        let said = told(captured);
        assert!(said.contains("the reason") && said.contains("Any { .. }"), "{said}");
        let one_at_a_time = "test bad ... \nthread '<unnamed>' (3) panicked at a.rs:1:1:\nthe reason\nnote: run with `RUST_BACKTRACE=1`\n\
                             FAILED\n\nfailures:\n    bad\n";
        assert!(told(one_at_a_time).contains("the reason"));
    }

    #[test]
    fn lines_of_the_other_stream_change_nothing() {
        let mut failures = Failures::default();
        for (stream, line) in [
            (Stream::Err, "thread 'bad' (1) panicked at a.rs:1:1:"),
            (Stream::Err, "the reason"),
            (Stream::Out, "failures:"),
            (Stream::Err, "error: test failed, to rerun pass `-p xtask --lib`"),
            (Stream::Err, "     Running tests"),
            (Stream::Out, "    bad"),
        ] {
            failures.take(stream, line);
        }
        assert_eq!(failures.told(), "failed: bad\n  thread 'bad' (1) panicked at a.rs:1:1:\n  the reason");
    }

    #[test]
    fn a_program_that_a_signal_ended_is_told() {
        let said = told(
            "test one ... error: test failed, to rerun pass `-p xtask --lib`\n\nCaused by:\n  process didn't exit successfully: `lib-1` (signal: 6, SIGABRT)\n",
        );
        assert_eq!(said, "process didn't exit successfully: `lib-1` (signal: 6, SIGABRT)");
    }
}
