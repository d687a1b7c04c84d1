//! The name of a further service: a key of `[services]`.

use std::fmt;

/// The maximum length in bytes. It is part of names and labels, which have at most 63 characters.
const LONGEST: usize = 30;

/// The name of the first service, where a name is necessary.
pub const FIRST: &str = "frontend";

/// A service's name in messages, names of objects and folders; nothing is the first service.
pub fn name_of(service: Option<ServiceName>) -> String {
    service.map_or_else(|| FIRST.to_owned(), |it| it.to_string())
}

/// A service's table in the configuration: `frontend`, `services.worker`.
pub fn table_of(service: Option<ServiceName>) -> String {
    service.map_or_else(|| FIRST.to_owned(), |it| format!("services.{it}"))
}

/// A DNS label of at most [`LONGEST`] bytes. It is `Copy`, since every event of a run contains one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceName {
    /// ASCII, padded with zeros.
    bytes: [u8; LONGEST],
}

impl ServiceName {
    /// The name, if the text is valid: lower-case letters, digits and hyphens, starting with a letter, not ending with a hyphen.
    pub fn new(text: &str) -> Option<ServiceName> {
        let is_good = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-';
        let good = text.len() <= LONGEST
            && text.bytes().all(is_good)
            && text.bytes().next().is_some_and(|it| it.is_ascii_lowercase())
            && !text.ends_with('-');
        let mut bytes = [0; LONGEST];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        good.then_some(ServiceName { bytes })
    }

    pub fn as_str(&self) -> &str {
        let end = self.bytes.iter().position(|it| *it == 0).unwrap_or(LONGEST);
        // Always ASCII.
        std::str::from_utf8(&self.bytes[..end]).unwrap_or_default()
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_dns_label_that_leaves_room_for_more() {
        for good in ["worker", "a", "api-2", "abcdefghijklmnopqrstuvwxyz1234"] {
            assert_eq!(ServiceName::new(good).map(|it| it.to_string()).as_deref(), Some(good));
        }
        for bad in ["", "Worker", "2nd", "-a", "a-", "a_b", "a.b", "a/b", "\u{e4}", "abcdefghijklmnopqrstuvwxyz12345"] {
            assert_eq!(ServiceName::new(bad), None, "{bad}");
        }
    }
}
