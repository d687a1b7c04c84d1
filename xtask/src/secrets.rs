//! The values of `[….secrets]`, read from their sources: the environment, files, SOPS and age. Generated values are only in the cluster,
//! so `tasks/service_secrets.rs` reads or makes them.

mod file;
mod sops;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Result;

use crate::{
    config::{EVERY, Secret, SecretOrigin, SecretSource, Service, ServiceName, table_of},
    env::Env,
    errors::{Code, Problem},
    graph::TaskId,
    tool,
};

/// The log of the programs that decrypt.
const TASK: TaskId = TaskId::Deploy;
/// For a program that may ask a key service. One that waits for a passphrase gets none.
const LIMIT: Duration = Duration::from_secs(60);
/// The most bytes of a value. Linux limits a variable with its name to 128 KiB, and Kubernetes a Secret to 1 MiB.
const MOST: usize = 64 * 1024;

/// The values of every service by the names of their variables, without generated ones.
#[derive(Clone, Default)]
pub struct Given(BTreeMap<Option<ServiceName>, BTreeMap<String, Secret>>);

impl Given {
    /// The values of one service.
    pub fn of(&self, service: Option<ServiceName>) -> impl Iterator<Item = (&String, &Secret)> {
        self.0.get(&service).into_iter().flatten()
    }
}

/// Reads all sources, once in a run. The error names everything that is wrong, with the way to correct it.
pub fn read(env: &Env) -> Result<Given> {
    env.readings.once("secrets", || {
        let (mut out, mut wrong) = (Given::default(), Vec::new());
        let mut reader = Reader { env, trees: BTreeMap::new() };
        refuse_missing_programs(env)?;
        for (service, config) in env.config.all_services() {
            let values = out.0.entry(service).or_default();
            for (name, source) in &config.secrets {
                let key = format!("{}.secrets.{name}", table_of(service));
                let Some(origin) = source.origin(name) else { continue };
                let read = match origin {
                    SecretOrigin::Generated(_) => continue,
                    SecretOrigin::Sops(file, None) if name == EVERY => {
                        reader.every(file, config, env.config.service(env.config.image_of(service)))
                    }
                    _ => reader.one(origin).and_then(|it| checked(it).map(|it| vec![(name.clone(), it)])),
                };
                env.interrupt.check()?;
                match read {
                    // `every` leaves out the keys that have a line of their own.
                    Ok(read) => values.extend(read.into_iter().map(|(name, value)| (name, Secret::new(value)))),
                    Err(why) => wrong.push(format!("{key}: {why}")),
                }
            }
        }
        env.withhold(out.0.values().flat_map(|it| it.values()).map(|it| it.expose().to_owned()));
        if wrong.is_empty() {
            return Ok(out);
        }
        let hint = "correct this, and run the same command again; nothing was deployed";
        Err(Problem::config(wrong.join("\n")).code(Code::SecretUnreadable).hint(hint).into())
    })
}

/// A program that a source needs.
pub struct Program {
    pub name: &'static str,
    /// The first key that needs it.
    pub key: String,
    /// Where to get it.
    place: &'static str,
    /// Its oldest version that works.
    pub least: (u32, u32),
    /// The arguments with which it tells its version, without a question to the network.
    pub version: &'static [&'static str],
}

/// The programs that the sources need.
pub fn programs(env: &Env) -> Vec<Program> {
    let first = |needs: fn(&SecretSource) -> bool| {
        env.config.all_services().find_map(|(service, it)| {
            let (name, _) = it.secrets.iter().find(|(_, it)| needs(it))?;
            Some(format!("{}.secrets.{name}", table_of(service)))
        })
    };
    let sops = first(|it| it.sops.is_some()).map(|key| {
        let version = &["--disable-version-check", "--version"];
        Program { name: "sops", key, place: "https://getsops.io", least: (3, 9), version }
    });
    let age = first(|it| it.age.is_some()).map(|key| {
        let version = &["--version"];
        Program { name: "age", key, place: "https://age-encryption.org", least: (1, 0), version }
    });
    sops.into_iter().chain(age).collect()
}

fn refuse_missing_programs(env: &Env) -> Result<()> {
    for Program { name, key, place, least: (major, minor), .. } in programs(env) {
        if tool::find(name).is_none() {
            let what = format!("{key} needs `{name}`, which is not on this machine's PATH");
            let hint = format!("install {name} {major}.{minor} or newer ({place}), and run the same command again; nothing was deployed");
            return Err(Problem::requirement(what).hint(hint).into());
        }
    }
    Ok(())
}

struct Reader<'a> {
    env: &'a Env,
    /// The decrypted SOPS files, or why they are not.
    trees: BTreeMap<PathBuf, Result<serde_json::Value, String>>,
}

impl Reader<'_> {
    fn one(&mut self, origin: SecretOrigin<'_>) -> Result<String, String> {
        match origin {
            SecretOrigin::Variable(name) => variable(name),
            SecretOrigin::File(path) => file::clear_text(self.env, path),
            SecretOrigin::Sops(path, Some(key)) => {
                let found = self.tree(path)?;
                sops::find(found, key).map_err(|why| format!("{} {why}", path.display()))
            }
            SecretOrigin::Sops(path, None) => self.decrypt(path, "sops", &["decrypt".as_ref(), file::place(self.env, path).as_os_str()]),
            SecretOrigin::Age(path, identity) => {
                file::refuse_open(self.env, identity)?;
                let (path_, identity) = (file::place(self.env, path), file::place(self.env, identity));
                let words = ["--decrypt".as_ref(), "--identity".as_ref(), identity.as_os_str(), path_.as_os_str()];
                self.decrypt(path, "age", &words)
            }
            SecretOrigin::Generated(_) => Ok(String::new()),
        }
    }

    /// Every key of a SOPS file, without those that have a line of their own.
    fn every(&mut self, path: &Path, config: &Service, used: &Service) -> Result<Vec<(String, String)>, String> {
        let tree = self.tree(path)?;
        let mut out = Vec::new();
        let file = path.display();
        for name in tree.as_object().into_iter().flatten().map(|(name, _)| name) {
            if config.secrets.contains_key(name) {
                continue;
            }
            let refused = config.refuses_secret(name);
            let of_used = used.env.contains_key(name).then(|| format!("`{name}` is in [….env] of the service that this one uses, too"));
            if let Some(why) = refused.or(of_used) {
                return Err(format!("{file}: {why}"));
            }
            if !is_variable(name) {
                return Err(format!(
                    "{file} has the key `{}`, which is no name of a variable; name its keys one by one",
                    name.escape_debug()
                ));
            }
            let value = sops::find(tree, name).map_err(|why| format!("{file} {why}; name its keys one by one"))?;
            out.push((name.clone(), checked(value).map_err(|why| format!("{file}: {name} {why}"))?));
        }
        if out.is_empty() { Err(format!("{file} has no keys")) } else { Ok(out) }
    }

    fn tree(&mut self, path: &Path) -> Result<&serde_json::Value, String> {
        let place = file::place(self.env, path);
        if !self.trees.contains_key(&place) {
            let words = ["decrypt".as_ref(), "--output-type".as_ref(), "json".as_ref(), place.as_os_str()];
            let text = self.decrypt(path, "sops", &words);
            // The parser's error could quote a value.
            let none = || format!("`sops decrypt {}` wrote no JSON", path.display());
            let parsed = text.and_then(|it| sops::parse(&it, path).ok_or_else(none));
            self.trees.insert(place.clone(), parsed);
        }
        self.trees[&place].as_ref().map_err(Clone::clone)
    }

    /// The standard output of a program that decrypts; it is in no log.
    fn decrypt(&self, path: &Path, program: &str, words: &[&std::ffi::OsStr]) -> Result<String, String> {
        let place = file::place(self.env, path);
        if !place.exists() {
            return Err(format!("there is no file {}", path.display()));
        }
        let read = || {
            let sh = self.env.tools.shell(&self.env.project)?;
            self.env.tools.with_environment().read_within(TASK, sh.cmd(program).args(words), LIMIT)
        };
        read().map_err(|error| {
            let how = if program == "age" { "age --decrypt --identity" } else { "sops decrypt" };
            format!("{} cannot be decrypted: {error:#}\n  `{how} …` in a terminal shows the same", path.display())
        })
    }
}

fn variable(name: &str) -> Result<String, String> {
    match std::env::var(name) {
        Ok(value) => Ok(value),
        Err(std::env::VarError::NotPresent) => Err(format!("the variable {name} is not set; set it: export {name}=…")),
        Err(std::env::VarError::NotUnicode(_)) => Err(format!("the value of the variable {name} is not UTF-8")),
    }
}

/// Kubernetes takes any text without a zero byte; an empty value is never meant.
fn checked(value: String) -> Result<String, String> {
    if value.trim().is_empty() {
        return Err("the value is empty".to_owned());
    }
    if value.contains(['\0', char::REPLACEMENT_CHARACTER]) {
        return Err("the value is no text in UTF-8, as a variable must be".to_owned());
    }
    if value.len() > MOST { Err(format!("the value has more than {MOST} bytes, too many for a variable")) } else { Ok(value) }
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|it: char| it.is_ascii_alphabetic() || it == '_') && name.chars().all(|it| it.is_ascii_alphanumeric() || it == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_text_and_not_empty() {
        assert_eq!(checked("-----BEGIN\nx\n".to_owned()).as_deref(), Ok("-----BEGIN\nx\n"));
        for wrong in ["", " \n", "a\0b", "\u{fffd}", &"x".repeat(MOST + 1)] {
            assert!(checked(wrong.to_owned()).is_err(), "{wrong:.10}");
        }
    }
}
