//! All keys of the file by their paths: how to show them, how to set them from text, and the environment variable of each.

use std::{fmt::Display, path::PathBuf, str::FromStr};

use crate::config::{Config, FIRST, Secret, Service, Source};

/// A key of a table: how to show it, and how to set it from text.
struct Field<T> {
    /// The key's name in its table: `path`; with the table's name if there is only one such table: `cluster.port`.
    name: &'static str,
    /// The text for users: `[redacted]` for a secret, empty if not set.
    show: fn(&T) -> String,
    /// The actual value of a text, also of a secret; `None` for a number, or if not set.
    text: fn(&T) -> Option<String>,
    set: fn(&mut T, &str) -> Result<(), String>,
}

/// A key of the file.
pub struct Key {
    /// `frontend.path`, `services.worker.path`, `cluster.port`.
    pub path: String,
    field: Of,
}

#[derive(Clone, Copy)]
enum Of {
    File(&'static Field<Config>),
    Frontend(&'static Field<Service>),
    /// A key of a further service, whose name is in the path.
    Further(&'static Field<Service>),
}

impl Key {
    fn of_service(table: &str, field: Of, name: &str) -> Key {
        Key { path: format!("{table}.{name}"), field }
    }

    /// The service's name in the path of a key of `[services.NAME]`.
    fn service(&self) -> &str {
        self.path.split('.').nth(1).unwrap_or_default()
    }

    /// `POCDEPLOY_FRONTEND_PATH`; the two secrets have shorter names. Keys of further services have no variable.
    pub fn variable(&self) -> Option<String> {
        match (self.field, self.path.as_str()) {
            (Of::Further(_), _) => None,
            (_, "frontend.secret_key") => Some("POCDEPLOY_SECRET_KEY".to_owned()),
            (_, path) => Some(format!("POCDEPLOY_{}", path.replace('.', "_").to_uppercase())),
        }
    }

    /// Whether the value is a secret.
    pub(super) fn is_secret(&self) -> bool {
        self.path.ends_with(".secret_key") || self.path == "database.password"
    }

    /// The text for users: `[redacted]` for a secret, empty if not set.
    pub fn show(&self, config: &Config) -> String {
        match self.field {
            Of::File(field) => (field.show)(config),
            Of::Frontend(field) => (field.show)(&config.frontend),
            Of::Further(field) => config.services.get(self.service()).map(field.show).unwrap_or_default(),
        }
    }

    /// The actual value, for checks: it may be a secret and must not be shown. `None` if the key is not a text or not set.
    pub(super) fn text(&self, config: &Config) -> Option<String> {
        match self.field {
            Of::File(field) => (field.text)(config),
            Of::Frontend(field) => (field.text)(&config.frontend),
            Of::Further(field) => config.services.get(self.service()).and_then(field.text),
        }
    }

    /// Sets the value from the text of a variable.
    pub fn set(&self, config: &mut Config, text: &str) -> Result<(), String> {
        match self.field {
            Of::File(field) => (field.set)(config, text),
            Of::Frontend(field) => (field.set)(&mut config.frontend, text),
            Of::Further(field) => config.services.get_mut(self.service()).map_or(Ok(()), |it| (field.set)(it, text)),
        }
    }
}

/// All keys of this configuration, in the order of the file, without mirrors and packages, whose names are user-defined.
pub fn all(config: &Config) -> Vec<Key> {
    let mut out: Vec<Key> = BEFORE.iter().map(of_file).collect();
    // The first service is the application itself.
    let frontend = SERVICE.iter().filter(|it| !NOT_FIRST.contains(&it.name));
    out.extend(frontend.map(|it| Key::of_service(FIRST, Of::Frontend(it), it.name)));
    for (name, service) in &config.services {
        let means = SERVICE.iter().filter(|it| match service.kind {
            Some(kind) => kind.takes(it.name),
            None => service.uses.is_none() || !OF_IMAGE.contains(&it.name),
        });
        out.extend(means.map(|it| Key::of_service(&format!("services.{name}"), Of::Further(it), it.name)));
    }
    out.extend(AFTER.iter().map(of_file));
    out
}

/// The keys that every file may have, without further services.
pub fn fixed() -> Vec<Key> {
    all(&Config::default())
}

/// The keys in the table of a further service.
pub fn of_service() -> impl Iterator<Item = &'static str> {
    SERVICE.iter().map(|it| it.name)
}

/// The environment variables of keys.
pub(super) fn variables() -> impl Iterator<Item = String> {
    fixed().into_iter().filter_map(|it| it.variable())
}

fn of_file(field: &'static Field<Config>) -> Key {
    Key { path: field.name.to_owned(), field: Of::File(field) }
}

fn parse<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| format!("`{text}`: {error}"))
}

fn shown<T: ToString>(value: Option<&T>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

fn secret(value: Option<&Secret>) -> String {
    value.map(|it| format!("{it:?}")).unwrap_or_default()
}

macro_rules! key {
    ($path:literal, text $($field:ident).+) => {
        Field { name: $path, show: |it| it.$($field).+.clone(), text: |it| Some(it.$($field).+.clone()), set: |it, text| { it.$($field).+ = text.to_owned(); Ok(()) } }
    };
    ($path:literal, optional $($field:ident).+) => {
        Field { name: $path, show: |it| shown(it.$($field).+.as_ref()), text: |it| it.$($field).+.as_ref().map(ToString::to_string), set: |it, text| { it.$($field).+ = Some(parse(text)?); Ok(()) } }
    };
    ($path:literal, path $($field:ident).+) => {
        Field { name: $path, show: |it| it.$($field).+.display().to_string(), text: |it| Some(it.$($field).+.display().to_string()), set: |it, text| { it.$($field).+ = PathBuf::from(text); Ok(()) } }
    };
    // A variable has no list: a shell takes its text apart.
    ($path:literal, words $($field:ident).+) => {
        Field {
            name: $path,
            show: |it| it.$($field).+.as_ref().map(|it| it.join(" ")).unwrap_or_default(),
            text: |_| None,
            set: |it, text| {
                it.$($field).+ = Some(["sh", "-c", text].map(str::to_owned).to_vec());
                Ok(())
            },
        }
    };
    ($path:literal, parsed $($field:ident).+) => {
        Field { name: $path, show: |it| it.$($field).+.to_string(), text: |_| None, set: |it, text| { it.$($field).+ = parse(text)?; Ok(()) } }
    };
    ($path:literal, secret $($field:ident).+) => {
        Field { name: $path, show: |it| secret(it.$($field).+.as_ref()), text: |it| it.$($field).+.as_ref().map(|it| it.expose().to_owned()), set: |it, text| { it.$($field).+ = Some(Secret::new(text)); Ok(()) } }
    };
}

/// The keys that `[frontend]` does not have.
const NOT_FIRST: [&str; 3] = ["uses", "kind", "route"];

/// The keys of source and image: they mean nothing to a service that uses the image of another.
pub(super) const OF_IMAGE: [&str; 8] = ["path", "patch_dir", "dockerfile", "requirements", "groups", "image", "version", "build_network"];

/// The keys before the services.
const BEFORE: [Field<Config>; 2] = [key!("name", optional name), key!("namespace", text namespace)];

/// The keys of a service.
const SERVICE: [Field<Service>; 23] = [
    key!("uses", optional uses),
    Field {
        name: "kind",
        show: |it| shown(it.kind.as_ref()),
        text: |_| None,
        set: |it, text| {
            it.kind = Some(text.parse()?);
            Ok(())
        },
    },
    key!("path", path path),
    key!("patch_dir", path patch_dir),
    key!("dockerfile", path dockerfile),
    key!("requirements", path requirements),
    Field {
        name: "groups",
        show: |it| it.groups.join(","),
        text: |_| None,
        set: |it, text| {
            it.groups = text.split([',', ' ']).filter(|it| !it.is_empty()).map(str::to_owned).collect();
            Ok(())
        },
    },
    key!("image", text image),
    key!("version", text version),
    key!("build_network", parsed build_network),
    key!("replicas", parsed replicas),
    key!("secret_key", secret secret_key),
    key!("host", text host),
    key!("route", optional route),
    key!("page", text page),
    key!("text", text text),
    key!("port", optional port),
    key!("health", optional health),
    key!("command", words command),
    key!("migrate", words migrate),
    key!("schedule", optional schedule),
    key!("memory", text memory),
    Field {
        name: "writable",
        show: |it| it.writable.join(","),
        text: |_| None,
        set: |it, text| {
            it.writable = text.split(',').filter(|it| !it.is_empty()).map(str::to_owned).collect();
            Ok(())
        },
    },
];

/// The keys after the services.
const AFTER: [Field<Config>; 40] = [
    Field {
        name: "cluster.type",
        show: |it| it.cluster.kind.to_string(),
        text: |_| None,
        set: |it, text| {
            it.cluster.kind = text.parse()?;
            Ok(())
        },
    },
    key!("cluster.port", optional cluster.port),
    key!("cluster.shortcuts", parsed cluster.shortcuts),
    key!("cluster.network_policies", parsed cluster.network_policies),
    key!("cluster.workers", optional cluster.workers),
    key!("cluster.kubeconfig", optional cluster.kubeconfig),
    key!("cluster.context", optional cluster.context),
    key!("cluster.registry", optional cluster.registry),
    key!("cluster.pull_registry", optional cluster.pull_registry),
    Field {
        name: "cluster.expose",
        show: |it| shown(it.cluster.expose.as_ref()),
        text: |_| None,
        set: |it, text| {
            it.cluster.expose = Some(parse(text)?);
            Ok(())
        },
    },
    key!("cluster.region", optional cluster.region),
    key!("cluster.account", optional cluster.account),
    Field {
        name: "cluster.allowed_cidrs",
        show: |it| it.cluster.allowed_cidrs.join(","),
        text: |_| None,
        set: |it, text| {
            it.cluster.allowed_cidrs = text.split([',', ' ']).filter(|it| !it.is_empty()).map(str::to_owned).collect();
            Ok(())
        },
    },
    key!("cluster.expires_days", parsed cluster.expires_days),
    key!("ingress.controller", parsed ingress.controller),
    key!("ingress.api", parsed ingress.api),
    key!("ingress.tls", parsed ingress.tls),
    key!("ingress.class", optional ingress.class),
    key!("ingress.gateway", optional ingress.gateway),
    key!("ingress.issuer", optional ingress.issuer),
    key!("ingress.certificate", optional ingress.certificate),
    key!("database.name", text database.name),
    key!("database.user", text database.user),
    key!("database.password", secret database.password),
    key!("database.profile", parsed database.profile),
    key!("database.instances", parsed database.instances),
    key!("database.version", optional database.version),
    Field {
        name: "database.extensions",
        show: |it| it.database.extensions.join(","),
        text: |_| None,
        set: |it, text| {
            it.database.extensions = text.split([',', ' ']).filter(|it| !it.is_empty()).map(str::to_owned).collect();
            Ok(())
        },
    },
    key!("database.backup.to", optional database.backup.to),
    key!("database.backup.keep", parsed database.backup.keep),
    key!("database.storage", text database.storage),
    key!("database.require_tls", parsed database.require_tls),
    Field {
        name: "images.source",
        show: |it| it.images.source.to_string(),
        text: |_| None,
        set: |it, text| {
            it.images.source = match text {
                "auto" => Source::Auto,
                "registry" => Source::Registry,
                "packages" => Source::Packages,
                _ => return Err(format!("`{text}` is none of auto, registry, packages")),
            };
            Ok(())
        },
    },
    key!("images.python", optional images.python),
    key!("images.node", optional images.node),
    key!("images.operator", optional images.operator),
    key!("images.postgresql", optional images.postgresql),
    key!("images.valkey", optional images.valkey),
    key!("images.mailpit", optional images.mailpit),
    key!("images.traefik", optional images.traefik),
];

/// Other variables of the tool: the cache folder, shell completions, two for its own child programs, and a state's passphrase.
const OTHERS: [&str; 5] =
    ["POCDEPLOY_CACHE_DIR", "POCDEPLOY_COMPLETE", "POCDEPLOY_DEV", "POCDEPLOY_FILE_OPTIONS", "POCDEPLOY_STATE_PASSPHRASE"];

/// Complaints about unknown variables with the tool's prefix: a misspelled one would otherwise be ignored, and the run would use another
/// value.
pub(super) fn unknown_variables(names: &[String]) -> Vec<String> {
    let known: Vec<String> = variables().chain(OTHERS.map(str::to_owned)).collect();
    let mut out = Vec::new();
    for given in names.iter().filter(|it| it.starts_with("POCDEPLOY_") && !known.contains(it)) {
        // The name that follows from its key.
        let name = if given == "POCDEPLOY_FRONTEND_SECRET_KEY" { "POCDEPLOY_SECRET_KEY" } else { given.as_str() };
        let near = known.iter().map(|it| (strsim::damerau_levenshtein(name, it), it)).filter(|(distance, _)| *distance <= 4).min();
        let meant = near.map(|(_, it)| format!("; did you mean `{it}`?")).unwrap_or_default();
        out.push(format!("{given}: no variable of this name{meant}"));
    }
    out.sort();
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_takes_its_own_words_back() {
        let one = || Config::parse("[services.worker]\nversion = \"7\"\n").unwrap();
        let keys = all(&one());
        assert_eq!(keys.len(), BEFORE.len() + 2 * SERVICE.len() - NOT_FIRST.len() + AFTER.len());
        for key in keys {
            let mut config = one();
            let before = key.show(&config);
            if !before.is_empty() {
                key.set(&mut config, &before).unwrap();
                assert_eq!(config, one(), "{}", key.path);
            }
        }
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_refused_in_words() {
        let port = fixed().into_iter().find(|it| it.path == "cluster.port").unwrap();
        assert_eq!(port.variable().as_deref(), Some("POCDEPLOY_CLUSTER_PORT"));
        assert!(port.set(&mut Config::default(), "many").unwrap_err().contains("`many`"));
        let source = fixed().into_iter().find(|it| it.path == "images.source").unwrap();
        assert_eq!(source.set(&mut Config::default(), "web").unwrap_err(), "`web` is none of auto, registry, packages");
    }

    #[test]
    fn a_mistyped_variable_is_named_with_the_one_that_was_meant() {
        let names =
            ["HOME", "POCDEPLOY_CLUSTR_PORT", "POCDEPLOY_FRONTEND_SECRET_KEY", "POCDEPLOY_FLAVOUR", "pocdeploy_name"].map(str::to_owned);
        let expected = [
            "POCDEPLOY_CLUSTR_PORT: no variable of this name; did you mean `POCDEPLOY_CLUSTER_PORT`?",
            "POCDEPLOY_FLAVOUR: no variable of this name",
            "POCDEPLOY_FRONTEND_SECRET_KEY: no variable of this name; did you mean `POCDEPLOY_SECRET_KEY`?",
        ];
        assert_eq!(unknown_variables(&names), expected);
        let known: Vec<String> = variables().chain(OTHERS.map(str::to_owned)).collect();
        assert_eq!(unknown_variables(&known), Vec::<String>::new());
    }

    #[test]
    fn a_secret_never_shows() {
        let mut config = Config::parse("[services.worker]\n").unwrap();
        let secrets: Vec<Key> = all(&config).into_iter().filter(Key::is_secret).collect();
        assert_eq!(secrets.len(), 3);
        for key in secrets {
            key.set(&mut config, "canary").unwrap();
            assert_eq!(key.show(&config), "[redacted]");
        }
    }
}
