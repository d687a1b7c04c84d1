//! Phrases that are not allowed in comments, messages and documents, each with what to write instead.

use std::fs;

use crate::root;

/// A phrase as a regular expression in lower case, and the plain words for it.
const BANNED: &[(&str, &str)] = &[
    (r"whoever|whosoever|whomever", "name it: the user, the caller, another program"),
    (r"somebody|someone|anybody|anyone", "name it: the user, another client, another owner"),
    (r"whom", "name it, and begin a new sentence"),
    (r"what is there|whatever is there", "the existing objects, the current state"),
    (r"(is|are|was|were) not there", "does not exist, is missing"),
    (r"brings? about|brought about", "makes, runs, causes"),
    (r"(can(not)?|to|could) be had", "is available, can be read"),
    (r"(gives?|gave|giving) way", "is replaced, is deleted first"),
    (r"(has|have|had) no business", "must not"),
    (r"hears? (of|about|to)|is heard|are heard", "is called for, is honoured"),
    (r"thrown? away|throwaway", "disposable"),
    (r"mends?|mended|mending", "fix, correct"),
    (r"anew", "again"),
    (r"half-made", "unfinished"),
    (r"(is|are|was|were) cut off", "was interrupted, is truncated"),
    (r"comes? to nothing|in vain that", "fails"),
    (r"takes? away|took away|taken away", "removes, deletes"),
    (r"embedded out by hand|by the words of", "say it directly"),
    (r"stands? (in|on|beside|behind|twice|for itself)", "is in, is a duplicate"),
    (r"goes? before the", "overrides, has priority over"),
    (r"a person who|people who", "the user"),
    (r"no (file|text|number|yaml|json) at all", "is not a file"),
    (r"it lacks nothing", "it is complete"),
];

/// Sources with their tests, documents, manifests and configuration. The recipes in `build` are left out: a changed comment there gives every
/// image a new name, so each user would build all images again.
fn files() -> Vec<(String, String)> {
    let mut out = Vec::new();
    for folder in ["xtask/src", "checks/src", "filetree/src", "tests", "docs", "deploy", "examples", "."] {
        let depth = if folder == "." { 1 } else { usize::MAX };
        for entry in walkdir::WalkDir::new(root().join(folder)).max_depth(depth).sort_by_file_name() {
            let entry = entry.unwrap();
            let name = entry.path().strip_prefix(root()).unwrap().display().to_string().trim_start_matches("./").to_owned();
            let is_text = [".rs", ".md", ".toml", ".yaml", ".go", ".py", ".sql"].iter().any(|it| name.ends_with(it));
            // Fixtures and transcripts are data; this file lists the phrases.
            let is_data = ["tests/fixtures/", "tests/transcripts/", "tests/words.rs"].iter().any(|it| name.starts_with(it));
            if is_text && !is_data {
                out.push((name, fs::read_to_string(entry.path()).unwrap()));
            }
        }
    }
    assert!(out.len() > 300, "the files were not found");
    out
}

#[test]
fn no_file_has_a_phrase_that_readers_stumble_over() {
    let rule = |phrase: &str| regex::Regex::new(&format!(r"(?i)\b({phrase})\b")).unwrap();
    // One pass over each file; which phrase it is matters only for the message.
    let any = rule(&BANNED.iter().map(|(phrase, _)| *phrase).collect::<Vec<_>>().join("|"));
    let mut found = Vec::new();
    for (name, text) in files() {
        for phrase in any.find_iter(&text) {
            let line = text[..phrase.start()].matches('\n').count() + 1;
            let instead = BANNED.iter().find(|(it, _)| rule(it).is_match(phrase.as_str())).map_or("", |(_, instead)| instead);
            found.push(format!("{name}:{line}: `{}`; write instead: {instead}", phrase.as_str()));
        }
    }
    assert!(found.is_empty(), "{} phrases:\n{}", found.len(), found.join("\n"));
}
