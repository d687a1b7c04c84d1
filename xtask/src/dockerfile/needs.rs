//! The builder features that a Dockerfile uses, with their lines.
//!
//! Sources of the version numbers: docs.docker.com/reference/dockerfile, and the release notes of the frontend in github.com/moby/buildkit.

use crate::dockerfile::{Dockerfile, Instruction};

/// A feature that not every builder has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    pub line: usize,
    /// The feature as written in the file: "COPY --link".
    pub what: String,
    pub ask: Ask,
}

/// The requirement of a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// BuildKit with a frontend for Dockerfile 1.N; 0 is any frontend.
    Frontend(u32),
    /// BuildKit's client, which provides secrets and ssh keys.
    Client,
    /// This tool never provides it; the reason.
    Never(&'static str),
}

/// BuildKit's predefined arguments for platforms. The classic builder leaves them empty.
const PLATFORMS: [&str; 8] =
    ["TARGETPLATFORM", "TARGETOS", "TARGETARCH", "TARGETVARIANT", "BUILDPLATFORM", "BUILDOS", "BUILDARCH", "BUILDVARIANT"];

/// The features that the classic builder rejects, or silently handles differently, in the order of the file.
pub fn needs(file: &Dockerfile) -> Vec<Need> {
    file.instructions.iter().flat_map(of).collect()
}

fn of(instruction: &Instruction) -> Vec<Need> {
    let name = instruction.name.as_str();
    let mut out = Vec::new();
    let mut add = |what: String, ask| out.push(Need { line: instruction.line, what, ask });
    if let Some(since) = instruction.heredoc {
        add(format!("{name} with a heredoc"), Ask::Frontend(since));
    }
    for (flag, value) in &instruction.flags {
        if let Some(ask) = asked(name, flag, value) {
            let shown =
                if flag == "mount" { kind_of_mount(value).map_or(String::new(), |it| format!("=type={it}")) } else { String::new() };
            add(format!("{name} --{flag}{shown}"), ask);
        }
    }
    if name == "ARG" {
        for word in instruction.words().iter().filter(|it| PLATFORMS.contains(&it.as_str())) {
            add(format!("ARG {word}"), Ask::Frontend(0));
        }
    }
    if name == "ADD" {
        let words = instruction.words();
        let sources = words.split_last().map_or(&[][..], |(_, sources)| sources);
        for source in sources.iter().filter(|it| is_repository(it)) {
            let ask = if source.starts_with("git@") || source.starts_with("ssh://") { Ask::Client } else { Ask::Frontend(6) };
            add("ADD of a git repository".to_owned(), ask);
        }
    }
    out
}

fn asked(name: &str, flag: &str, value: &str) -> Option<Ask> {
    Some(match (name, flag) {
        ("FROM", "platform") if value.contains('$') => Ask::Frontend(0),
        ("RUN", "mount") => match kind_of_mount(value) {
            Some("secret" | "ssh") if value.split(',').any(|it| it == "required" || it == "required=true") => {
                Ask::Never("the tool passes no secrets and no ssh keys to a build")
            }
            Some("secret" | "ssh") => Ask::Client,
            _ => Ask::Frontend(2),
        },
        ("RUN", "network") => Ask::Frontend(3),
        ("RUN", "security") if value == "insecure" => Ask::Never("the tool gives no build step the host's privileges"),
        ("RUN", "security") => Ask::Frontend(20),
        ("RUN", "device") => Ask::Never("the tool gives no build step a device of the host"),
        ("COPY" | "ADD", "chmod") if value.chars().any(|it| !it.is_ascii_digit()) => Ask::Frontend(14),
        ("COPY" | "ADD", "chmod") => Ask::Frontend(2),
        ("COPY" | "ADD", "link") => Ask::Frontend(4),
        ("COPY" | "ADD", "exclude") => Ask::Frontend(19),
        ("COPY", "parents") => Ask::Frontend(20),
        ("ADD", "keep-git-dir") => Ask::Frontend(6),
        ("ADD", "checksum") => Ask::Frontend(6),
        ("ADD", "unpack") => Ask::Frontend(17),
        ("HEALTHCHECK", "start-interval") => Ask::Frontend(6),
        _ => return None,
    })
}

fn kind_of_mount(value: &str) -> Option<&str> {
    value.split(',').find_map(|it| it.strip_prefix("type="))
}

fn is_repository(source: &str) -> bool {
    let path = source.split('#').next().unwrap_or_default();
    let is_remote = ["https://", "http://", "ssh://"].iter().any(|it| path.starts_with(it));
    path.starts_with("git@") || path.starts_with("git://") || (is_remote && path.ends_with(".git"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dockerfile::parse;

    fn found(text: &str) -> Vec<(usize, String, Ask)> {
        needs(&parse(text)).into_iter().map(|it| (it.line, it.what, it.ask)).collect()
    }

    #[test]
    fn the_shipped_dockerfile_asks_for_nothing() {
        assert_eq!(found(include_str!("../../../build/Dockerfile.frontend")), []);
    }

    #[test]
    fn each_instruction_that_only_buildkit_knows_is_found_with_its_line() {
        let text = "FROM --platform=$BUILDPLATFORM x AS a\nARG TARGETARCH\nRUN --mount=type=cache,target=/c --network=none x\n\
                    COPY --chmod=0644 --link --exclude=*.x a b\nCOPY --chmod=u=rwX --parents a b\nADD --checksum=sha256:00 https://x/y /y\n\
                    RUN <<E\nE\nADD https://x/y.git#main /y\nHEALTHCHECK --start-interval=1s CMD x\n";
        let expected = [
            (1, "FROM --platform", 0),
            (2, "ARG TARGETARCH", 0),
            (3, "RUN --mount=type=cache", 2),
            (3, "RUN --network", 3),
            (4, "COPY --chmod", 2),
            (4, "COPY --link", 4),
            (4, "COPY --exclude", 19),
            (5, "COPY --chmod", 14),
            (5, "COPY --parents", 20),
            (6, "ADD --checksum", 6),
            (7, "RUN with a heredoc", 4),
            (9, "ADD of a git repository", 6),
            (10, "HEALTHCHECK --start-interval", 6),
        ];
        assert_eq!(found(text), expected.map(|(line, what, since)| (line, what.to_owned(), Ask::Frontend(since))));
    }

    #[test]
    fn secrets_want_a_client_and_privileges_are_given_to_none() {
        let text = "FROM --platform=linux/amd64 x\nRUN --mount=type=secret,id=a x\nRUN --mount=type=ssh,required=true x\nRUN --security=insecure x\nARG TARGETARCH=x\nADD git@x:y.git /y";
        let asks: Vec<Ask> = found(text).into_iter().map(|it| it.2).collect();
        assert!(matches!(asks[..], [Ask::Client, Ask::Never(_), Ask::Never(_), Ask::Client]), "{asks:?}");
    }
}
