//! Finds the application's objects in a folder: its Deployment, its migration Job, the Service that publishes it. The order of files does
//! not matter. If the manifests are ambiguous, an error names every candidate with its line.

use anyhow::Result;
use serde_json::Value;

use crate::{
    config::{FIRST, ServiceName},
    deploy::manifests::Manifest,
    errors::{Code, Problem},
};

/// The annotation of the application's Deployment. Users set "true" if there are several candidates; the tool applies `CONTAINER:PORT`, the
/// application's container and the port of the page.
pub const APPLICATION: &str = "dev.pocdeploy/application";
/// The annotation of a Job: "true" for the migration, "false" for any other.
pub const MIGRATION: &str = "dev.pocdeploy/migration";
/// The annotation of a further service's Deployment with a page: `CONTAINER:PORT/PATH`. The tool sets it.
pub const PAGE: &str = "dev.pocdeploy/page";
/// The label with an object's component (kubernetes.io/docs/concepts/overview/working-with-objects/common-labels).
const COMPONENT: &str = "app.kubernetes.io/component";
/// The tag of an image that the tool replaces.
const PLACEHOLDER: &str = ":set-by-pocdeploy";
/// The port of kind's node that is mapped to this machine; a Service with this node port is the published one.
const NODE_PORT: u64 = 30080;

/// Indexes of the objects in the folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    pub application: Option<usize>,
    /// The index of the application's container in the pod.
    pub container: usize,
    /// The container's port for the page.
    pub port: Option<u16>,
    pub migration: Option<usize>,
    pub published: Option<Published>,
    /// The names of the Services that select the application's pods.
    pub services: Vec<String>,
    /// The namespace in the manifests, which the configured one replaces.
    pub home: String,
}

/// A Service and its port for the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    pub service: usize,
    pub port: usize,
}

impl Roles {
    /// `image` is the service's image without a tag. Without a service it is the first one, whose Service is published.
    pub fn of(manifests: &[Manifest], image: &str, service: Option<ServiceName>) -> Result<Roles> {
        let application = application(manifests, image, service)?;
        let mut out = Roles { application, migration: migration(manifests)?, ..Roles::default() };
        out.home = home(manifests, out.application)?;
        let Some(application) = out.application else { return Ok(out) };
        let pods = &manifests[application].object;
        for index in out.application.iter().chain(&out.migration) {
            stays_home(&manifests[*index], &out.home)?;
        }
        out.container = container(pods, image);
        let services = of_kind(manifests, "Service");
        let selects = |index: &usize| is_selected(&manifests[*index].object, pods);
        let names = services.iter().filter(|it| selects(it)).map(|it| name(&manifests[*it].object).to_owned());
        out.services = names.collect();
        if service.is_some() {
            // Other services reach it by name; its port is that of the first of its Services.
            let first = services.iter().find(|it| selects(it)).map(|it| page_port(&manifests[*it].object).1);
            out.port = container_port(pods, out.container, first.flatten());
            return Ok(out);
        }
        let service = published(manifests, &services, &selects)?;
        stays_home(&manifests[service], &out.home)?;
        let (port, target) = page_port(&manifests[service].object);
        out.published = Some(Published { service, port });
        let is_direct = selects(&service);
        out.port = container_port(pods, out.container, target.filter(|_| is_direct));
        Ok(out)
    }
}

impl Roles {
    /// The roles in another folder of the same application, which does not contain the application itself.
    pub fn elsewhere(&self) -> Roles {
        Roles { home: self.home.clone(), ..Roles::default() }
    }
}

/// The application's container and its port for the page, from an applied Deployment; `None` for other objects.
pub fn page_of(object: &Value) -> Option<(&str, Option<u16>)> {
    let text = object.pointer("/metadata/annotations")?.get(APPLICATION)?.as_str()?;
    let (container, port) = text.split_once(':')?;
    Some((container, port.parse().ok()))
}

/// The port and the page of a further service, from its applied Deployment.
pub fn further_page_of(object: &Value) -> Option<(u16, &str)> {
    let text = object.pointer("/metadata/annotations")?.get(PAGE)?.as_str()?;
    let (_, rest) = text.split_once(':')?;
    let at = rest.find('/')?;
    Some((rest[..at].parse().ok()?, &rest[at..]))
}

/// The text that [`page_of`] parses.
pub fn page_text(container: &str, port: Option<u16>) -> String {
    format!("{container}:{}", port.map(|it| it.to_string()).unwrap_or_default())
}

/// Whether an image is the application's: this name with any tag or digest, or the tag `set-by-pocdeploy`.
pub fn is_ours(named: &str, image: &str) -> bool {
    name_of(named) == image || named.ends_with(PLACEHOLDER)
}

/// A reference without tag and digest.
pub fn name_of(image: &str) -> &str {
    let named = image.split('@').next().unwrap_or_default();
    match named.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => named,
    }
}

/// The Deployment with the annotation; else with the component label; else with the service's image; else with the service's name.
fn application(manifests: &[Manifest], image: &str, service: Option<ServiceName>) -> Result<Option<usize>> {
    let short = image.rsplit('/').next().unwrap_or(image);
    let service = service.as_ref().map_or(FIRST, ServiceName::as_str);
    let names = [short.to_owned(), format!("{short}-{service}"), service.to_owned()];
    let rules: [&dyn Fn(&Value) -> bool; 4] = [
        &|it| annotation(it, APPLICATION).is_some_and(|it| it != "false"),
        &|it| component(it) == service,
        &|it| containers(it).iter().any(|it| is_ours(it["image"].as_str().unwrap_or_default(), image)),
        &|it| names.iter().any(|name_of_it| name_of_it == name(it)),
    ];
    let mut all = of_kind(manifests, "Deployment");
    if all.len() > 1 {
        all.retain(|it| annotation(&manifests[*it].object, APPLICATION) != Some("false"));
    }
    let left = narrow(manifests, all, &rules);
    match left.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(*one)),
        several => Err(ambiguous(
            manifests,
            several,
            "more than one Deployment may be the application's",
            &format!("write the annotation `{APPLICATION}: \"true\"` into the one whose pods serve the page"),
        )),
    }
}

/// The only Job; else the one with the annotation; else with the component label `migration`; else with such a name.
fn migration(manifests: &[Manifest]) -> Result<Option<usize>> {
    let mut all = of_kind(manifests, "Job");
    all.retain(|it| annotation(&manifests[*it].object, MIGRATION) != Some("false"));
    let rules: [&dyn Fn(&Value) -> bool; 3] =
        [&|it| annotation(it, MIGRATION).is_some(), &|it| component(it) == "migration", &|it| name(it).contains("migrat")];
    let left = narrow(manifests, all, &rules);
    match left.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(*one)),
        several => Err(ambiguous(
            manifests,
            several,
            "more than one Job may be the migration, which ends before the application's pods are replaced",
            &format!("write the annotation `{MIGRATION}: \"true\"` into that one, or \"false\" into those that are none"),
        )),
    }
}

/// The Service of the page: one with kind's node port; else one that is reachable from outside; else one without a type. Among these,
/// Services that select the application's pods come first. `type: ClusterIP` is used only if there is no other, as behind an Ingress; a
/// headless Service never.
fn published(manifests: &[Manifest], services: &[usize], selects: &dyn Fn(&usize) -> bool) -> Result<usize> {
    let spec = |index: &usize| &manifests[*index].object["spec"];
    let outside = |index: &usize| matches!(spec(index)["type"].as_str(), Some("NodePort" | "LoadBalancer"));
    let open = |index: &usize| spec(index)["type"].is_null() && spec(index)["clusterIP"] != "None";
    let names_port = |index: &usize| outside(index) && ports(&manifests[*index].object).iter().any(|it| it["nodePort"] == NODE_PORT);
    let inside = |index: &usize| spec(index)["type"] == "ClusterIP" && spec(index)["clusterIP"] != "None";
    let rules: [&dyn Fn(&usize) -> bool; 5] =
        [&names_port, &|it| outside(it) && selects(it), &|it| open(it) && selects(it), &outside, &|it| inside(it) && selects(it)];
    for rule in rules {
        let left: Vec<usize> = services.iter().copied().filter(|it| rule(it)).collect();
        match left.as_slice() {
            [] => {}
            [one] => return Ok(*one),
            several => {
                let what = "more than one Service may publish the application";
                let hint =
                    format!("write `type: NodePort` and `nodePort: {NODE_PORT}` into the one that does, `type: ClusterIP` into the others");
                return Err(ambiguous(manifests, several, what, &hint));
            }
        }
    }
    let hint =
        format!("write a Service with `type: NodePort`, a port with `nodePort: {NODE_PORT}`, and the labels of the Deployment's pods");
    Err(ambiguous(manifests, services, "no Service publishes the application: nothing outside the cluster could reach it", &hint))
}

/// The Service's port for the page (its index), and its target: the port with kind's number; else the one named `http`; else the first TCP
/// port.
fn page_port(service: &Value) -> (usize, Option<&Value>) {
    let ports = ports(service);
    let at = ports.iter().position(|it| it["nodePort"] == NODE_PORT);
    let at = at.or_else(|| ports.iter().position(|it| it["name"] == "http"));
    let at = at.or_else(|| ports.iter().position(|it| matches!(it["protocol"].as_str(), None | Some("TCP")))).unwrap_or(0);
    // The default targetPort is the port's own number.
    let target = ports.get(at).and_then(|it| it.get("targetPort").or_else(|| it.get("port")));
    (at, target)
}

/// The container's port for a Service's target, by name or number; else its first port.
fn container_port(deployment: &Value, container: usize, target: Option<&Value>) -> Option<u16> {
    let number = |it: &Value| it.as_u64().and_then(|it| u16::try_from(it).ok());
    let ports = containers(deployment).get(container).and_then(|it| it["ports"].as_array()).map(Vec::as_slice).unwrap_or_default();
    let named = target.and_then(Value::as_str).and_then(|name| ports.iter().find(|it| it["name"] == name));
    let named = named.and_then(|it| number(&it["containerPort"]));
    named.or_else(|| target.and_then(number)).or_else(|| ports.first().and_then(|it| number(&it["containerPort"])))
}

/// The container in the annotation of kubectl's default container; else the one with the application's image; else the first.
fn container(deployment: &Value, image: &str) -> usize {
    let default = deployment.pointer("/spec/template/metadata/annotations/kubectl.kubernetes.io~1default-container");
    let all = containers(deployment);
    let named = default.and_then(|name| all.iter().position(|it| it["name"] == *name));
    named.or_else(|| all.iter().position(|it| is_ours(it["image"].as_str().unwrap_or_default(), image))).unwrap_or(0)
}

/// The name of the only Namespace; if there are several, the one of the application's Deployment.
fn home(manifests: &[Manifest], application: Option<usize>) -> Result<String> {
    let all = of_kind(manifests, "Namespace");
    let wanted = application.and_then(|it| manifests[it].object.pointer("/metadata/namespace")).and_then(Value::as_str);
    match all.as_slice() {
        [] => Ok(wanted.unwrap_or_default().to_owned()),
        [one] => Ok(name(&manifests[*one].object).to_owned()),
        several => match wanted.filter(|wanted| several.iter().any(|it| name(&manifests[*it].object) == *wanted)) {
            Some(wanted) => Ok(wanted.to_owned()),
            None => Err(ambiguous(
                manifests,
                several,
                "more than one Namespace may be the application's",
                "write metadata.namespace into the application's Deployment",
            )),
        },
    }
}

/// The application must be in the database's namespace, since the tool waits and shows objects there.
fn stays_home(manifest: &Manifest, home: &str) -> Result<()> {
    let namespace = manifest.object.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
    if namespace.is_empty() || namespace == home || home.is_empty() {
        return Ok(());
    }
    let what = format!("{manifest} is in namespace {namespace}, and the application's namespace is {home}");
    Err(Problem::config(what).code(Code::Manifest).hint(format!("write `namespace: {home}`, or leave it out")).into())
}

/// Filters the candidates by each rule; a rule that excludes all is ignored.
fn narrow(manifests: &[Manifest], mut all: Vec<usize>, rules: &[&dyn Fn(&Value) -> bool]) -> Vec<usize> {
    for rule in rules {
        if all.len() < 2 {
            break;
        }
        let left: Vec<usize> = all.iter().copied().filter(|it| rule(&manifests[*it].object)).collect();
        if !left.is_empty() {
            all = left;
        }
    }
    all
}

fn ambiguous(manifests: &[Manifest], which: &[usize], what: &str, hint: &str) -> anyhow::Error {
    let lines: Vec<String> = which.iter().map(|it| format!("\n  {}", manifests[*it])).collect();
    Problem::config(format!("{what}{}", lines.concat())).code(Code::Manifest).hint(hint).into()
}

fn of_kind(manifests: &[Manifest], kind: &str) -> Vec<usize> {
    manifests.iter().enumerate().filter(|(_, it)| it.object["kind"] == kind).map(|(index, _)| index).collect()
}

fn is_selected(service: &Value, deployment: &Value) -> bool {
    let Some(selector) = service.pointer("/spec/selector").and_then(Value::as_object).filter(|it| !it.is_empty()) else { return false };
    let labels = deployment.pointer("/spec/template/metadata/labels");
    selector.iter().all(|(name, value)| labels.and_then(|it| it.get(name)) == Some(value))
}

fn annotation<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.pointer("/metadata/annotations")?.get(name)?.as_str()
}

fn component(object: &Value) -> &str {
    object.pointer("/metadata/labels").and_then(|it| it.get(COMPONENT)).and_then(Value::as_str).unwrap_or_default()
}

fn name(object: &Value) -> &str {
    object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
}

fn ports(service: &Value) -> &[Value] {
    service.pointer("/spec/ports").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The path that a container's readinessProbe asks, if it asks by HTTP.
pub fn probe_of(object: &Value, container: usize) -> Option<String> {
    containers(object).get(container)?.pointer("/readinessProbe/httpGet/path")?.as_str().map(str::to_owned)
}

/// The containers of an object with a pod template.
fn containers(object: &Value) -> &[Value] {
    object.pointer("/spec/template/spec/containers").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests;
