//! What a snapshot's file holds: PostgreSQL's archive, and after its end a line of facts that no archive holds.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read, Seek, SeekFrom, Take, Write},
    path::Path,
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::{errors::Problem, regular, snapshot::primary::Primary};

/// The first bytes of `pg_dump`'s custom format.
const MAGIC: &[u8] = b"PGDMP";
/// Before the facts. `pg_restore` reads as far as its table of contents says, and never this.
const MARK: &[u8] = b"\npocdeploy-facts ";
/// More than facts ever take.
const TAIL: u64 = 1 << 18;

/// What no archive holds of the database that was dumped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// Each extension's owner.
    pub extensions: BTreeMap<String, String>,
    /// Whether it has the schema of this name, which a new database has.
    pub public: bool,
    /// Of the database's files, in bytes.
    pub size: u64,
    /// Whether these are the facts of the dumped database, not of the one that is replaced.
    #[serde(default)]
    pub exact: bool,
}

impl Facts {
    pub(crate) fn read(primary: &Primary, database: &str) -> Result<Facts> {
        let text = primary.sql(database, include_str!("sql/facts.sql"), &[])?;
        serde_json::from_str(&text).with_context(|| format!("understand {text:?}"))
    }
}

/// Who wrote a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrittenBy {
    /// `db snapshot`, or this tool by itself.
    Snapshot,
    /// `pg_dump --format=custom`: whose the extensions are follows the database that is replaced.
    PgDump,
}

/// A file that begins as a snapshot does.
pub(crate) struct Archive {
    file: File,
    /// Of PostgreSQL's part, in bytes.
    length: u64,
    /// Not in files of `pg_dump` itself.
    pub facts: Option<Facts>,
}

impl Archive {
    /// What can be seen of a file without a database: that it is there, begins as a snapshot does, and ends as one of that writer.
    pub(crate) fn open(path: &Path, writer: WrittenBy) -> Result<Archive> {
        let file = regular::open(path)
            .map_err(|error| Problem::usage(format!("{}: {error}", path.display())).hint("`cargo xtask db ls` lists the snapshots"))?;
        let archive = Archive::of(file, path)?;
        // A snapshot that was cut off before its last line looks just like a file of `pg_dump`'s own.
        if archive.facts.is_none() && writer == WrittenBy::Snapshot {
            let what = format!("{} does not end as a snapshot does: it is cut short, or not written by `db snapshot`", path.display());
            let hint = format!("a whole file of pg_dump's own: cargo xtask db restore --from-pg-dump {}", path.display());
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
            return Err(Problem::usage(format!("{} is no snapshot: it does not begin with {magic}", path.display())).into());
        }
        let whole = file.metadata()?.len();
        file.seek(SeekFrom::Start(whole.saturating_sub(TAIL)))?;
        let mut tail = Vec::new();
        file.read_to_end(&mut tail)?;
        let Some(at) = tail.windows(MARK.len()).rposition(|it| it == MARK) else {
            return Ok(Archive { file, length: whole, facts: None });
        };
        let facts = serde_json::from_slice(&tail[at + MARK.len()..])
            .map_err(|_| Problem::usage(format!("{} is cut short: nothing was changed", path.display())))?;
        Ok(Archive { file, length: whole - (tail.len() - at) as u64, facts: Some(facts) })
    }

    /// PostgreSQL's part, from its beginning.
    pub(crate) fn read(&mut self) -> io::Result<Take<&mut File>> {
        self.file.rewind()?;
        Ok((&mut self.file).take(self.length))
    }
}

/// Writes the facts after an archive's end.
pub(crate) fn write_facts(out: &mut dyn Write, facts: &Facts) -> Result<()> {
    out.write_all(MARK)?;
    serde_json::to_writer(&mut *out, facts)?;
    Ok(out.write_all(b"\n")?)
}

/// What an archive's table of contents says that decides about a restore.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    /// The database's owner.
    pub owner: String,
    /// The entries that speak of the database itself: its settings, rights and comment.
    pub properties: Vec<String>,
    /// Names and owners of subscriptions.
    pub subscriptions: Vec<String>,
}

impl Contents {
    /// From `pg_restore --create --list`, whose lines are `number; class object KIND schema name owner`.
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

/// The statements of an archive's text that speak of the database itself, said of the database `name`. Everything else in the
/// text (comments, psql's own commands, the database's making) is left out.
pub(crate) fn properties(text: &str, name: &str) -> String {
    const TAKEN: [&str; 7] =
        ["ALTER DATABASE ", "ALTER ROLE ", "COMMENT ON DATABASE ", "GRANT ", "REVOKE ", "SECURITY LABEL ", "SET SESSION AUTHORIZATION "];
    let quoted = format!("\"{}\"", name.replace('"', "\"\""));
    let mut out = String::new();
    for statement in statements(text) {
        let whole: String = statement.concat();
        if !TAKEN.iter().any(|it| whole.starts_with(it)) && !whole.starts_with("RESET SESSION AUTHORIZATION") {
            continue;
        }
        let mut follows = false;
        for token in statement {
            let blank = token.trim().is_empty();
            out.push_str(if follows && !blank { &quoted } else { token });
            follows = token == "DATABASE" || follows && blank;
        }
        out.push_str(";\n");
    }
    out
}

/// SQL as `pg_dump` writes it, statement by statement without the semicolons: words, blanks, quoted text, other characters.
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

/// Up to and with the closing quote; a doubled quote is none.
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

/// The first thing that `pg_restore` could not put back: PostgreSQL's words, the statement, and where in the user's own
/// functions it happened.
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

/// The roles that a text of errors says do not exist, each once.
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
