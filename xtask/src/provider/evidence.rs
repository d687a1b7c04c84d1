//! Evidence of a failed cluster: texts from nodes and servers, stored in a folder until `delete`, and in the support bundle.
//!
//! Each provider collects them. This file limits their size and masks known secrets.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::{env::Env, record, redact::Redactor};

/// The folder, below the work folder. It has a folder for each failure, with the run's name.
const FOLDER: &str = "evidence";
/// The number of failures to keep.
const KEPT: usize = 3;
/// The maximum size of a text in bytes; its end is kept.
pub const TEXT_LIMIT: usize = 500_000;
/// The maximum size of all texts in bytes.
const LIMIT: usize = 10_000_000;

/// Texts by name, for example `polls-control-plane/kubelet.log`, and what is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    pub files: Vec<(String, String)>,
    /// Missing texts, each with the reason, in one line.
    pub missing: Vec<String>,
}

impl Evidence {
    /// Adds a text, or notes why it is missing.
    pub fn take(&mut self, name: impl Into<String>, found: Result<String>) {
        let name = name.into();
        match found {
            Ok(text) if text.trim().is_empty() => {}
            Ok(text) => self.files.push((name, text)),
            Err(error) => self.miss(&name, &format!("{error:#}")),
        }
    }

    /// Notes a missing text; `why` becomes one line.
    pub fn miss(&mut self, name: &str, why: &str) {
        self.missing.push(format!("{name}: {}", why.lines().next().unwrap_or_default()));
    }

    /// Masks secrets and applies the limits.
    fn masked(self, redactor: &Redactor) -> Evidence {
        let mut left = LIMIT;
        let mut out = Evidence { files: Vec::new(), missing: self.missing.iter().map(|it| redactor.text(it)).collect() };
        for (name, text) in self.files {
            // Masks before truncating, since a truncated secret would not be recognised.
            let text = redactor.text(&text);
            let text = end(&text, TEXT_LIMIT);
            if text.len() > left {
                out.miss(&name, "the limit of all texts together is reached");
                continue;
            }
            left -= text.len();
            out.files.push((redactor.text(&name), text.to_owned()));
        }
        out
    }

    /// Writes the texts to a folder with this name, and returns its path. Deletes the oldest folders above `KEPT`.
    pub fn keep(self, env: &Env, name: &str) -> Result<PathBuf> {
        let all = env.work(FOLDER);
        let folder = all.join(name);
        let mut it = self.masked(&Redactor::new(env.secrets()));
        if !it.missing.is_empty() {
            it.files.push(("missing.txt".to_owned(), it.missing.join("\n") + "\n"));
        }
        for (name, text) in &it.files {
            record::write_file(&folder.join(safe(name)), text.as_bytes())?;
        }
        forget_the_oldest(&all)?;
        Ok(folder)
    }
}

/// The newest folder of this instance.
pub fn latest(env: &Env) -> Option<PathBuf> {
    folders(&env.work(FOLDER)).ok()?.pop()
}

/// The folders, oldest first, since names start with the run's time.
fn folders(all: &Path) -> Result<Vec<PathBuf>> {
    let mut out = Vec::new();
    for entry in fs::read_dir(all).with_context(|| format!("read {}", all.display()))? {
        out.push(entry?.path());
    }
    out.sort();
    Ok(out)
}

fn forget_the_oldest(all: &Path) -> Result<()> {
    let folders = folders(all)?;
    for folder in &folders[..folders.len().saturating_sub(KEPT)] {
        fs::remove_dir_all(folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    Ok(())
}

/// The last bytes of a text, starting at a line.
fn end(text: &str, most: usize) -> &str {
    if text.len() <= most {
        return text;
    }
    let from = text.len() - most;
    let from = text.as_bytes()[from..].iter().position(|it| *it == b'\n').map_or(text.len(), |it| from + it + 1);
    &text[from..]
}

/// A relative path below the folder, whatever name a node gives its files.
fn safe(name: &str) -> PathBuf {
    name.split('/').filter(|it| !matches!(*it, "" | "." | "..")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_masked_and_bounded_and_what_is_missing_is_named() {
        let mut evidence = Evidence::default();
        evidence.take(
            "node/kubelet.log",
            Ok(format!("{}\nthe end with hunter-4711 and token: abcdef.0123456789abcdef\n", "x".repeat(TEXT_LIMIT))),
        );
        evidence.take("node/empty.log", Ok("\n".to_owned()));
        evidence.take("node/gone.log", Err(anyhow::anyhow!("no such file\nand more")));
        // The first text is small, so that one of twenty does not fit.
        for number in 0..30 {
            evidence.take(format!("node/{number}.log"), Ok("y\n".repeat(TEXT_LIMIT / 2)));
        }
        let out = evidence.masked(&Redactor::new(["hunter-4711".to_owned()]));
        assert_eq!(out.files[0].1, "the end with [redacted] and token: [redacted]\n");
        assert!(out.files.iter().map(|it| it.1.len()).sum::<usize>() <= LIMIT);
        assert_eq!(out.missing[0], "node/gone.log: no such file");
        assert_eq!(out.missing[1], "node/19.log: the limit of all texts together is reached");
        assert!(!out.files.iter().any(|it| it.0 == "node/empty.log"));
    }

    #[test]
    fn a_nodes_file_name_leads_nowhere_else() {
        assert_eq!(safe("../../etc/./passwd"), Path::new("etc/passwd"));
    }

    #[test]
    fn the_last_failures_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["20260101T000000", "20260104T000000", "20260102T000000", "20260103T000000"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        forget_the_oldest(dir.path()).unwrap();
        let names: Vec<_> = folders(dir.path()).unwrap().iter().map(|it| it.file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["20260102T000000", "20260103T000000", "20260104T000000"]);
    }
}
