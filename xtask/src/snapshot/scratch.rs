//! A second database on the same server, to restore a snapshot into: as a check, or to replace the application's database. An error in it
//! does not affect the application's database.

use std::{
    cell::RefCell,
    fmt,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};

use crate::{
    env::Env,
    errors::{Code, Problem},
    graph::TaskId,
    snapshot::{
        archive::{self, Archive, Contents, Facts},
        primary::{OWN, Primary, ROOM, connection},
    },
};

/// The database's name during the restore. No application can have this name, since `Pocdeploy.toml` allows letters, digits and `_` only.
pub(super) const SCRATCH: &str = "pocdeploy-scratch";
/// The name of the replaced database until it is dropped.
pub(super) const REPLACED: &str = "pocdeploy-replaced";
/// The comment of a role that the snapshot needs and the server lacked.
const MADE: &str = "made by a restore of a snapshot that names this role";
/// A subscription cannot be restored without its publisher. `--enable-row-security`: a superuser sees all rows anyway, but without it the
/// owner could not fill a materialized view over a table with forced row security.
const RESTORE: &[&str] = &["pg_restore", "--no-subscriptions", "--enable-row-security"];
/// How often the room on the volume is looked at while the scratch database is filled, and how little of it, in bytes, ends that:
/// six segments of the write-ahead log.
const LOOK: Duration = Duration::from_secs(1);
const FLOOR: u64 = 96 << 20;
/// Tables may name roles that are found one after the other.
const ROUNDS: usize = 5;

/// What to do about a role that the snapshot names and the server lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MissingRoles {
    /// Fail; a snapshot of this server has no such role.
    Refuse,
    /// Create it, without login and password, so that tables, privileges and policies can be restored.
    Make,
}

/// Marks an error that happened after the exchange.
#[derive(Debug)]
pub(crate) struct Exchanged;

impl fmt::Display for Exchanged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the snapshot was restored, but the next step failed")
    }
}

/// The scratch database, while it exists.
pub(crate) struct Scratch<'a> {
    primary: &'a Primary,
    live: &'a str,
    made: RefCell<Vec<String>>,
}

/// Fills a scratch database from an archive, calls `work`, and drops the database in any case, also after a signal.
pub(crate) fn with<T>(
    (env, task): (&Env, TaskId),
    primary: &Primary,
    archive: &mut Archive,
    roles: MissingRoles,
    work: impl FnOnce(&Scratch<'_>) -> Result<T>,
) -> Result<T> {
    let scratch = Scratch { primary, live: &env.config.database.name, made: RefCell::default() };
    let contents = contents(primary, archive)?;
    let result = scratch.fill(archive, &contents, roles).and_then(|()| {
        for subscription in &contents.subscriptions {
            env.note(task, format!("subscription {subscription} was not restored: create it yourself"));
        }
        work(&scratch)
    });
    let made = scratch.made.borrow().clone();
    match (result, scratch.clean()) {
        (Ok(done), cleaned) => {
            if let Err(error) = cleaned {
                env.note(task, format!("database {SCRATCH} or {REPLACED} is left, until the next snapshot or restore: {error:#}"));
            }
            if !made.is_empty() {
                let text = "created the roles that the snapshot needs, without login and password, with the snapshot's privileges";
                env.note(task, format!("{text}: {}", made.join(", ")));
            }
            Ok(done)
        }
        // A signal may come after the server has got the statement.
        (Err(error), Ok(true)) => Err(error.context(Exchanged)),
        (Err(error), Ok(false)) => {
            scratch.unmake(&made);
            Err(error)
        }
        (Err(error), Err(left)) => {
            env.note(task, format!("database {SCRATCH} is left, until the next snapshot or restore: {left:#}"));
            Err(error)
        }
    }
}

fn contents(primary: &Primary, archive: &mut Archive) -> Result<Contents> {
    let mut list = Vec::new();
    primary.run(&["pg_restore", "--create", "--list"], Some(&mut archive.read()?), &mut list)?;
    Ok(Contents::of(&String::from_utf8_lossy(&list)))
}

impl Scratch<'_> {
    /// Runs a script with psql's variables in another database than the application's.
    fn sql(&self, primary: &Primary, script: &str, more: &[(&str, &str)]) -> Result<String> {
        let variables = [&[("live", self.live), ("scratch", SCRATCH), ("replaced", REPLACED), ("own", OWN)], more].concat();
        primary.sql(maintenance(self.live), script, &variables)
    }

    /// The result of a query in the filled scratch database, one row a line with `|` between the fields.
    pub(crate) fn inside(&self, query: &str) -> Result<String> {
        self.primary.sql(SCRATCH, query, &[])
    }

    fn fill(&self, archive: &mut Archive, contents: &Contents, roles: MissingRoles) -> Result<()> {
        let facts = match &archive.facts {
            Some(facts) => facts.clone(),
            // A file of pg_dump has no facts. An extension that exists in both databases keeps its owner.
            None => Facts { public: true, ..Facts::read(self.primary, self.live)? },
        };
        let mut rounds = 0;
        loop {
            self.create(contents)?;
            let Err(error) = self.fill_once(archive, contents, &facts) else { return Ok(()) };
            let said = format!("{error:#}");
            let mut missing = archive::missing_roles(&said);
            rounds += 1;
            if missing.is_empty() || roles == MissingRoles::Refuse || rounds > ROUNDS {
                return Err(error);
            }
            // One more round, without rows, continues after errors and finds the other roles.
            let scratch = connection(SCRATCH);
            let look = [RESTORE, &["--schema-only", "--dbname", &scratch]].concat();
            if let Err(error) = self.primary.run(&look, Some(&mut archive.read()?), &mut std::io::sink()) {
                missing.extend(archive::missing_roles(&format!("{error:#}")).into_iter().filter(|it| !said.contains(&format!("\"{it}\""))));
            }
            for role in missing {
                let make = format!("CREATE ROLE :\"role\" NOLOGIN;\nCOMMENT ON ROLE :\"role\" IS '{MADE}';\n");
                self.sql(self.primary, &make, &[("role", &role)]).with_context(|| format!("make role {role}, which the snapshot names"))?;
                self.made.borrow_mut().push(role);
            }
        }
    }

    fn create(&self, contents: &Contents) -> Result<()> {
        self.sql(self.primary, include_str!("sql/create.sql"), &[("owner", &contents.owner)]).map(drop).map_err(|error| {
            match archive::missing_roles(&format!("{error:#}")).first() {
                Some(role) => Problem::new(format!("the snapshot is of a database of user {role}, which this server does not have"))
                    .hint("restore it into an instance with the same `database.user`")
                    .into(),
                None => error.context("create the scratch database"),
            }
        })
    }

    fn fill_once(&self, archive: &mut Archive, contents: &Contents, facts: &Facts) -> Result<()> {
        let scratch = connection(SCRATCH);
        let restore = [RESTORE, &["--exit-on-error", "--dbname", &scratch]].concat();
        while_there_is_room(self.primary, self.live, || self.primary.run(&restore, Some(&mut archive.read()?), &mut std::io::sink()))?;
        let facts = serde_json::to_string(facts)?;
        self.primary.sql(SCRATCH, include_str!("sql/settle.sql"), &[("facts", &facts)])?;
        if !contents.properties.is_empty() {
            let mut text = Vec::new();
            let list = contents.properties.join("\n");
            let chosen = r#"exec pg_restore --create --file=- --use-list=/dev/fd/3 3<<<"$1""#;
            self.primary.run(&["bash", "-c", chosen, "sh", &list], Some(&mut archive.read()?), &mut text)?;
            let statements = archive::properties(&String::from_utf8_lossy(&text), SCRATCH)?;
            self.sql(self.primary, &statements, &[])?;
        }
        Ok(())
    }

    /// Lets only superusers in, also under the name of the application's database.
    pub(crate) fn close(&self) -> Result<()> {
        self.sql(self.primary, "ALTER DATABASE :\"scratch\" CONNECTION LIMIT 0;", &[]).map(drop)
    }

    /// Gives the scratch database the name of the application's database, which gets another name. Returns a description of the sessions
    /// that were ended in the middle of a transaction.
    pub(crate) fn exchange(&self) -> Result<String> {
        self.sql(self.primary, include_str!("sql/exchange.sql"), &[])
    }

    /// A description of the sessions with a lock that the exchange waits for.
    pub(crate) fn holders(&self) -> Result<String> {
        holders(self.primary, self.live)
    }

    /// Returns whether the exchange had happened.
    fn clean(&self) -> Result<bool> {
        Ok(self.sql(&self.primary.for_cleaning(), include_str!("sql/clean.sql"), &[])? == "t")
    }

    /// Drops the roles that were created for a failed restore; nothing else uses them.
    fn unmake(&self, roles: &[String]) {
        let primary = self.primary.for_cleaning();
        for role in roles {
            self.sql(&primary, "DROP ROLE IF EXISTS :\"role\";", &[("role", role)]).ok();
        }
    }
}

/// Ends the work's sessions when the volume runs full meanwhile: a server that cannot write its log stops, and its operator
/// does not start it again on a full volume.
fn while_there_is_room(primary: &Primary, live: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let (working, ended) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let watch = scope.spawn(move || {
            while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                // A look that fails says nothing: the next one may.
                if let Some(room) = primary.room().ok().filter(|it| *it < FLOOR) {
                    primary.end_sessions(maintenance(live));
                    return Some(room);
                }
            }
            None
        });
        let result = work();
        drop(working);
        match (watch.join(), result) {
            (Ok(Some(room)), Err(_)) => {
                let what = format!("the database's volume has {} MB left, which its server needs to go on", room >> 20);
                Err(Problem::new(what).code(Code::DatabaseFull).hint(ROOM).into())
            }
            (_, result) => result,
        }
    })
}

/// The sessions that hold a lock for which a dump or an exchange waits, in words.
pub(crate) fn holders(primary: &Primary, live: &str) -> Result<String> {
    Ok(primary.sql(maintenance(live), include_str!("sql/holders.sql"), &[("live", live)])?.replace('\n', "; "))
}

/// A database that every server has, other than the application's.
pub(crate) fn maintenance(live: &str) -> &'static str {
    if live == "postgres" { "template1" } else { "postgres" }
}

/// The error for a new snapshot that cannot be restored, or whose check failed.
pub(crate) fn unrestorable(error: anyhow::Error) -> anyhow::Error {
    let said = format!("{error:#}");
    if !said.contains("ERROR:  ") {
        return error.context("the snapshot could not be proven to be restorable");
    }
    let what = format!("the database's content cannot be restored as it is: {}", archive::reason(&said));
    let function = said.contains("ERROR:  function ") || said.contains("CONTEXT:  PL/pgSQL") || said.contains("CONTEXT:  SQL function");
    let paths = "functions that generated columns, indexes and checks call need their own search_path:\nALTER FUNCTION … SET search_path = public, pg_temp\n";
    let hint = format!("{}`db snapshot --no-verify` writes the file without this check", if function { paths } else { "" });
    Problem::new(what).code(Code::NotRestorable).hint(hint).into()
}
