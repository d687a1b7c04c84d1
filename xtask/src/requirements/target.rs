//! The target of the wheels: the image's Python, C library and CPU architecture, read from its Dockerfile.

use std::collections::BTreeMap;

use crate::{
    dockerfile::{self, Instruction},
    fingerprint::Fingerprint,
};

/// The C library in a wheel's platform tag (PEP 600, PEP 656).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Libc {
    /// glibc 2.N.
    Gnu(u32),
    /// musl 1.2, which Alpine has since 3.13.
    Musl,
}

/// The image's Python and platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `3.13`.
    pub python: String,
    pub libc: Libc,
    /// `x86_64` or `aarch64`.
    pub arch: &'static str,
    /// Why the Dockerfile does not determine the Python version; reported before anything is pinned.
    pub doubt: Option<String>,
}

/// The C libraries of distributions in image names: Debian 10 to 13, Ubuntu 20.04 to 24.04.
const SUITES: [(&str, Libc); 8] = [
    ("alpine", Libc::Musl),
    ("trixie", Libc::Gnu(41)),
    ("bookworm", Libc::Gnu(36)),
    ("bullseye", Libc::Gnu(31)),
    ("buster", Libc::Gnu(28)),
    ("noble", Libc::Gnu(39)),
    ("jammy", Libc::Gnu(35)),
    ("focal", Libc::Gnu(31)),
];

/// For a python image whose tag names no Debian release: bookworm or newer, for every supported Python.
const UNNAMED: Libc = Libc::Gnu(36);

impl Target {
    /// The target of a Dockerfile, where `base` is the argument BASE_IMAGE, and `python` the version if the Dockerfile determines none.
    pub fn of(dockerfile: &str, base: &str, python: &str) -> Target {
        let images = images(dockerfile, base);
        let told = |reference: &str| Some((version(reference)?, libc(reference)));
        let using = images.iter().find(|it| it.uses_wheels).and_then(|it| told(&it.reference));
        let arch = std::env::consts::ARCH;
        if let Some((python, libc)) = using.or_else(|| images.iter().rev().find_map(|it| told(&it.reference))) {
            return Target { python, libc, arch, doubt: None };
        }
        let libc = images.last().map_or(UNNAMED, |it| libc(&it.reference));
        let mut named: Vec<&str> = images.iter().map(|it| it.reference.as_str()).collect();
        named.dedup();
        let doubt = (!named.is_empty()).then(|| format!("{} has no Python version in its name", named.join(", ")));
        Target { python: python.to_owned(), libc, arch, doubt }
    }

    /// For messages: `Python 3.13 and glibc 2.41`.
    pub fn software(&self) -> String {
        let libc = match self.libc {
            Libc::Gnu(minor) => format!("glibc 2.{minor}"),
            Libc::Musl => "musl 1.2".to_owned(),
        };
        format!("Python {} and {libc}", self.python)
    }

    /// For messages, with the CPU architecture.
    pub fn words(&self) -> String {
        format!("{} on {}", self.software(), self.arch)
    }

    /// The part of the target that pins depend on. It omits the architecture, since pins have the hashes of all of a version's files.
    pub fn key(&self) -> String {
        let mut out = Fingerprint::new();
        out.add("python", &self.python);
        out.add("libc", format!("{:?}", self.libc));
        out.short()
    }

    /// Arguments for pip: every tag that the C library can load, newest first, since pip matches tags exactly.
    pub fn platforms(&self) -> Vec<String> {
        let mut out: Vec<String> = Vec::new();
        match self.libc {
            Libc::Musl => out.extend(["musllinux_1_2".to_owned(), "musllinux_1_1".to_owned()]),
            Libc::Gnu(minor) => {
                // PEP 600: 2.5 is manylinux1; architectures other than x86 start with 2.17.
                let (oldest, aliases): (u32, &[(u32, &str)]) = match self.arch {
                    "x86_64" => (5, &[(17, "manylinux2014"), (12, "manylinux2010"), (5, "manylinux1")]),
                    _ => (17, &[(17, "manylinux2014")]),
                };
                for version in (oldest..=minor).rev() {
                    out.push(format!("manylinux_2_{version}"));
                    out.extend(aliases.iter().filter(|(of, _)| *of == version).map(|(_, alias)| (*alias).to_owned()));
                }
            }
        }
        // A wheel built on the user's own machine.
        out.push("linux".to_owned());
        out.iter().map(|it| format!("{it}_{}", self.arch)).collect()
    }

    /// uv's argument, an upper limit. Source: `uv pip compile --help` of 0.13.9, which knows 2.17, 2.28 and 2.31 to 2.40.
    pub fn ceiling(&self) -> String {
        match self.libc {
            Libc::Musl => format!("{}-unknown-linux-musl", self.arch),
            Libc::Gnu(minor) => {
                let known = match minor {
                    40.. => 40,
                    31..=39 => minor,
                    28..=30 => 28,
                    _ => 17,
                };
                format!("{}-manylinux_2_{known}", self.arch)
            }
        }
    }
}

/// Whether a Dockerfile uses the pins: wheels or requirements.txt. Ignores comments.
pub fn is_used(dockerfile: &str) -> bool {
    dockerfile::parse(dockerfile).instructions.iter().any(mentions)
}

fn mentions(instruction: &Instruction) -> bool {
    let texts = instruction.flags.iter().map(|(_, value)| value).chain([&instruction.rest, &instruction.body]);
    texts.into_iter().any(|it| it.contains("wheels") || it.contains("requirements"))
}

/// The image of a stage.
struct Image {
    reference: String,
    uses_wheels: bool,
}

/// The base image of each stage, resolved through other stages. An argument that only the builder knows stays as written.
fn images(file: &str, base: &str) -> Vec<Image> {
    let file = dockerfile::parse(file);
    let known = dockerfile::arguments(&file, &BTreeMap::from([("BASE_IMAGE".to_owned(), base.to_owned())]));
    let mut named: Vec<(String, String)> = Vec::new();
    let mut out = Vec::new();
    for stage in dockerfile::stages(&file) {
        let [from, rest @ ..] = stage.instructions else { continue };
        let Some(word) = from.words().into_iter().next() else { continue };
        let image = dockerfile::expand(&word, &known).unwrap_or(word);
        let reference = named.iter().rev().find(|(name, _)| *name == image.to_lowercase()).map_or(image, |(_, it)| it.clone());
        named.extend(stage.name.map(|it| (it, reference.clone())));
        out.push(Image { reference, uses_wheels: rest.iter().any(mentions) });
    }
    out
}

/// The version `3.12` in `python:3.12-slim`, `ghcr.io/astral-sh/uv:python3.12-bookworm`, `x/python3.12:1`.
fn version(reference: &str) -> Option<String> {
    let plain = reference.split('@').next().unwrap_or_default();
    let last = plain.rsplit('/').next().unwrap_or_default();
    let (name, tag) = last.split_once(':').unwrap_or((last, ""));
    if name == "python" && tag.starts_with("3.") {
        return minor(tag);
    }
    last.match_indices("python3.").find_map(|(at, _)| minor(&last[at + "python".len()..]))
}

fn minor(text: &str) -> Option<String> {
    let digits: String = text.strip_prefix("3.")?.chars().take_while(char::is_ascii_digit).collect();
    (!digits.is_empty()).then(|| format!("3.{digits}"))
}

fn libc(reference: &str) -> Libc {
    SUITES.iter().find(|(name, _)| reference.contains(name)).map_or(UNNAMED, |(_, it)| *it)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(dockerfile: &str) -> (String, Libc, bool) {
        let target = Target::of(dockerfile, "docker.io/library/python:3.13-slim-trixie", "3.13");
        (target.python, target.libc, target.doubt.is_some())
    }

    #[test]
    fn the_wheels_follow_the_python_of_the_dockerfile() {
        let shipped = include_str!("../../../build/Dockerfile.frontend");
        assert_eq!(of(shipped), ("3.13".to_owned(), Libc::Gnu(41), false));
        for (dockerfile, python, libc) in [
            ("FROM python:3.12-slim-bookworm", "3.12", Libc::Gnu(36)),
            ("FROM docker.io/library/python:3.11.9\n", "3.11", Libc::Gnu(36)),
            ("FROM --platform=$BUILDPLATFORM python:3.10-alpine3.20 AS x\nFROM x", "3.10", Libc::Musl),
            ("ARG V=3.12\nARG BASE=python:${V}-slim-bullseye\nFROM ${BASE}", "3.12", Libc::Gnu(31)),
            ("FROM ghcr.io/astral-sh/uv:python3.14-trixie-slim", "3.14", Libc::Gnu(41)),
            ("FROM node:22 AS assets\nRUN npm ci\nFROM python:3.9-slim AS p\nCOPY wheels w/\nFROM python:3.12", "3.9", Libc::Gnu(36)),
            ("FROM python:3.12-slim AS a\nFROM gcr.io/distroless/base", "3.12", Libc::Gnu(36)),
            ("ARG BASE_IMAGE\nFROM ${BASE_IMAGE:-python:3.9}", "3.13", Libc::Gnu(41)),
            // A Dockerfile sees the build's arguments only if it declares them.
            ("FROM ${BASE_IMAGE:-python:3.9}", "3.9", Libc::Gnu(36)),
            ("# escape=`\nFROM `\n  python:3.12-alpine", "3.12", Libc::Musl),
            ("FROM \"python:3.12-bullseye\"", "3.12", Libc::Gnu(31)),
            ("FROM x\nRUN <<EOF\nFROM python:3.9\nEOF\nFROM python:3.12-slim-bookworm", "3.12", Libc::Gnu(36)),
        ] {
            assert_eq!(of(dockerfile), (python.to_owned(), libc, false), "{dockerfile}");
        }
    }

    #[test]
    fn an_image_that_does_not_tell_its_python_is_said_before() {
        let target = Target::of("FROM ubuntu:noble AS a\nFROM ubuntu:noble\nRUN apt-get install python3", "x", "3.13");
        assert_eq!((target.python.as_str(), target.libc), ("3.13", Libc::Gnu(39)));
        assert_eq!(target.doubt.as_deref(), Some("ubuntu:noble has no Python version in its name"));
        for dockerfile in ["FROM python:latest", "FROM python:3-slim", "FROM python@sha256:00", "FROM registry:3.12/app"] {
            assert!(of(dockerfile).2, "{dockerfile}");
        }
        assert!(!of("").2);
    }

    #[test]
    fn every_tag_up_to_the_c_library_is_asked_for_and_none_above_it() {
        let mut target = Target { python: "3.13".to_owned(), libc: Libc::Gnu(41), arch: "x86_64", doubt: None };
        let platforms = target.platforms();
        for tag in
            ["manylinux_2_41", "manylinux_2_39", "manylinux_2_35", "manylinux_2_27", "manylinux_2_24", "manylinux_2_17", "manylinux_2_5"]
        {
            assert!(platforms.contains(&format!("{tag}_x86_64")), "{tag}");
        }
        for tag in ["manylinux2014", "manylinux2010", "manylinux1", "linux"] {
            assert!(platforms.contains(&format!("{tag}_x86_64")), "{tag}");
        }
        assert_eq!(platforms.len(), 37 + 4);
        assert!(!platforms.contains(&"manylinux_2_42_x86_64".to_owned()));
        assert_eq!(target.ceiling(), "x86_64-manylinux_2_40");
        target = Target { libc: Libc::Gnu(36), arch: "aarch64", ..target };
        assert_eq!(target.platforms().first().map(String::as_str), Some("manylinux_2_36_aarch64"));
        assert!(!target.platforms().iter().any(|it| it.contains("manylinux1_") || it.contains("2_5_")));
        assert_eq!(target.ceiling(), "aarch64-manylinux_2_36");
        assert_eq!(Target { libc: Libc::Gnu(30), ..target.clone() }.ceiling(), "aarch64-manylinux_2_28");
        assert_eq!(Target { libc: Libc::Musl, ..target }.platforms()[0], "musllinux_1_2_aarch64");
    }

    #[test]
    fn a_dockerfile_uses_the_pins_where_it_names_wheels_or_requirements() {
        assert!(is_used("FROM x\nCOPY wheels w/"));
        assert!(is_used("FROM x\nRUN pip install \\\n  -r requirements.txt"));
        assert!(is_used("FROM x\nRUN --mount=type=bind,source=wheels,target=/w pip install /w/*"));
        assert!(is_used("FROM x\nRUN <<EOF\npip install -r requirements.txt\nEOF"));
        assert!(!is_used("# wheels, requirements\nFROM golang\nCOPY . .\nRUN go build"));
    }
}
