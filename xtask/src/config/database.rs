//! `[database]`: PostgreSQL, and what it survives.

use std::{fmt, ops::RangeInclusive};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::Secret;

/// What the database survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// `instances` as given, without synchronous replication: what was acknowledged survives a crash of the primary, which starts again. If
    /// a replica takes over, the last transactions may be missing there.
    #[default]
    Fast,
    /// At least three instances. PostgreSQL acknowledges a transaction once a replica has it too, and a replica becomes the primary only if
    /// it certainly has all of them.
    Durable,
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Profile::Fast => "fast",
            Profile::Durable => "durable",
        })
    }
}

impl std::str::FromStr for Profile {
    type Err = String;

    fn from_str(text: &str) -> Result<Profile, String> {
        match text {
            "fast" => Ok(Profile::Fast),
            "durable" => Ok(Profile::Durable),
            _ => Err("is none of fast, durable".to_owned()),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct Database {
    pub name: String,
    pub user: String,
    /// Not set: the operator generates a password, which is stored only in the cluster. `POCDEPLOY_DATABASE_PASSWORD` overrides it.
    pub password: Option<Secret>,
    /// `fast`, or `durable`: three instances, and a transaction is acknowledged once a replica has it too, so that none is lost if the
    /// primary is.
    pub profile: Profile,
    /// PostgreSQL instances: one primary; the others are replicas. `durable` has at least three.
    #[schemars(range(min = 1, max = 9))]
    pub instances: u16,
    /// PostgreSQL's major version: 16, 17 or 18. Not set: 17. 16 needs a registry or an image of your own.
    #[schemars(range(min = 16, max = 18))]
    pub version: Option<u16>,
    /// Extensions that exist in the database before the application's migration: `pg_trgm`, `vector` (pgvector), `postgis`. One that is
    /// removed from the list stays in the database.
    pub extensions: Vec<String>,
    pub backup: Backup,
    /// The size of each instance's volume, as a Kubernetes quantity.
    pub storage: String,
    /// Whether the database rejects connections without TLS. False is for programs that cannot use it.
    pub require_tls: bool,
}

/// `[database.backup]`: where `db backup` writes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct Backup {
    /// A folder, or `s3://BUCKET/PREFIX` for an S3-compatible store, which the AWS CLI reaches with its own settings.
    pub to: Option<String>,
    /// The number of this instance's backups that stay; older ones are deleted.
    #[schemars(range(min = 1, max = 1000))]
    pub keep: u16,
}

impl Default for Backup {
    fn default() -> Backup {
        Backup { to: None, keep: 7 }
    }
}

impl Default for Database {
    fn default() -> Database {
        Database {
            name: "polls".to_owned(),
            user: "polls".to_owned(),
            password: None,
            profile: Profile::Fast,
            instances: 1,
            version: None,
            extensions: Vec::new(),
            backup: Backup::default(),
            storage: "1Gi".to_owned(),
            require_tls: true,
        }
    }
}

impl Database {
    /// The fewest instances of `durable`: with one replica away, another one still acknowledges.
    pub const DURABLE: u16 = 3;
    /// The major versions that CloudNativePG 1.30 publishes images of, and that this tool deploys.
    pub const VERSIONS: RangeInclusive<u16> = 16..=18;

    /// The number of PostgreSQL instances.
    pub fn all_instances(&self) -> u16 {
        match self.profile {
            Profile::Fast => self.instances,
            Profile::Durable => self.instances.max(Database::DURABLE),
        }
    }
}
