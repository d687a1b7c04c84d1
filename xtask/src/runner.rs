//! Runs tasks in the order of the graph, independent ones at the same time, each only where its product is not there.

use std::{
    collections::BTreeMap,
    sync::mpsc,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::{
    env::Env,
    errors::{Code, Problem, exit_code},
    fingerprint::Fingerprint,
    graph::{Extent, TaskId, Treatment, closure},
    probe::Probe,
    record,
    report::Event,
    tasks::Task,
};

/// How a task ended.
#[derive(Debug)]
enum Outcome {
    Ran,
    Skipped,
    Failed(anyhow::Error),
    NotRun,
}

/// What a whole run did.
#[derive(Debug, Default)]
pub struct Summary {
    pub ran: Vec<TaskId>,
    pub skipped: Vec<TaskId>,
    pub took: Duration,
}

/// Brings the targets about with all that they need. Independent tasks end their work when one fails;
/// the error returned is the first that happened.
pub fn run(env: &Env, task_of: &(dyn Fn(TaskId) -> Option<Box<dyn Task>> + Sync), targets: &[TaskId]) -> Result<Summary> {
    let began = Instant::now();
    let mut waiting = closure(targets);
    let mut ended: BTreeMap<TaskId, bool> = BTreeMap::new();
    let mut summary = Summary::default();
    let mut failures: Vec<(TaskId, anyhow::Error)> = Vec::new();
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        let mut running = 0;
        loop {
            // Start what can start, and name what no longer can.
            let mut later = Vec::new();
            for id in std::mem::take(&mut waiting) {
                let blocked = id.needs().iter().find(|need| ended.get(need) == Some(&false));
                if let Some(need) = blocked {
                    env.report.event(id, Event::NotRun { because: *need });
                    ended.insert(id, false);
                    continue;
                }
                if !id.needs().iter().all(|need| ended.contains_key(need)) {
                    later.push(id);
                    continue;
                }
                let sender = sender.clone();
                running += 1;
                scope.spawn(move || {
                    let outcome = match task_of(id) {
                        Some(task) => run_one(env, task.as_ref()),
                        None => Outcome::Failed(Problem::new(format!("{} is no task", id.name())).into()),
                    };
                    // The receiver lives until every task reported.
                    sender.send((id, outcome)).ok();
                });
            }
            waiting = later;
            if running == 0 {
                if waiting.is_empty() {
                    break;
                }
                continue;
            }
            let Ok((id, outcome)) = receiver.recv() else { break };
            running -= 1;
            ended.insert(id, matches!(outcome, Outcome::Ran | Outcome::Skipped));
            match outcome {
                Outcome::Ran => summary.ran.push(id),
                Outcome::Skipped => summary.skipped.push(id),
                Outcome::Failed(error) => failures.push((id, error)),
                Outcome::NotRun => {}
            }
        }
    });
    summary.took = began.elapsed();
    let mut failures = failures.into_iter();
    let Some((id, error)) = failures.next() else {
        // A signal between two tasks fails none of them.
        env.interrupt.check()?;
        return Ok(summary);
    };
    // The first failure is the result; the others are told here, whole.
    for (other, error) in failures {
        env.note(other, format!("{error:#}"));
    }
    Err(error.context(format!("{} failed", id.name())))
}

fn run_one(env: &Env, task: &dyn Task) -> Outcome {
    let id = task.id();
    if env.interrupt.is_set() {
        return Outcome::NotRun;
    }
    match bring_about(env, task) {
        Ok(true) => Outcome::Ran,
        Ok(false) => Outcome::Skipped,
        Err(error) => {
            // Whatever a stopped command made of it: the cause is the signal.
            let error = match env.interrupt.check() {
                Err(cause) if exit_code(&error) != exit_code(&cause) => cause.context(format!("{error:#}")),
                _ => error,
            };
            env.report.event(id, Event::Failed { text: format!("failed: {}", first_line(&error)) });
            for suspicion in env.scarce_space() {
                env.note(id, suspicion);
            }
            Outcome::Failed(error)
        }
    }
}

/// Probes, runs where stale, and probes again: a task that says it is done and is not has failed.
fn bring_about(env: &Env, task: &dyn Task) -> Result<bool> {
    let id = task.id();
    let treatment = env.options.extent.treatment(id);
    if matches!(treatment, Treatment::Required | Treatment::AsItIs | Treatment::PassedOver) {
        return take_as_it_is(env, task, treatment).map(|()| false);
    }
    let want: Fingerprint = task.inputs(env)?;
    let reason = match task.probe(env, &want)? {
        Probe::Fresh(_) if treatment == Treatment::Forced => "asked for with --from".to_owned(),
        Probe::Fresh(reason) => {
            env.report.event(id, Event::Skipped { reason });
            return Ok(false);
        }
        Probe::Stale(reason) => reason,
    };
    env.report.event(id, Event::Started { reason });
    task.run(env, &want)?;
    match task.probe(env, &want)? {
        Probe::Fresh(text) => {
            record::write(env, id, &want)?;
            env.report.event(id, Event::Done { text });
            Ok(true)
        }
        Probe::Stale(reason) => {
            Err(Problem::new(format!("it ran to its end, but its product is not there: {reason}")).code(Code::NoProduct).into())
        }
    }
}

/// A task that may not run: what a look finds is said, and counts where its product is required.
fn take_as_it_is(env: &Env, task: &dyn Task, treatment: Treatment) -> Result<()> {
    let id = task.id();
    if treatment == Treatment::PassedOver {
        return Ok(());
    }
    let found = task.inputs(env).and_then(|want| task.probe(env, &want));
    let why = match found {
        Ok(Probe::Fresh(reason)) => {
            env.report.event(id, Event::Skipped { reason });
            return Ok(());
        }
        Ok(Probe::Stale(reason)) => reason,
        Err(error) => format!("{error:#}"),
    };
    let problem = match &env.options.extent {
        Extent::Only(task) => Problem::new(format!("{} needs {}, which is not there: {why}", task.name(), id.name()))
            .code(Code::NeedsOther)
            .hint("without --only it is made on the way"),
        Extent::Planned(_) => Problem::new(format!("the plan has nothing to do for {}, and now there is: {why}", id.name()))
            .code(Code::PlanChanged)
            .hint("the world changed since the plan was made: make a new one"),
        Extent::All | Extent::From(_) => {
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
