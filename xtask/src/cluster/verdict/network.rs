//! Services and Ingresses: what waits for an address from outside the cluster.

use serde_json::Value;

use crate::cluster::verdict::{Verdict, list, text};

/// Only a load balancer has something to wait for; whether pods stand behind a Service is the page's answer.
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

/// Taken over by a controller. Without a class nobody need be there to take it.
pub(super) fn ingress(object: &Value) -> Verdict {
    let class = text(object, "/spec/ingressClassName");
    if !class.is_empty() && list(object, "/status/loadBalancer/ingress").is_empty() {
        return Verdict::NotYet(format!("no controller of class {class} has given it an address"));
    }
    Verdict::Yes
}
