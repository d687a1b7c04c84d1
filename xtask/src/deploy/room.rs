//! Requests for processors on a cluster that is one machine.
//!
//! A request reserves time that no other pod may ask for, used or not. The control plane of a node of kind asks for 0.85 of a processor
//! (kubeadm's 250m, 200m, 100m and 100m, CoreDNS and kindnet with 100m each), so that with the requests of a cluster for many users a machine
//! with two processors has room for about five further pods, and one with a single processor for no database.

use serde_json::{Value, json};

use crate::deploy::scope;

/// What a container asks for is divided by this. All of an instance's containers keep their shares of each other.
const DIVISOR: f64 = 10.0;

/// Where the kinds with pods hold their pods' template.
const TEMPLATES: [(&str, &str); 7] = [
    ("Pod", "/spec"),
    ("Deployment", "/spec/template/spec"),
    ("StatefulSet", "/spec/template/spec"),
    ("DaemonSet", "/spec/template/spec"),
    ("ReplicaSet", "/spec/template/spec"),
    ("Job", "/spec/template/spec"),
    ("CronJob", "/spec/jobTemplate/spec/template/spec"),
];

/// Whether something of the cluster depends on the requests as they are written: a LimitRange may refuse smaller ones, and an autoscaler
/// measures by them.
pub fn must_stay(object: &Value) -> bool {
    ["LimitRange", "HorizontalPodAutoscaler", "VerticalPodAutoscaler", "ScaledObject"].iter().any(|it| object["kind"] == *it)
}

/// Divides the requests for processors of an object's containers, or of a database's instances, by ten; none becomes less than `1m`. A limit
/// stays. Without a request Kubernetes takes the limit for it, so that a tenth of the limit is asked for.
pub fn divide(object: &mut Value) {
    if object["kind"] == "Cluster" && scope::group(object) == "postgresql.cnpg.io" {
        return divide_resources(&mut object["spec"]);
    }
    let Some((_, pointer)) = TEMPLATES.iter().find(|(kind, _)| object["kind"] == *kind) else { return };
    let Some(pod) = object.pointer_mut(pointer) else { return };
    for list in ["initContainers", "containers"] {
        pod.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten().for_each(divide_resources);
    }
}

fn divide_resources(holder: &mut Value) {
    let cpu = |list: &str| holder.pointer(&format!("/resources/{list}/cpu")).and_then(number);
    let Some(asked) = cpu("requests").or_else(|| cpu("limits")) else { return };
    let thousandths = (asked * 1000.0 / DIVISOR).ceil().max(1.0);
    if holder["resources"]["requests"].is_null() {
        holder["resources"]["requests"] = json!({});
    }
    if let Some(requests) = holder["resources"]["requests"].as_object_mut() {
        requests.insert("cpu".to_owned(), json!(format!("{thousandths}m")));
    }
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| processors(value.as_str()?)).filter(|it| it.is_finite() && *it > 0.0)
}

/// Processors of Kubernetes as a number; `None` if the text is no such quantity.
pub fn processors(text: &str) -> Option<f64> {
    match text.strip_suffix('m') {
        Some(thousandths) => thousandths.parse::<f64>().ok().map(|it| it / 1000.0),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(resources: Value) -> Value {
        let mut object =
            json!({ "kind": "Deployment", "spec": { "template": { "spec": { "containers": [{ "resources": resources }] } } } });
        divide(&mut object);
        object.pointer("/spec/template/spec/containers/0/resources").cloned().unwrap()
    }

    #[test]
    fn a_tenth_is_asked_for_and_a_limit_stays() {
        let of = |requests: Value| request(json!({ "requests": { "cpu": requests, "memory": "1Gi" } }))["requests"].clone();
        for (written, asked) in [("100m", "10m"), ("2", "200m"), ("0.25", "25m"), ("15m", "2m"), ("1m", "1m")] {
            assert_eq!(of(json!(written)), json!({ "cpu": asked, "memory": "1Gi" }), "{written}");
        }
        assert_eq!(of(json!(1))["cpu"], "100m");
        assert_eq!(of(json!(0.5))["cpu"], "50m");
        // What is no quantity of this kind is the API server's to judge.
        assert_eq!(of(json!("x"))["cpu"], "x");
        assert_eq!(of(json!("0"))["cpu"], "0");
        assert_eq!(request(json!({ "limits": { "cpu": "2" } })), json!({ "limits": { "cpu": "2" }, "requests": { "cpu": "200m" } }));
        assert_eq!(request(json!({ "limits": { "memory": "1Gi" } })), json!({ "limits": { "memory": "1Gi" } }));
        assert_eq!(request(json!(null)), json!(null));
    }

    #[test]
    fn every_kind_with_pods_asks_for_less() {
        let asks = json!({ "resources": { "requests": { "cpu": "100m" } } });
        for (kind, pointer) in TEMPLATES {
            let mut spec = json!({ "initContainers": [asks], "containers": [asks, asks] });
            for key in pointer.rsplit('/').filter(|it| !it.is_empty()) {
                spec = json!({ key: spec });
            }
            spec["kind"] = json!(kind);
            divide(&mut spec);
            let text = spec.to_string();
            assert_eq!((text.matches("\"10m\"").count(), text.matches("\"100m\"").count()), (3, 0), "{text}");
        }
        let mut cluster = json!({ "apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster", "spec": asks });
        divide(&mut cluster);
        assert_eq!(cluster["spec"]["resources"]["requests"]["cpu"], "10m");
        let mut other = json!({ "apiVersion": "example.org/v1", "kind": "Cluster", "spec": asks });
        divide(&mut other);
        assert_eq!(other["spec"], asks);
    }

    #[test]
    fn processors_are_those_of_kubernetes() {
        assert_eq!(["2", "500m", "0.5", "x"].map(processors), [Some(2.0), Some(0.5), Some(0.5), None]);
    }
}
