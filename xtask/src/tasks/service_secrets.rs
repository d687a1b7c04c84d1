//! The Secrets of each service: that with its secret key, and that with the values of its `[….secrets]`, where given ones come from their
//! sources, and generated ones from the cluster.

use std::{cell::OnceCell, collections::BTreeMap};

use anyhow::Result;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use crate::{
    cluster::{Cluster, ObjectId},
    config::{EVERY, Secret, SecretOrigin, ServiceName},
    deploy::{objects, secrets},
    env::Env,
    secrets::{Given, read},
    tasks::deploy::{Revision, revisions},
};

/// Where the values come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValuesFrom {
    /// Their sources, for a run that applies them, and for its plan.
    Sources,
    /// The cluster, for commands that compare or look: they need no key, program or variable.
    Cluster,
}

/// The Secrets, signed like other objects of a revision.
pub(super) fn objects(env: &Env, from: ValuesFrom) -> Result<Vec<Value>> {
    let given = if from == ValuesFrom::Sources { read(env)? } else { Given::default() };
    let present = Present::new(env);
    let mut out = Vec::new();
    for (service, config) in env.config.all_services().filter(|(_, it)| !it.secrets.is_empty()) {
        let mut values: BTreeMap<String, String> = given.of(service).map(|(name, it)| (name.clone(), it.expose().to_owned())).collect();
        for (name, source) in &config.secrets {
            match source.origin(name) {
                Some(SecretOrigin::Generated(length)) => {
                    values.insert(name.clone(), present.generated(service, name, length, from)?);
                }
                _ if from == ValuesFrom::Sources => {}
                _ if name == EVERY => values.extend(present.all(service)?),
                _ => {
                    values.insert(name.clone(), present.all(service)?.remove(name).unwrap_or_default());
                }
            }
        }
        env.withhold(values.values().cloned());
        let entries: Vec<(&str, &str)> = values.iter().map(|(name, it)| (name.as_str(), it.as_str())).collect();
        let name = secrets::variables_name(service);
        let mut object = secrets::object(&env.config.namespace, &name, "Opaque", &env.instance, &entries)?;
        objects::sign(&mut object);
        out.push(object);
    }
    Ok(out)
}

/// The Secrets with the services' secret keys, by name, each with the user's key if it is set. A service that runs another's image shares
/// its Secret, unless its own key is set.
pub(super) fn key_secrets(env: &Env) -> Vec<(String, Option<&Secret>)> {
    let has_one = env.config.all_services().filter(|(_, it)| it.kind.is_none() && (it.uses.is_none() || it.secret_key.is_some()));
    has_one.map(|(name, it)| (secrets::key_name(name), it.secret_key.as_ref())).collect()
}

/// Such a Secret as an object.
pub(super) fn key_secret(env: &Env, name: &str, key: &Secret) -> Result<Value> {
    secrets::object(&env.config.namespace, name, "Opaque", &env.instance, &[("secret-key", key.expose())])
}

/// The values in the cluster, read at most once.
struct Present<'a> {
    env: &'a Env,
    revisions: OnceCell<Vec<Revision>>,
}

impl Present<'_> {
    fn new(env: &Env) -> Present<'_> {
        Present { env, revisions: OnceCell::new() }
    }

    /// The value of this length that the cluster has, or that the newest revision with one had: a rollback past the variable, or a deleted
    /// Secret, does not change it. Another length in the configuration makes a new value.
    fn generated(&self, service: Option<ServiceName>, name: &str, length: usize, from: ValuesFrom) -> Result<String> {
        let mut now = self.all(service)?;
        if let Some(value) = now.remove(name)
            && (value.len() == length || from == ValuesFrom::Cluster)
        {
            return Ok(value);
        }
        if from == ValuesFrom::Cluster {
            return Ok(String::new());
        }
        let secret = self.id(service);
        let earlier = self.revisions()?.iter().rev().flat_map(|it| &it.objects).filter(|it| ObjectId::of(it).is_ok_and(|it| it == secret));
        match earlier.filter_map(|it| decoded(it).remove(name)).find(|it| it.len() == length) {
            Some(value) => Ok(value),
            None => Ok(secrets::generate(length)?.expose().to_owned()),
        }
    }

    fn id(&self, service: Option<ServiceName>) -> ObjectId {
        ObjectId::new("v1", "Secret", &self.env.config.namespace, &secrets::variables_name(service))
    }

    /// All values of a service's Secret; none before there is a cluster.
    fn all(&self, service: Option<ServiceName>) -> Result<BTreeMap<String, String>> {
        if !self.env.kubeconfig().exists() {
            return Ok(BTreeMap::new());
        }
        let cluster = Cluster::open(self.env, &self.env.kubeconfig())?;
        Ok(cluster.get(&self.id(service))?.map(|it| decoded(&it)).unwrap_or_default())
    }

    fn revisions(&self) -> Result<&[Revision]> {
        if self.revisions.get().is_none() {
            let read = if self.env.kubeconfig().exists() { revisions(self.env)? } else { Vec::new() };
            self.revisions.set(read).ok();
        }
        Ok(self.revisions.get().map_or(&[], Vec::as_slice))
    }
}

fn decoded(secret: &Value) -> BTreeMap<String, String> {
    let text = |it: &Value| String::from_utf8(STANDARD.decode(it.as_str()?).ok()?).ok();
    let data = secret["data"].as_object();
    data.into_iter().flatten().filter_map(|(name, it)| Some((name.clone(), text(it)?))).collect()
}
