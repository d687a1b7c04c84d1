//! The Ingress controller: Traefik in the application's namespace, which reads Ingresses, Services and Secrets of that namespace only.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    config::Config,
    deploy::plain::Plain,
    exposure::{LENT_PORT, is_local},
};

/// The IngressClass, and the value of `ingressClassName` in the application's Ingresses.
const CLASS: &str = "traefik";
/// The controller's name in the IngressClass: `traefikDefaultIngressClassController` in Traefik's provider.
const CONTROLLER: &str = "traefik.io/ingress-controller";
/// The controller's name in the GatewayClass: `controllerName` in Traefik's provider.
const GATEWAY_CONTROLLER: &str = "traefik.io/gateway-controller";
/// The name of the Gateway.
pub const GATEWAY: &str = "ingress";
/// The node's port that `deploy/kind/cluster.yaml` maps to this machine.
const NODE_PORT: u16 = 30080;
/// A container without capabilities may not listen below 1024 everywhere.
const WEB: u16 = 8000;
const PROBE: u16 = 8080;
/// The Secret with the certificate.
pub const CERTIFICATE: &str = "pocdeploy-ingress-tls";
/// Where the controller reads its file.
const FOLDER: &str = "/etc/traefik-pocdeploy";

pub(super) const PORTS: [(&str, u16); 2] = [("web", WEB), ("probe", PROBE)];

/// Gives an Ingress to the controller, and with HTTPS the tool's certificate. The annotation is older than `ingressClassName`, and the API
/// server takes only one of both.
pub fn take(ingress: &mut Value, config: &Config) {
    ingress["spec"]["ingressClassName"] = json!(CLASS);
    if let Some(annotations) = ingress["metadata"].get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove("kubernetes.io/ingress.class");
    }
    if config.has_tls() {
        ingress["metadata"]["annotations"]["traefik.ingress.kubernetes.io/router.tls"] = json!("true");
        let rules = ingress["spec"]["rules"].as_array().cloned().unwrap_or_default();
        let named: Vec<&str> = rules.iter().filter_map(|it| it["host"].as_str()).filter(|it| is_local(it)).collect();
        ingress["spec"]["tls"] = json!([{ "hosts": named, "secretName": CERTIFICATE }]);
    }
}

/// The hosts of the certificate: those of every service, which may have an Ingress of its own, and of routes.
pub fn hosts(config: &Config) -> BTreeSet<String> {
    let of_services = config.all_services().filter(|(_, it)| it.kind.is_none()).map(|(_, it)| it.host.clone());
    of_services.chain(config.routes().map(|it| it.host)).filter(|it| is_local(it)).collect()
}

/// The file with what no Ingress can say: plain HTTP is redirected to HTTPS on the same port, which the controller tells from the first
/// bytes of a connection; and no browser is to remember that a name under `.localhost` speaks HTTPS only.
fn redirect() -> String {
    json!({ "http": {
        "routers": { "plain": { "rule": "PathPrefix(`/`)", "priority": 1, "entryPoints": ["web"], "middlewares": ["to-https"], "service": "noop@internal" } },
        "middlewares": {
            "to-https": { "redirectRegex": { "regex": "^http://(.*)$", "replacement": "https://${1}" } },
            "forgetful": { "headers": { "customResponseHeaders": { "Strict-Transport-Security": "" } } },
        },
    } })
    .to_string()
}

impl Plain<'_> {
    /// Every object of the controller around its Deployment.
    pub(super) fn controller(&self, mut deployment: Value) -> Vec<Value> {
        let spec = &mut deployment["spec"];
        spec["strategy"] = json!({ "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 0 } });
        spec["template"]["spec"]["automountServiceAccountToken"] = json!(true);
        let mut service = self.object("v1", "Service", &self.name());
        service["metadata"]["annotations"] = json!({ LENT_PORT: "true" });
        service["spec"] = json!({
            "type": "NodePort",
            "selector": self.selector(),
            "ports": [{ "name": "web", "port": 80, "targetPort": "web", "nodePort": NODE_PORT }],
        });
        let mut out = vec![self.account(&self.name())];
        out.extend(if self.config.has_gateway() { self.gateway() } else { vec![self.class()] });
        if self.config.has_tls() {
            let mut file = self.object("v1", "ConfigMap", &self.name());
            file["data"] = json!({ "redirect.yaml": redirect() });
            out.push(file);
            let pod = &mut deployment["spec"]["template"]["spec"];
            if let Some(volumes) = pod["volumes"].as_array_mut() {
                volumes.push(json!({ "name": "file", "configMap": { "name": self.name() } }));
            }
        }
        out.extend(self.rights());
        out.extend([self.reach(), deployment, service]);
        out
    }

    fn class(&self) -> Value {
        let mut class = self.object("networking.k8s.io/v1", "IngressClass", CLASS);
        class["metadata"]["annotations"] = json!({ "ingressclass.kubernetes.io/is-default-class": "true" });
        class["spec"] = json!({ "controller": CONTROLLER });
        class
    }

    /// The Gateway, with a listener at the controller's port, and its class.
    fn gateway(&self) -> Vec<Value> {
        let mut class = self.object("gateway.networking.k8s.io/v1", "GatewayClass", CLASS);
        class["spec"] = json!({ "controllerName": GATEWAY_CONTROLLER });
        let mut listener = json!({
            "name": "web",
            // Traefik finds its entrypoint by the port (`entryPointName` in its provider).
            "port": WEB,
            "protocol": "HTTP",
            "allowedRoutes": { "namespaces": { "from": "Same" } },
        });
        if self.config.has_tls() {
            listener["protocol"] = json!("HTTPS");
            listener["tls"] = json!({ "mode": "Terminate", "certificateRefs": [{ "name": CERTIFICATE }] });
        }
        let mut gateway = self.object("gateway.networking.k8s.io/v1", "Gateway", GATEWAY);
        gateway["spec"] = json!({ "gatewayClassName": CLASS, "listeners": [listener] });
        vec![class, gateway]
    }

    /// What it may read: routes and their certificates in the namespace; of the cluster its classes and nodes, without which it reads no
    /// class.
    fn rights(&self) -> Vec<Value> {
        let reads = json!(["get", "list", "watch"]);
        let mut here = vec![
            json!({ "apiGroups": [""], "resources": ["services", "secrets"], "verbs": reads }),
            json!({ "apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": reads }),
        ];
        let everywhere = if self.config.has_gateway() {
            let group = json!(["gateway.networking.k8s.io"]);
            let routes = ["gateways", "httproutes", "grpcroutes", "tlsroutes", "backendtlspolicies"];
            let all = [&routes[..], &["referencegrants"]].concat();
            here.extend([
                json!({ "apiGroups": [""], "resources": ["configmaps"], "verbs": reads }),
                json!({ "apiGroups": group, "resources": all, "verbs": reads }),
                json!({ "apiGroups": group, "resources": routes.map(|it| format!("{it}/status")), "verbs": ["update"] }),
            ]);
            json!([
                { "apiGroups": [""], "resources": ["namespaces"], "verbs": reads },
                { "apiGroups": group, "resources": ["gatewayclasses"], "verbs": reads },
                { "apiGroups": group, "resources": ["gatewayclasses/status"], "verbs": ["update"] },
            ])
        } else {
            here.extend([
                json!({ "apiGroups": ["networking.k8s.io"], "resources": ["ingresses"], "verbs": reads }),
                json!({ "apiGroups": ["networking.k8s.io"], "resources": ["ingresses/status"], "verbs": ["update"] }),
            ]);
            json!([
                { "apiGroups": [""], "resources": ["nodes"], "verbs": reads },
                { "apiGroups": ["networking.k8s.io"], "resources": ["ingressclasses"], "verbs": reads },
            ])
        };
        let account = json!([{ "kind": "ServiceAccount", "name": self.name(), "namespace": self.config.namespace }]);
        let of_cluster = format!("{}-{}", self.config.namespace, self.name());
        let mut out = Vec::new();
        for (kind, name, rules) in [("Role", self.name(), json!(here)), ("ClusterRole", of_cluster, everywhere)] {
            let mut role = self.object("rbac.authorization.k8s.io/v1", kind, &name);
            role["rules"] = rules;
            let mut binding = self.object("rbac.authorization.k8s.io/v1", &format!("{kind}Binding"), &name);
            binding["roleRef"] = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name });
            binding["subjects"] = account.clone();
            out.extend([role, binding]);
        }
        out
    }

    /// Open to everyone on its port; it reaches the namespace's pods, DNS, and the API server, which no selector selects.
    fn reach(&self) -> Value {
        let dns = json!({
            "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "kube-system" } },
            "podSelector": { "matchLabels": { "k8s-app": "kube-dns" } },
        });
        let mut out = self.object("networking.k8s.io/v1", "NetworkPolicy", &self.name());
        out["spec"] = json!({
            "podSelector": { "matchLabels": self.selector() },
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{ "ports": [{ "port": "web", "protocol": "TCP" }] }],
            "egress": [
                { "to": [{ "podSelector": {} }] },
                { "to": [dns], "ports": [{ "port": 53, "protocol": "UDP" }, { "port": 53, "protocol": "TCP" }] },
                { "ports": [{ "port": 443, "protocol": "TCP" }, { "port": 6443, "protocol": "TCP" }] },
            ],
        });
        out
    }

    /// Arguments and probes. Arguments only: the image from packages has the program as its entrypoint, upstream's a script that passes them
    /// on.
    pub(super) fn traefik(&self, container: &mut Value) {
        let (namespace, host) = (&self.config.namespace, &self.config.frontend.host);
        container["args"] = json!([
            format!("--entrypoints.web.address=:{WEB}"),
            // Only default entrypoints get routes.
            "--entrypoints.web.asdefault=true",
            // Nodes send requests until they have removed the pod from the Service's endpoints.
            "--entrypoints.web.transport.lifecycle.requestacceptgracetimeout=5s",
            format!("--entrypoints.probe.address=:{PROBE}"),
            "--ping=true",
            "--ping.entrypoint=probe",
            "--providers.providersthrottleduration=200ms",
            "--global.checknewversion=false",
            "--global.sendanonymoususage=false",
            "--log.level=INFO",
            "--log.nocolor=true",
        ]);
        let reads: Vec<String> = if self.config.has_gateway() {
            vec![
                "--providers.kubernetesgateway=true".to_owned(),
                format!("--providers.kubernetesgateway.namespaces={namespace}"),
                format!("--providers.kubernetesgateway.statusaddress.hostname={host}"),
            ]
        } else {
            vec![
                "--providers.kubernetesingress=true".to_owned(),
                format!("--providers.kubernetesingress.namespaces={namespace}"),
                format!("--providers.kubernetesingress.ingressclass={CLASS}"),
                // The status of Ingresses, by which others see that they are served.
                format!("--providers.kubernetesingress.ingressendpoint.hostname={host}"),
                // `/api` leads `/api/x`, and not `/apix`, as the standard says.
                "--providers.kubernetesingress.strictprefixmatching=true".to_owned(),
                // 503 in place of 404 while no pod is ready.
                "--providers.kubernetesingress.allowemptyservices=true".to_owned(),
            ]
        };
        if let Some(arguments) = container["args"].as_array_mut() {
            arguments.extend(reads.into_iter().map(Value::from));
        }
        if self.config.has_tls() {
            let further = [
                format!("--providers.file.filename={FOLDER}/redirect.yaml"),
                "--entrypoints.web.http.middlewares=forgetful@file".to_owned(),
            ];
            if let Some(arguments) = container["args"].as_array_mut() {
                arguments.extend(further.map(Value::from));
            }
            if let Some(mounts) = container["volumeMounts"].as_array_mut() {
                mounts.push(json!({ "name": "file", "mountPath": FOLDER, "readOnly": true }));
            }
        }
        for (probe, period, failures) in [("readinessProbe", 1, 3), ("livenessProbe", 10, 6)] {
            let asked = json!({ "path": "/ping", "port": "probe" });
            container[probe] = json!({ "httpGet": asked, "periodSeconds": period, "timeoutSeconds": 5, "failureThreshold": failures });
        }
    }
}
