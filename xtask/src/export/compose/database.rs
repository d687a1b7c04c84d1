//! PostgreSQL as a service: the cluster's image, with TLS and the same names.

use serde_json::{Value, json};

use crate::export::{Exported, compose::Compose};

/// The key of each entry that the operator writes into the Secret of the database's user, as far as pods use it.
const USER_KEYS: [&str; 7] = ["username", "user", "password", "host", "port", "dbname", "uri"];

/// The keys of a Secret of the operator.
pub(super) fn keys(it: &Exported, secret: &str) -> Vec<String> {
    if secret == format!("{}-app", it.database) {
        return USER_KEYS.map(str::to_owned).to_vec();
    }
    if secret == format!("{}-ca", it.database) { vec!["ca.crt".to_owned()] } else { Vec::new() }
}

/// The names under which the operator's Services are reached.
pub(super) fn hosts(it: &Exported) -> Vec<String> {
    let (name, namespace) = (&it.database, &it.namespace);
    let mut out = Vec::new();
    for service in ["rw", "ro", "r", "instances"] {
        out.extend([format!("{name}-{service}"), format!("{name}-{service}.{namespace}"), format!("{name}-{service}.{namespace}.svc")]);
    }
    out
}

/// Starts as root to own the volume, makes the database once, and runs PostgreSQL as its own user.
const START: &str = r#"set -eu
sort=$$1; shift
# This extension counts from the start of the server, or not at all.
preload=; case " $$* " in *" pg_stat_statements "*) preload=pg_stat_statements ;; esac
data=/var/lib/postgresql/pocdeploy/data
install -d -m 700 -o postgres -g postgres /var/lib/postgresql/pocdeploy "$$data" /run/postgresql
install -m 600 -o postgres -g postgres /run/secrets/tls/tls.key /run/postgresql/tls.key
run() { setpriv --reuid=postgres --regid=postgres --init-groups "$$@"; }
export PATH="$$(echo /usr/lib/postgresql/*/bin):$$PATH"
if [ ! -s "$$data/finished" ]; then
  find "$$data" -mindepth 1 -delete
  run initdb --pgdata="$$data" --username=postgres --auth=trust --encoding=UTF8 --locale=C --data-checksums > /dev/null
  user=$$(cat /run/secrets/user/username) name=$$(cat /run/secrets/user/dbname)
  password=$$(sed "s/'/''/g" /run/secrets/user/password)
  run postgres --single -D "$$data" postgres > /dev/null <<SQL
CREATE ROLE "$$user" LOGIN PASSWORD '$$password';
CREATE DATABASE "$$name" OWNER "$$user";
SQL
  printf 'local all postgres peer\n%s all all all scram-sha-256\n' "$$sort" > "$$data/pg_hba.conf"
  for extension do
    echo "CREATE EXTENSION \"$$extension\";"
  done | run postgres --single -D "$$data" "$$name" > /dev/null
  # In this mode an error does not end the program.
  for extension do
    echo "SELECT 'there' AS \"$$extension\" FROM pg_extension WHERE extname = '$$extension';" |
      run postgres --single -D "$$data" "$$name" | grep -q there || { echo "no extension $$extension" >&2; exit 1; }
  done
  run sh -c 'echo 1 > "$$1/finished"' sh "$$data"
fi
exec setpriv --reuid=postgres --regid=postgres --init-groups postgres -D "$$data" -c listen_addresses='*' -c ssl=on \
  -c ssl_cert_file=/run/secrets/tls/tls.crt -c ssl_key_file=/run/postgresql/tls.key -c unix_socket_directories=/run/postgresql \
  -c shared_preload_libraries="$$preload"
"#;

impl Compose<'_> {
    /// The extensions that the operator's `Database` names for the application's database.
    fn extensions(&self) -> Vec<String> {
        let name = self.it.cluster().map(|it| it["spec"]["bootstrap"]["initdb"]["database"].clone()).unwrap_or_default();
        let own = |it: &&Value| {
            it["kind"] == "Database" && it["spec"]["cluster"]["name"] == self.it.database.as_str() && it["spec"]["name"] == name
        };
        let lists = self.it.foundation.iter().chain(&self.it.app).filter(own).filter_map(|it| it["spec"]["extensions"].as_array());
        lists.flatten().filter(|it| it["ensure"] != "absent").filter_map(|it| it["name"].as_str().map(str::to_owned)).collect()
    }

    pub(super) fn database(&self) -> Value {
        let user = format!("./secrets/{}-app", self.it.database);
        let rules = self.it.cluster().map(|it| it["spec"]["postgresql"]["pg_hba"].to_string()).unwrap_or_default();
        // The cluster's rule that rejects connections without TLS.
        let sort = if rules.contains("hostnossl") { "hostssl" } else { "host" };
        let mut mounts = vec!["postgresql-data:/var/lib/postgresql/pocdeploy".to_owned()];
        mounts.extend(["username", "dbname", "password"].map(|it| format!("{user}/{it}:/run/secrets/user/{it}:ro")));
        mounts.extend(["tls.crt", "tls.key"].map(|it| format!("./secrets/tls/{it}:/run/secrets/tls/{it}:ro")));
        let entrypoint = [["sh", "-c", START, "sh", sort].map(str::to_owned).to_vec(), self.extensions()].concat();
        json!({
            "image": self.it.postgresql,
            "entrypoint": entrypoint,
            "user": "root",
            "restart": "unless-stopped",
            "volumes": mounts,
            "tmpfs": ["/run/postgresql", "/tmp"],
            "read_only": true,
            "cap_drop": ["ALL"],
            "cap_add": ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"],
            "security_opt": ["no-new-privileges:true"],
            "stop_signal": "SIGINT",
            "stop_grace_period": "60s",
            "healthcheck": {
                "test": ["CMD-SHELL", "PATH=\"$$(echo /usr/lib/postgresql/*/bin):$$PATH\" pg_isready --quiet --username=postgres --host=127.0.0.1"],
                "interval": "2s", "timeout": "5s", "retries": 60,
            },
            "networks": { "default": { "aliases": hosts(self.it) } },
        })
    }
}
