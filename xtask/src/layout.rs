//! The list of all paths that the tool writes: what each contains, and whether `delete` removes it.
//!
//! `delete`, its audit, the support bundle and the table in docs/files.md use this list. `env.rs` makes the paths absolute.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The folder for all products of a run, relative to the project.
pub const WORK: &str = "target/pocdeploy";

/// What `delete` does with an entry of the work folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// `delete` removes it.
    Removed,
    /// `delete` keeps it: it records runs, including the last `delete`, or belongs to another instance.
    Stays,
}

/// One entry directly below the work folder.
#[derive(Debug)]
pub struct Entry {
    pub name: &'static str,
    /// What the entry contains, for the table in docs/files.md.
    pub holds: &'static str,
    pub fate: Fate,
    /// Whether the support bundle contains it.
    pub bundled: bool,
}

const fn removed(name: &'static str, holds: &'static str) -> Entry {
    Entry { name, holds, fate: Fate::Removed, bundled: false }
}

const fn stays(name: &'static str, holds: &'static str) -> Entry {
    Entry { name, holds, fate: Fate::Stays, bundled: false }
}

const fn bundled(entry: Entry) -> Entry {
    Entry { bundled: true, ..entry }
}

/// The entries of the work folder. `delete` removes an entry that is not listed, since the folder belongs to the tool.
pub const ENTRIES: &[Entry] = &[
    removed("app", "the copied and patched application"),
    removed("app.new", "the next `app` while the tool writes it"),
    removed("app.old", "the previous `app` while the tool replaces it"),
    removed("patch.parts", "patches while git applies them"),
    removed("patch.last", "the files that the last patch changes, as they were before it"),
    removed("requirements.in", "the packages to pin"),
    removed("requirements.limits", "the constraints for these packages"),
    removed("requirements.pins", "the pins that uv wrote"),
    removed("requirements.lock", "a lock file converted to the format of requirements.txt"),
    removed("requirements.wanted", "the pins that pip downloads"),
    removed("lock.in", "a lock file and its project file, for the program that wrote them"),
    removed("wheels", "the wheels of the requirements, and the pins"),
    removed("artifacts", "programs and packages for an image's build, of Node.js, Go or Rust"),
    removed("artifacts.key", "what `artifacts` was fetched for"),
    removed("cargo", "what Rust's compiler keeps for the next build"),
    removed("wheels.new", "the next `wheels` while pip downloads them"),
    removed("Dockerfile", "the Dockerfile of the last build"),
    removed("Dockerfile.dockerignore", "an empty file for docker's client"),
    removed("context", "the build context while docker's client builds the image"),
    removed("services", "the same entries for each further service"),
    removed("cloud", "the state of a cluster on EKS, AKS or GKE: without it only an inventory by tag finds what exists"),
    removed("kind.json", "the configuration for kind"),
    removed("kind-kubeconfig", "the kubeconfig while kind writes it"),
    removed("kubeconfig", "the instance's kubeconfig: it contains a key, and only its owner can read it"),
    bundled(removed("evidence", "logs and state of the nodes for each of the last three failures of a cluster")),
    bundled(removed("record", "the inputs of each task's last run, to explain what changed, and the last address, for `ls`")),
    removed("hashes", "the hashes of the files of source and `app`, so that an unchanged file is not read again"),
    bundled(stays("runs", "events and logs of the last ten runs")),
    bundled(stays("log", "a link to the logs of the last run")),
    stays("edit", "the patches as commits of git repositories, for `patch edit` and `upstream update`: it may contain your work"),
    removed("sbom", "what is in the images, one CycloneDX file for each, that `sbom` writes"),
    stays("report.html", "the page that `report` writes"),
    stays("support-bundle.tar.gz", "the archive that `support-bundle` writes"),
    stays(".gitignore", "keeps the folder out of git"),
    stays("lock", "locked by the command that changes the instance"),
    stays("bench", "the project and the cluster files of `bench`"),
    stays("instances", "the same entries for each instance with a `--name`"),
];

/// A link in the place of the work folder, or of a folder in it, which would lead what the tool writes and removes elsewhere. `target` itself may
/// be a link: many keep it on another disk. `log` is one by design, and a link in the place of a file is replaced.
pub fn link(work: &Path) -> Option<PathBuf> {
    let entries = ENTRIES.iter().filter(|it| it.name != "log").map(|it| work.join(it.name));
    let mut links = std::iter::once(work.to_owned()).chain(entries).filter(|it| it.is_symlink());
    links.find(|it| it == work || it.is_dir())
}

/// The paths below the work folder that `delete` removes and its audit looks for: all except those that stay. Sorted by name.
pub fn to_remove(work: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(work) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let stays = |name: &str| ENTRIES.iter().any(|it| it.fate == Fate::Stays && it.name == name);
    let mut out = Vec::new();
    for entry in entries {
        let entry = entry?;
        if !entry.file_name().to_str().is_some_and(stays) {
            out.push(entry.path());
        }
    }
    out.sort();
    Ok(out)
}

/// The list as a Markdown table.
pub fn table() -> String {
    let mut out = format!("| below `{WORK}` | what it holds | `delete` |\n| --- | --- | --- |\n");
    for entry in ENTRIES {
        let fate = match entry.fate {
            Fate::Removed => "removes it",
            Fate::Stays => "keeps it",
        };
        out.push_str(&format!("| `{}` | {} | {fate} |\n", entry.name, entry.holds));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_goes_but_what_is_listed_as_staying() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(to_remove(&dir.path().join("absent")).unwrap(), Vec::<PathBuf>::new());
        for name in ["app", "Dockerfile", "left by an earlier version", "runs", "lock", "instances"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let names: Vec<PathBuf> = ["Dockerfile", "app", "left by an earlier version"].iter().map(|it| dir.path().join(it)).collect();
        assert_eq!(to_remove(dir.path()).unwrap(), names);
    }
}
