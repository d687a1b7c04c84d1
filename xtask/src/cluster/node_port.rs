//! Node ports that go from one Service to another: the API server refuses a port that another Service has.

use anyhow::Result;
use serde_json::Value;

use crate::{
    cluster::{Cluster, FIELD_MANAGER, ObjectId},
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
}

fn node_ports(service: &Value) -> Vec<u64> {
    let ports = service.pointer("/spec/ports").and_then(Value::as_array);
    ports.into_iter().flatten().filter_map(|it| it["nodePort"].as_u64()).collect()
}

fn is_ours(live: &Value) -> bool {
    let managers = live.pointer("/metadata/managedFields").and_then(Value::as_array);
    managers.into_iter().flatten().any(|it| it["manager"] == FIELD_MANAGER)
}
