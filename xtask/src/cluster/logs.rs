//! The logs of many pods as one stream: first the history in order of time, then new lines, also of new pods and containers. Memory use is
//! one line for each container and a short queue.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::Result;
use futures_util::{AsyncBufRead, AsyncBufReadExt as _};
use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};
use kube::{
    Api,
    api::{ListParams, LogParams},
};
use tokio::sync::mpsc;

use crate::{cluster::Cluster, errors::Exit};

/// A group of pods to read logs from.
#[derive(Clone, Debug)]
pub struct Source {
    /// The component's name for users.
    pub part: String,
    pub namespace: String,
    pub labels: String,
}

/// One log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub part: String,
    pub pod: String,
    pub container: String,
    /// The kubelet's timestamp: RFC 3339 with nanoseconds, so strings sort by time.
    pub time: String,
    pub text: String,
}

/// Longer lines are truncated, to limit memory use.
const LONGEST: usize = 64 * 1024;
/// The pause between two searches for new pods.
const PAUSE: Duration = Duration::from_secs(1);
/// The capacity of the queue; a slow reader slows down reading.
const QUEUE: usize = 256;

/// The pod's UID and the container's name.
type Key = (String, String);

/// A container, its restart count, and whether it has exited.
#[derive(Clone, Debug)]
struct Found {
    source: Source,
    pod: String,
    key: Key,
    starts: i32,
    ended: bool,
}

impl Cluster {
    /// Calls `take` with each line until it returns false. With `follow` until Ctrl-C, which counts as success.
    pub fn logs(
        &self,
        sources: &[Source],
        since: Option<Duration>,
        follow: bool,
        mut take: impl FnMut(Line) -> Result<bool>,
    ) -> Result<()> {
        let from = since.map(|it| Timestamp::now() - k8s_openapi::jiff::SignedDuration::try_from(it).unwrap_or_default());
        let work = async {
            let mut last = BTreeMap::new();
            if !self.history(sources, from, &mut last, &mut take).await? || !follow {
                return Ok(());
            }
            self.follow(sources, last, &mut take).await
        };
        self.runtime.block_on(async {
            tokio::select! {
                result = work => result,
                problem = self.interrupt.came() => if follow && problem.exit == Exit::Interrupted { Ok(()) } else { Err(problem.into()) },
            }
        })
    }

    /// Reads the lines so far, in order of time. Returns whether `take` wants more; sets `last` to the time of each container's last line.
    async fn history(
        &self,
        sources: &[Source],
        from: Option<Timestamp>,
        last: &mut BTreeMap<Key, String>,
        take: &mut impl FnMut(Line) -> Result<bool>,
    ) -> Result<bool> {
        let mut heads = Vec::new();
        // For a container without requested history, new lines start now.
        let now = format!("{:.9}", Timestamp::now());
        for found in self.containers(sources).await? {
            last.insert(found.key.clone(), now.clone());
            let Ok(mut reader) = self.open_log(&found, from, false).await else { continue };
            if let Some(line) = next(&mut reader, &found).await {
                heads.push((line, reader, found));
            }
        }
        while let Some(first) = (0..heads.len()).min_by(|one, other| heads[*one].0.time.cmp(&heads[*other].0.time)) {
            let (line, reader, found) = &mut heads[first];
            last.insert(found.key.clone(), line.time.clone());
            let (taken, exhausted) = match next(reader, found).await {
                Some(more) => (std::mem::replace(line, more), false),
                None => (line.clone(), true),
            };
            if exhausted {
                heads.swap_remove(first);
            }
            if !take(taken)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn follow(&self, sources: &[Source], mut last: BTreeMap<Key, String>, take: &mut impl FnMut(Line) -> Result<bool>) -> Result<()> {
        let (sender, mut lines) = mpsc::channel::<(Key, Line)>(QUEUE);
        let (ended_sender, mut ended) = mpsc::unbounded_channel::<(Key, i32)>();
        let mut listening: BTreeSet<(Key, i32)> = BTreeSet::new();
        let mut finished: BTreeSet<(Key, i32)> = BTreeSet::new();
        let mut looks = tokio::time::interval(PAUSE);
        loop {
            tokio::select! {
                Some((key, line)) = lines.recv() => {
                    // A reopened stream repeats lines, since the API's start time has whole seconds only.
                    if last.get(&key).is_some_and(|it| *it >= line.time) {
                        continue;
                    }
                    last.insert(key, line.time.clone());
                    if !take(line)? {
                        return Ok(());
                    }
                }
                Some(run) = ended.recv() => { listening.remove(&run); }
                _ = looks.tick() => {
                    // The API server may be restarting; the next search tries again.
                    let Ok(found) = self.containers(sources).await else { continue };
                    for container in &found {
                        let run = (container.key.clone(), container.starts);
                        if listening.contains(&run) || finished.contains(&run) {
                            continue;
                        }
                        if container.ended {
                            finished.insert(run.clone());
                        }
                        listening.insert(run.clone());
                        let from = last.get(&container.key).and_then(|it| it.parse().ok());
                        tokio::spawn(self.clone().listen(container.clone(), from, sender.clone(), ended_sender.clone()));
                    }
                    let is_there = |key: &Key| found.iter().any(|it| it.key == *key);
                    last.retain(|key, _| is_there(key));
                    finished.retain(|(key, _)| is_there(key));
                }
            }
        }
    }

    async fn listen(
        self,
        found: Found,
        from: Option<Timestamp>,
        lines: mpsc::Sender<(Key, Line)>,
        ended: mpsc::UnboundedSender<(Key, i32)>,
    ) {
        if let Ok(mut reader) = self.open_log(&found, from, true).await {
            while let Some(line) = next(&mut reader, &found).await {
                if lines.send((found.key.clone(), line)).await.is_err() {
                    return;
                }
            }
        }
        // The receiver may have ended already.
        ended.send((found.key, found.starts)).ok();
    }

    async fn open_log(&self, found: &Found, from: Option<Timestamp>, follow: bool) -> Result<impl AsyncBufRead + Unpin + use<>> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &found.source.namespace);
        let parameters =
            LogParams { container: Some(found.key.1.clone()), follow, since_time: from, timestamps: true, ..LogParams::default() };
        Ok(Box::pin(api.log_stream(&found.pod, &parameters).await?))
    }

    /// All containers that have started.
    async fn containers(&self, sources: &[Source]) -> Result<Vec<Found>> {
        let mut out = Vec::new();
        for source in sources {
            let api: Api<Pod> = Api::namespaced(self.client.clone(), &source.namespace);
            for pod in api.list(&ListParams::default().labels(&source.labels)).await? {
                out.extend(started(source, pod));
            }
        }
        Ok(out)
    }
}

fn started(source: &Source, pod: Pod) -> Vec<Found> {
    let (name, uid) = (pod.metadata.name.unwrap_or_default(), pod.metadata.uid.unwrap_or_default());
    let status = pod.status.unwrap_or_default();
    let all = status.init_container_statuses.into_iter().flatten().chain(status.container_statuses.into_iter().flatten());
    let started = all.filter_map(|it| {
        let state = it.state.unwrap_or_default();
        let ended = state.terminated.is_some();
        let ran_before = it.last_state.is_some_and(|it| it.terminated.is_some());
        (state.running.is_some() || ended || ran_before).then(|| Found {
            source: source.clone(),
            pod: name.clone(),
            key: (uid.clone(), it.name),
            starts: it.restart_count,
            ended: state.running.is_none(),
        })
    });
    started.collect()
}

/// The next line; `None` at the end of the stream or after a lost connection.
async fn next(reader: &mut (impl AsyncBufRead + Unpin), found: &Found) -> Option<Line> {
    let text = read_line(reader, LONGEST).await?;
    let (time, text) = text.split_once(' ').unwrap_or((&text, ""));
    Some(Line {
        part: found.source.part.clone(),
        pod: found.pod.clone(),
        container: found.key.1.clone(),
        time: time.to_owned(),
        text: text.to_owned(),
    })
}

/// A line without its newline, truncated to `longest` bytes; the rest of the line is skipped.
async fn read_line(reader: &mut (impl AsyncBufRead + Unpin), longest: usize) -> Option<String> {
    let mut line = Vec::new();
    let mut any = false;
    loop {
        let bytes = reader.fill_buf().await.ok()?;
        if bytes.is_empty() {
            break;
        }
        any = true;
        let end = bytes.iter().position(|it| *it == b'\n');
        let used = end.unwrap_or(bytes.len());
        line.extend_from_slice(&bytes[..used.min(longest.saturating_sub(line.len()))]);
        let used = used + usize::from(end.is_some());
        reader.consume_unpin(used);
        if end.is_some() {
            break;
        }
    }
    any.then(|| String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lines(text: &[u8]) -> Vec<String> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut reader = futures_util::io::BufReader::with_capacity(4, text);
            let mut out = Vec::new();
            while let Some(line) = read_line(&mut reader, 10).await {
                out.push(line);
            }
            out
        })
    }

    #[test]
    fn lines_end_at_their_ends_and_long_ones_are_cut() {
        assert_eq!(lines(b"one\n\ntwo\r\nlast"), ["one", "", "two", "last"]);
        assert_eq!(lines(b"0123456789abc\nnext\n"), ["0123456789", "next"]);
        assert_eq!(lines(b"bad \xff\n"), ["bad \u{fffd}"]);
        assert_eq!(lines(b""), Vec::<String>::new());
    }

    #[test]
    fn containers_are_listened_to_when_they_have_been_started() {
        let source = Source { part: "app".to_owned(), namespace: "n".to_owned(), labels: String::new() };
        let state = |name: &str, restarts: i32, state: serde_json::Value, last: serde_json::Value| json!({ "name": name, "ready": false, "restartCount": restarts, "image": "", "imageID": "", "state": state, "lastState": last });
        let pod = serde_json::from_value(json!({ "metadata": { "name": "p", "uid": "u" }, "status": {
            "initContainerStatuses": [state("done", 0, json!({ "terminated": { "exitCode": 0 } }), json!({}))],
            "containerStatuses": [
                state("runs", 0, json!({ "running": {} }), json!({})),
                state("waits", 0, json!({ "waiting": { "reason": "ContainerCreating" } }), json!({})),
                state("crashes", 3, json!({ "waiting": { "reason": "CrashLoopBackOff" } }), json!({ "terminated": { "exitCode": 1 } })),
            ],
        } }))
        .unwrap();
        let found: Vec<_> = started(&source, pod).into_iter().map(|it| (it.key.1, it.starts, it.ended)).collect();
        assert_eq!(found, [("done".to_owned(), 0, true), ("runs".to_owned(), 0, false), ("crashes".to_owned(), 3, true)]);
    }
}
