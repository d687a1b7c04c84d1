//! Requests for processors on a cluster that is one machine.
//!
//! A request reserves time that no other pod may ask for, used or not. kubeadm's control plane asks for 0.75 of a processor (250m, 200m, 100m,
//! 100m, and 100m for CoreDNS), kind's own image for 0.95 (a second CoreDNS, and kindnet). So with the requests of a cluster for many users a
//! machine with two processors has room for six to eight further pods beside operator and database, and one with a single processor for none.

use serde_json::{Value, json};

use crate::deploy::scope;

/// What a container asks for is divided by this. All of an instance's containers keep their shares of each other.
const DIVISOR: f64 = 10.0;

/// Where the kinds with pods hold their pods' template. A Job and a Pod, whose requests cannot be changed, stay as they are written: one that has
/// run must not run again for another request.
const TEMPLATES: [(&str, &str); 5] = [
    ("Deployment", "/spec/template/spec"),
    ("StatefulSet", "/spec/template/spec"),
    ("DaemonSet", "/spec/template/spec"),
    ("ReplicaSet", "/spec/template/spec"),
    ("CronJob", "/spec/jobTemplate/spec/template/spec"),
];

/// What depends on the requests as they are written.
#[derive(Debug, Default)]
pub struct Bound {
    /// On a cluster like any other; with a LimitRange, which may refuse smaller ones of any pod.
    all: bool,
    /// Kind and name of what an autoscaler measures by them.
    scaled: Vec<(String, String)>,
}

impl Bound {
    /// Of a cluster that is not disposable.
    pub fn everything() -> Bound {
        Bound { all: true, ..Bound::default() }
    }

    pub fn of<'a>(objects: impl Iterator<Item = &'a Value>) -> Bound {
        let mut out = Bound::default();
        for object in objects {
            let target = match object["kind"].as_str() {
                Some("LimitRange") => {
                    out.all = true;
                    continue;
                }
                Some("HorizontalPodAutoscaler" | "ScaledObject") => &object["spec"]["scaleTargetRef"],
                Some("VerticalPodAutoscaler") => &object["spec"]["targetRef"],
                _ => continue,
            };
            // KEDA scales a Deployment where no kind is named.
            let kind = target["kind"].as_str().unwrap_or("Deployment");
            out.scaled.push((kind.to_owned(), target["name"].as_str().unwrap_or_default().to_owned()));
        }
        out
    }

    /// Divides what does not depend on it.
    pub fn divide(&self, object: &mut Value) {
        let is_scaled =
            self.scaled.iter().any(|(kind, name)| object["kind"] == kind.as_str() && object["metadata"]["name"] == name.as_str());
        if !self.all && !is_scaled {
            divide(object);
        }
    }
}

/// Divides the requests for processors of an object's containers, or of a database's instances, by ten; none becomes less than `1m`. A limit
/// stays. Without a request Kubernetes takes the limit for it, so that a tenth of the limit is asked for. A pod whose requests were its limits is
/// no longer of the class `Guaranteed`.
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
    let cpu = |list: &str| holder.pointer(&format!("/resources/{list}/cpu"));
    // What is no quantity of this form is the API server's to judge.
    let Some(asked) = cpu("requests").or_else(|| cpu("limits")).and_then(number) else { return };
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
        for written in ["x", "0", "100000u"] {
            let limited = json!({ "requests": { "cpu": written }, "limits": { "cpu": "2" } });
            assert_eq!(request(limited.clone()), limited);
        }
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
    fn what_an_autoscaler_measures_and_a_limit_range_bounds_stays() {
        let deployment = |name: &str| {
            let container = json!({ "resources": { "requests": { "cpu": "100m" } } });
            json!({ "kind": "Deployment", "metadata": { "name": name }, "spec": { "template": { "spec": { "containers": [container] } } } })
        };
        let divided = |others: &[Value]| {
            let bound = Bound::of(others.iter());
            ["web", "worker"].map(|name| {
                let mut it = deployment(name);
                bound.divide(&mut it);
                it != deployment(name)
            })
        };
        let target = json!({ "kind": "Deployment", "name": "web" });
        assert_eq!(divided(&[]), [true, true]);
        assert_eq!(divided(&[json!({ "kind": "HorizontalPodAutoscaler", "spec": { "scaleTargetRef": target } })]), [false, true]);
        assert_eq!(divided(&[json!({ "kind": "VerticalPodAutoscaler", "spec": { "targetRef": target } })]), [false, true]);
        assert_eq!(divided(&[json!({ "kind": "ScaledObject", "spec": { "scaleTargetRef": { "name": "web" } } })]), [false, true]);
        assert_eq!(divided(&[json!({ "kind": "LimitRange" })]), [false, false]);
    }

    #[test]
    fn a_job_and_a_pod_stay_as_they_are_written() {
        let container = json!({ "resources": { "requests": { "cpu": "100m" } } });
        for object in [
            json!({ "kind": "Job", "spec": { "template": { "spec": { "containers": [container] } } } }),
            json!({ "kind": "Pod", "spec": { "containers": [container] } }),
        ] {
            let mut now = object.clone();
            divide(&mut now);
            assert_eq!(now, object);
        }
    }

    #[test]
    fn processors_are_those_of_kubernetes() {
        assert_eq!(["2", "500m", "0.5", "x"].map(processors), [Some(2.0), Some(0.5), Some(0.5), None]);
    }
}
