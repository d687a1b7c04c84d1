//! Errors as users see them: what happened, why, and the command that helps; error codes and exit codes.
//!
//! Errors are `anyhow` errors. Only a `Problem` in the chain has a hint, a code and an exit code.
//! `render` is the only function that prints an error.

pub mod codes;

use std::{fmt, io::Write as _, process::ExitCode};

use rustix::io::Errno;
use serde_json::{Value, json};

use crate::invocation;

pub use crate::errors::codes::{Code, Group};

/// The documented exit codes of the tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// A task failed.
    Failed = 1,
    /// The command line is wrong (clap uses the same number), or `plan --detailed-exitcode` found changes.
    Usage = 2,
    /// `Pocdeploy.toml` or an environment variable is not valid.
    Config = 3,
    /// The machine lacks a requirement, and the tool has no consent or no way to install it.
    Requirement = 4,
    /// The deployment is not healthy, or the instance's cluster does not run.
    Unhealthy = 5,
    /// A wait reached its limit.
    TimedOut = 6,
    /// Ctrl-C.
    Interrupted = 130,
    /// SIGTERM.
    Terminated = 143,
}

/// An error with an exit code, an error code and often a hint.
#[derive(Debug)]
pub struct Problem {
    pub what: String,
    pub hint: Option<String>,
    pub exit: Exit,
    pub code: Code,
}

impl Problem {
    /// A failure with exit code 1 and code E0001, unless `code` sets another.
    pub fn new(what: impl Into<String>) -> Problem {
        Problem { what: what.into(), hint: None, exit: Exit::Failed, code: Code::Unexpected }
    }

    /// The configuration is not valid.
    pub fn config(what: impl Into<String>) -> Problem {
        Problem { exit: Exit::Config, code: Code::Config, ..Problem::new(what) }
    }

    /// This machine lacks a requirement.
    pub fn requirement(what: impl Into<String>) -> Problem {
        Problem { exit: Exit::Requirement, code: Code::Missing, ..Problem::new(what) }
    }

    /// A wait reached its limit; `what` names the wait and what was last seen.
    pub fn timed_out(what: impl Into<String>) -> Problem {
        Problem { exit: Exit::TimedOut, code: Code::NotReady, ..Problem::new(what) }
    }

    /// The command line is wrong.
    pub fn usage(what: impl Into<String>) -> Problem {
        Problem { exit: Exit::Usage, code: Code::Usage, ..Problem::new(what) }
    }

    /// Replaces the constructor's code by a more exact one.
    #[must_use]
    pub fn code(mut self, code: Code) -> Problem {
        self.code = code;
        self
    }

    /// The command or change that helps, shown after the causes.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Problem {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Problem {}

/// Not a failure: `plan --detailed-exitcode` found changes. It sets the exit code and prints nothing.
#[derive(Debug)]
pub struct PlanHasChanges;

impl fmt::Display for PlanHasChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is something to do")
    }
}

impl std::error::Error for PlanHasChanges {}

/// Passes on the exit code of another program, which has printed its own messages.
#[derive(Debug)]
pub struct EndedWith(pub u8);

impl fmt::Display for EndedWith {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it ended with exit code {}", self.0)
    }
}

impl std::error::Error for EndedWith {}

/// The outermost context of a task's failure.
#[derive(Debug)]
pub struct TaskFailed {
    /// The task's name.
    pub task: String,
    /// Its log, relative to the project.
    pub log: String,
}

impl fmt::Display for TaskFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed (log: {})", self.task, self.log)
    }
}

fn problem(error: &anyhow::Error) -> Option<&Problem> {
    error.chain().find_map(|cause| cause.downcast_ref())
}

/// The exit code of the first `Problem` in the chain; 1 without one.
pub fn exit_code(error: &anyhow::Error) -> Exit {
    if error.is::<PlanHasChanges>() {
        return Exit::Usage;
    }
    problem(error).map_or(Exit::Failed, |it| it.exit)
}

/// The error code of the first `Problem` in the chain; E0110 for a full disk, E0116 for a missing permission and E0117 for too many open files
/// without a code of their own.
pub fn code(error: &anyhow::Error) -> Code {
    let found = problem(error).map_or(Code::Unexpected, |it| it.code);
    if found != Code::Unexpected {
        return found;
    }
    let of_file = |cause: &(dyn std::error::Error + 'static)| {
        let errno = cause.downcast_ref::<Errno>().copied().or_else(|| Errno::from_io_error(cause.downcast_ref()?))?;
        match errno {
            Errno::NOSPC | Errno::DQUOT => Some(Code::DiskFull),
            Errno::ROFS | Errno::ACCESS | Errno::PERM => Some(Code::NotAllowed),
            Errno::MFILE | Errno::NFILE => Some(Code::LimitReached),
            _ => None,
        }
    };
    error.chain().find_map(of_file).unwrap_or(found)
}

/// What helps: the error's own hint, or the first step for its code.
pub fn hint(error: &anyhow::Error) -> Option<&str> {
    let code = code(error);
    let of_code = (!matches!(code, Code::Unexpected | Code::Interrupted)).then(|| code.entry().steps[0]);
    problem(error).and_then(|it| it.hint.as_deref()).or(of_code)
}

/// A more exact code than that of the door where a failure happened; what is no failure of the task keeps its own.
pub fn recode(error: anyhow::Error, code: Code) -> anyhow::Error {
    match error.downcast::<Problem>() {
        Ok(problem) if problem.exit == Exit::Failed => problem.code(code).into(),
        Ok(problem) => problem.into(),
        Err(other) => other,
    }
}

/// The line `error[CODE]:`, which names the steps down to what happened, its further lines and causes, indented, and the lines `hint:`,
/// `log:` and `more:`.
pub fn render(error: &anyhow::Error) -> String {
    let code = code(error);
    let failed: Option<&TaskFailed> = error.downcast_ref();
    let mut texts: Vec<String> = error.chain().map(ToString::to_string).collect();
    if let Some(failed) = failed {
        texts[0] = format!("{} failed", failed.task);
    }
    // Below a problem are the causes that it explains.
    let happened = error.chain().position(|it| it.is::<Problem>()).unwrap_or(texts.len() - 1);
    let first = |it: &String| it.lines().next().unwrap_or_default().to_owned();
    let head: Vec<String> = texts[..=happened].iter().map(first).collect();
    let mut out = format!("error[{code}]: {}", head.join(": "));
    let further = texts[..=happened].iter().flat_map(|it| it.lines().skip(1));
    for line in further.chain(texts[happened + 1..].iter().flat_map(|it| it.lines())) {
        out.push_str(&format!("\n  {line}"));
    }
    let mut last = Vec::new();
    let hint = hint(error);
    if let Some(hint) = hint {
        last.push(format!("hint: {}\n", hint.replace('\n', "\n      ")));
    }
    if let Some(failed) = failed.filter(|it| !hint.is_some_and(|hint| hint.contains(&it.log))) {
        last.push(format!("log: {}\n", failed.log));
    }
    // An interrupt needs no explanation.
    if code != Code::Interrupted {
        last.push(format!("more: cargo xtask explain {code}\n"));
    }
    out.push_str(&format!("\n\n{}", last.concat()));
    invocation::reworded(&out)
}

/// The exit code of the process. Prints the error to standard error, unless another program has printed it.
pub fn finish(result: anyhow::Result<()>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    if error.is::<PlanHasChanges>() {
        return ExitCode::from(exit_code(&error) as u8);
    }
    if let Some(EndedWith(code)) = error.downcast_ref() {
        return ExitCode::from(*code);
    }
    // Standard error may be closed; the exit code stays the same.
    std::io::stderr().write_all(format!("\n{}", render(&error)).as_bytes()).ok();
    ExitCode::from(exit_code(&error) as u8)
}

/// The error as JSON: causes from the outermost to the root, hint, code and exit code.
pub fn json(error: &anyhow::Error) -> Value {
    json!({
        "code": code(error).to_string(),
        "message": format!("{error:#}"),
        "causes": error.chain().map(ToString::to_string).collect::<Vec<_>>(),
        "hint": hint(error).map(invocation::reworded),
        "exit": exit_code(error) as u8,
    })
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn the_first_line_says_what_happened_causes_are_indented_and_the_hint_comes_last() {
        let result: Result<(), Problem> = Err(Problem::requirement("no container engine answers\nnowhere").hint("run `x`\nor `y`"));
        let error = result.context("build image").unwrap_err();
        let rest = "\n  nowhere\n\nhint: run `x`\n      or `y`\n";
        let more = "more: cargo xtask explain E0104\n";
        assert_eq!(render(&error), format!("error[E0104]: build image: no container engine answers{rest}{more}"));
        let error = error.context(TaskFailed { task: "image".to_owned(), log: "a/b.log".to_owned() });
        assert_eq!(
            render(&error),
            format!("error[E0104]: image failed: build image: no container engine answers{rest}log: a/b.log\n{more}")
        );
        assert_eq!(exit_code(&error), Exit::Requirement);
        // Without a problem the whole chain is on the line; without a hint, the code has one.
        let error = anyhow::anyhow!("refused").context("connect").context("x");
        assert_eq!(render(&error), "error[E0001]: x: connect: refused\n\nmore: cargo xtask explain E0001\n");
        let error = anyhow::Error::from(Errno::NOSPC).context("write x");
        assert!(render(&error).ends_with("\n\nhint: df -h\nmore: cargo xtask explain E0110\n"), "{}", render(&error));
    }

    #[test]
    fn a_full_disk_and_a_missing_permission_have_their_codes_wherever_they_happen() {
        for (errno, expected) in [
            (Errno::NOSPC, Code::DiskFull),
            (Errno::ROFS, Code::NotAllowed),
            (Errno::ACCESS, Code::NotAllowed),
            (Errno::MFILE, Code::LimitReached),
            (Errno::NOENT, Code::Unexpected),
        ] {
            for error in [anyhow::Error::from(errno), anyhow::Error::from(std::io::Error::from(errno))] {
                assert_eq!(code(&error.context("write target/x")), expected);
            }
        }
        assert_eq!(code(&anyhow::anyhow!("other")), Code::Unexpected);
    }
}
