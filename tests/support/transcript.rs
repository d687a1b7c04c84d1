//! Transcripts: commands, their whole output and exit codes, as one text in `tests/transcripts`.
//!
//! `UPDATE_EXPECT=1 cargo test` updates the texts; read the diff before you commit it.

use std::path::Path;

use regex::Regex;

use crate::support::Ran;

/// Runs in sequence, shown as on a terminal.
#[derive(Default)]
pub(crate) struct Transcript(String);

impl Transcript {
    /// Adds one run. `root` is the project's folder, which differs each time.
    pub(crate) fn add(&mut self, root: &Path, arguments: &[&str], ran: &Ran) {
        let arguments: Vec<String> =
            arguments.iter().map(|it| if it.contains(' ') { format!("'{it}'") } else { (*it).to_owned() }).collect();
        self.0.push_str(&format!("$ cargo xtask {}\n", arguments.join(" ")));
        for (stream, prefix) in [(&ran.stdout, ""), (&ran.stderr, "2> ")] {
            let text = without_chance(stream, root);
            self.0.extend(text.trim_matches('\n').lines().map(|it| format!("{prefix}{it}").trim_end().to_owned() + "\n"));
        }
        self.0.push_str(&format!("exit {}\n\n", ran.code));
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

/// Replaces what differs between runs by names: folders, times, durations, digests, process ids.
fn without_chance(text: &str, root: &Path) -> String {
    let mut out = text.replace(&root.display().to_string(), "PROJECT");
    for (pattern, name) in [
        (r"\d{8}T\d{6}\.\d{3}Z", "MOMENT"),
        (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?Z?", "MOMENT"),
        (r"\b\d+(\.\d+)? (ms|s)\b", "N s"),
        (r"\btmp[a-z0-9-]+-[0-9a-f]{6}\b", "INSTANCE"),
        (r"\b[0-9a-f]{12,64}\b", "DIGEST"),
        (r#""at":\d+\.\d+"#, "\"at\":N"),
        (r"(?m)^ ?\d+:\d\d ", " M:SS "),
        // The timeline's bars, and the mark of the critical path.
        (r"(?m) +\u{2588}+$", ""),
        (r"(?m)^[* ] (\S+ +(done|failed|skipped|restored) +N s)$", "  $1"),
        // Only if zsh is installed.
        (r"(?m)^zsh finds .*\n?", ""),
        (r"\b(localhost|127\.0\.0\.1):\d+", "$1:PORT"),
    ] {
        let pattern = Regex::new(pattern).unwrap();
        out = pattern.replace_all(&out, name).into_owned();
    }
    out
}
