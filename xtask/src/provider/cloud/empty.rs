//! What has to go before the cluster: everything in it that made something in the cloud.
//!
//! A cluster that is destroyed first leaves load balancers, which hold its network, and disks, which cost money: their controllers ran in
//! it.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::Value;

use crate::{
    cluster::{Cluster, ObjectId, Verdict, Wait},
    env::Env,
    graph::TaskId,
    provider::{cloud::vendor::Thing, cluster, existing},
    report::Waiting,
};

/// For an API server that may be restarting.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// A cloud takes minutes to remove a load balancer or a disk.
const GONE_LIMIT: Duration = Duration::from_secs(900);
/// A cloud's lists follow its deletions with some delay.
const LISTED_LIMIT: Duration = Duration::from_secs(180);

/// Deletes database, operator, and every object that has something in the cloud, and waits until that is gone. If the API server does not
/// answer, says what this means, and goes on: the inventory names what is left.
pub(super) fn before_destruction(env: &Env, task: TaskId) -> Result<()> {
    let cluster = cluster(env)?;
    let wait = Wait::new(env, "the API server", ANSWER_LIMIT);
    let answers = cluster.wait_for(env, task, &wait, || Ok(cluster.is_ready().map_or_else(Verdict::NotYet, |()| Verdict::Yes)));
    if let Err(error) = answers {
        env.interrupt.check()?;
        env.note(task, format!("the cluster is removed without being emptied: {error:#}; the inventory at the end names what outlives it"));
        return Ok(());
    }
    existing::remove_all(env, &cluster, task)?;
    for (api_version, kind) in [
        ("gateway.networking.k8s.io/v1", "Gateway"),
        ("networking.k8s.io/v1", "Ingress"),
        ("v1", "Service"),
        ("v1", "PersistentVolumeClaim"),
    ] {
        let found = cluster.list_if_known(api_version, kind, "", "")?;
        for object in found.iter().filter(|it| kind != "Service" || it["spec"]["type"] == "LoadBalancer") {
            let id = ObjectId::of(object)?;
            env.progress(task, format!("deleting {id}"));
            cluster.delete(&id)?;
        }
    }
    let wait = Wait { pause: Duration::from_secs(1), ..Wait::new(env, "the cluster's load balancers and disks to be removed", GONE_LIMIT) };
    cluster.wait_for(env, task, &wait, || {
        let left = cloud_objects(&cluster)?;
        Ok(if left.is_empty() { Verdict::Yes } else { Verdict::NotYet(format!("left: {}", left.join(", "))) })
    })
}

/// Objects that have something in the cloud.
fn cloud_objects(cluster: &Cluster) -> Result<Vec<String>> {
    let services = cluster.list("v1", "Service", "", "")?;
    let balancers = services.iter().filter(|it| it["spec"]["type"] == "LoadBalancer");
    let ingresses = cluster.list_if_known("networking.k8s.io/v1", "Ingress", "", "")?;
    let gateways = cluster.list_if_known("gateway.networking.k8s.io/v1", "Gateway", "", "")?;
    let volumes = cluster.list("v1", "PersistentVolume", "", "")?;
    // The cloud keeps a retained volume, and so does the inventory.
    let deleted = volumes.iter().filter(|it| it["spec"]["persistentVolumeReclaimPolicy"] != "Retain");
    balancers.chain(&ingresses).chain(&gateways).chain(deleted).map(|it: &Value| Ok(ObjectId::of(it)?.to_string())).collect()
}

/// Asks the cloud until it lists nothing any more; what it still lists at the end is the caller's to report.
pub(super) fn until_gone(env: &Env, task: TaskId, list: impl Fn() -> Result<Vec<Thing>>) -> Result<()> {
    let began = Instant::now();
    loop {
        let found = list()?;
        if found.is_empty() || began.elapsed() > LISTED_LIMIT {
            return Ok(());
        }
        let seen = format!("still there: {}", found.iter().map(|it| it.what.as_str()).collect::<Vec<_>>().join(", "));
        env.waiting(task, Waiting::new("the cloud to list nothing of this instance", seen, began.elapsed(), LISTED_LIMIT));
        env.interrupt.sleep(Duration::from_secs(5))?;
    }
}
