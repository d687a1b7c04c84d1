//! The operator's release manifest with our image, and a namespace that enforces the `restricted` standard.

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    deploy::{
        manifests,
        objects::{INPUTS, INSTANCE},
    },
    errors::{Code, Problem},
    fingerprint::Fingerprint,
};

/// The namespace that the release manifest uses.
pub const NAMESPACE: &str = "cnpg-system";
/// Its Deployment there.
pub const DEPLOYMENT: &str = "cnpg-controller-manager";

/// The objects of the release, in the order in which they can be applied: namespace and definitions first.
pub fn objects(manifest: &str, image: &str, instance: &str, pod_security_version: &str) -> Result<Vec<Value>> {
    let mut out = manifests::parse(manifest)?;
    let mut key = Fingerprint::new();
    key.add("manifest", manifest);
    key.add("image", image);
    let mut deployments = 0;
    for object in &mut out {
        object["metadata"]["labels"][INSTANCE] = json!(instance);
        object["metadata"]["annotations"][INPUTS] = json!(key.short());
        match object["kind"].as_str() {
            Some("Namespace") => {
                for mode in ["enforce", "warn", "audit"] {
                    object["metadata"]["labels"][format!("pod-security.kubernetes.io/{mode}")] = json!("restricted");
                    object["metadata"]["labels"][format!("pod-security.kubernetes.io/{mode}-version")] = json!(pod_security_version);
                }
            }
            Some("Deployment") => {
                deployments += 1;
                adapt(object, image);
            }
            _ => {}
        }
    }
    if deployments != 1 {
        return Err(Problem::new(format!("the operator's manifest has {deployments} Deployments where one is expected"))
            .code(Code::Recipe)
            .into());
    }
    out.sort_by_key(|it| match it["kind"].as_str() {
        Some("Namespace") => 0,
        Some("CustomResourceDefinition") => 1,
        _ => 2,
    });
    Ok(out)
}

fn adapt(deployment: &mut Value, image: &str) {
    for container in deployment.pointer_mut("/spec/template/spec/containers").and_then(Value::as_array_mut).into_iter().flatten() {
        container["image"] = json!(image);
        container["imagePullPolicy"] = json!("IfNotPresent");
        // The release allows a tenth of a core, which makes the operator's start several times as long.
        if let Some(limits) = container.pointer_mut("/resources/limits").and_then(Value::as_object_mut) {
            limits.remove("cpu");
        }
        for variable in container.get_mut("env").and_then(Value::as_array_mut).into_iter().flatten() {
            // The operator puts its own image into each instance's pod to bring the instance manager there.
            if variable["name"] == "OPERATOR_IMAGE_NAME" {
                variable["value"] = json!(image);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "kind: Deployment\nmetadata:\n  name: d\nspec:\n  template:\n    spec:\n      containers:\n      - name: manager\n        image: old\n        imagePullPolicy: Always\n        resources:\n          limits:\n            cpu: 100m\n            memory: 200Mi\n        env:\n        - name: OPERATOR_IMAGE_NAME\n          value: old\n        - name: OTHER\n          value: x\n---\nkind: CustomResourceDefinition\nmetadata:\n  name: c\n---\nkind: Namespace\nmetadata:\n  name: cnpg-system\n";

    #[test]
    fn our_image_stands_wherever_the_operator_reads_it() {
        let out = objects(MANIFEST, "ours:1", "i", "v1.36").unwrap();
        let kinds: Vec<&str> = out.iter().filter_map(|it| it["kind"].as_str()).collect();
        assert_eq!(kinds, ["Namespace", "CustomResourceDefinition", "Deployment"]);
        assert_eq!(out[0]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
        let container = &out[2]["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["image"], "ours:1");
        assert_eq!(container["imagePullPolicy"], "IfNotPresent");
        assert_eq!(container["resources"]["limits"], json!({ "memory": "200Mi" }));
        assert_eq!(container["env"][0]["value"], "ours:1");
        assert_eq!(container["env"][1]["value"], "x");
    }

    #[test]
    fn a_manifest_without_its_deployment_is_refused() {
        assert!(objects("kind: Namespace\nmetadata:\n  name: x\n", "i", "i", "v1").is_err());
    }
}
