//! `plan`: what a run would do, task by task, and in the cluster property by property. Changes nothing.

use std::{collections::BTreeMap, io::Write as _};

use anyhow::{Context as _, Result};

use crate::{
    commands::graph::{self, State},
    env::Env,
    errors::PlanHasChanges,
    graph::{TaskId, closure},
    tasks::objects,
};

pub(crate) fn run(env: &Env, targets: &[TaskId], detailed_exitcode: bool) -> Result<()> {
    let ids = closure(targets);
    let states = graph::look(env, &ids);
    let objects = match states.get(&TaskId::Deploy) {
        // The objects name the image, so its inputs must be known; whether it is built does not matter.
        Some(_) if is_fresh(&states, TaskId::Requirements) && is_fresh(&states, TaskId::Cluster) => Some(objects::preview(env)?),
        Some(_) => None,
        None => Some(Vec::new()),
    };
    let text = text(&ids, &states, objects.as_deref());
    std::io::stdout().write_all(text.as_bytes()).context("print the plan")?;
    let pending = ids.iter().any(|id| !is_fresh(&states, *id));
    if pending && detailed_exitcode { Err(PlanHasChanges.into()) } else { Ok(()) }
}

fn is_fresh(states: &BTreeMap<TaskId, State>, id: TaskId) -> bool {
    matches!(states.get(&id), Some(State::Fresh(_)))
}

fn text(ids: &[TaskId], states: &BTreeMap<TaskId, State>, objects: Option<&[String]>) -> String {
    let mut out = String::new();
    for id in ids {
        let line = match states.get(id) {
            Some(State::Fresh(seen)) => format!("= {:<12} nothing to do: {seen}", id.name()),
            Some(State::Stale(reason)) => format!("~ {:<12} would run: {reason}", id.name()),
            Some(State::After(need)) => format!("? {:<12} follows {}: whether it runs cannot be foreseen", id.name(), need.name()),
            Some(State::Unknown(why)) => format!("? {:<12} cannot be foreseen: {why}", id.name()),
            None => continue,
        };
        out.push_str(&line);
        out.push('\n');
    }
    match objects {
        None => out.push_str("? objects of the cluster cannot be foreseen before the tasks above have run\n"),
        Some(changes) => {
            for change in changes {
                out.push_str(&format!("  {change}\n"));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_foreseen_is_said() {
        let states = BTreeMap::from([
            (TaskId::Patch, State::Stale("patch 0002 changed".to_owned())),
            (TaskId::Requirements, State::After(TaskId::Patch)),
        ]);
        let expected = "~ patch        would run: patch 0002 changed\n\
                        ? requirements follows patch: whether it runs cannot be foreseen\n\
                        ? objects of the cluster cannot be foreseen before the tasks above have run\n";
        assert_eq!(text(&[TaskId::Patch, TaskId::Requirements], &states, None), expected);
    }

    #[test]
    fn changes_of_objects_stand_below_the_tasks() {
        let states = BTreeMap::from([(TaskId::Deploy, State::Stale("x".to_owned()))]);
        let changes = ["~ Deployment d: spec.replicas: 2 -> 3".to_owned()];
        assert_eq!(
            text(&[TaskId::Deploy], &states, Some(&changes)),
            "~ deploy       would run: x\n  ~ Deployment d: spec.replicas: 2 -> 3\n"
        );
    }
}
