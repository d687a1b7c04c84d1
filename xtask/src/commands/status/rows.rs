//! Collects the rows of a status in parallel. Expensive rows are refreshed less often.

use std::{thread, time::Instant};

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    cluster::{Cluster, ObjectId, age, survey::State, verdict},
    commands::{
        instance::{self, Answering},
        status::screen::Row,
        validate,
    },
    deploy::{components::Components, operator},
    env::Env,
    invocation,
    provider::provider,
    snapshot, tasks,
};

/// Every how many refreshes all objects are checked for drift.
const DRIFT_EVERY: u32 = 5;

/// The state between refreshes.
#[derive(Default)]
pub(super) struct Looks {
    cluster: Option<Cluster>,
    /// A problem of a cluster that answers.
    note: Option<String>,
    count: u32,
    drift: Option<Row>,
}

type Look = fn(&Env, &Cluster, &Components) -> Result<Row>;

impl Looks {
    /// The current rows. A missing instance is a row, too; only a mistake in the project is an error.
    pub(super) fn take(&mut self, env: &Env) -> Result<Vec<Row>> {
        let components = Components::read(env)?;
        if self.cluster.as_ref().is_none_or(|it| it.is_ready().is_err()) {
            self.cluster = None;
            match instance::what_answers(env) {
                Ok(Answering::Cluster { note }) => {
                    self.cluster = Some(Cluster::open(env, &env.kubeconfig())?);
                    self.note = note;
                }
                Ok(Answering::Node { why }) => return Ok(only_a_node(env, &why)),
                Ok(Answering::Nothing { why }) => return Ok(vec![nothing(env, &format!("{:#}", instance::absent(env, &why)))]),
                Err(error) => {
                    env.interrupt.check()?;
                    return Ok(vec![nothing(env, &format!("{error:#}"))]);
                }
            }
        }
        let Some(cluster) = &self.cluster else { return Ok(Vec::new()) };
        let mut looks: Vec<(&'static str, Look)> =
            vec![("cluster", nodes), ("operator", operator), ("database", database), ("app", app), ("url", url), ("image", image)];
        if !components.services.is_empty() {
            looks.insert(4, ("services", services));
        }
        let with_drift = self.drift.is_none() || self.count.is_multiple_of(DRIFT_EVERY);
        let (mut rows, drift) = thread::scope(|scope| {
            let components = &components;
            let running: Vec<_> =
                looks.into_iter().map(|(name, look)| (name, scope.spawn(move || look(env, cluster, components)))).collect();
            let drift = with_drift.then(|| scope.spawn(move || drift(env, cluster)));
            let row = |name, found: thread::Result<Result<Row>>| match found {
                Ok(Ok(row)) => row,
                Ok(Err(error)) => Row::new(name, false, format!("{error:#}"), json!({ "error": format!("{error:#}") })),
                Err(_) => Row::new(name, false, "the look ended unexpectedly", json!({})),
            };
            let rows: Vec<Row> = running.into_iter().map(|(name, look)| row(name, look.join())).collect();
            (rows, drift.map(|it| row("drift", it.join())))
        });
        if let Some(note) = &self.note {
            rows.insert(0, Row::new("creation", false, note.clone(), json!({ "state": note })));
        }
        self.count += 1;
        self.drift = drift.or(self.drift.take());
        rows.extend(self.drift.clone());
        env.interrupt.check()?;
        Ok(rows)
    }
}

fn nothing(env: &Env, why: &str) -> Row {
    Row::new("cluster", false, invocation::reworded(&format!("{why}; `{} create` starts it", env.tool())), json!({ "state": why }))
}

/// The rows of a cluster whose node runs without an API server.
fn only_a_node(env: &Env, why: &str) -> Vec<Row> {
    let tool = env.tool();
    let node = format!("runs; `{tool} logs node` shows its logs, `{tool} shell node` opens a shell in it");
    let mut rows = vec![
        Row::new("cluster", false, why, json!({ "state": why })),
        Row::new("node", true, invocation::reworded(&node), json!({ "state": "running" })),
    ];
    if let Some(folder) = instance::latest_evidence(env) {
        rows.push(Row::new("evidence", true, format!("the node's logs of the last failure are in {folder}"), json!({ "folder": folder })));
    }
    rows
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn since(object: &Value) -> String {
    age::words(age::seconds(text(object, "/metadata/creationTimestamp")))
}

fn nodes(env: &Env, cluster: &Cluster, _: &Components) -> Result<Row> {
    let nodes = cluster.list("v1", "Node", "", "")?;
    let ready = nodes.iter().filter(|it| verdict::of(it) == verdict::Verdict::Yes).count();
    let first = nodes.first().cloned().unwrap_or_default();
    let (version, old) = (text(&first, "/status/nodeInfo/kubeletVersion"), since(&first));
    let kind = env.config.cluster.kind;
    let words = format!("{} ({kind}), {ready} of {} nodes ready, Kubernetes {version}, {old} old", env.instance, nodes.len());
    let data = json!({ "type": kind.to_string(), "nodes": nodes.len(), "ready": ready, "version": version, "created": text(&first, "/metadata/creationTimestamp") });
    Ok(Row::new("cluster", ready == nodes.len() && ready > 0, words, data))
}

fn operator(_: &Env, cluster: &Cluster, _: &Components) -> Result<Row> {
    let id = ObjectId::new("apps/v1", "Deployment", operator::NAMESPACE, operator::DEPLOYMENT);
    let Some(found) = cluster.get(&id)? else { return Ok(Row::new("operator", false, format!("{id} does not exist"), json!({}))) };
    let image = text(&found, "/spec/template/spec/containers/0/image").to_owned();
    let verdict = verdict::of(&found);
    let state = verdict.why().unwrap_or("ready").to_owned();
    let words = format!("CloudNativePG {}, {state}, {} old", tag(&image), since(&found));
    Ok(Row::new("operator", verdict.why().is_none(), words, json!({ "image": image, "state": state })))
}

fn tag(image: &str) -> &str {
    let name = image.split('@').next().unwrap_or_default();
    name.rsplit_once(':').map_or(name, |(_, tag)| tag)
}

fn database(env: &Env, cluster: &Cluster, components: &Components) -> Result<Row> {
    let id = ObjectId::new("postgresql.cnpg.io/v1", "Cluster", &components.database.namespace, &components.cluster);
    let Some(found) = cluster.get(&id)? else { return Ok(Row::new("database", false, format!("{id} does not exist"), json!({}))) };
    let primary = text(&found, "/status/currentPrimary");
    let instances = found.pointer("/spec/instances").and_then(Value::as_u64).unwrap_or_default();
    let ready = found.pointer("/status/readyInstances").and_then(Value::as_u64).unwrap_or_default();
    let verdict = verdict::of(&found);
    let said = validate::ask_database(env, cluster, components);
    let (lag, version) = said.as_ref().map_or((None, String::new()), |it| (Some(it.lag()), it.version.clone()));
    let mut words = format!("primary {primary}, {ready} of {instances} instances ready");
    match &said {
        Ok(it) => {
            words.push_str(&format!(", PostgreSQL {}", short(&version)));
            if !it.replicas.is_empty() {
                let waits = if it.waited_for() == 0 { "" } else { ", transactions wait for one" };
                words.push_str(&format!(", replicas {:.1} s behind{waits}", it.lag()));
            }
            words.push_str(&format!(", {} MB", it.size.div_ceil(1_000_000)));
        }
        Err(error) => words.push_str(&format!(", no answer: {error:#}")),
    }
    let snapshot = snapshot::last(env).map(|it| it.to_string());
    if let Some(taken) = &snapshot {
        words.push_str(&format!(", last snapshot {} old", age::words(age::seconds(taken))));
    }
    let wrong =
        if said.is_ok() { validate::wrong_settings(env, cluster, components).ok().flatten().unwrap_or_default() } else { String::new() };
    let held = verdict::held(&found).map(|it| format!(": `{}` ends that", invocation::reworded(&it.command))).unwrap_or_default();
    let short = said.as_ref().ok().and_then(|it| it.short_of_disk());
    let whys = [verdict.why().map(|it| format!("{it}{held}")), Some(wrong.clone()).filter(|it| !it.is_empty()), short.clone()];
    for why in whys.into_iter().flatten() {
        words = format!("{why}; {words}");
    }
    let is_well = verdict.why().is_none() && said.is_ok() && wrong.is_empty() && short.is_none();
    let replicas: Vec<Value> = said
        .iter()
        .flat_map(|it| &it.replicas)
        .map(|it| json!({ "name": it.name, "state": it.state, "sync": it.sync, "lag": it.seconds }))
        .collect();
    let data = json!({ "primary": primary, "instances": instances, "ready": ready, "phase": text(&found, "/status/phase"), "version": version, "lag": lag, "replicas": replicas, "size": said.as_ref().ok().map(|it| it.size), "room": said.as_ref().ok().and_then(|it| Some(it.volume?.0)), "last_snapshot": snapshot, "wrong_settings": wrong });
    Ok(Row::new("database", is_well, format!("{words}, {} old", since(&found)), data))
}

/// `17.12 (Debian …)`.
fn short(version: &str) -> &str {
    version.split(' ').next().unwrap_or_default()
}

fn app(env: &Env, cluster: &Cluster, components: &Components) -> Result<Row> {
    let pods = cluster.list("v1", "Pod", &components.app.namespace, &components.app.selector)?;
    let (well, words, value) = state_of(&pods.iter().collect::<Vec<_>>(), Some(usize::from(env.config.frontend.replicas)));
    Ok(Row::new("app", well, words, value))
}

/// All further services, in one row.
fn services(_: &Env, cluster: &Cluster, components: &Components) -> Result<Row> {
    let (mut well, mut said, mut values) = (true, Vec::new(), serde_json::Map::new());
    let pods = cluster.pods_in(components.services.iter().map(|it| it.part.namespace.as_str()))?;
    for it in &components.services {
        let (is_well, words, value) = state_of(&it.part.of(&pods), it.pods.and_then(|it| usize::try_from(it).ok()));
        well &= is_well;
        said.push(format!("{}: {words}", it.service));
        values.insert(it.service.to_string(), value);
    }
    Ok(Row::new("services", well, said.join("; "), Value::Object(values)))
}

/// The state of a component's pods. `wanted` is `None` if an autoscaler or the nodes decide the number.
fn state_of(pods: &[&Value], wanted: Option<usize>) -> (bool, String, Value) {
    let is_here = |it: &&Value| verdict::of_metadata(it) == verdict::Verdict::Yes && !verdict::is_left_behind(it);
    let here: Vec<&Value> = pods.iter().copied().filter(is_here).collect();
    let ready = here.iter().filter(|it| verdict::of(it) == verdict::Verdict::Yes).count();
    let statuses = here.iter().filter_map(|it| it.pointer("/status/containerStatuses")?.as_array()).flatten();
    let restarts: i64 = statuses.filter_map(|it| it["restartCount"].as_i64()).sum();
    let wanted = wanted.unwrap_or(here.len().max(1));
    let youngest = here.iter().map(|it| text(it, "/metadata/creationTimestamp")).max().unwrap_or_default();
    let mut words = format!("{ready} of {wanted} pods ready, {restarts} restarts, the youngest {} old", age::words(age::seconds(youngest)));
    if let Some(why) = here.iter().find_map(|it| verdict::of(it).why().map(str::to_owned)) {
        words = format!("{words}; {why}");
    }
    (ready == wanted, words, json!({ "ready": ready, "wanted": wanted, "restarts": restarts }))
}

fn url(env: &Env, _: &Cluster, _: &Components) -> Result<Row> {
    let Some(address) = provider(env).address(env)? else {
        return Ok(Row::new("url", false, "not assigned by the cluster yet", json!({ "url": null })));
    };
    let url = address.url(&env.config.frontend.page);
    let fetch = || {
        let began = Instant::now();
        address.fetch(&env.config.frontend.page).map(|page| (page, began.elapsed().as_millis()))
    };
    // As `Address::ask`, with the time of the answer alone.
    let found = fetch().or_else(|_| fetch());
    let (mut is_well, mut words, mut value) = match found {
        Ok((page, took)) => (
            page.status == 200,
            format!("{url} answers {} in {took} ms", page.status),
            json!({ "url": url, "status": page.status, "milliseconds": took }),
        ),
        Err(why) => (false, format!("{url}: {why}"), json!({ "url": url, "error": why })),
    };
    let mut routes = Vec::new();
    for it in env.config.routes() {
        let own = address.at(&it.host);
        let url = own.url(it.page);
        let found = own.ask(it.page).map(|page| page.status);
        is_well &= found == Ok(200);
        words += &found.as_ref().map_or_else(|why| format!("; {url}: {why}"), |status| format!("; {url} answers {status}"));
        routes.push(json!({ "service": it.service.as_str(), "url": url, "status": found.as_ref().ok(), "error": found.as_ref().err() }));
    }
    if !routes.is_empty() {
        value["routes"] = json!(routes);
    }
    Ok(Row::new("url", is_well, words, value))
}

fn image(env: &Env, cluster: &Cluster, components: &Components) -> Result<Row> {
    let used = cluster.images(&components.app.namespace, &components.app.selector, &components.app.container)?;
    let planned = tasks::image::current(env, None).and_then(|it| Ok(provider(env).name_for_pods(env, &it)?.to_string()));
    let revision = tasks::deploy::serving(&tasks::deploy::revisions(env)?);
    let back = tasks::deploy::rolled_back(cluster, &env.config.namespace)?;
    let how = back.as_ref().map(|it| format!(", a {}", it.why)).unwrap_or_default();
    let number = revision.map(|it| format!(", revision {it}{how}")).unwrap_or_default();
    let is_planned = planned.as_ref().is_ok_and(|it| used == [it.clone()]);
    let is_back = |it: tasks::deploy::Revision| provider(env).name_for_pods(env, &it.image).is_ok_and(|it| used == [it.to_string()]);
    let is_right = is_planned || back.is_some_and(is_back);
    let words = match (&planned, is_planned) {
        (_, true) => format!("{}{number}", used.join(", ")),
        (Ok(planned), false) => format!("{}{number}; the source makes {planned}", used.join(", ")),
        (Err(error), false) => format!("{}{number}; what the source makes is not known: {error:#}", used.join(", ")),
    };
    Ok(Row::new("image", is_right, words, json!({ "running": used, "planned": planned.ok(), "revision": revision })))
}

fn drift(env: &Env, cluster: &Cluster) -> Result<Row> {
    let seen = tasks::objects::look_at_all(env, cluster)?;
    let differs: Vec<String> =
        seen.iter().filter(|it| !matches!(it.state, State::Well | State::NotReady(_))).map(ToString::to_string).collect();
    let mut words = match differs.as_slice() {
        [] => format!("none in {} objects", seen.len()),
        [first, rest @ ..] => format!("{} of {} objects: {first}{}", differs.len(), seen.len(), if rest.is_empty() { "" } else { ", …" }),
    };
    let besides = tasks::deploy::besides_serving(env, cluster)?;
    let names: Vec<String> = besides.iter().map(|(id, _)| id.to_string()).collect();
    if !names.is_empty() {
        words.push_str(&format!("; in the cluster, but not in the serving revision: {}", names.join(", ")));
    }
    // Kept data is not a problem.
    let well = differs.is_empty() && besides.iter().all(|(_, may_hold_data)| *may_hold_data);
    Ok(Row::new("drift", well, words, json!({ "objects": seen.len(), "differs": differs, "besides": names })))
}
