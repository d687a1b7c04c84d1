//! The variables of a container: known values are in the Compose file; those with a secret are in a file that the script writes.

use serde_json::{Value, json};

use crate::export::compose::{Compose, value::literal};

/// A piece of a variable's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    /// A Secret and its key.
    Secret(String, String),
}

/// Variables in order.
pub(super) type Environment = Vec<(String, Vec<Piece>)>;

impl Compose<'_> {
    /// Sets `environment` and `env_file` of a service.
    /// Returns all variables.
    pub(super) fn environment(&mut self, own: &str, container: &Value, out: &mut Value) -> Environment {
        let mut all: Environment = Vec::new();
        let mut whole = Vec::new();
        for from in container["envFrom"].as_array().into_iter().flatten() {
            let prefix = from["prefix"].as_str().unwrap_or_default();
            if let Some(name) = from["configMapRef"]["name"].as_str() {
                let keys = self.keys(name, "settings");
                if keys.is_empty() {
                    self.notes.push(format!("{own} lacks the variables of the ConfigMap {name}, which is not in these files."));
                }
                for key in keys {
                    let value = self.setting(name, &key).unwrap_or_default();
                    all.push((format!("{prefix}{key}"), vec![Piece::Text(value)]));
                }
            } else if let Some(name) = from["secretRef"]["name"].as_str() {
                if self.is_open(name) {
                    whole.push(format!("./secrets/{name}.env"));
                    self.notes.push(format!(
                        "The variables of the Secret {name} are known only to you: write all of them to `secrets/{name}.env`."
                    ));
                    continue;
                }
                let keys = self.keys(name, "secrets");
                all.extend(keys.into_iter().map(|key| (format!("{prefix}{key}"), vec![Piece::Secret(name.to_owned(), key)])));
            }
        }
        for variable in container["env"].as_array().into_iter().flatten() {
            let name = variable["name"].as_str().unwrap_or_default().to_owned();
            let from = &variable["valueFrom"];
            let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
            let value = if from["secretKeyRef"].is_object() {
                let (secret, key) = (text(&from["secretKeyRef"]["name"]), text(&from["secretKeyRef"]["key"]));
                if self.is_open(&secret) {
                    // It is in the file that the user writes.
                    let file = format!("./secrets/{secret}.env");
                    if !whole.contains(&file) {
                        whole.push(file);
                    }
                    continue;
                }
                if !self.keys(&secret, "secrets").contains(&key) {
                    self.notes.push(format!("{own} lacks the variable {name}: these files have no key {key} of the Secret {secret}."));
                    continue;
                }
                vec![Piece::Secret(secret, key)]
            } else if from["configMapKeyRef"].is_object() {
                let (settings, key) = (text(&from["configMapKeyRef"]["name"]), text(&from["configMapKeyRef"]["key"]));
                let Some(value) = self.setting(&settings, &key) else {
                    self.notes.push(format!("{own} lacks the variable {name}: these files have no key {key} of the ConfigMap {settings}."));
                    continue;
                };
                vec![Piece::Text(value)]
            } else if from.is_object() {
                self.notes.push(format!("The variable {name} of {own} is a field of the pod, and is left out."));
                continue;
            } else {
                expanded(&self.with_port(&text(&variable["value"])), &all)
            };
            all.retain(|(known, _)| *known != name);
            all.push((name, value));
        }
        let every = all.clone();
        let is_known = |value: &[Piece]| value.iter().all(|it| matches!(it, Piece::Text(_)));
        let (known, secret): (Environment, Environment) = all.into_iter().partition(|(_, value)| is_known(value));
        let text = |value: &[Piece]| {
            let texts = value.iter().filter_map(|it| if let Piece::Text(text) = it { Some(text.as_str()) } else { None });
            texts.collect::<String>()
        };
        if !known.is_empty() {
            out["environment"] = known.iter().map(|(name, value)| (name.clone(), json!(literal(&text(value))))).collect();
        }
        if !secret.is_empty() {
            whole.push(format!("./secrets/{own}.env"));
            self.secret_environments.insert(own.to_owned(), secret);
        }
        if !whole.is_empty() {
            out["env_file"] = json!(whole);
        }
        every
    }

    /// Whether only the user knows the Secret's keys.
    fn is_open(&self, secret: &str) -> bool {
        self.it.secrets.iter().any(|it| it.name == secret && it.is_open())
    }

    /// A word of a command with the values of variables, as the kubelet puts them there, and with Compose's own `$` doubled. A secret is not
    /// known here.
    pub(super) fn word(&mut self, own: &str, word: &str, known: &Environment) -> String {
        let mut out = String::new();
        for piece in expanded(word, known) {
            match piece {
                Piece::Text(text) => out.push_str(&text),
                Piece::Secret(secret, key) => {
                    self.notes
                        .push(format!("The command of {own} lacks the value of {key} of the Secret {secret}: give it as a variable."));
                }
            }
        }
        literal(&out)
    }

    /// The address of another service with the port of its container, since Compose has no Services.
    fn with_port(&self, value: &str) -> String {
        let Some(rest) = value.strip_prefix("http://") else { return value.to_owned() };
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let mut objects = self.it.foundation.iter().chain(&self.it.app);
        let service = objects.find(|it| it["kind"] == "Service" && it["metadata"]["name"] == host);
        let target = service.and_then(|it| self.target(it));
        target.map_or_else(|| value.to_owned(), |port| format!("http://{host}:{port}{path}"))
    }

    /// The container's port behind the first port of a Service.
    fn target(&self, service: &Value) -> Option<u64> {
        let port = &service["spec"]["ports"][0];
        if let Some(number) = port["targetPort"].as_u64() {
            return Some(number);
        }
        let Some(name) = port["targetPort"].as_str() else { return port["port"].as_u64() };
        let containers = self
            .it
            .foundation
            .iter()
            .chain(&self.it.app)
            .filter(|it| self.aliases(it).iter().any(|it| service["metadata"]["name"] == it.as_str()));
        let ports = containers.flat_map(|it| it.pointer("/spec/template/spec/containers/0/ports").and_then(Value::as_array)).flatten();
        ports.into_iter().find(|it| it["name"] == name).and_then(|it| it["containerPort"].as_u64())
    }
}

/// A value with `$(NAME)` replaced by an earlier variable, and `$$` by `$`, as the kubelet does.
fn expanded(text: &str, earlier: &Environment) -> Vec<Piece> {
    let mut out: Vec<Piece> = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        plain.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            plain.push('$');
            rest = after;
            continue;
        }
        let name = rest.strip_prefix('(').and_then(|it| it.split_once(')'));
        match name.and_then(|(name, after)| Some((earlier.iter().find(|(known, _)| known == name)?, after))) {
            Some(((_, value), after)) => {
                if !plain.is_empty() {
                    out.push(Piece::Text(std::mem::take(&mut plain)));
                }
                out.extend(value.iter().cloned());
                rest = after;
            }
            None => plain.push('$'),
        }
    }
    plain.push_str(rest);
    if !plain.is_empty() || out.is_empty() {
        out.push(Piece::Text(plain));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_refers_to_earlier_variables_as_the_kubelet_reads_it() {
        let text = |it: &str| Piece::Text(it.to_owned());
        let secret = Piece::Secret("db-app".to_owned(), "uri".to_owned());
        let earlier = vec![("URI".to_owned(), vec![secret.clone()]), ("A".to_owned(), vec![text("a")])];
        for (value, expected) in [
            ("plain", vec![text("plain")]),
            ("", vec![text("")]),
            ("$(URI)?sslmode=require", vec![secret.clone(), text("?sslmode=require")]),
            ("x$(A)$(URI)", vec![text("x"), text("a"), secret]),
            ("$$(A) $(B) $5", vec![text("$(A) $(B) $5")]),
        ] {
            assert_eq!(expanded(value, &earlier), expected, "{value}");
        }
    }
}
