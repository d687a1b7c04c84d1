//! The base images of a build, which the engine must have or pull.

use std::collections::{BTreeMap, BTreeSet};

use crate::dockerfile::{
    Dockerfile,
    stages::{Stage, arguments, expand, stages},
};

/// An image that a line of the Dockerfile names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    pub line: usize,
    pub reference: String,
}

/// The images that the last stage depends on, also through other stages, without duplicates. Omits an image with an explicit platform, and
/// one whose name only the builder can compute.
pub fn bases(file: &Dockerfile, args: &BTreeMap<String, String>) -> Vec<Base> {
    let (known, stages) = (arguments(file, args), stages(file));
    let mut out: Vec<Base> = Vec::new();
    let (mut seen, mut open) = (BTreeSet::new(), stages.len().checked_sub(1).into_iter().collect::<Vec<_>>());
    while let Some(index) = open.pop() {
        if !seen.insert(index) {
            continue;
        }
        for (line, name) in sources(&stages[index], &known) {
            // A name refers to an earlier stage only; a number does so in COPY only.
            let is_stage = |it: &Stage<'_>| it.name.as_deref() == Some(name.to_lowercase().as_str());
            let stage = stages[..index].iter().rposition(is_stage).or_else(|| name.parse().ok().filter(|it| *it < index));
            match stage {
                Some(stage) => open.push(stage),
                None if name == "scratch" || out.iter().any(|it| it.reference == name) => {}
                None => out.push(Base { line, reference: name }),
            }
        }
    }
    out.sort_by_key(|it| it.line);
    out
}

/// The stages and images that a stage copies or mounts from, as written in the file.
fn sources(stage: &Stage<'_>, known: &BTreeMap<String, String>) -> Vec<(usize, String)> {
    let mut out = Vec::new();
    for instruction in stage.instructions {
        let named: Vec<String> = match instruction.name.as_str() {
            "FROM" if instruction.flag("platform").any(|it| !is_own_platform(it)) => Vec::new(),
            "FROM" => instruction.words().first().and_then(|it| expand(it, known)).into_iter().collect(),
            "COPY" => instruction.flag("from").map(str::to_owned).collect(),
            "RUN" => {
                let mounts = instruction.flag("mount");
                mounts.filter_map(|it| it.split(',').find_map(|part| part.strip_prefix("from="))).map(str::to_owned).collect()
            }
            _ => Vec::new(),
        };
        out.extend(named.into_iter().filter(|it| !it.is_empty() && !it.contains('$')).map(|it| (instruction.line, it)));
    }
    out
}

fn is_own_platform(value: &str) -> bool {
    ["BUILDPLATFORM", "TARGETPLATFORM"].iter().any(|it| value == format!("${it}") || value == format!("${{{it}}}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dockerfile::parse;

    fn found(text: &str) -> Vec<(usize, String)> {
        let args = BTreeMap::from([("BASE_IMAGE".to_owned(), "base:1".to_owned())]);
        bases(&parse(text), &args).into_iter().map(|it| (it.line, it.reference)).collect()
    }

    #[test]
    fn images_are_found_through_stages_and_only_those_that_are_used() {
        let text = "ARG BASE_IMAGE=python:3\nARG V=${W:-2}\nFROM ${BASE_IMAGE} AS Packages\nFROM unused:1 AS unused\nFROM node:$V AS web\n\
                    FROM packages\nCOPY --from=web /a /a\nCOPY --from=ghcr.io/x/uv:1 /uv /uv\nRUN --mount=type=bind,from=tools:1,target=/t true\nFROM scratch\nCOPY --from=3 / /\n";
        let expected = [(3, "base:1"), (5, "node:2"), (8, "ghcr.io/x/uv:1"), (9, "tools:1")];
        assert_eq!(found(text), expected.map(|(line, name)| (line, name.to_owned())));
    }

    #[test]
    fn what_only_a_builder_can_tell_is_left_to_it() {
        assert_eq!(found("FROM x:${A}"), []);
        assert_eq!(found("FROM --platform=linux/riscv64 x"), []);
        assert_eq!(found("FROM --platform=$BUILDPLATFORM x"), [(1, "x".to_owned())]);
        assert_eq!(found(""), []);
    }
}
