//! Compares two fingerprints part by part, and writes the result as text.

use crate::fingerprint::Fingerprint;

/// A part of one of two fingerprints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input<'a> {
    pub name: &'a str,
    pub digest: &'a str,
    pub since: Since,
}

/// What became of a part since the earlier fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    Unchanged,
    Changed,
    New,
    Gone,
}

impl Since {
    pub fn word(self) -> &'static str {
        match self {
            Since::Unchanged => "unchanged",
            Since::Changed => "changed",
            Since::New => "new",
            Since::Gone => "gone",
        }
    }
}

/// All parts of `now`, and then those that are only in `earlier`. Its time is linear in their number.
pub fn compare<'a>(now: &'a Fingerprint, earlier: &'a Fingerprint) -> Vec<Input<'a>> {
    let mut out = Vec::with_capacity(now.len());
    // Nearly always both begin with the same parts: what follows is searched by name.
    let (mut ours, mut theirs) = (now.parts(), earlier.parts());
    let (ours, theirs) = loop {
        let both = (ours.clone(), theirs.clone());
        match (ours.next(), theirs.next()) {
            (Some(one), Some(other)) if one == other => {
                out.push(Input { name: one.0, digest: one.1, since: Since::Unchanged });
            }
            _ => break both,
        }
    };
    let (now, earlier) = (Fingerprint::named(ours.clone()), Fingerprint::named(theirs.clone()));
    out.extend(ours.map(|(name, digest)| {
        let since = match earlier.get(name) {
            None => Since::New,
            Some(old) if *old != digest => Since::Changed,
            Some(_) => Since::Unchanged,
        };
        Input { name, digest, since }
    }));
    let gone = theirs.filter(|(name, _)| !now.contains_key(name));
    out.extend(gone.map(|(name, digest)| Input { name, digest, since: Since::Gone }));
    out
}

/// A line for each part: the first twelve digits of its digest, the word, and the name.
pub fn lines<'a>(parts: impl Iterator<Item = (&'a str, &'a str, &'a str)>) -> String {
    let mut out = String::new();
    for (name, digest, word) in parts {
        let end = digest.char_indices().nth(12).map_or(digest.len(), |(at, _)| at);
        for (text, width) in [(&digest[..end], 12), (word, 9)] {
            out.push_str("  ");
            out.push_str(text);
            out.extend(std::iter::repeat_n(' ', width - text.chars().count().min(width)));
        }
        out.push_str("  ");
        out.push_str(name);
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_says_what_became_of_it() {
        let of = |parts: &[(&str, &str)]| parts.iter().copied().collect::<Fingerprint>();
        let last = of(&[("first", "0"), ("same", "1"), ("other", "2"), ("lost", "3"), ("moved", "5")]);
        let now = of(&[("first", "0"), ("moved", "5"), ("same", "1"), ("other", "4"), ("fresh", "012345678901234")]);
        let compared = compare(&now, &last);
        let words: Vec<(&str, &str)> = compared.iter().map(|it| (it.name, it.since.word())).collect();
        let expected = [("first", "unchanged"), ("moved", "unchanged"), ("same", "unchanged"), ("other", "changed"), ("fresh", "new")];
        assert_eq!(words, [&expected[..], &[("lost", "gone")]].concat());
        assert!(compare(&now, &now).iter().all(|it| it.since == Since::Unchanged));
        let shown = lines(compared[3..5].iter().map(|it| (it.name, it.digest, it.since.word())));
        assert_eq!(shown, "  4             changed    other\n  012345678901  new        fresh\n");
        assert_eq!(lines([("a", "ü", "")].into_iter()), "  ü                        a\n");
    }
}
