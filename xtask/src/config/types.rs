//! Values of the wrong type, all of them: one that cannot be read must not hide the next.

use toml::de::{DeTable, DeValue};

use crate::config::{Config, locate};

/// More wrong values than this are not told at once.
const MOST: usize = 50;

/// The configuration with its defaults in place of what has the wrong type, and a complaint for each of these.
/// Nothing where the text is no TOML at all.
pub(crate) fn read(text: &str) -> (Option<Config>, Vec<String>) {
    // What was told is blanked out: places stay what they are in the user's file.
    let mut rest = text.to_owned();
    let mut wrong: Vec<(usize, String)> = Vec::new();
    let told = |mut wrong: Vec<(usize, String)>| {
        // In the file's order, which is not the types'.
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
        // Blanks of one byte each: no place after them moves.
        let pad = value.to - value.from - blank.len();
        rest.replace_range(value.from..value.to, &format!("{blank}{}", " ".repeat(pad)));
    }
    (None, told(wrong))
}

/// In an inline table the comma goes with the value, the one behind it or else the one before.
fn with_comma(text: &str, value: Placed) -> Placed {
    let behind = &text[value.to..];
    let before = text[..value.from].trim_end();
    let gap = behind.len() - behind.trim_start().len();
    if behind.trim_start().starts_with(',') {
        return Placed { to: value.to + gap + 1, ..value };
    }
    if before.ends_with(',') { Placed { from: before.len() - 1, ..value } } else { value }
}

/// A key with its value, by its place in the text.
struct Placed {
    path: String,
    from: usize,
    to: usize,
}

/// The innermost key whose value holds the place. A text that is no TOML has none.
fn around(text: &str, at: usize) -> Option<Placed> {
    let document = DeTable::parse(text).ok()?;
    let found = search(document.get_ref(), "", at)?;
    // An array of tables has no one place that could be blanked.
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
