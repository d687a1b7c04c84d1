//! Operator, secrets and database: each waited for by what it must really do.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{
    cluster::{Cluster, ObjectId, Verdict, Wait, verdict},
    deploy::{operator, secrets},
    env::Env,
    tasks::deploy::{APP_SECRET, ID, PAGE_LIMIT, database_secret, wanted::Wanted, with_evidence},
};

/// Generous for two busy cores; on a quiet machine each takes seconds.
const OPERATOR_LIMIT: Duration = Duration::from_secs(240);
const DATABASE_LIMIT: Duration = Duration::from_secs(420);

pub(super) fn bring_up(env: &Env, cluster: &Cluster, wanted: &Wanted) -> Result<()> {
    env.progress(ID, "installing the operator");
    for object in wanted.operator.iter().chain([&wanted.namespace]) {
        apply_when_known(env, cluster, object)?;
    }
    provide_secrets(env, cluster, wanted)?;
    for object in &wanted.base {
        cluster.apply(object)?;
    }
    // The operator is there when it would take our own database, not when its pod says so.
    let wait = Wait::new(env, "the operator to take the database", OPERATOR_LIMIT);
    let ready = cluster.wait_for(env, ID, &wait, || Ok(acceptance(cluster.preview(&wanted.database).map(|_| ()))));
    with_evidence(ready, cluster, operator::NAMESPACE, "")?;
    cluster.apply(&wanted.database)?;
    let id = ObjectId::of(&wanted.database)?;
    let wait = Wait::new(env, "the database", DATABASE_LIMIT);
    let ready = cluster.wait_for_object(env, ID, &wait, &id, verdict::database);
    with_evidence(ready, cluster, &id.namespace, "")?;
    let wait = Wait::new(env, "an answer of the database", PAGE_LIMIT);
    cluster.wait_for(env, ID, &wait, || ask_database(env, cluster, &id))
}

/// Definitions need a moment until the API server serves their kinds.
fn apply_when_known(env: &Env, cluster: &Cluster, object: &Value) -> Result<()> {
    let id = ObjectId::of(object)?;
    let what = id.to_string();
    let wait = Wait::new(env, &what, Duration::from_secs(60));
    cluster.wait_for(env, ID, &wait, || Ok(acceptance(cluster.apply(object))))
}

/// Whether an apply that failed may work later: the webhook or the kind's definition is not there yet.
fn acceptance(result: Result<()>) -> Verdict {
    let Err(error) = result else { return Verdict::Yes };
    let text = format!("{error:#}");
    let later = [
        "failed calling webhook",
        "could not find the requested resource",
        "page not found",
        "connect",
        "not found",
        "timed out",
        "unavailable",
    ];
    if text.contains("denied the request") || !later.iter().any(|it| text.to_lowercase().contains(it)) {
        Verdict::Never(text)
    } else {
        Verdict::NotYet(text)
    }
}

/// Given ones are applied; a generated one is made once and kept only in the cluster.
fn provide_secrets(env: &Env, cluster: &Cluster, wanted: &Wanted) -> Result<()> {
    for secret in given_secrets(env, wanted)? {
        cluster.apply(&secret)?;
    }
    let namespace = &env.config.app.namespace;
    let id = ObjectId::new("v1", "Secret", namespace, APP_SECRET);
    if env.config.app.secret_key.is_none() && cluster.get(&id)?.is_none() {
        let key = secrets::generate()?;
        cluster.apply(&secrets::object(namespace, APP_SECRET, "Opaque", &env.instance, &[("secret-key", key.expose())])?)?;
    }
    Ok(())
}

/// The Secrets whose values the user gave.
pub(super) fn given_secrets(env: &Env, wanted: &Wanted) -> Result<Vec<Value>> {
    let namespace = &env.config.app.namespace;
    let mut out = Vec::new();
    if let Some(key) = &env.config.app.secret_key {
        out.push(secrets::object(namespace, APP_SECRET, "Opaque", &env.instance, &[("secret-key", key.expose())])?);
    }
    let database = &env.config.database;
    if let Some(password) = &database.password {
        let host = format!("{}-rw", wanted.database["metadata"]["name"].as_str().unwrap_or_default());
        let entries = [
            ("username", database.user.as_str()),
            ("password", password.expose()),
            ("dbname", database.name.as_str()),
            ("host", host.as_str()),
            ("port", "5432"),
        ];
        out.push(secrets::object(namespace, &database_secret(&wanted.database), "kubernetes.io/basic-auth", &env.instance, &entries)?);
    }
    Ok(out)
}

/// A statement through the primary itself: `Ready` is the operator's word, this is the database's.
fn ask_database(env: &Env, cluster: &Cluster, id: &ObjectId) -> Result<Verdict> {
    let object = cluster.get(id)?.with_context(|| format!("{id} is gone"))?;
    let Some(primary) = object.pointer("/status/currentPrimary").and_then(Value::as_str) else {
        return Ok(Verdict::NotYet("there is no primary yet".to_owned()));
    };
    let answer = cluster.exec(&id.namespace, primary, "postgres", &["psql", "-d", &env.config.database.name, "-tAc", "SELECT 40 + 2"])?;
    Ok(if answer.trim() == "42" { Verdict::Yes } else { Verdict::NotYet(format!("it answers {answer:?}")) })
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn only_what_may_come_is_waited_for() {
        let verdict = |text: &str| acceptance(Err(anyhow!("{text}")));
        assert!(matches!(verdict("Internal error occurred: failed calling webhook \"x\": connection refused"), Verdict::NotYet(_)));
        assert!(matches!(verdict("the server could not find the requested resource"), Verdict::NotYet(_)));
        assert!(matches!(verdict("admission webhook \"x\" denied the request: not found in list"), Verdict::Never(_)));
        assert!(matches!(verdict("Cluster is invalid: spec.instances: must be at least 1"), Verdict::Never(_)));
        assert_eq!(acceptance(Ok(())), Verdict::Yes);
    }
}
