//! A snapshot in place of what the database holds: in one transaction, so that a running application sees the one or the other.

use std::{
    fs,
    io::{Cursor, Read as _, Seek as _},
    path::Path,
};

use anyhow::{Context as _, Result};

use crate::{
    cluster::{Cluster, ObjectId},
    env::Env,
    errors::Problem,
    snapshot::{Primary, look},
};

/// Replaces all that the application's user owns in its database by the file's content. The file is read whole first; what
/// fails after that leaves the database as it was.
pub fn restore(env: &Env, cluster: &Cluster, database: &ObjectId, file: &Path) -> Result<()> {
    let mut input = look(file)?;
    let primary = Primary::find(cluster, database)?;
    let work = env.work("");
    fs::create_dir_all(&work).with_context(|| format!("create {}", work.display()))?;
    // Nameless: it is gone with this process, however that ends.
    let mut script = tempfile::tempfile_in(&work).context("make a temporary file")?;
    let read = ["pg_restore", "--file=-"];
    cluster
        .exec_streams(primary.exec(&read), Some(&mut input), &mut script)
        .with_context(|| format!("{} cannot be read to its end; nothing was changed", file.display()))?;
    script.rewind()?;
    let begin = begin(&env.config.database.user);
    // A connection that breaks before the last line ends the transaction without effect.
    let mut whole = Cursor::new(begin).chain(script).chain(Cursor::new("\nCOMMIT;\n"));
    let name = &env.config.database.name;
    let psql = ["psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--dbname", name, "--file=-"];
    let mut said = Vec::new();
    cluster.exec_streams(primary.exec(&psql), Some(&mut whole), &mut said).map_err(|error| {
        let what = format!("the restore of {} failed, and the database is as it was: {error:#}", file.display());
        Problem::new(what).hint("a snapshot fits a database whose user has the same name, and a PostgreSQL that is not older").into()
    })
}

/// A transaction in which all that the user owns is gone. It waits for readers and writers, but not for ever.
fn begin(user: &str) -> String {
    let user = user.replace('"', "\"\"");
    format!("BEGIN;\nSET LOCAL lock_timeout = '30s';\nDROP OWNED BY \"{user}\" CASCADE;\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_name_stays_a_name() {
        assert!(begin("po\"lls; --").contains("DROP OWNED BY \"po\"\"lls; --\" CASCADE;"));
    }
}
