//! What is known of an instance's cluster in a cloud: a file beside OpenTofu's state, written before anything is created.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::{config::ClusterType, env::Env, fingerprint::Fingerprint, layout::WORK, record};

/// Who pays, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::provider) struct Account {
    /// The one who is logged in: an ARN, or an e-mail address.
    pub(in crate::provider) who: String,
    /// The account, the subscription's ID, or the project.
    pub(in crate::provider) account: String,
    /// The region, the location, or the zone.
    pub(in crate::provider) region: String,
}

/// A cluster that was created, or whose creation has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::provider) struct Known {
    /// `eks`, `aks`, `gke`.
    pub(in crate::provider) kind: String,
    pub(in crate::provider) name: String,
    pub(in crate::provider) account: Account,
    /// Seconds since 1970.
    pub(in crate::provider) created: i64,
    /// Seconds since 1970.
    pub(in crate::provider) expires: i64,
    /// The inputs of its last creation or change.
    #[serde(default)]
    pub(in crate::provider) inputs: Option<Fingerprint>,
    /// Whether the cluster was finished once.
    pub(in crate::provider) finished: bool,
}

/// The folder with the state, relative to the work folder.
pub(super) const FOLDER: &str = "cloud";

const DAY: i64 = 24 * 60 * 60;

fn file(env: &Env) -> PathBuf {
    env.work(FOLDER).join("cluster.json")
}

impl Known {
    /// A new one, which begins now: or with the plan of the last day, so that the tags are those of the plan.
    pub(super) fn begin(env: &Env, account: Account) -> Result<Known> {
        let file = env.work(FOLDER).join("draft.json");
        let created = now();
        let is_new = |it: &Known| {
            it.kind == env.config.cluster.kind.name()
                && it.account == account
                && it.expires - it.created == i64::from(env.config.cluster.expires_days) * DAY
                && (0..DAY).contains(&(created - it.created))
        };
        if let Some(draft) = Known::read_file(&file).filter(is_new) {
            return Ok(draft);
        }
        let begun = Known {
            kind: env.config.cluster.kind.name().to_owned(),
            name: env.instance.clone(),
            account,
            created,
            expires: created + i64::from(env.config.cluster.expires_days) * DAY,
            inputs: None,
            finished: false,
        };
        private_folder(&env.work(FOLDER))?;
        record::write_json(&file, &begun)?;
        Ok(begun)
    }

    /// The one of this instance; `None` if nothing was created from this folder.
    pub(super) fn read(env: &Env) -> Option<Known> {
        Known::read_file(&file(env))
    }

    pub(super) fn read_file(path: &Path) -> Option<Known> {
        record::read_json(path)
    }

    pub(super) fn write(&self, env: &Env) -> Result<()> {
        private_folder(&env.work(FOLDER))?;
        record::write_json(&file(env), self)
    }

    /// How long it has existed.
    pub(super) fn age(&self) -> Duration {
        Duration::from_secs(u64::try_from(now() - self.created).unwrap_or_default())
    }

    pub(super) fn is_expired(&self) -> bool {
        now() >= self.expires
    }

    /// `2026-12-01`.
    pub(super) fn expires_on(&self) -> String {
        date(self.expires)
    }

    pub(super) fn is_of(&self, kind: ClusterType) -> bool {
        self.kind == kind.name()
    }
}

/// A folder that only its owner can enter.
pub(super) fn private_folder(folder: &Path) -> Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    Ok(std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?)
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// The day of a time in UTC.
pub(super) fn date(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map(|it| it.strftime("%Y-%m-%d").to_string()).unwrap_or_default()
}

/// Those of every instance of the project, by name, and whether each has a folder of its own.
pub(super) fn all(env: &Env) -> Vec<(Known, bool)> {
    let top = env.path(WORK);
    let named = std::fs::read_dir(top.join("instances")).into_iter().flatten().flatten().map(|it| (it.path(), true));
    let read = |(folder, is_named): (PathBuf, bool)| Some((Known::read_file(&folder.join(FOLDER).join("cluster.json"))?, is_named));
    let mut out: Vec<(Known, bool)> = named.chain([(top, false)]).filter_map(read).collect();
    out.sort_by(|(one, _), (other, _)| one.name.cmp(&other.name));
    out
}
