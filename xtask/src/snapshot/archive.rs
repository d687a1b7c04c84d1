//! The format of a snapshot: PostgreSQL's archive, and after it a line with facts that the archive does not contain.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read, Seek, SeekFrom, Take, Write},
    path::Path,
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::{errors::Problem, regular, snapshot::primary::Primary};

/// The first bytes of pg_dump's custom format.
const MAGIC: &[u8] = b"PGDMP";
/// The mark before the facts. `pg_restore` reads only what its table of contents lists, and never this.
const MARK: &[u8] = b"\npocdeploy-facts ";
/// The maximum length of the facts.
const TAIL: u64 = 1 << 18;

/// Facts about the dumped database that the archive does not contain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// The owner of each extension.
    pub extensions: BTreeMap<String, String>,
    /// Whether the database has the schema `public`, which every new database has.
    pub public: bool,
    /// The size of the database's files in bytes.
    pub size: u64,
    /// Whether the facts are those of the dumped database, or else of the replaced one.
    #[serde(default)]
    pub exact: bool,
}

impl Facts {
    pub(crate) fn read(primary: &Primary, database: &str) -> Result<Facts> {
        let text = primary.sql(database, include_str!("sql/facts.sql"), &[])?;
        serde_json::from_str(&text).with_context(|| format!("understand {text:?}"))
    }
}

/// The program that wrote a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrittenBy {
    /// `db snapshot`, or an automatic snapshot.
    Snapshot,
    /// `pg_dump --format=custom`. The owners of extensions are then those of the replaced database.
    PgDump,
}

/// A file with the start of a snapshot.
pub(crate) struct Archive {
    file: File,
    /// Of PostgreSQL's part, in bytes.
    pub length: u64,
    /// Not in files of `pg_dump` itself.
    pub facts: Option<Facts>,
}

impl Archive {
    /// Checks a file without a database: it exists, starts like a snapshot, and ends like a file of this writer.
    pub(crate) fn open(path: &Path, writer: WrittenBy) -> Result<Archive> {
        let file = regular::open(path)
            .map_err(|error| Problem::usage(format!("{}: {error}", path.display())).hint("`cargo xtask db ls` lists the snapshots"))?;
        let archive = Archive::of(file, path)?;
        // A snapshot that was truncated before its last line looks like a file of `pg_dump`.
        if archive.facts.is_none() && writer == WrittenBy::Snapshot {
            let what = format!("{} does not end like a snapshot: it is truncated, or was not written by `db snapshot`", path.display());
            let hint = format!("for a complete file of pg_dump: cargo xtask db restore --from-pg-dump {}", path.display());
            return Err(Problem::usage(what).hint(hint).into());
        }
        Ok(archive)
    }

    pub(crate) fn of(mut file: File, path: &Path) -> Result<Archive> {
        file.rewind()?;
        let mut first = Vec::new();
        (&mut file).take(MAGIC.len() as u64).read_to_end(&mut first)?;
        if first != MAGIC {
            let magic = String::from_utf8_lossy(MAGIC);
            return Err(Problem::usage(format!("{} is not a snapshot: it does not start with {magic}", path.display())).into());
        }
        let whole = file.metadata()?.len();
        file.seek(SeekFrom::Start(whole.saturating_sub(TAIL)))?;
        let mut tail = Vec::new();
        file.read_to_end(&mut tail)?;
        let Some(at) = tail.windows(MARK.len()).rposition(|it| it == MARK) else {
            return Ok(Archive { file, length: whole, facts: None });
        };
        let facts = serde_json::from_slice(&tail[at + MARK.len()..])
            .map_err(|_| Problem::usage(format!("{} is truncated: nothing was changed", path.display())))?;
        Ok(Archive { file, length: whole - (tail.len() - at) as u64, facts: Some(facts) })
    }

    /// A reader of PostgreSQL's part, from its start.
    pub(crate) fn read(&mut self) -> io::Result<Take<&mut File>> {
        self.file.rewind()?;
        Ok((&mut self.file).take(self.length))
    }
}

/// Appends the facts to an archive.
pub(crate) fn write_facts(out: &mut dyn Write, facts: &Facts) -> Result<()> {
    out.write_all(MARK)?;
    serde_json::to_writer(&mut *out, facts)?;
    Ok(out.write_all(b"\n")?)
}

/// The parts of an archive's table of contents that matter for a restore.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    /// The database's owner.
    pub owner: String,
    /// The entries about the database itself: settings, privileges, comment.
    pub properties: Vec<String>,
    /// Names and owners of subscriptions.
    pub subscriptions: Vec<String>,
}

impl Contents {
    /// Parses the output of `pg_restore --create --list`, with lines `number; class object KIND schema name owner`.
    pub(crate) fn of(list: &str) -> Contents {
        let mut out = Contents::default();
        let database = list.lines().find_map(|it| it.strip_prefix(";     dbname: ")).unwrap_or_default();
        let own = format!("DATABASE - {database} ");
        for line in list.lines().filter(|it| !it.starts_with(';')) {
            let mut words = line.splitn(4, ' ').skip(3);
            let Some(entry) = words.next() else { continue };
            if let Some(owner) = entry.strip_prefix(&own) {
                owner.clone_into(&mut out.owner);
            }
            let of_database = ["DATABASE PROPERTIES - ", "ACL - DATABASE ", "COMMENT - DATABASE ", "SECURITY LABEL - DATABASE "];
            if of_database.iter().any(|it| entry.starts_with(it)) {
                out.properties.push(line.to_owned());
            }
            if let Some(subscription) = entry.strip_prefix("SUBSCRIPTION - ") {
                out.subscriptions.push(subscription.to_owned());
            }
        }
        out
    }
}

/// The statements of an archive's text that speak of the database itself, said of the database `name`. The text's frame is left
/// out: comments, psql's own commands, the settings of its session, the database's making. A statement of any other kind is an
/// error: it would be lost without a word.
pub(crate) fn properties(text: &str, name: &str) -> Result<String> {
    const TAKEN: [&str; 8] = [
        "ALTER DATABASE ",
        "ALTER ROLE ",
        "COMMENT ON DATABASE ",
        "GRANT ",
        "REVOKE ",
        "SECURITY LABEL ",
        "SET SESSION AUTHORIZATION ",
        "RESET SESSION AUTHORIZATION",
    ];
    // `_doSetFixedOutputState` of pg_backup_archiver.c writes `SET` and this `SELECT`.
    const FRAME: [&str; 3] = ["SET ", "SELECT pg_catalog.set_config('search_path', ", "CREATE DATABASE "];
    let quoted = format!("\"{}\"", name.replace('"', "\"\""));
    let mut out = String::new();
    for statement in statements(text).into_iter().filter(|it| !it.is_empty()) {
        let whole: String = statement.concat();
        // The database was closed for an upgrade when it was dumped.
        if whole.starts_with("ALTER DATABASE ") && whole.trim_end().ends_with("CONNECTION LIMIT = 0") {
            continue;
        }
        if !TAKEN.iter().any(|it| whole.starts_with(it)) {
            if FRAME.iter().any(|it| whole.starts_with(it)) {
                continue;
            }
            let short: String = whole.chars().take(200).collect();
            return Err(Problem::new(format!("it says of the database itself what this version does not know: {short}")).into());
        }
        let mut follows = false;
        for token in statement {
            let blank = token.trim().is_empty();
            out.push_str(if follows && !blank { &quoted } else { token });
            follows = token == "DATABASE" || follows && blank;
        }
        out.push_str(";\n");
    }
    Ok(out)
}

/// Splits SQL of `pg_dump` into statements without semicolons, each a list of words, blanks, quoted text and other characters.
fn statements(text: &str) -> Vec<Vec<&str>> {
    let mut out = vec![Vec::new()];
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let fresh = out.last().is_some_and(Vec::is_empty);
        let length = match first {
            '\'' | '"' => quoted_length(rest, first),
            ' ' | '\n' => 1,
            '\\' if fresh => rest.find('\n').unwrap_or(rest.len()),
            '-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            it if it.is_alphanumeric() || it == '_' => {
                rest.find(|it: char| !it.is_alphanumeric() && !matches!(it, '_' | '$')).unwrap_or(rest.len())
            }
            it => it.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        rest = after;
        let passed_over = token.starts_with("--") || fresh && (token.trim().is_empty() || token.starts_with('\\'));
        if token == ";" {
            out.push(Vec::new());
        } else if !passed_over && let Some(last) = out.last_mut() {
            last.push(token);
        }
    }
    out
}

/// The length up to and including the closing quote; a doubled quote does not close.
fn quoted_length(text: &str, quote: char) -> usize {
    let mut from = 1;
    while let Some(at) = text[from..].find(quote) {
        from += at + 1;
        if !text[from..].starts_with(quote) {
            return from;
        }
        from += 1;
    }
    text.len()
}

/// The first object that `pg_restore` failed to restore: PostgreSQL's message, the statement, and the place in the user's functions.
pub(crate) fn reason(said: &str) -> String {
    let mut lines = said.lines().skip_while(|it| !it.contains("pg_restore: error: "));
    let Some(first) = lines.next() else { return said.trim().to_owned() };
    let first = first.split("pg_restore: error: ").nth(1).unwrap_or(first);
    let mut out = first.trim_start_matches("could not execute query: ").replace("ERROR:  ", "");
    let rest: Vec<&str> = lines.take_while(|it| !it.starts_with("pg_restore: ")).collect();
    for kind in ["DETAIL:  ", "CONTEXT:  ", "Command was: "] {
        if let Some(text) = rest.iter().find_map(|it| it.strip_prefix(kind)) {
            let name = match kind {
                "DETAIL:  " => "",
                "CONTEXT:  " => "in ",
                _ => "from ",
            };
            let short: String = text.chars().take(200).collect();
            out = format!("{out}; {name}{short}");
        }
    }
    out
}

/// The roles that PostgreSQL reports as missing, without duplicates.
pub(crate) fn missing_roles(said: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for line in said.lines() {
        let Some((_, rest)) = line.split_once("ERROR:  role \"") else { continue };
        let Some(name) = rest.strip_suffix("\" does not exist") else { continue };
        if !out.iter().any(|it| it == name) {
            out.push(name.to_owned());
        }
    }
    out
}

#[cfg(test)]
mod tests;
