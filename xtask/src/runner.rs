//! Runs tasks in the order of the graph, independent ones in parallel, and only if their products are missing or outdated.
//!
//! Reports events; `report` shows them.

use std::sync::{Mutex, PoisonError};

use anyhow::Result;

use crate::{
    env::Env,
    errors::{Code, Problem, TaskFailed, exit_code},
    fingerprint::Fingerprint,
    graph::{Mode, Selection, TaskId},
    probe::Probe,
    progress::TaskStatus,
    record,
    report::{Event, RunEvent, run::Run},
    tasks::Task,
};

/// The end of a task, with its error.
#[derive(Debug)]
enum End {
    Well,
    Failed(anyhow::Error),
    /// A signal stopped it. This is no failure of the task, but the run ends with this error.
    Cancelled(anyhow::Error),
    NotRun,
}

type TaskOf<'a> = &'a (dyn Fn(TaskId) -> Option<Box<dyn Task>> + Sync);

/// Runs the targets and all their needs. When a task fails, independent tasks still finish. Returns the first error, or the state of the
/// run.
pub fn run(env: &Env, task_of: TaskOf<'_>, targets: &[TaskId]) -> Result<Run> {
    let tasks = env.graph.reached(targets);
    let planned: Vec<TaskId> = tasks.iter().copied().filter(|id| env.mode(*id) != Mode::PassedOver).collect();
    env.report.run(RunEvent::Planned { needs: env.graph.needs_of(&planned), tasks: planned });
    env.trees.forget();
    let result = verdict(env, run_all(env, task_of, tasks));
    env.report.run(RunEvent::Settled);
    result.map(|()| env.report.so_far())
}

/// The result is the first failure, which is printed last; other failures are reported here completely. If the first failed task needs one
/// that failed later, that later failure is the cause and the result.
fn verdict(env: &Env, mut ends: Vec<(TaskId, End)>) -> Result<()> {
    let failed: Vec<TaskId> = ends.iter().filter(|(_, end)| matches!(end, End::Failed(_))).map(|(id, _)| *id).collect();
    let follows = |id: TaskId| env.graph.closure(&[id]).iter().any(|need| *need != id && failed.contains(need));
    ends.sort_by_key(|(id, _)| follows(*id));
    let mut first = None;
    for (id, end) in ends {
        match end {
            End::Failed(error) if first.is_none() => {
                first = Some(error.context(TaskFailed { task: id.name(), log: env.log(id) }));
            }
            End::Failed(error) => env.note(id, format!("{error:#}")),
            End::Cancelled(error) if first.is_none() => first = Some(error.context(format!("{} was stopped", id.name()))),
            End::Well | End::NotRun | End::Cancelled(_) => {}
        }
    }
    // A signal between two tasks fails none of them.
    first.map_or_else(|| env.interrupt.check(), Err)
}

/// Runs the tasks; returns them with their ends, in the order in which they ended.
fn run_all(env: &Env, task_of: TaskOf<'_>, mut waiting: Vec<TaskId>) -> Vec<(TaskId, End)> {
    let ends: Mutex<Vec<(TaskId, End)>> = Mutex::new(Vec::new());
    let task_progress = &env.task_progress;
    task_progress.begin(&waiting);
    let ended = |id: TaskId, end: End| {
        // A task that was not run passes on which task failed.
        let status = if matches!(end, End::Well) { TaskStatus::Well } else { TaskStatus::Lost(task_progress.lost(id).unwrap_or(id)) };
        ends.lock().unwrap_or_else(PoisonError::into_inner).push((id, end));
        task_progress.ended(id, status);
    };
    std::thread::scope(|scope| {
        let ended = &ended;
        loop {
            let seen = task_progress.now();
            // Starts what can start, and reports what cannot start any more.
            let mut later = Vec::new();
            for id in std::mem::take(&mut waiting) {
                if let Some(culprit) = task_progress.lost(id) {
                    ended(id, not_run(env, id, culprit));
                } else if task_progress.can_begin(id) {
                    scope.spawn(move || {
                        let end = match task_of(id) {
                            Some(task) => run_one(env, task.as_ref()),
                            None => End::Failed(Problem::new(format!("{} is no task", id.name())).into()),
                        };
                        ended(id, end);
                    });
                } else {
                    later.push(id);
                }
            }
            waiting = later;
            if waiting.is_empty() {
                break;
            }
            task_progress.wait_for_change(&seen);
        }
    });
    ends.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn not_run(env: &Env, id: TaskId, culprit: TaskId) -> End {
    let event = match env.interrupt.check() {
        Ok(()) => Event::NotRun { because: culprit },
        Err(error) => Event::Cancelled { text: format!("not started: {error}") },
    };
    env.report.event(id, event);
    End::NotRun
}

fn run_one(env: &Env, task: &dyn Task) -> End {
    let id = task.id();
    let result = env.interrupt.check().and_then(|()| bring_about(env, task));
    let Err(error) = result else { return End::Well };
    if let Err(cause) = env.interrupt.check() {
        env.report.event(id, Event::Cancelled { text: format!("stopped: {cause}") });
        // Whatever the stopped command reported, the cause is the signal.
        return End::Cancelled(if exit_code(&error) == exit_code(&cause) { error } else { cause.context(format!("{error:#}")) });
    }
    // The log has the complete error.
    env.detail(id, format!("error: {error:#}"));
    if let Some(culprit) = env.task_progress.lost(id) {
        env.report.event(id, Event::Cancelled { text: format!("stopped: {} failed", culprit.name()) });
        return End::NotRun;
    }
    env.report.event(id, Event::Failed { text: first_line(&error) });
    for suspicion in env.scarce_space() {
        env.note(id, suspicion);
    }
    End::Failed(error)
}

/// Probes, runs the task if necessary, and probes again: a task that ends without its product has failed.
fn bring_about(env: &Env, task: &dyn Task) -> Result<()> {
    let id = task.id();
    let mode = env.mode(id);
    if matches!(mode, Mode::Required | Mode::AsItIs | Mode::PassedOver) {
        return take_as_it_is(env, task, mode);
    }
    env.report.event(id, Event::Checking);
    let want: Fingerprint = task.inputs(env)?;
    let reason = match task.probe(env, &want)? {
        Probe::Fresh(_) if mode == Mode::Forced => "asked for with --from".to_owned(),
        Probe::Fresh(reason) => {
            env.report.event(id, Event::Skipped { reason });
            return Ok(());
        }
        Probe::Stale(reason) => reason,
    };
    // With the inputs of the last success, the task restores its product, unless the user requested the run.
    let restores = !env.options.refresh && !env.is_forced(id) && record::changed(env, id, &want).is_none();
    env.report.event(id, if restores { Event::Restoring { reason } } else { Event::Started { reason } });
    env.trees.forget();
    let ran = task.run(env, &want);
    env.trees.forget();
    ran?;
    match task.made(env, &want)? {
        Probe::Fresh(text) => {
            record::write(env, id, &want)?;
            env.report.event(id, Event::Done { text });
            Ok(())
        }
        Probe::Stale(reason) => {
            Err(Problem::new(format!("it ended without an error, but its product is missing: {reason}")).code(Code::NoProduct).into())
        }
    }
}

/// A task that may not run: reports the probe's result, which must be good if the product is required.
fn take_as_it_is(env: &Env, task: &dyn Task, mode: Mode) -> Result<()> {
    let id = task.id();
    if mode == Mode::PassedOver {
        return Ok(());
    }
    env.report.event(id, Event::Checking);
    let found = task.inputs(env).and_then(|want| task.probe(env, &want));
    let why = match found {
        Ok(Probe::Fresh(reason)) => {
            env.report.event(id, Event::Skipped { reason });
            return Ok(());
        }
        Ok(Probe::Stale(reason)) => reason,
        Err(error) => format!("{error:#}"),
    };
    let problem = match &env.options.selection {
        Selection::Only(task) => Problem::new(format!("{} needs {}, whose product is missing: {why}", task.name(), id.name()))
            .code(Code::NeedsOther)
            .hint("without --only it is made on the way"),
        Selection::Planned(_) => Problem::new(format!("the plan has nothing to do for {}, and now there is: {why}", id.name()))
            .code(Code::PlanChanged)
            .hint("the cluster or the inputs changed since the plan was made: make a new one"),
        Selection::All | Selection::From(_) => {
            env.report.event(id, Event::Skipped { reason: format!("taken as it is: {why}") });
            return Ok(());
        }
    };
    Err(problem.into())
}

fn first_line(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    text.lines().next().unwrap_or_default().to_owned()
}
