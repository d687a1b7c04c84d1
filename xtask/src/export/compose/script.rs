//! `secrets.sh`: the secret files of the Compose file, made once.

use crate::export::{
    File,
    compose::{Compose, database, environment::Piece},
    secrets::{VALUES, value},
};

impl Compose<'_> {
    /// Files that exist stay as they are; the environment files are written again.
    pub(super) fn script(&self) -> File {
        let it = self.it;
        let (user, authority) = (format!("{}-app", it.database), format!("{}-ca", it.database));
        let (role, name) = self.role_and_name();
        let names: Vec<String> = database::hosts(it).iter().map(|it| format!("DNS:{it}")).collect();
        let mut out = format!(
            "#!/bin/sh\n# Makes the files below secrets/ that are missing, from variables that README.md lists.\n# Usage: ./secrets.sh\nset -eu\ncd \"$(dirname \"$0\")\"\n{VALUES}\n"
        );
        for secret in &it.secrets {
            let name = &secret.name;
            if secret.is_open() {
                out.push_str(&format!(
                    "[ -f secrets/{name}.env ] || {{ echo \"write secrets/{name}.env yourself: README.md says what it holds\" >&2; exit 2; }}\n"
                ));
                continue;
            }
            out.push_str(&format!("mkdir -p \"$work/{name}\"\n"));
            for (key, from) in &secret.keys {
                let line = value(secret, key, from, &format!("$work/{name}/{key}"));
                out.push_str(&format!("[ -f 'secrets/{name}/{key}' ] || {line}\n"));
            }
        }
        out.push_str(&format!(
            r#"if [ ! -d secrets/{user} ]; then
  mkdir -p "$work/{user}"
  printf '%s' '{role}' > "$work/{user}/username"
  printf '%s' '{role}' > "$work/{user}/user"
  printf '%s' '{name}' > "$work/{user}/dbname"
  printf '%s' '{host}' > "$work/{user}/host"
  printf '%s' 5432 > "$work/{user}/port"
  random DATABASE_PASSWORD 64 "$work/{user}/password"
  printf 'postgresql://%s:%s@%s:5432/%s' '{role}' "$(od -An -tx1 -v "$work/{user}/password" | tr -d ' \n' | sed 's/../%&/g')" '{host}' '{name}' > "$work/{user}/uri"
fi
check
if [ ! -d secrets/tls ]; then
  mkdir -p "$work/tls" "$work/{authority}"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj '/CN={namespace} database' \
    -addext basicConstraints=critical,CA:TRUE,pathlen:0 -addext keyUsage=critical,keyCertSign \
    -keyout "$work/ca.key" -out "$work/{authority}/ca.crt" 2> "$work/log" || {{ cat "$work/log" >&2; exit 1; }}
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj '/CN={host}' \
    -keyout "$work/tls/tls.key" -out "$work/request" 2> "$work/log" || {{ cat "$work/log" >&2; exit 1; }}
  printf 'subjectAltName=%s\nbasicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\n' '{names}' > "$work/extensions"
  openssl x509 -req -in "$work/request" -days 3650 -CA "$work/{authority}/ca.crt" -CAkey "$work/ca.key" -CAcreateserial -CAserial "$work/serial" \
    -extfile "$work/extensions" -out "$work/tls/tls.crt" 2> "$work/log" || {{ cat "$work/log" >&2; exit 1; }}
fi
mkdir -p secrets
for file in "$work"/*/*; do
  [ -f "$file" ] || continue
  # Containers run as other users: the folders are yours alone, their files can be read.
  chmod 644 "$file"
  folder=secrets/$(basename "$(dirname "$file")")
  mkdir -p "$folder"
  [ -f "$folder/$(basename "$file")" ] || mv "$file" "$folder/"
done
"#,
            host = format_args!("{}-rw", it.database),
            namespace = it.namespace,
            names = names.join(","),
        ));
        if !self.secret_environments.is_empty() {
            out.push_str(
                r#"
# quoted FILE: its content inside double quotes of an environment file.
quoted() { sed 's/[\\"$]/\\&/g' "$1" | awk 'NR > 1 { printf "\\n" } { printf "%s", $0 }'; }
"#,
            );
        }
        for (service, environment) in &self.secret_environments {
            out.push_str("{\n");
            for (name, value) in environment {
                // Inside double quotes of the environment file, and these inside single quotes of the shell.
                let plain = |text: &str| {
                    let inside = text.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$").replace('\n', "\\n");
                    format!("'{}'", inside.replace('\'', r"'\''"))
                };
                let pieces = value.iter().map(|it| match it {
                    Piece::Text(text) => plain(text),
                    Piece::Secret(secret, key) => format!("\"$(quoted 'secrets/{secret}/{key}')\""),
                });
                out.push_str(&format!("  printf '%s\\n' '{name}=\"'{}'\"'\n", pieces.collect::<String>()));
            }
            out.push_str(&format!("}} > \"$work/env\"\nmv \"$work/env\" secrets/{service}.env\n"));
        }
        File::script(out)
    }

    /// The database's user and name.
    fn role_and_name(&self) -> (String, String) {
        let spec = self.it.cluster().map(|it| it["spec"]["bootstrap"]["initdb"].clone()).unwrap_or_default();
        let text = |field: &str| spec[field].as_str().unwrap_or_default().to_owned();
        (text("owner"), text("database"))
    }
}
