//! The part of the graph that a run may execute: all of it, one task, everything from one task on, or the tasks of a plan.

use crate::graph::{Graph, TaskId};

/// The part of the graph that may run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Extent {
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
pub enum Treatment {
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

impl Extent {
    /// How a run of this graph treats the task.
    pub fn treatment(&self, graph: &Graph, id: TaskId) -> Treatment {
        match self {
            Extent::All => Treatment::Usual,
            Extent::Only(task) if task.means(id) => Treatment::Usual,
            // Nothing else can be probed without the engine.
            Extent::Only(task) if id == TaskId::Engine || graph.named(*task).iter().any(|it| graph.needs(*it).contains(&id)) => {
                Treatment::Required
            }
            Extent::Only(_) => Treatment::PassedOver,
            Extent::From(first) if graph.closure(&[id]).iter().any(|it| first.means(*it)) => Treatment::Forced,
            Extent::From(first) if id != TaskId::Engine && graph.closure(&graph.named(*first)).contains(&id) => Treatment::AsItIs,
            Extent::From(_) => Treatment::Usual,
            Extent::Planned(tasks) if tasks.contains(&id) => Treatment::Usual,
            Extent::Planned(_) => Treatment::Required,
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
    fn check(extent: &Extent, expected: &[(TaskId, Treatment)]) {
        let graph = graph(ClusterType::Kind, &[None, ServiceName::new("worker")]);
        for (id, treatment) in expected {
            assert_eq!(extent.treatment(&graph, *id), *treatment, "{extent:?}: {}", id.name());
        }
    }

    #[test]
    fn only_asks_for_what_the_task_needs_and_passes_the_rest_over() {
        check(
            &Extent::Only(TaskId::Image),
            &[
                (TaskId::Image, Treatment::Usual),
                (TaskId::Requirements, Treatment::Required),
                (TaskId::Engine, Treatment::Required),
                (TaskId::Patch, Treatment::PassedOver),
                (worker(TaskKind::Image), Treatment::Usual),
                (worker(TaskKind::Requirements), Treatment::Required),
            ],
        );
        check(
            &Extent::Only(worker(TaskKind::Image)),
            &[
                (TaskId::Image, Treatment::PassedOver),
                (worker(TaskKind::Image), Treatment::Usual),
                (worker(TaskKind::Requirements), Treatment::Required),
                (TaskId::BaseImage, Treatment::Required),
            ],
        );
    }

    #[test]
    fn from_forces_what_follows_keeps_what_precedes_and_leaves_the_rest_alone() {
        check(
            &Extent::From(TaskId::Image),
            &[
                (TaskId::Patch, Treatment::AsItIs),
                (TaskId::BaseImage, Treatment::AsItIs),
                (TaskId::Engine, Treatment::Usual),
                (TaskId::Cluster, Treatment::Usual),
                (TaskId::Image, Treatment::Forced),
                (TaskId::Deploy, Treatment::Forced),
            ],
        );
    }

    #[test]
    fn from_one_service_leaves_the_others_alone() {
        check(
            &Extent::From(worker(TaskKind::Image)),
            &[
                (TaskId::Image, Treatment::Usual),
                (worker(TaskKind::Patch), Treatment::AsItIs),
                (worker(TaskKind::Load), Treatment::Forced),
                (TaskId::Deploy, Treatment::Forced),
            ],
        );
    }

    #[test]
    fn a_plan_lets_no_other_task_run() {
        let extent = Extent::Planned(vec![TaskId::Deploy]);
        check(&extent, &[(TaskId::Deploy, Treatment::Usual), (TaskId::Image, Treatment::Required)]);
    }
}
