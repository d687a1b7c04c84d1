//! Chooses the builder of the image, and reports what no builder supports, with its line, before anything is built.

use anyhow::Result;

use crate::{
    dockerfile::{Ask, Dockerfile, Need, Syntax, needs},
    engine::{Builder, first_release},
    errors::{Code, Problem},
};

/// The builder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// The engine's classic builder.
    Classic,
    /// The engine's own BuildKit, with its built-in frontend.
    BuildKit,
    /// docker's client with its buildx plugin, which provides secrets and, if it `fetches`, pulls the frontend that the file names.
    Client { fetches: bool },
}

/// Whether any builder supports the file, which is known without an engine.
pub(super) fn is_plain(file: &Dockerfile) -> bool {
    needs(file).is_empty() && file.syntax.as_ref().is_none_or(is_stock)
}

/// Chooses for a file; `name` is for messages. `has_client` is called only if the engine's builder is not sufficient.
pub(super) fn choose(file: &Dockerfile, name: &str, builder: &Builder, has_client: impl FnOnce() -> Result<bool>) -> Result<Choice> {
    let needs = needs(file);
    if let Some((need, why)) = needs.iter().find_map(|it| if let Ask::Never(why) = it.ask { Some((it, why)) } else { None }) {
        return refuse(
            name,
            need.line,
            &format!("`{}` cannot be done: {why}", need.what),
            "build that part elsewhere and copy it from its image",
        );
    }
    let own_frontend = file.syntax.as_ref().filter(|it| !is_stock(it));
    match builder {
        Builder::Other => Ok(Choice::Classic),
        Builder::Classic(why) => match (needs.first(), own_frontend) {
            (None, None) => Ok(Choice::Classic),
            (Some(Need { line, what, .. }), _) => refuse(
                name,
                *line,
                &format!("`{what}` needs BuildKit, and {why}"),
                "write it for the classic builder, or use Docker 20.10 or newer",
            ),
            (None, Some(syntax)) => refuse_frontend(name, syntax, why),
        },
        Builder::BuildKit { frontend, engine } => {
            let unmet = needs.iter().find(|it| match it.ask {
                Ask::Frontend(since) => since > *frontend,
                _ => true,
            });
            if unmet.is_none() && own_frontend.is_none() {
                return Ok(Choice::BuildKit);
            }
            let is_short = needs.iter().any(|it| matches!(it.ask, Ask::Frontend(since) if since > *frontend));
            let fetches = own_frontend.is_some() || (is_short && file.syntax.is_some());
            if (fetches || !is_short) && has_client()? {
                return Ok(Choice::Client { fetches });
            }
            match (unmet, own_frontend) {
                (Some(Need { line, what, ask: Ask::Frontend(since) }), _) => refuse(
                    name,
                    *line,
                    &format!("`{what}` is of Dockerfile 1.{since}, and {engine} reads 1.{frontend} by itself"),
                    &format!(
                        "use {} or newer, or write the step without it; with docker's buildx plugin and a registry that answers, \
                         `# syntax=docker/dockerfile:1` as the first line fetches a newer frontend",
                        first_release(*since)
                    ),
                ),
                (Some(Need { line, what, .. }), _) => refuse(
                    name,
                    *line,
                    &format!("`{what}` needs a secret or an ssh key from docker's client, and its buildx plugin is not installed"),
                    "install docker's buildx plugin, or write the step without it",
                ),
                (None, Some(syntax)) => refuse_frontend(name, syntax, "docker's buildx plugin, which would fetch it, is not installed"),
                (None, None) => Ok(Choice::BuildKit),
            }
        }
    }
}

fn refuse<T>(name: &str, line: usize, what: &str, way_out: &str) -> Result<T> {
    Err(Problem::config(format!("{name}, line {line}: {what}")).code(Code::ImageBuild).hint(way_out.to_owned()).into())
}

fn refuse_frontend<T>(name: &str, syntax: &Syntax, why: &str) -> Result<T> {
    let what = format!("`# syntax={}` names another frontend, and {why}", syntax.image);
    refuse(name, syntax.line, &what, "remove the line, or name `docker/dockerfile:1`, which every BuildKit brings")
}

/// Whether `# syntax=` names the engine's built-in frontend in any stable version.
fn is_stock(syntax: &Syntax) -> bool {
    let image = syntax.image.split('@').next().unwrap_or_default();
    let (name, tag) = image.rsplit_once(':').unwrap_or((image, "1"));
    let is_stable = tag == "latest" || (tag.starts_with('1') && tag.chars().all(|it| it.is_ascii_digit() || it == '.'));
    name.trim_start_matches("docker.io/") == "docker/dockerfile" && is_stable
}

/// The text without its `# syntax=` line, for which an engine would ask a registry. Line numbers stay the same.
pub(super) fn without_syntax(text: &str, file: &Dockerfile) -> String {
    let Some(syntax) = &file.syntax else { return text.to_owned() };
    // A directive is one only if all lines above it are directives, too.
    let line = |(index, line): (usize, &str)| if index + 1 == syntax.line { "# pocdeploy=engine".to_owned() } else { line.to_owned() };
    text.lines().enumerate().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dockerfile::parse, errors};

    fn old() -> Builder {
        Builder::BuildKit { frontend: 2, engine: "Docker 20.10.24".to_owned() }
    }

    fn chosen(text: &str, builder: &Builder, client: bool) -> String {
        match choose(&parse(text), "build/Dockerfile", builder, || Ok(client)) {
            Ok(choice) => format!("{choice:?}"),
            Err(error) => {
                let lines = errors::render(&error);
                lines.split_whitespace().collect::<Vec<_>>().join(" ")
            }
        }
    }

    #[test]
    fn the_engine_builds_what_it_reads_and_a_client_only_the_rest() {
        assert_eq!(chosen("FROM x\nRUN --mount=type=cache,target=/c x", &old(), false), "BuildKit");
        assert_eq!(chosen("# syntax=docker/dockerfile:1.4\nFROM x\nRUN x", &old(), false), "BuildKit");
        assert_eq!(chosen("# syntax=docker/dockerfile:1\nFROM x\nCOPY --link a b", &old(), true), "Client { fetches: true }");
        assert_eq!(chosen("# syntax=docker/dockerfile:1-labs\nFROM x", &old(), true), "Client { fetches: true }");
        let secret = "# syntax=docker/dockerfile:1\nFROM x\nRUN --mount=type=secret,id=a x";
        assert_eq!(chosen(secret, &old(), true), "Client { fetches: false }");
        assert_eq!(chosen("FROM x\nRUN <<E\nE\n", &Builder::BuildKit { frontend: 4, engine: String::new() }, false), "BuildKit");
        assert_eq!(chosen("FROM x\nRUN <<E\nE\n", &Builder::Other, false), "Classic");
        assert_eq!(chosen("FROM x\nRUN x", &Builder::Classic("no".to_owned()), false), "Classic");
    }

    #[test]
    fn a_refusal_names_line_and_instruction_and_the_way_out() {
        let said = chosen("FROM x\n\nCOPY --link a b", &old(), true);
        assert!(
            said.contains("build/Dockerfile, line 3: `COPY --link` is of Dockerfile 1.4, and Docker 20.10.24 reads 1.2 by itself")
                && said.contains("use Docker 23.0 or newer"),
            "{said}"
        );
        let said = chosen("FROM x\nRUN <<E\nE\n", &Builder::Classic("DOCKER_BUILDKIT=0 selects the classic builder".to_owned()), true);
        assert!(said.contains("line 2: `RUN with a heredoc` needs BuildKit, and DOCKER_BUILDKIT=0 selects"), "{said}");
        let said = chosen("# syntax=r.example/own:1\nFROM x", &old(), false);
        assert!(said.contains("line 1: `# syntax=r.example/own:1` names another frontend"), "{said}");
        let said = chosen("FROM x\nRUN --security=insecure x", &old(), true);
        assert!(said.contains("line 2: `RUN --security` cannot be done: the tool gives no build step the host's privileges"), "{said}");
        let said = chosen("FROM x\nRUN --mount=type=ssh x", &old(), false);
        assert!(said.contains("`RUN --mount=type=ssh` needs a secret or an ssh key from docker's client"), "{said}");
    }

    #[test]
    fn without_its_syntax_line_a_file_keeps_its_other_directives_and_its_numbers() {
        let text = "# syntax=docker/dockerfile:1\n# escape=`\nFROM x\nRUN a `\n b\n";
        let file = parse(text);
        let plain = parse(&without_syntax(text, &file));
        assert_eq!(plain.syntax, None);
        assert_eq!(plain.instructions, file.instructions);
    }
}
