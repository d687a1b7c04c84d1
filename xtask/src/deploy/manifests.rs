//! Manifests as data: YAML files of a folder, in name order, one or more objects each.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{
    errors::{Code, Problem},
    regular,
};

/// Every object of the folder's `.yaml` files.
pub fn read_folder(dir: &Path) -> Result<Vec<Value>> {
    let mut paths: Vec<_> = fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))?.flatten().map(|it| it.path()).collect();
    paths.retain(|it| it.extension().is_some_and(|it| it == "yaml" || it == "yml"));
    paths.sort();
    let mut out = Vec::new();
    for path in paths {
        let text = regular::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        out.extend(parse(&text).with_context(|| format!("read {}", path.display()))?);
    }
    Ok(out)
}

/// Every object of a YAML stream, or of one JSON list; empty documents are passed over.
pub fn parse(text: &str) -> Result<Vec<Value>> {
    if text.starts_with('[') {
        return serde_json::from_str(text).map_err(|error| Problem::config(error.to_string()).code(Code::Manifest).into());
    }
    let mut out = Vec::new();
    for document in split(text) {
        let value: Value = serde_saphyr::from_str(&document).map_err(|error| Problem::config(error.to_string()).code(Code::Manifest))?;
        match value {
            Value::Null => {}
            Value::Object(_) => out.push(value),
            other => return Err(Problem::config(format!("a manifest is a mapping, not {other}")).code(Code::Manifest).into()),
        }
    }
    Ok(out)
}

/// Documents of a stream: lines of three dashes part them.
fn split(text: &str) -> Vec<String> {
    let mut out = vec![String::new()];
    for line in text.lines() {
        if line.trim_end() == "---" {
            out.push(String::new());
        } else if let Some(last) = out.last_mut() {
            last.push_str(line);
            last.push('\n');
        }
    }
    let is_empty = |it: &String| it.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
    out.retain(|it| !is_empty(it));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_gives_its_objects_and_no_empty_ones() {
        let found = parse("# head\n---\nkind: A\n---\n\n---\nkind: B\nx: [1, two]\n").unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[1]["x"][0], 1);
        assert!(parse("just words").is_err());
    }
}
