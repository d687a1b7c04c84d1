//! Archives of upstream's source that no release has: names, links, sizes and kinds of files that lead out, hide or fill the disk. Each is
//! refused in words, and source, patches and everything beside them stay as they were.

use std::fs;

use crate::{
    patches::SOURCE,
    support::{Project, content},
    upstream::with_versions,
};

/// What the archives have, as arguments of `make.py`, and what the refusal says. `OUT` is a folder outside.
const ARCHIVES: [(&str, &str); 38] = [
    ("tar file:../up.txt", "is outside of it"),
    ("tar file:x/../../up.txt", "is outside of it"),
    ("tar file:OUT/up.txt", "is outside of it"),
    ("tar file://OUT/up.txt", "is outside of it"),
    ("tar file:c:/up.txt", "is outside of it"),
    ("tar file:\\up.txt", "is outside of it"),
    ("tar link:x/link:../../up", "is a link that leads out of it"),
    ("tar link:x/link:OUT", "is a link that leads out of it"),
    ("tar link:x/a:. link:x/b:a/../../..", "is a link that leads out of it"),
    ("tar link:x/a:b file:x/a/file", "is below a file or a link"),
    ("tar file:x/a file:x/a/file", "is below a file or a link"),
    ("tar link:x/a:b link:x/b:a file:x/b/c", "is below a file or a link"),
    ("tar link:x/a:", "is a link without a usable target"),
    ("tar hard:x/a:OUT/secret", "is a hard link to a file that is not in it"),
    ("tar hard:x/a:../secret", "is a hard link to a file that is not in it"),
    ("tar file:x/a file:x/a", "is in it twice"),
    ("tar file:x/a link:x/a:b", "is in it twice"),
    ("tar link:x/a:b file:x/a", "is in it twice"),
    ("tar file:x/./a file:x//a", "is in it twice"),
    ("tar fifo:x/a", "is neither a file, a folder nor a link"),
    ("tar char:x/a", "is neither a file, a folder nor a link"),
    ("tar block:x/a", "is neither a file, a folder nor a link"),
    ("tar file:x/%0A", "has a control character in its name"),
    ("tar file:x/%1B[2J", "has a control character in its name"),
    ("tar file:x/%7F", "has a control character in its name"),
    ("tar file:.", "has no name"),
    ("tar file:x/LONG", "has a name of more than 255 bytes"),
    ("tar file:x/.git/config", "belongs to a repository of git"),
    ("tar file:x/.GIT/hooks/pre-commit", "belongs to a repository of git"),
    ("tar file:x/a/git~1/config", "belongs to a repository of git"),
    ("tar huge:x/a", "the archive has more than 100000 files or 2 GiB"),
    ("tar cut:x/a", "-2."),
    ("zip file:../up.txt", "is outside of it"),
    ("zip file:..\\up.txt", "is outside of it"),
    ("zip file:OUT/up.txt", "is outside of it"),
    ("zip link:x/link:../../up", "is a link that leads out of it"),
    ("zip file:x/a file:x/a", "is in it twice"),
    ("zip fifo:x/a", "is neither a file, a folder nor a link"),
];

const MAKE: &str = include_str!("archives.py");

/// Everything but the work folder and the archives themselves.
fn all(project: &Project) -> Vec<(String, Vec<u8>)> {
    let mut all = content(&project.root);
    all.retain(|(name, _)| !name.contains("/target/") && !name.contains("hostile-"));
    all
}

#[test]
fn a_hostile_archive_is_refused_in_words_and_changes_nothing() {
    assert!(ARCHIVES.len() >= 38);
    let (project, outside) = (with_versions(&[]), tempfile::tempdir().unwrap());
    fs::write(outside.path().join("secret"), "secret").unwrap();
    project.write("make.py", MAKE);
    let before = all(&project);
    for (number, (archive, why)) in ARCHIVES.iter().enumerate() {
        let words: Vec<String> = archive.split(' ').map(|it| it.replace("OUT", outside.path().to_str().unwrap())).collect();
        let name = format!("hostile-{number}");
        #[expect(clippy::disallowed_methods, reason = "the archive is the test's")]
        let made = std::process::Command::new("python3")
            .args(["make.py", &format!("{name}-2.{}", words[0])])
            .args(&words[1..])
            .current_dir(&project.root)
            .output()
            .unwrap();
        assert!(made.status.success(), "{archive}: {}", String::from_utf8_lossy(&made.stderr));
        let from = format!("archive:{name}-{{version}}.{}", words[0]);
        let ran = project.run(&["upstream", "update", "2", "--from", &from]);
        assert!(ran.code == 1 && ran.stderr.contains(why), "{archive}: {}\n{}", ran.code, ran.stderr);
        assert!(!ran.stderr.contains("Traceback") && !ran.stderr.contains('\u{1b}'), "{archive}: {}", ran.stderr);
        assert!(all(&project) == before, "{archive} changed the project");
        let left: Vec<_> = fs::read_dir(outside.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert_eq!(left, ["secret"], "{archive} wrote outside");
    }
    assert!(project.root.join(SOURCE).join("manage.py").is_file());
}
