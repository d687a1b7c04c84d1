//! What a run asks of the staged tree's record, remembered by the record's hash: the record of 20,000 files is three megabytes of JSON.

use super::{Staged, staged_record};
use crate::{env::Scope, fingerprint::Fingerprint};

/// The record without the names and digests of its files.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Summary {
    /// The digest of the inputs of the tree.
    pub(super) inputs: String,
    /// The digest of its content.
    pub(super) content: String,
    /// The number of its files.
    pub(super) count: usize,
    pub(super) has_requirements: bool,
}

/// The summary of the service's record; `None` if the record is missing or unreadable.
pub(super) fn of(env: &Scope<'_>) -> Option<Summary> {
    let path = staged_record(env);
    let key = || -> Option<Fingerprint> {
        let mut out = Fingerprint::new();
        out.add("the record of a staged tree", env.hashes.file(&path).ok()?);
        Some(out)
    };
    let before = key()?;
    if let Some(known) = env.hashes.fact(&before).and_then(|it| Summary::parse(&it)) {
        return Some(known);
    }
    let staged = Staged::read(&path)?;
    let summary = Summary {
        inputs: staged.inputs.clone(),
        content: staged.content.digest(),
        count: staged.content.len(),
        has_requirements: staged.has_requirements(),
    };
    // The record may have been replaced between the two readings.
    if key().as_ref() == Some(&before) {
        env.hashes.remember(&before, &summary.line());
    }
    Some(summary)
}

impl Summary {
    fn line(&self) -> String {
        format!("{} {} {} {}", self.inputs, self.content, self.count, self.has_requirements)
    }

    fn parse(line: &str) -> Option<Summary> {
        let [inputs, content, count, has_requirements] = line.split(' ').collect::<Vec<_>>().try_into().ok()?;
        Some(Summary {
            inputs: inputs.to_owned(),
            content: content.to_owned(),
            count: count.parse().ok()?,
            has_requirements: has_requirements.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_read_as_it_was_written_and_another_line_is_none() {
        let summary = Summary { inputs: "a".to_owned(), content: "b".to_owned(), count: 3, has_requirements: true };
        assert_eq!(Summary::parse(&summary.line()), Some(summary));
        for line in ["", "a b 3", "a b 3 true more", "a b x true", "a b 3 yes"] {
            assert_eq!(Summary::parse(line), None, "{line}");
        }
    }
}
