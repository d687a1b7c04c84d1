//! Node ports that go from one Service to another: the API server refuses a port that another Service has.

use anyhow::Result;
use serde_json::Value;

use crate::cluster::{Cluster, FIELD_MANAGER, ObjectId};

impl Cluster {
    /// Takes the node ports that the Services among `objects` want from other Services that this tool applied: such a Service is applied as it
    /// is among `objects`, or deleted if it is not among them. Services of others keep theirs.
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
                    None => self.delete(&other)?,
                }
            }
        }
        Ok(())
    }
}

fn node_ports(service: &Value) -> Vec<u64> {
    let ports = service.pointer("/spec/ports").and_then(Value::as_array);
    ports.into_iter().flatten().filter_map(|it| it["nodePort"].as_u64()).collect()
}

fn is_ours(live: &Value) -> bool {
    let managers = live.pointer("/metadata/managedFields").and_then(Value::as_array);
    managers.into_iter().flatten().any(|it| it["manager"] == FIELD_MANAGER)
}
