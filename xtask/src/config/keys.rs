//! Every key of the file by its path: how it reads, how it is set from text, and the variable that goes before the file.

use std::{fmt::Display, path::PathBuf, str::FromStr};

use crate::config::{Config, Secret, Source};

/// One key.
pub struct Key {
    /// `frontend.path`.
    pub path: &'static str,
    /// For people; a secret reads `[redacted]`, an absent value is empty.
    pub show: fn(&Config) -> String,
    /// The value as it is where it is text, a secret too; nothing where it is a number or not set.
    text: fn(&Config) -> Option<String>,
    set: fn(&mut Config, &str) -> Result<(), String>,
}

impl Key {
    /// `POCDEPLOY_FRONTEND_PATH`; the two secrets have had shorter names from the start.
    pub fn variable(&self) -> String {
        match self.path {
            "app.secret_key" => "POCDEPLOY_SECRET_KEY".to_owned(),
            path => format!("POCDEPLOY_{}", path.replace('.', "_").to_uppercase()),
        }
    }

    /// The value as it is, for rules: it may be a secret and is shown to nobody. Nothing where the key is no text or is not set.
    pub(super) fn text(&self, config: &Config) -> Option<String> {
        (self.text)(config)
    }

    /// Sets the value from a variable's text.
    pub fn set(&self, config: &mut Config, text: &str) -> Result<(), String> {
        (self.set)(config, text)
    }
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
        Key { path: $path, show: |it| it.$($field).+.clone(), text: |it| Some(it.$($field).+.clone()), set: |it, text| { it.$($field).+ = text.to_owned(); Ok(()) } }
    };
    ($path:literal, optional $($field:ident).+) => {
        Key { path: $path, show: |it| shown(it.$($field).+.as_ref()), text: |it| it.$($field).+.as_ref().map(ToString::to_string), set: |it, text| { it.$($field).+ = Some(parse(text)?); Ok(()) } }
    };
    ($path:literal, path $($field:ident).+) => {
        Key { path: $path, show: |it| it.$($field).+.display().to_string(), text: |it| Some(it.$($field).+.display().to_string()), set: |it, text| { it.$($field).+ = PathBuf::from(text); Ok(()) } }
    };
    ($path:literal, parsed $($field:ident).+) => {
        Key { path: $path, show: |it| it.$($field).+.to_string(), text: |_| None, set: |it, text| { it.$($field).+ = parse(text)?; Ok(()) } }
    };
    ($path:literal, secret $($field:ident).+) => {
        Key { path: $path, show: |it| secret(it.$($field).+.as_ref()), text: |it| it.$($field).+.as_ref().map(|it| it.expose().to_owned()), set: |it, text| { it.$($field).+ = Some(Secret::new(text)); Ok(()) } }
    };
}

/// All keys, in the file's order. Mirrors and packages are tables of the user's own names and are not among them.
pub const KEYS: [Key; 33] = [
    key!("name", optional name),
    key!("frontend.path", path frontend.path),
    key!("frontend.patch_dir", path frontend.patch_dir),
    key!("frontend.dockerfile", path frontend.dockerfile),
    key!("frontend.requirements", path frontend.requirements),
    Key {
        path: "frontend.groups",
        show: |it| it.frontend.groups.join(","),
        text: |_| None,
        set: |it, text| {
            it.frontend.groups = text.split([',', ' ']).filter(|it| !it.is_empty()).map(str::to_owned).collect();
            Ok(())
        },
    },
    key!("frontend.image", text frontend.image),
    key!("frontend.version", text frontend.version),
    key!("frontend.build_network", parsed frontend.build_network),
    Key {
        path: "cluster.type",
        show: |it| it.cluster.kind.to_string(),
        text: |_| None,
        set: |it, text| {
            it.cluster.kind = text.parse()?;
            Ok(())
        },
    },
    key!("cluster.port", optional cluster.port),
    key!("cluster.shortcuts", parsed cluster.shortcuts),
    key!("cluster.kubeconfig", optional cluster.kubeconfig),
    key!("cluster.context", optional cluster.context),
    key!("cluster.registry", optional cluster.registry),
    key!("cluster.pull_registry", optional cluster.pull_registry),
    Key {
        path: "cluster.expose",
        show: |it| shown(it.cluster.expose.as_ref()),
        text: |_| None,
        set: |it, text| {
            it.cluster.expose = Some(parse(text)?);
            Ok(())
        },
    },
    key!("database.name", text database.name),
    key!("database.user", text database.user),
    key!("database.password", secret database.password),
    key!("database.instances", parsed database.instances),
    key!("database.storage", text database.storage),
    key!("app.namespace", text app.namespace),
    key!("app.replicas", parsed app.replicas),
    key!("app.secret_key", secret app.secret_key),
    key!("app.host", text app.host),
    key!("app.path", text app.path),
    key!("app.text", text app.text),
    Key {
        path: "images.source",
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
];

/// Variables of the tool's that are no keys: the cache's folder, completions of shells, and two that it gives to its own programs.
const OTHERS: [&str; 4] = ["POCDEPLOY_CACHE_DIR", "POCDEPLOY_COMPLETE", "POCDEPLOY_DEV", "POCDEPLOY_FILE_OPTIONS"];

/// What is wrong with the names that begin as the tool's own variables do and mean nothing: a mistyped one would be passed over, and
/// the run would go on with another value.
pub(super) fn unknown_variables(names: &[String]) -> Vec<String> {
    let known: Vec<String> = KEYS.iter().map(Key::variable).chain(OTHERS.map(str::to_owned)).collect();
    let mut out = Vec::new();
    for name in names.iter().filter(|it| it.starts_with("POCDEPLOY_") && !known.contains(it)) {
        let near = known.iter().map(|it| (strsim::damerau_levenshtein(name, it), it)).filter(|(distance, _)| *distance <= 4).min();
        let meant = near.map(|(_, it)| format!("; did you mean `{it}`?")).unwrap_or_default();
        out.push(format!("{name}: no variable of this name{meant}"));
    }
    out.sort();
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_takes_its_own_words_back() {
        for key in &KEYS {
            let mut config = Config::default();
            let before = (key.show)(&config);
            if !before.is_empty() {
                key.set(&mut config, &before).unwrap();
                assert_eq!(config, Config::default(), "{}", key.path);
            }
        }
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_refused_in_words() {
        let port = KEYS.iter().find(|it| it.path == "cluster.port").unwrap();
        assert_eq!(port.variable(), "POCDEPLOY_CLUSTER_PORT");
        assert!(port.set(&mut Config::default(), "many").unwrap_err().contains("`many`"));
        let source = KEYS.iter().find(|it| it.path == "images.source").unwrap();
        assert_eq!(source.set(&mut Config::default(), "web").unwrap_err(), "`web` is none of auto, registry, packages");
    }

    #[test]
    fn a_mistyped_variable_is_named_with_the_one_that_was_meant() {
        let names = ["HOME", "POCDEPLOY_CLUSTR_PORT", "POCDEPLOY_APP_SECRET_KEY", "POCDEPLOY_FLAVOUR", "pocdeploy_name"].map(str::to_owned);
        let expected = [
            "POCDEPLOY_APP_SECRET_KEY: no variable of this name; did you mean `POCDEPLOY_SECRET_KEY`?",
            "POCDEPLOY_CLUSTR_PORT: no variable of this name; did you mean `POCDEPLOY_CLUSTER_PORT`?",
            "POCDEPLOY_FLAVOUR: no variable of this name",
        ];
        assert_eq!(unknown_variables(&names), expected);
        let known: Vec<String> = KEYS.iter().map(Key::variable).chain(OTHERS.map(str::to_owned)).collect();
        assert_eq!(unknown_variables(&known), Vec::<String>::new());
    }

    #[test]
    fn a_secret_never_shows() {
        let mut config = Config::default();
        for key in KEYS.iter().filter(|it| matches!(it.path, "app.secret_key" | "database.password")) {
            key.set(&mut config, "canary").unwrap();
            assert_eq!((key.show)(&config), "[redacted]");
        }
    }
}
