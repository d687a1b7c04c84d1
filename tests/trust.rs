//! The page of trust against the tests: every row is there, every test that it names exists, and every bold number is asserted.

use std::collections::BTreeSet;

use crate::{read, root};

/// A row, a bold number of it, the file with its assertion, and the assertion.
const ASSERTED: [(&str, &str, &str, &str); 53] = [
    ("R1", "12", "tests/clouds/stopped.rs", ".enumerate().take(12)"),
    ("R1", "5", "tests/e2e/interruption.rs", "stopped.len() >= 5"),
    ("R1", "12", "tests/e2e/main.rs", "killed >= 12"),
    ("R1", "16", "tests/doors/killed.rs", "rounds(4)"),
    ("R1", "200", "tests/doors/killed.rs", "rounds(50)"),
    ("R1", "200", "tests/e2e/main.rs", "at_random(&Bench::new(\"any\"), 200)"),
    ("R2", "6", "tests/doors/records.rs", "records.len() >= 6"),
    ("R2", "30", "tests/doors/power.rs", "cuts >= 30"),
    ("R2", "3000", "tests/doors/records.rs", "prefixes > 3_000"),
    ("R3", "5", "tests/e2e/interruption.rs", "stopped.len() >= 5"),
    ("R3", "18", "tests/doors/signals.rs", ".take(18)"),
    ("R4", "4", "tests/doors/together.rs", "pairs(4)"),
    ("R4", "50", "tests/doors/together.rs", "pairs(50)"),
    ("R5", "30", "tests/doors/delete.rs", "before.0.len() >= 30"),
    ("R5", "500", "tests/e2e/machine.rs", "before.len() > 500"),
    ("R6", "10", "tests/e2e/day_two_change.rs", "const UPDATES: usize = 10;"),
    ("R6", "200", "tests/e2e/day_two_change.rs", "report.requests > 200"),
    ("R6", "16", "tests/e2e/load.rs", "Load::with(url, 16, Duration::ZERO)"),
    ("R7", "5", "tests/e2e/main.rs", "&[\"pod\", \"postgres\", \"node\", \"partition\"], \"5\""),
    ("R8", "20", "tests/e2e/durable.rs", "drill(bench, kill, \"20\")"),
    ("R10", "100", "xtask/src/config/broken.rs", "FILES.len() >= 100"),
    ("R10", "130", "xtask/src/config/broken.rs", "mistakes >= 130"),
    ("R10", "2000", "xtask/src/mutation.rs", "SHORT: u32 = 2_000;"),
    ("R10", "1000000", "xtask/src/mutation.rs", "LONG: u32 = 1_000_000;"),
    ("R11", "29", "tests/doors/faults.rs", "all >= 29"),
    ("R12", "35", "tests/e2e/day_two_inside.rs", "(\"object\", 35)"),
    ("R15", "130", "xtask/src/cluster/verdict.rs", "cases.len() >= 130"),
    ("R16", "4", "tests/doors/together.rs", "again_and_again(4)"),
    ("R16", "10", "tests/e2e/main.rs", "soak::leaves_nothing(&Bench::new(\"soak\"), 10, 200)"),
    ("R16", "100", "tests/doors/together.rs", "again_and_again(100)"),
    ("R16", "24", "tests/doors/together.rs", "update_again_and_again(24)"),
    ("R16", "200", "tests/doors/together.rs", "update_again_and_again(200)"),
    ("S1", "25", "tests/e2e/canaries.rs", "search.channels.len() >= 25"),
    ("S2", "28", "tests/e2e/pod_security.rs", "changes.len() >= 28"),
    ("S3", "3", "tests/e2e/linters.rs", "rules.rule.len() <= 3"),
    ("S5", "7", "tests/e2e/policies.rs", "asked >= 7"),
    ("S7", "75", "tests/patches.rs", "tried >= 75"),
    ("S7", "12", "xtask/src/patch.rs", "hostile.len() >= 12"),
    ("S7", "6", "tests/patches.rs", "hostile.len() >= 6"),
    ("S7", "2000", "xtask/src/mutation.rs", "SHORT: u32 = 2_000;"),
    ("S7", "1000000", "xtask/src/mutation.rs", "LONG: u32 = 1_000_000;"),
    ("S8", "38", "tests/archives.rs", "ARCHIVES.len() >= 38"),
    ("S9", "60", "tests/doors/injection.rs", "TEXTS.len() >= 60"),
    ("S9", "70", "tests/doors/injection.rs", "SETTINGS.len() >= 70"),
    ("S9", "3000", "tests/doors/injection.rs", "refused >= 3_000"),
    ("S9", "300", "tests/doors/injection/outcome.rs", "count >= 300"),
    ("S11", "300", "tests/e2e/sboms.rs", "modules.len() >= 300"),
    ("S12", "2000", "xtask/src/mutation.rs", "SHORT: u32 = 2_000;"),
    ("S12", "1000000", "xtask/src/mutation.rs", "LONG: u32 = 1_000_000;"),
    ("S12", "forbid", "Cargo.toml", "unsafe_code = \"forbid\""),
    ("S13", "60", "tests/doors/files.rs", "seen >= 60"),
    ("S13", "10", "tests/doors/files.rs", "files.len() >= 10"),
    ("S14", "40", "tests/clouds.rs", ">= 40"),
];

/// Where the tests of a word of the last column are.
fn folders(place: &str) -> &'static [&'static str] {
    match place.trim_end_matches(", `--full`") {
        "lib" => &["xtask/src"],
        "cli" | "project" => &["tests"],
        "doors" => &["tests/doors"],
        "interruption" => &["tests/interruption.rs"],
        "scan" => &["tests/scan.rs", "tests/scan"],
        "e2e" => &["tests/e2e"],
        "applications" => &["tests/applications.rs", "tests/applications"],
        "clouds" => &["tests/clouds.rs", "tests/clouds"],
        other => panic!("the page names no such place: {other:?}"),
    }
}

/// Whether a test has this name, and whether it runs with `--full` alone.
fn test(place: &str, name: &str) -> Option<bool> {
    let files = folders(place).iter().flat_map(|it| walkdir::WalkDir::new(root().join(it))).map(|it| it.unwrap().into_path());
    for file in files.filter(|it| it.extension().is_some_and(|it| it == "rs")) {
        let text = std::fs::read_to_string(file).unwrap();
        let Some(at) = text.find(&format!("fn {name}()")) else { continue };
        let head = &text[text[..at].rfind("#[test]")?..at];
        // Nothing but attributes is between.
        return head.lines().all(|it| it.trim().is_empty() || it.trim().starts_with("#[")).then(|| head.contains("#[ignore"));
    }
    None
}

#[test]
fn the_page_of_trust_names_tests_that_exist_and_numbers_that_they_assert() {
    let page = read("docs/trust.md");
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|it| it.starts_with("| R") || it.starts_with("| S"))
        .map(|it| it.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    let expected: Vec<String> = (1..=17).map(|it| format!("R{it}")).chain((1..=14).map(|it| format!("S{it}"))).collect();
    assert_eq!(rows.iter().map(|it| it[0]).collect::<Vec<_>>(), expected);
    let (mut bold, mut named) = (BTreeSet::new(), 0);
    for row in &rows {
        let [number, _, _, reached, shown] = row[..] else { panic!("{row:?}") };
        bold.extend(reached.split("**").skip(1).step_by(2).map(|it| (number, it)));
        for test in shown.split("; ").filter(|it| !it.is_empty()) {
            let (place, name) = test.trim_end_matches('`').rsplit_once(" `").unwrap_or_else(|| panic!("{number}: {test:?}"));
            let is_long =
                self::test(place.trim_end_matches(':'), name).unwrap_or_else(|| panic!("{number}: there is no test {name} in {place}"));
            assert_eq!(is_long, place.contains("--full"), "{number}: {name}");
            named += 1;
        }
        let claims_nothing = reached.contains("Not reached") || reached.contains("Not measured");
        assert!(!shown.is_empty() || claims_nothing, "{number} claims what no test shows");
    }
    assert!(named > 50, "{named}");
    assert_eq!(bold, ASSERTED.iter().map(|it| (it.0, it.1)).collect());
    for (row, number, file, text) in ASSERTED {
        assert!(read(file).contains(text), "{row} says {number}, and {file} has no `{text}`");
    }
}
