//! The key with which OpenTofu encrypts state and plan: a passphrase of the user's, or a random one in a file outside the project, so that a
//! copy of the project's folder does not contain it.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::{
    deploy::secrets,
    env::{Env, path_key},
    errors::Problem,
    provider::cloud::known::{FOLDER, private_folder},
    record,
};

/// The user's own passphrase, for example in CI.
const VARIABLE: &str = "POCDEPLOY_STATE_PASSPHRASE";
/// The least of OpenTofu's key provider `pbkdf2` (opentofu.org/docs/language/state/encryption).
const SHORTEST: usize = 16;

/// OpenTofu's least number of iterations, enough for 384 random bits; a passphrase of the user's gets its default.
const ITERATIONS: u32 = 200_000;

/// The value of `TF_ENCRYPTION`.
pub(super) fn encryption(env: &Env) -> Result<String> {
    let passphrase = passphrase(env)?;
    env.withhold([passphrase.clone()].into_iter());
    Ok(document(&passphrase, own().is_none()))
}

/// The same as a text in double quotes of a shell, which reads the key from its file; `None` with a passphrase of the user's.
pub(super) fn in_shell(env: &Env) -> Result<Option<String>> {
    if own().is_some() {
        return Ok(None);
    }
    let text = document("KEY", true).replace('"', "\\\"");
    Ok(Some(text.replace("KEY", &format!("$(cat '{}')", file(env)?.display()))))
}

fn document(passphrase: &str, is_random: bool) -> String {
    // In JSON a reference is the bare text; OpenTofu 1.12.6 refuses `${…}` here, unlike in every other JSON form of its language.
    let target = json!({ "method": "method.aes_gcm.own", "enforced": true });
    let mut key = json!({ "passphrase": passphrase });
    if is_random {
        key["iterations"] = json!(ITERATIONS);
    }
    let (keys, methods) = (json!({ "own": key }), json!({ "own": { "keys": "key_provider.pbkdf2.own" } }));
    json!({ "key_provider": { "pbkdf2": keys }, "method": { "aes_gcm": methods }, "state": target, "plan": target }).to_string()
}

/// The user's passphrase.
fn own() -> Option<String> {
    std::env::var(VARIABLE).ok().filter(|it| !it.is_empty())
}

fn passphrase(env: &Env) -> Result<String> {
    if let Some(set) = own() {
        if set.chars().count() < SHORTEST {
            return Err(Problem::config(format!("{VARIABLE}: at least {SHORTEST} characters are necessary")).into());
        }
        return Ok(set);
    }
    if !env.config.cluster.backend.is_empty() {
        let what = format!("a state in a backend needs a passphrase that every machine has: {VARIABLE} is not set");
        return Err(Problem::requirement(what)
            .hint(format!("{VARIABLE}=$(openssl rand -hex 32), kept where your CI keeps its secrets"))
            .into());
    }
    let file = file(env)?;
    if file.exists() {
        return Ok(fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?.trim().to_owned());
    }
    if env.work(FOLDER).join("terraform.tfstate").exists() {
        let what = format!("the key of OpenTofu's state is missing: put back the file {}", file.display());
        return Err(Problem::requirement(what).hint("without it only the list of `delete` finds what exists").into());
    }
    let made = secrets::generate(secrets::KEY_LENGTH)?;
    record::write_file(&file, made.expose().as_bytes())?;
    private_folder(&env.work(FOLDER))?;
    record::write_json(&env.work(FOLDER).join(NAME), &file.file_name().unwrap_or_default().to_string_lossy())?;
    Ok(made.expose().to_owned())
}

/// The file of an instance's key. The state is useless without it. Its name is kept beside the state, so that the project can move.
pub(super) fn file(env: &Env) -> Result<PathBuf> {
    let data = std::env::var_os("XDG_DATA_HOME").filter(|it| !it.is_empty()).map(PathBuf::from);
    let data = match data {
        Some(data) => data,
        None => PathBuf::from(std::env::var_os("HOME").context("there is no HOME to keep the state's key in")?).join(".local/share"),
    };
    let name = record::read_json::<String>(&env.work(FOLDER).join(NAME));
    Ok(data.join("pocdeploy/state-keys").join(name.unwrap_or_else(|| format!("{}-{}", env.instance, path_key(&env.work(""))))))
}

const NAME: &str = "key.json";
