//! What a kind of cluster needs besides the machine: a login, an API, a quota.

use crate::errors::hint;

/// Whether a requirement is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met {
    Yes,
    No,
    /// It could not be asked, for example without the permission to.
    Unknown,
}

/// One requirement and what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    pub name: &'static str,
    pub met: Met,
    pub found: String,
    /// What helps; empty if it is met.
    pub remedy: String,
}

impl Requirement {
    pub(super) fn met(name: &'static str, found: impl Into<String>) -> Requirement {
        Requirement { name, met: Met::Yes, found: found.into(), remedy: String::new() }
    }

    pub(super) fn missed(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Requirement {
        Requirement { name, met: Met::No, found: found.into(), remedy: remedy.into() }
    }

    /// An error as a missed requirement, with the error's hint.
    pub(super) fn of(name: &'static str, error: &anyhow::Error) -> Requirement {
        Requirement::missed(name, format!("{error:#}"), hint(error).unwrap_or_default())
    }

    /// One that could not be asked. Only the last line of the error: programs print their usage before it.
    pub(super) fn unknown(name: &'static str, error: &anyhow::Error) -> Requirement {
        let text = format!("{error:#}");
        let said = text.lines().rfind(|it| !it.trim().is_empty()).unwrap_or_default().trim().to_owned();
        let remedy = "give the one who is logged in the permission to ask, or go on without".to_owned();
        Requirement { name, met: Met::Unknown, found: format!("could not be asked: {said}"), remedy }
    }

    /// `quota of VPCs: 5 of 5 (delete a VPC)`; `None` if it is met or unknown.
    pub(super) fn missed_words(self) -> Option<String> {
        (self.met == Met::No).then(|| format!("  {}: {} ({})", self.name, self.found, self.remedy))
    }
}
