//! The database's primary, where PostgreSQL's own programs run as its administrator.

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

/// For all that a database of a proof of concept holds.
const LIMIT: Duration = Duration::from_secs(600);
/// Removing a database waits for a checkpoint at most.
const CLEANING: Duration = Duration::from_secs(60);
/// The name under which the sessions of a run are found.
pub(crate) const SESSION: &str = "PGAPPNAME=pocdeploy";
/// What is written is of no use before the last statement is kept, which waits for all before it; nor may a restore wait for a
/// replica that is away. Messages are matched, so they are PostgreSQL's own.
const OPTIONS: &str = "PGOPTIONS=-c synchronous_commit=off -c lc_messages=C";

/// The pod that holds the primary of the database, and the connection to it.
pub(crate) struct Primary {
    cluster: Cluster,
    namespace: String,
    pod: String,
    limit: Duration,
    session: &'static str,
}

impl Primary {
    /// Of the `Cluster` object.
    pub(crate) fn find(cluster: &Cluster, database: &ObjectId) -> Result<Primary> {
        let object = cluster.get(database)?;
        let pod = object.as_ref().and_then(|it| it.pointer("/status/currentPrimary")).and_then(Value::as_str);
        let Some(pod) = pod else {
            return Err(Problem::new(format!("{database} has no primary")).hint("`cargo xtask create` brings it up").into());
        };
        let (namespace, pod) = (database.namespace.clone(), pod.to_owned());
        Ok(Primary { cluster: cluster.clone(), namespace, pod, limit: LIMIT, session: SESSION })
    }

    /// The same for what is removed in the end: a signal that came does not end it, a limit of its own does.
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

    /// Runs a program; a failure is an error with what it said.
    pub(crate) fn run(&self, program: &[&str], input: Option<&mut dyn Read>, output: &mut dyn Write) -> Result<()> {
        let start = ["env", self.session, OPTIONS, "PGCLIENTENCODING=UTF8"];
        let command = [&start, program].concat();
        let exec = Exec { namespace: &self.namespace, pod: &self.pod, container: "postgres", command: &command, limit: self.limit };
        self.cluster.exec_streams(exec, input, output)
    }

    /// Runs a script in a database, with psql's variables, and returns what its queries gave: a line for each row.
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

    /// The bytes that the volumes of the data and of the write-ahead log have left: the smaller number.
    pub(crate) fn room(&self) -> Result<u64> {
        let mut out = Vec::new();
        let script = r#"df --block-size=1 --output=avail "$PGDATA/" "$PGDATA/pg_wal/""#;
        self.run(&["sh", "-c", script], None, &mut out)?;
        let numbers = String::from_utf8_lossy(&out).lines().filter_map(|it| it.trim().parse().ok()).min();
        numbers.ok_or_else(|| Problem::new("the room that the database's volume has left could not be read").into())
    }
}

/// A database's name as a connection string, in which no character of it means something else.
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
