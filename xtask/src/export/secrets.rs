//! The Secrets that an export names and does not hold, and the script that creates them.

use crate::export::File;

/// A Secret that must exist before the pods start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Required {
    pub name: String,
    /// `Opaque`, or the type of the user's own Secret.
    pub kind: String,
    /// The keys, and where each value comes from; `*` stands for keys that are known only where the values are.
    pub keys: Vec<(String, Key)>,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// Random characters, this many, unless the variable is set.
    Generated(usize),
    /// The user's: `the variable API_TOKEN`.
    Given(String),
}

impl Required {
    /// The variable of the script with this key's value: `FRONTEND_APP_SECRET_KEY`. Where two keys would have the same one, the later has its
    /// number at the end.
    pub fn variable(&self, key: &str) -> String {
        let of = |key: &str| -> String {
            let text = format!("{}_{key}", self.name);
            let plain: String = text.chars().map(|it| if it.is_ascii_alphanumeric() { it.to_ascii_uppercase() } else { '_' }).collect();
            if plain.starts_with(|it: char| it.is_ascii_digit()) { format!("SECRET_{plain}") } else { plain }
        };
        let own = of(key);
        let before = self.keys.iter().take_while(|(it, _)| it != key).filter(|(it, _)| of(it) == own).count();
        if before == 0 { own } else { format!("{own}_{}", before + 1) }
    }

    /// Whether only the user knows its keys.
    pub fn is_open(&self) -> bool {
        self.keys.iter().any(|(key, _)| key == "*")
    }
}

/// A line for each value: its variable, and what it is.
pub(super) fn table(all: &[Required]) -> String {
    let mut out = String::from("| Secret | key | variable | value |\n| --- | --- | --- | --- |\n");
    for secret in all {
        if secret.is_open() {
            let parts: Vec<String> = secret
                .keys
                .iter()
                .map(|(key, from)| if key == "*" { described(from) } else { format!("{key}, {}", described(from)) })
                .collect();
            out.push_str(&format!("| {} | all | none | create it yourself: {} |\n", secret.name, parts.join("; ")));
            continue;
        }
        for (key, from) in &secret.keys {
            let what = match from {
                Key::Generated(length) => format!("{length} random characters, unless it is set"),
                Key::Given(_) => described(from),
            };
            out.push_str(&format!("| {} | {key} | `{}` | {what} |\n", secret.name, secret.variable(key)));
        }
    }
    out
}

fn described(from: &Key) -> String {
    match from {
        Key::Generated(length) => format!("{length} random characters"),
        Key::Given(text) => text.clone(),
    }
}

/// The functions that both scripts begin with: read a value, or make one.
pub(super) const VALUES: &str = r#"missing=
umask 077
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# given VARIABLE FILE: the variable's value as a file; without one it is noted as missing.
given() {
  eval "is_set=\${$1+yes}"
  if [ -n "$is_set" ]; then eval "printf '%s' \"\$$1\"" > "$2"; else missing="$missing $1"; fi
}

# random VARIABLE LENGTH FILE: the same, with random characters if the variable is not set.
random() {
  eval "value=\${$1-}"
  [ -n "$value" ] || value=$(LC_ALL=C tr -dc 'A-Za-z0-9' < /dev/urandom 2>/dev/null | head -c "$2")
  printf '%s' "$value" > "$3"
}

check() {
  [ -z "$missing" ] && return
  echo "set these variables and run it again; nothing was created:$missing" >&2
  exit 2
}
"#;

/// The line that puts the value of a key into a file.
pub(super) fn value(secret: &Required, key: &str, from: &Key, file: &str) -> String {
    let variable = secret.variable(key);
    match from {
        Key::Generated(length) => format!("random {variable} {length} \"{file}\""),
        Key::Given(_) => format!("given {variable} \"{file}\""),
    }
}

/// A Secret that exists is not changed, so a key that it lacks is an error.
const HAS_KEY: &str = r#"has_key() {
  kubectl --namespace "$namespace" get secret "$1" --output=go-template='{{range $key, $value := .data}}{{$key}}{{"\n"}}{{end}}' |
    grep -qxF -e "$2" || { echo "the Secret $1 exists and has no key $2: add it" >&2; exit 2; }
}
"#;

/// `secrets.sh`: creates the Secrets that are missing in the namespace; a Secret that exists is not changed.
pub(super) fn script(namespace: &str, all: &[Required]) -> File {
    let mut out = format!(
        "#!/bin/sh\n# Creates the Secrets that are missing, from variables that README.md lists. A Secret that exists is not changed.\n# Usage: ./secrets.sh [NAMESPACE]\nset -eu\nnamespace=${{1:-{namespace}}}\n{VALUES}\nis_missing() {{ ! kubectl --namespace \"$namespace\" get secret \"$1\" > /dev/null 2>&1; }}\n{HAS_KEY}\n"
    );
    out.push_str("kubectl get namespace \"$namespace\" > /dev/null\n");
    for secret in all {
        let name = &secret.name;
        if secret.is_open() {
            out.push_str(&format!(
                "if is_missing {name}; then\n  echo \"create the Secret {name} yourself: README.md says what it holds\" >&2\n  exit 2\nfi\n"
            ));
            continue;
        }
        out.push_str(&format!("if is_missing {name}; then\n  mkdir -p \"$work/{name}\"\n"));
        for (key, from) in &secret.keys {
            out.push_str(&format!("  {}\n", value(secret, key, from, &format!("$work/{name}/{key}"))));
        }
        out.push_str("else\n");
        for (key, _) in &secret.keys {
            out.push_str(&format!("  has_key {name} '{key}'\n"));
        }
        out.push_str("fi\n");
    }
    out.push_str("check\n");
    for secret in all.iter().filter(|it| !it.is_open()) {
        out.push_str(&format!(
            "if [ -d \"$work/{0}\" ]; then\n  kubectl --namespace \"$namespace\" create secret generic {0} --type={1} --from-file=\"$work/{0}\"\nfi\n",
            secret.name, secret.kind
        ));
    }
    File::script(out)
}
