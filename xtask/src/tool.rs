//! The door to other programs: the only module that starts processes.
//!
//! Callers build a command with xshell's `cmd!` and run it here. Each command is shown, logged and limited in time, and stopped with its
//! children on Ctrl-C; its exit status is always checked.

mod ask;
mod attached;
pub mod download;
mod find;
mod flow;
mod heard;
mod log;
mod sockets;
mod stop;
mod verdict;
mod wait;

use std::{
    ffi::OsString,
    fs::File,
    io::Write,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context as _, Result};
use xshell::{Cmd, Shell};

pub use crate::tool::{
    ask::ask,
    attached::{GOES_ON, Stream},
    find::find,
    stop::terminate,
};

use crate::{
    errors::{Code, Problem},
    graph::TaskId,
    interrupt::Interrupt,
    report::{Event, Report},
    tool::{
        flow::Patience,
        heard::{Heard, each_line},
        log::Log,
        stop::Ending,
    },
};

/// For commands that are not builds.
pub const COMMAND_LIMIT: Duration = Duration::from_secs(600);
/// For a build of everything on one slow core.
pub const BUILD_LIMIT: Duration = Duration::from_secs(7200);

/// Writes a command's standard input.
type Feed<'a> = Box<dyn FnOnce(ChildStdin) + Send + 'a>;

/// Runs commands for one project; can be shared between threads.
#[derive(Clone)]
pub struct Tools {
    log_dir: PathBuf,
    /// The log's name, if it is not the task's.
    log_name: Option<String>,
    interrupt: Interrupt,
    report: Arc<dyn Report>,
    /// Variables with secrets that commands do not get.
    without: Arc<Vec<String>>,
    /// How commands are stopped.
    ending: Ending,
    /// Whether commands download, so that a failure is told in the words of `download.rs`.
    fetches: bool,
    /// What such a command must get meanwhile, so that it is not stopped.
    patience: Option<Patience>,
}

impl Tools {
    pub fn new(log_dir: PathBuf, interrupt: Interrupt, report: Arc<dyn Report>) -> Tools {
        let (without, ending) = (Arc::default(), Ending::default());
        Tools { log_dir, log_name: None, interrupt, report, without, ending, fetches: false, patience: None }
    }

    /// A copy whose commands do not get these variables of the environment.
    #[must_use]
    pub fn without(self, variables: Vec<String>) -> Tools {
        Tools { without: Arc::new(variables), ..self }
    }

    /// A copy whose commands get the whole environment, for a program that decrypts.
    pub fn with_environment(&self) -> Tools {
        self.clone().without(Vec::new())
    }

    /// A copy with its own log, for a parallel step.
    pub fn with_log(&self, name: &str) -> Tools {
        Tools { log_name: Some(name.to_owned()), ..self.clone() }
    }

    /// A shell with the working directory `dir`, to build commands with.
    pub fn shell(&self, dir: &Path) -> Result<Shell> {
        let sh = Shell::new().context("open a shell")?;
        sh.change_dir(dir);
        Ok(sh)
    }

    /// The log of a task's commands.
    pub fn log(&self, task: TaskId) -> PathBuf {
        self.log_dir.join(format!("{}.log", self.log_name.clone().unwrap_or_else(|| task.file_name())))
    }

    /// Runs a command to its end, with output to the task's log. A failure is an error with the last lines.
    pub fn run(&self, task: TaskId, cmd: Cmd<'_>) -> Result<()> {
        self.run_watched(task, cmd, COMMAND_LIMIT, |_| ())
    }

    /// Like `run`, for builds: calls `on_line` for each line of output.
    pub fn run_watched(&self, task: TaskId, cmd: Cmd<'_>, limit: Duration, on_line: impl Fn(&str) + Sync) -> Result<()> {
        let shown = cmd.to_string();
        let (status, _) = self.execute(task, &shown, cmd, None, limit, false, &on_line)?;
        self.verdict(task, &shown, status)
    }

    /// Like `run`, with standard input from `write`, which runs at the same time.
    pub fn run_with_input(&self, task: TaskId, cmd: Cmd<'_>, write: impl FnOnce(&mut dyn Write) -> Result<()> + Send) -> Result<()> {
        let shown = cmd.to_string();
        let written = Mutex::new(Ok(()));
        let feed = |mut input: ChildStdin| {
            let result = write(&mut input);
            if let Ok(mut written) = written.lock() {
                *written = result;
            }
        };
        let (status, _) = self.execute(task, &shown, cmd, Some(Box::new(feed)), COMMAND_LIMIT, false, &|_| ())?;
        // A command that fails early closes its input. Its own message is more useful than the broken pipe.
        self.verdict(task, &shown, status)?;
        written.into_inner().unwrap_or(Ok(())).with_context(|| format!("write to `{shown}`"))
    }

    /// Runs a command and returns its standard output without the final newline; standard error goes to the log.
    pub fn read(&self, task: TaskId, cmd: Cmd<'_>) -> Result<String> {
        self.read_within(task, cmd, COMMAND_LIMIT)
    }

    /// Like `read`, with a limit.
    pub fn read_within(&self, task: TaskId, cmd: Cmd<'_>, limit: Duration) -> Result<String> {
        let shown = cmd.to_string();
        let (status, out) = self.execute(task, &shown, cmd, None, limit, true, &|_| ())?;
        self.verdict(task, &shown, status)?;
        Ok(out.trim_end_matches('\n').to_owned())
    }

    /// Whether the command exits with 0. A missing program counts as no; a signal to this process is an error.
    pub fn is_ok(&self, task: TaskId, cmd: Cmd<'_>) -> Result<bool> {
        let shown = cmd.to_string();
        match self.execute(task, &shown, cmd, None, COMMAND_LIMIT, false, &|_| ()) {
            Err(error) if self.interrupt.is_set() => Err(error),
            ended => Ok(ended.is_ok_and(|(status, _)| status.success())),
        }
    }

    /// Whether the command succeeded, and its standard output and standard error, for callers that parse a failure.
    pub fn outcome(&self, task: TaskId, cmd: Cmd<'_>) -> Result<(bool, String)> {
        let shown = cmd.to_string();
        let text = Mutex::new(String::new());
        let collect = |line: &str| {
            if let Ok(mut text) = text.lock() {
                text.push_str(line);
                text.push('\n');
            }
        };
        let (status, _) = self.execute(task, &shown, cmd, None, COMMAND_LIMIT, false, &collect)?;
        // A program that was killed has found out nothing.
        if status.signal().is_some() {
            self.verdict(task, &shown, status)?;
        }
        Ok((status.success(), text.into_inner().unwrap_or_default()))
    }

    /// Whether the command succeeded, and its standard output, which is not logged, since it may contain secrets.
    pub fn converse(&self, task: TaskId, cmd: Cmd<'_>, input: &[u8], limit: Duration) -> Result<(bool, String)> {
        let shown = cmd.to_string();
        // A program that ends without reading closes its input; its answer matters more.
        let feed = |mut to: ChildStdin| drop(to.write_all(input));
        let (status, out) = self.execute(task, &shown, cmd, Some(Box::new(feed)), limit, true, &|_| ())?;
        Ok((status.success(), out))
    }

    /// Starts a daemon that survives this process: own process group, output to `log`.
    pub fn start_daemon(&self, task: TaskId, cmd: Cmd<'_>, log: &Path) -> Result<Child> {
        let shown = cmd.to_string();
        self.report.event(task, Event::Detail { text: format!("$ {shown}") });
        let mut command = self.command(cmd);
        let file = File::create(log).with_context(|| format!("create {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).process_group(0);
        command.spawn().map_err(|error| not_started(&shown, error))
    }

    fn command(&self, cmd: Cmd<'_>) -> Command {
        let mut command: Command = cmd.into();
        for variable in self.without.iter() {
            command.env_remove(variable);
        }
        without_cargos_own(&mut command);
        command
    }

    #[expect(clippy::too_many_arguments, reason = "one private function under six short public ones")]
    fn execute(
        &self,
        task: TaskId,
        shown: &str,
        cmd: Cmd<'_>,
        feed: Option<Feed<'_>>,
        limit: Duration,
        capture: bool,
        on_line: &(dyn Fn(&str) + Sync),
    ) -> Result<(ExitStatus, String)> {
        self.interrupt.check()?;
        let mut command = self.command(cmd);
        self.report.event(task, Event::Detail { text: format!("$ {shown}") });
        let log = Log::new(self.log(task));
        log.line(&format!("$ {shown}"));
        // Its own process group: only this process gets Ctrl-C, and stops the command with all its children.
        let input = if feed.is_some() { Stdio::piped() } else { Stdio::null() };
        command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().map_err(|error| not_started(shown, error))?;
        let out = child.stdout.take();
        let err = child.stderr.take();
        let captured = Mutex::new(String::new());
        let heard = Heard::default();
        let on_line = |line: &str| {
            heard.take(line);
            on_line(line);
        };
        let on_line = &on_line;
        std::thread::scope(|scope| {
            if let (Some(input), Some(feed)) = (child.stdin.take(), feed) {
                scope.spawn(move || feed(input));
            }
            if let Some(out) = out {
                let (log, captured) = (&log, &captured);
                scope.spawn(move || {
                    each_line(out, |line| {
                        if capture {
                            if let Ok(mut text) = captured.lock() {
                                text.push_str(line);
                                text.push('\n');
                            }
                        } else {
                            log.line(line);
                            on_line(line);
                        }
                    });
                });
            }
            if let Some(err) = err {
                let log = &log;
                scope.spawn(move || {
                    each_line(err, |line| {
                        log.line(line);
                        on_line(line);
                    });
                });
            }
            self.wait(&mut child, shown, limit, Some((task, &heard)))
        })
        .inspect(|status| {
            if !status.success() {
                log.keep();
            }
        })
        .inspect_err(|_| log.keep())
        .map(|status| (status, captured.into_inner().unwrap_or_default()))
    }
}

/// Removes the variables by which cargo describes the package of a program that it runs, such as this one. Build scripts read variables of the same
/// names: cargo would compile their packages again, and all that need them, for each other package that it was started from.
fn without_cargos_own(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|it| name.to_string_lossy().starts_with(it)) {
            command.env_remove(name);
        }
    }
}

/// Replaces this process by another program, which then gets the signals and the terminal. Returns only an error.
pub fn replace_by(program: &Path, arguments: &[OsString]) -> anyhow::Error {
    #[expect(clippy::disallowed_methods, reason = "this is the door; the program takes this one's place")]
    let mut command = Command::new(program);
    without_cargos_own(&mut command);
    let error = command.args(arguments).exec();
    not_started(&program.display().to_string(), error)
}

fn not_started(shown: &str, error: std::io::Error) -> anyhow::Error {
    let program = shown.split_whitespace().next().unwrap_or(shown);
    if error.kind() == std::io::ErrorKind::NotFound {
        return Problem::requirement(format!("`{program}` is not on this machine's PATH")).into();
    }
    Problem::new(format!("`{program}` could not be started: {error}")).code(Code::CommandFailed).into()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use xshell::cmd;

    use super::*;
    use crate::report::Recorder;

    fn tools() -> (tempfile::TempDir, Tools, Shell) {
        let dir = tempfile::tempdir().unwrap();
        let tools = Tools::new(dir.path().to_owned(), Interrupt::default(), Arc::new(Recorder::default()));
        let sh = tools.shell(dir.path()).unwrap();
        (dir, tools, sh)
    }

    #[test]
    fn a_failure_shows_command_code_and_last_lines() {
        let (_dir, tools, sh) = tools();
        let error = tools.run(TaskId::Image, cmd!(sh, "sh -c 'echo one; echo two >&2; exit 7'")).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("ended with exit code 7"), "{text}");
        assert!(text.contains("one") && text.contains("two"), "{text}");
    }

    #[test]
    fn standard_output_is_data_and_standard_error_is_not() {
        let (_dir, tools, sh) = tools();
        let out = tools.read(TaskId::Image, cmd!(sh, "sh -c 'echo data; echo noise >&2'")).unwrap();
        assert_eq!(out, "data");
        assert!(std::fs::read_to_string(tools.log(TaskId::Image)).unwrap().contains("noise"));
    }

    #[test]
    fn a_command_that_hangs_is_stopped_with_its_children() {
        let (_dir, tools, sh) = tools();
        let began = Instant::now();
        let error = tools.run_watched(TaskId::Image, cmd!(sh, "sh -c 'sleep 60 & wait'"), Duration::from_millis(100), |_| ()).unwrap_err();
        assert!(began.elapsed() < Duration::from_secs(30));
        assert!(error.to_string().contains("did not end within"), "{error}");
    }

    #[test]
    fn what_cargo_says_of_this_package_is_not_passed_on() {
        let (_dir, tools, sh) = tools();
        assert_eq!(std::env::var("CARGO_PKG_NAME").as_deref(), Ok("xtask"));
        let variables = tools.read(TaskId::Image, cmd!(sh, "env")).unwrap();
        assert!(variables.contains("PATH=") && !variables.contains("CARGO_PKG_") && !variables.contains("CARGO_MANIFEST_"), "{variables}");
    }

    #[test]
    fn a_variable_with_a_secret_is_not_passed_on() {
        let (_dir, tools, sh) = tools();
        let home = |tools: &Tools| tools.read(TaskId::Image, cmd!(sh, "sh -c 'echo ${HOME-none}'")).unwrap();
        let tools = tools.without(vec!["HOME".to_owned()]);
        assert_eq!(home(&tools), "none");
        assert_ne!(home(&tools.with_environment()), "none");
    }

    #[test]
    fn a_missing_program_is_a_missing_requirement() {
        let (_dir, tools, sh) = tools();
        let error = tools.run(TaskId::Image, cmd!(sh, "no-such-program-here --flag")).unwrap_err();
        assert_eq!(crate::errors::exit_code(&error), crate::errors::Exit::Requirement);
    }
}
