//! Reports all values of the wrong type, although the parser stops at the first.

use toml::de::{DeTable, DeValue};

use crate::config::{Config, locate};

/// The maximum number of reported values.
const MOST: usize = 50;

/// The configuration, with defaults instead of values of the wrong type, and a complaint about each of them. `None` if the text is not
/// TOML.
pub(crate) fn read(text: &str) -> (Option<Config>, Vec<String>) {
    // Overwrites a reported value with blanks, so that later places stay the same.
    let mut rest = text.to_owned();
    let mut wrong: Vec<(usize, String)> = Vec::new();
    let told = |mut wrong: Vec<(usize, String)>| {
        // In the order of the file, not of the types.
        wrong.sort_by_key(|(at, _)| *at);
        wrong.into_iter().map(|(_, complaint)| complaint).collect()
    };
    while wrong.len() < MOST {
        let error = match toml::from_str(&rest) {
            Ok(config) => return (Some(config), told(wrong)),
            Err(error) => error,
        };
        let Some(value) = error.span().and_then(|it| around(&rest, it.start)) else {
            wrong.push((error.span().unwrap_or_default().start, locate::syntax(text, &error)));
            return (None, told(wrong));
        };
        wrong.push((value.from, locate::wrong_type(text, &error, &value.path)));
        let value = with_comma(&rest, value);
        let blank: String = rest[value.from..value.to].chars().map(|it| if it == '\n' { '\n' } else { ' ' }).collect();
        // One-byte blanks, so that no later place moves.
        let pad = value.to - value.from - blank.len();
        rest.replace_range(value.from..value.to, &format!("{blank}{}", " ".repeat(pad)));
    }
    (None, told(wrong))
}

/// In an inline table, includes the comma after the value, or else the one before it.
fn with_comma(text: &str, value: Placed) -> Placed {
    let behind = &text[value.to..];
    let before = text[..value.from].trim_end();
    let gap = behind.len() - behind.trim_start().len();
    if behind.trim_start().starts_with(',') {
        return Placed { to: value.to + gap + 1, ..value };
    }
    if before.ends_with(',') { Placed { from: before.len() - 1, ..value } } else { value }
}

/// A key and its value, by their place in the text.
struct Placed {
    path: String,
    from: usize,
    to: usize,
}

/// The innermost key whose value contains the place. `None` if the text is not TOML.
fn around(text: &str, at: usize) -> Option<Placed> {
    let document = DeTable::parse(text).ok()?;
    let found = search(document.get_ref(), "", at)?;
    // An array of tables has several places, so it cannot be overwritten.
    (!text[found.from..].starts_with('[') && found.to > found.from).then_some(found)
}

fn search(table: &DeTable<'_>, prefix: &str, at: usize) -> Option<Placed> {
    for (name, value) in table {
        let path = if prefix.is_empty() { name.get_ref().to_string() } else { format!("{prefix}.{}", name.get_ref()) };
        if let DeValue::Table(inner) = value.get_ref()
            && let Some(found) = search(inner, &path, at)
        {
            return Some(found);
        }
        if (name.span().start..value.span().end).contains(&at) && !matches!(value.get_ref(), DeValue::Table(_)) {
            return Some(Placed { path, from: name.span().start, to: value.span().end });
        }
    }
    None
}
