//! A query to the primary about itself and its replicas.

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::{
    cluster::{Cluster, ObjectId, settings},
    config::{Database, Profile},
    deploy::components::Components,
    env::Env,
    errors::Problem,
    snapshot::RESERVE,
};

const STATEMENT: &str = "SELECT json_build_object('answer', 40 + 2, 'version', current_setting('server_version'), \
    'recovery', pg_is_in_recovery(), 'size', pg_database_size(current_database()), \
    'commits', (SELECT coalesce(json_agg(DISTINCT it), '[]') FROM (SELECT 'synchronous_commit=' || current_setting('synchronous_commit') AS it \
    UNION SELECT one FROM pg_db_role_setting, unnest(setconfig) AS one WHERE one LIKE 'synchronous_commit=%') AS of_all), 'replicas', (SELECT coalesce(json_agg(json_build_object('name', application_name, \
    'state', state, 'sync', sync_state, 'behind', pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::bigint, \
    'seconds', coalesce(extract(epoch FROM replay_lag), 0)::float)), '[]') FROM pg_stat_replication))";

/// A replica is in sync if it lacks less than one WAL segment.
const SEGMENT: i64 = 16 * 1024 * 1024;

/// The primary's answer.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Replication {
    answer: i64,
    pub(crate) version: String,
    recovery: bool,
    /// The bytes of the application's database on the primary's volume.
    pub(crate) size: u64,
    /// Free bytes and size of its volume, or of the one with its log if that has fewer.
    #[serde(skip)]
    pub(crate) volume: Option<(u64, u64)>,
    /// `synchronous_commit=…` of the server, and of each database and role that sets it.
    commits: Vec<String>,
    pub(crate) replicas: Vec<Replica>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Replica {
    pub(crate) name: String,
    pub(crate) state: String,
    /// `async`; or `sync`, `quorum` or `potential`, if transactions wait for it or may wait for it.
    pub(crate) sync: String,
    /// The WAL bytes that it lacks.
    behind: Option<i64>,
    pub(crate) seconds: f64,
}

/// Queries the primary in its pod.
pub(crate) fn ask(env: &Env, cluster: &Cluster, components: &Components) -> Result<Replication> {
    let primary = components.primary();
    let Some(pod) = cluster.ready_pod(&primary.namespace, &primary.selector)? else {
        return Err(Problem::new("no primary is ready").into());
    };
    let command = ["sh", "-c", ROOM_AND_ANSWER, "sh", &env.config.database.name, STATEMENT];
    read(&cluster.exec(&primary.namespace, &pod, &primary.container, &command)?)
}

/// Free bytes and size of the volumes with the data and with the log, a line for each, and the statement's answer.
const ROOM_AND_ANSWER: &str =
    r#"df --block-size=1 --output=avail,size "$PGDATA/" "$PGDATA/pg_wal/" | tail -n +2; exec psql -d "$1" -tAc "$2""#;

fn read(answer: &str) -> Result<Replication> {
    let (numbers, object) = answer.split_at(answer.find('{').unwrap_or(answer.len()));
    let mut said: Replication = serde_json::from_str(object).with_context(|| format!("the primary answers {answer:?}"))?;
    let volume = |line: &str| {
        let (free, size) = line.trim().split_once(char::is_whitespace)?;
        Some((free.parse().ok()?, size.trim().parse().ok()?))
    };
    said.volume = numbers.lines().filter_map(volume).min();
    Ok(said)
}

/// The `Cluster` in the manifests.
pub(crate) fn id(components: &Components) -> ObjectId {
    ObjectId::new("postgresql.cnpg.io/v1", "Cluster", &components.database.namespace, &components.cluster)
}

/// The settings that the primary rejects, in one sentence; empty if all are in effect, `None` if no primary is ready.
pub(crate) fn wrong_settings(_: &Env, cluster: &Cluster, components: &Components) -> Result<Option<String>> {
    let primary = components.primary();
    let Some(pod) = cluster.ready_pod(&primary.namespace, &primary.selector)? else { return Ok(None) };
    let refused = cluster.refused_settings(&primary.namespace, &pod)?;
    Ok(Some(settings::sentence(&refused).unwrap_or_default()))
}

impl Replication {
    /// A description for a configuration; an error if it is not healthy.
    pub(crate) fn judge(&self, wanted: &Database) -> Result<String, String> {
        if self.answer != 42 {
            return Err(format!("40 + 2 gives {}", self.answer));
        }
        if self.recovery {
            return Err("the primary is in recovery: it takes no writes".to_owned());
        }
        if let Some(short) = self.short_of_disk() {
            return Err(short);
        }
        let is_durable = wanted.profile == Profile::Durable;
        let wanted = usize::from(wanted.all_instances().saturating_sub(1));
        let in_sync = |it: &&Replica| it.state == "streaming" && it.behind.is_some_and(|it| it < SEGMENT);
        let synced = self.replicas.iter().filter(in_sync).count();
        if synced < wanted {
            let seen: Vec<String> =
                self.replicas.iter().map(|it| format!("{} {} {} bytes behind", it.name, it.state, it.behind.unwrap_or(-1))).collect();
            return Err(format!("{synced} of {wanted} replicas in sync {}", seen.join(", ")).trim_end().to_owned());
        }
        if is_durable && self.waited_for() == 0 {
            return Err(format!(
                "{synced} of {wanted} replicas in sync, and no transaction waits for one: a loss of the primary loses data"
            ));
        }
        // What acknowledges before a replica has the transaction on its disk.
        let weak = |it: &&String| ["off", "local", "remote_write"].iter().any(|value| it.ends_with(&format!("={value}")));
        if let Some(weak) = self.commits.iter().find(weak).filter(|_| is_durable) {
            return Err(format!(
                "{weak} is set, so transactions do not wait until a replica has them: psql's `\\drds` shows for which role"
            ));
        }
        Ok(match wanted {
            0 => format!("PostgreSQL {} answers; no replicas", self.version),
            _ => {
                let waits = if is_durable { ", each transaction waits for one" } else { "" };
                format!("PostgreSQL {} answers; {synced} of {wanted} replicas in sync, {:.1} s behind{waits}", self.version, self.lag())
            }
        })
    }

    /// That the volume is nearly full.
    pub(crate) fn short_of_disk(&self) -> Option<String> {
        // A tenth of a small volume is enough.
        let (room, _) = self.volume.filter(|(room, size)| *room < RESERVE.min(size / 10))?;
        Some(format!("the database's volume has {} MB left; PostgreSQL stops when it cannot write its log", room >> 20))
    }

    /// The number of replicas of which one must have a transaction before it is acknowledged.
    pub(crate) fn waited_for(&self) -> usize {
        self.replicas.iter().filter(|it| it.sync == "quorum" || it.sync == "sync").count()
    }

    /// The lag of the slowest replica in seconds.
    pub(crate) fn lag(&self) -> f64 {
        self.replicas.iter().map(|it| it.seconds).fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn judged(recovery: bool, replicas: serde_json::Value, instances: u16) -> Result<String, String> {
        judged_by(&Database { instances, ..Database::default() }, recovery, replicas)
    }

    fn judged_by(wanted: &Database, recovery: bool, replicas: serde_json::Value) -> Result<String, String> {
        let said = json!({ "answer": 42, "version": "17.6", "recovery": recovery, "size": 1, "commits": ["synchronous_commit=on"], "replicas": replicas });
        serde_json::from_value::<Replication>(said).unwrap().judge(wanted)
    }

    #[test]
    fn durable_is_not_healthy_while_no_transaction_waits_for_a_replica() {
        let durable = Database { profile: Profile::Durable, ..Database::default() };
        let replica = |sync: &str| json!({ "name": "db", "state": "streaming", "sync": sync, "behind": 0, "seconds": 0.0 });
        let well = judged_by(&durable, false, json!([replica("quorum"), replica("quorum")]));
        assert_eq!(well, Ok("PostgreSQL 17.6 answers; 2 of 2 replicas in sync, 0.0 s behind, each transaction waits for one".to_owned()));
        let unwell = judged_by(&durable, false, json!([replica("async"), replica("async")]));
        assert!(unwell.as_ref().is_err_and(|it| it.contains("no transaction waits for one")), "{unwell:?}");
        assert!(judged_by(&durable, false, json!([replica("quorum")])).is_err());
        let mut said: Replication = serde_json::from_value(json!({
            "answer": 42, "version": "17.6", "recovery": false, "size": 1, "commits": [], "replicas": [replica("quorum"), replica("quorum")],
        }))
        .unwrap();
        for (value, is_well) in [("on", true), ("remote_apply", true), ("remote_write", false), ("local", false), ("off", false)] {
            said.commits = vec!["synchronous_commit=on".to_owned(), format!("synchronous_commit={value}")];
            assert_eq!(said.judge(&durable).is_ok(), is_well, "{value}");
            assert!(said.judge(&Database { instances: 3, ..Database::default() }).is_ok());
        }
    }

    #[test]
    fn a_volume_that_is_nearly_full_is_not_healthy() {
        let object = r#"{"answer": 42, "version": "17.6", "recovery": false, "size": 1, "commits": [], "replicas": []}"#;
        let judged = |numbers: &str| read(&format!("{numbers}{object}\n")).unwrap().judge(&Database::default());
        assert!(judged("  1000000000 2000000000\n900000000 2000000000\n").is_ok());
        assert!(judged("100000000 130000000\n").is_ok(), "a small volume");
        let short = "the database's volume has 95 MB left; PostgreSQL stops when it cannot write its log";
        assert_eq!(judged("1000000000 2000000000\n 100000000 2000000000\n"), Err(short.to_owned()));
        assert!(judged("").is_ok(), "without an answer of df the volume is not judged");
        assert!(read("100 200\n").is_err());
    }

    #[test]
    fn every_replica_must_stream_and_be_close() {
        let replica = |state: &str, behind| json!({ "name": "db-2", "state": state, "sync": "async", "behind": behind, "seconds": 0.25 });
        assert_eq!(judged(false, json!([]), 1), Ok("PostgreSQL 17.6 answers; no replicas".to_owned()));
        assert_eq!(
            judged(false, json!([replica("streaming", Some(0))]), 2),
            Ok("PostgreSQL 17.6 answers; 1 of 1 replicas in sync, 0.2 s behind".to_owned())
        );
        assert_eq!(judged(false, json!([]), 2), Err("0 of 1 replicas in sync".to_owned()));
        for unwell in [replica("catchup", Some(0)), replica("streaming", Some(SEGMENT)), replica("streaming", None)] {
            assert!(judged(false, json!([unwell]), 2).unwrap_err().starts_with("0 of 1 replicas in sync db-2"));
        }
        assert!(judged(true, json!([]), 1).unwrap_err().contains("in recovery"));
    }
}
