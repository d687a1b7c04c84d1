//! Formats the rows of a status as text, as JSON, or repeatedly in the same place. Pure.

use serde_json::{Value, json};

/// A line of the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) name: &'static str,
    /// Whether it is healthy and as configured.
    pub(super) well: bool,
    pub(super) text: String,
    /// The JSON form.
    pub(super) data: Value,
}

impl Row {
    pub(super) fn new(name: &'static str, well: bool, text: impl Into<String>, data: Value) -> Row {
        Row { name, well, text: text.into(), data }
    }
}

/// All rows, truncated to the width.
pub(super) fn text(rows: &[Row], width: usize) -> String {
    rows.iter().map(|it| line(it, width)).collect()
}

fn line(row: &Row, width: usize) -> String {
    let line = format!("{} {:<10} {}", if row.well { '✓' } else { '✗' }, row.name, row.text.lines().next().unwrap_or_default());
    if line.chars().count() > width {
        let cut: String = line.chars().take(width.saturating_sub(1)).collect();
        return format!("{cut}…\n");
    }
    format!("{line}\n")
}

/// The JSON object; `schema` increases when a field changes its meaning.
pub(super) fn json(instance: &str, rows: &[Row]) -> Value {
    let mut out = json!({ "schema": 1, "instance": instance, "well": rows.iter().all(|it| it.well) });
    for row in rows {
        let mut data = row.data.clone();
        data["well"] = json!(row.well);
        out[row.name] = data;
    }
    out
}

/// The last output, which the next one replaces.
pub(super) struct Screen {
    terminal: bool,
    last: Vec<Row>,
}

impl Screen {
    pub(super) fn new(terminal: bool) -> Screen {
        Screen { terminal, last: Vec::new() }
    }

    /// On a terminal, the rows replace the previous ones; otherwise only changed rows are written.
    pub(super) fn next(&mut self, rows: &[Row]) -> String {
        let out = if self.terminal {
            // One column less, since a full line would wrap on some terminals.
            let width = terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0)).max(20) - 1;
            let up = if self.last.is_empty() { String::new() } else { format!("\x1b[{}A\x1b[J", self.last.len()) };
            up + &text(rows, width)
        } else {
            let same = |row: &&Row| !self.last.iter().any(|it| it.name == row.name && it.well == row.well && it.text == row.text);
            rows.iter().filter(same).map(|it| line(it, usize::MAX)).collect()
        };
        self.last = rows.to_vec();
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(pods: &str) -> Vec<Row> {
        vec![Row::new("cluster", true, "kind", json!({ "type": "kind" })), Row::new("app", pods == "2 of 2", pods, json!({ "pods": pods }))]
    }

    #[test]
    fn a_line_for_each_row_none_longer_than_the_terminal() {
        assert_eq!(text(&rows("1 of 2"), usize::MAX), "✓ cluster    kind\n✗ app        1 of 2\n");
        assert_eq!(text(&rows("1 of 2"), 15), "✓ cluster    k…\n✗ app        1…\n");
    }

    #[test]
    fn a_terminal_is_drawn_over_and_a_file_gets_what_changed() {
        let mut screen = Screen::new(true);
        assert!(!screen.next(&rows("1 of 2")).contains('\x1b'));
        assert!(screen.next(&rows("2 of 2")).starts_with("\x1b[2A\x1b[J✓ cluster"));
        let mut plain = Screen::new(false);
        assert_eq!(plain.next(&rows("1 of 2")), text(&rows("1 of 2"), usize::MAX));
        assert_eq!(plain.next(&rows("1 of 2")), "");
        assert_eq!(plain.next(&rows("2 of 2")), "✓ app        2 of 2\n");
    }

    #[test]
    fn machines_get_one_object_with_a_field_for_each_row() {
        let expected =
            r#"{"schema":1,"instance":"i","well":false,"cluster":{"type":"kind","well":true},"app":{"pods":"1 of 2","well":false}}"#;
        assert_eq!(json("i", &rows("1 of 2")).to_string(), expected);
    }
}
