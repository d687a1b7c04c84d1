//! Services and Ingresses: waiting for an external address.

use serde_json::Value;

use crate::{
    cluster::verdict::{Verdict, list, text},
    exposure::ASKED,
};

/// Only a LoadBalancer has to wait. Whether a Service has pods shows when the page answers.
pub(super) fn service(object: &Value) -> Verdict {
    match text(object, "/spec/type") {
        "LoadBalancer" if list(object, "/status/loadBalancer/ingress").is_empty() => {
            Verdict::NotYet("the load balancer has no address yet".to_owned())
        }
        "ExternalName" => Verdict::Yes,
        _ if text(object, "/spec/clusterIP").is_empty() => Verdict::NotYet("it has no address yet".to_owned()),
        _ => Verdict::Yes,
    }
}

/// Accepted by a controller. Without an IngressClass there may be no controller, and the page tells of the Ingresses that it is asked
/// through.
pub(super) fn ingress(object: &Value) -> Verdict {
    let class = text(object, "/spec/ingressClassName");
    let is_asked = object.pointer("/metadata/annotations").is_some_and(|it| it[ASKED] == "true");
    if !is_asked && !class.is_empty() && list(object, "/status/loadBalancer/ingress").is_empty() {
        return Verdict::NotYet(format!("no controller of class {class} has given it an address"));
    }
    Verdict::Yes
}
