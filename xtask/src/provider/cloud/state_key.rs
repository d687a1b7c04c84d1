//! The key with which OpenTofu encrypts state and plan: a passphrase of the user's, or a random one in a file outside the project, so that a
//! copy of the project's folder does not contain it.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::{
    deploy::secrets,
    env::{Env, path_key},
    errors::Problem,
    provider::cloud::{
        known::{FOLDER, private_folder},
        state::STATE,
    },
    record,
};

/// The user's own passphrase, for example in CI.
const VARIABLE: &str = "POCDEPLOY_STATE_PASSPHRASE";
/// The least of OpenTofu's key provider `pbkdf2` (opentofu.org/docs/language/state/encryption).
const SHORTEST: usize = 16;

/// OpenTofu's least number of iterations, enough for 384 random bits; a passphrase of the user's gets its default.
const ITERATIONS: u32 = 200_000;

/// The value of `TF_ENCRYPTION`. With `takes_over` a state in plain text is read too, and written encrypted.
pub(super) fn encryption(env: &Env, takes_over: bool) -> Result<String> {
    let passphrase = passphrase(env, takes_over)?;
    env.withhold([passphrase.clone()].into_iter());
    Ok(document(&passphrase, own().is_none(), takes_over))
}

/// A passphrase says that the state is to be encrypted.
pub(super) fn refuse_for_terraform() -> Result<()> {
    if own().is_none() {
        return Ok(());
    }
    Err(Problem::requirement(format!("{VARIABLE} is set, and Terraform cannot encrypt its state"))
        .hint(format!("install OpenTofu: https://opentofu.org/docs/intro/install. Or, for a state in plain text: unset {VARIABLE}"))
        .into())
}

/// The same as a text in double quotes of a shell, which reads the key from its file; `None` with a passphrase of the user's.
pub(super) fn in_shell(env: &Env, takes_over: bool) -> Result<Option<String>> {
    if own().is_some() {
        return Ok(None);
    }
    let text = document("KEY", true, takes_over).replace('"', "\\\"");
    Ok(Some(text.replace("KEY", &format!("$(cat '{}')", file(env)?.display()))))
}

fn document(passphrase: &str, is_random: bool, takes_over: bool) -> String {
    // In JSON a reference is the bare text; OpenTofu 1.12.6 refuses `${…}` here, unlike in every other JSON form of its language.
    let target = json!({ "method": "method.aes_gcm.own", "enforced": true });
    let mut key = json!({ "passphrase": passphrase });
    if is_random {
        key["iterations"] = json!(ITERATIONS);
    }
    let (keys, methods) = (json!({ "own": key }), json!({ "own": { "keys": "key_provider.pbkdf2.own" } }));
    let mut methods = json!({ "aes_gcm": methods });
    let mut state = target.clone();
    if takes_over {
        methods["unencrypted"] = json!({ "plain": {} });
        state = json!({ "method": "method.aes_gcm.own", "fallback": { "method": "method.unencrypted.plain" } });
    }
    json!({ "key_provider": { "pbkdf2": keys }, "method": methods, "state": state, "plan": target }).to_string()
}

/// The user's passphrase.
fn own() -> Option<String> {
    std::env::var(VARIABLE).ok().filter(|it| !it.is_empty())
}

fn passphrase(env: &Env, takes_over: bool) -> Result<String> {
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
    if env.work(FOLDER).join(STATE).exists() && !takes_over {
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

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn only_where_terraform_has_begun_a_state_in_plain_text_is_read() {
        let read = |takes_over| serde_json::from_str::<Value>(&document("sixteen letters.", true, takes_over)).unwrap();
        let (strict, taking) = (read(false), read(true));
        assert_eq!(strict["state"], json!({ "method": "method.aes_gcm.own", "enforced": true }));
        assert!(strict["method"]["unencrypted"].is_null());
        assert_eq!(taking["state"]["fallback"], json!({ "method": "method.unencrypted.plain" }));
        assert_eq!(taking["state"]["method"], strict["state"]["method"]);
        assert_eq!(taking["plan"], strict["plan"]);
    }
}
