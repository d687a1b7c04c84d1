//! Node ports that go from one Service to another: the API server refuses a port that another Service has.

use anyhow::Result;
use serde_json::Value;

use crate::{
    cluster::{Cluster, FIELD_MANAGER, ObjectId},
    errors::{Code, Problem},
    exposure::LENT_PORT,
};

impl Cluster {
    /// Takes the node ports that the Services among `objects` want from other Services that this tool applied. If `objects` holds such a Service
    /// too, its new form is applied first; otherwise it is deleted if its annotation says that its port is lent. All other Services keep
    /// theirs, and the API server refuses the port.
    pub(super) fn free_node_ports(&self, objects: &[Value]) -> Result<()> {
        let is_service = |it: &&Value| it["apiVersion"] == "v1" && it["kind"] == "Service";
        for wanting in objects.iter().filter(is_service) {
            let wanted = node_ports(wanting);
            if wanted.is_empty() {
                continue;
            }
            let id = ObjectId::of(wanting)?;
            for live in self.list("v1", "Service", &id.namespace, "")? {
                let other = ObjectId::of(&live)?;
                if other == id || !is_ours(&live) || !node_ports(&live).iter().any(|it| wanted.contains(it)) {
                    continue;
                }
                match objects.iter().filter(is_service).find(|it| ObjectId::of(it).is_ok_and(|it| it == other)) {
                    Some(desired) => self.apply(desired)?,
                    None if live["metadata"]["annotations"][LENT_PORT] == "true" => self.delete(&other)?,
                    None => {}
                }
            }
        }
        Ok(())
    }

    /// The refusal of a node port with the Services that have it.
    pub(super) fn with_holders_of_port(&self, service: &Value, refused: Problem) -> Problem {
        let wanted = node_ports(service);
        let Ok(all) = self.list("v1", "Service", "", "") else { return refused };
        let has = |it: &&Value| node_ports(it).iter().any(|it| wanted.contains(it));
        let holders: Vec<String> = all.iter().filter(has).filter_map(|it| ObjectId::of(it).ok()).map(|it| it.to_string()).collect();
        if !holders.is_empty() {
            return Problem::new(format!("{refused}: {} has it", holders.join(", "))).code(Code::Api);
        }
        let hint = "the API server frees such a port by itself, within about a quarter of an hour: then run the same command again\n\
                    a kind cluster is ready sooner with `delete` and `create`";
        Problem::new(format!("{refused}: no Service has it, so an interrupted request has taken it")).code(Code::Api).hint(hint)
    }
}

/// What the API server says of a node port that is taken.
pub(super) const PORT_TAKEN: &str = "provided port is already allocated";

fn node_ports(service: &Value) -> Vec<u64> {
    let ports = service.pointer("/spec/ports").and_then(Value::as_array);
    ports.into_iter().flatten().filter_map(|it| it["nodePort"].as_u64()).collect()
}

fn is_ours(live: &Value) -> bool {
    let managers = live.pointer("/metadata/managedFields").and_then(Value::as_array);
    managers.into_iter().flatten().any(|it| it["manager"] == FIELD_MANAGER)
}
