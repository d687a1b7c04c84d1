//! The tasks by name and the order between them: `graph` is the page to read. What a task does is in `tasks/`; running them is
//! `runner.rs`.

mod extent;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::ClusterType;
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
        }
    }
}

/// A task of a run, with what it stands on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    id: TaskId,
    /// Tasks that must have ended well before this one ends, and, but for those in `starts_early_on`, before it starts. Order only:
    /// it says nothing about the inputs of a task.
    needs: Vec<TaskId>,
    /// Needs that may still be running when this task starts, once they have reported that their product is usable. Example: an API
    /// server takes objects seconds before kind has finished, and pods start while the database that they wait for does.
    starts_early_on: Vec<TaskId>,
}

/// The tasks of a run and the order between them. A task stands behind all that it needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    nodes: Vec<Node>,
}

/// What `create` does, a line for each task: its needs, and those of them that it does not wait for to the end.
pub fn graph(cluster: ClusterType) -> Graph {
    use TaskId::{BaseImage, Cluster, Database, Deploy, Engine, Image, Load, NodeImage, Operator, Patch, Requirements};
    let mut out = Graph::default();
    out.add(Engine, &[], &[]);
    out.add(Patch, &[], &[]);
    out.add(Requirements, &[Patch], &[]);
    out.add(BaseImage, &[Engine], &[]);
    out.add(Image, &[Requirements, BaseImage], &[]);
    match cluster {
        // The node's image holds every image that the cluster needs.
        ClusterType::Kind => {
            out.add(NodeImage, &[Engine], &[]);
            out.add(Cluster, &[NodeImage], &[]);
            out.add(Operator, &[Cluster], &[Cluster]);
        }
        // It is there; images of the recipes are pushed to its registry.
        ClusterType::Existing => {
            out.add(Cluster, &[], &[]);
            out.add(NodeImage, &[Engine, Cluster], &[]);
            out.add(Operator, &[Cluster, NodeImage], &[]);
        }
        ClusterType::Eks | ClusterType::Aks | ClusterType::Gke => {
            out.add(Cluster, &[], &[]);
            out.add(Operator, &[Cluster], &[]);
        }
    }
    out.add(Database, &[Operator], &[Operator]);
    out.add(Load, &[Image, Cluster], &[]);
    // A registry gives an image the digest by which pods name it: it must be there first.
    let starts_early_on: &[TaskId] = if cluster == ClusterType::Kind { &[Database, Load] } else { &[Database] };
    out.add(Deploy, &[Load, Database], starts_early_on);
    out
}

impl Graph {
    fn add(&mut self, id: TaskId, needs: &[TaskId], starts_early_on: &[TaskId]) {
        self.nodes.push(Node { id, needs: needs.to_vec(), starts_early_on: starts_early_on.to_vec() });
    }

    /// Every task, needs first.
    pub fn ids(&self) -> Vec<TaskId> {
        self.nodes.iter().map(|it| it.id).collect()
    }

    /// What the task needs; nothing for one that is not of this graph.
    pub fn needs(&self, id: TaskId) -> &[TaskId] {
        self.node(id).map_or(&[], |it| &it.needs)
    }

    /// Which of its needs may still be running when the task starts.
    pub fn starts_early_on(&self, id: TaskId) -> &[TaskId] {
        self.node(id).map_or(&[], |it| &it.starts_early_on)
    }

    /// The targets and all that they need, each once, needs first.
    pub fn closure(&self, targets: &[TaskId]) -> Vec<TaskId> {
        let mut wanted = targets.to_vec();
        let mut at = 0;
        while let Some(id) = wanted.get(at).copied() {
            for need in self.needs(id) {
                if !wanted.contains(need) {
                    wanted.push(*need);
                }
            }
            at += 1;
        }
        self.ids().into_iter().filter(|id| wanted.contains(id)).collect()
    }

    /// The needs of each of these tasks, as an event has them.
    pub fn needs_of(&self, ids: &[TaskId]) -> BTreeMap<TaskId, Vec<TaskId>> {
        ids.iter().map(|id| (*id, self.needs(*id).to_vec())).collect()
    }

    fn node(&self, id: TaskId) -> Option<&Node> {
        self.nodes.iter().find(|it| it.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPES: [ClusterType; 5] = [ClusterType::Kind, ClusterType::Existing, ClusterType::Eks, ClusterType::Aks, ClusterType::Gke];

    #[test]
    fn everything_needed_comes_before_what_needs_it() {
        for graph in TYPES.map(graph) {
            let order = graph.closure(&[TaskId::Deploy]);
            assert_eq!(order, graph.ids());
            for (index, id) in order.iter().enumerate() {
                for need in graph.needs(*id) {
                    assert!(order[..index].contains(need), "{} before {}", need.name(), id.name());
                }
            }
        }
    }

    #[test]
    fn only_what_is_needed_can_be_usable_early() {
        for graph in TYPES.map(graph) {
            for id in graph.ids() {
                assert!(graph.starts_early_on(id).iter().all(|it| graph.needs(id).contains(it)), "{}", id.name());
            }
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
        assert_eq!(graph(ClusterType::Kind).closure(&[TaskId::Requirements]), [TaskId::Patch, TaskId::Requirements]);
    }
}
