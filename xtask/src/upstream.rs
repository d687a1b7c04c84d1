//! `UPSTREAM.md`: where the folders beside it come from. People read and write it too, so everything that the tool does not know stays.
//!
//! ```text
//! ## django-polls
//!
//! - Source: sdist:django-polls
//! - Version: 1.2
//! - Archive: django_polls-1.2.tar.gz, sha256:5f2a…
//! - License: BSD-3-Clause
//! - Content: sha256:91c0…
//! ```

pub mod changes;

use std::{
    fmt,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::errors::{Code, Problem};

/// The file's name.
pub const FILE: &str = "UPSTREAM.md";

/// The first lines of a new file.
const HEAD: &str = "# Upstream\n\nWhere the folders beside this file come from. `cargo xtask upstream` reads and writes the lists; all other text is yours.\n";

/// Where upstream's source comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Source {
    /// A source archive of a Python package: pip fetches it.
    Sdist(String),
    /// A wheel of a Python package: pip fetches it.
    Wheel(String),
    /// A Node.js package: npm fetches it.
    Npm(String),
    /// A git repository; the version is a tag, a branch or a commit.
    Git(String),
    /// A `.tar.gz`, `.tar.xz`, `.tar.bz2` or `.zip` on this machine or at a URL; `{version}` in it is replaced.
    Archive(String),
    /// A folder on this machine; `{version}` in it is replaced.
    Folder(String),
}

impl Source {
    /// Reads `sdist:NAME`, `wheel:NAME`, `npm:NAME`, `git:URL`, `archive:PATH or URL`, `folder:PATH`.
    pub fn parse(text: &str) -> Result<Source, String> {
        let wrong = || format!("`{text}` names no source: write sdist:NAME, wheel:NAME, npm:NAME, git:URL, archive:PATH or folder:PATH");
        let (kind, of) = text.split_once(':').ok_or_else(wrong)?;
        let of = of.trim();
        if of.is_empty() || of.starts_with('-') || of.chars().any(char::is_control) {
            return Err(wrong());
        }
        let of = of.to_owned();
        Ok(match kind.trim() {
            "sdist" => Source::Sdist(of),
            "wheel" => Source::Wheel(of),
            "npm" => Source::Npm(of),
            "git" => Source::Git(of),
            "archive" => Source::Archive(of),
            "folder" => Source::Folder(of),
            _ => return Err(wrong()),
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, of) = match self {
            Source::Sdist(it) => ("sdist", it),
            Source::Wheel(it) => ("wheel", it),
            Source::Npm(it) => ("npm", it),
            Source::Git(it) => ("git", it),
            Source::Archive(it) => ("archive", it),
            Source::Folder(it) => ("folder", it),
        };
        write!(f, "{kind}:{of}")
    }
}

impl From<Source> for String {
    fn from(it: Source) -> String {
        it.to_string()
    }
}

impl TryFrom<String> for Source {
    type Error = String;

    fn try_from(text: String) -> Result<Source, String> {
        Source::parse(&text)
    }
}

/// The list of one folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    pub source: Source,
    pub version: String,
    /// The fetched file and its SHA-256, or the commit of a git repository; empty for a folder.
    pub archive: String,
    /// The licence that upstream's files name; empty if they name none.
    pub license: String,
    /// The digest of all files, as the tool wrote them into the folder. Empty if a person wrote the list.
    pub content: String,
}

/// The path of the file with the section of a folder, and the folder's name in it. `None` for the project's own folder, which nothing is
/// beside.
pub fn place(project: &Path, folder: &Path) -> Option<(PathBuf, String)> {
    let folder: PathBuf = folder.components().filter(|it| !matches!(it, std::path::Component::CurDir)).collect();
    let name = folder.file_name()?.to_string_lossy().into_owned();
    Some((project.join(folder.parent()?).join(FILE), name))
}

/// A line `- Key: value`.
fn entry(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.strip_prefix(['-', '*'])?.split_once(':')?;
    Some((key.trim().trim_matches('*'), value.trim().trim_start_matches("**").trim().trim_matches('`')))
}

/// The section of a folder: its heading, and its list, which is the first one in it. Other lists and code are a person's.
fn places(lines: &[&str], name: &str) -> Option<(usize, std::ops::Range<usize>)> {
    let heading = |line: &str| {
        let text = line.strip_prefix("## ")?.trim().trim_end_matches('#').trim();
        Some(text.trim_matches('`').trim_end_matches('/').to_owned())
    };
    let mut in_code = false;
    let mut begin = None;
    let mut list: Option<std::ops::Range<usize>> = None;
    for (at, line) in lines.iter().enumerate() {
        if line.trim_start().starts_with("```") || line.trim_start().starts_with("~~~") {
            in_code = !in_code;
            continue;
        }
        if in_code {
            continue;
        }
        match begin {
            None if heading(line).as_deref() == Some(name) => begin = Some(at),
            None => {}
            Some(_) if line.starts_with('#') => break,
            Some(_) => match &mut list {
                None if entry(line).is_some() => list = Some(at..at + 1),
                Some(list) if list.end == at && (entry(line).is_some() || line.starts_with("- ") || line.starts_with("* ")) => {
                    list.end = at + 1
                }
                _ => {}
            },
        }
    }
    let begin = begin?;
    Some((begin, list.unwrap_or(begin + 1..begin + 1)))
}

/// Reads the section of a folder; `None` without one. An error names what is missing or wrong.
pub fn read(text: &str, name: &str) -> Result<Option<Section>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines: Vec<&str> = text.lines().collect();
    let Some((heading, list)) = places(&lines, name) else { return Ok(None) };
    let line = heading + 1;
    let value = |key: &str| {
        let found = lines[list.clone()].iter().filter_map(|it| entry(it)).find(|it| it.0.eq_ignore_ascii_case(key));
        found.map(|it| it.1.to_owned()).filter(|it| !it.is_empty())
    };
    let wrong = |what: String| {
        let hint = "a section has at least the lines `- Source: sdist:NAME` and `- Version: 1.2`";
        Problem::config(format!("{FILE}, section `{name}` at line {line}: {what}")).code(Code::Upstream).hint(hint)
    };
    let source = value("Source").ok_or_else(|| wrong("it has no line `- Source: …`".to_owned()))?;
    let source = Source::parse(&source).map_err(wrong)?;
    let version = value("Version").ok_or_else(|| wrong("it has no line `- Version: …`".to_owned()))?;
    let other = |key| value(key).unwrap_or_default();
    Ok(Some(Section { source, version, archive: other("Archive"), license: other("License"), content: other("Content") }))
}

/// The text with the section of a folder replaced or added. Lines with other keys, other text, and the line ends stay.
pub fn write(text: &str, name: &str, section: &Section) -> String {
    let ours: Vec<(&str, String)> = vec![
        ("Source", section.source.to_string()),
        ("Version", section.version.clone()),
        ("Archive", section.archive.clone()),
        ("License", section.license.clone()),
        ("Content", section.content.clone()),
    ];
    let list: Vec<String> = ours.iter().filter(|it| !it.1.is_empty()).map(|(key, value)| format!("- {key}: {value}")).collect();
    let text = if text.trim().is_empty() { HEAD } else { text };
    let (mark, text) = text.strip_prefix('\u{feff}').map_or(("", text), |it| ("\u{feff}", it));
    let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let lines: Vec<&str> = text.lines().collect();
    let Some((heading, place)) = places(&lines, name) else {
        return format!("{mark}{}{end}{end}## {name}{end}{end}{}{end}", text.trim_end(), list.join(end));
    };
    let is_ours = |line: &str| entry(line).is_some_and(|(key, _)| ours.iter().any(|it| it.0.eq_ignore_ascii_case(key)));
    let mut out: Vec<&str> = lines[..place.start].to_vec();
    if place.start == heading + 1 {
        // A heading stands alone.
        out.push("");
    }
    out.extend(list.iter().map(String::as_str));
    out.extend(lines[place.clone()].iter().filter(|it| !is_ours(it)));
    let rest = &lines[place.end..];
    if place.is_empty() && rest.first().is_some_and(|it| !it.is_empty()) {
        out.push("");
    }
    out.extend(rest);
    format!("{mark}{}{end}", out.join(end).trim_end())
}

/// Reads the section of a folder of the project.
pub fn of_folder(project: &Path, folder: &Path) -> Result<Option<Section>> {
    let Some((path, name)) = place(project, folder) else { return Ok(None) };
    if !path.exists() {
        return Ok(None);
    }
    let text = crate::regular::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    read(&text, &name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section() -> Section {
        Section {
            source: Source::Sdist("polls".to_owned()),
            version: "1.2".to_owned(),
            archive: "polls-1.2.tar.gz, sha256:ab".to_owned(),
            license: "BSD-3-Clause".to_owned(),
            content: "sha256:cd".to_owned(),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let text = write("", "polls", &section());
        assert_eq!(read(&text, "polls").unwrap(), Some(section()));
        assert_eq!(read(&text, "other").unwrap(), None);
        assert_eq!(write(&text, "polls", &section()), text);
        let two = write(&text, "other", &Section { version: "2".to_owned(), ..section() });
        assert_eq!(read(&two, "polls").unwrap(), Some(section()));
        assert!(two.starts_with(text.trim_end()));
    }

    #[test]
    fn a_persons_text_stays() {
        let text = "# Ours\n\nhello\n\n## polls\n\nWhy we use it.\n\n- source: `wheel:polls`\n- Owner: me\n* **Version**: 1.1\n\nMore.\n\n## next\n- Source: npm:x\n- Version: 3\n";
        let found = read(text, "polls").unwrap().unwrap();
        assert_eq!((found.source, found.version.as_str(), found.content.as_str()), (Source::Wheel("polls".to_owned()), "1.1", ""));
        let new = write(text, "polls", &section());
        let wanted = "# Ours\n\nhello\n\n## polls\n\nWhy we use it.\n\n- Source: sdist:polls\n- Version: 1.2\n- Archive: polls-1.2.tar.gz, sha256:ab\n- License: BSD-3-Clause\n- Content: sha256:cd\n- Owner: me\n\nMore.\n\n## next\n- Source: npm:x\n- Version: 3\n";
        assert_eq!(new, wanted);
        assert_eq!(write("## polls", "polls", &section()).lines().count(), 7);
        assert_eq!(write("## polls\r\n- Version: 1\r\n", "polls", &section()).matches("\r\n").count(), 7);
    }

    #[test]
    fn other_lists_and_code_of_a_section_are_not_the_tools() {
        let text = "```\n## polls\n- Version: 0\n```\n\n## polls ##\n\n- **Source:** sdist:polls\n- Version: 1.1\n- Owner: me\n\n- Archive: the mirror\n\n### History\n\n- Version: 0.9: first import\n- License: changed\n";
        let found = read(text, "polls").unwrap().unwrap();
        assert_eq!((found.version.as_str(), found.archive.as_str()), ("1.1", ""));
        let new = write(text, "polls", &section());
        let lost: Vec<&str> = text.lines().filter(|it| !new.contains(it)).collect();
        assert_eq!(lost, ["- **Source:** sdist:polls", "- Version: 1.1"]);
        assert_eq!(read(&new, "polls").unwrap(), Some(section()));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, said) in [
            ("## polls\n- Version: 1\n", "section `polls` at line 1: it has no line `- Source"),
            ("\n## polls\n- Source: sdist:x\n", "at line 2: it has no line `- Version"),
            ("## polls\n- Source: pypi\n- Version: 1\n", "`pypi` names no source"),
            ("## polls\n- Source: sdist:--index-url=x\n- Version: 1\n", "names no source"),
        ] {
            let error = format!("{:#}", read(text, "polls").unwrap_err());
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn the_file_is_beside_the_folder() {
        let of = |folder: &str| place(Path::new("/p"), Path::new(folder));
        assert_eq!(of("third_party/polls"), Some((PathBuf::from("/p/third_party/UPSTREAM.md"), "polls".to_owned())));
        assert_eq!(of("./polls"), Some((PathBuf::from("/p/UPSTREAM.md"), "polls".to_owned())));
        assert_eq!(of("."), None);
    }
}
