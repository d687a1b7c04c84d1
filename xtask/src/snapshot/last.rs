//! The last snapshot of a database whose server is to be replaced: what the application has written is in it, and nothing is written after it.

use anyhow::{Context as _, Result};

use crate::{
    cluster::{Cluster, ObjectId},
    env::Env,
    errors::Problem,
    snapshot::{
        primary::Primary,
        scratch::{self, REPLACED, SCRATCH},
    },
};

/// Fails if the server has something that a snapshot of the application's database does not hold. `managed` has the names of the roles that
/// the operator makes again.
pub fn refuse_others(env: &Env, cluster: &Cluster, database: &ObjectId, managed: &[String]) -> Result<()> {
    let primary = Primary::find(cluster, database)?;
    let (live, owner) = (env.config.database.name.as_str(), env.config.database.user.as_str());
    let maintenance = scratch::maintenance(live);
    let managed = managed.join(",");
    let variables = [("live", live), ("owner", owner), ("scratch", SCRATCH), ("replaced", REPLACED), ("managed", managed.as_str())];
    let others = primary.sql(maintenance, include_str!("sql/others.sql"), &variables)?;
    let hinders = primary.sql(maintenance, include_str!("sql/hinders.sql"), &[("live", live)])?;
    let found: Vec<&str> = others.lines().chain(hinders.lines()).collect();
    if found.is_empty() {
        return Ok(());
    }
    let what = format!("nothing was changed: the new server would not have what a snapshot does not contain: {}", found.join(", "));
    let hint =
        "what you do not need, drop first: cargo xtask psql\nroles: name them under `managed.roles` of the `Cluster`, with their Secrets";
    Err(Problem::new(what).hint(hint).into())
}

/// The database's limit of connections; -1 is none.
pub fn connection_limit(env: &Env, cluster: &Cluster, database: &ObjectId) -> Result<i64> {
    let live = env.config.database.name.as_str();
    let query = "SELECT datconnlimit FROM pg_catalog.pg_database WHERE datname = :'live';";
    let said = Primary::find(cluster, database)?.sql(scratch::maintenance(live), query, &[("live", live)])?;
    said.parse().with_context(|| format!("read the limit of connections {said:?}"))
}

/// Ends the application's sessions, and lets it make no others.
pub fn close(env: &Env, cluster: &Cluster, database: &ObjectId) -> Result<()> {
    let live = env.config.database.name.as_str();
    let script = format!("SET pocdeploy.live = :'live';\n{}", include_str!("sql/close.sql"));
    Primary::find(cluster, database)?.sql(scratch::maintenance(live), &script, &[("live", live)]).context("close the database").map(drop)
}

/// Undoes `close`, also after a signal.
pub fn reopen(env: &Env, cluster: &Cluster, database: &ObjectId, limit: i64) -> Result<()> {
    let live = env.config.database.name.as_str();
    let statement = format!("ALTER DATABASE :\"live\" CONNECTION LIMIT {limit};");
    let primary = Primary::find(&cluster.for_cleaning(), database)?.for_cleaning();
    primary.sql(scratch::maintenance(live), &statement, &[("live", live)]).context("open the database again").map(drop)
}
