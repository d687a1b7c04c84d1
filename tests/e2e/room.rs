//! What the pods of an instance ask for on a machine of their own.

use pocdeploy::deploy::room::processors;
use serde_json::Value;

use crate::bench::Bench;

/// What all pods of these namespaces ask for, in processors. A pod that asks for nothing is an error.
fn asked_for(bench: &Bench, namespaces: &[&str]) -> f64 {
    let said = bench.kubectl("get pods -A -o json");
    let pods = serde_json::from_str::<Value>(&said).unwrap()["items"].take();
    let is_of = |it: &&Value| namespaces.iter().any(|name| it["metadata"]["namespace"] == *name) && it["status"]["phase"] == "Running";
    let mut sum = 0.0;
    for pod in pods.as_array().unwrap().iter().filter(is_of) {
        for container in pod["spec"]["containers"].as_array().unwrap() {
            let cpu = container.pointer("/resources/requests/cpu").and_then(Value::as_str).and_then(processors);
            sum += cpu.unwrap_or_else(|| panic!("{} asks for nothing: {container:#}", pod["metadata"]["name"]));
        }
    }
    assert!(sum > 0.0, "no pod in {namespaces:?}");
    sum
}

pub(crate) fn is_left(bench: &Bench) {
    bench.step("application, database and operator ask for a tenth of their processors, and so does a control plane from packages", || {
        let ours = asked_for(bench, &["polls", "cnpg-system"]);
        assert!(ours < 0.061, "{ours}");
        let image = bench.engine().container(&bench.node()).unwrap().unwrap().image;
        let all = match image.starts_with("localhost/pocdeploy/node") {
            true => ours + asked_for(bench, &["kube-system"]),
            false => ours,
        };
        eprintln!("   {all:.3} of a processor");
        assert!(all < 0.2, "{all}");
    });
}
