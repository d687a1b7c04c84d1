//! The certificate of the Ingress controller: a Secret with a certificate of this machine's authority, renewed while it is still valid.

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    authority::{Authority, RENEWED},
    cluster::{
        Cluster, ObjectId, Verdict,
        survey::{Seen, State},
    },
    deploy::{
        objects::{INPUTS, INSTANCE},
        plain::controller,
        secrets,
    },
    env::Env,
    fingerprint::Fingerprint,
    graph::TaskId,
};

/// The annotation of the Secret: every object of a user's manifests has the instance's label too.
const OWN: &str = "dev.pocdeploy/certificate";

/// Days that are left when `validate` is not green any more: by then `create` or `update` should have renewed it.
const LEAST: i64 = 14;

/// The Secret, if the configuration asks for a certificate.
pub(super) fn id(env: &Env) -> Option<ObjectId> {
    env.config.has_tls().then(|| ObjectId::new("v1", "Secret", &env.config.namespace, controller::CERTIFICATE))
}

/// The state of the Secret. Creates nothing.
pub(super) fn look(env: &Env, cluster: &Cluster) -> Result<Option<Seen>> {
    let Some(id) = id(env) else { return Ok(None) };
    let state = match state(env, cluster, &id, LEAST)? {
        None => State::Missing,
        Some(Some(why)) => State::NotReady(Verdict::NotYet(why)),
        Some(None) => State::Well,
    };
    Ok(Some(Seen { id, state }))
}

/// Why the next `create` has to renew the certificate.
pub(super) fn stale(env: &Env, cluster: &Cluster) -> Result<Option<String>> {
    let Some(id) = id(env) else { return Ok(None) };
    Ok(match state(env, cluster, &id, RENEWED)? {
        None => Some(format!("{id} does not exist")),
        Some(why) => why.map(|why| format!("{id}: {why}")),
    })
}

/// Makes the certificate, or renews it.
pub(super) fn provide(env: &Env, cluster: &Cluster, task: TaskId) -> Result<()> {
    let Some(id) = id(env) else { return Ok(()) };
    let authority = Authority::ensure(env, task)?;
    if stale(env, cluster)?.is_none() {
        return Ok(());
    }
    let issued = authority.issue(controller::hosts(&env.config))?;
    let entries = [("tls.crt", issued.certificate.as_str()), ("tls.key", issued.key.expose())];
    let mut secret = secrets::object(&id.namespace, &id.name, "kubernetes.io/tls", &env.instance, &entries)?;
    secret["metadata"]["annotations"] = json!({ INPUTS: inputs(env, &authority), OWN: "true" });
    cluster.apply(&secret)
}

/// Removes a certificate that nothing uses any more.
pub(super) fn clear(env: &Env, cluster: &Cluster) -> Result<()> {
    let id = ObjectId::new("v1", "Secret", &env.config.namespace, controller::CERTIFICATE);
    let is_ours = |it: Value| it["metadata"]["labels"][INSTANCE] == env.instance.as_str() && it["metadata"]["annotations"][OWN] == "true";
    if !env.config.has_tls() && cluster.get(&id)?.is_some_and(is_ours) {
        cluster.delete(&id)?;
    }
    Ok(())
}

/// What the certificate was made from: another authority or other hosts need another one.
fn inputs(env: &Env, authority: &Authority) -> String {
    let mut out = Fingerprint::new();
    out.add("authority", authority.certificate());
    out.add("hosts", format!("{:?}", controller::hosts(&env.config)));
    out.short()
}

/// `None` if the Secret does not exist; else why its certificate is not good for at least `days`.
fn state(env: &Env, cluster: &Cluster, id: &ObjectId, days: i64) -> Result<Option<Option<String>>> {
    let Some(found) = cluster.get(id)? else { return Ok(None) };
    let Some(authority) = Authority::read(env)? else {
        return Ok(Some(Some("the authority that signed its certificate is not in the user's cache any more".to_owned())));
    };
    if found["metadata"]["annotations"][INPUTS] != inputs(env, &authority).as_str() {
        return Ok(Some(Some("its certificate is of another authority, or for other hosts".to_owned())));
    }
    let certificates = cluster.certificates_of(&id.namespace, &id.name, "tls.crt")?;
    let left = certificates.iter().map(|it| it.days()).min();
    Ok(Some(match left {
        None => Some("it holds no certificate".to_owned()),
        Some(left) if left < days => Some(format!("its certificate ends in {left} days")),
        Some(_) => None,
    }))
}
