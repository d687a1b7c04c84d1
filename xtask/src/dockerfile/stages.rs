//! The stages of a Dockerfile, and the arguments in its FROM lines.

use std::collections::BTreeMap;

use crate::dockerfile::{Dockerfile, Instruction};

/// A FROM instruction and those after it.
#[derive(Clone, Debug)]
pub struct Stage<'a> {
    /// In lower case, since stage names are case-insensitive.
    pub name: Option<String>,
    pub instructions: &'a [Instruction],
}

/// All stages in order.
pub fn stages(file: &Dockerfile) -> Vec<Stage<'_>> {
    let instructions = &file.instructions;
    let starts: Vec<usize> = (0..instructions.len()).filter(|it| instructions[*it].name == "FROM").collect();
    let ends = starts.iter().skip(1).copied().chain([instructions.len()]);
    let stage = |(start, end): (usize, usize)| {
        let words = instructions[start].words();
        let name = words.get(2).filter(|_| words[1].eq_ignore_ascii_case("as")).map(|it| it.to_lowercase());
        Stage { name, instructions: &instructions[start..end] }
    };
    starts.iter().copied().zip(ends).map(stage).collect()
}

/// The arguments that FROM lines can use: those declared before the first FROM, with the build's values `args` before their defaults. An
/// argument that the file does not declare is unknown, even if the build sets it.
pub fn arguments(file: &Dockerfile, args: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut known = BTreeMap::new();
    for argument in file.instructions.iter().take_while(|it| it.name != "FROM").filter(|it| it.name == "ARG") {
        for word in argument.words() {
            let (name, default) = word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
            let value = args.get(name).cloned().or_else(|| expand(default?, &known));
            known.extend(value.map(|it| (name.to_owned(), it)));
        }
    }
    known
}

/// Replaces variables; `None` if one is unknown or has a complex form.
pub fn expand(text: &str, known: &BTreeMap<String, String>) -> Option<String> {
    let Some((before, after)) = text.split_once('$') else { return Some(text.to_owned()) };
    let (value, rest) = match after.strip_prefix('{') {
        Some(inner) => {
            let (inner, rest) = inner.split_once('}')?;
            let end = inner.find(|it: char| !it.is_alphanumeric() && it != '_').unwrap_or(inner.len());
            let (name, other) = inner.split_at(end);
            let value = known.get(name).cloned();
            let full = value.clone().filter(|it| !it.is_empty());
            let value = if let Some(default) = other.strip_prefix(":-") {
                full.or_else(|| expand(default, known))
            } else if let Some(default) = other.strip_prefix('-') {
                value.or_else(|| expand(default, known))
            } else if other.is_empty() {
                value
            } else {
                None
            };
            (value?, rest)
        }
        None => {
            let end = after.find(|it: char| !it.is_alphanumeric() && it != '_').unwrap_or(after.len());
            (known.get(&after[..end]).cloned()?, &after[end..])
        }
    };
    Some(format!("{before}{value}{}", expand(rest, known)?))
}
