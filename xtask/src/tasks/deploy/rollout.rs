//! Rolls out new pods and checks them and the page. Old pods may still be terminating; they get no new requests.

use std::{
    cell::{Cell, RefCell},
    time::{Duration, Instant},
};

use anyhow::Result;
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    cluster::{
        Cluster, ObjectId, Verdict, Wait,
        obstacle::{self, Patience},
        verdict,
    },
    deploy::roles,
    env::Env,
    errors::Problem,
    exposure::Address,
    graph::TaskId,
    tasks::{
        deploy::{PAGE_LIMIT, front_door},
        objects::{patience, with_evidence},
    },
};

/// Longer than the Deployment's own deadline.
const ROLLOUT_LIMIT: Duration = Duration::from_secs(240);
/// Checking more often is no faster on two busy cores.
const PAUSE: Duration = Duration::from_millis(100);
/// A ready pod answers at once; a short problem lasts seconds.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);
/// A cloud's controller makes a load balancer in one to ten minutes; the DNS record can only follow then, and a certificate follows that.
const CLOUD_LIMIT: Duration = Duration::from_secs(1200);
/// For a DNS record and a certificate.
const DOOR_LIMIT: Duration = Duration::from_secs(420);
/// Between two looks at what is in front of the application.
const DOOR_PAUSE: Duration = Duration::from_secs(3);
/// A container that has crashed this often, with everything it needs, will crash again.
const CRASHES: i64 = 2;

/// Applies the objects and waits until every Deployment among them has only new, available pods and the page answers.
pub(super) fn roll_out(env: &Env, cluster: &Cluster, task: TaskId, objects: &[Value], address: &Address) -> Result<()> {
    cluster.apply_all(objects)?;
    let deployments: Vec<&Value> = objects.iter().filter(|it| it["kind"] == "Deployment").collect();
    for object in &deployments {
        let id = ObjectId::of(object)?;
        let labels = labels(object);
        let what = id.to_string();
        let patience = patience(env);
        let wait = Wait { pause: PAUSE, ..Wait::new(env, &what, ROLLOUT_LIMIT) };
        let ready = cluster.wait_for(env, task, &wait, || match cluster.get(&id)? {
            Some(found) => progress(cluster, &found, &labels, &patience),
            None => Ok(Verdict::NotYet(format!("{id} does not exist"))),
        });
        // Without a page, a Deployment's pods must only be available.
        let ready = ready.and_then(|()| match roles::page_of(object) {
            Some((_, Some(port))) => serves(env, cluster, task, object, (port, &env.config.frontend.page), &labels, address),
            _ => roles::further_page_of(object).map_or(Ok(()), |page| serves(env, cluster, task, object, page, &labels, address)),
        });
        let new = ready.is_err().then(|| new_pods(cluster, &id.namespace, &labels).ok().flatten()).flatten();
        with_evidence(ready, cluster, &id.namespace, new.as_deref().unwrap_or(&labels))?;
    }
    for object in objects.iter().filter(|it| it["kind"] == "StatefulSet" || it["kind"] == "DaemonSet") {
        let (id, labels, patience) = (ObjectId::of(object)?, labels(object), patience(env));
        let what = id.to_string();
        let wait = Wait::new(env, &what, ROLLOUT_LIMIT);
        let ready = cluster.wait_for(env, task, &wait, || match cluster.get(&id)? {
            Some(found) => started(cluster, &found, &labels, verdict::of(&found), &patience),
            None => Ok(Verdict::NotYet(format!("{id} does not exist"))),
        });
        with_evidence(ready, cluster, &id.namespace, &labels)?;
    }
    // Each new pod has answered already.
    answers(env, cluster, task, &deployments, address, 1)
}

/// Waits until the page answers through the Service while all Deployments are available, `times` times in a row.
pub(super) fn answers(env: &Env, cluster: &Cluster, task: TaskId, deployments: &[&Value], address: &Address, times: usize) -> Result<()> {
    let what = format!("{} to answer 200", address.url(&env.config.frontend.page));
    let limit = match env.config.is_behind_others() {
        true if env.config.cluster.kind.is_cloud() => CLOUD_LIMIT,
        true => DOOR_LIMIT,
        false => PAGE_LIMIT,
    };
    let wait = Wait { pause: PAUSE, ..Wait::new(env, &what, limit) };
    let seen = Cell::new(0);
    let door = RefCell::new(None);
    let answers = cluster.wait_for(env, task, &wait, || {
        let verdict = all_is_well(env, cluster, deployments, address)?;
        let verdict = if env.config.is_behind_others() { explained(env, cluster, verdict, &door)? } else { verdict };
        seen.set(if verdict == Verdict::Yes { seen.get() + 1 } else { 0 });
        let is_enough = verdict != Verdict::Yes || seen.get() >= times;
        Ok(if is_enough { verdict } else { Verdict::NotYet(format!("it answered {} of {times} times", seen.get())) })
    });
    with_evidence(answers, cluster, &env.config.namespace, "")
}

/// The verdict with what is missing in front of the application. Asked every few seconds, and remembered in `door`.
fn explained(env: &Env, cluster: &Cluster, verdict: Verdict, door: &RefCell<Option<(Instant, Option<String>)>>) -> Result<Verdict> {
    let why = match verdict {
        Verdict::NotYet(why) => why,
        Verdict::Yes => return Ok(front_door::unserved(env, cluster)?.map_or(Verdict::Yes, Verdict::NotYet)),
        Verdict::Never(_) => return Ok(verdict),
    };
    let is_old = door.borrow().as_ref().is_none_or(|(at, _)| at.elapsed() > DOOR_PAUSE);
    if is_old {
        let found = front_door::explain(env, cluster)?;
        door.replace(Some((Instant::now(), found)));
    }
    let said = door.borrow().as_ref().and_then(|it| it.1.clone());
    Ok(Verdict::NotYet(said.map_or_else(|| why.clone(), |said| format!("{why}; {said}"))))
}

/// The owner's verdict, or `Never` if its pods are rejected or cannot start.
pub(super) fn started(cluster: &Cluster, owner: &Value, labels: &str, verdict: Verdict, patience: &Patience) -> Result<Verdict> {
    let text = |pointer: &str| owner.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    if !matches!(verdict, Verdict::NotYet(_)) {
        return Ok(verdict);
    }
    let pods = cluster.list("v1", "Pod", text("/metadata/namespace"), labels)?;
    // A Job counts the failures of its containers itself, and the first ones may be due to a starting database.
    if text("/kind") != "Job"
        && let Some(why) = pods.iter().find_map(hopeless)
    {
        return Ok(Verdict::Never(why));
    }
    let mut found = pods.iter().find_map(obstacle::of_pod);
    if pods.is_empty() {
        let events = cluster.list("v1", "Event", text("/metadata/namespace"), "")?;
        found = obstacle::of_events(&events, text("/metadata/uid"));
    }
    Ok(patience.judge(found, verdict))
}

/// The Deployment's verdict, or `Never` if its new pods are rejected or cannot become ready.
fn progress(cluster: &Cluster, deployment: &Value, labels: &str, patience: &Patience) -> Result<Verdict> {
    let verdict = verdict::deployment(deployment);
    let number = |pointer: &str| deployment.pointer(pointer).and_then(Value::as_i64).unwrap_or_default();
    let is_seen = number("/status/observedGeneration") >= number("/metadata/generation");
    let namespace = deployment.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
    if is_seen
        && matches!(verdict, Verdict::NotYet(_))
        && let Some(new) = new_pods(cluster, namespace, labels)?
    {
        let pods = cluster.list("v1", "Pod", namespace, &new)?;
        if let Some(why) = pods.iter().find_map(hopeless) {
            return Ok(Verdict::Never(why));
        }
        let conditions = deployment.pointer("/status/conditions").and_then(Value::as_array);
        let refused = conditions.into_iter().flatten().find(|it| it["type"] == "ReplicaFailure" && it["status"] == "True");
        let refused = refused.and_then(|it| obstacle::refusal(it["message"].as_str().unwrap_or_default()));
        return Ok(patience.judge(pods.iter().find_map(obstacle::of_pod).or(refused), verdict));
    }
    Ok(verdict)
}

/// Waits until each new pod answers the page directly, since the Service may route to a terminating old pod.
fn serves(
    env: &Env,
    cluster: &Cluster,
    task: TaskId,
    deployment: &Value,
    (port, path): (u16, &str),
    labels: &str,
    address: &Address,
) -> Result<()> {
    let namespace = deployment.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
    let new = new_pods(cluster, namespace, labels)?.unwrap_or_else(|| labels.to_owned());
    let pods = cluster.list("v1", "Pod", namespace, &new)?;
    let answers = &|name: &str| {
        let what = format!("pod {name} to answer {path}");
        let wait = Wait { pause: PAUSE, ..Wait::new(env, &what, ANSWER_LIMIT) };
        let id = ObjectId::new("v1", "Pod", namespace, name);
        cluster.wait_for(env, task, &wait, || match cluster.page_of_pod(namespace, name, port, address, path) {
            Ok(200) => Ok(Verdict::Yes),
            // A pod that is being deleted need not answer.
            _ if cluster.get(&id)?.is_none_or(|it| verdict::of_metadata(&it) != Verdict::Yes) => Ok(Verdict::Yes),
            Ok(other) => Ok(Verdict::NotYet(format!("status {other}"))),
            Err(error) => Err(error),
        })
    };
    std::thread::scope(|scope| {
        let running = pods.iter().filter(|it| !verdict::is_left_behind(it));
        let names = running.filter_map(|it| it.pointer("/metadata/name").and_then(Value::as_str));
        let asked: Vec<_> = names.map(|name| scope.spawn(move || answers(name))).collect();
        asked
            .into_iter()
            .try_for_each(|it| it.join().unwrap_or_else(|_| Err(Problem::new("a question to a pod ended unexpectedly").into())))
    })
}

/// The labels of the pods with the newest template.
fn new_pods(cluster: &Cluster, namespace: &str, labels: &str) -> Result<Option<String>> {
    let sets = cluster.list("apps/v1", "ReplicaSet", namespace, labels)?;
    let revision = |set: &Value| -> u64 {
        let text = set.pointer("/metadata/annotations/deployment.kubernetes.io~1revision").and_then(Value::as_str);
        text.and_then(|it| it.parse().ok()).unwrap_or_default()
    };
    let newest = sets.iter().max_by_key(|it| revision(it));
    let hash = newest.and_then(|it| it.pointer("/metadata/labels/pod-template-hash")).and_then(Value::as_str);
    Ok(hash.map(|hash| format!("{labels},pod-template-hash={hash}")))
}

/// Why a started pod will never be ready.
fn hopeless(pod: &Value) -> Option<String> {
    let name = pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let statuses = |pointer: &str| pod.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    for container in statuses("/status/initContainerStatuses").chain(statuses("/status/containerStatuses")) {
        let text = |pointer: &str| container.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let restarts = container["restartCount"].as_i64().unwrap_or_default();
        match text("/state/waiting/reason") {
            "CrashLoopBackOff" if restarts >= CRASHES => {
                let code = container.pointer("/lastState/terminated/exitCode").and_then(Value::as_i64).unwrap_or_default();
                let times = restarts + 1;
                return Some(format!("container {} of the new pod {name} ended {times} times, last with exit code {code}", text("/name")));
            }
            _ => {}
        }
    }
    None
}

/// Whether all pods are available and the page answers.
fn all_is_well(env: &Env, cluster: &Cluster, deployments: &[&Value], address: &Address) -> Result<Verdict> {
    for object in deployments {
        let id = ObjectId::of(object)?;
        let verdict = match cluster.get(&id)? {
            Some(found) => verdict::deployment(&found),
            None => Verdict::NotYet(format!("{id} does not exist")),
        };
        if verdict != Verdict::Yes {
            return Ok(verdict);
        }
    }
    Ok(pages(env, address).map_or_else(Verdict::NotYet, |_| Verdict::Yes))
}

/// The status of the application's page, if that of every further service with a route is 200 too; or the error of the first that is not.
pub(super) fn pages(env: &Env, address: &Address) -> Result<u16, String> {
    for it in env.config.routes() {
        let own = address.at(&it.host);
        page(&own, it.page).map_err(|why| format!("{}: {why}", own.url(it.page)))?;
    }
    page(address, &env.config.frontend.page)
}

/// Whether a pod that should run is ready with containers that were started after this time.
pub(super) fn is_of_now(pod: &Value, since: Timestamp) -> bool {
    if pod.pointer("/status/phase").is_some_and(|it| it == "Succeeded" || it == "Failed") || verdict::of_metadata(pod) != Verdict::Yes {
        return true;
    }
    let statuses = pod.pointer("/status/containerStatuses").and_then(Value::as_array);
    let started = |it: &Value| it.pointer("/state/running/startedAt")?.as_str()?.parse::<Timestamp>().ok();
    // Kubernetes writes whole seconds.
    let is_new = |it: &Value| it["ready"] == true && started(it).is_some_and(|it| it.as_second() >= since.as_second());
    statuses.is_some_and(|it| it.iter().all(is_new))
}

/// The Deployment's label selector.
pub fn labels(deployment: &Value) -> String {
    let labels = deployment.pointer("/spec/selector/matchLabels").and_then(Value::as_object);
    let pairs: Vec<String> = labels.into_iter().flatten().filter_map(|(name, value)| Some(format!("{name}={}", value.as_str()?))).collect();
    pairs.join(",")
}

/// The HTTP status of the application's page through the Service, or the error.
fn page(address: &Address, path: &str) -> Result<u16, String> {
    match address.fetch(path)?.status {
        200 => Ok(200),
        other => Err(format!("status {other}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(status: &Value, expected: Option<&str>) {
        let pod = json!({ "metadata": { "name": "p" }, "status": { "containerStatuses": [status] } });
        assert_eq!(hopeless(&pod).as_deref(), expected);
    }

    #[test]
    fn only_what_no_waiting_mends_is_hopeless() {
        let crashed = |restarts: i64| {
            json!({ "name": "c", "restartCount": restarts, "state": { "waiting": { "reason": "CrashLoopBackOff" } },
                "lastState": { "terminated": { "exitCode": 3 } } })
        };
        check(&crashed(1), None);
        check(&crashed(2), Some("container c of the new pod p ended 3 times, last with exit code 3"));
        check(&json!({ "name": "c", "restartCount": 5, "state": { "running": {} } }), None);
    }
}
