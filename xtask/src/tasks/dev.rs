//! Copies changed code into running pods: patched here, sent as an archive, reloaded by the server.

pub mod watch;

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{
    cluster::{Cluster, Exec, ObjectId},
    deploy::roles,
    env::Env,
    errors::Problem,
    fingerprint::Fingerprint,
    graph::TaskId,
    probe::Probe,
    record,
    report::Waiting,
    tasks::{
        Task as _, deploy, image,
        patch::Patch,
        requirements::{Requirements, UNSTAGED},
    },
};

const ID: TaskId = TaskId::Dev;
/// The script in the container that receives the files.
const RECEIVE: &str = include_str!("dev/receive.py");
/// A replaced pod is scheduled and started within this time.
const RUNS_LIMIT: Duration = Duration::from_secs(60);
/// For copying a few files into a pod.
const LIMIT: Duration = Duration::from_secs(20);

/// An instance in development.
pub struct Session<'a> {
    env: &'a Env,
    cluster: Cluster,
    namespace: String,
    labels: String,
    container: String,
    /// The files of the image, and so of each new pod.
    image: Fingerprint,
    /// The files of each pod, by its UID.
    pods: BTreeMap<String, Fingerprint>,
}

/// The result of a sync.
pub enum Synced {
    /// The number of files that were copied into this number of pods.
    Done { files: usize, pods: usize, took: Duration },
    /// A new image is necessary; the reason.
    Rebuild(String),
}

impl<'a> Session<'a> {
    /// Deploys for development. The image of the current source must be in the cluster.
    pub fn enter(env: &'a Env) -> Result<Session<'a>> {
        let cluster = Cluster::open(env, &env.kubeconfig())?;
        let deployment = deploy::develop(env, &cluster, ID)?;
        let id = ObjectId::of(&deployment)?;
        let container = roles::page_of(&deployment).map(|(container, _)| container).unwrap_or_default();
        Ok(Session {
            env,
            cluster,
            namespace: id.namespace,
            labels: deploy::labels(&deployment),
            container: container.to_owned(),
            image: staged(env)?,
            pods: BTreeMap::new(),
        })
    }

    /// The labels of the pods whose logs are followed.
    pub fn labels(&self) -> (&str, &str) {
        (&self.namespace, &self.labels)
    }

    /// Copies and patches the source again, and copies the differences to every pod in parallel.
    pub fn sync(&mut self) -> Result<Synced> {
        let began = Instant::now();
        let patch = Patch::default();
        let want = patch.inputs(self.env)?;
        patch.run(self.env, &want)?;
        record::write(self.env, TaskId::Patch, &want)?;
        let requirements = Requirements::default();
        let found = requirements.probe(self.env, &requirements.inputs(self.env)?)?;
        // The copied source has no pins any more; only an image needs them.
        if let Probe::Stale(why) = found
            && why != UNSTAGED
        {
            return Ok(Synced::Rebuild(why));
        }
        let desired = staged(self.env)?;
        let pods = self.running()?;
        let results: Vec<(String, Result<usize>)> = std::thread::scope(|scope| {
            let sends: Vec<_> = pods
                .iter()
                .map(|(uid, name)| {
                    let held = self.pods.get(uid).unwrap_or(&self.image);
                    let (session, desired) = (&*self, &desired);
                    (uid.clone(), scope.spawn(move || session.send(name, held, desired)))
                })
                .collect();
            let ended = |it: std::thread::ScopedJoinHandle<'_, Result<usize>>| {
                it.join().unwrap_or_else(|_| Err(Problem::new("the transfer to a pod ended unexpectedly").into()))
            };
            sends.into_iter().map(|(uid, send)| (uid, ended(send))).collect()
        });
        let mut files = 0;
        let count = results.len();
        for (uid, result) in results {
            files = files.max(result?);
            self.pods.insert(uid, desired.clone());
        }
        Ok(Synced::Done { files, pods: count, took: began.elapsed() })
    }

    /// UIDs and names of the running pods. A pod whose server has exited is deleted, and its replacement is waited for.
    fn running(&self) -> Result<Vec<(String, String)>> {
        let began = Instant::now();
        loop {
            let mut out = Vec::new();
            for pod in self.cluster.list("v1", "Pod", &self.namespace, &self.labels)? {
                let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
                let (uid, name) = (text("/metadata/uid"), text("/metadata/name"));
                let container = pod.pointer("/status/containerStatuses/0").cloned().unwrap_or_default();
                if pod.pointer("/metadata/deletionTimestamp").is_some() {
                    continue;
                }
                if container["state"]["running"].is_object() {
                    out.push((uid, name));
                } else if container["restartCount"].as_i64().unwrap_or_default() > 0 || container["state"]["terminated"].is_object() {
                    self.env.note(ID, format!("the server of pod {name} has ended: the pod is replaced"));
                    self.cluster.delete(&ObjectId::new("v1", "Pod", &self.namespace, &name))?;
                }
            }
            if !out.is_empty() {
                return Ok(out);
            }
            let waiting = Waiting::new("a pod of the application to run", "no container runs", began.elapsed(), RUNS_LIMIT);
            if began.elapsed() > RUNS_LIMIT {
                return Err(Problem::timed_out(waiting.timed_out()).hint("start the pods again: cargo xtask update").into());
            }
            self.env.waiting(ID, waiting);
            self.env.interrupt.sleep(Duration::from_millis(100))?;
        }
    }

    fn send(&self, pod: &str, held: &Fingerprint, desired: &Fingerprint) -> Result<usize> {
        let other = |it: &&(String, String)| !held.parts.contains(it);
        let changed: Vec<&str> = desired.parts.iter().filter(other).map(|(name, _)| name.as_str()).collect();
        let is_gone = |name: &str| !desired.parts.iter().any(|(other, _)| other == name);
        let gone: Vec<&str> = held.parts.iter().map(|(name, _)| name.as_str()).filter(|it| is_gone(it)).collect();
        if changed.is_empty() && gone.is_empty() {
            return Ok(0);
        }
        let archive = archive(&self.env.scope(TaskId::Image).stage(), &changed)?;
        let mut command = vec!["python3", "-c", RECEIVE];
        command.extend(&gone);
        let exec = Exec { namespace: &self.namespace, pod, container: &self.container, command: &command, limit: LIMIT };
        let sent = self.cluster.exec_streams(exec, Some(&mut archive.as_slice()), &mut std::io::sink());
        sent.map_err(|error| {
            // The command in the error contains the script; only the text after it is shown.
            let said = format!("{error:#}");
            let said = said.rsplit(" failed: ").next().unwrap_or_default().trim().to_owned();
            Problem::new(format!("pod {pod} did not take the change and runs the code from before: {said}"))
        })?;
        Ok(changed.len() + gone.len())
    }
}

/// The files of the application that are copied into pods.
fn staged(env: &Env) -> Result<Fingerprint> {
    let mut tree = Fingerprint::new();
    let scope = env.scope(TaskId::Image);
    tree.add_context("", &scope.stage(), image::ignore(&scope)?.as_ref())?;
    let named = |(name, digest): (String, String)| (name.trim_start_matches('/').to_owned(), digest);
    Ok(Fingerprint { parts: tree.parts.into_iter().map(named).filter(|(name, _)| watch::goes(name)).collect() })
}

fn archive(root: &Path, names: &[&str]) -> Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for name in names {
        let content = fs::read(root.join(name)).with_context(|| format!("read {name} of the staged application"))?;
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, content.as_slice()).with_context(|| format!("pack {name}"))?;
    }
    builder.into_inner().context("end the archive")
}
