//! Adds the lines that a Pocdeploy.toml lacks. Every line of the user stays as it is.

use std::collections::BTreeMap;

use anyhow::Result;
use toml::{Table, Value};

use crate::{
    config::{Config, FILE},
    errors::Problem,
};

/// Tables whose keys are added one by one; another table of the user's is complete as it is.
const MERGED: [&str; 4] = ["", "frontend", "frontend.env", "database"];

/// The user's text with the lines of `whole`, a complete configuration, that it lacks: keys behind their table's header, those of no table at
/// the top, tables at the end. Keys that the user has win.
///
/// # Errors The user's tables are written in a form that no line can be added to. The message has the lines.
pub fn completed(user: &str, whole: &str) -> Result<String> {
    let (mark, text) = user.strip_prefix('\u{feff}').map_or(("", user), |it| ("\u{feff}", it));
    let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let before: Table = parsed(text)?;
    // What is inserted, by its place; the last place is the end.
    let mut added: BTreeMap<usize, String> = BTreeMap::new();
    let mut all = String::new();
    for block in blocks(whole) {
        let path = block.path.as_str();
        let lacking: Vec<&str> = block.lines.iter().copied().filter(|it| !has(&before, path, it)).collect();
        let is_comment = lacking.iter().all(|it| it.is_empty() || it.starts_with('#'));
        if is_comment || !MERGED.contains(&path) && value(&before, path).is_some() {
            continue;
        }
        let lines: String = lacking.iter().map(|it| format!("{it}{end}")).collect();
        all.push_str(&format!("{}{lines}", if path.is_empty() { String::new() } else { format!("[{path}]\n") }));
        match header(text, path) {
            Some(at) => added.entry(at).or_default().push_str(&lines),
            None if path.is_empty() => added.entry(0).or_default().push_str(&format!("{lines}{end}")),
            None => {
                let last = added.entry(text.len()).or_default();
                let gap = if last.ends_with(&format!("{end}{end}")) { "" } else { end };
                last.push_str(&format!("{gap}[{path}]{end}{lines}"));
            }
        }
    }
    added.entry(text.len()).or_default().push_str(&notes(whole, end));
    let mut out = mark.to_owned();
    let mut from = 0;
    for (at, lines) in added {
        out.push_str(&text[from..at]);
        if at > 0 && !lines.is_empty() && !out.ends_with('\n') {
            out.push_str(end);
        }
        out.push_str(&lines);
        from = at;
    }
    out.push_str(&text[from..]);
    let after = out.strip_prefix('\u{feff}').unwrap_or(&out);
    match after.parse::<Table>() {
        Ok(table) if holds(&table, &before) && Config::parse(after).is_ok() => Ok(out),
        _ => Err(refused(&all)),
    }
}

fn parsed(text: &str) -> Result<Table> {
    text.parse().map_err(|error| Problem::config(format!("{FILE}: {error}")).into())
}

fn refused(lines: &str) -> anyhow::Error {
    let what = format!("{FILE} lacks lines, and none can be added to its tables as they are written; nothing was changed");
    Problem::config(what)
        .hint(format!("write [frontend] and [frontend.env] as tables of their own, or add these lines yourself:\n{lines}"))
        .into()
}

/// A table's lines without its header.
struct Block<'a> {
    path: String,
    lines: Vec<&'a str>,
}

/// The tables of a text whose headers and keys each are a line, as [`super::configuration`] writes it.
fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut out = vec![Block { path: String::new(), lines: Vec::new() }];
    for line in text.lines().filter(|it| !it.is_empty() && !it.starts_with('#')) {
        match line.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
            Some(path) => out.push(Block { path: path.to_owned(), lines: Vec::new() }),
            None => out.last_mut().into_iter().for_each(|it| it.lines.push(line)),
        }
    }
    out
}

/// The comments behind the last table: what is missing still.
fn notes(whole: &str, end: &str) -> String {
    let lines = whole.lines().skip_while(|it| !it.starts_with("# Missing:"));
    lines.fold(
        String::new(),
        |out, it| if it.starts_with("# Missing:") { format!("{out}{end}{it}{end}") } else { format!("{out}{it}{end}") },
    )
}

/// Whether the user's table has the key of the line.
fn has(user: &Table, path: &str, line: &str) -> bool {
    let Some(Value::Table(table)) = value(user, path) else { return false };
    line.parse::<Table>().is_ok_and(|it| it.keys().all(|key| table.contains_key(key)))
}

fn value(table: &Table, path: &str) -> Option<Value> {
    let mut found = Value::Table(table.clone());
    for part in path.split('.').filter(|it| !it.is_empty()) {
        found = found.get(part.trim_matches(['"', '\'']))?.clone();
    }
    Some(found)
}

/// The place behind a table's header. A line inside a text of several lines is none: the text before it is no TOML by itself.
fn header(text: &str, path: &str) -> Option<usize> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let begin = at;
        at += line.len();
        if !line.trim_start().starts_with('[') || line.trim_start().starts_with("[[") || path.is_empty() {
            continue;
        }
        let is_it = line.parse::<Table>().is_ok_and(|it| value(&it, path).is_some_and(|it| it.as_table().is_some_and(Table::is_empty)));
        if is_it && text[..begin].parse::<Table>().is_ok() {
            return Some(at);
        }
    }
    None
}

/// Whether every value of `old` is in `new`.
fn holds(new: &Table, old: &Table) -> bool {
    old.iter().all(|(key, old)| match (new.get(key), old) {
        (Some(Value::Table(new)), Value::Table(old)) => holds(new, old),
        (Some(new), old) => new == old,
        (None, _) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "# Go.\n# Written.\n\nnamespace = \"shop\"\n\n[frontend]\npath = \".\"\nport = 8080\n\n[frontend.env]\nA = \"1\"\nB = \"2\"\n\n\
        [services.cache]\nkind = \"valkey\"\n\n[database]\nname = \"app\"\nuser = \"app\"\n\n# Missing: x\n# [frontend.env]\n# C = \"…\"\n";

    fn check(user: &str, expected: &expect_test::Expect) {
        let out = completed(user, WHOLE).unwrap();
        let mut rest = out.lines();
        user.lines().for_each(|line| assert!(rest.any(|it| it == line), "{line:?} is not in order in\n{out}"));
        expected.assert_eq(&out);
    }

    #[test]
    fn lines_are_added_behind_headers_and_those_of_the_user_stay() {
        let user = "# mine\n[ frontend ] # the first\ncommand = [\"/srv/app/bin/a\"]   # so\nport=9000\n\n[database] \nuser = 'me'";
        check(
            user,
            &expect_test::expect![[r#"
                namespace = "shop"

                # mine
                [ frontend ] # the first
                path = "."
                command = ["/srv/app/bin/a"]   # so
                port=9000

                [database] 
                name = "app"
                user = 'me'

                [frontend.env]
                A = "1"
                B = "2"

                [services.cache]
                kind = "valkey"

                # Missing: x
                # [frontend.env]
                # C = "…"
            "#]],
        );
    }

    #[test]
    fn a_header_inside_a_text_is_none_and_tables_of_services_are_complete_as_they_are() {
        let inside = "[frontend.env]\nA = \"\"\"\n[frontend]\n\"\"\"\n";
        assert_eq!(header(inside, "frontend"), None);
        assert_eq!(header(&format!("{inside}[frontend]\nport = 1\n"), "frontend"), Some(inside.len() + "[frontend]\n".len()));
        let user = "namespace = \"mine\"\n[services.cache]\nkind = \"valkey\"\nmemory = \"256Mi\"\n[frontend.env]\nA = \"0\"\n";
        check(
            user,
            &expect_test::expect![[r#"
                namespace = "mine"
                [services.cache]
                kind = "valkey"
                memory = "256Mi"
                [frontend.env]
                B = "2"
                A = "0"

                [frontend]
                path = "."
                port = 8080

                [database]
                name = "app"
                user = "app"

                # Missing: x
                # [frontend.env]
                # C = "…"
            "#]],
        );
    }

    #[test]
    fn line_ends_and_the_mark_at_the_begin_stay() {
        let out = completed("\u{feff}[frontend]\r\nport = 9000\r\n", "namespace = \"x\"\n\n[frontend]\npath = \".\"\n").unwrap();
        assert_eq!(out, "\u{feff}namespace = \"x\"\r\n\r\n[frontend]\r\npath = \".\"\r\nport = 9000\r\n");
    }

    #[test]
    fn forms_that_take_no_line_are_refused_with_the_lines() {
        for user in ["frontend = { port = 9000 }\n", "frontend.port = 9000\n"] {
            let error = crate::errors::render(&completed(user, WHOLE).unwrap_err());
            assert!(error.contains("nothing was changed") && error.contains("path = \".\""), "{error}");
        }
    }
}
