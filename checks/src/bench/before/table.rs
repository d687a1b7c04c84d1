//! The figures of both programs, and their ratios. Pure, except for reading the machine's properties.

use serde_json::{Value, json};

use super::Used;
use crate::bench::figures::{Figures, machine};

/// What one program took in one pair of runs, by name and unit.
#[derive(Debug, Default)]
pub(super) struct Side(Vec<(String, &'static str, f64)>);

impl Side {
    pub(super) fn add(&mut self, name: &str, used: Used) {
        self.0.push((name.to_owned(), "s", used.seconds));
        self.0.push((name.to_owned(), "cpu s", used.processor));
    }

    fn of(&self, name: &str, unit: &str) -> Figures {
        let mut out = Figures::default();
        self.0.iter().filter(|it| it.0 == name && it.1 == unit).for_each(|it| out.push(it.2));
        out
    }
}

/// One quantity of both programs, and the ratio of each pair.
#[derive(Debug)]
struct Row {
    name: String,
    unit: &'static str,
    before: Figures,
    now: Figures,
    ratio: Figures,
}

/// All quantities, in the order in which they were measured first.
#[derive(Debug, Default)]
pub(super) struct Table(Vec<Row>);

impl Table {
    /// Adds a pair of runs.
    pub(super) fn add(&mut self, before: &Side, now: &Side) {
        let mut done: Vec<(&str, &str)> = Vec::new();
        for (name, unit, _) in &now.0 {
            if done.contains(&(name, unit)) {
                continue;
            }
            done.push((name, unit));
            let (before, now) = (before.of(name, unit), now.of(name, unit));
            let index = self.0.iter().position(|it| it.name == *name && it.unit == *unit).unwrap_or_else(|| {
                let new = || Figures::default();
                self.0.push(Row { name: name.clone(), unit, before: new(), now: new(), ratio: new() });
                self.0.len() - 1
            });
            let row = &mut self.0[index];
            if let (Some(before), Some(now)) = (before.median(), now.median())
                && before > 0.0
            {
                row.ratio.push(now / before);
            }
            row.before.extend(&before);
            row.now.extend(&now);
        }
    }

    pub(super) fn json(&self, pairs: u16) -> Value {
        let row = |it: &Row| json!({ "name": it.name, "unit": it.unit, "before": it.before.json(), "now": it.now.json(), "ratio": it.ratio.json() });
        json!({ "schema": 1, "machine": machine(), "pairs": pairs, "rows": self.0.iter().map(row).collect::<Vec<_>>() })
    }

    pub(super) fn text(&self, pairs: u16) -> String {
        let mut out = format!("{:<46} {:>6} {:>24} {:>24} {:>20}\n", "", "", "before", "now", "now / before");
        for it in &self.0 {
            let (before, now, ratio) = (it.before.words(), it.now.words(), it.ratio.words());
            out.push_str(&format!("{:<46} {:>6} {before:>24} {now:>24} {ratio:>20}\n", it.name, it.unit));
        }
        let load = machine()["load"].as_str().unwrap_or_default().split(' ').take(3).collect::<Vec<_>>().join(" ");
        out.push_str(&format!("\n{pairs} pairs in turns; median (least - most); the machine's load at the end: {load}\n"));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(values: &[(&str, f64)]) -> Side {
        let mut out = Side::default();
        values.iter().for_each(|(name, it)| out.add(name, Used { seconds: *it, processor: it / 2.0 }));
        out
    }

    #[test]
    fn a_ratio_is_that_of_a_pair_and_not_of_the_medians() {
        let mut table = Table::default();
        table.add(&side(&[("plan", 1.0), ("ls", 9.0)]), &side(&[("plan", 2.0), ("ls", 9.0)]));
        table.add(&side(&[("plan", 40.0)]), &side(&[("plan", 20.0)]));
        table.add(&side(&[("plan", 10.0)]), &side(&[("plan", 10.0)]));
        let json = table.json(3);
        let rows = json["rows"].as_array().unwrap();
        let names: Vec<_> = rows.iter().map(|it| (it["name"].as_str().unwrap(), it["unit"].as_str().unwrap())).collect();
        assert_eq!(names, [("plan", "s"), ("plan", "cpu s"), ("ls", "s"), ("ls", "cpu s")]);
        assert_eq!(rows[0]["before"]["each"], json!([1.0, 40.0, 10.0]));
        assert_eq!(rows[0]["ratio"], json!({ "median": 1.0, "min": 0.5, "max": 2.0, "each": [2.0, 0.5, 1.0] }));
        assert_eq!(rows[1]["now"]["median"], 5.0);
        let text = table.text(3);
        let plan = text.lines().nth(1).unwrap();
        assert!(plan.contains("10.0 (1.00 - 40.0)") && plan.ends_with("1.00 (0.50 - 2.00)"), "{text}");
    }

    #[test]
    fn several_runs_of_one_pair_count_as_their_median() {
        let mut table = Table::default();
        table.add(&side(&[("a", 1.0), ("a", 2.0), ("a", 30.0)]), &side(&[("a", 4.0), ("a", 4.0), ("a", 1.0)]));
        let json = table.json(1);
        assert_eq!(json["rows"][0]["ratio"]["each"], json!([2.0]));
        assert_eq!(json["rows"][0]["now"]["each"], json!([4.0, 4.0, 1.0]));
    }
}
