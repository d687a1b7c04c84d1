//! The variables of a pod, which docs/contract.md documents.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    config::{EVERY, ServiceName},
    deploy::{
        plain::{AUTHORITY, Plain, brought, port},
        secrets,
    },
};

/// The variable with the address of another service: `API_URL`.
pub(super) fn url_variable(name: ServiceName) -> String {
    format!("{}_URL", name.as_str().replace('-', "_").to_uppercase())
}

impl Plain<'_> {
    /// The services whose `[….env]` and `[….secrets]` the pods get: the one whose image they run, and then this one.
    fn told_by(&self) -> Vec<Option<ServiceName>> {
        let used = self.config.image_of(self.service);
        if used == self.service { vec![used] } else { vec![used, self.service] }
    }

    /// The Secrets whose keys are all variables.
    pub(super) fn whole_secrets(&self) -> Vec<Value> {
        let whole = self.told_by().into_iter().filter(|it| self.config.service(*it).secrets.contains_key(EVERY));
        whole.map(|it| json!({ "secretRef": { "name": secrets::variables_name(it) } })).collect()
    }

    /// The variables of docs/contract.md, then the user's: Kubernetes expands `$(NAME)` only for earlier variables.
    pub(super) fn environment(&self) -> Vec<Value> {
        let value = |name: &str, text: &str| json!({ "name": name, "value": text });
        let of_secret =
            |name: &str, secret: &str, key: &str| json!({ "name": name, "valueFrom": { "secretKeyRef": { "name": secret, "key": key } } });
        let database = format!("{}-app", self.database);
        let mut out = Vec::new();
        if let Some(port) = self.port() {
            out.push(value("PORT", &port.to_string()));
        }
        for (name, key) in
            [("PGHOST", "host"), ("PGPORT", "port"), ("PGDATABASE", "dbname"), ("PGUSER", "username"), ("PGPASSWORD", "password")]
        {
            out.push(of_secret(name, &database, key));
        }
        out.push(of_secret("DATABASE_URI", &database, "uri"));
        out.extend([
            value("PGSSLMODE", "verify-full"),
            value("PGSSLROOTCERT", AUTHORITY),
            // The only setting that every driver for Node.js respects.
            value("NODE_EXTRA_CA_CERTS", AUTHORITY),
            value("DATABASE_URL", "$(DATABASE_URI)?sslmode=require"),
            of_secret("SECRET_KEY", self.secret, "secret-key"),
        ]);
        for name in ["ALLOWED_HOSTS", "TRUSTED_ORIGINS", "PLAIN_HTTP_HOSTS", "APP_URL", "PROXY_SSL_HEADER"] {
            out.push(json!({ "name": name, "valueFrom": { "configMapKeyRef": { "name": self.name(), "key": name } } }));
        }
        out.push(value("HOME", "/tmp"));
        for (other, _) in self.config.all_services() {
            if let (Some(name), true, Some(_)) = (other, other != self.service, port(self.config, other)) {
                out.push(value(&url_variable(name), &format!("http://{name}")));
            }
        }
        out.extend(brought::variables(self.config).iter().map(|(name, text)| value(name, text)));
        // The same program wants to be told the same; what the service says itself goes first.
        let mut own: BTreeMap<&String, Value> = BTreeMap::new();
        for of in self.told_by() {
            let it = self.config.service(of);
            own.extend(it.env.iter().map(|(name, text)| (name, value(name, text))));
            let secret = secrets::variables_name(of);
            own.extend(it.secrets.keys().filter(|it| *it != EVERY).map(|name| (name, of_secret(name, &secret, name))));
        }
        out.retain(|it| it["name"].as_str().is_none_or(|name| !own.keys().any(|it| *it == name)));
        // A text may refer to a secret before it.
        let (texts, secret): (Vec<Value>, Vec<Value>) = own.into_values().partition(|it| it["value"].is_string());
        out.extend(secret.into_iter().chain(texts));
        out
    }
}
