//! Compares with kubectl's own decoder for many streams.

use serde::Deserialize;

use super::{scalar::number, *};

/// Written by `main.go` in the same folder.
const CASES: &str = include_str!("../../../../tests/fixtures/kubectl_yaml/cases.jsonl");

#[derive(Deserialize)]
struct Case {
    yaml: String,
    objects: Vec<Value>,
    #[serde(default)]
    refused: bool,
}

/// Rejected here: streams of which kubectl silently drops a part, and unusual keys and signs.
const REFUSED: [&str; 16] = [
    "a: 1\na: 2\n",
    "a: {b: 1, b: 2}\n",
    "a: 1\n...\nb: 2\n",
    "1e20: a\n",
    "1e21: a\n",
    "1e-7: a\n",
    "-9223372036854775809: a\n",
    "123456789012345678901234567890: a\n",
    "6.02E+23: a\n",
    ".inf: a\n",
    "-.inf: a\n",
    "+.inf: a\n",
    ".nan: a\n",
    "a: [-]\n",
    "a: \"x\"#c\n",
    "[]: a\n",
];

/// Accepted here: YAML 1.2 that kubectl's parser does not know, and large keys.
const TAKEN: [&str; 12] = [
    "\ta: 1\n",
    "a: \u{2028}x\n",
    "a: x\u{85}y\n",
    "18446744073709551615: a\n",
    "9223372036854775808: a\n",
    "a: [!!str]\n",
    "a: [!x]\n",
    "&: a\n",
    "a: [?]\n",
    "a: \"\\/\"\n",
    "a: [\"\\/\"]\n",
    "\"\\/\": a\n",
];

#[test]
fn every_stream_of_the_collection_is_read_as_kubectl_reads_it() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in CASES.lines() {
        let case: Case = serde_json::from_str(line).unwrap();
        let found = documents(&case.yaml).map(|all| all.into_iter().map(|it| it.value).collect::<Vec<_>>());
        let objects: Vec<Value> = case.objects.iter().filter(|it| !it.is_null()).map(whole).collect();
        let is_right = match &found {
            Ok(_) if case.refused => TAKEN.contains(&case.yaml.as_str()),
            Ok(found) => found.iter().map(whole).eq(objects.iter().cloned()),
            Err(_) => case.refused || REFUSED.contains(&case.yaml.as_str()),
        };
        count += 1;
        if !is_right {
            wrong.push(format!("{:?}: {found:?}, kubectl {}{:?}", case.yaml, if case.refused { "refuses " } else { "" }, case.objects));
        }
    }
    assert!(count > 500, "{count} cases");
    assert!(wrong.is_empty(), "{} wrong: {wrong:#?}", wrong.len());
}

/// The value with whole numbers as integers, since JSON has one number type.
fn whole(value: &Value) -> Value {
    match value {
        Value::Array(all) => all.iter().map(whole).collect(),
        Value::Object(map) => Value::Object(map.iter().map(|(name, it)| (name.clone(), whole(it))).collect()),
        Value::Number(it) if it.is_f64() => number(&it.to_string()).unwrap(),
        other => other.clone(),
    }
}

fn fault(text: &str, line: usize, says: &str) {
    let found = documents(text).unwrap_err();
    assert_eq!((found.line, found.what.contains(says)), (line, true), "{found:?}");
}

#[test]
fn what_kubectl_drops_without_a_word_is_told_with_its_line() {
    fault("a: 1\nb: 2\na: 3\n", 3, "duplicate key `a`: first on line 1");
    fault("# c\n---\nx:\n  a: 1\n  'a': 3\n", 5, "first on line 4");
    fault("a: 1\n...\nb: 2\n", 3, "needs a `---` line");
    fault("a: 1\n--- {b: 2}\n", 2, "`{b: 2}`");
    fault("a: 1\n---\nb: [\n", 3, "unclosed bracket");
    fault("a: 1\n---\nb: .inf\n", 3, ".inf is no number");
}

#[test]
fn documents_and_items_know_their_lines() {
    let found = documents("# head\n---\n\nkind: List\nitems:\n- a: 1\n\n- a: 2\n--- # more\nb: 1\n").unwrap();
    assert_eq!(found.iter().map(|it| (it.line, it.items.clone())).collect::<Vec<_>>(), [(4, vec![6, 8]), (10, vec![])]);
    let found = documents("{\"a\": 1}\n\n{\"b\":\n 1}").unwrap();
    assert_eq!(found.iter().map(|it| it.line).collect::<Vec<_>>(), [1, 3]);
}

#[test]
fn aliases_cannot_make_a_small_file_large() {
    let mut text = "a0: &a0 [x]\n".to_owned();
    for level in 1..9 {
        let items = vec![format!("*a{}", level - 1); 9].join(",");
        text.push_str(&format!("a{level}: &a{level} [{items}]\n"));
    }
    assert!(documents(&text).unwrap_err().what.contains("more than"));
}

#[test]
fn a_value_that_is_too_deep_is_refused_with_its_line_also_through_aliases() {
    let nested = |levels: usize| format!("x: 1\na: {}{}\n", "[".repeat(levels), "]".repeat(levels));
    assert!(documents(&nested(DEPTH - 1)).is_ok());
    fault(&nested(DEPTH), 2, "inside each other");
    let mut text = "a0: &a0 [x]\n".to_owned();
    for level in 1..=DEPTH {
        text.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
    }
    fault(&text, DEPTH, "inside each other");
    // The parser has limits of its own, which for lists in blocks is higher than the stack.
    for text in [nested(200_000), "{\"a\":".repeat(100_000), "- ".repeat(100_000), "? ".repeat(100_000)] {
        assert!(["inside each other", "recursion limit"].iter().any(|it| documents(&text).unwrap_err().what.contains(it)));
    }
}
