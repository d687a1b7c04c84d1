//! Dockerfiles for `dev`.

use crate::dockerfile::{Dockerfile, parse, stages};

/// The argument that names the base image.
const BASE: &str = "BASE_IMAGE";

/// The text for an empty image, with the base image below it: nothing in an empty image could receive changed files. `None` where the
/// last stage is not `FROM scratch`, or no argument before the first stage names the base image.
pub fn in_development(text: &str) -> Option<String> {
    let file = parse(text);
    let mut before = file.instructions.iter().take_while(|it| it.name != "FROM").filter(|it| it.name == "ARG");
    let is_declared = before.any(|it| it.words().iter().any(|word| word.split('=').next() == Some(BASE)));
    let last =
        stages(&file).last()?.instructions.first().filter(|it| is_declared && it.rest.split_whitespace().next() == Some("scratch"))?;
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let line = lines.get_mut(last.line - 1)?;
    *line = line.replacen("scratch", &format!("${{{BASE}}}"), 1);
    Some(lines.join("\n") + "\n")
}

/// Whether a step of the build may read the application's source: a RUN after a COPY or ADD of the whole context in its stage, unless it
/// only removes files or packages.
pub fn builds_from_source(file: &Dockerfile) -> bool {
    stages(file).iter().any(|stage| {
        let mut is_there = false;
        stage.instructions.iter().any(|it| {
            let words = it.words();
            match it.name.as_str() {
                "COPY" | "ADD" if it.flag("from").next().is_none() => {
                    is_there |= words.iter().rev().skip(1).any(|it| matches!(it.as_str(), "." | "./" | "/"));
                    false
                }
                "RUN" => is_there && !(words.first().is_some_and(|it| it == "rm") || words.get(1).is_some_and(|it| it == "prune")),
                _ => false,
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_image_gets_the_base_image_in_development() {
        let text = "ARG BASE_IMAGE=python:3\nFROM ${BASE_IMAGE} AS app\nCOPY . ./\n\nFROM scratch\nCOPY --from=app /a /a\n";
        let expected = "ARG BASE_IMAGE=python:3\nFROM ${BASE_IMAGE} AS app\nCOPY . ./\n\nFROM ${BASE_IMAGE}\nCOPY --from=app /a /a\n";
        assert_eq!(in_development(text).as_deref(), Some(expected));
        assert_eq!(in_development(expected), None);
        // An argument inside a stage is not known to FROM.
        assert_eq!(in_development("FROM a AS app\nARG BASE_IMAGE\nFROM scratch\n"), None);
        assert_eq!(in_development("FROM scratch AS one\nFROM b\n"), None);
    }

    #[test]
    fn a_step_after_the_source_is_a_build() {
        for (text, expected) in [
            ("FROM a\nCOPY package.json ./\nRUN npm ci\nCOPY . ./\nRUN rm -rf artifacts\nRUN npm prune --omit=dev\n", false),
            ("FROM a\nCOPY . ./\nRUN npm run build\n", true),
            ("FROM a\nADD . /srv\nRUN python3 manage.py collectstatic\n", true),
            ("FROM a AS one\nCOPY . ./\nFROM b\nRUN make\nCOPY --from=one . .\nRUN make\n", false),
            ("FROM a\nCOPY app.py ./\nRUN make\n", false),
        ] {
            assert_eq!(builds_from_source(&parse(text)), expected, "{text}");
        }
    }
}
