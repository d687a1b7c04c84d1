//! Removes secrets from a text: known values in all their encodings, and everything that looks like a secret.
//!
//! For texts that leave the machine: the support bundle, and log lines in an error. When in doubt, it removes more.

use std::{borrow::Cow, sync::LazyLock};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use regex::{Captures, Regex};

const HIDDEN: &str = "[redacted]";

/// The minimum length of a known value. A shorter one would match too much, and is no real secret.
const SHORTEST: usize = 6;

/// Replaces known values and text that looks like a secret.
#[derive(Default)]
pub struct Redactor {
    /// All encodings of all values, longest first.
    known: Vec<String>,
}

impl Redactor {
    pub fn new(values: impl IntoIterator<Item = String>) -> Redactor {
        let mut known: Vec<String> = values.into_iter().filter(|it| it.trim().len() >= SHORTEST).flat_map(|it| forms(it.trim())).collect();
        known.sort_by_key(|it| (std::cmp::Reverse(it.len()), it.clone()));
        known.dedup();
        Redactor { known }
    }

    pub fn text(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for value in &self.known {
            if out.contains(value) {
                out = out.replace(value, HIDDEN);
            }
        }
        looks(&out)
    }
}

/// The value itself, as in JSON, as in URLs, and in base64, also inside a longer text.
fn forms(value: &str) -> Vec<String> {
    let mut out = vec![value.to_owned(), serde_json::json!(value).to_string().trim_matches('"').to_owned(), percent(value)];
    for before in 0..3 {
        // In base64, the preceding bytes shift the value. Only the characters that depend on the value alone are matched.
        let padded: Vec<u8> = std::iter::repeat_n(b' ', before).chain(value.bytes()).collect();
        let text = STANDARD_NO_PAD.encode(&padded);
        let from = [0, 2, 3][before];
        let to = text.len() - usize::from(!padded.len().is_multiple_of(3));
        if to > from + SHORTEST {
            let sure = &text[from..to];
            out.push(sure.to_owned());
            out.push(sure.replace('+', "-").replace('/', "_"));
        }
    }
    out
}

fn percent(value: &str) -> String {
    value
        .bytes()
        .map(|it| if it.is_ascii_alphanumeric() || b"-_.~".contains(&it) { char::from(it).to_string() } else { format!("%{it:02X}") })
        .collect()
}

/// Patterns and their replacements. The group `keep` stays.
static LOOKS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [
        r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\z)",
        // Headers: up to the end of the line or string.
        r#"(?i)(?P<keep>(proxy-)?authorization["']?\s*[:=]\s*["']?)[^\r\n"']+"#,
        r#"(?i)(?P<keep>\b(set-)?cookie["']?\s*:\s*["']?)[^\r\n"']+"#,
        r"(?P<keep>\b[a-zA-Z][a-zA-Z0-9+.-]*://)[^\s/?#@'`]+@",
        // A name that indicates a secret, quoted or not, and its value.
        r#"(?i)(?P<keep>[\w.-]*(password|passwd|passphrase|pgpass|secret|token|api_?key|access_?key|private_?key|key-data|credential)[\w.-]*\\?["']?\s*[=:]\s*)(\\?"[^"\n]*"|'[^'\n]*'|[^\s,;&"'}\]]+)"#,
        r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
    ]
    .iter()
    .filter_map(|it| Regex::new(it).ok())
    .collect()
});

/// Names of references to a secret, which are not secret.
static PLACES: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"(?i)(name|file|dir|path|ref|version|type|kind|key_?ref)s?\\?["']?\s*[=:]\s*$"#).ok());

fn looks(text: &str) -> String {
    let mut out = Cow::Borrowed(text);
    for pattern in LOOKS.iter() {
        if pattern.is_match(&out) {
            let replaced = pattern.replace_all(&out, |found: &Captures<'_>| {
                let kept = found.name("keep").map_or("", |it| it.as_str());
                if PLACES.as_ref().is_some_and(|it| it.is_match(kept)) { found[0].to_owned() } else { hidden(kept, &found[0]) }
            });
            out = Cow::Owned(replaced.into_owned());
        }
    }
    out.into_owned()
}

/// Keeps the quotes around a value and the `@` after a password, so that the text can still be parsed.
fn hidden(kept: &str, whole: &str) -> String {
    let value = &whole[kept.len()..];
    let quote = ["\\\"", "\"", "'"].into_iter().find(|it| value.len() >= 2 * it.len() && value.starts_with(it) && value.ends_with(it));
    let (open, close) = (quote.unwrap_or_default(), quote.unwrap_or(if value.ends_with('@') { "@" } else { "" }));
    format!("{kept}{open}{HIDDEN}{close}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CANARY: &str = "canary/4711+ü \"x\"";

    #[test]
    fn a_known_value_is_hidden_in_every_form() {
        let redactor = Redactor::new([CANARY.to_owned(), "abc".to_owned()]);
        for before in ["", "u", "us", "user:"] {
            let text = format!("{before}{CANARY}");
            for form in [
                text.clone(),
                serde_json::json!({ "any": text }).to_string(),
                percent(&text),
                base64::engine::general_purpose::STANDARD.encode(&text),
                base64::engine::general_purpose::URL_SAFE.encode(&text),
                base64::engine::general_purpose::STANDARD.encode(format!("{text} and more")),
            ] {
                let shown = redactor.text(&form);
                assert!(shown.contains(HIDDEN) && !shown.contains("4711"), "{form}: {shown}");
            }
        }
        assert_eq!(redactor.text("abc stays: too short to be one"), "abc stays: too short to be one");
    }

    #[test]
    fn what_looks_like_a_secret_is_hidden_and_the_rest_stays_readable() {
        for (text, expected) in [
            ("DB_PASSWORD=hunter2 next", "DB_PASSWORD=[redacted] next"),
            ("password = \"two words\"", "password = \"[redacted]\""),
            ("{\"secret_key\":\"x y\",\"a\":1}", "{\"secret_key\":\"[redacted]\",\"a\":1}"),
            ("{\"text\":\"{\\\"apiKey\\\":\\\"x\\\"}\"}", "{\"text\":\"{\\\"apiKey\\\":\\\"[redacted]\\\"}\"}"),
            ("?user=a&token=abc&page=2", "?user=a&token=[redacted]&page=2"),
            ("Authorization: Bearer abc.def ghi\nnext", "Authorization: [redacted]\nnext"),
            ("-H 'Authorization: Basic dXNlcg==' https://x", "-H 'Authorization: [redacted]' https://x"),
            ("https://user:pa:ss@host/simple and http://host:80/a@b", "https://[redacted]@host/simple and http://host:80/a@b"),
            ("postgresql://polls:x@polls-db-rw:5432/polls", "postgresql://[redacted]@polls-db-rw:5432/polls"),
            ("a\n-----BEGIN EC PRIVATE KEY-----\nMHc\n-----END EC PRIVATE KEY-----\nb", "a\n[redacted]\nb"),
            ("-----BEGIN PRIVATE KEY-----\ncut off", "[redacted]"),
            ("client-key-data: LS0t", "client-key-data: [redacted]"),
            ("t eyJhbGciOiJI.eyJzdWIiOiIx.c2ln end", "t [redacted] end"),
            ("secretName: polls-app", "secretName: polls-app"),
            ("POLLS_SECRET_KEY_FILE: /run/secrets/app", "POLLS_SECRET_KEY_FILE: /run/secrets/app"),
            ("secret \"polls-db-app\" not found", "secret \"polls-db-app\" not found"),
            ("nothing here", "nothing here"),
        ] {
            assert_eq!(Redactor::default().text(text), expected);
        }
    }

    #[test]
    fn every_pattern_is_well_formed() {
        assert_eq!(LOOKS.len(), 6);
        assert!(PLACES.is_some());
    }
}
