//! `.dockerignore`: which files of a folder belong to a build's context.
//!
//! The rules are Docker's own, with their oddities, since a file that is kept out there must be kept out here:
//! `ignorefile.ReadAll`, `patternmatcher.New` and `MatchesUsingParentResults` of github.com/moby/patternmatcher v0.6.1, in the
//! order in which the walk of github.com/tonistiigi/fsutil (BuildKit's client) asks them. Patterns become regular expressions there,
//! so `[!a]` holds an exclamation mark, and `[^a]` matches a slash.

use std::path::Path;

use anyhow::{Context as _, Result};
use regex::Regex;
use walkdir::{DirEntry, WalkDir};

use crate::errors::{Code, Problem};

/// The patterns of one file, in their order.
#[derive(Clone, Debug, Default)]
pub struct Ignore {
    patterns: Vec<Pattern>,
}

#[derive(Clone, Debug)]
struct Pattern {
    text: String,
    /// `!`: what earlier patterns exclude is put back.
    is_exception: bool,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Exact,
    /// The text without the two stars at its end.
    Prefix,
    /// The text without the two stars at its beginning.
    Suffix,
    Expression(Regex),
}

impl Ignore {
    /// Reads the content of a file that messages call `name`. A pattern that Docker's clients refuse is an error with its line.
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

    /// Whether one path, relative to the tree's top, is excluded.
    pub fn excludes(&self, path: &Path) -> bool {
        let mut visit = self.visit();
        let mut folders: Vec<&Path> = path.ancestors().filter(|it| !it.as_os_str().is_empty()).collect();
        folders.reverse();
        folders.into_iter().map(|it| visit.excludes(it)).last().unwrap_or(false)
    }

    /// A visit of one tree, from its top downwards, parents before what they hold.
    pub fn visit(&self) -> Visit<'_> {
        Visit { ignore: self, parents: Vec::new(), has_exceptions: self.patterns.iter().any(|it| it.is_exception) }
    }
}

/// What is known of the folders above the next path.
#[derive(Debug)]
pub struct Visit<'a> {
    ignore: &'a Ignore,
    /// For each folder above, which patterns matched it.
    parents: Vec<Vec<bool>>,
    has_exceptions: bool,
}

/// What belongs to a context below `root`, in name order, folders before what they hold; a file is its own tree. Without an `ignore`
/// everything does. A folder that is excluded comes back with the first of its files that an exception puts back.
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
    /// Whether the path, relative to the tree's top, is excluded. Asked of every folder before its content.
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

    /// Whether something below an excluded folder may belong to the context all the same.
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
        // Cleaned a second time together with its mark, a pattern for the top alone leaves the mark alone.
        if is_exception && (text.is_empty() || text == "/") {
            return Err("excepts nothing");
        }
        if !is_well_formed(&text) {
            return Err("is not a pattern: a bracket is open or empty, or a backslash stands last");
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

/// The shortest path of the same meaning, by its letters alone: Go's `filepath.Clean`.
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

/// Whether Go's `filepath.Match` takes the pattern.
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

/// How a pattern is compared. The expression is the one that patternmatcher writes, in this library's spelling.
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
            Kind::Expression(Regex::new(&translated(&text)?).map_err(|_| "is no pattern that can be matched")?)
        }
    })
}

/// A regular expression of Go's as one of this library's: they differ in brackets, where `[`, `&&` and `--` mean something here.
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

/// What a backslash makes of the next character. Before letters and digits Go has meanings of its own (`\d` is any digit), which nobody
/// means in a list of files.
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
            return Err("names a class of characters, which only Docker's regular expressions know");
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
