//! Secrets as objects, with given and generated values, which are sent to the API server only.

use std::{fs::File, io::Read as _};

use anyhow::{Context as _, Result};
use k8s_openapi::ByteString;
use serde_json::{Value, json};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{
    config::{Database, Secret, ServiceName, name_of},
    deploy::objects::INSTANCE,
};

/// The Secret with the first service's secret key, under the key `secret-key`.
pub const APP_SECRET: &str = "frontend-app";

/// The Secret with a service's secret key, under the key `secret-key`; nothing is the first service.
pub fn key_name(service: Option<ServiceName>) -> String {
    format!("{}-app", name_of(service))
}

/// The Secret with the values of a service's `[….secrets]`, by the names of their variables.
pub fn variables_name(service: Option<ServiceName>) -> String {
    format!("{}-secrets", name_of(service))
}

/// The URI of the database, as CloudNativePG writes one for a password that it generates: `postgresql://user:password@host:5432/name`.
pub fn database_uri(database: &Database, password: &Secret, host: &str) -> String {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    format!("postgresql://{}:{}@{host}:5432/{}", encoded(&database.user), encoded(password.expose()), encoded(&database.name))
}

/// A Secret with the given entries.
pub fn object(namespace: &str, name: &str, kind: &str, instance: &str, entries: &[(&str, &str)]) -> Result<Value> {
    let mut data = serde_json::Map::new();
    for (key, value) in entries {
        data.insert((*key).to_owned(), serde_json::to_value(ByteString(value.as_bytes().to_vec()))?);
    }
    Ok(json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "type": kind,
        "metadata": { "name": name, "namespace": namespace, "labels": { INSTANCE: instance, "app.kubernetes.io/managed-by": "pocdeploy" } },
        "data": data,
    }))
}

/// The name of the Secret with which nodes pull images from a private registry.
pub const PULL_SECRET: &str = "pocdeploy-registry";

/// This Secret in a namespace, if there are credentials.
pub fn pull_secret(namespace: &str, instance: &str, credentials: Option<&Secret>) -> Result<Option<Value>> {
    let Some(credentials) = credentials else { return Ok(None) };
    let entries = [(".dockerconfigjson", credentials.expose())];
    object(namespace, PULL_SECRET, "kubernetes.io/dockerconfigjson", instance, &entries).map(Some)
}

/// The length of a secret key: 384 bits.
pub const KEY_LENGTH: usize = 64;

/// Characters of an alphabet of 64, six bits each from the kernel. None of them has a meaning in a URL.
pub fn generate(length: usize) -> Result<Secret> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bytes = vec![0; length];
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).context("read random bytes")?;
    Ok(Secret::new(bytes.iter().map(|it| char::from(ALPHABET[usize::from(it & 63)])).collect::<String>()))
}

/// Whether `found` has every entry of `wanted`.
pub fn contains(found: &Value, wanted: &Value) -> bool {
    wanted.as_object().is_some_and(|it| it.iter().all(|(name, value)| found.get(name) == Some(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_encoded_as_the_api_wants_them() {
        let out = object("n", "s", "Opaque", "i", &[("secret-key", "abc")]).unwrap();
        assert_eq!(out["data"]["secret-key"], "YWJj");
    }

    #[test]
    fn two_generated_secrets_differ_and_satisfy_django() {
        let (one, other) = (generate(KEY_LENGTH).unwrap(), generate(KEY_LENGTH).unwrap());
        assert_ne!(one, other);
        assert!(one.expose().len() >= 50);
    }
}
