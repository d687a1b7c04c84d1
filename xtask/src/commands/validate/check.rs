//! Checks, and their output as table, JSON and JUnit XML. Pure.

use serde_json::{Value, json};

/// The subject of a check, ordered by cause and effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Area {
    Cluster,
    /// A hibernated or fenced database.
    Held,
    /// A missing or changed object.
    Object,
    Certificate,
    /// An unchanged object that is not ready.
    Readiness,
    Operator,
    Database,
    Pod,
    App,
}

impl Area {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Area::Cluster => "cluster",
            Area::Held => "held",
            Area::Object => "object",
            Area::Certificate => "certificate",
            Area::Readiness => "readiness",
            Area::Operator => "operator",
            Area::Database => "database",
            Area::Pod => "pod",
            Area::App => "app",
        }
    }
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Check {
    pub(crate) area: Area,
    pub(crate) name: String,
    pub(crate) well: bool,
    /// The observed state.
    pub(crate) seen: String,
    /// The advice, if it is known and `create` alone does not help.
    pub(crate) hint: Option<String>,
}

impl Check {
    pub(crate) fn new(area: Area, name: impl Into<String>, outcome: Result<String, String>) -> Check {
        let (well, seen) = match outcome {
            Ok(seen) => (true, seen),
            Err(seen) => (false, seen),
        };
        Check { area, name: name.into(), well, seen, hint: None }
    }

    /// A copy with the command that helps.
    pub(crate) fn hint(self, hint: Option<String>) -> Check {
        Check { hint, ..self }
    }
}

/// The most likely cause: the first failed check by area.
pub(crate) fn cause(checks: &[Check]) -> Option<&Check> {
    checks.iter().filter(|it| !it.well).min_by_key(|it| it.area)
}

/// The cause first, then other failures, then passed checks; many similar checks share a line.
pub(crate) fn table(checks: &[Check]) -> String {
    let mut unwell: Vec<&Check> = checks.iter().filter(|it| !it.well).collect();
    unwell.sort_by_key(|it| it.area);
    let mut rows: Vec<(&str, &str, String, String)> = Vec::new();
    for check in unwell {
        rows.push(("✗", check.area.name(), check.name.clone(), check.seen.clone()));
    }
    for area in [Area::Cluster, Area::Object, Area::Operator, Area::Database, Area::Pod, Area::App, Area::Certificate] {
        let well: Vec<&Check> = checks.iter().filter(|it| it.well && it.area == area).collect();
        match well.as_slice() {
            [] => {}
            many if matches!(area, Area::Object | Area::Pod) => {
                let seen = if area == Area::Object { "as applied, and ready" } else { "ready" };
                rows.push(("✓", area.name(), format!("{} {}s", many.len(), area.name()), seen.to_owned()));
            }
            many if area == Area::Certificate => {
                let first = many.iter().min_by_key(|it| days(&it.seen)).map(|it| format!("the first to end: {}, {}", it.name, it.seen));
                rows.push(("✓", area.name(), format!("{} certificates", many.len()), first.unwrap_or_default()));
            }
            few => rows.extend(few.iter().map(|it| ("✓", area.name(), it.name.clone(), it.seen.clone()))),
        }
    }
    let width = rows.iter().map(|it| it.2.chars().count()).max().unwrap_or_default().min(44);
    rows.iter().map(|(mark, area, name, seen)| format!("{mark} {area:<12} {name:<width$}  {seen}\n")).collect()
}

/// The number in `in 88 days`.
fn days(seen: &str) -> i64 {
    seen.split(' ').find_map(|it| it.parse().ok()).unwrap_or(i64::MAX)
}

/// The JSON object; `schema` increases when a field changes its meaning.
pub(crate) fn json(instance: &str, seconds: f64, checks: &[Check]) -> Value {
    let failed = checks.iter().filter(|it| !it.well).count();
    json!({
        "schema": 1,
        "instance": instance,
        "healthy": failed == 0,
        "failed": failed,
        "seconds": (seconds * 10.0).round() / 10.0,
        "cause": cause(checks).map(|it| format!("{}: {}", it.name, it.seen)),
        "checks": checks.iter().map(|it| json!({ "area": it.area.name(), "name": it.name, "well": it.well, "seen": it.seen })).collect::<Vec<_>>(),
    })
}

/// One suite for the instance, one case for each check.
pub(crate) fn junit(instance: &str, seconds: f64, checks: &[Check]) -> String {
    let failed = checks.iter().filter(|it| !it.well).count();
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let counts = format!("tests=\"{}\" failures=\"{failed}\" errors=\"0\" time=\"{seconds:.1}\"", checks.len());
    out.push_str(&format!("<testsuites {counts}>\n  <testsuite name=\"{}\" {counts}>\n", escape(instance)));
    for check in checks {
        let case = format!("    <testcase classname=\"{}\" name=\"{}\"", check.area.name(), escape(&check.name));
        if check.well {
            out.push_str(&format!("{case}/>\n"));
        } else {
            out.push_str(&format!("{case}>\n      <failure message=\"{}\"/>\n    </testcase>\n", escape(&check.seen)));
        }
    }
    out.push_str("  </testsuite>\n</testsuites>\n");
    out
}

fn escape(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            // XML does not allow it in any form.
            it if it.is_control() => {}
            it => out.push(it),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks() -> Vec<Check> {
        let well = |area, name: &str, seen: &str| Check::new(area, name, Ok(seen.to_owned()));
        vec![
            Check::new(Area::App, "http://localhost:8080/", Err("status 503".to_owned())),
            well(Area::Cluster, "node a", "ready"),
            well(Area::Object, "Service s", "as applied"),
            well(Area::Object, "ConfigMap c", "as applied"),
            well(Area::Certificate, "apiserver.crt", "ends in 300 days"),
            well(Area::Certificate, "polls-db-ca", "ends in 89 days"),
            Check::new(Area::Object, "Deployment d", Err("<gone> & \"away\"".to_owned())),
        ]
    }

    #[test]
    fn the_table_begins_with_the_cause_and_sums_up_what_is_well() {
        let expected = "\
✗ object       Deployment d            <gone> & \"away\"
✗ app          http://localhost:8080/  status 503
✓ cluster      node a                  ready
✓ object       2 objects               as applied, and ready
✓ certificate  2 certificates          the first to end: polls-db-ca, ends in 89 days
";
        assert_eq!(table(&checks()), expected);
        assert_eq!(cause(&checks()).unwrap().name, "Deployment d");
    }

    #[test]
    fn machines_get_every_check() {
        let out = json("i", 1.26, &checks());
        assert_eq!((&out["healthy"], &out["failed"], &out["seconds"]), (&json!(false), &json!(2), &json!(1.3)));
        assert_eq!(out["cause"], "Deployment d: <gone> & \"away\"");
        assert_eq!(out["checks"].as_array().unwrap().len(), 7);
        let fine = json("i", 1.0, &checks()[1..3]);
        assert_eq!((&fine["healthy"], &fine["cause"]), (&json!(true), &Value::Null));
    }

    #[test]
    fn junit_counts_and_escapes() {
        let out = junit("i", 1.0, &checks());
        assert!(out.contains("<testsuite name=\"i\" tests=\"7\" failures=\"2\" errors=\"0\" time=\"1.0\">"), "{out}");
        assert!(out.contains("<failure message=\"&lt;gone&gt; &amp; &quot;away&quot;\"/>"), "{out}");
        assert_eq!(out.matches("<testcase").count(), 7);
        assert_eq!(escape("a\u{1b}[31m\nb"), "a[31m&#10;b");
    }
}
