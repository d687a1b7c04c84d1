//! The commands that work on the patches: as commits of a git repository, and against another source.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use crate::{
    patches::{SOURCE, STAGED, commit, git, tree},
    support::{PATCH, Project, content},
};

pub(crate) const EDIT: &str = "target/pocdeploy/edit/frontend";

/// A longer file, so that patches can change places that are far from each other.
pub(crate) fn long(changed: &[(usize, &str)]) -> String {
    let line = |at| changed.iter().find(|it| it.0 == at).map_or_else(|| format!("line {at}"), |it| it.1.to_owned());
    (1..=40).map(|at| format!("{}\n", line(at))).collect()
}

/// A patch of git's that turns one text of a file into another.
pub(crate) fn patch_of(project: &Project, file: &str, old: &str, new: &str, subject: &str) -> String {
    let work = project.root.join("made");
    fs::create_dir_all(work.join(file).parent().unwrap()).unwrap();
    git(&work, &["init", "--quiet"]);
    fs::write(work.join(file), old).unwrap();
    commit(&work, "before");
    fs::write(work.join(file), new).unwrap();
    commit(&work, subject);
    let text = git(&work, &["format-patch", "--stdout", "-1"]);
    fs::remove_dir_all(work).unwrap();
    text
}

/// A project whose source is `text.txt`, with a patch at the top, in the middle and at the end of it.
pub(crate) fn of_three() -> Project {
    let project = Project::new();
    fs::remove_file(project.root.join("build/patches/0001-debug.patch")).unwrap();
    project.write(&format!("{SOURCE}/text.txt"), &long(&[]));
    let steps = [vec![(2, "two")], vec![(2, "two"), (20, "twenty")], vec![(2, "two"), (20, "twenty"), (38, "end")]];
    let mut before = long(&[]);
    for (at, step) in steps.iter().enumerate() {
        let name = ["top", "middle", "end"][at];
        let after = long(step);
        project.write(&format!("build/patches/{:04}-{name}.patch", at + 1), &patch_of(&project, "text.txt", &before, &after, name));
        before = after;
    }
    project
}

pub(crate) fn names(project: &Project) -> Vec<String> {
    let mut out: Vec<String> =
        fs::read_dir(project.root.join("build/patches")).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    out.sort();
    out
}

pub(crate) fn patches(project: &Project) -> Vec<(String, Vec<u8>)> {
    content(&project.root.join("build/patches"))
}

pub(crate) fn staged(project: &Project) -> String {
    project.run(&["patch"]).ends_with(0);
    project.read(&format!("{STAGED}/text.txt"))
}

#[test]
fn patches_become_commits_and_come_back_byte_for_byte() {
    let project = of_three();
    // Forms that no `git format-patch` of today writes.
    project.write(
        "build/patches/0004-plain.diff",
        "Explains it.\n\n--- a/text.txt\n+++ b/text.txt\n@@ -9,3 +9,3 @@\n line 9\n-line 10\n+ten\n line 11\n",
    );
    project.write("build/patches/README.md", "ours");
    let before = patches(&project);
    project.run(&["patch", "edit"]).ends_with(0);
    let log = git(&project.root.join(EDIT), &["log", "--reverse", "--format=%s"]);
    assert_eq!(log.lines().skip(1).collect::<Vec<_>>(), ["top", "middle", "end", "Explains it."]);
    assert_eq!(fs::read_to_string(project.root.join(EDIT).join("text.txt")).unwrap(), staged(&project));
    let ran = project.run(&["patch", "refresh"]);
    ran.ends_with(0);
    assert_eq!(ran.stdout, "unchanged  4 patches\n");
    assert_eq!(patches(&project), before);
}

#[test]
fn a_commit_becomes_a_patch_and_a_second_refresh_changes_nothing() {
    let project = of_three();
    project.run(&["patch", "edit"]).ends_with(0);
    let work = project.root.join(EDIT);
    fs::write(work.join("new.txt"), "new\n").unwrap();
    project.run(&["patch", "refresh"]).ends_with(1).says("changes that are in no commit:\n  new.txt");
    commit(&work, "Wait: for it!");
    let before = patches(&project);
    let ran = project.run(&["patch", "refresh", "--dry-run"]);
    assert_eq!(ran.ends_with(0).stdout, "would write:\nnew        0004-Wait-for-it.patch\nunchanged  3 patches\n");
    assert_eq!(patches(&project), before);
    project.run(&["patch", "refresh"]).ends_with(0);
    let after = patches(&project);
    let text = project.read("build/patches/0004-Wait-for-it.patch");
    assert!(text.contains("\nFrom: A <a@example.invalid>\n") && text.contains("\nSubject: [PATCH] Wait: for it!\n"), "{text}");
    assert_eq!(project.run(&["patch", "refresh"]).ends_with(0).stdout, "unchanged  4 patches\n");
    assert_eq!(patches(&project), after);
    project.run(&["patch"]).ends_with(0);
    assert_eq!(project.read(&format!("{STAGED}/new.txt")), "new\n");
}

#[test]
fn a_patch_in_the_middle_is_changed_and_the_others_stay() {
    let project = of_three();
    let before = patches(&project);
    for said in ["2", "0002-middle.patch", "build/patches/0002-middle.patch", "middle"] {
        let ran = project.run(&["patch", "edit", said, "--discard"]);
        assert!(ran.ends_with(0).stdout.contains("stopped after 0002-middle.patch"), "{}", ran.stdout);
    }
    assert_eq!(fs::read_to_string(project.root.join(EDIT).join("text.txt")).unwrap(), long(&[(2, "two"), (20, "twenty")]));
    fs::write(project.root.join(EDIT).join("text.txt"), long(&[(2, "two"), (20, "zwanzig")])).unwrap();
    let ran = project.run(&["patch", "refresh"]);
    assert_eq!(ran.ends_with(0).stdout, "changed    0002-middle.patch\nunchanged  2 patches\n");
    assert_eq!(staged(&project), long(&[(2, "two"), (20, "zwanzig"), (38, "end")]));
    let after = patches(&project);
    assert_eq!((&before[0], &before[2]), (&after[0], &after[2]));
    for (said, what) in [("9", "there is no patch `9`"), ("000", "means several patches: 0001-top.patch, 0002-middle.patch")] {
        project.run(&["patch", "edit", said]).ends_with(2).says(what);
    }
}

#[test]
fn a_change_that_a_later_patch_contradicts_stops_with_markers_and_goes_on() {
    let project = of_three();
    let before = patches(&project);
    project.run(&["patch", "edit", "1"]).ends_with(0);
    let file = project.root.join(EDIT).join("text.txt");
    fs::write(&file, long(&[(2, "two"), (20, "other")])).unwrap();
    let ran = project.run(&["patch", "refresh"]);
    ran.ends_with(1).says("error[E0221]: patch 0002-middle.patch conflicts with the changed patches before it:\n  text.txt: both change the same lines (1 place)");
    assert_eq!(patches(&project), before);
    let marked = fs::read_to_string(&file).unwrap();
    for line in ["<<<<<<< ", "||||||| ", "line 20", "======="] {
        assert!(marked.contains(line), "{marked}");
    }
    project.run(&["patch", "refresh"]).ends_with(1).says("are not resolved yet");
    project.run(&["patch", "drop", "3"]).ends_with(1).says("has a rebase that is not finished");
    fs::write(&file, long(&[(2, "two"), (20, "both")])).unwrap();
    project.run(&["patch", "refresh"]).ends_with(0);
    assert_eq!(staged(&project), long(&[(2, "two"), (20, "both"), (38, "end")]));
    assert_eq!(names(&project), ["0001-top.patch", "0002-middle.patch", "0003-end.patch"]);
}

#[test]
fn a_new_order_and_dropped_and_joined_commits_reach_the_files() {
    let project = of_three();
    project.run(&["patch", "edit"]).ends_with(0);
    let work = project.root.join(EDIT);
    // The last one comes first: new numbers.
    let commits: Vec<String> = git(&work, &["rev-list", "--reverse", "HEAD"]).lines().map(str::to_owned).collect();
    git(&work, &["reset", "--quiet", "--hard", &commits[0]]);
    for commit in [&commits[3], &commits[1]] {
        git(&work, &["cherry-pick", commit]);
    }
    let ran = project.run(&["patch", "refresh"]);
    assert_eq!(
        ran.ends_with(0).stdout,
        "renamed    0001-end.patch (was 0003-end.patch)\nrenamed    0002-top.patch (was 0001-top.patch)\nremoved    0002-middle.patch\n"
    );
    assert_eq!(names(&project), ["0001-end.patch", "0002-top.patch"]);
    assert_eq!(staged(&project), long(&[(2, "two"), (38, "end")]));
    let ran = project.run(&["patch", "drop", "end"]);
    assert_eq!(ran.ends_with(0).stdout, "removed    0001-end.patch\nunchanged  1 patch\n");
    assert_eq!(staged(&project), long(&[(2, "two")]));
}

#[test]
fn a_patch_that_another_one_needs_is_not_dropped() {
    let project = of_three();
    let last = patch_of(&project, "text.txt", &long(&[(2, "two")]), &long(&[(2, "zwei")]), "again");
    project.write("build/patches/0004-again.patch", &last);
    let before = patches(&project);
    project.run(&["patch", "drop", "top"]).ends_with(1).says("0001-top.patch cannot be dropped: 0004-again.patch needs it");
    assert_eq!(patches(&project), before);
    project.run(&["patch", "drop", "1", "4", "--dry-run"]).ends_with(0);
    assert_eq!(patches(&project), before);
    project.run(&["patch", "drop", "1", "4"]).ends_with(0);
    assert_eq!(names(&project), ["0002-middle.patch", "0003-end.patch"]);
}

#[test]
fn a_series_keeps_names_and_comments_in_the_new_order() {
    let project = of_three();
    for name in ["top", "middle", "end"] {
        let number = ["top", "middle", "end"].iter().position(|it| *it == name).unwrap() + 1;
        let from = project.root.join(format!("build/patches/{number:04}-{name}.patch"));
        fs::rename(from, project.root.join(format!("build/patches/{name}.patch"))).unwrap();
    }
    project.write("build/patches/series", "# ours\ntop.patch\nmiddle.patch # why\nend.patch\n");
    project.run(&["patch", "edit"]).ends_with(0);
    fs::write(project.root.join(EDIT).join("x"), "x\n").unwrap();
    commit(&project.root.join(EDIT), "Add x");
    project.run(&["patch", "refresh"]).ends_with(0);
    project.run(&["patch", "drop", "top"]).ends_with(0);
    assert_eq!(project.read("build/patches/series"), "middle.patch # why\nend.patch\n0001-Add-x.patch\n");
    assert_eq!(staged(&project), long(&[(20, "twenty"), (38, "end")]));
}

#[test]
fn a_queue_of_many_files_makes_the_tree_that_its_history_ends_with() {
    let project = Project::new();
    fs::remove_file(project.root.join("build/patches/0001-debug.patch")).unwrap();
    let work = project.root.join("history");
    fs::create_dir(&work).unwrap();
    git(&work, &["init", "--quiet"]);
    fs::copy(project.root.join(SOURCE).join("manage.py"), work.join("manage.py")).unwrap();
    commit(&work, "upstream");
    let step = |title: &str, change: &dyn Fn()| {
        change();
        commit(&work, title);
    };
    step("made", &|| fs::write(work.join("extra.py"), "x = 1\n").unwrap());
    step("changed", &|| fs::write(work.join("extra.py"), "x = 2\n").unwrap());
    step("removed", &|| fs::remove_file(work.join("extra.py")).unwrap());
    step("made again, as a folder", &|| {
        fs::create_dir(work.join("extra.py")).unwrap();
        fs::write(work.join("extra.py/a b.txt"), "1\n").unwrap();
    });
    step("renamed", &|| drop(git(&work, &["mv", "manage.py", "run.py"])));
    step("edited", &|| fs::write(work.join("run.py"), "import django\nlast = 1\n").unwrap());
    step("executable", &|| fs::set_permissions(work.join("run.py"), fs::Permissions::from_mode(0o755)).unwrap());
    step("binary", &|| fs::write(work.join("logo.png"), [0, 159, 146, 150, 10, 13, 10, 0]).unwrap());
    step("binary again", &|| fs::write(work.join("logo.png"), [0, 150, 10]).unwrap());
    step("empty", &|| fs::write(work.join("empty"), "").unwrap());
    step("without an end", &|| fs::write(work.join("run.py"), "import django").unwrap());
    let out = project.root.join("build/patches");
    git(&work, &["format-patch", "--quiet", "--output-directory", out.to_str().unwrap(), "HEAD~11"]);
    project.run(&["patch"]).ends_with(0);
    assert_eq!(tree(&project.root.join(STAGED)), tree(&work));
    let mode = |folder: &Path| fs::metadata(folder.join("run.py")).unwrap().permissions().mode() & 0o111;
    assert_ne!(mode(&project.root.join(STAGED)), 0);
    project.run(&["patch", "edit"]).ends_with(0);
    assert_eq!(tree(&project.root.join(EDIT)), tree(&work));
    assert_eq!(project.run(&["patch", "refresh"]).ends_with(0).stdout, "unchanged  11 patches\n");
}

#[test]
fn a_refresh_that_was_killed_while_it_wrote_is_finished_by_the_next() {
    let project = of_three();
    project.run(&["patch", "edit"]).ends_with(0);
    let work = project.root.join(EDIT);
    let commits: Vec<String> = git(&work, &["rev-list", "--reverse", "HEAD"]).lines().map(str::to_owned).collect();
    git(&work, &["reset", "--quiet", "--hard", &commits[0]]);
    for commit in [&commits[3], &commits[1], &commits[2]] {
        git(&work, &["cherry-pick", commit]);
    }
    // As it is after the first file, and before the others and its own record.
    let state = work.join(".git/pocdeploy.json");
    let text = fs::read_to_string(&state).unwrap().replace("\"writing\": false", "\"writing\": true");
    fs::write(&state, text).unwrap();
    fs::rename(project.root.join("build/patches/0003-end.patch"), project.root.join("build/patches/0001-end.patch")).unwrap();
    project.run(&["patch", "drop", "1"]).ends_with(1).says("has commits that are only partly in the patches");
    project.run(&["patch", "refresh"]).ends_with(0);
    assert_eq!(names(&project), ["0001-end.patch", "0002-top.patch", "0003-middle.patch"]);
    assert_eq!(staged(&project), long(&[(2, "two"), (20, "twenty"), (38, "end")]));
    assert_eq!(project.run(&["patch", "refresh"]).ends_with(0).stdout, "unchanged  3 patches\n");
}

#[test]
fn a_mailbox_for_upstream_is_what_git_am_takes() {
    let project = of_three();
    let ran = project.run(&["patch", "export"]);
    ran.ends_with(0);
    let work = project.root.join("upstream");
    fs::create_dir(&work).unwrap();
    git(&work, &["init", "--quiet"]);
    for name in ["manage.py", "text.txt"] {
        fs::copy(project.root.join(SOURCE).join(name), work.join(name)).unwrap();
    }
    commit(&work, "upstream");
    project.write("all.mbox", &ran.stdout);
    git(&work, &["am", "--quiet", "../all.mbox"]);
    assert_eq!(fs::read_to_string(work.join("text.txt")).unwrap(), staged(&project));
    assert!(ran.stdout.contains("Subject: [PATCH 1/3] top"), "{}", ran.stdout);
    let out = project.root.join("one.mbox");
    project.run(&["patch", "export", "top", "--out", out.to_str().unwrap()]).ends_with(0);
    assert_eq!(fs::read_to_string(out).unwrap().matches("Subject: ").count(), 1);
}

#[test]
fn a_persons_settings_of_git_change_nothing() {
    let project = of_three();
    project.write(
        "home/.gitconfig",
        "[core]\n\tautocrlf = true\n[diff]\n\tnoprefix = true\n\tmnemonicPrefix = true\n[commit]\n\tgpgsign = true\n[format]\n\tsignature = hello\n\tuseAutoBase = true\n[rebase]\n\tautosquash = true\n[user]\n\tname = A Person\n\temail = person@example.invalid\n",
    );
    let before = patches(&project);
    project.run(&["patch", "edit"]).ends_with(0);
    assert_eq!(project.run(&["patch", "refresh"]).ends_with(0).stdout, "unchanged  3 patches\n");
    assert_eq!(patches(&project), before);
    project.run(&["patch"]).ends_with(0);
    project.write(&format!("{STAGED}/new.txt"), "a\n");
    project.run(&["patch", "new", "By a person"]).ends_with(0);
    let text = project.read("build/patches/0004-By-a-person.patch");
    assert!(
        text.contains("From: A Person <person@example.invalid>") && text.contains("+++ b/new.txt") && !text.contains("hello"),
        "{text}"
    );
}

#[test]
fn attributes_and_ignored_files_of_the_application_do_not_change_bytes() {
    let project = Project::new();
    fs::remove_dir_all(project.root.join("build/patches")).unwrap();
    project.write(&format!("{SOURCE}/.gitattributes"), "* text=auto eol=lf\n*.txt ident filter=lfs\n");
    project.write(&format!("{SOURCE}/.gitignore"), "*.secret\n");
    project.write(&format!("{SOURCE}/crlf.txt"), "one\r\n$Id$\r\n");
    project.write(&format!("{SOURCE}/x.secret"), "kept\n");
    project.write("build/patches/0001-x.patch", "--- a/crlf.txt\n+++ b/crlf.txt\n@@ -1,2 +1,2 @@\n-one\n+two\n $Id$\n");
    project.run(&["patch", "edit"]).ends_with(0);
    let work = project.root.join(EDIT);
    assert_eq!(fs::read(work.join("crlf.txt")).unwrap(), b"two\r\n$Id$\r\n");
    assert_eq!(git(&work, &["status", "--porcelain"]), "");
    assert!(git(&work, &["ls-files"]).contains("x.secret"));
    project.run(&["patch", "edit", "1"]).ends_with(0);
    fs::write(work.join("crlf.txt"), "three\r\n$Id$\r\n").unwrap();
    project.run(&["patch", "refresh"]).ends_with(0);
    project.run(&["patch"]).ends_with(0);
    assert_eq!(fs::read(project.root.join(STAGED).join("crlf.txt")).unwrap(), b"three\r\n$Id$\r\n");
}

#[test]
fn work_in_the_repository_outlives_delete_and_a_changed_project() {
    let project = of_three();
    project.run(&["patch", "edit"]).ends_with(0);
    let work = project.root.join(EDIT);
    fs::write(work.join("new.txt"), "new\n").unwrap();
    commit(&work, "Mine");
    project.write("build/patches/0002-middle.patch", &project.read("build/patches/0002-middle.patch").replace("+twenty", "+20"));
    for command in [&["patch", "edit"][..], &["patch", "refresh"], &["patch", "drop", "1"]] {
        project.run(command).ends_with(1).says("0002-middle.patch has changed since `patch edit`");
    }
    assert!(work.join("new.txt").exists());
    project.run(&["patch", "edit", "--discard"]).ends_with(0);
    assert!(!work.join("new.txt").exists());
}

#[test]
fn what_a_person_asks_of_a_service_without_a_source_is_refused() {
    let project = of_three();
    project.run(&["patch", "status", "--service", "other"]).ends_with(2).says("there is no service `other` with a source of its own");
    assert!(!Path::new(&project.root.join("target/pocdeploy/edit")).exists());
}

/// The patch that other tests use, as a plain check that a project of one patch works.
#[test]
fn one_patch_is_a_queue_too() {
    let project = Project::new();
    assert_eq!(project.read("build/patches/0001-debug.patch"), PATCH);
    project.run(&["patch", "edit", "debug"]).ends_with(0);
    assert_eq!(project.run(&["patch", "refresh"]).ends_with(0).stdout, "unchanged  1 patch\n");
    project.run(&["patch", "drop", "1"]).ends_with(0);
    assert_eq!(names(&project), Vec::<String>::new());
    project.run(&["patch"]).ends_with(0);
    assert_eq!(project.run(&["patch", "status"]).ends_with(0).stdout, "there are no patches\n");
}
