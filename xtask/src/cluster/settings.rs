//! Settings in the database's files that PostgreSQL rejects. A running PostgreSQL keeps the old values; it does not start again with the
//! new ones.

use std::fmt;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::Value;

use crate::cluster::{Cluster, Verdict};

/// `pg_file_settings` and `pg_hba_file_rules` read the current files. The first reports the same error for a wrong value and for a correct
/// one that needs a restart; `pending_restart` distinguishes them. After an unknown name it reports no other error.
const STATEMENT: &str = "SELECT coalesce(json_agg(w), '[]') FROM (\
    SELECT f.name, f.setting, f.error, coalesce(s.pending_restart, false) AS restart FROM pg_file_settings f \
    LEFT JOIN pg_settings s ON s.name = lower(f.name) WHERE f.error IS NOT NULL UNION ALL \
    SELECT 'pg_hba line ' || line_number, NULL, error, false FROM pg_hba_file_rules WHERE error IS NOT NULL) w";

/// A setting that is not in effect.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Refused {
    /// `work_mem`, `pg_hba line 19`.
    name: Option<String>,
    setting: Option<String>,
    error: String,
    restart: bool,
}

impl Refused {
    /// Whether a restart of PostgreSQL applies it; otherwise its value is wrong.
    pub fn waits_for_restart(&self) -> bool {
        self.restart
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name.as_deref().unwrap_or("a line of the configuration"))?;
        if let Some(setting) = &self.setting {
            write!(f, " = {setting}")?;
        }
        if self.restart { f.write_str(" waits for a restart of PostgreSQL") } else { write!(f, " is not in effect: {}", self.error) }
    }
}

impl Cluster {
    /// The settings that the instance in the pod rejects, in the order of its files.
    pub fn refused_settings(&self, namespace: &str, pod: &str) -> Result<Vec<Refused>> {
        let answer = self.exec(namespace, pod, "postgres", &["psql", "-tAc", STATEMENT])?;
        serde_json::from_str(&answer).with_context(|| format!("pod {pod} answers {answer:?}"))
    }
}

/// All of them in one sentence; `None` if all settings are in effect.
pub fn sentence(refused: &[Refused]) -> Option<String> {
    let mut said = refused.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    if refused.is_empty() {
        return None;
    }
    if refused.iter().any(|it| !it.restart) {
        said.push_str("; PostgreSQL would not start again with it");
    }
    Some(said)
}

/// Whether the instance runs with the settings in the `Cluster`. Its files follow the `Cluster` after some seconds: a wrong value that the
/// `Cluster` no longer has will disappear; one that it has will stay.
pub fn judge(refused: &[Refused], database: &Value) -> Verdict {
    let Some(why) = sentence(refused) else { return Verdict::Yes };
    let parameters = database.pointer("/spec/postgresql/parameters");
    let is_wanted = |it: &&Refused| {
        let wanted = it.name.as_ref().and_then(|name| parameters?.get(name)?.as_str());
        !it.restart && wanted.is_some() && wanted == it.setting.as_deref()
    };
    if refused.iter().any(|it| is_wanted(&it)) { Verdict::Never(why) } else { Verdict::NotYet(why) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Vec<Refused> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_wrong_value_is_told_from_one_that_waits_for_a_restart() {
        let database = json!({ "spec": { "postgresql": { "parameters": { "work_mem": "banana", "max_connections": "200" } } } });
        let wrong = read(r#"[{"name":"work_mem","setting":"banana","error":"setting could not be applied","restart":false}]"#);
        let said = "work_mem = banana is not in effect: setting could not be applied; PostgreSQL would not start again with it";
        assert_eq!(judge(&wrong, &database), Verdict::Never(said.to_owned()));
        let later = read(r#"[{"name":"max_connections","setting":"200","error":"setting could not be applied","restart":true}]"#);
        assert_eq!(judge(&later, &database), Verdict::NotYet("max_connections = 200 waits for a restart of PostgreSQL".to_owned()));
        assert_eq!(judge(&[], &database), Verdict::Yes);
    }

    #[test]
    fn a_value_that_was_corrected_and_a_line_of_pg_hba_are_waited_for() {
        let corrected = json!({ "spec": { "postgresql": { "parameters": { "work_mem": "8MB" } } } });
        let wrong = read(r#"[{"name":"work_mem","setting":"banana","error":"setting could not be applied","restart":false}]"#);
        assert!(matches!(judge(&wrong, &corrected), Verdict::NotYet(_)));
        let line = read(r#"[{"name":"pg_hba line 19","setting":null,"error":"invalid IP address \"notanip\"","restart":false}]"#);
        assert!(
            matches!(judge(&line, &corrected), Verdict::NotYet(why) if why.starts_with("pg_hba line 19 is not in effect: invalid IP address"))
        );
    }
}
