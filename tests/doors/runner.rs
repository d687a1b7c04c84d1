//! Tasks that start before a need has ended.

use anyhow::{Result, bail};
use pocdeploy::{env::Env, fingerprint::Fingerprint, graph::TaskId, probe::Probe, runner, tasks::Task};

use crate::Bench;

type Work = fn(&Env) -> Result<()>;

/// A task whose work is a function; its product exists after the work.
struct Double {
    id: TaskId,
    work: Work,
}

impl Task for Double {
    fn id(&self) -> TaskId {
        self.id
    }

    fn inputs(&self, _env: &Env) -> Result<Fingerprint> {
        Ok(Fingerprint::new())
    }

    fn probe(&self, env: &Env, _want: &Fingerprint) -> Result<Probe> {
        let made = env.work(self.id.name()).exists();
        Ok(if made { Probe::Fresh("made".to_owned()) } else { Probe::Stale("not made".to_owned()) })
    }

    fn run(&self, env: &Env, _want: &Fingerprint) -> Result<()> {
        (self.work)(env)?;
        std::fs::create_dir_all(env.work(self.id.name()))?;
        Ok(())
    }
}

fn run(bench: &Bench, work: fn(TaskId) -> Work) -> Result<()> {
    let task_of = move |id: TaskId| -> Option<Box<dyn Task>> { Some(Box::new(Double { id, work: work(id) })) };
    runner::run(&bench.env, &task_of, &[TaskId::Deploy]).map(drop)
}

fn nothing(_: &Env) -> Result<()> {
    Ok(())
}

fn until(env: &Env, id: TaskId, need: TaskId) -> Result<()> {
    env.task_progress.until_ended(&env.interrupt, id, need)
}

#[test]
fn a_task_works_on_what_is_usable_while_that_is_finished() {
    // Each waits for the other, so they end only if they run in parallel.
    fn cluster(env: &Env) -> Result<()> {
        env.task_progress.usable(TaskId::Cluster);
        until(env, TaskId::Dev, TaskId::Operator)
    }
    let bench = Bench::new("");
    run(&bench, |id| if id == TaskId::Cluster { cluster } else { nothing }).unwrap();
    assert!(bench.env.work("deploy").exists());
}

#[test]
fn what_was_built_on_a_product_that_did_not_come_is_stopped_and_not_to_blame() {
    fn cluster(env: &Env) -> Result<()> {
        env.task_progress.usable(TaskId::Cluster);
        bail!("kind failed")
    }
    fn operator(env: &Env) -> Result<()> {
        until(env, TaskId::Operator, TaskId::Cluster)
    }
    let bench = Bench::new("");
    let work: fn(TaskId) -> Work = |id| match id {
        TaskId::Cluster => cluster,
        TaskId::Operator => operator,
        _ => nothing,
    };
    let error = run(&bench, work).unwrap_err();
    assert_eq!(error.root_cause().to_string(), "kind failed");
    assert!(format!("{error:#}").starts_with("cluster failed"), "{error:#}");
    for id in ["operator", "database", "deploy"] {
        assert!(!bench.env.work(id).exists(), "{id}");
    }
}

#[test]
fn the_cause_is_told_first_even_where_it_failed_last() {
    // The operator fails by itself, shortly before the cluster that it needs fails.
    fn cluster(env: &Env) -> Result<()> {
        env.task_progress.usable(TaskId::Cluster);
        until(env, TaskId::Dev, TaskId::Operator).ok();
        bail!("kind failed")
    }
    fn operator(_: &Env) -> Result<()> {
        bail!("no route to the node")
    }
    let bench = Bench::new("");
    let work: fn(TaskId) -> Work = |id| match id {
        TaskId::Cluster => cluster,
        TaskId::Operator => operator,
        _ => nothing,
    };
    let error = run(&bench, work).unwrap_err();
    assert_eq!(error.root_cause().to_string(), "kind failed");
}
