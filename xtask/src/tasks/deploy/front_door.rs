//! Why a page behind a controller of the cluster does not answer: the controller's address, DNS, or the certificate.

use std::{
    collections::BTreeSet,
    net::{IpAddr, ToSocketAddrs as _},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::Result;
use serde_json::Value;

use crate::{
    cluster::{Cluster, ObjectId, verdict},
    config::Tls,
    deploy::{front_door, objects::INSTANCE},
    env::Env,
};

/// The limit for one question to DNS: resolvers have longer ones of their own.
const DNS_LIMIT: Duration = Duration::from_secs(5);

/// The first thing that is missing between a browser and the application. `None` if nothing is seen, or if no controller of the cluster is
/// in between.
pub fn explain(env: &Env, cluster: &Cluster) -> Result<Option<String>> {
    if !env.config.is_behind_others() {
        return Ok(None);
    }
    let doors = doors(env, cluster)?;
    if let Some(why) = closed(&doors, is_ours(env)) {
        return Ok(Some(why));
    }
    let found: Vec<String> = doors.iter().filter_map(|it| it.1.as_ref()).flat_map(addresses).collect();
    let misled = env.config.asked_hosts().iter().find_map(|it| misled(it, &found, &resolve));
    let said: Vec<String> = misled.into_iter().chain(certificate(env, cluster)?).collect();
    if !said.is_empty() {
        return Ok(Some(said.join("; ")));
    }
    // Some controllers write none although they serve.
    let silent = doors.iter().find(|it| it.1.as_ref().is_some_and(|it| addresses(it).is_empty()));
    Ok(silent.map(|(id, object)| {
        let class = object.as_ref().and_then(|it| it.pointer("/spec/ingressClassName")).and_then(Value::as_str);
        let of = class.map_or_else(|| "no controller has".to_owned(), |it| format!("no controller of class {it} has"));
        format!("{of} written an address into {id}")
    }))
}

/// Why the Gateway does not serve yet, although the page may answer by the Ingress that a Gateway replaces.
pub(super) fn unserved(env: &Env, cluster: &Cluster) -> Result<Option<String>> {
    if !env.config.is_behind_others() || !env.config.has_routes() {
        return Ok(None);
    }
    let ours = format!("{INSTANCE}={}", env.instance);
    let routes = cluster.list_if_known("gateway.networking.k8s.io/v1", "HTTPRoute", &env.config.namespace, &ours)?;
    // After a rollback what serves may be an Ingress.
    if routes.is_empty() {
        return Ok(None);
    }
    // Of a Gateway that others own, only what it says of our routes counts.
    let doors = if is_ours(env) { doors(env, cluster)? } else { Vec::new() };
    if let Some(why) = closed(&doors, true) {
        return Ok(Some(why));
    }
    for it in &routes {
        if let Some(why) = verdict::of(it).why() {
            return Ok(Some(format!("{}: {why}", ObjectId::of(it)?)));
        }
    }
    certificate(env, cluster)
}

/// The first of them that does not exist, or that is judged and not ready.
fn closed(doors: &[(ObjectId, Option<Value>)], judged: bool) -> Option<String> {
    doors.iter().find_map(|(id, object)| match object {
        None => Some(format!("{id} does not exist")),
        Some(object) => verdict::of(object).why().filter(|_| judged).map(|why| format!("{id}: {why}")),
    })
}

/// Whether what is in front is the instance's, and not a Gateway that others own.
fn is_ours(env: &Env) -> bool {
    !env.config.has_routes() || env.config.ingress.gateway.is_none()
}

/// The Ingresses of the application, or the Gateway of its routes.
fn doors(env: &Env, cluster: &Cluster) -> Result<Vec<(ObjectId, Option<Value>)>> {
    if env.config.has_routes() {
        let parent = front_door::parent(&env.config);
        let text = |name: &str| parent[name].as_str().unwrap_or_default();
        let id = ObjectId::new("gateway.networking.k8s.io/v1", "Gateway", text("namespace"), text("name"));
        let found = cluster.list_if_known(&id.api_version, &id.kind, &id.namespace, "")?;
        let found = found.into_iter().find(|it| it["metadata"]["name"] == id.name.as_str());
        return Ok(vec![(id, found)]);
    }
    let found = cluster.list("networking.k8s.io/v1", "Ingress", &env.config.namespace, "")?;
    let leads = |it: &&Value| {
        let rules = it.pointer("/spec/rules").and_then(Value::as_array);
        rules.into_iter().flatten().any(|rule| rule["host"] == env.config.frontend.host.as_str())
    };
    found.iter().filter(leads).map(|it| Ok((ObjectId::of(it)?, Some(it.clone())))).collect()
}

/// The addresses that a controller has written into an Ingress or a Gateway.
fn addresses(object: &Value) -> Vec<String> {
    let of = |pointer: &str, field: &str| -> Vec<String> {
        let list = object.pointer(pointer).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(|it| it[field].as_str()).filter(|it| !it.is_empty()).map(str::to_owned).collect()
    };
    [of("/status/loadBalancer/ingress", "hostname"), of("/status/loadBalancer/ingress", "ip"), of("/status/addresses", "value")].concat()
}

/// Why a host does not lead to the controller. A controller without a known address is not judged.
fn misled(host: &str, addresses: &[String], resolve: &dyn Fn(&str) -> Result<BTreeSet<IpAddr>, String>) -> Option<String> {
    let wanted = addresses.first();
    let record = wanted.map(|it| match it.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => format!("; a DNS record of type A leads it to {it}"),
        Ok(IpAddr::V6(_)) => format!("; a DNS record of type AAAA leads it to {it}"),
        Err(_) => format!("; a DNS record of type CNAME leads it to {it}"),
    });
    let record = record.unwrap_or_default();
    let found = match resolve(host) {
        Ok(found) => found,
        Err(why) => return Some(format!("{host} does not resolve ({why}){record}")),
    };
    let right: BTreeSet<IpAddr> = addresses
        .iter()
        .flat_map(|it| match it.parse::<IpAddr>() {
            Ok(address) => BTreeSet::from([address]),
            Err(_) => resolve(it).unwrap_or_default(),
        })
        .collect();
    if right.is_empty() || !right.is_disjoint(&found) {
        return None;
    }
    let found: Vec<String> = found.iter().map(IpAddr::to_string).collect();
    let (found, addresses) = (found.join(", "), addresses.join(", "));
    Some(format!("{host} leads to {found}, and the controller is at {addresses} (right if a proxy is in front){record}"))
}

/// The addresses of a host by the system's resolver.
fn resolve(host: &str) -> Result<BTreeSet<IpAddr>, String> {
    let (send, receive) = mpsc::channel();
    let name = host.to_owned();
    // The resolver cannot be interrupted; nobody waits for its thread.
    thread::spawn(move || {
        let found = (name.as_str(), 0).to_socket_addrs().map(|all| all.map(|it| it.ip()).collect::<BTreeSet<_>>());
        // Nobody listens if the limit is over.
        drop(send.send(found.map_err(|error| error.to_string())));
    });
    receive.recv_timeout(DNS_LIMIT).unwrap_or_else(|_| Err(format!("no answer within {} s", DNS_LIMIT.as_secs())))
}

/// What cert-manager says about a certificate that it has not issued yet: the last step that has begun says most.
fn certificate(env: &Env, cluster: &Cluster) -> Result<Option<String>> {
    if env.config.ingress.tls != Tls::CertManager {
        return Ok(None);
    }
    let namespace = match front_door::parent(&env.config)["namespace"].as_str() {
        Some(of_gateway) if env.config.has_routes() => of_gateway.to_owned(),
        _ => env.config.namespace.clone(),
    };
    let list = |api_version: &str, kind: &str| cluster.list_if_known(api_version, kind, &namespace, "");
    let certificates = list("cert-manager.io/v1", "Certificate")?;
    if certificates.is_empty() {
        let with = if env.config.has_routes() { ", with its support for the Gateway API" } else { "" };
        let why = format!("cert-manager has made no Certificate in namespace {namespace}: is it installed in this cluster{with}?");
        return Ok(Some(why));
    }
    if certificates.iter().all(|it| ready(it).is_none()) {
        return Ok(None);
    }
    let events = cluster.list("v1", "Event", &namespace, "")?;
    for (api_version, kind) in
        [("acme.cert-manager.io/v1", "Challenge"), ("acme.cert-manager.io/v1", "Order"), ("cert-manager.io/v1", "CertificateRequest")]
    {
        let mut all = list(api_version, kind)?;
        // cert-manager keeps those that failed.
        all.sort_by_key(|it| std::cmp::Reverse(it.pointer("/metadata/creationTimestamp").and_then(Value::as_str).map(str::to_owned)));
        for it in all.into_iter().filter(|it| it.pointer("/status/state").is_none_or(|it| it != "valid")) {
            let reason = it.pointer("/status/reason").and_then(Value::as_str).filter(|it| !it.is_empty()).map(str::to_owned);
            let why = reason.or_else(|| ready(&it).filter(|why| !why.is_empty())).or_else(|| warning(&events, &it));
            if let Some(why) = why {
                return Ok(Some(format!("{}: {why}", ObjectId::of(&it)?)));
            }
        }
    }
    let first = certificates.iter().find_map(|it| Some((it, ready(it)?)));
    first.map(|(it, why)| Ok(format!("{}: {why}", ObjectId::of(it)?))).transpose()
}

/// The newest warning about an object: an Order tells why it has no Challenge by an Event alone (cert-manager 1.21.2).
fn warning(events: &[Value], object: &Value) -> Option<String> {
    let uid = object.pointer("/metadata/uid")?;
    let of_it = events.iter().filter(|it| it["type"] == "Warning" && it.pointer("/involvedObject/uid") == Some(uid));
    let newest = of_it.max_by_key(|it| it["lastTimestamp"].as_str().map(str::to_owned))?;
    Some(newest["message"].as_str()?.to_owned())
}

/// Why an object of cert-manager is not ready; `None` if it is, or if it has no such condition.
fn ready(object: &Value) -> Option<String> {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    let found = conditions.into_iter().flatten().find(|it| it["type"] == "Ready" && it["status"] != "True")?;
    Some(found["message"].as_str().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_host_must_lead_to_one_of_the_controller_s_addresses() {
        let known = |host: &str| -> Result<BTreeSet<IpAddr>, String> {
            match host {
                "shop.example.com" => Ok(BTreeSet::from(["192.0.2.1".parse().unwrap()])),
                "lb.example.net" => Ok(BTreeSet::from(["192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap()])),
                "other.example.net" => Ok(BTreeSet::from(["192.0.2.9".parse().unwrap()])),
                _ => Err("Name or service not known".to_owned()),
            }
        };
        let check = |host: &str, addresses: &[&str], expected: Option<&str>| {
            let addresses: Vec<String> = addresses.iter().map(|it| (*it).to_owned()).collect();
            assert_eq!(misled(host, &addresses, &known).as_deref(), expected);
        };
        check("shop.example.com", &["192.0.2.1"], None);
        check("shop.example.com", &["lb.example.net"], None);
        check("shop.example.com", &[], None);
        // The controller's own name may be known to the cloud alone.
        check("shop.example.com", &["unknown.example.net"], None);
        check(
            "shop.example.com",
            &["other.example.net"],
            Some(
                "shop.example.com leads to 192.0.2.1, and the controller is at other.example.net (right if a proxy is in front); a DNS record of type CNAME leads it to other.example.net",
            ),
        );
        check(
            "new.example.com",
            &["192.0.2.7"],
            Some("new.example.com does not resolve (Name or service not known); a DNS record of type A leads it to 192.0.2.7"),
        );
        check("new.example.com", &[], Some("new.example.com does not resolve (Name or service not known)"));
    }

    #[test]
    fn addresses_are_read_from_an_ingress_and_a_gateway() {
        assert_eq!(
            addresses(&json!({ "status": { "loadBalancer": { "ingress": [{ "ip": "192.0.2.1", "hostname": "" }] } } })),
            ["192.0.2.1"]
        );
        assert_eq!(addresses(&json!({ "status": { "addresses": [{ "type": "Hostname", "value": "x.example.com" }] } })), ["x.example.com"]);
        assert!(addresses(&json!({ "status": { "loadBalancer": {} } })).is_empty());
    }

    #[test]
    fn the_newest_warning_about_an_object_is_told() {
        let of = |uid: &str, kind: &str, at: &str, message: &str| json!({ "involvedObject": { "uid": uid }, "type": kind, "lastTimestamp": at, "message": message });
        let events = [
            of("a", "Warning", "2026-01-01T00:00:02Z", "new"),
            of("a", "Warning", "2026-01-01T00:00:01Z", "old"),
            of("a", "Normal", "2026-01-01T00:00:03Z", "normal"),
            of("b", "Warning", "2026-01-01T00:00:04Z", "other"),
        ];
        let of = |uid: &str| warning(&events, &json!({ "metadata": { "uid": uid } }));
        assert_eq!((of("a").as_deref(), of("b").as_deref(), of("c")), (Some("new"), Some("other"), None));
    }

    #[test]
    fn what_is_ready_needs_no_words() {
        let of = |status: &str| json!({ "status": { "conditions": [{ "type": "Ready", "status": status, "message": "m" }] } });
        assert_eq!((ready(&of("True")), ready(&of("False")), ready(&json!({}))), (None, Some("m".to_owned()), None));
    }
}
