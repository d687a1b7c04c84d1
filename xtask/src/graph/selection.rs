//! The part of the graph that a run may execute: all of it, one task, everything from one task on, or the tasks of a plan.

use crate::graph::{Graph, TaskId};

/// The part of the graph that may run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Selection {
    /// Every task whose product is missing or outdated.
    #[default]
    All,
    /// `--only`: the tasks with this name, without their needs.
    Only(TaskId),
    /// `--from`: the tasks with this name and all later ones, even if their products exist; earlier products are kept.
    From(TaskId),
    /// `--plan`: only these tasks.
    Planned(Vec<TaskId>),
}

/// How a run treats one task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It runs if its product is missing or outdated.
    Usual,
    /// It runs in any case.
    Forced,
    /// It does not run, and its product must exist.
    Required,
    /// It does not run, whatever its probe finds.
    AsItIs,
    /// It does not run and is not probed.
    PassedOver,
}

impl Selection {
    /// How a run of this graph treats the task.
    pub fn mode(&self, graph: &Graph, id: TaskId) -> Mode {
        match self {
            Selection::All => Mode::Usual,
            Selection::Only(task) if task.means(id) => Mode::Usual,
            // Nothing else can be probed without the engine.
            Selection::Only(task) if id == TaskId::Engine || graph.named(*task).iter().any(|it| graph.needs(*it).contains(&id)) => {
                Mode::Required
            }
            Selection::Only(_) => Mode::PassedOver,
            Selection::From(first) if graph.closure(&[id]).iter().any(|it| first.means(*it)) => Mode::Forced,
            Selection::From(first) if id != TaskId::Engine && graph.closure(&graph.named(*first)).contains(&id) => Mode::AsItIs,
            Selection::From(_) => Mode::Usual,
            Selection::Planned(tasks) if tasks.contains(&id) => Mode::Usual,
            Selection::Planned(_) => Mode::Required,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{ClusterType, ServiceName},
        graph::{TaskKind, graph},
    };

    fn worker(kind: TaskKind) -> TaskId {
        TaskId::for_service(kind, ServiceName::new("worker"))
    }

    #[track_caller]
    fn check(selection: &Selection, expected: &[(TaskId, Mode)]) {
        let graph = graph(ClusterType::Kind, &[None, ServiceName::new("worker")], &[]);
        for (id, mode) in expected {
            assert_eq!(selection.mode(&graph, *id), *mode, "{selection:?}: {}", id.name());
        }
    }

    #[test]
    fn only_asks_for_what_the_task_needs_and_passes_the_rest_over() {
        check(
            &Selection::Only(TaskId::Image),
            &[
                (TaskId::Image, Mode::Usual),
                (TaskId::Requirements, Mode::Required),
                (TaskId::Engine, Mode::Required),
                (TaskId::Patch, Mode::PassedOver),
                (worker(TaskKind::Image), Mode::Usual),
                (worker(TaskKind::Requirements), Mode::Required),
            ],
        );
        check(
            &Selection::Only(worker(TaskKind::Image)),
            &[
                (TaskId::Image, Mode::PassedOver),
                (worker(TaskKind::Image), Mode::Usual),
                (worker(TaskKind::Requirements), Mode::Required),
                (TaskId::BaseImage, Mode::Required),
            ],
        );
    }

    #[test]
    fn from_forces_what_follows_keeps_what_precedes_and_leaves_the_rest_alone() {
        check(
            &Selection::From(TaskId::Image),
            &[
                (TaskId::Patch, Mode::AsItIs),
                (TaskId::BaseImage, Mode::AsItIs),
                (TaskId::Engine, Mode::Usual),
                (TaskId::Cluster, Mode::Usual),
                (TaskId::Image, Mode::Forced),
                (TaskId::Deploy, Mode::Forced),
            ],
        );
    }

    #[test]
    fn from_one_service_leaves_the_others_alone() {
        check(
            &Selection::From(worker(TaskKind::Image)),
            &[
                (TaskId::Image, Mode::Usual),
                (worker(TaskKind::Patch), Mode::AsItIs),
                (worker(TaskKind::Load), Mode::Forced),
                (TaskId::Deploy, Mode::Forced),
            ],
        );
    }

    #[test]
    fn a_plan_lets_no_other_task_run() {
        let selection = Selection::Planned(vec![TaskId::Deploy]);
        check(&selection, &[(TaskId::Deploy, Mode::Usual), (TaskId::Image, Mode::Required)]);
    }
}
