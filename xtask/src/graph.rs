//! The tasks by name and the order between them. What a task does is in `tasks/`; running them is `runner.rs`.

mod extent;

use serde::{Deserialize, Serialize};

pub use crate::graph::extent::{Extent, Treatment};

/// Every task there is. Closed, so that a typo does not compile. In JSON each has its `name`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskId {
    Engine,
    Patch,
    Requirements,
    BaseImage,
    Image,
    NodeImage,
    Cluster,
    Operator,
    Database,
    /// The application's image into the cluster.
    Load,
    Deploy,
    /// Not a task of the graph: changed code into pods that run.
    Dev,
    /// Not a task of the graph: the database's content to a file, or back.
    Snapshot,
    /// Not a task of the graph: an earlier revision in place of the present one.
    Rollback,
    /// Not a task of the graph: the reverse of all of them.
    Delete,
    /// Not a task of the graph: the checks of the project itself.
    Test,
    /// Not a task of the graph: measurements.
    Bench,
}

impl TaskId {
    pub const GRAPH: [TaskId; 11] = [
        TaskId::Engine,
        TaskId::Patch,
        TaskId::Requirements,
        TaskId::BaseImage,
        TaskId::Image,
        TaskId::NodeImage,
        TaskId::Cluster,
        TaskId::Operator,
        TaskId::Database,
        TaskId::Load,
        TaskId::Deploy,
    ];

    pub fn name(self) -> &'static str {
        match self {
            TaskId::Engine => "engine",
            TaskId::Patch => "patch",
            TaskId::Requirements => "requirements",
            TaskId::BaseImage => "base-image",
            TaskId::Image => "image",
            TaskId::NodeImage => "node-image",
            TaskId::Cluster => "cluster",
            TaskId::Operator => "operator",
            TaskId::Database => "database",
            TaskId::Load => "load",
            TaskId::Deploy => "deploy",
            TaskId::Dev => "dev",
            TaskId::Snapshot => "snapshot",
            TaskId::Rollback => "rollback",
            TaskId::Delete => "delete",
            TaskId::Test => "test",
            TaskId::Bench => "bench",
        }
    }

    /// What must have ended well before this task does, and, but for `begins_once_usable`, before it starts. Order only: it says
    /// nothing about keys.
    pub fn needs(self) -> &'static [TaskId] {
        match self {
            TaskId::Engine
            | TaskId::Patch
            | TaskId::Dev
            | TaskId::Snapshot
            | TaskId::Rollback
            | TaskId::Delete
            | TaskId::Test
            | TaskId::Bench => &[],
            TaskId::Requirements => &[TaskId::Patch],
            TaskId::BaseImage | TaskId::NodeImage => &[TaskId::Engine],
            TaskId::Image => &[TaskId::Requirements, TaskId::BaseImage],
            TaskId::Cluster => &[TaskId::NodeImage],
            TaskId::Operator => &[TaskId::Cluster],
            TaskId::Database => &[TaskId::Operator],
            TaskId::Load => &[TaskId::Image, TaskId::Cluster],
            TaskId::Deploy => &[TaskId::Load, TaskId::Database],
        }
    }

    /// Those of its needs that need not have ended when this task starts, once they say that their product is usable: an API server
    /// answers seconds before its cluster is finished, and pods can start while the database that they wait for does. The image is
    /// needed last, and what it costs to bring it is wanted elsewhere in those seconds; what pods need besides can be made meanwhile.
    pub fn begins_once_usable(self) -> &'static [TaskId] {
        match self {
            TaskId::Operator => &[TaskId::Cluster],
            TaskId::Database => &[TaskId::Operator],
            TaskId::Deploy => &[TaskId::Database, TaskId::Load],
            _ => &[],
        }
    }
}

impl clap::ValueEnum for TaskId {
    fn value_variants<'a>() -> &'a [TaskId] {
        &TaskId::GRAPH
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.name()))
    }
}

/// The targets and all that they need, each once, needs first.
pub fn closure(targets: &[TaskId]) -> Vec<TaskId> {
    fn visit(id: TaskId, out: &mut Vec<TaskId>) {
        if out.contains(&id) {
            return;
        }
        for need in id.needs() {
            visit(*need, out);
        }
        out.push(id);
    }
    let mut out = Vec::new();
    for target in targets {
        visit(*target, &mut out);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_needed_comes_before_what_needs_it() {
        let order = closure(&[TaskId::Deploy]);
        assert_eq!(order.len(), TaskId::GRAPH.len());
        for (index, id) in order.iter().enumerate() {
            for need in id.needs() {
                assert!(order[..index].contains(need), "{} before {}", need.name(), id.name());
            }
        }
    }

    #[test]
    fn only_what_is_needed_can_be_usable_early() {
        for id in TaskId::GRAPH {
            assert!(id.begins_once_usable().iter().all(|it| id.needs().contains(it)), "{}", id.name());
        }
    }

    #[test]
    fn machines_and_people_use_the_same_names() {
        for id in TaskId::GRAPH {
            assert_eq!(serde_json::json!(id), id.name());
        }
    }

    #[test]
    fn a_task_alone_brings_only_what_it_needs() {
        assert_eq!(closure(&[TaskId::Requirements]), [TaskId::Patch, TaskId::Requirements]);
    }
}
