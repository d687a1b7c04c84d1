//! Reads what a patch in git's format says: which files, which hunks. Applying is git's part.

/// One file's part of a patch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilePatch {
    /// Every name that the headers mention, without the `a/` and `b/` prefixes.
    pub old: Option<String>,
    pub new: Option<String>,
    pub renames: Vec<String>,
    /// `120000` for a link.
    pub new_mode: Option<String>,
    pub hunks: Vec<Hunk>,
}

/// One `@@` section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hunk {
    /// First line in the old file, from 1.
    pub line: usize,
    /// Lines with their mark: space, minus or plus.
    pub lines: Vec<String>,
}

impl FilePatch {
    /// All names, each once.
    pub fn names(&self) -> Vec<&str> {
        let mut out: Vec<&str> = Vec::new();
        for name in self.old.iter().chain(&self.new).chain(&self.renames) {
            if !out.contains(&name.as_str()) {
                out.push(name);
            }
        }
        out
    }

    pub fn creates_link(&self) -> bool {
        self.new_mode.as_deref() == Some("120000")
    }
}

impl Hunk {
    /// What the old file must say.
    pub fn before(&self) -> Vec<&str> {
        self.lines.iter().filter(|it| !it.starts_with('+')).map(|it| it.get(1..).unwrap_or_default()).collect()
    }
}

/// Every file that the text changes. Text before the first header (a mail's head and message) is passed over.
pub fn files(text: &str) -> Vec<FilePatch> {
    let mut out: Vec<FilePatch> = Vec::new();
    let mut lines = text.lines().peekable();
    // Lines that the present hunk still has on its old and new side.
    let mut left = (0, 0);
    while let Some(line) = lines.next() {
        if left.0 > 0 || left.1 > 0 {
            let Some(file) = out.last_mut() else { break };
            take_hunk_line(file, line, &mut left);
            continue;
        }
        if let Some(rest) = line.strip_prefix("diff --git ") {
            let mut file = FilePatch::default();
            // Both names, for changes without content (modes, empty files).
            let (old, new) = git_names(rest);
            file.renames.extend(old.into_iter().chain(new));
            out.push(file);
        } else if let Some(name) = line.strip_prefix("--- ")
            && lines.peek().is_some_and(|it| it.starts_with("+++ "))
        {
            if out.last().is_none_or(|it| it.old.is_some() || it.new.is_some() || !it.hunks.is_empty()) {
                out.push(FilePatch::default());
            }
            let new = lines.next().and_then(|it| it.strip_prefix("+++ ")).unwrap_or_default();
            if let Some(file) = out.last_mut() {
                file.old = header_name(name, "a/");
                file.new = header_name(new, "b/");
            }
        } else if let Some(file) = out.last_mut() {
            take_header_line(file, line, &mut left);
        }
    }
    out
}

fn take_header_line(file: &mut FilePatch, line: &str, left: &mut (usize, usize)) {
    for prefix in ["rename from ", "rename to ", "copy from ", "copy to "] {
        if let Some(name) = line.strip_prefix(prefix) {
            file.renames.push(unquote(name));
        }
    }
    for prefix in ["new file mode ", "new mode "] {
        if let Some(mode) = line.strip_prefix(prefix) {
            file.new_mode = Some(mode.trim().to_owned());
        }
    }
    if let Some((line_number, counts)) = hunk_header(line) {
        file.hunks.push(Hunk { line: line_number, lines: Vec::new() });
        *left = counts;
    }
}

fn take_hunk_line(file: &mut FilePatch, line: &str, left: &mut (usize, usize)) {
    let Some(hunk) = file.hunks.last_mut() else { return };
    match line.chars().next() {
        Some('+') => left.1 = left.1.saturating_sub(1),
        Some('-') => left.0 = left.0.saturating_sub(1),
        Some('\\') => return,
        // Some mailers drop the space of an empty context line.
        Some(' ') | None => {
            left.0 = left.0.saturating_sub(1);
            left.1 = left.1.saturating_sub(1);
        }
        Some(_) => {
            *left = (0, 0);
            return;
        }
    }
    hunk.lines.push(if line.is_empty() { " ".to_owned() } else { line.to_owned() });
}

/// `@@ -12,3 +14,5 @@ …` gives 12 and (3, 5); a count left out is 1.
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

/// A name of a `---` or `+++` line; `/dev/null` is none.
fn header_name(text: &str, prefix: &str) -> Option<String> {
    // A time after a tab belongs to other tools' patches.
    let name = unquote(text.split('\t').next().unwrap_or_default().trim_end());
    if name == "/dev/null" {
        return None;
    }
    Some(name.strip_prefix(prefix).map_or(name.clone(), str::to_owned))
}

fn git_names(rest: &str) -> (Option<String>, Option<String>) {
    if rest.starts_with('"') {
        let mut parts = rest.split("\" ");
        let old = parts.next().map(|it| format!("{it}\""));
        return (old.and_then(|it| header_name(&it, "a/")), parts.next().and_then(|it| header_name(it, "b/")));
    }
    match rest.split_once(" b/") {
        Some((old, new)) => (header_name(old, "a/"), header_name(new, "b/")),
        None => (None, None),
    }
}

/// Git's C-style quotes around names with special characters.
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
mod tests {
    use super::*;

    #[test]
    fn a_mail_with_two_files_is_read() {
        let text = "From 0 Mon Sep 17 00:00:00 2001\nSubject: x\n\n--- not a header\n---\n a | 2 +-\n\ndiff --git a/x.py b/x.py\nindex 1..2 100644\n--- a/x.py\n+++ b/x.py\n@@ -3,2 +3,3 @@ def f():\n one\n-two\n+2\n+3\ndiff --git a/new b/new\nnew file mode 120000\n--- /dev/null\n+++ b/new\n@@ -0,0 +1 @@\n+/etc\n-- \n2.39\n";
        let files = files(text);
        assert_eq!(files.len(), 2);
        assert_eq!(files[0].names(), ["x.py"]);
        assert_eq!(files[0].hunks, [Hunk { line: 3, lines: vec![" one".into(), "-two".into(), "+2".into(), "+3".into()] }]);
        assert_eq!(files[0].hunks[0].before(), ["one", "two"]);
        assert!(files[1].creates_link());
        assert_eq!(files[1].old, None);
        assert_eq!(files[1].names(), ["new"]);
    }

    #[test]
    fn a_removed_line_that_looks_like_a_header_is_no_header() {
        let files = files("--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n--- ../../evil\n+++ ../../evil\n ok\n");
        assert_eq!(files.len(), 1);
        assert_eq!(files[0].names(), ["x"]);
    }

    #[test]
    fn names_of_renames_and_mode_changes_are_seen() {
        let files = files(
            "diff --git a/../a b/b\nsimilarity index 100%\nrename from ../a\nrename to b\ndiff --git a/.git/x b/.git/x\nold mode 100644\nnew mode 100755\n",
        );
        assert_eq!(files[0].names(), ["../a", "b"]);
        assert_eq!(files[1].names(), [".git/x"]);
    }

    #[test]
    fn quoted_names_are_read_as_git_means_them() {
        assert_eq!(unquote(r#""a/\303\244 \"x\"""#), "a/ä \"x\"");
    }
}
