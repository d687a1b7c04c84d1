//! `.dockerignore`: which files of a folder belong to the build context.
//!
//! The rules are exactly Docker's, including their oddities: `ignorefile.ReadAll`, `patternmatcher.New` and `MatchesUsingParentResults` of
//! github.com/moby/patternmatcher v0.6.1, in the order of the walk in github.com/tonistiigi/fsutil (BuildKit's client). Docker converts
//! patterns to regular expressions, so `[!a]` matches an exclamation mark, and `[^a]` matches a slash.

use std::path::Path;

use anyhow::{Context as _, Result};
use regex::Regex;
use walkdir::{DirEntry, WalkDir};

use crate::errors::{Code, Problem};

/// The patterns of a file, in order.
#[derive(Clone, Debug, Default)]
pub struct Ignore {
    patterns: Vec<Pattern>,
}

#[derive(Clone, Debug)]
struct Pattern {
    text: String,
    /// `!`: includes again what earlier patterns exclude.
    is_exception: bool,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Exact,
    /// The text before a final `**`.
    Prefix,
    /// The text after a leading `**`.
    Suffix,
    Expression(Regex),
}

impl Ignore {
    /// Parses the content of a file; `name` is for messages. A pattern that Docker's client rejects is an error with its line.
    pub fn parse(content: &[u8], name: &str) -> Result<Ignore> {
        let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
        let mut patterns = Vec::new();
        for (index, line) in String::from_utf8_lossy(content).lines().enumerate() {
            if line.starts_with('#') || line.trim().is_empty() {
                continue;
            }
            let pattern = Pattern::read(line.trim()).map_err(|why| {
                Problem::config(format!("{name}, line {}: `{}` {why}", index + 1, line.trim())).code(Code::ImageBuild).hint(
                    "correct the pattern: Docker refuses it too; a character that has a meaning is written with a backslash before it",
                )
            })?;
            patterns.push(pattern);
        }
        Ok(Ignore { patterns })
    }

    /// Whether it excludes nothing.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether a path, relative to the root, is excluded.
    pub fn excludes(&self, path: &Path) -> bool {
        let mut visit = self.visit();
        let mut folders: Vec<&Path> = path.ancestors().filter(|it| !it.as_os_str().is_empty()).collect();
        folders.reverse();
        folders.into_iter().map(|it| visit.excludes(it)).last().unwrap_or(false)
    }

    /// Starts a walk over one tree, from its root downwards, each folder before its content.
    pub fn visit(&self) -> Visit<'_> {
        Visit { ignore: self, parents: Vec::new(), has_exceptions: self.patterns.iter().any(|it| it.is_exception) }
    }
}

/// The state of the folders above the next path.
#[derive(Debug)]
pub struct Visit<'a> {
    ignore: &'a Ignore,
    /// For each of these folders: which patterns matched it.
    parents: Vec<Vec<bool>>,
    has_exceptions: bool,
}

/// The files and folders of a context below `root`, sorted by name, each folder before its content; `root` may be a file. Without `ignore`
/// everything belongs to the context. An excluded folder is included together with the first of its files that an exception includes.
pub fn walk(root: &Path, ignore: Option<&Ignore>) -> Result<Vec<DirEntry>> {
    let mut visit = ignore.map(Ignore::visit);
    let mut out = Vec::new();
    let mut held_back: Vec<DirEntry> = Vec::new();
    let mut entries = WalkDir::new(root).sort_by_file_name().into_iter();
    while let Some(entry) = entries.next() {
        let entry = entry.with_context(|| format!("read {}", root.display()))?;
        held_back.retain(|it| entry.path().starts_with(it.path()));
        let relative = entry.path().strip_prefix(root).unwrap_or(entry.path());
        let is_excluded = entry.depth() > 0 && visit.as_mut().is_some_and(|it| it.excludes(relative));
        if !is_excluded {
            out.append(&mut held_back);
            out.push(entry);
        } else if entry.file_type().is_dir() {
            if visit.as_ref().is_some_and(Visit::may_return) {
                held_back.push(entry);
            } else {
                entries.skip_current_dir();
            }
        }
    }
    Ok(out)
}

impl Visit<'_> {
    /// Whether the path, relative to the root, is excluded. Must be called for each folder before its content.
    pub fn excludes(&mut self, path: &Path) -> bool {
        let depth = path.components().count();
        self.parents.truncate(depth.saturating_sub(1));
        let path = path.to_string_lossy();
        let above = self.parents.last();
        let mut is_excluded = false;
        let mut matched = vec![false; self.ignore.patterns.len()];
        for (index, pattern) in self.ignore.patterns.iter().enumerate() {
            let mut matches = above.is_some_and(|it| it.get(index) == Some(&true));
            if !matches {
                if pattern.is_exception != is_excluded {
                    continue;
                }
                matches = pattern.matches(&path);
            }
            matched[index] = matches;
            if matches {
                is_excluded = !pattern.is_exception;
            }
        }
        self.parents.push(matched);
        is_excluded
    }

    /// Whether an exception may include something in an excluded folder.
    pub fn may_return(&self) -> bool {
        self.has_exceptions
    }
}

impl Pattern {
    fn read(line: &str) -> Result<Pattern, &'static str> {
        let (is_exception, rest) = match line.strip_prefix('!') {
            Some(rest) => (true, rest.trim()),
            None => (false, line),
        };
        let mut text = if rest.is_empty() { String::new() } else { clean(rest) };
        if text.len() > 1 && text.starts_with('/') {
            text.remove(0);
        }
        // Docker cleans the pattern again together with its `!`, so a pattern for the root leaves only the `!`.
        if is_exception && (text.is_empty() || text == "/") {
            return Err("excepts nothing");
        }
        if !is_well_formed(&text) {
            return Err("is not a pattern: a bracket is open or empty, or the last character is a backslash");
        }
        let kind = kind(&text)?;
        Ok(Pattern { text, is_exception, kind })
    }

    fn matches(&self, path: &str) -> bool {
        match &self.kind {
            Kind::Exact => path == self.text,
            Kind::Prefix => path.starts_with(&self.text[..self.text.len() - 2]),
            Kind::Suffix => {
                let suffix = &self.text[2..];
                path.ends_with(suffix) || suffix.strip_prefix('/') == Some(path)
            }
            Kind::Expression(expression) => expression.is_match(path),
        }
    }
}

/// Go's `filepath.Clean`: the shortest equivalent path, computed from the text alone.
fn clean(path: &str) -> String {
    let is_rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|it| *it != "..") => {
                parts.pop();
            }
            ".." if is_rooted => {}
            other => parts.push(other),
        }
    }
    match (is_rooted, parts.join("/")) {
        (true, joined) => format!("/{joined}"),
        (false, joined) if joined.is_empty() => ".".to_owned(),
        (false, joined) => joined,
    }
}

/// Whether Go's `filepath.Match` accepts the pattern.
fn is_well_formed(pattern: &str) -> bool {
    let mut rest = pattern.chars();
    while let Some(char) = rest.next() {
        if char == '\\' && rest.next().is_none() {
            return false;
        }
        if char == '[' && !skip_class(&mut rest) {
            return false;
        }
    }
    true
}

fn skip_class(rest: &mut std::str::Chars<'_>) -> bool {
    let next = |rest: &std::str::Chars<'_>| rest.clone().next();
    let end = |rest: &mut std::str::Chars<'_>| -> bool {
        match rest.next() {
            None | Some('-' | ']') => false,
            Some('\\') => rest.next().is_some() && next(rest).is_some(),
            Some(_) => next(rest).is_some(),
        }
    };
    if next(rest) == Some('^') {
        rest.next();
    }
    let mut has_one = false;
    loop {
        if has_one && next(rest) == Some(']') {
            rest.next();
            return true;
        }
        if !end(rest) {
            return false;
        }
        if next(rest) == Some('-') {
            rest.next();
            if !end(rest) {
                return false;
            }
        }
        has_one = true;
    }
}

/// How to match a pattern. The regular expression is patternmatcher's, in the syntax of Rust's `regex`.
fn kind(pattern: &str) -> Result<Kind, &'static str> {
    #[derive(PartialEq)]
    enum Found {
        Exact,
        Prefix,
        Suffix,
        Expression,
    }
    let (mut found, mut text) = (Found::Exact, "^".to_owned());
    let mut chars = pattern.chars().peekable();
    let mut is_first = true;
    while let Some(char) = chars.next() {
        match char {
            '*' if chars.next_if_eq(&'*').is_some() => {
                chars.next_if_eq(&'/');
                if chars.peek().is_none() {
                    if found == Found::Exact {
                        found = Found::Prefix;
                    } else {
                        text.push_str(".*");
                        found = Found::Expression;
                    }
                } else {
                    text.push_str("(.*/)?");
                    found = Found::Expression;
                }
                if is_first {
                    found = Found::Suffix;
                }
            }
            '*' => {
                text.push_str("[^/]*");
                found = Found::Expression;
            }
            '?' => {
                text.push_str("[^/]");
                found = Found::Expression;
            }
            '.' | '+' | '(' | ')' | '|' | '{' | '}' | '$' => {
                text.push('\\');
                text.push(char);
            }
            '\\' => {
                text.push('\\');
                if let Some(next) = chars.next() {
                    text.push(next);
                    found = Found::Expression;
                }
            }
            '[' | ']' => {
                text.push(char);
                found = Found::Expression;
            }
            other => text.push(other),
        }
        is_first = false;
    }
    Ok(match found {
        Found::Exact => Kind::Exact,
        Found::Prefix => Kind::Prefix,
        Found::Suffix => Kind::Suffix,
        Found::Expression => {
            text.push('$');
            Kind::Expression(Regex::new(&translated(&text)?).map_err(|_| "is not a valid pattern")?)
        }
    })
}

/// Converts a Go regular expression to Rust's `regex`. They differ inside brackets, where `[`, `&&` and `--` are special in Rust.
fn translated(go: &str) -> Result<String, &'static str> {
    let mut out = String::new();
    let mut chars = go.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\\' => out.push_str(&regex::escape(&escaped(chars.next())?.to_string())),
            '[' => class(&mut chars, &mut out)?,
            ']' => out.push_str("\\]"),
            other => out.push(other),
        }
    }
    Ok(out)
}

/// The character after a backslash. Go gives letters and digits special meanings (`\d` is any digit), which nobody intends in a list of
/// files, so these are errors.
fn escaped(next: Option<char>) -> Result<char, &'static str> {
    match next {
        Some(char) if char.is_ascii() && !char.is_ascii_alphanumeric() => Ok(char),
        _ => Err("has a backslash before a letter or digit, which Docker reads as a regular expression"),
    }
}

fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) -> Result<(), &'static str> {
    const OPEN: &str = "has a bracket that is not closed";
    let one = |chars: &mut std::iter::Peekable<std::str::Chars<'_>>| match chars.next() {
        Some('\\') => escaped(chars.next()),
        Some(char) => Ok(char),
        None => Err(OPEN),
    };
    let literal = |char: char| if char.is_ascii_punctuation() { format!("\\{char}") } else { char.to_string() };
    out.push('[');
    if chars.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    let mut is_first = true;
    loop {
        match chars.peek() {
            None => return Err(OPEN),
            Some(']') if !is_first => {
                chars.next();
                out.push(']');
                return Ok(());
            }
            _ => {}
        }
        is_first = false;
        let ahead: String = chars.clone().take(10).collect();
        if ahead.starts_with("[:") && ahead[2..].contains(":]") {
            return Err("has a character class, which only Docker's regular expressions support");
        }
        let low = one(chars)?;
        out.push_str(&literal(low));
        let mut after = chars.clone();
        if after.next() == Some('-') && after.next().is_some_and(|it| it != ']') {
            chars.next();
            let high = one(chars)?;
            if high < low {
                return Err("has a range from a later character to an earlier one");
            }
            out.push('-');
            out.push_str(&literal(high));
        }
    }
}

#[cfg(test)]
mod tests;
