//! How much of the graph a run brings about: all of it, one task alone, everything from one task on, or what a plan says.

use crate::graph::{Graph, TaskId};

/// The part of the graph that may run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Extent {
    /// Every task whose product is not there.
    #[default]
    All,
    /// `--only`: what the name means, and nothing for it.
    Only(TaskId),
    /// `--from`: what the name means and all that follow, even if their products are there; what comes before it stays as it is.
    From(TaskId),
    /// `--plan`: these at most.
    Planned(Vec<TaskId>),
}

/// What becomes of one task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// It runs where its product is not there.
    Usual,
    /// It runs.
    Forced,
    /// It does not run, and its product must be there.
    Required,
    /// It does not run, whatever a look at it finds.
    AsItIs,
    /// Not even looked at.
    PassedOver,
}

impl Extent {
    /// What becomes of the task in a run of this graph.
    pub fn treatment(&self, graph: &Graph, id: TaskId) -> Treatment {
        match self {
            Extent::All => Treatment::Usual,
            Extent::Only(task) if task.means(id) => Treatment::Usual,
            // Without the engine nothing else can be looked at.
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
