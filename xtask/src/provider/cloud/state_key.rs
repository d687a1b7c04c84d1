//! The key with which OpenTofu encrypts state and plan: a passphrase of the user's, or a random one in a file outside the project, so that a
//! copy of the project's folder does not contain it.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::{
    deploy::secrets,
    env::{Env, path_key},
    errors::Problem,
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
    let file = file(env)?;
    if file.exists() {
        return Ok(fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?.trim().to_owned());
    }
    let made = secrets::generate(secrets::KEY_LENGTH)?;
    record::write_file(&file, made.expose().as_bytes())?;
    Ok(made.expose().to_owned())
}

/// Removes the file of the key.
pub(super) fn forget(env: &Env) -> Result<()> {
    let file = file(env)?;
    match fs::remove_file(&file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).with_context(|| format!("remove {}", file.display())),
        _ => Ok(()),
    }
}

/// The file of an instance's key. The state is useless without it.
fn file(env: &Env) -> Result<PathBuf> {
    let data = std::env::var_os("XDG_DATA_HOME").filter(|it| !it.is_empty()).map(PathBuf::from);
    let data = match data {
        Some(data) => data,
        None => PathBuf::from(std::env::var_os("HOME").context("there is no HOME to keep the state's key in")?).join(".local/share"),
    };
    Ok(data.join("pocdeploy/state-keys").join(format!("{}-{}", env.instance, path_key(&env.work("")))))
}
