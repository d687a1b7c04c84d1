//! A published image, the only type that manifests accept.

use std::fmt;

/// The reference of an image for pods, which a provider's `publish` returned or predicts. It may differ from the engine's name: a
/// registry's name with a digest.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct PublishedImage(String);

impl PublishedImage {
    /// For providers only, which know their clusters' names of images.
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
