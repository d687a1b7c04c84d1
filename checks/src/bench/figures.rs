//! Figures: medians and ranges, the table, and the JSON object. Pure, except for reading the machine's properties.

use std::time::Duration;

use serde_json::{Value, json};

use crate::bench::Pair;

/// Several measurements of one quantity.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures(Vec<f64>);

impl Figures {
    pub(super) fn add(&mut self, took: Duration) {
        self.0.push(took.as_secs_f64());
    }

    pub(super) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// Adds all measurements of others.
    pub(super) fn extend(&mut self, others: &Figures) {
        self.0.extend(&others.0);
    }

    fn sorted(&self) -> Vec<f64> {
        let mut out = self.0.clone();
        out.sort_by(f64::total_cmp);
        out
    }

    /// The median; `None` without measurements.
    pub(super) fn median(&self) -> Option<f64> {
        let sorted = self.sorted();
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => None,
            count if count % 2 == 1 => Some(sorted[middle]),
            _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
        }
    }

    pub(super) fn json(&self) -> Value {
        let sorted = self.sorted();
        json!({ "median": self.median().map(rounded), "min": sorted.first().copied().map(rounded), "max": sorted.last().copied().map(rounded), "each": self.0.iter().copied().map(rounded).collect::<Vec<_>>() })
    }

    pub(super) fn words(&self) -> String {
        let sorted = self.sorted();
        match (self.median(), sorted.first(), sorted.last()) {
            (Some(median), Some(low), Some(high)) if sorted.len() > 1 => format!("{} ({} - {})", short(median), short(*low), short(*high)),
            (Some(median), ..) => short(median),
            _ => "-".to_owned(),
        }
    }
}

impl Pair {
    /// This tool's median divided by the script's.
    pub(super) fn ratio(&self) -> f64 {
        match (self.ours.median(), self.script.median()) {
            (Some(ours), Some(script)) if script > 0.0 => ours / script,
            _ => f64::NAN,
        }
    }

    pub(super) fn json(&self) -> Value {
        json!({ "unit": "s", "ours": self.ours.json(), "script": self.script.json(), "ratio": rounded(self.ratio()) })
    }
}

/// A row of the table.
#[derive(Clone, Debug)]
pub(super) struct Row {
    name: String,
    unit: &'static str,
    ours: Figures,
    other: Figures,
}

impl Row {
    pub(super) fn of(name: &str, unit: &'static str) -> Row {
        Row { name: name.to_owned(), unit, ours: Figures::default(), other: Figures::default() }
    }

    #[must_use]
    pub(super) fn ours(mut self, ours: Figures) -> Row {
        self.ours = ours;
        self
    }

    #[must_use]
    pub(super) fn other(mut self, other: Figures) -> Row {
        self.other = other;
        self
    }

    #[must_use]
    pub(super) fn script(mut self, value: f64) -> Row {
        self.other.push(value);
        self
    }

    pub(super) fn json(&self) -> Value {
        json!({ "name": self.name, "unit": self.unit, "ours": self.ours.json(), "other": self.other.json() })
    }
}

pub(super) fn table(create: &Pair, delete: &Pair, rows: &[Row]) -> String {
    let mut out = format!("{:<46} {:>6} {:>24} {:>24}\n", "", "", "this tool", "script or peer");
    let mut line = |name: &str, unit: &str, ours: &Figures, other: &Figures| {
        out.push_str(&format!("{name:<46} {unit:>6} {:>24} {:>24}\n", ours.words(), other.words()));
    };
    line("create: images there, no cluster, to the page", "s", &create.ours, &create.script);
    line("delete", "s", &delete.ours, &delete.script);
    for row in rows {
        line(&row.name, row.unit, &row.ours, &row.other);
    }
    out.push_str(&format!("\ncreate takes {:.2} of the script's time\n", create.ratio()));
    out
}

/// The properties of the machine.
pub(super) fn machine() -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let memory = read("/proc/meminfo").split_whitespace().nth(1).and_then(|it| it.parse::<u64>().ok()).map(|it| it / 1024);
    let cores = std::thread::available_parallelism().map(usize::from).unwrap_or(1);
    json!({ "cores": cores, "memory_mb": memory, "kernel": read("/proc/sys/kernel/osrelease"), "load": read("/proc/loadavg") })
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn short(value: f64) -> String {
    if value >= 10.0 { format!("{value:.1}") } else { format!("{value:.2}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(values: &[f64]) -> Figures {
        Figures(values.to_vec())
    }

    #[test]
    fn the_median_is_the_middle_of_what_was_measured() {
        assert_eq!(figures(&[3.0, 1.0, 2.0]).median(), Some(2.0));
        assert_eq!(figures(&[4.0, 1.0]).median(), Some(2.5));
        assert_eq!(figures(&[]).median(), None);
    }

    #[test]
    fn the_ratio_is_ours_over_the_scripts() {
        let pair = Pair { ours: figures(&[30.0, 34.0, 32.0]), script: figures(&[100.0, 110.0, 128.0]) };
        assert_eq!(pair.json()["ratio"], 0.291);
        assert_eq!(pair.json()["ours"], json!({ "median": 32.0, "min": 30.0, "max": 34.0, "each": [30.0, 34.0, 32.0] }));
    }

    #[test]
    fn what_was_not_measured_is_a_dash_and_no_nought() {
        let pair = Pair { ours: figures(&[]), script: figures(&[1.0]) };
        let table = table(&pair, &pair, &[Row::of("x", "s").ours(figures(&[0.25]))]);
        assert!(table.lines().nth(3).unwrap().contains("0.25") && table.lines().nth(3).unwrap().ends_with('-'), "{table}");
        assert_eq!(Row::of("x", "s").json()["ours"]["median"], Value::Null);
    }
}
