//! What the tests that failed said, collected while their output goes by, so that the end of a long run tells it again.

/// A message has at most this many lines at the end of a run; the first and the last ones are kept.
const LINES: usize = 40;

/// A line has at most this many characters there.
const WIDTH: usize = 300;

/// Reads the output of `cargo test`, as libtest prints it.
#[derive(Default)]
pub(crate) struct Failures {
    panics: Vec<Panic>,
    /// The last panic's message goes on.
    inside: bool,
    /// The names after `failures:`.
    listed: bool,
    names: Vec<String>,
    /// What cargo says of a test program that ended in another way, like a signal.
    ended: Vec<String>,
}

struct Panic {
    test: String,
    message: Vec<String>,
}

impl Failures {
    pub(crate) fn take(&mut self, line: &str) {
        if let Some(test) = panicked(line) {
            self.panics.push(Panic { test: test.to_owned(), message: vec![line.to_owned()] });
            self.inside = true;
            return;
        }
        if line.starts_with("note: run with `RUST_BACKTRACE")
            || line == "stack backtrace:"
            || line.starts_with("test ")
            || line.starts_with("---- ")
        {
            self.inside = false;
        }
        if self.inside
            && let Some(panic) = self.panics.last_mut()
        {
            panic.message.push(line.to_owned());
        }
        if line.contains("process didn't exit successfully") || line.starts_with("error: could not compile") {
            self.ended.push(line.trim().to_owned());
        }
        if line == "failures:" {
            self.listed = true;
            self.inside = false;
        } else if self.listed
            && let Some(name) = line.strip_prefix("    ").filter(|it| !it.contains(' '))
        {
            if !self.names.iter().any(|it| it == name) {
                self.names.push(name.to_owned());
            }
        } else if !line.is_empty() {
            self.listed = false;
        }
    }

    /// Each test that failed with its first panic, and each program that ended by a signal. Empty if there is none.
    pub(crate) fn told(&self) -> String {
        let mut out = Vec::new();
        for name in &self.names {
            out.push(format!("failed: {name}"));
            match self.panics.iter().find(|it| it.test == *name) {
                Some(panic) => out.extend(shortened(&panic.message)),
                None => out.push("  it said nothing".to_owned()),
            }
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
    use super::*;

    fn told(output: &str) -> String {
        let mut failures = Failures::default();
        output.lines().for_each(|line| failures.take(line));
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

    #[test]
    fn a_panic_that_a_test_expects_is_not_told() {
        let said = told("test good ... thread 'good' (1) panicked at\nthread 'good' (1) panicked at a.rs:1:1:\nexpected\nok\n");
        assert_eq!(said, "");
    }

    #[test]
    fn the_first_panic_counts_and_a_long_message_keeps_both_ends() {
        let lines: Vec<String> = (0..100).map(|it| format!("line {it}")).collect();
        let said = told(&format!(
            "test bad ... \nthread 'bad' (1) panicked at a.rs:1:1:\n{}\nnote: run with `RUST_BACKTRACE=1`\n\nthread 'bad' (1) panicked at b.rs:1:1:\nin drop\n\
             FAILED\n\nfailures:\n\nfailures:\n    bad\n",
            lines.join("\n")
        ));
        assert!(said.contains("a.rs:1:1") && said.contains("line 0") && said.contains("line 99"), "{said}");
        assert!(!said.contains("in drop") && !said.contains("line 50") && said.contains("61 lines left out"), "{said}");
    }

    #[test]
    fn a_program_that_a_signal_ended_is_told() {
        let said = told(
            "test one ... error: test failed, to rerun pass `-p xtask --lib`\n\nCaused by:\n  process didn't exit successfully: `lib-1` (signal: 6, SIGABRT)\n",
        );
        assert_eq!(said, "process didn't exit successfully: `lib-1` (signal: 6, SIGABRT)");
    }
}
