//! The database's primary, in whose pod PostgreSQL's programs run as superuser.

use std::{
    io::{Read, Write},
    time::Duration,
};

use anyhow::Result;
use serde_json::Value;

use crate::{
    cluster::{Cluster, Exec, ObjectId},
    errors::Problem,
};

/// For every program, with the data of a proof of concept.
const LIMIT: Duration = Duration::from_secs(600);
/// Dropping a database waits at most for a checkpoint.
const CLEANING: Duration = Duration::from_secs(60);
/// The application name of a run's sessions.
pub(crate) const SESSION: &str = "PGAPPNAME=pocdeploy";
/// A restore is useful only after its last commit, so earlier commits need not be synchronous; and it must not wait for a missing replica.
/// `lc_messages=C`, since the tool parses messages.
const OPTIONS: &str = "PGOPTIONS=-c synchronous_commit=off -c lc_messages=C";

/// The primary's pod and the connection to it.
pub(crate) struct Primary {
    cluster: Cluster,
    namespace: String,
    pod: String,
    limit: Duration,
    session: &'static str,
}

impl Primary {
    /// The primary of a `Cluster` object.
    pub(crate) fn find(cluster: &Cluster, database: &ObjectId) -> Result<Primary> {
        let object = cluster.get(database)?;
        let pod = object.as_ref().and_then(|it| it.pointer("/status/currentPrimary")).and_then(Value::as_str);
        let Some(pod) = pod else {
            return Err(Problem::new(format!("{database} has no primary")).hint("`cargo xtask create` brings it up").into());
        };
        let (namespace, pod) = (database.namespace.clone(), pod.to_owned());
        Ok(Primary { cluster: cluster.clone(), namespace, pod, limit: LIMIT, session: SESSION })
    }

    /// A copy for cleaning up: it ignores signals, and has its own limit.
    pub(crate) fn for_cleaning(&self) -> Primary {
        let cluster = self.cluster.for_cleaning();
        Primary {
            cluster,
            namespace: self.namespace.clone(),
            pod: self.pod.clone(),
            limit: CLEANING,
            session: "PGAPPNAME=pocdeploy-cleaning",
        }
    }

    /// Runs a program; a failure is an error with its output.
    pub(crate) fn run(&self, program: &[&str], input: Option<&mut dyn Read>, output: &mut dyn Write) -> Result<()> {
        let start = ["env", self.session, OPTIONS, "PGCLIENTENCODING=UTF8"];
        let command = [&start, program].concat();
        let exec = Exec { namespace: &self.namespace, pod: &self.pod, container: "postgres", command: &command, limit: self.limit };
        self.cluster.exec_streams(exec, input, output)
    }

    /// Runs a script with psql's variables in a database, and returns its output: a line for each row.
    pub(crate) fn sql(&self, database: &str, script: &str, variables: &[(&str, &str)]) -> Result<String> {
        let variables: Vec<String> = variables.iter().map(|(name, value)| format!("--set={name}={value}")).collect();
        let database = connection(database);
        let mut psql = vec!["psql", "--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1"];
        psql.extend(variables.iter().map(String::as_str));
        psql.extend(["--dbname", &database, "--file=-"]);
        let mut out = Vec::new();
        self.run(&psql, Some(&mut script.as_bytes()), &mut out)?;
        Ok(String::from_utf8_lossy(&out).trim().to_owned())
    }

    /// The free bytes of the volume with the data or of the one with the WAL, whichever is smaller.
    pub(crate) fn room(&self) -> Result<u64> {
        let mut out = Vec::new();
        let script = r#"df --block-size=1 --output=avail "$PGDATA/" "$PGDATA/pg_wal/""#;
        self.run(&["sh", "-c", script], None, &mut out)?;
        let numbers = String::from_utf8_lossy(&out).lines().filter_map(|it| it.trim().parse().ok()).min();
        numbers.ok_or_else(|| Problem::new("could not read the free space of the database's volume").into())
    }
}

/// A connection string for a database's name, with special characters escaped.
pub(crate) fn connection(database: &str) -> String {
    format!("dbname='{}'", database.replace('\\', r"\\").replace('\'', r"\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_databases_name_stays_a_name() {
        assert_eq!(connection("polls"), "dbname='polls'");
        assert_eq!(connection(r"a' host=b\"), r"dbname='a\' host=b\\'");
    }
}
