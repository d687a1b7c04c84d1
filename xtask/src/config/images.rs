//! `[images]`: where upstream's images come from.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::Deserialize;

/// The source of upstream's images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Their registries if these answer, else built from package registries.
    #[default]
    Auto,
    /// Their registries only.
    Registry,
    /// Built with the recipes in build/images.
    Packages,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Source::Auto => "auto",
            Source::Registry => "registry",
            Source::Packages => "packages",
        })
    }
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct Images {
    pub source: Source,
    /// References that replace the built-in ones.
    pub node: Option<String>,
    pub operator: Option<String>,
    pub postgresql: Option<String>,
    pub python: Option<String>,
    pub valkey: Option<String>,
    pub mailpit: Option<String>,
    pub traefik: Option<String>,
    /// Registry host -> its mirror, `http://host:port` or `https://host/path`.
    pub mirrors: BTreeMap<String, String>,
}
