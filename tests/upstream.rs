//! `upstream`: another version of the source, from sources on this machine.

use std::{fs, os::unix::fs::symlink, path::Path};

use crate::{
    patches::{SOURCE, STAGED, commit, git},
    queue::{EDIT, long, names, of_three, patch_of},
    support::{Project, content},
};

/// Writes version 2: `text.txt` moved, changed where `changed` says; a new dependency, a new migration, a new setting.
fn version_two(folder: &Path, changed: &[(usize, &str)]) {
    for (name, text) in [
        ("manage.py", "import django\nDEBUG = True\nlast = 1\n".to_owned()),
        ("moved/text.txt", long(changed)),
        ("requirements.txt", "django>=5\nredis\n".to_owned()),
        ("polls/migrations/0002_more.py", "x\n".to_owned()),
        ("mysite/settings.py", "CACHES = {}\n".to_owned()),
        ("LICENSE", "The Licence of Two\n".to_owned()),
    ] {
        fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
        fs::write(folder.join(name), text).unwrap();
    }
}

/// A project of three patches whose source is version 1 of `folder:versions/{version}`.
pub(crate) fn with_versions(changed: &[(usize, &str)]) -> Project {
    let project = of_three();
    let one = project.root.join("versions/1");
    fs::create_dir_all(&one).unwrap();
    for name in ["manage.py", "text.txt"] {
        fs::copy(project.root.join(SOURCE).join(name), one.join(name)).unwrap();
    }
    version_two(&project.root.join("versions/2"), changed);
    project.write(
        "third_party/UPSTREAM.md",
        "# Ours\n\n## django-polls\n\nWe like it.\n\n- Source: folder:versions/{version}\n- Version: 1\n",
    );
    project
}

/// The files that a person keeps in git.
fn kept(project: &Project) -> Vec<(String, Vec<u8>)> {
    let all = ["third_party", "build"].into_iter().flat_map(|it| content(&project.root.join(it)));
    all.collect()
}

#[test]
fn another_version_takes_the_place_of_the_source_and_the_patches_follow() {
    let project = with_versions(&[(2, "two"), (5, "five")]);
    let before = kept(&project);
    let ran = project.run(&["upstream", "update", "2", "--dry-run"]);
    for line in [
        "third_party/django-polls: folder:versions/{version} 2\nfiles: 5 new, 0 changed, 1 gone\n",
        "dependencies:\n  new: django >=5\n  new: redis\n",
        "migrations:\n  new: polls/migrations/0002_more.py\n",
        "settings:\n  new: CACHES (mysite/settings.py)\n",
        "upstream   0001-top.patch: the new source has it, so it goes\n",
        "2:  ",
    ] {
        assert!(ran.ends_with(0).stdout.contains(line), "no {line:?} in\n{}", ran.stdout);
    }
    assert_eq!(kept(&project), before);
    assert!(!project.root.join(EDIT).exists());
    let ran = project.run(&["upstream", "update", "2"]);
    ran.ends_with(0).says("third_party/django-polls has version 2, and the patches apply to it");
    assert!(ran.stdout.contains("removed    0001-top.patch\n"), "{}", ran.stdout);
    let text = project.read("third_party/UPSTREAM.md");
    assert!(text.starts_with("# Ours\n\n## django-polls\n\nWe like it.\n\n- Source: folder:versions/{version}\n- Version: 2\n- License: The Licence of Two\n- Content: sha256:"), "{text}");
    assert!(!project.root.join(SOURCE).join("text.txt").exists());
    project.run(&["patch"]).ends_with(0);
    let staged = project.read(&format!("{STAGED}/moved/text.txt"));
    assert_eq!(staged, long(&[(2, "two"), (5, "five"), (20, "twenty"), (38, "end")]));
    project.run(&["upstream", "update", "2"]).ends_with(0).says("nothing to do: the source is version 2");
    let ran = project.run(&["upstream", "status"]);
    assert!(ran.ends_with(0).stdout.contains("content   as upstream has it\n"), "{}", ran.stdout);
    let left: Vec<String> =
        fs::read_dir(project.root.join("third_party")).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn a_conflict_stops_the_update_and_changes_nothing_until_it_is_resolved() {
    let project = with_versions(&[(20, "vingt")]);
    let before = kept(&project);
    let ran = project.run(&["upstream", "update", "2", "--dry-run"]);
    assert!(
        ran.ends_with(0).stdout.contains("conflicts  0002-middle.patch\n           moved/text.txt: both change the same lines (1 place)\n"),
        "{}",
        ran.stdout
    );
    let ran = project.run(&["upstream", "update", "2"]);
    ran.ends_with(1).says("patch 0002-middle.patch conflicts with the new source").says("cargo xtask upstream update --continue");
    assert_eq!(kept(&project), before);
    project.run(&["upstream", "update", "2"]).ends_with(1).says("a rebase of the patches waits");
    project.run(&["patch", "rebase", "--continue"]).ends_with(2).says("nothing waits");
    project.run(&["upstream", "update", "--abort"]).ends_with(0);
    assert_eq!(kept(&project), before);
    project.run(&["upstream", "update", "2"]).ends_with(1);
    fs::write(project.root.join(EDIT).join("moved/text.txt"), long(&[(2, "two"), (20, "both")])).unwrap();
    project.run(&["upstream", "update", "--continue"]).ends_with(0);
    project.run(&["patch"]).ends_with(0);
    assert_eq!(project.read(&format!("{STAGED}/moved/text.txt")), long(&[(2, "two"), (20, "both"), (38, "end")]));
    assert!(project.read("third_party/UPSTREAM.md").contains("- Version: 2\n"));
}

#[test]
fn a_patch_is_left_out_on_request_and_its_name_is_said() {
    let project = with_versions(&[(20, "vingt")]);
    project.run(&["upstream", "update", "2"]).ends_with(1);
    let ran = project.run(&["upstream", "update", "--skip"]);
    assert!(ran.ends_with(0).stdout.contains("left out   0002-middle.patch"), "{}", ran.stdout);
    assert_eq!(names(&project), ["0001-top.patch", "0003-end.patch"]);
}

#[test]
fn an_update_that_was_killed_between_two_steps_is_finished() {
    let project = with_versions(&[]);
    // A conflict leaves everything in place for the last steps.
    project.write(
        "build/patches/0004-x.patch",
        &patch_of(&project, "manage.py", "import django\nDEBUG = True\nlast = 1\n", "import django\nDEBUG = True\nlast = 2\n", "x"),
    );
    fs::write(project.root.join("versions/2/manage.py"), "import django\nDEBUG = True\nlast = 3\n").unwrap();
    project.run(&["upstream", "update", "2"]).ends_with(1);
    fs::write(project.root.join(EDIT).join("manage.py"), "import django\nDEBUG = True\nlast = 23\n").unwrap();
    // Killed after the old source was set aside, and before the new one was in place.
    let (place, next) = (project.root.join(SOURCE), project.root.join("third_party/.django-polls.new"));
    fs::rename(project.root.join("target/pocdeploy/edit/frontend.upstream"), &next).unwrap();
    fs::rename(&place, project.root.join("third_party/.django-polls.old")).unwrap();
    project.run(&["upstream", "update", "--abort"]).ends_with(1).says("the source is being replaced already");
    project.run(&["upstream", "update", "--continue"]).ends_with(0);
    project.run(&["patch"]).ends_with(0);
    assert_eq!(project.read(&format!("{STAGED}/manage.py")), "import django\nDEBUG = True\nlast = 23\n");
    assert!(!project.root.join("third_party/.django-polls.old").exists());
}

#[test]
fn changes_by_hand_in_the_source_are_not_lost() {
    let project = with_versions(&[]);
    project.write(&format!("{SOURCE}/manage.py"), "import django\nDEBUG = True\nlast = 1\nby = \"hand\"\n");
    project.write(&format!("{SOURCE}/mine.txt"), "mine\n");
    let before = kept(&project);
    for command in [&["upstream", "update", "2"][..], &["upstream", "update", "2", "--dry-run"]] {
        let ran = project.run(command);
        ran.ends_with(1)
            .says("is not as folder:versions/{version} 1 has it")
            .says("manage.py changed\n  mine.txt is new")
            .says("upstream diff");
    }
    assert_eq!(kept(&project), before);
    let ran = project.run(&["upstream", "status"]);
    assert!(
        ran.ends_with(0).stdout.contains("content   changed by hand:\n          manage.py changed\n          mine.txt is new\n"),
        "{}",
        ran.stdout
    );
    // The way that the hint names: the difference becomes the first patch.
    let ran = project.run(&["upstream", "diff"]);
    project.write("build/patches/0000-local.patch", &ran.ends_with(0).stdout);
    fs::remove_file(project.root.join(SOURCE).join("mine.txt")).unwrap();
    fs::copy(project.root.join("versions/1/manage.py"), project.root.join(SOURCE).join("manage.py")).unwrap();
    project.run(&["upstream", "update", "2"]).ends_with(0);
    project.run(&["patch"]).ends_with(0);
    assert_eq!(project.read(&format!("{STAGED}/mine.txt")), "mine\n");
    assert!(project.read(&format!("{STAGED}/manage.py")).ends_with("by = \"hand\"\n"));
}

#[test]
fn a_source_of_unknown_version_is_replaced_only_with_force() {
    let project = with_versions(&[]);
    fs::remove_file(project.root.join("third_party/UPSTREAM.md")).unwrap();
    project
        .run(&["upstream", "status"])
        .ends_with(3)
        .says("third_party/UPSTREAM.md does not say where third_party/django-polls comes from");
    let from = "folder:versions/{version}";
    project
        .run(&["upstream", "update", "2", "--from", from])
        .ends_with(3)
        .says("nothing says which version")
        .says("- Source: folder:versions/{version}");
    // The version that it is: only the list is written.
    let before = content(&project.root.join(SOURCE));
    project.run(&["upstream", "update", "1", "--from", from]).ends_with(0).says("nothing to do");
    assert_eq!(content(&project.root.join(SOURCE)), before);
    assert!(project.read("third_party/UPSTREAM.md").contains("- Version: 1\n- Content: sha256:"));
    fs::remove_file(project.root.join("third_party/UPSTREAM.md")).unwrap();
    project.run(&["upstream", "update", "2", "--from", from, "--force"]).ends_with(0);
    // And none at all: the first source.
    fs::remove_dir_all(project.root.join("third_party")).unwrap();
    fs::remove_dir_all(project.root.join("build/patches")).unwrap();
    project.run(&["upstream", "update", "2", "--from", from]).ends_with(0).says("third_party/django-polls has version 2");
    project.run(&["patch"]).ends_with(0);
}

/// An archive of version 2 with a folder of its own, as release archives have it.
fn archive(project: &Project, name: &str, more: &[&str], changed: &[(usize, &str)]) {
    let folder = project.root.join("packed/polls-2");
    version_two(&folder, changed);
    fs::remove_file(folder.join("link.py")).ok();
    symlink("manage.py", folder.join("link.py")).unwrap();
    #[expect(clippy::disallowed_methods, reason = "the archive is the test's")]
    let done = std::process::Command::new("python3")
        .args(["-c", "import shutil,sys; shutil.make_archive(sys.argv[1], sys.argv[2], sys.argv[3], 'polls-2')", name])
        .args(more)
        .arg("packed")
        .current_dir(&project.root)
        .status()
        .unwrap();
    assert!(done.success());
}

#[test]
fn an_archive_is_unpacked_and_its_hash_is_kept() {
    for (form, file) in [("gztar", "polls-2.tar.gz"), ("xztar", "polls-2.tar.xz"), ("zip", "polls-2.zip")] {
        let project = with_versions(&[]);
        archive(&project, "polls-2", &[form], &[(5, "five")]);
        project
            .run(&["upstream", "update", "2", "--from", &format!("archive:polls-{{version}}.{}", file.split_once('.').unwrap().1)])
            .ends_with(0);
        let text = project.read("third_party/UPSTREAM.md");
        assert!(text.contains(&format!("- Archive: {file}, sha256:")), "{text}");
        assert!(project.root.join(SOURCE).join("link.py").exists());
        project.run(&["patch"]).ends_with(0);
        // The same version with another content is refused.
        archive(&project, "polls-2", &[form], &[(6, "six")]);
        let before = kept(&project);
        project.run(&["upstream", "update", "2"]).ends_with(1).says("is not what UPSTREAM.md says");
        assert_eq!(kept(&project), before);
        fs::write(project.root.join(file), "broken").unwrap();
        project.run(&["upstream", "diff", "2"]).ends_with(1).says(file);
    }
}

#[test]
fn an_archive_that_leads_out_is_refused() {
    let project = with_versions(&[]);
    // One with a harmless name above the folder, one with a link that leads out.
    project.write(
        "make.py",
        "import io, tarfile\nfor name, entry, kind in [('up', '../up.txt', tarfile.REGTYPE), ('link', 'x/link', tarfile.SYMTYPE)]:\n    with tarfile.open(name + '-2.tar', 'w') as out:\n        it = tarfile.TarInfo(entry)\n        it.type, it.linkname = kind, '../../target'\n        out.addfile(it, io.BytesIO())\n",
    );
    #[expect(clippy::disallowed_methods, reason = "the archive is the test's")]
    let done = std::process::Command::new("python3").arg("make.py").current_dir(&project.root).status().unwrap();
    assert!(done.success());
    let before = kept(&project);
    for (name, why) in [("up", "is outside of it"), ("link", "is a link that leads out of it")] {
        project.run(&["upstream", "update", "2", "--from", &format!("archive:{name}-{{version}}.tar")]).ends_with(1).says(why);
    }
    assert_eq!(kept(&project), before);
}

#[test]
fn a_tag_of_a_git_repository_is_a_version() {
    let project = with_versions(&[]);
    let repository = project.root.join("repository");
    fs::create_dir(&repository).unwrap();
    git(&repository, &["init", "--quiet"]);
    for name in ["manage.py", "text.txt"] {
        fs::copy(project.root.join(SOURCE).join(name), repository.join(name)).unwrap();
    }
    commit(&repository, "one");
    git(&repository, &["tag", "v1"]);
    version_two(&repository, &[(5, "five")]);
    fs::remove_file(repository.join("text.txt")).unwrap();
    commit(&repository, "two");
    git(&repository, &["tag", "v2"]);
    project.write("third_party/UPSTREAM.md", "## django-polls\n- Source: git:repository\n- Version: v1\n");
    let ran = project.run(&["upstream", "status"]);
    assert!(ran.ends_with(0).stdout.contains("newer     v2\n"), "{}", ran.stdout);
    project.run(&["upstream", "update", "v3"]).ends_with(1).says("git:repository has no version v3").says("the newest are: v2, v1");
    project.run(&["upstream", "update", "v2"]).ends_with(0);
    let commit = git(&repository, &["rev-parse", "v2"]);
    assert!(project.read("third_party/UPSTREAM.md").contains(&format!("- Archive: commit {}", commit.trim())));
    project.run(&["patch"]).ends_with(0);
    assert!(project.root.join(STAGED).join("moved/text.txt").exists());
}

#[test]
fn what_is_written_wrong_is_pointed_at() {
    let project = with_versions(&[]);
    for (text, said) in [
        ("## django-polls\n- Version: 1\n", "section `django-polls` at line 1: it has no line `- Source"),
        ("## django-polls\n- Source: pypi:x\n- Version: 1\n", "names no source"),
    ] {
        project.write("third_party/UPSTREAM.md", text);
        project.run(&["upstream", "status"]).ends_with(3).says(said);
    }
    project.run(&["upstream", "update", "1", "--from", "pypi:x"]).ends_with(2).says("names no source");
    project.run(&["upstream", "update"]).ends_with(2);
    project.run(&["upstream", "update", "-x", "--from", "folder:x"]).ends_with(2);
    fs::remove_file(project.root.join("third_party/UPSTREAM.md")).unwrap();
    project.run(&["upstream", "update", "../x", "--from", "folder:{version}"]).ends_with(2).says("is not a version");
    project.write("Pocdeploy.toml", "[frontend]\npath = \".\"\n");
    project.run(&["upstream", "status"]).ends_with(3).says("the application is the project itself");
}
