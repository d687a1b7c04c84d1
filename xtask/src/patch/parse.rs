//! Parses a patch: its files, its hunks, and how many leading components of its names are a prefix. git applies it.
//!
//! Supports git's format with any prefix (`a/`, `i/`, none, two folders), and the plain format of `diff -u`, Mercurial and Subversion.

use std::ops::Range;

/// The part of a patch for one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilePatch {
    /// The name before and after, without the prefix. `None` if the file is created or removed, or if only its mode or name changes.
    pub old: Option<String>,
    pub new: Option<String>,
    /// All other names in the headers, without the prefix.
    pub renames: Vec<String>,
    /// The name before a rename; `None` for a copy.
    pub renamed_from: Option<String>,
    /// The number of prefix components in the names: git's `-p`.
    pub strip: usize,
    /// All file modes in the headers.
    pub modes: Vec<String>,
    /// The mode after the patch, `120000` for a symbolic link. `None` if it does not change.
    pub new_mode: Option<String>,
    /// Whether the patch removes the file.
    pub removes: bool,
    /// Whether the patch creates the file.
    pub makes: bool,
    pub hunks: Vec<Hunk>,
    /// Its lines in the text, counted from 0.
    pub lines: Range<usize>,
    /// Whether a new commit starts here: a line of `git log -p` or of Mercurial precedes it.
    pub begins_commit: bool,
    /// Whether most of the old content is replaced (git's `-B`): then the same diff may rename the old content to another file.
    pub rewrites: bool,
    /// The possible prefix of a new file, if nothing confirms it: it may be a part of the name.
    pub unsure_prefix: Option<String>,
}

/// One `@@` section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hunk {
    /// The first line in the old file, counted from 1.
    pub line: usize,
    /// The lines, each with its marker: space, minus or plus.
    pub lines: Vec<String>,
    /// Its lines in the text without the header, counted from 0, including a note about a missing newline.
    pub range: Range<usize>,
}

impl FilePatch {
    /// All names, without duplicates.
    pub fn names(&self) -> Vec<&str> {
        let mut out: Vec<&str> = Vec::new();
        for name in self.old.iter().chain(&self.new).chain(&self.renames) {
            if !out.contains(&name.as_str()) {
                out.push(name);
            }
        }
        out
    }

    /// The file that git writes or removes: the new name, or for a removed file the old name.
    pub fn result(&self) -> Option<&str> {
        self.new.as_deref().or(self.renames.last().map(String::as_str)).or(self.old.as_deref())
    }

    /// Whether the result is a symbolic link.
    pub fn creates_link(&self) -> bool {
        !self.removes && self.new_mode.as_deref() == Some("120000")
    }

    /// Whether a symbolic link is removed.
    pub fn removes_link(&self) -> bool {
        self.removes && self.modes.iter().any(|it| it == "120000")
    }
}

impl Hunk {
    /// The lines that the old file must have.
    pub fn before(&self) -> Vec<&str> {
        self.lines.iter().filter(|it| !it.starts_with('+')).map(|it| it.get(1..).unwrap_or_default()).collect()
    }
}

/// The headers of one file, unparsed.
#[derive(Default)]
struct Raw {
    /// What follows `diff --git `.
    git: Option<String>,
    minus: Option<String>,
    plus: Option<String>,
    from: Option<String>,
    to: Option<String>,
    out: FilePatch,
}

/// All files that the text changes. Text before the first header (the head of a mail) is ignored. `exists` tells whether the tree has a
/// file; it decides only if the names alone do not determine the prefix.
pub fn files(text: &str, exists: &dyn Fn(&str) -> bool) -> Vec<FilePatch> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found: Vec<Raw> = Vec::new();
    // The remaining lines of the current hunk, old side and new side.
    let mut left = (0, 0);
    let mut at = 0;
    let mut commit = false;
    while let Some(line) = lines.get(at) {
        if left.0 > 0 || left.1 > 0 || line.starts_with('\\') {
            if let Some(raw) = found.last_mut() {
                take_hunk_line(&mut raw.out, at, line, &mut left);
            }
            at += 1;
            continue;
        }
        commit |= is_commit(line);
        if let Some(rest) = line.strip_prefix("diff --git ") {
            begin(&mut found, at, &mut commit);
            if let Some(raw) = found.last_mut() {
                raw.git = Some(rest.to_owned());
            }
        } else if let Some(name) = line.strip_prefix("--- ")
            && let Some(new) = lines.get(at + 1).and_then(|it| it.strip_prefix("+++ "))
            && lines.get(at + 2).is_some_and(|it| hunk_header(it).is_some())
        {
            if found.last().is_none_or(|it| it.minus.is_some() || !it.out.hunks.is_empty()) {
                begin(&mut found, at, &mut commit);
            }
            if let Some(raw) = found.last_mut() {
                raw.minus = Some(written(name));
                raw.plus = Some(written(new));
            }
            at += 1;
        } else if let Some(raw) = found.last_mut() {
            take_header_line(raw, at, line, &mut left);
        }
        at += 1;
    }
    if let Some(raw) = found.last_mut() {
        raw.out.lines.end = lines.len();
    }
    // If the prefix of one file is certain, the other files have the same.
    let certain = found.iter().find_map(Raw::certain_strip);
    let borne_out: Vec<String> = found.iter().filter_map(|it| it.borne_out(exists)).collect();
    found.into_iter().map(|it| it.finish(certain, &borne_out, exists)).collect()
}

/// A line `commit 0123…` of `git log -p`, or the first line of Mercurial's export.
fn is_commit(line: &str) -> bool {
    let hash = line.strip_prefix("commit ").and_then(|it| it.split_whitespace().next()).unwrap_or_default();
    let is_hash = matches!(hash.len(), 40 | 64) && hash.bytes().all(|it| it.is_ascii_hexdigit());
    is_hash || line.trim_end() == "# HG changeset patch"
}

fn begin(found: &mut Vec<Raw>, at: usize, commit: &mut bool) {
    if let Some(last) = found.last_mut() {
        last.out.lines.end = at;
    }
    found.push(Raw { out: FilePatch { lines: at..at, begins_commit: std::mem::take(commit), ..FilePatch::default() }, ..Raw::default() });
}

fn take_header_line(raw: &mut Raw, at: usize, line: &str, left: &mut (usize, usize)) {
    if let Some(counts) = hunk_header(line) {
        raw.out.hunks.push(Hunk { line: counts.0, lines: Vec::new(), range: at + 1..at + 1 });
        *left = counts.1;
        return;
    }
    // There are no headers after a hunk; lines that look like one are text.
    if raw.git.is_none() || !raw.out.hunks.is_empty() {
        return;
    }
    for (prefix, is_from) in [("rename from ", true), ("copy from ", true), ("rename to ", false), ("copy to ", false)] {
        if let Some(name) = line.strip_prefix(prefix) {
            let name = Some(unquote(name.trim_end_matches('\r')));
            if prefix == "rename from " {
                raw.out.renamed_from.clone_from(&name);
            }
            if is_from { raw.from = name } else { raw.to = name }
        }
    }
    for (prefix, makes, removes, is_new) in [
        ("new file mode ", true, false, true),
        ("deleted file mode ", false, true, false),
        ("old mode ", false, false, false),
        ("new mode ", false, false, true),
    ] {
        if let Some(mode) = line.strip_prefix(prefix) {
            let mode = mode.trim().to_owned();
            raw.out.makes |= makes;
            raw.out.removes |= removes;
            if is_new {
                raw.out.new_mode = Some(mode.clone());
            }
            raw.out.modes.push(mode);
        }
    }
    raw.out.rewrites |= line.starts_with("dissimilarity index ");
    if let Some((_, mode)) = line.strip_prefix("index ").and_then(|it| it.trim_end().split_once(' ')) {
        raw.out.modes.push(mode.to_owned());
        raw.out.new_mode.get_or_insert_with(|| mode.to_owned());
    }
}

fn take_hunk_line(file: &mut FilePatch, at: usize, line: &str, left: &mut (usize, usize)) {
    let Some(hunk) = file.hunks.last_mut() else { return };
    match line.chars().next() {
        Some('+') => left.1 = left.1.saturating_sub(1),
        Some('-') => left.0 = left.0.saturating_sub(1),
        Some('\\') => {
            if hunk.range.end == at {
                hunk.range.end = at + 1;
            }
            return;
        }
        // Some mail programs remove the space of an empty context line.
        Some(' ') | None => {
            left.0 = left.0.saturating_sub(1);
            left.1 = left.1.saturating_sub(1);
        }
        Some(_) => {
            *left = (0, 0);
            return;
        }
    }
    hunk.range.end = at + 1;
    hunk.lines.push(if line.is_empty() { " ".to_owned() } else { line.to_owned() });
}

/// The numbers in `@@ -12,3 +14,5 @@ …`: 12 and (3, 5). A missing count is 1.
fn hunk_header(line: &str) -> Option<(usize, (usize, usize))> {
    let rest = line.strip_prefix("@@ -")?;
    let (old, rest) = rest.split_once(" +")?;
    let (new, _) = rest.split_once(" @@")?;
    let range = |text: &str| -> Option<(usize, usize)> {
        match text.split_once(',') {
            Some((start, count)) => Some((start.parse().ok()?, count.parse().ok()?)),
            None => Some((text.parse().ok()?, 1)),
        }
    };
    let (start, old_count) = range(old)?;
    let (_, new_count) = range(new)?;
    Some((start, (old_count, new_count)))
}

impl Raw {
    /// Both names with their prefixes; `None` for `/dev/null` and a missing name.
    fn written(&self) -> (Option<String>, Option<String>) {
        let lines = (self.minus.clone(), self.plus.clone());
        let known = |it: Option<String>| it.filter(|name| name != NOTHING);
        if let (Some(minus), Some(plus)) = &lines
            && minus != NOTHING
            && plus != NOTHING
        {
            return lines;
        }
        let Some(git) = &self.git else { return (known(lines.0), known(lines.1)) };
        match git_names(git, self.from.as_deref(), self.to.as_deref()) {
            Some((old, new)) => (Some(old), Some(new)),
            None => (known(lines.0), known(lines.1)),
        }
    }

    /// The prefix's length, if the two names determine it.
    fn certain_strip(&self) -> Option<usize> {
        let (old, new) = self.written();
        let (old, new) = (old?, new?);
        if let (Some(from), Some(to)) = (&self.from, &self.to) {
            return (0..=depth(&old)).find(|it| stripped(&old, *it) == Some(from) && stripped(&new, *it) == Some(to));
        }
        // Equal names have no prefix, or the same prefix on both sides, so they do not determine it.
        (1..=depth(&old)).find(|it| old != new && stripped(&old, *it).is_some() && stripped(&old, *it) == stripped(&new, *it))
    }

    /// The new name's prefix, if the tree has the file without it.
    fn borne_out(&self, exists: &dyn Fn(&str) -> bool) -> Option<String> {
        let (_, new) = self.written();
        let (new, strip) = (new?, self.certain_strip()?);
        let (old, _) = self.written();
        stripped(&old?, strip).is_some_and(exists).then(|| prefix(&new, strip).to_owned())
    }

    fn finish(self, certain: Option<usize>, borne_out: &[String], exists: &dyn Fn(&str) -> bool) -> FilePatch {
        let (old, new) = self.written();
        let own = self.certain_strip();
        let names: Vec<&String> = old.iter().chain(&new).collect();
        let is_there = |strip: usize| names.iter().any(|it| stripped(it, strip).is_some_and(exists));
        let usual = |name: &&String| ["a/", "b/"].iter().any(|it| name.starts_with(it));
        let strip = own.unwrap_or_else(|| {
            let makes = self.out.makes || self.minus.as_deref() == Some(NOTHING);
            // If nothing is certain: the prefix without which the tree has the file; for a new file that of the other files, or the usual
            // one.
            match (0..3).find(|it| is_there(*it)) {
                Some(strip) if !makes => strip,
                _ => certain.unwrap_or(usize::from(self.git.is_none() && names.iter().any(usual))),
            }
        });
        let cut = |it: Option<String>| it.map(|name| stripped(&name, strip).unwrap_or(&name).to_owned());
        let is_nothing = |it: &Option<String>| it.as_deref() == Some(NOTHING);
        let mut out = self.out;
        out.strip = strip;
        out.makes |= is_nothing(&self.minus);
        out.removes |= is_nothing(&self.plus);
        let has_lines = self.minus.is_some();
        // Two names of a git diff that differ in their first component: a prefix, or the start of a name after a prefix without a slash.
        let own_prefix = new.as_deref().map(|it| prefix(it, strip)).unwrap_or_default();
        let is_known = KNOWN.contains(&own_prefix) || borne_out.iter().any(|it| it == own_prefix);
        if self.git.is_some() && out.makes && strip > 0 && !is_known {
            out.unsure_prefix = Some(own_prefix.to_owned());
        }
        if has_lines {
            out.old = cut(old.clone()).filter(|_| !out.makes);
            out.new = cut(new.clone()).filter(|_| !out.removes);
        }
        if self.git.is_some() {
            // The names of changes without content: modes, empty files, renames.
            out.renames.extend(self.from.clone());
            out.renames.extend(self.to.clone());
            if !has_lines && self.from.is_none() {
                out.renames.extend(cut(old).into_iter().chain(cut(new)));
                out.renames.dedup();
            }
        }
        out
    }
}

/// git's prefixes: commits, index, work tree, object, and two files.
const KNOWN: [&str; 8] = ["a/", "b/", "i/", "w/", "c/", "o/", "1/", "2/"];

/// The part that `stripped` removes, with its last slash.
fn prefix(name: &str, count: usize) -> &str {
    stripped(name, count).map_or("", |rest| &name[..name.len() - rest.len()])
}

/// The name of a missing side.
const NOTHING: &str = "/dev/null";

fn depth(name: &str) -> usize {
    name.matches('/').count()
}

/// The name without its first components, counted by slashes as in git.
fn stripped(name: &str, count: usize) -> Option<&str> {
    let mut rest = name;
    for _ in 0..count {
        rest = rest.split_once('/')?.1;
    }
    (!rest.is_empty()).then_some(rest)
}

/// The name in a `---` or `+++` line. Other tools add a time after a tab.
fn written(text: &str) -> String {
    unquote(text.split('\t').next().unwrap_or_default().trim_end_matches('\r').trim_end())
}

/// Both names of a `diff --git` line. An unquoted name may contain spaces, so the line is split where both sides are equal.
fn git_names(rest: &str, from: Option<&str>, to: Option<&str>) -> Option<(String, String)> {
    let rest = rest.trim_end_matches('\r');
    let mut cuts: Vec<(String, String)> = Vec::new();
    for (at, _) in rest.match_indices(' ') {
        let (old, new) = (&rest[..at], &rest[at + 1..]);
        let is_whole = |it: &str| it.starts_with('"') == it.ends_with('"') && !it.is_empty();
        if is_whole(old) && is_whole(new) {
            cuts.push((unquote(old), unquote(new)));
        }
    }
    let fits = |(old, new): &(String, String)| match (from, to) {
        (Some(from), Some(to)) => (0..=depth(old)).any(|it| stripped(old, it) == Some(from) && stripped(new, it) == Some(to)),
        _ => (0..=depth(old)).any(|it| stripped(old, it).is_some() && stripped(old, it) == stripped(new, it)),
    };
    cuts.into_iter().find(fits)
}

/// Decodes git's C-style quoting of names with special characters.
fn unquote(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"').and_then(|it| it.strip_suffix('"')) else { return text.to_owned() };
    let mut bytes = Vec::new();
    let mut rest = inner.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match rest.next() {
            Some(b'n') => bytes.push(b'\n'),
            Some(b't') => bytes.push(b'\t'),
            Some(b'r') => bytes.push(b'\r'),
            Some(digit @ b'0'..=b'3') => {
                let octal = |it: Option<u8>| it.map_or(0, |it| it.wrapping_sub(b'0') & 7);
                let (second, third) = (octal(rest.next()), octal(rest.next()));
                bytes.push(((digit - b'0') << 6) | (second << 3) | third);
            }
            Some(other) => bytes.push(other),
            None => {}
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests;
