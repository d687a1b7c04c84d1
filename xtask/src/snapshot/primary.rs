//! The database's primary, in whose pod PostgreSQL's programs run as superuser.

use std::{
    io::{Read, Write},
    time::Duration,
};

use anyhow::Result;
use serde_json::Value;

use crate::{
    cluster::{Cluster, Exec, ObjectId},
    errors::{Code, Problem},
};

/// For every program, with the data of a proof of concept.
const LIMIT: Duration = Duration::from_secs(600);
/// Dropping a database waits at most for a checkpoint.
const CLEANING: Duration = Duration::from_secs(60);
/// The name under which the sessions of a run are found.
pub(crate) const OWN: &str = "pocdeploy";
const SESSION: &str = "PGAPPNAME=pocdeploy";
/// What is written is of no use before the last statement is kept, which waits for all before it; nor may a restore wait for a
/// replica that is away. Messages are matched, so they are PostgreSQL's own.
const OPTIONS: &str = "PGOPTIONS=-c synchronous_commit=off -c lc_messages=C";

/// What helps where the volume has no room.
pub(crate) const ROOM: &str = "`database.storage` sets the volume's size; on kind the volume is part of the engine's disk: df -h";

/// The pod that holds the primary of the database, and the connection to it.
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
        let exec = Exec {
            namespace: &self.namespace,
            pod: &self.pod,
            container: "postgres",
            command: &command,
            limit: self.limit,
            has_shell: true,
        };
        self.cluster.exec_streams(exec, input, output).map_err(understood)
    }

    /// Ends this run's sessions in any database: a program whose caller is gone goes on in its pod.
    pub(crate) fn end_sessions(&self, maintenance: &str) {
        let end = "SELECT count(pg_catalog.pg_terminate_backend(pid, 5000)) FROM pg_catalog.pg_stat_get_activity(NULL) WHERE application_name = :'own';";
        // What cannot be ended now ends by itself, at the latest with its statement.
        self.for_cleaning().sql(maintenance, end, &[("own", OWN)]).ok();
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

/// Refusals of a server that has no room for more are errors of their own, with what helps.
fn understood(error: anyhow::Error) -> anyhow::Error {
    let text = format!("{error:#}");
    let said = |it: &str| text.lines().find(|line| line.contains(it)).map(|line| line.rsplit("  ").next().unwrap_or(line).trim());
    // ERRCODE_TOO_MANY_CONNECTIONS: InitProcess in proc.c, and InitPostgres in postinit.c.
    if let Some(said) = said("sorry, too many clients already").or_else(|| said("remaining connection slots are reserved for roles with")) {
        let problem = Problem::new(format!("the database server has no free connection: {said}")).code(Code::NoConnection);
        let hint = "end what holds them (restarting the application's pods does), or raise\n\
                    `max_connections` under `postgresql.parameters` of the `Cluster`";
        return problem.hint(hint).into();
    }
    if let Some(said) = said("No space left on device") {
        let problem = Problem::new(format!("the database's volume is full: {said}")).code(Code::DatabaseFull);
        return problem.hint(ROOM).into();
    }
    error
}

/// A database's name as a connection string, in which no character of it means something else.
pub(crate) fn connection(database: &str) -> String {
    format!("dbname='{}'", database.replace('\\', r"\\").replace('\'', r"\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_without_room_is_understood_and_anything_else_is_passed_on() {
        let seen = |text: &str| understood(Problem::new(text).code(Code::PodCommand).into()).to_string();
        let connect = "connection to server on socket \"/controller/run/.s.PGSQL.5432\" failed: FATAL:  ";
        let full = format!("`pg_dump` in pod polls-db-1 failed: pg_dump: error: {connect}sorry, too many clients already");
        assert_eq!(seen(&full), "the database server has no free connection: sorry, too many clients already");
        let words = "remaining connection slots are reserved for roles with the SUPERUSER attribute";
        assert_eq!(seen(&format!("psql: error: {connect}{words}")), format!("the database server has no free connection: {words}"));
        let extend = "could not extend file \"base/5/16400\": No space left on device";
        let said = format!(
            "`pg_restore` in pod a failed: pg_restore: error: COPY failed for table \"t\": ERROR:  {extend}\nHINT:  Check free disk space."
        );
        assert_eq!(seen(&said), format!("the database's volume is full: {extend}"));
        assert_eq!(seen("ERROR:  relation \"t\" does not exist"), "ERROR:  relation \"t\" does not exist");
    }

    #[test]
    fn a_databases_name_stays_a_name() {
        assert_eq!(connection("polls"), "dbname='polls'");
        assert_eq!(connection(r"a' host=b\"), r"dbname='a\' host=b\\'");
    }
}
