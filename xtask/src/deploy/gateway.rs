//! Ingresses as HTTPRoutes of the Gateway API.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    deploy::{objects, plain::controller::CERTIFICATE},
    errors::{Code, Problem},
};

/// The number of each named port of a Service: (Service, port) to number.
pub type Ports = BTreeMap<(String, String), u64>;

/// The named ports of the Services among the objects.
pub fn ports(objects: &[Value]) -> Ports {
    let mut out = Ports::new();
    for service in objects.iter().filter(|it| it["kind"] == "Service") {
        for port in service["spec"]["ports"].as_array().into_iter().flatten() {
            if let (Some(service), Some(name), Some(number)) =
                (service["metadata"]["name"].as_str(), port["name"].as_str(), port["port"].as_u64())
            {
                out.insert((service.to_owned(), name.to_owned()), number);
            }
        }
    }
    out
}

/// Replaces each Ingress by HTTPRoutes, one for each of its hosts: an HTTPRoute's hosts are those of all its rules. Other objects are not
/// changed. `parent` is the Gateway, as an entry of `parentRefs`.
pub fn convert(all: Vec<Value>, ports: &Ports, parent: &Value) -> Result<Vec<Value>, Problem> {
    let mut out = Vec::new();
    for object in all {
        if object["kind"] == "Ingress" {
            out.extend(routes(&object, ports, parent)?);
        } else {
            out.push(object);
        }
    }
    let name = |it: &Value| it["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let mut names: Vec<String> = out.iter().filter(|it| it["kind"] == "HTTPRoute").map(name).collect();
    names.sort();
    if let Some(twice) = names.windows(2).find(|it| it[0] == it[1]) {
        let what = format!("two HTTPRoutes have the name {}: one is made of an Ingress", twice[0]);
        return Err(Problem::config(what).code(Code::Manifest).hint("give the Ingress, or your HTTPRoute, another name"));
    }
    Ok(out)
}

fn routes(ingress: &Value, ports: &Ports, parent: &Value) -> Result<Vec<Value>, Problem> {
    let name = ingress["metadata"]["name"].as_str().unwrap_or_default();
    let refused = |why: &str, hint: &str| {
        Problem::config(format!("Ingress {name} cannot become an HTTPRoute: {why}")).code(Code::Manifest).hint(hint)
    };
    let mut own = ingress["spec"]["tls"].as_array().into_iter().flatten().filter_map(|it| it["secretName"].as_str());
    if let Some(secret) = own.find(|it| *it != CERTIFICATE) {
        let why = format!("its certificate is in Secret {secret}, and a Gateway has one for all routes");
        return Err(refused(&why, "remove `tls` from the Ingress, and see `ingress.tls`; or set ingress.api = \"ingress\""));
    }
    let default = &ingress["spec"]["defaultBackend"];
    // In the order of the Ingress.
    let mut hosts: Vec<(Option<&str>, Vec<Value>)> = Vec::new();
    for rule in ingress["spec"]["rules"].as_array().into_iter().flatten() {
        let host = rule["host"].as_str().filter(|it| !it.is_empty());
        let mut found = Vec::new();
        for path in rule["http"]["paths"].as_array().into_iter().flatten() {
            let kind = if path["pathType"] == "Exact" { "Exact" } else { "PathPrefix" };
            let value = path["path"].as_str().filter(|it| !it.is_empty()).unwrap_or("/");
            found.push(json!({
                "matches": [{ "path": { "type": kind, "value": value } }],
                "backendRefs": [backend(name, &path["backend"], ports)?],
            }));
        }
        // A host alone leads to the default backend.
        if found.is_empty() && !default.is_null() {
            found.push(json!({ "backendRefs": [backend(name, default, ports)?] }));
        }
        if found.is_empty() {
            return Err(refused("a rule leads to no Service", "give the rule a path, or the Ingress a defaultBackend"));
        }
        match hosts.iter_mut().find(|(it, _)| *it == host) {
            Some((_, rules)) => rules.extend(found),
            None => hosts.push((host, found)),
        }
    }
    if !default.is_null() {
        let rule = json!({ "backendRefs": [backend(name, default, ports)?] });
        match hosts.iter_mut().find(|(it, _)| it.is_none()) {
            Some((_, rules)) => rules.push(rule),
            None => hosts.push((None, vec![rule])),
        }
    }
    if hosts.is_empty() {
        return Err(refused("it leads to no Service", "give it a rule, or a defaultBackend"));
    }
    // `maxItems` of the CRD.
    if hosts.iter().any(|(_, rules)| rules.len() > 16) {
        return Err(refused("it has more than 16 paths for one host", "divide it into several Ingresses"));
    }
    let route = |(at, (host, rules)): (usize, (Option<&str>, Vec<Value>))| {
        let mut out = json!({
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": ingress["metadata"],
            "spec": { "parentRefs": [parent], "rules": rules },
        });
        if at > 0 {
            out["metadata"]["name"] = json!(format!("{name}-{}", at + 1));
        }
        if let Some(notes) = out["metadata"]["annotations"].as_object_mut() {
            notes.retain(|key, _| !key.starts_with("traefik.ingress.kubernetes.io/"));
        }
        if let Some(host) = host {
            out["spec"]["hostnames"] = json!([host]);
        }
        objects::sign(&mut out);
        out
    };
    Ok(hosts.into_iter().enumerate().map(route).collect())
}

/// A Service and the number of its port.
fn backend(ingress: &str, backend: &Value, ports: &Ports) -> Result<Value, Problem> {
    let service = &backend["service"];
    let name = service["name"].as_str().unwrap_or_default();
    let number = service["port"]["number"].as_u64().or_else(|| {
        let port = service["port"]["name"].as_str()?;
        ports.get(&(name.to_owned(), port.to_owned())).copied()
    });
    match number {
        Some(number) => Ok(json!({ "name": name, "port": number })),
        None => {
            let what =
                format!("Ingress {ingress} cannot become an HTTPRoute: its backend is no Service of deploy/ with a port of that name");
            let hint = "write the number of the port; or set ingress.api = \"ingress\"";
            Err(Problem::config(what).code(Code::Manifest).hint(hint))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ingress(spec: Value) -> Value {
        let notes = json!({ "traefik.ingress.kubernetes.io/router.tls": "true", "mine": "x" });
        json!({ "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": { "name": "web", "annotations": notes }, "spec": spec })
    }

    fn gateway() -> Value {
        json!({ "name": "ingress" })
    }

    fn service() -> Value {
        json!({ "kind": "Service", "metadata": { "name": "web" }, "spec": { "ports": [{ "name": "http", "port": 80 }] } })
    }

    #[test]
    fn each_host_is_a_route_with_the_paths_of_all_its_rules() {
        let to = |port: Value| json!({ "service": { "name": "web", "port": port } });
        let path = |path: &str, kind: &str| json!({ "path": path, "pathType": kind, "backend": to(json!({ "name": "http" })) });
        let spec = json!({
            "defaultBackend": to(json!({ "number": 8080 })),
            "rules": [
                { "host": "a.localhost", "http": { "paths": [path("/", "Prefix"), path("/x", "Exact")] } },
                { "host": "b.localhost", "http": { "paths": [path("/b", "ImplementationSpecific")] } },
                { "host": "a.localhost", "http": { "paths": [path("/later", "Prefix")] } },
            ],
        });
        let all = vec![service(), ingress(spec)];
        let out = convert(all.clone(), &ports(&all), &gateway()).unwrap();
        let names: Vec<&str> = out.iter().filter_map(|it| it["metadata"]["name"].as_str()).collect();
        assert_eq!(names, ["web", "web", "web-2", "web-3"]);
        assert_eq!(out[1]["spec"]["hostnames"], json!(["a.localhost"]));
        assert_eq!(out[1]["spec"]["rules"].as_array().unwrap().len(), 3);
        assert_eq!(
            out[1]["spec"]["rules"][1],
            json!({ "matches": [{ "path": { "type": "Exact", "value": "/x" } }], "backendRefs": [{ "name": "web", "port": 80 }] })
        );
        assert_eq!(out[2]["spec"]["rules"][0]["matches"][0]["path"], json!({ "type": "PathPrefix", "value": "/b" }));
        assert_eq!(out[3]["spec"]["hostnames"], Value::Null);
        assert_eq!(out[3]["spec"]["rules"], json!([{ "backendRefs": [{ "name": "web", "port": 8080 }] }]));
        let notes = out[1]["metadata"]["annotations"].as_object().unwrap();
        assert!(notes.contains_key("mine") && notes.contains_key(objects::INPUTS) && notes.len() == 2, "{notes:?}");
    }

    #[test]
    fn what_a_route_cannot_say_is_an_error_and_never_left_out() {
        let to = json!({ "service": { "name": "web", "port": { "number": 80 } } });
        let path = |number: usize| json!({ "path": format!("/{number}"), "pathType": "Prefix", "backend": to });
        let many: Vec<Value> = (0..17).map(path).collect();
        let route = json!({ "kind": "HTTPRoute", "metadata": { "name": "web" } });
        for (spec, further, part) in [
            (json!({}), None, "it leads to no Service"),
            (json!({ "rules": [{ "host": "a" }] }), None, "a rule leads to no Service"),
            (json!({ "rules": [{ "http": { "paths": many } }] }), None, "more than 16 paths"),
            (json!({ "tls": [{ "secretName": "mine" }], "defaultBackend": to }), None, "Secret mine"),
            (json!({ "defaultBackend": to }), Some(route), "two HTTPRoutes have the name web"),
        ] {
            let all: Vec<Value> = [Some(ingress(spec)), further].into_iter().flatten().collect();
            let said = convert(all, &Ports::new(), &gateway()).unwrap_err().to_string();
            assert!(said.contains(part), "{said}");
        }
        let own = json!({ "tls": [{ "secretName": CERTIFICATE }], "defaultBackend": to, "rules": [{ "host": "a" }] });
        let out = convert(vec![ingress(own)], &Ports::new(), &gateway()).unwrap();
        assert_eq!(out[0]["spec"]["rules"], json!([{ "backendRefs": [{ "name": "web", "port": 80 }] }]));
    }

    #[test]
    fn a_port_that_nobody_names_is_an_error() {
        let spec =
            json!({ "rules": [{ "http": { "paths": [{ "backend": { "service": { "name": "other", "port": { "name": "http" } } } }] } }] });
        let all = vec![service(), ingress(spec)];
        let said = convert(all.clone(), &ports(&all), &gateway()).unwrap_err().to_string();
        assert!(said.starts_with("Ingress web cannot become an HTTPRoute"), "{said}");
    }
}
