//! The programs that the tool brings for a service: `kind = "valkey"`.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::{Config, INGRESS, ServiceName};

/// A program of upstream's that a service runs, instead of an image of the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A cache and queue with Redis' protocol.
    Valkey,
    /// Catches all mail of the application, and shows it on a page.
    Mailpit,
    /// The Ingress controller of `[ingress]`, which no service names.
    #[serde(skip)]
    Traefik,
}

impl Kind {
    /// Those that a service may name.
    pub const ALL: [Kind; 2] = [Kind::Valkey, Kind::Mailpit];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Valkey => "valkey",
            Kind::Mailpit => "mailpit",
            Kind::Traefik => "traefik",
        }
    }

    /// The name of a service whose address the application gets under the usual names where several services have this kind.
    pub fn usual_service(self) -> &'static str {
        match self {
            Kind::Valkey => "cache",
            Kind::Mailpit => "mail",
            Kind::Traefik => INGRESS,
        }
    }

    /// The keys and tables of `[services.NAME]` that say something to it, beside `kind`.
    pub(super) fn takes(self, key: &str) -> bool {
        match key {
            "kind" | "memory" | "volumes" => true,
            "env" => self == Kind::Mailpit,
            _ => false,
        }
    }

    /// Why the kind has no use for a key, and what to do instead.
    pub(super) fn has_no(self, key: &str) -> String {
        let why = match key {
            "port" => format!("{self} has ports of its own"),
            "replicas" => format!("{self} runs in one pod, which has all its data"),
            "env" | "secrets" => format!("{self} reads no variables of this table"),
            "migrate" | "schedule" | "command" | "health" => format!("the tool knows how {self} is started and probed"),
            "secret_key" => format!("{self} has no key"),
            "host" | "route" | "page" | "text" => format!("no Ingress leads to {self}; `forward` does"),
            "writable" => format!("{self} keeps data only in [….volumes.NAME]"),
            _ => format!("the tool brings the image of {self}"),
        };
        format!("means nothing here: {why}")
    }
}

impl Config {
    /// The services of a kind, sorted by name.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = ServiceName> {
        self.all_services().filter(move |(_, it)| it.kind == Some(kind)).filter_map(|(name, _)| name)
    }

    /// The first service of each kind, which brings the kind's image.
    pub fn brought(&self) -> impl Iterator<Item = ServiceName> {
        Kind::ALL.into_iter().chain([Kind::Traefik]).filter_map(|it| self.of_kind(it).next())
    }

    /// The service of a kind whose address the application gets under the usual names: the only one, or the one with the usual name.
    pub fn usual(&self, kind: Kind) -> Option<ServiceName> {
        let mut all = self.of_kind(kind);
        match (all.next(), all.next()) {
            (Some(one), None) => Some(one),
            _ => self.of_kind(kind).find(|it| it.as_str() == kind.usual_service()),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Kind, String> {
        let all = || Kind::ALL.map(Kind::name).join(", ");
        Kind::ALL.into_iter().find(|it| it.name() == text).ok_or_else(|| format!("is none of {}", all()))
    }
}
