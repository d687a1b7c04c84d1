//! The operator's release manifest with our image, in a namespace with the Pod Security standard `restricted`.

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    config::Secret,
    deploy::{
        image::PublishedImage,
        manifests,
        objects::{INPUTS, INSTANCE},
        room,
        secrets::{PULL_SECRET, pull_secret},
    },
    errors::{Code, Problem},
    fingerprint::Fingerprint,
};

/// The release manifest's namespace.
pub const NAMESPACE: &str = "cnpg-system";
/// The labels of the operator's pods.
pub const LABELS: &str = "app.kubernetes.io/name=cloudnative-pg";
/// The operator's Deployment.
pub const DEPLOYMENT: &str = "cnpg-controller-manager";

/// The label with the component that an object belongs to.
pub const PART: &str = "dev.pocdeploy/part";
/// The label's value for the operator's objects.
pub const PART_OPERATOR: &str = "operator";

/// The label, and the taint, of a node with a control plane.
pub const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";

/// The values for the objects, besides the manifest.
pub struct Values<'a> {
    pub image: &'a PublishedImage,
    pub instance: &'a str,
    /// `v1.36`: the version of the Pod Security standard is that of Kubernetes.
    pub pod_security_version: &'a str,
    /// Whether the cluster is disposable: no leader election, and CRDs without descriptions.
    pub throw_away: bool,
    /// Taints that a new node has until its last step, and that the operator tolerates.
    pub early_taints: &'a [&'a str],
    /// Whether the operator runs on a node of the control plane.
    pub on_control_plane: bool,
    /// The credentials to pull the operator's image from a private registry.
    pub pull_credentials: Option<&'a Secret>,
    /// The port of the API server on the operator's own node. On a new cluster the operator starts together with kube-proxy; until
    /// kube-proxy has set up the Service's address, the operator would exit, and be restarted after ten seconds.
    pub api_port_of_node: Option<u16>,
}

/// The objects of the release, and further CRDs, in the order of application: namespace and CRDs first.
pub fn objects(manifest: &str, definitions: Vec<Value>, values: &Values<'_>) -> Result<Vec<Value>> {
    let mut out = manifests::parse(manifest)?;
    let further = (!definitions.is_empty()).then(|| json!(definitions).to_string());
    out.extend(definitions);
    out.extend(closed(values.api_port_of_node));
    let Values { image, instance, pod_security_version, throw_away, early_taints, on_control_plane, pull_credentials, api_port_of_node } =
        *values;
    let mut key = Fingerprint::new();
    key.add("manifest", manifest);
    key.add("image", image.as_str());
    key.add("adapted", ADAPTED);
    if let Some(further) = further {
        key.add("further CRDs", further);
    }
    key.add("throw-away", format!("{throw_away} {early_taints:?}"));
    key.add("API server of the node", format!("{api_port_of_node:?}"));
    if on_control_plane {
        key.add("on the control plane", "true");
    }
    let mut deployments = 0;
    for object in &mut out {
        object["metadata"]["labels"][INSTANCE] = json!(instance);
        object["metadata"]["labels"][PART] = json!(PART_OPERATOR);
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
                adapt(object, values);
                if throw_away {
                    room::divide(object);
                }
            }
            // Then its webhooks are called as soon as they listen, not seconds later, when the readiness probe has succeeded.
            Some("Service") if throw_away => object["spec"]["publishNotReadyAddresses"] = json!(true),
            // Removes 80 % of a CRD, which the API server need not parse at start.
            Some("CustomResourceDefinition") if throw_away => {
                for version in object.pointer_mut("/spec/versions").and_then(Value::as_array_mut).into_iter().flatten() {
                    if let Some(schema) = version.pointer_mut("/schema/openAPIV3Schema") {
                        without_descriptions(schema);
                    }
                }
            }
            _ => {}
        }
    }
    if deployments != 1 {
        return Err(Problem::new(format!("the operator's manifest has {deployments} Deployments where one is expected"))
            .code(Code::Recipe)
            .into());
    }
    out.extend(pull_secret(NAMESPACE, instance, pull_credentials)?);
    out.sort_by_key(|it| match it["kind"].as_str() {
        Some("Namespace") => 0,
        Some("CustomResourceDefinition") => 1,
        _ => 2,
    });
    Ok(out)
}

/// Increase this when `objects` makes other objects from the same manifest.
const ADAPTED: &str = "7";

/// Removes descriptions in a schema, recursively. The keys of `properties` are names, and may be `description`.
fn without_descriptions(schema: &mut Value) {
    let Some(fields) = schema.as_object_mut() else { return };
    fields.remove("description");
    for (name, field) in fields {
        match (name.as_str(), field) {
            ("properties" | "patternProperties", Value::Object(properties)) => properties.values_mut().for_each(without_descriptions),
            ("items" | "additionalProperties" | "not", field) => without_descriptions(field),
            ("allOf" | "anyOf" | "oneOf", Value::Array(schemas)) => schemas.iter_mut().for_each(without_descriptions),
            _ => {}
        }
    }
}

/// What the release lacks: an account without a token for pods that name none, and a NetworkPolicy for the operator's pods. Other pods of
/// the namespace, such as those of plugins, are not restricted, and the operator may talk to them. Where the API server's own port is not known,
/// the operator may use every port: a policy sees the port behind the Service, and clusters choose it.
fn closed(api_port_of_node: Option<u16>) -> [Value; 2] {
    let account = json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": { "name": "default", "namespace": NAMESPACE },
        "automountServiceAccountToken": false,
    });
    let ports = |protocol: &str, all: &[u16]| all.iter().map(|it| json!({ "port": it, "protocol": protocol })).collect::<Vec<_>>();
    let api = api_port_of_node.map_or_else(|| vec![json!({ "protocol": "TCP" })], |port| ports("TCP", &[443, port]));
    let dns = [ports("UDP", &[53]), ports("TCP", &[53])].concat();
    let instances =
        json!([{ "namespaceSelector": {}, "podSelector": { "matchExpressions": [{ "key": "cnpg.io/cluster", "operator": "Exists" }] } }]);
    let policy = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": { "name": DEPLOYMENT, "namespace": NAMESPACE },
        "spec": {
            "podSelector": { "matchLabels": { "app.kubernetes.io/name": "cloudnative-pg" } },
            "policyTypes": ["Ingress", "Egress"],
            // The API server calls the webhooks. It is no pod, so no rule can name it.
            "ingress": [{ "ports": ports("TCP", &[9443]) }],
            "egress": [
                { "ports": dns },
                // The API server, at any address, behind its Service too.
                { "ports": api },
                { "to": instances, "ports": ports("TCP", &[5432, 8000]) },
                { "to": [{ "podSelector": {} }] },
            ],
        },
    });
    [account, policy]
}

fn adapt(deployment: &mut Value, values: &Values<'_>) {
    let image = values.image.as_str();
    if values.pull_credentials.is_some() {
        deployment["spec"]["template"]["spec"]["imagePullSecrets"] = json!([{ "name": PULL_SECRET }]);
    }
    if values.throw_away {
        let tolerate = |key: &&str| json!({ "key": key, "operator": "Exists", "effect": "NoSchedule" });
        deployment["spec"]["template"]["spec"]["tolerations"] = values.early_taints.iter().map(tolerate).collect();
    }
    if values.on_control_plane {
        let spec = &mut deployment["spec"]["template"]["spec"];
        let tolerated = json!({ "key": CONTROL_PLANE, "operator": "Exists", "effect": "NoSchedule" });
        match spec.get_mut("tolerations").and_then(Value::as_array_mut) {
            Some(list) if list.contains(&tolerated) => {}
            Some(list) => list.push(tolerated),
            None => spec["tolerations"] = json!([tolerated]),
        }
        spec["nodeSelector"][CONTROL_PLANE] = json!("");
    }
    for container in deployment.pointer_mut("/spec/template/spec/containers").and_then(Value::as_array_mut).into_iter().flatten() {
        container["image"] = json!(image);
        container["imagePullPolicy"] = json!("IfNotPresent");
        // The release allows 0.1 CPU, which makes the operator's start several times longer.
        container["resources"]["limits"]["cpu"] = json!("2");
        container["resources"]["requests"]["ephemeral-storage"] = json!("32Mi");
        container["resources"]["limits"]["ephemeral-storage"] = json!("512Mi");
        // Nothing can be applied before the operator's webhook is an endpoint of its Service. The release has a startup probe every five
        // seconds and a readiness probe every ten seconds.
        for (probe, failures) in [("startupProbe", 60), ("readinessProbe", 3)] {
            if container.get(probe).is_some() {
                container[probe]["periodSeconds"] = json!(1);
                container[probe]["failureThreshold"] = json!(failures);
            }
        }
        if values.throw_away
            && let Some(arguments) = container.get_mut("args").and_then(Value::as_array_mut)
        {
            arguments.retain(|it| it != "--leader-elect");
        }
        for variable in container.get_mut("env").and_then(Value::as_array_mut).into_iter().flatten() {
            // The operator copies its own image's instance manager into each instance's pod.
            if variable["name"] == "OPERATOR_IMAGE_NAME" {
                variable["value"] = json!(image);
            }
        }
        if let Some(port) = values.api_port_of_node
            && let Some(variables) = container.get_mut("env").and_then(Value::as_array_mut)
        {
            variables.push(json!({ "name": "KUBERNETES_SERVICE_HOST", "valueFrom": { "fieldRef": { "fieldPath": "status.hostIP" } } }));
            variables.push(json!({ "name": "KUBERNETES_SERVICE_PORT", "value": port.to_string() }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: d\nspec:\n  template:\n    spec:\n      containers:\n      - name: manager\n        image: old\n        imagePullPolicy: Always\n        args: [controller, --leader-elect]\n        readinessProbe: {}\n        resources:\n          limits:\n            cpu: 100m\n            memory: 200Mi\n        env:\n        - name: OPERATOR_IMAGE_NAME\n          value: old\n        - name: OTHER\n          value: x\n---\napiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata:\n  name: c\n---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: cnpg-system\n";

    fn of(manifest: &str, throw_away: bool) -> Result<Vec<Value>> {
        let image = PublishedImage::new("ours:1");
        let values = Values {
            image: &image,
            pull_credentials: None,
            early_taints: &["taint"],
            on_control_plane: false,
            instance: "i",
            pod_security_version: "v1.36",
            throw_away,
            api_port_of_node: throw_away.then_some(6443),
        };
        objects(manifest, Vec::new(), &values)
    }

    #[test]
    fn a_description_goes_and_a_property_of_that_name_stays() {
        let mut schema = json!({
            "description": "words",
            "properties": { "description": { "type": "string", "description": "words" }, "list": { "items": { "description": "words" } } },
            "enum": ["description"],
        });
        without_descriptions(&mut schema);
        let expected = json!({ "properties": { "description": { "type": "string" }, "list": { "items": {} } }, "enum": ["description"] });
        assert_eq!(schema, expected);
    }

    #[test]
    fn beside_workers_the_operator_is_on_the_control_planes_node() {
        let spec = |early_taints: &[&str], throw_away| {
            let image = PublishedImage::new("ours:1");
            let values = Values {
                image: &image,
                pull_credentials: None,
                early_taints,
                on_control_plane: true,
                instance: "i",
                pod_security_version: "v1.36",
                throw_away,
                api_port_of_node: None,
            };
            objects(MANIFEST, Vec::new(), &values).unwrap()[2]["spec"]["template"]["spec"].clone()
        };
        for (early, throw_away) in [(&["a", CONTROL_PLANE] as &[&str], true), (&["a"], true), (&[], false)] {
            let found = spec(early, throw_away);
            assert_eq!(found["nodeSelector"], json!({ CONTROL_PLANE: "" }));
            let tolerated = found["tolerations"].as_array().unwrap();
            assert_eq!(tolerated.iter().filter(|it| it["key"] == CONTROL_PLANE).count(), 1, "{tolerated:?}");
        }
    }

    #[test]
    fn only_a_cluster_that_is_thrown_away_does_without_elections() {
        let arguments = |throw_away| of(MANIFEST, throw_away).unwrap()[2]["spec"]["template"]["spec"]["containers"][0]["args"].clone();
        assert_eq!(arguments(false), json!(["controller", "--leader-elect"]));
        assert_eq!(arguments(true), json!(["controller"]));
    }

    #[test]
    fn the_operator_finds_the_api_server_past_its_service_where_that_is_wanted() {
        let variables = |throw_away| {
            let out = of(MANIFEST, throw_away).unwrap();
            let list = out[2]["spec"]["template"]["spec"]["containers"][0]["env"].as_array().cloned().unwrap();
            list.into_iter().filter(|it| it["name"].as_str().is_some_and(|it| it.starts_with("KUBERNETES_"))).collect::<Vec<_>>()
        };
        assert_eq!(variables(false), Vec::<Value>::new());
        assert_eq!(variables(true)[0]["valueFrom"]["fieldRef"]["fieldPath"], "status.hostIP");
        assert_eq!(variables(true)[1]["value"], "6443");
    }

    #[test]
    fn our_image_stands_wherever_the_operator_reads_it() {
        let out = of(MANIFEST, false).unwrap();
        let kinds: Vec<&str> = out.iter().filter_map(|it| it["kind"].as_str()).collect();
        assert_eq!(kinds, ["Namespace", "CustomResourceDefinition", "Deployment", "ServiceAccount", "NetworkPolicy"]);
        assert_eq!(out[3]["automountServiceAccountToken"], json!(false));
        // The port of an API server that others run is not known.
        assert_eq!(out[4]["spec"]["egress"][1]["ports"], json!([{ "protocol": "TCP" }]));
        let labels = &out[4]["spec"]["podSelector"]["matchLabels"];
        assert_eq!(labels["app.kubernetes.io/name"], LABELS.rsplit('=').next().unwrap(), "{labels}");
        assert_eq!(out[0]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
        let container = &out[2]["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["image"], "ours:1");
        assert_eq!(container["imagePullPolicy"], "IfNotPresent");
        assert_eq!(container["resources"]["limits"], json!({ "cpu": "2", "memory": "200Mi", "ephemeral-storage": "512Mi" }));
        assert_eq!(container["readinessProbe"], json!({ "periodSeconds": 1, "failureThreshold": 3 }));
        assert_eq!(container["env"][0]["value"], "ours:1");
        assert_eq!(container["env"][1]["value"], "x");
    }

    #[test]
    fn a_manifest_without_its_deployment_is_refused() {
        assert!(of("kind: Namespace\nmetadata:\n  name: x\n", false).is_err());
    }
}
