//! `config show`: every key with its effective value and origin, on standard output.

use std::io::Write as _;

use anyhow::{Context as _, Result};

use serde_json::{Value, json};

use crate::{
    config::{
        Resolved,
        keys::{self, Key},
        schema,
    },
    flags::Output,
};

pub(crate) fn show(resolved: &Resolved, origin: bool, output: Output) -> Result<()> {
    if output == Output::Json {
        return writeln!(std::io::stdout(), "{:#}", value(resolved)).context("print the configuration");
    }
    let mut out = String::new();
    let keys = keys::all(&resolved.config);
    let width = keys.iter().map(|it| it.path.len()).max().unwrap_or_default().max(24);
    for key in keys {
        let line = format!("{:<width$} {:<36}", key.path, key.show(&resolved.config));
        if origin {
            out.push_str(&format!("{line} {}\n", resolved.origin(&key.path)));
        } else {
            out.push_str(line.trim_end());
            out.push('\n');
        }
    }
    for (host, mirror) in &resolved.config.images.mirrors {
        out.push_str(&format!("images.mirrors {host} = {mirror}\n"));
    }
    std::io::stdout().write_all(out.as_bytes()).context("print the configuration")
}

/// Prints the schema for editors.
pub(crate) fn schema() -> Result<()> {
    std::io::stdout().write_all(schema::text().as_bytes()).context("print the schema")
}

/// The JSON form, also for the support bundle.
pub(crate) fn value(resolved: &Resolved) -> Value {
    let key = |key: &Key| {
        let value = key.show(&resolved.config);
        json!({ "key": key.path, "value": value, "origin": resolved.origin(&key.path).to_string() })
    };
    let keys: Vec<Value> = keys::all(&resolved.config).iter().map(key).collect();
    json!({ "schema": 1, "keys": keys, "mirrors": resolved.config.images.mirrors })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn machines_get_values_with_their_origins_and_no_secret() {
        let text = format!("[frontend]\nsecret_key = \"{}\"\n", "canary".repeat(10));
        let value = value(&Config::resolve(&text, &|_| None).unwrap());
        let key = value["keys"].as_array().unwrap().iter().find(|it| it["key"] == "frontend.secret_key").unwrap();
        assert_eq!(*key, json!({ "key": "frontend.secret_key", "value": "[redacted]", "origin": "Pocdeploy.toml:2" }));
        assert_eq!(value["mirrors"], json!({}));
    }
}
