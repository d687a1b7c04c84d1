//! Where the value of a secret variable comes from: a line of `[….secrets]`.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::{
    Config, Service,
    form::control_character,
    keys::{self, Key},
};

/// Stands for all keys of a SOPS file, instead of a variable's name.
pub const EVERY: &str = "*";

/// The fewest characters of a generated value: 96 bits.
const SHORTEST: u16 = 16;
/// The most characters of a generated value.
const LONGEST: u16 = 4096;

/// The source of one secret: exactly one of `env`, `file`, `generate`, `sops` and `age`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct SecretSource {
    /// A variable of the tool's environment.
    pub env: Option<String>,
    /// A file: relative to the project's folder, absolute, or below `~/`. git must not track it, and other users must not be able to read it.
    pub file: Option<PathBuf>,
    /// The number of characters of a value that is generated once, and stored only in the cluster.
    #[schemars(range(min = 16, max = 4096))]
    pub generate: Option<u16>,
    /// A file that `sops decrypt` decrypts: YAML, JSON, dotenv, INI or, with another extension, one value.
    pub sops: Option<PathBuf>,
    /// The key in the SOPS file: `mail.password`. Not set: the variable's name.
    pub key: Option<String>,
    /// A file that `age --decrypt` decrypts to one value.
    pub age: Option<PathBuf>,
    /// The file with the identity for `age`.
    pub identity: Option<PathBuf>,
}

/// A valid source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin<'a> {
    Variable(&'a str),
    File(&'a Path),
    Generated(usize),
    /// A file, and the key in it: `None` for a file that holds one value, and for all keys.
    Sops(&'a Path, Option<&'a str>),
    /// A file, and the identity's file.
    Age(&'a Path, &'a Path),
}

impl SecretSource {
    /// The names of the keys that a line may have.
    pub(super) fn has(key: &str) -> bool {
        ["env", "file", "generate", "sops", "key", "age", "identity"].contains(&key)
    }

    /// The source of the variable with this name; `None` if the line is not valid.
    pub fn origin<'a>(&'a self, name: &'a str) -> Option<Origin<'a>> {
        match self {
            SecretSource { env: Some(variable), .. } => Some(Origin::Variable(variable)),
            SecretSource { file: Some(file), .. } => Some(Origin::File(file)),
            SecretSource { generate: Some(length), .. } => Some(Origin::Generated((*length).into())),
            SecretSource { sops: Some(file), .. } if name == EVERY || !has_keys(file) => Some(Origin::Sops(file, None)),
            SecretSource { sops: Some(file), key, .. } => Some(Origin::Sops(file, Some(key.as_deref().unwrap_or(name)))),
            SecretSource { age: Some(file), identity: Some(identity), .. } => Some(Origin::Age(file, identity)),
            _ => None,
        }
    }

    /// What is wrong with the line of the variable with this name.
    pub(super) fn complaint(&self, name: &str) -> Option<String> {
        let sources = [self.env.is_some(), self.file.is_some(), self.generate.is_some(), self.sops.is_some(), self.age.is_some()];
        let wrong = |text: &str| Some(text.to_owned());
        match sources.iter().filter(|it| **it).count() {
            0 => return wrong("names no source: one of env, file, generate, sops and age"),
            1 => {}
            _ => return wrong("names several sources; a secret has one of env, file, generate, sops and age"),
        }
        if name == EVERY && self.sops.as_deref().is_none_or(|it| !has_keys(it)) {
            return wrong("stands for all keys of a SOPS file: \"*\" = { sops = \"FILE\" }, with YAML, JSON, dotenv or INI");
        }
        let paths = [("file", &self.file), ("sops", &self.sops), ("age", &self.age), ("identity", &self.identity)];
        if let Some((key, _)) = paths.iter().find(|(_, it)| it.as_ref().is_some_and(|it| it.as_os_str().is_empty())) {
            return Some(format!("`{key}` is empty: it names a file"));
        }
        if let Some(variable) = &self.env
            && (variable.is_empty() || variable.contains(['=', '\0']) || variable.starts_with("POCDEPLOY_"))
        {
            return wrong("`env` names a variable of your environment; names with POCDEPLOY_ are the tool's own");
        }
        let texts = paths.iter().filter_map(|(key, it)| Some((*key, it.as_ref()?.to_str()?)));
        let texts = texts.chain([("env", &self.env), ("key", &self.key)].into_iter().filter_map(|(key, it)| Some((key, it.as_deref()?))));
        if let Some((key, why)) = texts.filter_map(|(key, it)| Some((key, control_character(it)?))).next() {
            return Some(format!("`{key}` {why}"));
        }
        match self {
            SecretSource { generate: Some(length), .. } if !(SHORTEST..=LONGEST).contains(length) => {
                Some(format!("`generate` is a number of characters between {SHORTEST} and {LONGEST}"))
            }
            SecretSource { key: Some(_), sops: None, .. } => wrong("`key` is a key of a SOPS file, and there is no `sops`"),
            SecretSource { key: Some(_), .. } if name == EVERY => wrong("`key` means nothing here: this line stands for all keys"),
            SecretSource { key: Some(_), sops: Some(file), .. } if !has_keys(file) => {
                wrong("`key` means nothing here: a SOPS file that is no .yaml, .json, .env or .ini holds one value")
            }
            SecretSource { key: Some(key), .. } if key.is_empty() => wrong("`key` is empty; leave it out for the variable's name"),
            SecretSource { identity: Some(_), age: None, .. } => wrong("`identity` is for `age`, and there is no `age`"),
            SecretSource { age: Some(_), identity: None, .. } => wrong("`age` needs `identity`, the file with your age identity"),
            _ => None,
        }
    }
}

/// Whether SOPS sees keys in a file: it decides by the extension, and takes any other file for one value.
fn has_keys(file: &Path) -> bool {
    let extension = file.extension().unwrap_or_default();
    ["yaml", "yml", "json", "env", "ini"].iter().any(|it| extension == *it)
}

/// Variables that follow from the pod, the database or the address, so that another value would be wrong.
const FIXED: [&str; 17] = [
    "PORT",
    "DATABASE_URL",
    "DATABASE_URI",
    "PGHOST",
    "PGPORT",
    "PGDATABASE",
    "PGUSER",
    "PGPASSWORD",
    "PGSSLMODE",
    "PGSSLROOTCERT",
    "NODE_EXTRA_CA_CERTS",
    "ALLOWED_HOSTS",
    "TRUSTED_ORIGINS",
    "PLAIN_HTTP_HOSTS",
    "APP_URL",
    "HOME",
    "PATH",
];

impl Service {
    /// Why the service cannot have a secret with this name, besides its form.
    pub fn refuses_secret(&self, name: &str) -> Option<String> {
        if FIXED.contains(&name) {
            let other = format!("give it another name, such as MY_{name}, and write {name} = \"$(MY_{name})\" into [….env]");
            return Some(format!("`{name}` is set by the tool; {other}"));
        }
        if name == "SECRET_KEY" && self.secret_key.is_some() {
            return Some("`SECRET_KEY` is set by `secret_key`, too; keep one of them".to_owned());
        }
        self.env.contains_key(name).then(|| format!("`{name}` is in [….env], too; keep one of them"))
    }
}

impl Config {
    /// The variables of the tool's environment that hold secrets: the sources of secrets, and the tool's own settings with one.
    pub fn variables_with_secrets(&self) -> Vec<String> {
        let sources = self.all_services().flat_map(|(_, it)| it.secrets.values());
        let own = keys::all(self).into_iter().filter(Key::is_secret).filter_map(|it| it.variable());
        sources.filter_map(|it| it.env.clone()).chain(own).collect()
    }

    /// The files that contain secrets in clear text: values, and identities.
    pub fn files_with_secrets(&self) -> impl Iterator<Item = &Path> {
        let sources = self.all_services().flat_map(|(_, it)| it.secrets.values());
        sources.flat_map(|it| [&it.file, &it.identity]).filter_map(|it| it.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_with_a_secret_is_known_and_others_are_not() {
        let text = "[frontend.secrets]\nTOKEN = { env = \"MY_TOKEN\" }\nKEY = { generate = 32 }\n";
        let names = Config::parse(text).unwrap().variables_with_secrets();
        assert_eq!(names, ["MY_TOKEN", "POCDEPLOY_SECRET_KEY", "POCDEPLOY_DATABASE_PASSWORD"]);
    }

    #[track_caller]
    fn check(name: &str, line: &str, expected: &str) {
        let source: SecretSource = toml::from_str(line).unwrap();
        let complaint = source.complaint(name);
        assert_eq!(complaint.is_none(), source.origin(name).is_some() && expected.is_empty(), "{line}: {complaint:?}");
        assert!(complaint.unwrap_or_default().contains(expected), "{line}");
    }

    #[test]
    fn a_line_has_one_source_with_what_belongs_to_it() {
        for line in [
            "env = 'A'",
            "file = 'a'",
            "generate = 48",
            "sops = 'a.yaml'",
            "sops = 'a.yaml'\nkey = 'b.c'",
            "sops = 'tls.key'",
            "age = 'a'\nidentity = 'b'",
        ] {
            check("A", line, "");
        }
        check("*", "sops = 'a.env'", "");
    }

    #[test]
    fn the_key_of_a_sops_file_is_the_variables_name_where_none_is_given() {
        let source = |line: &str| toml::from_str::<SecretSource>(line).unwrap();
        assert_eq!(source("sops = 'a.env'").origin("A"), Some(Origin::Sops(Path::new("a.env"), Some("A"))));
        assert_eq!(source("sops = 'a.env'\nkey = 'b'").origin("A"), Some(Origin::Sops(Path::new("a.env"), Some("b"))));
        assert_eq!(source("sops = 'a.env'").origin("*"), Some(Origin::Sops(Path::new("a.env"), None)));
        assert_eq!(source("sops = 'a.key'").origin("A"), Some(Origin::Sops(Path::new("a.key"), None)));
    }
}
