//! The tasks and their order; start reading at `graph`. `tasks/` has the tasks' work, `runner.rs` runs them.

mod selection;

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::config::{ClusterType, Config, FIRST, ServiceName};
pub use crate::graph::selection::{Mode, Selection};

/// The kinds of tasks. An enum, so that a typo does not compile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaskKind {
    Engine,
    Patch,
    Requirements,
    BaseImage,
    Image,
    NodeImage,
    Cluster,
    Operator,
    Database,
    /// Loads a service's image into the cluster.
    Load,
    Deploy,
    /// Not in the graph: copies changed code into running pods.
    Dev,
    /// Not in the graph: saves or restores the database.
    Snapshot,
    /// Not in the graph: returns to an earlier revision.
    Rollback,
    /// Not in the graph: reverses all tasks.
    Delete,
}

impl TaskKind {
    /// The tasks of the graph, each after its needs.
    pub const GRAPH: [TaskKind; 11] = [
        TaskKind::Engine,
        TaskKind::Patch,
        TaskKind::Requirements,
        TaskKind::BaseImage,
        TaskKind::Image,
        TaskKind::NodeImage,
        TaskKind::Cluster,
        TaskKind::Operator,
        TaskKind::Database,
        TaskKind::Load,
        TaskKind::Deploy,
    ];

    /// The name in commands and reports.
    pub fn name(self) -> &'static str {
        match self {
            TaskKind::Engine => "engine",
            TaskKind::Patch => "patch",
            TaskKind::Requirements => "requirements",
            TaskKind::BaseImage => "base-image",
            TaskKind::Image => "image",
            TaskKind::NodeImage => "node-image",
            TaskKind::Cluster => "cluster",
            TaskKind::Operator => "operator",
            TaskKind::Database => "database",
            TaskKind::Load => "load",
            TaskKind::Deploy => "deploy",
            TaskKind::Dev => "dev",
            TaskKind::Snapshot => "snapshot",
            TaskKind::Rollback => "rollback",
            TaskKind::Delete => "delete",
        }
    }
}

/// A task of a run: of a further service (`image/worker`), of the first service (`image`), or of none (`cluster`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    pub kind: TaskKind,
    /// The further service; `None` for the first one, and for tasks that all services share.
    pub service: Option<ServiceName>,
}

#[expect(non_upper_case_globals, reason = "they read as the tasks' names, like the kinds that they are of")]
impl TaskId {
    pub const Engine: TaskId = TaskId::of(TaskKind::Engine);
    pub const Patch: TaskId = TaskId::of(TaskKind::Patch);
    pub const Requirements: TaskId = TaskId::of(TaskKind::Requirements);
    pub const BaseImage: TaskId = TaskId::of(TaskKind::BaseImage);
    pub const Image: TaskId = TaskId::of(TaskKind::Image);
    pub const NodeImage: TaskId = TaskId::of(TaskKind::NodeImage);
    pub const Cluster: TaskId = TaskId::of(TaskKind::Cluster);
    pub const Operator: TaskId = TaskId::of(TaskKind::Operator);
    pub const Database: TaskId = TaskId::of(TaskKind::Database);
    pub const Load: TaskId = TaskId::of(TaskKind::Load);
    pub const Deploy: TaskId = TaskId::of(TaskKind::Deploy);
    pub const Dev: TaskId = TaskId::of(TaskKind::Dev);
    pub const Snapshot: TaskId = TaskId::of(TaskKind::Snapshot);
    pub const Rollback: TaskId = TaskId::of(TaskKind::Rollback);
    pub const Delete: TaskId = TaskId::of(TaskKind::Delete);
}

impl TaskId {
    /// The task of the first service, or of none.
    pub const fn of(kind: TaskKind) -> TaskId {
        TaskId { kind, service: None }
    }

    /// The task of a service; `None` is the first one.
    pub const fn for_service(kind: TaskKind, service: Option<ServiceName>) -> TaskId {
        TaskId { kind, service }
    }

    /// The name in texts and JSON: `image`, `image/worker`.
    pub fn name(self) -> String {
        match self.service {
            Some(service) => format!("{}/{service}", self.kind.name()),
            None => self.kind.name().to_owned(),
        }
    }

    /// Whether the name on the command line includes this task: see [`Graph::named`].
    pub fn means(self, task: TaskId) -> bool {
        let is_first = |it: ServiceName| it.as_str() == FIRST && task.service.is_none();
        self.kind == task.kind && self.service.is_none_or(|it| task.service == Some(it) || is_first(it))
    }

    /// The name of its files: `image`, `image-worker`.
    pub fn file_name(self) -> String {
        self.name().replace('/', "-")
    }

    /// Parses `image` or `image/worker`, also for a service that is not configured. `None` if the text is not a name.
    pub fn parse(text: &str) -> Option<TaskId> {
        let (kind, service) = text.split_once('/').map_or((text, None), |(kind, service)| (kind, Some(service)));
        let kind = TaskKind::GRAPH.into_iter().chain(OUTSIDE).find(|it| it.name() == kind)?;
        match service {
            Some(name) => Some(TaskId::for_service(kind, Some(ServiceName::new(name)?))),
            None => Some(TaskId::of(kind)),
        }
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.service {
            Some(service) => write!(f, "{:?}/{service}", self.kind),
            None => write!(f, "{:?}", self.kind),
        }
    }
}

/// Tasks outside the graph, under which commands report.
const OUTSIDE: [TaskKind; 4] = [TaskKind::Dev, TaskKind::Snapshot, TaskKind::Rollback, TaskKind::Delete];

impl Serialize for TaskId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name())
    }
}

impl<'de> Deserialize<'de> for TaskId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<TaskId, D::Error> {
        let text = String::deserialize(deserializer)?;
        TaskId::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("`{text}` is no task")))
    }
}

/// A task of a run with its needs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    id: TaskId,
    /// Tasks that must end with success before this one ends and, except those in `starts_early_on`, before it starts. This is only an
    /// order; it does not define the task's inputs.
    needs: Vec<TaskId>,
    /// Needs that may still be running when this task starts, once they have reported that their product is usable. Example: the API server
    /// accepts objects seconds before kind has finished, and pods start while their database starts.
    starts_early_on: Vec<TaskId>,
}

/// The tasks of a run in order, each after its needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    nodes: Vec<Node>,
}

/// The tasks of `create` for a configuration.
pub fn of(config: &Config) -> Graph {
    graph(config.cluster.kind, &config.built().collect::<Vec<_>>(), &config.brought().collect::<Vec<_>>())
}

/// The tasks of `create`, one line each: its needs, and those of them on which it starts early. `built` are the services with their own
/// image; `None` is the first one. `brought` are those whose image is upstream's.
pub fn graph(cluster: ClusterType, built: &[Option<ServiceName>], brought: &[ServiceName]) -> Graph {
    use TaskKind::{Image, Load, Patch, Requirements};
    let mut out = Graph::default();
    let loaded: Vec<Option<ServiceName>> = built.iter().copied().chain(brought.iter().map(|it| Some(*it))).collect();
    out.add(TaskId::Engine, &[], &[]);
    let of = |kind| loaded.iter().map(|it| TaskId::for_service(kind, *it)).collect::<Vec<TaskId>>();
    for service in built.iter().copied() {
        let of_it = |kind| TaskId::for_service(kind, service);
        out.add(of_it(Patch), &[], &[]);
        out.add(of_it(Requirements), &[of_it(Patch)], &[]);
    }
    out.add(TaskId::BaseImage, &[TaskId::Engine], &[]);
    for service in built.iter().copied() {
        let of_it = |kind| TaskId::for_service(kind, service);
        out.add(of_it(Image), &[of_it(Requirements), TaskId::BaseImage], &[]);
    }
    for service in brought.iter().copied() {
        out.add(TaskId::for_service(Image, Some(service)), &[TaskId::Engine], &[]);
    }
    match cluster {
        // The node image contains every image that the cluster needs.
        ClusterType::Kind => {
            out.add(TaskId::NodeImage, &[TaskId::Engine], &[]);
            out.add(TaskId::Cluster, &[TaskId::NodeImage], &[]);
            out.add(TaskId::Operator, &[TaskId::Cluster], &[TaskId::Cluster]);
        }
        // The cluster exists; images built by the recipes are pushed to its registry.
        ClusterType::Existing => {
            out.add(TaskId::Cluster, &[], &[]);
            out.add(TaskId::NodeImage, &[TaskId::Engine, TaskId::Cluster], &[]);
            out.add(TaskId::Operator, &[TaskId::Cluster, TaskId::NodeImage], &[]);
        }
        ClusterType::Eks | ClusterType::Aks | ClusterType::Gke => {
            // The registry is there minutes before the API server.
            out.add(TaskId::Cluster, &[], &[]);
            out.add(TaskId::NodeImage, &[TaskId::Engine, TaskId::Cluster], &[TaskId::Cluster]);
            out.add(TaskId::Operator, &[TaskId::Cluster, TaskId::NodeImage], &[]);
        }
    }
    out.add(TaskId::Database, &[TaskId::Operator], &[TaskId::Operator]);
    for service in loaded.iter().copied() {
        let of_it = |kind| TaskId::for_service(kind, service);
        let early: &[TaskId] = if cluster.is_cloud() { &[TaskId::Cluster] } else { &[] };
        out.add(of_it(Load), &[of_it(Image), TaskId::Cluster], early);
    }
    let needs = [of(Load), vec![TaskId::Database]].concat();
    // Pods refer to an image by its digest in the registry, so it must be pushed first.
    let starts_early_on = if cluster == ClusterType::Kind { needs.clone() } else { vec![TaskId::Database] };
    out.add(TaskId::Deploy, &needs, &starts_early_on);
    out
}

impl Graph {
    fn add(&mut self, id: TaskId, needs: &[TaskId], starts_early_on: &[TaskId]) {
        self.nodes.push(Node { id, needs: needs.to_vec(), starts_early_on: starts_early_on.to_vec() });
    }

    /// All tasks with a name: `image` is the image of every service, `image/worker` of one, `image/frontend` of the first. Empty if the
    /// graph has none.
    pub fn named(&self, name: TaskId) -> Vec<TaskId> {
        self.ids().into_iter().filter(|it| name.means(*it)).collect()
    }

    /// All tasks, each after its needs.
    pub fn ids(&self) -> Vec<TaskId> {
        self.nodes.iter().map(|it| it.id).collect()
    }

    /// The needs of a task; empty for a task outside this graph.
    pub fn needs(&self, id: TaskId) -> &[TaskId] {
        self.node(id).map_or(&[], |it| &it.needs)
    }

    /// The needs on which the task starts early.
    pub fn starts_early_on(&self, id: TaskId) -> &[TaskId] {
        self.node(id).map_or(&[], |it| &it.starts_early_on)
    }

    /// The targets and all their needs, without duplicates, each after its needs.
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

    /// The tasks with these names and all their needs, without duplicates, each after its needs.
    pub fn reached(&self, names: &[TaskId]) -> Vec<TaskId> {
        let targets: Vec<TaskId> = names.iter().flat_map(|it| self.named(*it)).collect();
        self.closure(&targets)
    }

    /// The needs of each of these tasks, for an event.
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

    fn worker() -> Option<ServiceName> {
        ServiceName::new("worker")
    }

    fn all() -> Vec<Graph> {
        let cache = ServiceName::new("cache").unwrap();
        ClusterType::ALL.iter().flat_map(|it| [graph(*it, &[None], &[]), graph(*it, &[None, worker()], &[cache])]).collect()
    }

    #[test]
    fn everything_needed_comes_before_what_needs_it() {
        for graph in all() {
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
        for graph in all() {
            for id in graph.ids() {
                assert!(graph.starts_early_on(id).iter().all(|it| graph.needs(id).contains(it)), "{}", id.name());
            }
        }
    }

    #[test]
    fn machines_and_people_use_the_same_names() {
        for id in TaskKind::GRAPH.into_iter().chain(OUTSIDE).flat_map(|it| [TaskId::of(it), TaskId::for_service(it, worker())]) {
            assert_eq!(serde_json::json!(id), id.name());
            assert_eq!(serde_json::from_value::<TaskId>(serde_json::json!(id)).unwrap(), id);
        }
        for text in ["imagee", "image/", "image/A", "/worker", "image/a/b"] {
            assert_eq!(TaskId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_task_alone_brings_only_what_it_needs() {
        let graph = graph(ClusterType::Kind, &[None, worker()], &[]);
        assert_eq!(graph.closure(&[TaskId::Requirements]), [TaskId::Patch, TaskId::Requirements]);
        let names: Vec<String> = graph.closure(&[TaskId::for_service(TaskKind::Load, worker())]).into_iter().map(TaskId::name).collect();
        let expected =
            ["engine", "patch/worker", "requirements/worker", "base-image", "image/worker", "node-image", "cluster", "load/worker"];
        assert_eq!(names, expected);
    }

    #[test]
    fn an_image_of_upstreams_needs_no_source_and_is_loaded_like_the_others() {
        let graph = of(&Config::parse("[services.queue]\nkind = \"valkey\"\n[services.cache]\nkind = \"valkey\"\n").unwrap());
        let image = TaskId::for_service(TaskKind::Image, ServiceName::new("cache"));
        let load = TaskId::for_service(TaskKind::Load, ServiceName::new("cache"));
        assert_eq!(graph.needs(image), [TaskId::Engine]);
        assert_eq!(graph.needs(load), [image, TaskId::Cluster]);
        assert!(graph.needs(TaskId::Deploy).contains(&load));
        assert!(graph.named(TaskId::parse("image/queue").unwrap()).is_empty());
    }

    #[test]
    fn a_name_without_a_service_means_the_task_of_all_of_them() {
        let graph = graph(ClusterType::Kind, &[None, worker()], &[]);
        let named = |text: &str| graph.named(TaskId::parse(text).unwrap()).into_iter().map(TaskId::name).collect::<Vec<_>>().join(" ");
        assert_eq!(named("image"), "image image/worker");
        assert_eq!(named("image/worker"), "image/worker");
        assert_eq!(named("image/frontend"), "image");
        assert_eq!(named("image/api"), "");
        assert_eq!(named("cluster"), "cluster");
    }
}
