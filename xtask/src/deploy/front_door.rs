//! Ingresses and HTTPRoutes for a controller that the cluster has: its class, certificates, and what a cloud's own controller reads.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    config::{Api, ClusterType, Config, Tls},
    deploy::{
        objects::{self, INSTANCE},
        plain::controller::GATEWAY,
    },
    exposure::ASKED,
};

/// The value of `spec.controller` for EKS Auto Mode (docs.aws.amazon.com/eks/latest/userguide/auto-configure-alb.html).
const ALB: &str = "eks.amazonaws.com/alb";
/// Where a Gateway finds its certificate.
const CERTIFICATE: &str = "ingress-tls";
/// The annotation that was before `spec.ingressClassName`.
const CLASS: &str = "kubernetes.io/ingress.class";

/// Gives an Ingress to the cluster's controller. `probe` is the path of the readinessProbe of the pods behind it, if it asks by HTTP.
pub fn take(ingress: &mut Value, config: &Config, probe: Option<&str>) {
    let hosts = config.asked_hosts();
    let rules = ingress["spec"]["rules"].as_array().cloned().unwrap_or_default();
    if rules.iter().any(|it| it["host"].as_str().is_some_and(|it| hosts.contains(it))) {
        annotate(ingress, ASKED, "true");
    }
    let own = config.class_of_others();
    let is_google = config.cluster.kind == ClusterType::Gke && config.ingress.class.is_none();
    if let Some(class) = own {
        // GKE's controller reads the annotation alone (cloud.google.com/kubernetes-engine/docs/concepts/ingress), others the field.
        let (set, left) = if is_google { (CLASS, "ingressClassName") } else { ("ingressClassName", CLASS) };
        if is_google {
            remove(&mut ingress["spec"], left);
            annotate(ingress, set, class);
        } else {
            remove(&mut ingress["metadata"]["annotations"], left);
            ingress["spec"][set] = json!(class);
        }
    }
    let is_alb = config.cluster.kind == ClusterType::Eks && config.ingress.class.is_none();
    // A load balancer asks pods by their address, which the host check of applications refuses; the path of the probe is asked so already.
    if let Some(path) = probe.filter(|_| is_alb) {
        annotate(ingress, "alb.ingress.kubernetes.io/healthcheck-path", path);
    }
    match config.ingress.tls {
        // A certificate of the manifests' own.
        Tls::CertManager if ingress.pointer("/spec/tls/0/secretName").is_some() => {}
        Tls::CertManager => {
            let (kind, name) = issuer(config);
            annotate(ingress, kind, name);
            if is_google {
                // Each Ingress has an address of its own, so that the answer to a challenge must be in this one.
                annotate(ingress, "acme.cert-manager.io/http01-edit-in-place", "true");
            }
            let secret = format!("{}-tls", ingress["metadata"]["name"].as_str().unwrap_or_default());
            certify(ingress, config, Some(&secret));
        }
        Tls::External if is_alb => {
            annotate(ingress, "alb.ingress.kubernetes.io/listen-ports", r#"[{"HTTP":80},{"HTTPS":443}]"#);
            annotate(ingress, "alb.ingress.kubernetes.io/ssl-redirect", "443");
        }
        Tls::External if is_google => {
            annotate(ingress, "ingress.gcp.kubernetes.io/pre-shared-cert", config.ingress.certificate.as_deref().unwrap_or_default());
        }
        // The controller's default certificate.
        Tls::External => certify(ingress, config, None),
        Tls::None | Tls::Local => {}
    }
}

/// What the Ingresses and routes need besides: the class of EKS, or the Gateway in a namespace of its own, since some controllers start its
/// pods there. `tags` are for what the cloud makes, `probe` as for `take`.
pub fn objects(config: &Config, instance: &str, tags: &[(&'static str, String)], probe: Option<&str>) -> Vec<Value> {
    if !config.is_behind_others() || config.ingress.gateway.is_some() {
        return Vec::new();
    }
    let mut out = match config.ingress.api {
        Api::Gateway => gateway(config),
        Api::Ingress if config.cluster.kind == ClusterType::Eks && config.ingress.class.is_none() => of_eks(config, instance, tags),
        Api::Ingress if config.cluster.kind == ClusterType::Gke && config.ingress.class.is_none() => vec![of_gke(config, probe)],
        Api::Ingress => Vec::new(),
    };
    if config.ingress.tls == Tls::CertManager && config.ingress.api == Api::Ingress {
        out.push(challenges(config));
    }
    for object in &mut out {
        object["metadata"]["labels"][INSTANCE] = json!(instance);
        object["metadata"]["labels"]["app.kubernetes.io/managed-by"] = json!("pocdeploy");
        objects::sign(object);
    }
    out
}

/// The Gateway that routes join, as an entry of `parentRefs`.
pub fn parent(config: &Config) -> Value {
    if config.has_gateway() {
        return json!({ "name": GATEWAY });
    }
    match config.ingress.gateway.as_deref().and_then(|it| it.split_once('/')) {
        Some((namespace, name)) => json!({ "name": name, "namespace": namespace }),
        None => json!({ "name": GATEWAY, "namespace": namespace(config) }),
    }
}

/// The namespace of the tool's Gateway.
fn namespace(config: &Config) -> String {
    format!("{}-gateway", config.namespace)
}

/// The annotation for cert-manager, and its value.
fn issuer(config: &Config) -> (&'static str, &str) {
    let issuer = config.ingress.issuer.as_deref().unwrap_or_default();
    match issuer.split_once('/') {
        Some(("Issuer", name)) => ("cert-manager.io/issuer", name),
        Some((_, name)) => ("cert-manager.io/cluster-issuer", name),
        None => ("cert-manager.io/cluster-issuer", issuer),
    }
}

/// HTTPS for all hosts of an Ingress that has none yet.
fn certify(ingress: &mut Value, config: &Config, secret: Option<&str>) {
    if ingress.pointer("/spec/tls/0").is_some() {
        return;
    }
    let rules = ingress["spec"]["rules"].as_array().cloned().unwrap_or_default();
    let mut hosts: BTreeSet<&str> = rules.iter().filter_map(|it| it["host"].as_str()).filter(|it| !it.is_empty()).collect();
    if hosts.is_empty() {
        hosts.insert(&config.frontend.host);
    }
    let mut entry = json!({ "hosts": hosts });
    if let Some(secret) = secret {
        entry["secretName"] = json!(secret);
    }
    ingress["spec"]["tls"] = json!([entry]);
}

/// Sets an annotation that the manifest does not have.
fn annotate(object: &mut Value, name: &str, value: &str) {
    if object["metadata"]["annotations"][name].is_null() {
        object["metadata"]["annotations"][name] = json!(value);
    }
}

fn remove(object: &mut Value, name: &str) {
    if let Some(fields) = object.as_object_mut() {
        fields.remove(name);
    }
}

/// The class of Auto Mode's load balancers: one for all Ingresses of the instance.
fn of_eks(config: &Config, instance: &str, tags: &[(&'static str, String)]) -> Vec<Value> {
    let tags: Vec<Value> = tags.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect();
    let mut spec = json!({ "scheme": "internet-facing", "group": { "name": instance }, "tags": tags });
    if let Some(certificate) = &config.ingress.certificate {
        spec["certificateARNs"] = json!([certificate]);
    }
    vec![
        json!({ "apiVersion": "eks.amazonaws.com/v1", "kind": "IngressClassParams", "metadata": { "name": "alb" }, "spec": spec }),
        json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "IngressClass",
            "metadata": { "name": "alb" },
            "spec": { "controller": ALB, "parameters": { "apiGroup": "eks.amazonaws.com", "kind": "IngressClassParams", "name": "alb" } },
        }),
    ]
}

/// The name of GKE's settings for the application's Service.
pub const BACKEND: &str = "pocdeploy";

/// GKE's load balancer asks for the path of the readinessProbe if it finds a ready pod when it is made, and for `/` otherwise, with the pod's
/// address as the host (cloud.google.com/kubernetes-engine/docs/how-to/ingress-configuration). So the path is said.
fn of_gke(config: &Config, probe: Option<&str>) -> Value {
    let mut out = json!({
        "apiVersion": "cloud.google.com/v1",
        "kind": "BackendConfig",
        "metadata": { "name": BACKEND, "namespace": config.namespace },
        "spec": {},
    });
    if let Some(path) = probe {
        out["spec"]["healthCheck"] = json!({ "type": "HTTP", "requestPath": path });
    }
    out
}

/// Lets an authority's question through to the pod that cert-manager starts beside the application to answer it: policies of the namespace
/// leave all pods closed that they do not name (cert-manager.io/docs/configuration/acme/http01, cert-manager 1.21.2: label and port).
fn challenges(config: &Config) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": { "name": "acme-challenges", "namespace": config.namespace },
        "spec": {
            "podSelector": { "matchLabels": { "acme.cert-manager.io/http01-solver": "true" } },
            "policyTypes": ["Ingress"],
            "ingress": [{ "ports": [{ "port": 8089, "protocol": "TCP" }] }],
        },
    })
}

fn gateway(config: &Config) -> Vec<Value> {
    let namespace = namespace(config);
    // cert-manager answers challenges by routes beside the Gateway.
    let of = json!({ "key": "kubernetes.io/metadata.name", "operator": "In", "values": [config.namespace, namespace] });
    let allowed = json!({ "namespaces": { "from": "Selector", "selector": { "matchExpressions": [of] } } });
    let mut listeners = vec![json!({ "name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": allowed })];
    let mut gateway = json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": { "name": GATEWAY, "namespace": namespace },
        "spec": { "gatewayClassName": config.class_of_others() },
    });
    if config.ingress.tls == Tls::CertManager {
        // cert-manager requests a certificate for the hosts of listeners.
        listeners.extend(config.asked_hosts().iter().enumerate().map(|(at, host)| {
            json!({
                "name": format!("https-{}", at + 1),
                "port": 443,
                "protocol": "HTTPS",
                "hostname": host,
                "tls": { "mode": "Terminate", "certificateRefs": [{ "name": CERTIFICATE }] },
                "allowedRoutes": allowed,
            })
        }));
        let (kind, name) = issuer(config);
        annotate(&mut gateway, kind, name);
    }
    gateway["spec"]["listeners"] = json!(listeners);
    vec![json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } }), gateway]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        let base = "[cluster]\nexpose = \"ingress\"\nallowed_cidrs = [\"192.0.2.7/32\"]\ncontext = \"c\"\nregistry = \"r.example.com/x\"\n";
        toml::from_str(&format!("namespace = \"shop\"\n{base}{text}\n[frontend]\nhost = \"shop.example.com\"")).unwrap()
    }

    fn taken(text: &str) -> Value {
        let mut ingress = json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": { "name": "web", "annotations": { CLASS: "old" } },
            "spec": { "ingressClassName": "old", "rules": [{ "host": "shop.example.com" }] },
        });
        take(&mut ingress, &config(text), Some("/readyz"));
        ingress
    }

    #[test]
    fn the_class_is_the_configured_one_that_of_the_cloud_or_that_of_the_manifest() {
        let field = |it: &Value| it["spec"]["ingressClassName"].as_str().map(str::to_owned);
        let note = |it: &Value| it["metadata"]["annotations"][CLASS].as_str().map(str::to_owned);
        for (text, in_field, in_note) in [
            ("type = \"existing\"", Some("old"), Some("old")),
            ("type = \"existing\"\n[ingress]\nclass = \"corp\"", Some("corp"), None),
            ("type = \"eks\"", Some("alb"), None),
            ("type = \"eks\"\n[ingress]\nclass = \"corp\"", Some("corp"), None),
            ("type = \"gke\"", None, Some("old")),
            ("type = \"aks\"", Some("old"), Some("old")),
        ] {
            let found = taken(text);
            assert_eq!((field(&found).as_deref(), note(&found).as_deref()), (in_field, in_note), "{text}");
        }
    }

    #[test]
    fn each_way_to_a_certificate_says_what_its_controller_reads() {
        let notes = |text: &str| taken(text)["metadata"]["annotations"].clone();
        let tls = |text: &str| taken(text)["spec"]["tls"].clone();
        let managed = "type = \"existing\"\n[ingress]\ntls = \"cert-manager\"\nissuer = \"letsencrypt\"";
        assert_eq!(notes(managed)["cert-manager.io/cluster-issuer"], "letsencrypt");
        assert_eq!(tls(managed), json!([{ "hosts": ["shop.example.com"], "secretName": "web-tls" }]));
        let own = "type = \"existing\"\n[ingress]\ntls = \"cert-manager\"\nissuer = \"Issuer/corp\"";
        assert_eq!((&notes(own)["cert-manager.io/issuer"], &notes(own)["cert-manager.io/cluster-issuer"]), (&json!("corp"), &Value::Null));
        assert_eq!(tls("type = \"existing\"\n[ingress]\ntls = \"external\""), json!([{ "hosts": ["shop.example.com"] }]));
        assert_eq!(tls("type = \"existing\""), Value::Null);
        let arn = "arn:aws:acm:eu-central-1:1:certificate/x";
        let eks = format!("type = \"eks\"\n[ingress]\ntls = \"external\"\ncertificate = \"{arn}\"");
        assert_eq!(notes(&eks)["alb.ingress.kubernetes.io/ssl-redirect"], "443");
        assert_eq!(notes(&eks)["alb.ingress.kubernetes.io/healthcheck-path"], "/readyz");
        assert_eq!(tls(&eks), Value::Null);
        let made = objects(&config(&eks), "i", &[("k", "v".to_owned())], None);
        assert_eq!(made[0]["spec"]["certificateARNs"], json!([arn]));
        assert_eq!(made[0]["spec"]["tags"], json!([{ "key": "k", "value": "v" }]));
        assert_eq!((&made[1]["kind"], &made[1]["metadata"]["labels"][INSTANCE]), (&json!("IngressClass"), &json!("i")));
        let gke = "type = \"gke\"\n[ingress]\ntls = \"external\"\ncertificate = \"shop\"";
        assert_eq!(notes(gke)["ingress.gcp.kubernetes.io/pre-shared-cert"], "shop");
        let made = objects(&config(gke), "i", &[], Some("/readyz"));
        assert_eq!((&made[0]["kind"], &made[0]["spec"]["healthCheck"]["requestPath"]), (&json!("BackendConfig"), &json!("/readyz")));
        assert!(objects(&config("type = \"gke\"\n[ingress]\nclass = \"c\""), "i", &[], None).is_empty());
    }

    #[test]
    fn a_policy_lets_challenges_through_where_cert_manager_answers_them() {
        let kinds = |text: &str| -> Vec<Value> { objects(&config(text), "i", &[], None).iter().map(|it| it["kind"].clone()).collect() };
        let issued = "[ingress]\ntls = \"cert-manager\"\nissuer = \"x\"";
        assert_eq!(kinds(&format!("type = \"existing\"\n{issued}")), ["NetworkPolicy"]);
        assert_eq!(kinds(&format!("type = \"gke\"\n{issued}")), ["BackendConfig", "NetworkPolicy"]);
        assert!(kinds("type = \"existing\"\n[ingress]\ntls = \"external\"").is_empty());
        let policy = &objects(&config(&format!("type = \"existing\"\n{issued}")), "i", &[], None)[0];
        assert_eq!((&policy["metadata"]["namespace"], &policy["metadata"]["labels"][INSTANCE]), (&json!("shop"), &json!("i")));
    }

    #[test]
    fn a_certificate_of_the_manifests_stays_and_the_page_tells_of_its_ingress() {
        let config = config("type = \"existing\"\n[ingress]\ntls = \"cert-manager\"\nissuer = \"x\"");
        let door = |spec: Value| {
            let mut ingress = json!({ "kind": "Ingress", "metadata": { "name": "web" }, "spec": spec });
            take(&mut ingress, &config, None);
            ingress
        };
        let mine = door(json!({ "rules": [{ "host": "shop.example.com" }], "tls": [{ "secretName": "mine" }] }));
        assert_eq!(mine["metadata"]["annotations"], json!({ ASKED: "true" }));
        let any = door(json!({ "rules": [{ "http": {} }] }));
        assert_eq!(any["spec"]["tls"], json!([{ "hosts": ["shop.example.com"], "secretName": "web-tls" }]));
        assert_eq!(any["metadata"]["annotations"][ASKED], Value::Null);
    }

    #[test]
    fn routes_join_the_cluster_s_gateway_or_one_that_the_tool_makes() {
        let theirs = config("type = \"existing\"\n[ingress]\napi = \"gateway\"\ngateway = \"infra/shared\"");
        assert_eq!(parent(&theirs), json!({ "name": "shared", "namespace": "infra" }));
        assert!(objects(&theirs, "i", &[], Some("/readyz")).is_empty());
        let ours = config("type = \"aks\"\n[ingress]\napi = \"gateway\"\ntls = \"cert-manager\"\nissuer = \"x\"");
        assert_eq!(parent(&ours), json!({ "name": "ingress", "namespace": "shop-gateway" }));
        let made = objects(&ours, "i", &[], Some("/readyz"));
        assert_eq!((&made[0]["kind"], &made[0]["metadata"]["name"]), (&json!("Namespace"), &json!("shop-gateway")));
        let spec = &made[1]["spec"];
        assert_eq!(spec["gatewayClassName"], "approuting-istio");
        assert_eq!(spec["listeners"][1]["hostname"], "shop.example.com");
        assert_eq!(made[1]["metadata"]["annotations"]["cert-manager.io/cluster-issuer"], "x");
        assert_eq!(made.len(), 2, "answers to challenges are beside the Gateway, where no policy is");
        let plain = config("type = \"existing\"\n[ingress]\napi = \"gateway\"\nclass = \"c\"");
        assert_eq!(objects(&plain, "i", &[], Some("/readyz"))[1]["spec"]["listeners"].as_array().map(Vec::len), Some(1));
    }
}
