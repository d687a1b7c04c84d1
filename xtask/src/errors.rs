//! Errors as users meet them: what happened, why, and the command that helps; and the exit codes.
//!
//! Inside the tool errors are `anyhow`; only a `Problem` carries a hint and decides the exit code.
//! Rendering happens once, in `render`; no other module prints an error.

use std::fmt;

/// The documented exit codes of the tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// A task failed.
    Failed = 1,
    /// The command line was wrong (clap uses the same number); with `plan --detailed-exitcode`, something is to be done.
    Usage = 2,
    /// `Pocdeploy.toml` or the environment holds something that cannot be used.
    Config = 3,
    /// The machine lacks something that the tool may not or cannot install.
    Requirement = 4,
    /// A wait reached its limit.
    TimedOut = 6,
    /// Ctrl-C.
    Interrupted = 130,
    /// SIGTERM.
    Terminated = 143,
}

/// An error that a user can act on.
#[derive(Debug)]
pub struct Problem {
    pub what: String,
    pub hint: Option<String>,
    pub exit: Exit,
}

impl Problem {
    /// A failure of the task at hand.
    pub fn new(what: impl Into<String>) -> Problem {
        Problem { what: what.into(), hint: None, exit: Exit::Failed }
    }

    /// The configuration cannot be used.
    pub fn config(what: impl Into<String>) -> Problem {
        Problem { exit: Exit::Config, ..Problem::new(what) }
    }

    /// Something that must be on the machine is not.
    pub fn requirement(what: impl Into<String>) -> Problem {
        Problem { exit: Exit::Requirement, ..Problem::new(what) }
    }

    /// A wait reached its limit; `what` names the wait and what was last seen.
    pub fn timed_out(what: impl Into<String>) -> Problem {
        Problem { exit: Exit::TimedOut, ..Problem::new(what) }
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

/// Not a failure: `plan --detailed-exitcode` found something to do. Nothing is printed for it.
#[derive(Debug)]
pub struct PlanHasChanges;

impl fmt::Display for PlanHasChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is something to do")
    }
}

impl std::error::Error for PlanHasChanges {}

fn problem(error: &anyhow::Error) -> Option<&Problem> {
    error.chain().find_map(|cause| cause.downcast_ref())
}

/// The exit code that an error asks for; 1 where nothing in its chain says otherwise.
pub fn exit_code(error: &anyhow::Error) -> Exit {
    if error.is::<PlanHasChanges>() {
        return Exit::Usage;
    }
    problem(error).map_or(Exit::Failed, |it| it.exit)
}

/// `error:` line, causes indented below it, then the `hint:` line.
pub fn render(error: &anyhow::Error) -> String {
    let mut out = String::new();
    for (depth, cause) in error.chain().enumerate() {
        let text = cause.to_string();
        if depth == 0 {
            out.push_str("error: ");
            out.push_str(&text.replace('\n', "\n  "));
        } else {
            out.push_str("\n  ");
            out.push_str(&text.replace('\n', "\n  "));
        }
    }
    if let Some(hint) = problem(error).and_then(|it| it.hint.as_deref()) {
        out.push_str("\n\nhint: ");
        out.push_str(&hint.replace('\n', "\n      "));
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn causes_are_indented_and_the_hint_comes_last() {
        let result: Result<(), Problem> = Err(Problem::requirement("no container engine answers").hint("run `x`\nor `y`"));
        let error = result.context("build image").unwrap_err();
        assert_eq!(render(&error), "error: build image\n  no container engine answers\n\nhint: run `x`\n      or `y`\n");
        assert_eq!(exit_code(&error), Exit::Requirement);
    }
}
