//! The effects of controllers: statuses, pods, and a database's Secret; all at once.

use serde_json::{Value, json};

use super::{Key, State, key_of};

impl State {
    /// Lets the kind's controller process an object, unless it is stalled.
    pub(super) fn settle(&mut self, key: &Key) {
        let Some(object) = self.objects.get(key).cloned() else { return };
        let kind = object["kind"].as_str().unwrap_or_default().to_owned();
        if self.stalled.contains(&kind) {
            return;
        }
        let status = match kind.as_str() {
            "Deployment" => self.deployment(&object),
            "Job" => json!({ "succeeded": 1, "conditions": [{ "type": "Complete", "status": "True" }] }),
            "Namespace" => json!({ "phase": "Active" }),
            "PersistentVolumeClaim" => json!({ "phase": "Bound" }),
            "CustomResourceDefinition" => {
                json!({ "conditions": [{ "type": "NamesAccepted", "status": "True" }, { "type": "Established", "status": "True" }] })
            }
            "Cluster" => self.database(&object),
            _ => return,
        };
        if let Some(object) = self.objects.get_mut(key) {
            object["status"] = status;
        }
    }

    fn deployment(&mut self, object: &Value) -> Value {
        let replicas = object["spec"]["replicas"].as_i64().unwrap_or(1);
        let template = &object["spec"]["template"];
        self.pods(object, replicas, &template["metadata"]["labels"], &template["spec"]["containers"]);
        json!({
            "observedGeneration": object["metadata"]["generation"],
            "replicas": replicas, "updatedReplicas": replicas, "readyReplicas": replicas, "availableReplicas": replicas,
            "conditions": [{ "type": "Available", "status": "True" }],
        })
    }

    fn database(&mut self, object: &Value) -> Value {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
        let instances = object["spec"]["instances"].as_i64().unwrap_or(1);
        let containers = json!([{ "name": "postgres", "image": object["spec"]["imageName"] }]);
        self.pods(object, instances, &json!({ "cnpg.io/cluster": name, "cnpg.io/podRole": "instance" }), &containers);
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": format!("{name}-app"), "namespace": namespace },
            "data": { "username": "cG9sbHM=", "password": "Y2FuYXJ5LTQ3MTE=", "dbname": "cG9sbHM=" },
        });
        let key = key_of(&secret);
        if !self.objects.contains_key(&key) {
            self.store(&key, secret);
        }
        json!({
            "phase": "Cluster in healthy state", "instances": instances, "readyInstances": instances,
            "currentPrimary": format!("{name}-1"), "targetPrimary": format!("{name}-1"), "conditions": [{ "type": "Ready", "status": "True" }],
        })
    }

    /// Healthy pods `<owner>-1` and so on.
    fn pods(&mut self, owner: &Value, count: i64, labels: &Value, containers: &Value) {
        let name = owner["metadata"]["name"].as_str().unwrap_or_default();
        let namespace = owner["metadata"]["namespace"].as_str().unwrap_or_default();
        self.objects.retain(|key, it| key.plural != "pods" || it["metadata"]["ownerReferences"][0]["name"] != name);
        let ready = |it: &Value| {
            json!({
                "name": it["name"], "image": it["image"], "imageID": it["image"], "ready": true, "restartCount": 0,
                "state": { "running": { "startedAt": "2026-01-01T00:00:00Z" } },
            })
        };
        let statuses: Vec<Value> = containers.as_array().into_iter().flatten().map(ready).collect();
        for number in 1..=count {
            let owner =
                json!([{ "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": name, "uid": owner["metadata"]["uid"] }]);
            let pod = json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {
                    "name": format!("{name}-{number}"), "namespace": namespace, "labels": labels, "ownerReferences": owner,
                },
                "spec": { "containers": containers },
                "status": { "phase": "Running", "containerStatuses": statuses, "conditions": [{ "type": "Ready", "status": "True" }] },
            });
            let key = key_of(&pod);
            self.store(&key, pod);
        }
    }
}
