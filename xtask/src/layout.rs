//! Every path that the tool writes to, with what it holds and what becomes of it. The one list of them.
//!
//! `delete`, its audit, the support bundle and the table in docs/files.md follow from it. `env.rs` makes the paths absolute.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The folder of everything that runs produce, below the project.
pub const WORK: &str = "target/pocdeploy";

/// What `delete` does with an entry of the work folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// `delete` removes it.
    Removed,
    /// `delete` leaves it: it tells of runs, the last `delete` included, or belongs to another instance.
    Stays,
}

/// One entry directly below the work folder.
#[derive(Debug)]
pub struct Entry {
    pub name: &'static str,
    /// In a few words, for people.
    pub holds: &'static str,
    pub fate: Fate,
    /// Whether the support bundle takes it.
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

/// The entries of the work folder. One that is not listed is removed: the folder is the tool's own.
pub const ENTRIES: &[Entry] = &[
    removed("app", "the staged, patched application"),
    removed("app.new", "the next `app` while it is made"),
    removed("app.old", "the former `app` while it is replaced"),
    removed("patch.parts", "one patch while it is applied"),
    removed("requirements.in", "the packages that were pinned"),
    removed("requirements.limits", "the constraints of the packages that were pinned"),
    removed("requirements.pins", "the pins as uv wrote them"),
    removed("requirements.lock", "a lock file in the format of requirements.txt"),
    removed("requirements.wanted", "the pins that pip was to download"),
    removed("lock.in", "a lock file and its project file, for the tool that wrote them"),
    removed("wheels", "the wheels of the requirements, and the pins"),
    removed("wheels.new", "the next `wheels` while they are downloaded"),
    removed("Dockerfile", "the Dockerfile as it was built"),
    removed("Dockerfile.dockerignore", "an empty file beside it, for docker's own client"),
    removed("context", "the files of the image's build while docker's own client makes it"),
    removed("services", "for each further service the entries above"),
    removed("kind.json", "the configuration that kind was given"),
    removed("kind-kubeconfig", "the kubeconfig while kind writes it"),
    removed("kubeconfig", "the instance's kubeconfig: it holds a key, and only its owner can read it"),
    bundled(removed("evidence", "what the nodes said when their cluster failed, for each of the last three failures")),
    bundled(removed("record", "what each task last saw, to explain what changed")),
    bundled(stays("runs", "events and logs of the last ten runs")),
    bundled(stays("log", "a link to the logs of the last run")),
    stays("report.html", "the page that `report` writes"),
    stays("support-bundle.tar.gz", "the archive that `support-bundle` writes"),
    stays(".gitignore", "keeps the folder out of git"),
    stays("lock", "held by the run that changes something"),
    stays("bench", "the project and the clusters' files of `bench`"),
    stays("instances", "the same entries for each instance that was named with `--name`"),
];

/// What `delete` removes below the work folder, and its audit looks for: all that is there but what stays. Sorted by name.
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

/// The entries as rows of a Markdown table.
pub fn table() -> String {
    let mut out = format!("| below `{WORK}` | what it holds | `delete` |\n| --- | --- | --- |\n");
    for entry in ENTRIES {
        let fate = match entry.fate {
            Fate::Removed => "removes it",
            Fate::Stays => "leaves it",
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
