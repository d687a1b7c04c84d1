//! Values in a decrypted SOPS file. Pure. SOPS leaves keys in clear text, so messages may name them.

use std::path::Path;

use serde_json::Value;

/// The most keys in a message.
const SHOWN: usize = 8;

/// The output of `sops decrypt --output-type json`. For INI, SOPS 3.10 puts keys above the first section into a section `DEFAULT`, which it
/// adds also where there are none.
pub(super) fn parse(text: &str, file: &Path) -> Option<Value> {
    let mut tree: Value = serde_json::from_str(text).ok()?;
    if file.extension().is_some_and(|it| it == "ini")
        && let Some(fields) = tree.as_object_mut()
        && let Some(Value::Object(above)) = fields.remove("DEFAULT")
    {
        fields.extend(above);
    }
    Some(tree)
}

/// The value of a key: at the top by its whole name, or else below, with a dot between the names: `mail.password`, `hosts.0`.
pub(super) fn find(tree: &Value, key: &str) -> Result<String, String> {
    let step = |at: &Value, name: &str| match at {
        Value::Array(items) => name.parse::<usize>().ok().and_then(|it| items.get(it)).cloned(),
        other => other.get(name).cloned(),
    };
    let below = || key.split('.').try_fold(tree.clone(), |at, name| step(&at, name));
    match tree.get(key).cloned().or_else(below) {
        Some(Value::String(text)) => Ok(text),
        Some(Value::Number(number)) => Ok(number.to_string()),
        Some(Value::Bool(truth)) => Ok(truth.to_string()),
        Some(Value::Null) => Err(format!("has no value for the key `{key}`")),
        Some(Value::Array(_) | Value::Object(_)) => Err(format!("has more than one value below the key `{key}`")),
        None => {
            let mut all = Vec::new();
            leaves(tree, "", &mut all);
            let near = all.iter().map(|it| (strsim::damerau_levenshtein(key, it), it)).filter(|(distance, _)| *distance <= 3).min();
            let meant = near.map(|(_, it)| format!("; did you mean `{it}`?"));
            let more = if all.len() > SHOWN { ", …" } else { "" };
            all.truncate(SHOWN);
            Err(format!("has no key `{key}`{}", meant.unwrap_or_else(|| format!("; it has {}{more}", all.join(", ")))))
        }
    }
}

fn leaves(tree: &Value, prefix: &str, out: &mut Vec<String>) {
    let path = |name: &str| if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") };
    match tree {
        Value::Object(fields) => fields.iter().for_each(|(name, inner)| leaves(inner, &path(name), out)),
        Value::Array(items) => items.iter().enumerate().for_each(|(index, inner)| leaves(inner, &path(&index.to_string()), out)),
        _ => out.push(prefix.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_above_the_first_section_of_an_ini_file_are_at_the_top() {
        let text = r#"{"DEFAULT":{"a":"1"},"mail":{"b":"2"}}"#;
        assert_eq!(parse(text, Path::new("x.ini")), Some(json!({ "mail": { "b": "2" }, "a": "1" })));
        assert_eq!(parse(text, Path::new("x.json")).unwrap()["DEFAULT"]["a"], "1");
        assert_eq!(parse("canary", Path::new("x.json")), None);
    }

    #[test]
    fn a_key_is_found_by_its_path_and_a_wrong_one_gets_the_nearest_name_and_no_value() {
        let tree = json!({ "mail": { "password": "canary-1", "port": 587, "tls": true, "from": null }, "a.b": "dot", "hosts": ["x", "y"] });
        for (key, expected) in [("mail.password", "canary-1"), ("mail.port", "587"), ("mail.tls", "true"), ("a.b", "dot"), ("hosts.1", "y")]
        {
            assert_eq!(find(&tree, key).as_deref(), Ok(expected));
        }
        for (key, expected) in [
            ("mail.passwort", "has no key `mail.passwort`; did you mean `mail.password`?"),
            ("nothing", "has no key `nothing`; it has mail.password, mail.port, mail.tls, mail.from, a.b, hosts.0, hosts.1"),
            ("mail", "has more than one value below the key `mail`"),
            ("mail.from", "has no value for the key `mail.from`"),
            ("hosts.2", "has no key `hosts.2`; did you mean `hosts.0`?"),
        ] {
            assert_eq!(find(&tree, key), Err(expected.to_owned()));
        }
    }
}
