//! Finds sources of COPY and ADD that the application does not have, before the build.

use std::path::Path;

use crate::{
    artifacts,
    dockerfile::{Dockerfile, Instruction},
    fingerprint::Fingerprint,
};

/// The tool's own files in a context.
const ADDED: [&str; 3] = ["wheels", "requirements.txt", artifacts::FOLDER];

/// A missing source of a COPY or ADD.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) line: usize,
    /// `COPY manage.py`.
    pub(super) what: String,
    pub(super) source: String,
}

/// The first source that the context lacks. `context` names its files below `app/`. Ignores names with wildcards or variables, and stages
/// that the builder may skip.
pub(super) fn missing(file: &Dockerfile, context: &Fingerprint) -> Option<Missing> {
    let stages = file.instructions.iter().filter(|it| it.name == "FROM").count();
    let has = |source: &str| {
        let name = format!("app/{source}");
        let below = format!("{name}/");
        // A file in the place of a parent folder is a symbolic link, which the builder follows.
        context.parts().any(|(it, _)| *it == name || it.starts_with(&below) || name.strip_prefix(it).is_some_and(|it| it.starts_with('/')))
    };
    // With several stages, an instruction matters only if its stage is used.
    let is_built = |instruction: &Instruction| stages == 1 || is_of_used_stage(file, instruction.line);
    for instruction in file.instructions.iter().filter(|it| ["COPY", "ADD"].contains(&it.name.as_str()) && is_built(it)) {
        if instruction.flag("from").next().is_some() || instruction.heredoc.is_some() {
            continue;
        }
        for source in sources(instruction) {
            let name = source.trim_start_matches('/');
            let plain: Vec<&str> = name.split('/').filter(|it| !it.is_empty() && *it != ".").collect();
            let is_certain = !source.contains(['*', '?', '[', '$', '\\']) && !source.contains("://") && !source.contains('@');
            let Some(first) = plain.first().filter(|_| is_certain && !plain.contains(&"..")) else { continue };
            let name = plain.join("/");
            if !ADDED.contains(first) && !has(&name) {
                return Some(Missing { line: instruction.line, what: format!("{} {source}", instruction.name), source: name });
            }
        }
    }
    None
}

fn sources(instruction: &Instruction) -> Vec<String> {
    let words = serde_json::from_str(&instruction.rest).unwrap_or_else(|_| instruction.words());
    words.split_last().map(|(_, sources)| sources.to_vec()).unwrap_or_default()
}

/// Whether the line belongs to the last stage, or to one that another stage uses.
fn is_of_used_stage(file: &Dockerfile, line: usize) -> bool {
    let froms: Vec<&Instruction> = file.instructions.iter().filter(|it| it.name == "FROM").collect();
    let Some(index) = froms.iter().rposition(|it| it.line <= line) else { return false };
    let words = froms[index].words();
    let name = words.get(2).map(|it| it.to_lowercase());
    let names = |it: &str| name.as_deref() == Some(it.to_lowercase().as_str()) || it == index.to_string();
    let uses = |it: &Instruction| {
        it.flag("from").any(names)
            || it.flag("mount").any(|mount| mount.split(',').filter_map(|part| part.strip_prefix("from=")).any(names))
            || (it.name == "FROM" && it.line != froms[index].line && it.words().first().is_some_and(|it| names(it)))
    };
    index + 1 == froms.len() || file.instructions.iter().any(uses)
}

/// The reason: the file is excluded, or does not exist.
pub(super) fn why(missing: &Missing, stage: &Path) -> &'static str {
    if stage.join(&missing.source).exists() { "the application's .dockerignore keeps it out" } else { "the application has no such file" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dockerfile::parse;

    fn context(names: &[&str]) -> Fingerprint {
        let mut out = Fingerprint::new();
        for name in names {
            out.add(format!("app/{name}"), "");
        }
        out
    }

    fn found(text: &str) -> Option<(usize, String)> {
        missing(&parse(text), &context(&["manage.py", "site/a.py"])).map(|it| (it.line, it.source))
    }

    #[test]
    fn a_source_that_is_not_there_is_found_with_its_line() {
        assert_eq!(found("FROM x\nCOPY manage.py ./site/ /site/a.py wheels requirements.txt . /srv/"), None);
        assert_eq!(found("FROM x\nCOPY manage.py /\nCOPY [\"gone me\", \"/\"]"), Some((3, "gone me".to_owned())));
        assert_eq!(found("FROM x\nADD --chmod=0644 sit /"), Some((2, "sit".to_owned())));
        assert_eq!(found("FROM x\nCOPY manage.py/linked /"), None);
        assert_eq!(found("FROM x\nCOPY --from=y gone /\nCOPY go* $GONE https://x/gone /\nCOPY <<E /a\nE\n"), None);
    }

    #[test]
    fn a_stage_that_nobody_uses_may_copy_what_it_likes() {
        assert_eq!(found("FROM x AS tests\nCOPY gone /\nFROM x\nCOPY site /"), None);
        assert_eq!(found("FROM x AS Tools\nCOPY gone /\nFROM x\nCOPY --from=tools /gone /"), Some((2, "gone".to_owned())));
        assert_eq!(found("FROM x AS base\nCOPY gone /\nFROM base"), Some((2, "gone".to_owned())));
    }
}
