//! An image as pods name it: the only thing that manifests take.

use std::fmt;

/// The reference under which pods find an image, as a provider's `publish` returned it or foresees it. It may be another name than the
/// engine's: that of a registry, with a digest.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct PublishedImage(String);

impl PublishedImage {
    /// For providers, which know what their clusters call an image.
    pub fn new(reference: impl Into<String>) -> PublishedImage {
        PublishedImage(reference.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PublishedImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
