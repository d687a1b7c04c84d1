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
    /// The variable of the script with this key's value: `FRONTEND_APP_SECRET_KEY`.
    pub fn variable(&self, key: &str) -> String {
        let text = format!("{}_{key}", self.name);
        text.chars().map(|it| if it.is_ascii_alphanumeric() { it.to_ascii_uppercase() } else { '_' }).collect()
    }

    /// The keys with values of their own.
    fn known(&self) -> impl Iterator<Item = &(String, Key)> {
        self.keys.iter().filter(|(key, _)| key != "*")
    }
}

/// A line for each value: its variable, and what it is.
pub(super) fn table(all: &[Required]) -> String {
    let mut out = String::from("| Secret | key | variable | value |\n| --- | --- | --- | --- |\n");
    for secret in all {
        for (key, from) in &secret.keys {
            let (variable, what) = match from {
                _ if key == "*" => ("none".to_owned(), format!("create this Secret yourself, from {}", described(from))),
                Key::Generated(length) => (format!("`{}`", secret.variable(key)), format!("{length} random characters, unless it is set")),
                Key::Given(_) => (format!("`{}`", secret.variable(key)), described(from)),
            };
            out.push_str(&format!("| {} | {key} | {variable} | {what} |\n", secret.name));
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
  eval "value=\${$1-}"
  if [ -n "$value" ]; then printf '%s' "$value" > "$2"; else missing="$missing $1"; fi
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

/// The lines that put each value of a Secret into a file below `$work`.
pub(super) fn collect(secret: &Required, folder: &str) -> String {
    let mut out = format!("  mkdir -p \"{folder}\"\n");
    for (key, from) in secret.known() {
        let variable = secret.variable(key);
        out.push_str(&match from {
            Key::Generated(length) => format!("  random {variable} {length} \"{folder}/{key}\"\n"),
            Key::Given(_) => format!("  given {variable} \"{folder}/{key}\"\n"),
        });
    }
    out
}

/// `secrets.sh`: creates the Secrets that are missing in the namespace; a Secret that exists is not changed.
pub(super) fn script(namespace: &str, all: &[Required]) -> File {
    let mut out = format!(
        "#!/bin/sh\n# Creates the Secrets that are missing, from variables that README.md lists. A Secret that exists is not changed.\n# Usage: ./secrets.sh [NAMESPACE]\nset -eu\nnamespace=${{1:-{namespace}}}\n{VALUES}\nis_missing() {{ ! kubectl --namespace \"$namespace\" get secret \"$1\" > /dev/null 2>&1; }}\n\n"
    );
    out.push_str("kubectl get namespace \"$namespace\" > /dev/null\n");
    for secret in all {
        if secret.keys.iter().any(|(key, _)| key == "*") {
            out.push_str(&format!(
                "if is_missing {0}; then\n  echo \"create the Secret {0} yourself: README.md says what it holds\" >&2\n  exit 2\nfi\n",
                secret.name
            ));
            continue;
        }
        out.push_str(&format!("if is_missing {}; then\n{}fi\n", secret.name, collect(secret, &format!("$work/{}", secret.name))));
    }
    out.push_str("check\n");
    for secret in all.iter().filter(|it| it.keys.iter().all(|(key, _)| key != "*")) {
        out.push_str(&format!(
            "if [ -d \"$work/{0}\" ]; then\n  kubectl --namespace \"$namespace\" create secret generic {0} --type={1} --from-file=\"$work/{0}\"\nfi\n",
            secret.name, secret.kind
        ));
    }
    File::script(out)
}
