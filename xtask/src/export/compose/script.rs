//! `secrets.sh`: the secret files of the Compose file, made once.

use crate::export::{
    File,
    compose::{Compose, database, environment::Piece},
    secrets::{VALUES, collect},
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
            if secret.keys.iter().any(|(key, _)| key == "*") {
                let path = format!("secrets/{}.env", secret.name);
                out.push_str(&format!(
                    "[ -f {path} ] || {{ echo \"write {path} yourself: README.md says what it holds\" >&2; exit 2; }}\n"
                ));
                continue;
            }
            out.push_str(&format!(
                "if [ ! -d secrets/{0} ]; then\n{1}fi\n",
                secret.name,
                collect(secret, &format!("$work/{}", secret.name))
            ));
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
  printf 'postgresql://%s:%s@%s:5432/%s' '{role}' "$(cat "$work/{user}/password")" '{host}' '{name}' > "$work/{user}/uri"
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
  openssl x509 -req -in "$work/request" -days 3650 -CA "$work/{authority}/ca.crt" -CAkey "$work/ca.key" -CAcreateserial \
    -extfile "$work/extensions" -out "$work/tls/tls.crt" 2> "$work/log" || {{ cat "$work/log" >&2; exit 1; }}
fi
mkdir -p secrets
for folder in "$work"/*/; do
  [ -d "$folder" ] || continue
  # Containers run as other users: the folder is yours alone, its files can be read.
  chmod 644 "$folder"*
  name=$(basename "$folder")
  [ -d "secrets/$name" ] || mv "$folder" "secrets/$name"
done
"#,
            host = format_args!("{}-rw", it.database),
            namespace = it.namespace,
            names = names.join(","),
        ));
        if !self.secret_environments.is_empty() {
            out.push_str(
                r#"
# quoted FILE: its content inside single quotes of an environment file.
quoted() {
  if grep -q "'" "$1" || [ "$(wc -l < "$1")" -gt 0 ]; then
    echo "$1 holds a quote or a line break, which an environment file cannot hold" >&2
    exit 2
  fi
  cat "$1"
}
"#,
            );
        }
        for (service, environment) in &self.secret_environments {
            out.push_str("{\n");
            for (name, value) in environment {
                // Inside double quotes of the shell.
                let plain = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$").replace('`', "\\`");
                let pieces = value.iter().map(|it| match it {
                    Piece::Text(text) => plain(text),
                    Piece::Secret(secret, key) => format!("$(quoted secrets/{secret}/{key})"),
                });
                out.push_str(&format!("  printf '%s\\n' \"{name}='{}'\"\n", pieces.collect::<String>()));
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
