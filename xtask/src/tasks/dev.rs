//! Copies changed code into running pods: patched and, where necessary, compiled here, sent as an archive, and loaded by the process.

mod events;
pub mod look;
mod rules;
pub mod watch;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use filetree::walk::Passed;
use serde_json::Value;

use crate::{
    artifacts,
    cluster::{Cluster, Exec, ObjectId},
    config::{ServiceName, name_of},
    deploy::development::{Own, Reload},
    dockerfile,
    env::{Env, Scope},
    errors::Problem,
    fingerprint::Fingerprint,
    graph::{TaskId, TaskKind},
    probe::Probe,
    record,
    report::Waiting,
    tasks::{
        Task as _, deploy,
        dev::{
            rules::Rules,
            watch::{Decision, Seen, Watched},
        },
        image,
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

/// The pods of a Deployment in development.
struct Place {
    deployment: ObjectId,
    labels: String,
    container: String,
    reload: Reload,
    /// The files of each pod, by its UID.
    pods: BTreeMap<String, Fingerprint>,
}

/// A service with an image, and the Deployments that run it.
struct Part {
    service: Option<ServiceName>,
    rules: Rules,
    /// The words of the migration's command that its start command does not have.
    migrate: Vec<String>,
    /// The path of Python in its image.
    python: String,
    /// The files of the image, and so of each new pod.
    image: Fingerprint,
    places: Vec<Place>,
}

/// An instance in development.
pub struct Session<'a> {
    env: &'a Env,
    cluster: Cluster,
    parts: Vec<Part>,
}

/// The result of a sync.
pub enum Synced {
    /// The number of files that were copied into this number of pods.
    Done { files: usize, pods: usize, took: Duration },
    /// A new image is necessary; the reason.
    Rebuild(String),
}

impl<'a> Session<'a> {
    /// Deploys for development. The images of the current source must be in the cluster.
    pub fn enter(env: &'a Env) -> Result<Session<'a>> {
        let cluster = Cluster::open(env, &env.kubeconfig())?;
        let (mut parts, mut taking) = (Vec::new(), Vec::new());
        for service in env.config.built() {
            let reference = image::current(env, service)?;
            let facts = env.engine()?.image(&reference)?.with_context(|| format!("image {reference} is gone"))?;
            let python = env.engine()?.program_in(&reference, &facts, "python3")?;
            let rules = Rules::of(&scope(env, service), &facts, python.as_deref())?;
            let python = python.unwrap_or_default();
            let own = Own { folder: facts.folder, entrypoint: facts.entrypoint, arguments: facts.arguments, python: python.clone() };
            let migrate = migrate(env, service, &own);
            if !matches!(rules, Rules::Image(_)) {
                taking.push((service, own));
            }
            let mut part = Part { service, rules, migrate, python, image: Fingerprint::new(), places: Vec::new() };
            part.image = part.staged(env)?;
            parts.push(part);
        }
        for it in deploy::develop(env, &cluster, ID, &taking)? {
            let place =
                Place { deployment: it.deployment, labels: it.labels, container: it.container, reload: it.reload, pods: BTreeMap::new() };
            if let Some(part) = parts.iter_mut().find(|part| part.service == it.service) {
                part.places.push(place);
            }
        }
        Ok(Session { env, cluster, parts })
    }

    /// Name, namespace and selector of each Deployment, whose logs are followed.
    pub fn pods(&self) -> Vec<(String, String, String)> {
        let places = self.parts.iter().flat_map(|it| &it.places);
        places.map(|it| (it.deployment.name.clone(), it.deployment.namespace.clone(), it.labels.clone())).collect()
    }

    /// What happens to each service with an image after a change, a line each.
    pub fn manners(&self) -> Vec<String> {
        let of_place = |part: &Part, place: &Place| {
            let how = match (place.reload, &part.rules) {
                (Reload::Signal, _) => "gunicorn loads changed code in place",
                (Reload::Itself, _) => "changed code is copied, and its command watches the files itself",
                (Reload::Restart, Rules::Program(_)) => "changed code is compiled here, swapped and started again",
                (Reload::Restart, _) => "changed code is copied, and its command started again",
            };
            format!("{}: {how}", place.deployment.name)
        };
        let of_part = |part: &Part| match &part.rules {
            Rules::Image(why) => vec![format!("{}: each change builds an image, since {why}", name_of(part.service))],
            _ => part.places.iter().map(|place| of_place(part, place)).collect(),
        };
        self.parts.iter().flat_map(of_part).collect()
    }

    /// What the changed files need.
    pub fn decide(&self, changed: &[PathBuf]) -> Result<Decision> {
        let mut watched = Vec::new();
        for part in &self.parts {
            let scope = scope(self.env, part.service);
            for (source, is_staged) in [(self.env.path(&scope.service.path), false), (scope.stage(), true)] {
                let ignore = image::ignore(&scope)?;
                watched.push(Watched { service: part.service, source, is_staged, ignore, rules: &part.rules, migrate: &part.migrate });
            }
        }
        Ok(watch::decide(&watched, &self.env.project, changed))
    }

    /// Copies and patches the source of these services again, and copies the differences to every pod in parallel. A tree that was changed
    /// by hand is copied as it is. `seen` takes over the staged trees before they are read, so that a later change by hand is noticed.
    pub fn sync(&mut self, changes: &[watch::Change], seen: &mut Seen) -> Result<Synced> {
        let began = Instant::now();
        let (mut files, mut pods) = (0, 0);
        let (env, cluster) = (self.env, &self.cluster);
        let of = |part: &Part| changes.iter().find(|it| it.service == part.service);
        for part in &self.parts {
            let Some(change) = of(part) else { continue };
            if let Some(why) = part.stage(env, change.by_hand)? {
                return Ok(Synced::Rebuild(why));
            }
        }
        seen.take_over(env);
        for part in self.parts.iter_mut().filter(|it| of(it).is_some()) {
            let desired = part.staged(env)?;
            let (source, image) = (scope(env, part.service), &part.image);
            for place in &mut part.places {
                let running = place.running(env, cluster)?;
                let results: Vec<(String, Result<usize>)> = std::thread::scope(|scope| {
                    let sends: Vec<_> = running
                        .iter()
                        .map(|(uid, name)| {
                            let held = place.pods.get(uid).unwrap_or(image);
                            let change = Change::between(held, &desired);
                            let (place, source, python) = (&*place, &source, &part.python);
                            (uid.clone(), scope.spawn(move || place.send(source, cluster, (python, name), &change)))
                        })
                        .collect();
                    let ended = |it: std::thread::ScopedJoinHandle<'_, Result<usize>>| {
                        it.join().unwrap_or_else(|_| Err(Problem::new("the transfer to a pod ended unexpectedly").into()))
                    };
                    sends.into_iter().map(|(uid, send)| (uid, ended(send))).collect()
                });
                pods += results.len();
                for (uid, result) in results {
                    files = files.max(result?);
                    place.pods.insert(uid, desired.clone());
                }
            }
        }
        Ok(Synced::Done { files, pods, took: began.elapsed() })
    }
}

impl Part {
    /// Copies and patches the source, except after changes by hand, and compiles what is compiled here. Returns why an image is necessary, if
    /// it is.
    fn stage(&self, env: &Env, by_hand: bool) -> Result<Option<String>> {
        env.trees.forget();
        if !by_hand {
            let patch = Patch(self.service);
            let want = patch.inputs(env)?;
            patch.run(env, &want)?;
            record::write(env, patch.id(), &want)?;
            env.trees.forget();
        }
        let requirements = Requirements::of(self.service);
        let found = requirements.probe(env, &requirements.inputs(env)?)?;
        // The copied source has no pins any more; only an image needs them.
        if let Probe::Stale(why) = found
            && why != UNSTAGED
        {
            return Ok(Some(why));
        }
        if let Rules::Program(found) = &self.rules {
            let scope = scope(env, self.service);
            artifacts::prepare(&env.tools, ID, found, &scope.stage(), &scope.own(artifacts::FOLDER))?;
        }
        Ok(None)
    }

    /// The files that are copied into pods, by their names there.
    fn staged(&self, env: &Env) -> Result<Fingerprint> {
        let scope = scope(env, self.service);
        let mut tree = Fingerprint::new();
        let ignore = image::ignore(&scope)?;
        let mut keep = dockerfile::keep(ignore.as_ref());
        env.hashes.add(&mut tree, "", &scope.stage(), &Passed::default(), Some(&mut keep), &mut |_, _| ())?;
        let programs = scope.own(artifacts::FOLDER).join(PROGRAMS);
        if matches!(self.rules, Rules::Program(_)) && programs.is_dir() {
            tree.add_tree(PROGRAMS, &programs)?;
        }
        let named = |(name, digest): (&str, &str)| (name.trim_start_matches('/').to_owned(), digest.to_owned());
        let goes = |it: &(String, String)| self.rules.goes(Path::new(&it.0), &self.migrate);
        Ok(tree.parts().map(named).filter(goes).collect())
    }
}

impl Place {
    /// UIDs and names of the running pods. A pod whose container has ended is deleted, and its replacement is waited for.
    fn running(&self, env: &Env, cluster: &Cluster) -> Result<Vec<(String, String)>> {
        let (began, namespace) = (Instant::now(), &self.deployment.namespace);
        loop {
            let mut out = Vec::new();
            for pod in cluster.list("v1", "Pod", namespace, &self.labels)? {
                let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
                let (uid, name) = (text("/metadata/uid"), text("/metadata/name"));
                let containers = pod.pointer("/status/containerStatuses").and_then(Value::as_array).into_iter().flatten();
                let container = containers.into_iter().find(|it| it["name"] == self.container.as_str()).cloned().unwrap_or_default();
                if pod.pointer("/metadata/deletionTimestamp").is_some() {
                    continue;
                }
                if container["state"]["running"].is_object() {
                    out.push((uid, name));
                } else if container["restartCount"].as_i64().unwrap_or_default() > 0 || container["state"]["terminated"].is_object() {
                    env.note(ID, format!("the container of pod {name} has ended: the pod is replaced"));
                    cluster.delete(&ObjectId::new("v1", "Pod", namespace, &name))?;
                }
            }
            if !out.is_empty() {
                return Ok(out);
            }
            let subject = format!("a pod of {} to run", self.deployment.name);
            let waiting = Waiting::new(&subject, "no container runs", began.elapsed(), RUNS_LIMIT);
            if began.elapsed() > RUNS_LIMIT {
                return Err(Problem::timed_out(waiting.timed_out()).hint("start the pods again: cargo xtask update").into());
            }
            env.waiting(ID, waiting);
            env.interrupt.sleep(Duration::from_millis(100))?;
        }
    }

    /// Sends the change to a pod, whose Python is named, and returns the number of files.
    fn send(&self, source: &Scope<'_>, cluster: &Cluster, (python, pod): (&str, &str), change: &Change) -> Result<usize> {
        if change.changed.is_empty() && change.gone.is_empty() {
            return Ok(0);
        }
        let archive = archive(source, &change.changed)?;
        let mut command = vec![python, "-c", RECEIVE];
        command.extend(change.gone.iter().map(String::as_str));
        let exec = Exec {
            namespace: &self.deployment.namespace,
            pod,
            container: &self.container,
            command: &command,
            limit: LIMIT,
            has_shell: false,
        };
        let sent = cluster.exec_streams(exec, Some(&mut archive.as_slice()), &mut std::io::sink());
        sent.map_err(|error| {
            // The command in the error contains the script; only the text after it is shown.
            let said = format!("{error:#}");
            let said = said.rsplit(" failed: ").next().unwrap_or_default().trim().to_owned();
            Problem::new(format!("pod {pod} did not take the change and runs the code from before: {said}"))
        })?;
        Ok(change.changed.len() + change.gone.len())
    }
}

/// The names of new, other and gone files.
#[derive(Debug, Default, PartialEq, Eq)]
struct Change {
    changed: Vec<String>,
    gone: Vec<String>,
}

impl Change {
    fn between(held: &Fingerprint, desired: &Fingerprint) -> Change {
        let (before, after) = (held.by_name(), desired.by_name());
        let names = |of: &Fingerprint, keep: &dyn Fn(&str, &str) -> bool| -> Vec<String> {
            of.parts().filter(|(name, digest)| keep(name, digest)).map(|(name, _)| name.to_owned()).collect()
        };
        Change {
            changed: names(desired, &|name, digest| before.get(name) != Some(&digest)),
            gone: names(held, &|name, _| !after.contains_key(name)),
        }
    }
}

/// The words of the migration's command without those of the start command: a file that both name is the application's code.
fn migrate(env: &Env, service: Option<ServiceName>, own: &Own) -> Vec<String> {
    let service = env.config.service(service);
    let start = service.command.clone().unwrap_or_else(|| [own.entrypoint.clone(), own.arguments.clone()].concat());
    let words = service.migrate.iter().flatten().flat_map(|it| it.split_whitespace());
    words.filter(|word| !start.iter().any(|it| it.split_whitespace().any(|it| it == *word))).map(str::to_owned).collect()
}

/// The folder of compiled programs, in the image and in the artifacts.
const PROGRAMS: &str = "bin";

fn scope(env: &Env, service: Option<ServiceName>) -> Scope<'_> {
    env.scope(TaskId::for_service(TaskKind::Image, service))
}

/// The files, packed. One that the stage does not have is a compiled program.
fn archive(env: &Scope<'_>, names: &[String]) -> Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for name in names {
        let staged = env.stage().join(name);
        let path = if staged.exists() { staged } else { env.own(artifacts::FOLDER).join(name) };
        let content = fs::read(&path).with_context(|| format!("read {name} of the staged application"))?;
        let mode = fs::metadata(&path).with_context(|| format!("read {}", path.display()))?.permissions().mode();
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(if mode & 0o111 == 0 { 0o644 } else { 0o755 });
        builder.append_data(&mut header, name, content.as_slice()).with_context(|| format!("pack {name}"))?;
    }
    builder.into_inner().context("end the archive")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_has_new_other_and_gone_files() {
        let of =
            |parts: &[(&str, &str)]| -> Fingerprint { parts.iter().map(|(name, it)| ((*name).to_owned(), (*it).to_owned())).collect() };
        let change = Change::between(&of(&[("a", "1"), ("b", "1"), ("c", "1")]), &of(&[("a", "1"), ("b", "2"), ("d", "1")]));
        assert_eq!(change, Change { changed: vec!["b".to_owned(), "d".to_owned()], gone: vec!["c".to_owned()] });
    }
}
